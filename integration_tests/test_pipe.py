"""What Airbyte sees while a sync runs: states at once, and a prompt end on a signal."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from integration_tests import connector
from integration_tests.connector import catalog, record, state, stream
from integration_tests.local_dust import Fault, LocalDust

USERS = catalog(stream("users", "id"))
AS_PID_1 = ("unshare", "--pid", "--fork", "--kill-child")
PIPE_SIZE = 65536
PROMPTLY_S = 2.0


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


def can_unshare(*command: str) -> bool:
    """Return whether this machine lets us make the namespaces of a command."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0


def connector_pid(process: subprocess.Popen[bytes], prefix: tuple[str, ...]) -> int:
    """Return the connector's own process id: with a prefix it is the prefix's only child."""
    if not prefix:
        return process.pid
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return int(children.split()[0])


def terminate(process: subprocess.Popen[bytes], pid: int) -> None:
    """Send SIGTERM and wait for the end; fail when that takes long or has another exit code."""
    os.kill(pid, signal.SIGTERM)
    sent_s = time.monotonic()
    assert process.wait() == 143
    assert time.monotonic() - sent_s < PROMPTLY_S


def send_until_stdout_is_full(process: subprocess.Popen[bytes], line: bytes) -> None:
    """Send a state that is larger than the pipe, and wait until its writer is stuck in it."""
    assert process.stdout
    send(process, line)
    waiting = bytearray(4)
    while int.from_bytes(waiting, "little") < PIPE_SIZE:
        time.sleep(0.01)
        fcntl.ioctl(process.stdout.fileno(), termios.FIONREAD, waiting)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("prefix", "fault"),
    [
        pytest.param((), None, id="while it waits for input"),
        pytest.param((), Fault(delay_s=30), id="while Dust hangs"),
        pytest.param(
            (),
            Fault(status=503, headers={"Retry-After": "60"}),
            id="while it waits to retry",
        ),
        pytest.param(
            AS_PID_1,
            None,
            id="as PID 1",
            marks=pytest.mark.skipif(
                not can_unshare(*AS_PID_1), reason="needs a PID namespace of its own"
            ),
        ),
    ],
)
def test_a_signal_ends_the_sync_with_its_exit_code(
    dust: LocalDust, fault: Fault | None, prefix: tuple[str, ...]
) -> None:
    """Promptly, without a traceback and with every acknowledged state already out."""
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
        terminate(process, connector_pid(process, prefix))
        stdout, stderr = process.communicate()
        assert b'"type":"STATE"' not in stdout
        assert stderr == b""


@pytest.mark.timeout(60)
def test_a_signal_ends_a_sync_whose_stdout_nobody_reads(dust: LocalDust) -> None:
    with connector.writing(dust.config, USERS) as process:
        send_until_stdout_is_full(process, state("x" * 10 * PIPE_SIZE))
        terminate(process, process.pid)
        assert process.stderr
        assert process.stderr.read() == b""


@pytest.mark.timeout(60)
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(dust: LocalDust) -> None:
    """As `nohup` has it, and shells for what runs in the background."""
    with connector.writing(dust.config, USERS, "nohup") as process:
        send(process, record("users", {"id": 1}), state(1))
        assert read_state(process) == state(1) + b"\n"
        process.send_signal(signal.SIGHUP)
        send(process, record("users", {"id": 2}), state(2))
        assert read_state(process) == state(2) + b"\n"
        process.communicate()
        assert process.returncode == 0
