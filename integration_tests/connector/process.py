"""Drives `main.py` as Airbyte does: messages on stdin, lines on stdout, an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from integration_tests.connector.messages import Message

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, str(ROOT / "main.py"))


@dataclass(frozen=True)
class Run:
    """How a run of the connector ended, and all it said."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def lines(self) -> list[bytes]:
        return self.stdout.splitlines()

    @cached_property
    def messages(self) -> list[Message]:
        return [json.loads(line) for line in self.lines]

    @property
    def states(self) -> list[bytes]:
        pairs = zip(self.lines, self.messages, strict=True)
        return [line for line, message in pairs if message["type"] == "STATE"]

    @property
    def errors(self) -> list[Message]:
        return [m["trace"]["error"] for m in self.messages if m["type"] == "TRACE"]

    @property
    def error(self) -> Message:
        (error,) = self.errors
        return error

    @property
    def status(self) -> Message:
        (status,) = (m["connectionStatus"] for m in self.messages if "connectionStatus" in m)
        return status

    def logs(self, level: str) -> list[str]:
        logs = [message["log"] for message in self.messages if message["type"] == "LOG"]
        return [log["message"] for log in logs if log["level"] == level]


def run(
    *arguments: str,
    stdin: bytes = b"",
    command: Sequence[str] = COMMAND,
    cwd: Path | None = None,
    **env: str,
) -> Run:
    """Run the connector's command line to its end."""
    done = subprocess.run(
        [*command, *arguments],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=environment(**env),
        timeout=120,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def check(config: Message, **how: Any) -> Run:
    """Run `check` with these settings; `how` goes to `run`."""
    with _files(config=config) as arguments:
        return run("check", *arguments, **how)


def write(config: Message, catalog: Message, lines: Iterable[bytes], **how: Any) -> Run:
    """Run `write` on these lines; `how` goes to `run`."""
    with _files(config=config, catalog=catalog) as arguments:
        stdin = b"".join(line + b"\n" for line in lines)
        return run("write", *arguments, stdin=stdin, **how)


@contextmanager
def writing(config: Message, catalog: Message, *prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start `write` with its pipes left open; `prefix` is a command to start it by."""
    with _files(config=config, catalog=catalog) as arguments:
        process = subprocess.Popen(
            [*prefix, *COMMAND, "write", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        with process:
            try:
                yield process
            finally:
                process.kill()


def environment(**env: str) -> dict[str, str]:
    """Return the environment to run in: without what hides a missing flush or routes elsewhere."""
    dropped = ("PYTHONUNBUFFERED", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    kept = {name: value for name, value in os.environ.items() if name.upper() not in dropped}
    return {**kept, **env}


@contextmanager
def _files(**contents: Message) -> Iterator[list[str]]:
    """Yield the arguments that name files with these contents."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = []
        for name, content in contents.items():
            path = Path(folder) / f"{name}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            arguments += [f"--{name}", str(path)]
        yield arguments
