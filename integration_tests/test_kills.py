"""Killed at any moment, a sync has never acknowledged a record that Dust does not hold."""

from __future__ import annotations

import json
import random
import signal
import threading
import time

import pytest

from integration_tests import connector
from integration_tests.connector import (
    USERS,
    catalog,
    record,
    state,
    stream,
    stream_status,
    users_with_states,
)
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import LocalDust

RECORDS = 20_000


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("kill", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_every_state_on_the_pipe_is_backed_by_documents(
    dust: LocalDust, kill: signal.Signals, exit_code: int, seed: int
) -> None:
    """At most two documents are ahead of the last state: one is on its way, one is stored."""
    wait_s = random.Random(seed).uniform(0.05, 0.6)
    lines = users_with_states(range(RECORDS))
    with connector.writing(dust.config, USERS) as process:
        assert process.stdin
        assert process.stdout
        # Feeding blocks whenever the pipe is full, and ends with the process.
        feed = threading.Thread(target=feed_until_closed, args=(process.stdin, lines), daemon=True)
        feed.start()
        output = []
        while not any(b'"type":"STATE"' in line for line in output):
            output.append(process.stdout.readline())
        killer = threading.Timer(wait_s, process.send_signal, args=(kill,))
        killer.start()
        output += process.stdout.readlines()
        assert process.wait() == exit_code
        killed_s = time.monotonic()
        feed.join()
        assert time.monotonic() - killed_s < 5

    # What a kill cuts in two is the last line at most.
    whole = [line for line in output if line.endswith(b"\n")]
    states = [line for line in whole if json.loads(line)["type"] == "STATE"]
    assert states == [state(id_) + b"\n" for id_ in range(len(states))]
    assert {f"users-{id_}" for id_ in range(len(states))} <= set(dust.documents)
    assert 0 < len(states) < RECORDS
    assert len(dust.documents) <= len(states) + 2


@pytest.mark.timeout(60)
def test_a_deletion_of_stale_documents_that_is_killed_is_finished_by_the_next_refresh(
    dust: LocalDust,
) -> None:
    refreshed = {"generation_id": 7, "minimum_generation_id": 7, "sync_id": 40}
    replaced = catalog({**stream("users", "id"), "sync_mode": "full_refresh", **refreshed})
    sync(dust.config, USERS, [record("users", {"id": id_}) for id_ in range(300)])
    last = [record("users", {"id": 300}), stream_status()]
    with connector.writing(dust.config, replaced) as process:
        assert process.stdin
        process.stdin.write(b"".join(line + b"\n" for line in last))
        process.stdin.close()
        while len(dust.documents) > 250:
            time.sleep(0.001)
        process.kill()
        process.wait()
    assert 0 < len(dust.documents) < 301
    assert "users-300" in dust.documents

    assert sync(dust.config, replaced, last).error is None
    assert list(dust.documents) == ["users-300"]


def feed_until_closed(stdin: object, lines: list[bytes]) -> None:
    """Write the lines to a process's stdin for as long as it reads."""
    try:
        with stdin as pipe:  # type: ignore[attr-defined]
            for line in lines:
                pipe.write(line + b"\n")
    except (BrokenPipeError, ValueError):
        pass
