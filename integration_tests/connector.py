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

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, str(ROOT / "main.py"))

Message = dict[str, Any]


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
        """Return the lines that hold a STATE."""
        pairs = zip(self.lines, self.messages, strict=True)
        return [line for line, message in pairs if message["type"] == "STATE"]

    @property
    def errors(self) -> list[Message]:
        """Return what the TRACE ERROR messages hold."""
        return [m["trace"]["error"] for m in self.messages if m["type"] == "TRACE"]

    @property
    def error(self) -> Message:
        """Return what the only TRACE ERROR holds."""
        (error,) = self.errors
        return error

    @property
    def status(self) -> Message:
        """Return what the only CONNECTION_STATUS holds."""
        (status,) = (m["connectionStatus"] for m in self.messages if "connectionStatus" in m)
        return status

    def logs(self, level: str) -> list[str]:
        """Return the messages logged at a level."""
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
    with _files(config) as (config_path, _):
        return run("check", "--config", config_path, **how)


def write(config: Message, catalog: Message, lines: Iterable[bytes], **how: Any) -> Run:
    """Run `write` on these lines; `how` goes to `run`."""
    with _files(config, catalog) as (config_path, catalog_path):
        arguments = ("write", "--config", config_path, "--catalog", catalog_path)
        return run(*arguments, stdin=b"".join(line + b"\n" for line in lines), **how)


@contextmanager
def writing(config: Message, catalog: Message, *prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start `write` with its pipes left open; `prefix` is a command to start it by."""
    with _files(config, catalog) as (config_path, catalog_path):
        arguments = ("write", "--config", config_path, "--catalog", catalog_path)
        process = subprocess.Popen(
            [*prefix, *COMMAND, *arguments],
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


def catalog(*streams: Message) -> Message:
    """Return a configured catalog of streams made by `stream`."""
    return {"streams": list(streams)}


def stream(
    name: str,
    primary_key: Any = None,
    *,
    namespace: str | None = None,
    mode: str = "append_dedup",
) -> Message:
    """Return a configured stream; a `primary_key` of "id" stands for [["id"]]."""
    key = [[primary_key]] if isinstance(primary_key, str) else primary_key
    return {
        "stream": {
            "name": name,
            "namespace": namespace,
            "json_schema": {},
            "supported_sync_modes": ["full_refresh", "incremental"],
        },
        "sync_mode": "incremental",
        "destination_sync_mode": mode,
        "primary_key": key,
    }


def record(stream: str, data: Any, *, namespace: str | None = None) -> bytes:
    """Return a RECORD line; `data` may be the JSON text itself."""
    text = data if isinstance(data, str) else json.dumps(data)
    where = "" if namespace is None else f'"namespace":{json.dumps(namespace)},'
    return (
        f'{{"type":"RECORD","record":{{{where}"stream":{json.dumps(stream)},"data":{text},'
        '"emitted_at":1736365559000}}'
    ).encode()


def state(cursor: object) -> bytes:
    """Return a STATE line as Airbyte sends it since 1.7: with an id that must come back."""
    return (
        f'{{"type":"STATE","state":{{"type":"STREAM","stream":{{"stream_descriptor":'
        f'{{"name":"users"}},"stream_state":{{"cursor":{json.dumps(cursor)}}}}}}},"id":7}}'
    ).encode()


@contextmanager
def _files(config: Message, catalog: Message | None = None) -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "config.json", Path(folder) / "catalog.json"
        for path, content in zip(paths, (config, catalog), strict=True):
            path.write_text(json.dumps(content), encoding="utf-8")
        yield str(paths[0]), str(paths[1])
