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
from integration_tests.connector import USERS, record, state
from integration_tests.local_dust import Fault, LocalDust

AS_PID_1 = ("unshare", "--pid", "--fork", "--kill-child")
PIPE_SIZE = 65536
PROMPTLY_S = 2.0

pytestmark = pytest.mark.timeout(60)


def send(process: subprocess.Popen[bytes], *lines: bytes) -> None:
    assert process.stdin
    process.stdin.write(b"".join(line + b"\n" for line in lines))
    process.stdin.flush()


def read_state(process: subprocess.Popen[bytes]) -> bytes:
    """Return the next STATE line. Waits for ever if it was not flushed."""
    assert process.stdout
    for line in process.stdout:
        if json.loads(line)["type"] == "STATE":
            return line
    raise AssertionError("stdout ended without a STATE")


def store(process: subprocess.Popen[bytes], id_: int) -> None:
    """Send a record and its state, and wait until the state is back."""
    send(process, record("users", {"id": id_}), state(id_))
    assert read_state(process) == state(id_) + b"\n"


def test_a_state_is_on_the_pipe_while_stdin_stays_open(dust: LocalDust) -> None:
    with connector.writing(dust.config, USERS) as process:
        store(process, 1)
        assert list(dust.documents) == ["users-1"]
        process.communicate()
        assert process.returncode == 0


def can_unshare() -> bool:
    """Return whether this machine lets us make a PID namespace."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*AS_PID_1, "true"], capture_output=True, check=False).returncode == 0


def terminate(process: subprocess.Popen[bytes], pid: int) -> int:
    """Send SIGTERM and return how the process ended; fail when that takes long."""
    os.kill(pid, signal.SIGTERM)
    sent_s = time.monotonic()
    process.wait()
    assert time.monotonic() - sent_s < PROMPTLY_S
    return process.returncode


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(None, id="waiting for input"),
        pytest.param(Fault(delay_s=30), id="waiting for Dust"),
        pytest.param(Fault(status=503, headers={"Retry-After": "60"}), id="waiting to retry"),
    ],
)
def test_a_signal_ends_the_sync_as_programs_end_that_do_not_handle_it(
    dust: LocalDust, fault: Fault | None
) -> None:
    """Promptly, without a traceback and with every acknowledged state already out."""
    with connector.writing(dust.config, USERS) as process:
        store(process, 1)
        if fault:
            seen = len(dust.requests)
            dust.faults = iter([fault])
            send(process, record("users", {"id": 2}), state(2))
            while len(dust.requests) == seen:
                time.sleep(0.01)
            time.sleep(0.2)
        assert terminate(process, process.pid) == -signal.SIGTERM
        stdout, stderr = process.communicate()
        assert b'"STATE"' not in stdout
        assert stderr == b""


@pytest.mark.skipif(not can_unshare(), reason="needs a PID namespace of its own")
def test_a_signal_ends_a_sync_that_is_pid_1_with_exit_code_143(dust: LocalDust) -> None:
    """As in a container, where signals end only a process that handles them."""
    with connector.writing(dust.config, USERS, *AS_PID_1) as process:
        store(process, 1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
        assert terminate(process, int(children.split()[0])) == 143


def test_a_signal_ends_a_sync_whose_stdout_nobody_reads(dust: LocalDust) -> None:
    """A state that is larger than the pipe is stuck in it."""
    with connector.writing(dust.config, USERS) as process:
        assert process.stdout
        send(process, state("x" * 10 * PIPE_SIZE))
        waiting = bytearray(4)
        while int.from_bytes(waiting, "little") < PIPE_SIZE:
            time.sleep(0.01)
            fcntl.ioctl(process.stdout.fileno(), termios.FIONREAD, waiting)
        assert terminate(process, process.pid) == -signal.SIGTERM
        assert process.stderr
        assert process.stderr.read() == b""


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(dust: LocalDust) -> None:
    """`nohup` ignores SIGHUP, and shells ignore SIGINT for processes in the background."""
    with connector.writing(dust.config, USERS, "nohup") as process:
        store(process, 1)
        process.send_signal(signal.SIGHUP)
        store(process, 2)
        process.communicate()
        assert process.returncode == 0
