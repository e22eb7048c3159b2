"""A sync whose stdin or stdout is not an ordinary pipe: non-blocking, closed, full, a terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from integration_tests import connector
from integration_tests.connector import COMMAND, USERS, Run, record, state
from integration_tests.local_dust import LocalDust
from integration_tests.test_pipe import read_state, send, store

pytestmark = pytest.mark.timeout(60)


def non_blocking(descriptor: int) -> tuple[str, ...]:
    """Return a command that makes a descriptor non-blocking for the command that follows."""
    code = f"import os, sys; os.set_blocking({descriptor}, False)"
    return (sys.executable, "-c", f"{code}; os.execv(sys.argv[1], sys.argv[1:])")


def redirected(redirection: str) -> tuple[str, ...]:
    """Return a command that redirects, as a shell does, for the command that follows."""
    return ("sh", "-c", f'exec "$@" {redirection}', "sh")


def at_a_terminal() -> tuple[str, ...]:
    """Return a command that types its stdin, then Ctrl+D, at the terminal of what follows."""
    code = (
        "import os, pty, sys; keyboard, terminal = pty.openpty();"
        "os.write(keyboard, sys.stdin.buffer.read() + bytes([4]));"
        "os.set_inheritable(keyboard, True); os.dup2(terminal, 0);"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    return (sys.executable, "-c", code)


def write(dust: LocalDust, *lines: bytes, prefix: tuple[str, ...]) -> Run:
    return connector.write(dust.config, USERS, lines, command=(*prefix, *COMMAND))


def assert_still_runs(process: subprocess.Popen[bytes]) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.1)


def test_a_non_blocking_stdin_is_read_to_its_end(dust: LocalDust) -> None:
    """No data yet is not the end."""
    with connector.writing(dust.config, USERS, *non_blocking(0)) as process:
        assert process.stdin
        for id_ in range(3):
            line = record("users", {"id": id_})
            process.stdin.write(line[:20])
            process.stdin.flush()
            assert_still_runs(process)
            send(process, line[20:], state(id_))
            assert read_state(process) == state(id_) + b"\n"
            assert_still_runs(process)
        process.stdin.write(record("users", {"id": 3}))
        process.communicate()
        assert process.returncode == 0
    assert list(dust.documents) == [f"users-{id_}" for id_ in range(4)]


def test_whole_lines_leave_through_a_non_blocking_stdout(dust: LocalDust) -> None:
    """States and the log, which the CDK writes, both larger than the pipe."""
    states = [state(str(number) * 300_000) for number in range(5)]
    noise = [b"x"] * 3
    run = write(dust, *noise, *states, prefix=non_blocking(1))
    assert (run.exit_code, run.stderr) == (0, b"")
    assert run.states == states
    assert len(run.logs("WARN")) == 2


def test_a_closed_stdout_is_reported_in_one_line(dust: LocalDust) -> None:
    run = write(dust, record("users", {"id": 1}), prefix=redirected(">&-"))
    assert (run.exit_code, run.stderr) == (1, b"Could not write to stdout: it is closed.\n")
    assert not dust.requests


@pytest.mark.parametrize(
    "line", [state(1), record("users", {"id": 1})], ids=["state", "log lines only"]
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_reported_in_one_line(dust: LocalDust, line: bytes) -> None:
    run = write(dust, line, prefix=redirected(">/dev/full"))
    reason = b"Could not write to stdout: No space left on device.\n"
    assert (run.exit_code, run.stderr) == (1, reason)


def test_a_sync_ends_when_the_reader_of_its_states_is_gone(dust: LocalDust) -> None:
    """What it stored from then on could not be acknowledged."""
    with connector.writing(dust.config, USERS) as process:
        store(process, 1)
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        send(process, record("users", {"id": 2}), state(2), record("users", {"id": 3}))
        assert process.wait() == 1
        assert process.stderr.read() == b"Could not write to stdout: Broken pipe.\n"
    assert list(dust.documents) == ["users-1", "users-2"]


def test_a_sync_with_a_closed_stdin_fails(dust: LocalDust) -> None:
    run = write(dust, prefix=redirected("<&-"))
    assert (run.exit_code, run.stderr) == (1, b"")
    assert run.error["message"].startswith("Could not read stdin: it is closed. Check ")
    assert not dust.requests


def test_a_terminal_as_stdin_gets_one_line_on_stderr(dust: LocalDust) -> None:
    run = write(dust, record("users", {"id": 1}), state(1), prefix=at_a_terminal())
    assert (run.exit_code, run.states) == (0, [state(1)])
    assert run.stderr == b"Reading Airbyte messages from stdin. Ctrl+D ends the input.\n"
    assert list(dust.documents) == ["users-1"]


def test_a_check_needs_no_stdin(dust: LocalDust) -> None:
    run = connector.check(dust.config, command=(*redirected("<&-"), *COMMAND))
    assert (run.exit_code, run.stderr) == (0, b"")
    assert run.status["status"] == "SUCCEEDED"
