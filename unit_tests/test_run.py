"""The start of the process. How signals end it is in integration_tests/test_kills.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Ends where the CDK would be imported, and prints which signals are handled by then.
UNTIL_THE_CDK = """
import signal, sys

class Cdk:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "airbyte_cdk":
            sys.exit(repr(handled))

handled = []
# As in the foreground: in the background, a shell has SIGINT ignored.
signal.getsignal = lambda signum: signal.SIG_DFL
signal.signal = lambda signum, handler: handled.append(signum.name)
sys.meta_path.insert(0, Cdk())
from main import run
run()
"""

# As on Windows, before Python 3.12.
WITHOUT_POSIX = """
import os, signal
for module, name in [
    (os, "get_blocking"),
    (os, "set_blocking"),
    (signal, "SIGHUP"),
    (signal, "pthread_sigmask"),
    (signal, "sigwait"),
]:
    delattr(module, name)
from main import run
run()
"""


def python(code: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the code as the connector's process."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, check=False)


def test_signals_are_handled_before_the_cdk_is_loaded() -> None:
    """Loading takes a second, in which PID 1 of a container would ignore them."""
    done = python(UNTIL_THE_CDK)

    assert done.stderr == b"['SIGTERM', 'SIGINT', 'SIGHUP']\n"


def test_a_sync_needs_nothing_that_only_posix_has(tmp_path: Path) -> None:
    files = tmp_path / "files.json"
    ids = dict.fromkeys(["workspace_id", "space_id", "data_source_id"], "x")
    files.write_text(json.dumps({"api_key": "sk-1", **ids, "streams": []}), encoding="utf-8")
    state = b'{"type":"STATE","state":{"data":{}},"id":1}\n'

    command = ("write", "--config", str(files), "--catalog", str(files))
    done = python(WITHOUT_POSIX, *command, stdin=state)

    assert (done.returncode, done.stderr) == (0, b"")
    assert state in done.stdout.splitlines(keepends=True)
