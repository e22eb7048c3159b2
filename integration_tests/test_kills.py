"""How a signal ends a sync: never with a STATE of a record that Dust does not have."""

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
from integration_tests.test_pipe import read_state, send

RECORDS = 20_000
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
IGNORING = ("sh", "-c", 'trap "" HUP INT TERM; exec "$@"', "sh")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kill", [*ENDING, signal.SIGKILL], ids=lambda kill: kill.name)
def test_a_signal_ends_the_process_and_every_acknowledged_record_is_stored(
    dust: LocalDust, kill: signal.Signals
) -> None:
    """At most two documents are ahead of the last STATE: one is being sent, one is stored.

    The process ends by the signal itself: PyAirbyte takes another exit code for a failure.
    """
    wait_s = random.Random(int(kill)).uniform(0.05, 0.6)
    lines = users_with_states(range(RECORDS))
    with connector.writing(dust.config, USERS) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        # Feeding blocks whenever the pipe is full, and ends with the process.
        feed = threading.Thread(target=feed_until_closed, args=(process.stdin, lines), daemon=True)
        feed.start()
        output = []
        while not any(b'"STATE"' in line for line in output):
            output.append(process.stdout.readline())
        killer = threading.Timer(wait_s, process.send_signal, args=(kill,))
        killer.start()
        output += process.stdout.readlines()
        assert process.wait() == -kill
        assert process.stderr.read() == b""
        killed_s = time.monotonic()
        feed.join()
        assert time.monotonic() - killed_s < 5
    # At most the last line is cut by a kill.
    whole = [line for line in output if line.endswith(b"\n")]
    states = [line for line in whole if json.loads(line)["type"] == "STATE"]
    assert states == [state(id_) + b"\n" for id_ in range(len(states))]
    assert {f"users-{id_}" for id_ in range(len(states))} <= set(dust.documents)
    assert 0 < len(states) < RECORDS
    assert len(dust.documents) <= len(states) + 2


@pytest.mark.timeout(60)
def test_signals_that_were_ignored_at_the_start_stay_ignored(dust: LocalDust) -> None:
    """As with nohup, and for what a shell runs in the background."""
    with connector.writing(dust.config, USERS, *IGNORING) as process:
        send(process, state(1))
        assert read_state(process) == state(1) + b"\n"
        for ignored in ENDING:
            process.send_signal(ignored)
        send(process, record("users", {"id": 2}), state(2))
        assert read_state(process) == state(2) + b"\n"
        process.communicate()
        assert process.returncode == 0
    assert list(dust.documents) == ["users-2"]


@pytest.mark.timeout(60)
def test_the_next_refresh_finishes_a_deletion_of_stale_documents_that_was_killed(
    dust: LocalDust,
) -> None:
    refreshed = {"generation_id": 7, "minimum_generation_id": 7, "sync_id": 40}
    replaced = catalog({**stream("users", "id"), "sync_mode": "full_refresh", **refreshed})
    sync(dust.config, USERS, [record("users", {"id": id_}) for id_ in range(300)])
    last = [record("users", {"id": 300}), state(300), stream_status()]
    with connector.writing(dust.config, replaced) as process:
        send(process, *last)
        assert process.stdin
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
