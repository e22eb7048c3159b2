"""What Airbyte sees while a sync runs: states at once, and a prompt end on SIGTERM."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from integration_tests import connector
from integration_tests.connector import catalog, record, state, stream
from integration_tests.local_dust import Fault, LocalDust

USERS = catalog(stream("users", "id"))
AS_PID_1 = ("unshare", "--pid", "--fork", "--kill-child")


def send(process: subprocess.Popen[bytes], *lines: bytes) -> None:
    assert process.stdin
    process.stdin.write(b"".join(line + b"\n" for line in lines))
    process.stdin.flush()


def read_state(process: subprocess.Popen[bytes]) -> bytes:
    """Return the next STATE line; a reader of a buffered STATE would wait here for ever."""
    assert process.stdout
    for line in process.stdout:
        if json.loads(line)["type"] == "STATE":
            return line
    raise AssertionError("stdout ended without a STATE")


@pytest.mark.timeout(60)
def test_a_state_is_on_the_pipe_while_stdin_stays_open(dust: LocalDust) -> None:
    odd = b'{"type" : "STATE","state":{"x":1.10,"big":12345678901234567890123,"n":null},"id":3}'
    with connector.writing(dust.config, USERS) as process:
        for sent in (state(1), odd):
            send(process, record("users", {"id": 1}), sent)
            assert read_state(process) == sent + b"\n"
        assert list(dust.documents) == ["users-1"]
        process.communicate()
        assert process.returncode == 0


def can_unshare() -> bool:
    """Tell whether this machine lets us make a PID namespace."""
    command = [*AS_PID_1, "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, check=False).returncode == 0


def connector_pid(process: subprocess.Popen[bytes], prefix: tuple[str, ...]) -> int:
    """Return the connector's own process id: with a prefix it is the prefix's only child."""
    if not prefix:
        return process.pid
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return int(children.split()[0])


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "prefix",
    [
        pytest.param((), id="as a child"),
        pytest.param(
            AS_PID_1,
            id="as PID 1",
            marks=pytest.mark.skipif(not can_unshare(), reason="needs a PID namespace"),
        ),
    ],
)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(None, id="while it waits for input"),
        pytest.param(Fault(delay_s=30), id="while Dust hangs"),
        pytest.param(
            Fault(status=503, headers={"Retry-After": "60"}), id="while it waits to retry"
        ),
    ],
)
def test_sigterm_ends_the_sync_with_143(
    dust: LocalDust, fault: Fault | None, prefix: tuple[str, ...]
) -> None:
    """Promptly, and with every acknowledged state already out."""
    with connector.writing(dust.config, USERS, *prefix) as process:
        send(process, record("users", {"id": 1}), state(1))
        assert read_state(process) == state(1) + b"\n"
        if fault:
            seen = len(dust.requests)
            dust.faults = iter([fault])
            send(process, record("users", {"id": 2}), state(2))
            while len(dust.requests) == seen:
                time.sleep(0.01)
            time.sleep(0.2)
        os.kill(connector_pid(process, prefix), signal.SIGTERM)
        killed_s = time.monotonic()
        stdout, _ = process.communicate()
        assert time.monotonic() - killed_s < 5
        assert process.returncode == 143
        assert b'"type":"STATE"' not in stdout
