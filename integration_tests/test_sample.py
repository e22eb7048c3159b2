"""`make sync`, as a newcomer runs it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys

import requests

from integration_tests.connector import ROOT, environment

COMMAND = (sys.executable, "-m", "integration_tests.sample")


def test_what_was_synced_stays_open_until_interrupted() -> None:
    command = [*COMMAND, "--keep", "0"]
    env = environment()
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=env, text=True) as process:
        try:
            assert process.stdout
            last = next(line for line in process.stdout if "until you press Ctrl-C" in line)
            (url,) = re.findall(r"http://\S+/", last)
            assert requests.get(f"{url}local/documents", timeout=10).json()["total"] == 110
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()


def test_a_port_in_use_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [*COMMAND, "--keep", str(taken.getsockname()[1])]
        done = subprocess.run(
            command, capture_output=True, cwd=ROOT, env=environment(), check=False
        )
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"Is a local Dust running already?" in done.stderr
