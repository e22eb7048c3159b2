"""What Airbyte sees while a sync runs: states at once, and a prompt end on a signal."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
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
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
PIPE_SIZE = 65536
PROMPTLY_S = 2.0

each_signal = pytest.mark.parametrize("signum", SIGNALS, ids=[signum.name for signum in SIGNALS])


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
    """Tell whether this machine lets us make the namespaces of a command."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0


def connector_pid(process: subprocess.Popen[bytes], prefix: tuple[str, ...]) -> int:
    """Return the connector's own process id: with a prefix it is the prefix's only child."""
    if not prefix:
        return process.pid
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return int(children.split()[0])


def send_signal(process: subprocess.Popen[bytes], pid: int, signum: signal.Signals) -> None:
    """Send the signal and wait for the end; fail when that takes long or has another exit code."""
    os.kill(pid, signum)
    sent_s = time.monotonic()
    assert process.wait() == 128 + signum
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
    "prefix",
    [
        pytest.param((), id="as a child"),
        pytest.param(
            AS_PID_1,
            id="as PID 1",
            marks=pytest.mark.skipif(
                not can_unshare(*AS_PID_1), reason="needs a PID namespace of its own"
            ),
        ),
    ],
)
@pytest.mark.parametrize(
    ("signum", "fault"),
    [
        pytest.param(signal.SIGTERM, None, id="SIGTERM while it waits for input"),
        pytest.param(signal.SIGINT, None, id="SIGINT while it waits for input"),
        pytest.param(signal.SIGHUP, None, id="SIGHUP while it waits for input"),
        pytest.param(signal.SIGTERM, Fault(delay_s=30), id="SIGTERM while Dust hangs"),
        pytest.param(
            signal.SIGTERM,
            Fault(status=503, headers={"Retry-After": "60"}),
            id="SIGTERM while it waits to retry",
        ),
    ],
)
def test_a_signal_ends_the_sync_with_its_exit_code(
    dust: LocalDust, signum: signal.Signals, fault: Fault | None, prefix: tuple[str, ...]
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
        send_signal(process, connector_pid(process, prefix), signum)
        stdout, stderr = process.communicate()
        assert b'"type":"STATE"' not in stdout
        assert stderr == b""


@pytest.mark.timeout(60)
@each_signal
def test_a_signal_ends_a_sync_whose_stdout_nobody_reads(
    dust: LocalDust, signum: signal.Signals
) -> None:
    with connector.writing(dust.config, USERS) as process:
        send_until_stdout_is_full(process, state("x" * 10 * PIPE_SIZE))
        send_signal(process, process.pid, signum)
        assert process.stderr
        assert process.stderr.read() == b""


@pytest.mark.timeout(60)
@each_signal
def test_a_state_that_is_being_read_leaves_whole_before_the_end(
    dust: LocalDust, signum: signal.Signals
) -> None:
    line = state("x" * 10 * PIPE_SIZE)
    with connector.writing(dust.config, USERS) as process:
        send_until_stdout_is_full(process, line)
        process.send_signal(signum)
        # With stdin left open, so that nothing but the signal ends it.
        assert process.stdout
        assert process.stdout.read().splitlines()[-1] == line
        assert process.wait() == 128 + signum


# One of the loopback addresses for each process that runs tests: the port is always 53.
SILENT_DNS = f"127.1.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
WITH_RESOLV_CONF = (
    *("unshare", "--mount", "sh", "-c"),
    'mount --bind "$0" /etc/resolv.conf && exec "$@"',
)


@pytest.mark.timeout(60)
@each_signal
@pytest.mark.skipif(
    not can_unshare(*WITH_RESOLV_CONF, "/dev/null"), reason="needs a mount namespace of its own"
)
def test_a_signal_ends_a_sync_during_a_name_look_up(
    dust: LocalDust, tmp_path: Path, signum: signal.Signals
) -> None:
    """The look-up is C code, and runs no handlers of Python until it times out."""
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text(f"nameserver {SILENT_DNS}\noptions timeout:10\n", encoding="ascii")
    config = {**dust.config, "base_url": "https://dust.example"}
    prefix = (*WITH_RESOLV_CONF, str(resolv_conf))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns,
        connector.writing(config, USERS, *prefix) as process,
    ):
        dns.bind((SILENT_DNS, 53))
        send(process, record("users", {"id": 1}))
        dns.recv(512)
        send_signal(process, process.pid, signum)


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
