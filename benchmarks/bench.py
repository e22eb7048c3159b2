"""Compare the cost per record of the connector with other ways to do the same work.

    make bench

All post the same source-faker records to a local Dust without latency or limit. The first three run
in one process, in turn and in short chunks, so that a busy machine slows them alike; the rest are
whole processes, charged for what more records cost them. Ratios are what to quote: figures of two
runs, or of two machines, do not compare.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import requests
import urllib3

from destination_dust.destination import DestinationDust
from destination_dust.protocol import read_messages, write_message
from integration_tests.connector import ROOT, record, state
from integration_tests.connector import environment as connector_environment
from integration_tests.connector.in_process import configured
from integration_tests.sample import FAKER_MESSAGES, read_catalog

CATALOG = read_catalog()

CHUNK = 200
ROUNDS = 30
FEW, MANY = 500, 4_500


@dataclass(frozen=True)
class Row:
    """A line of the table. CPU is user and system time."""

    name: str
    cpu_us: float
    records_per_s: float
    peak_mib: float | None = None


def main() -> None:
    """Run everything and print the table."""
    logging.disable(logging.INFO)
    with local_dust() as config:
        rows = [*in_process(config), *whole_processes(config)]
    print_table(rows)


# In one process, in turn.


def in_process(config: dict[str, str]) -> list[Row]:
    """Measure the connector, a bare urllib3 loop and the usual `session.post` in chunks."""
    lines = list(itertools.islice(itertools.cycle(record_lines()), CHUNK))
    contenders: dict[str, Callable[[], None]] = {
        "connector": connector(config, lines),
        "bare urllib3": bare_urllib3(config, lines),
        "session.post(json=)": usual_requests(config, lines),
    }
    cpu_us: dict[str, list[float]] = {name: [] for name in contenders}
    wall_us: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            cpu_us[name].append((time.process_time() - cpu) / CHUNK * 1e6)
            wall_us[name].append((time.perf_counter() - wall) / CHUNK * 1e6)
    return [
        Row(name, statistics.median(cpu_us[name]), 1e6 / statistics.median(wall_us[name]))
        for name in contenders
    ]


def connector(config: dict[str, str], lines: list[bytes]) -> Callable[[], None]:
    """Return the connector's whole path, from the bytes of stdin to those of a STATE.

    One sync goes on over all chunks, as it does in a process: each call feeds it one chunk.
    """
    chunks = itertools.repeat([*lines, state(0)])
    messages = DestinationDust().write(
        config,
        configured(CATALOG),
        read_messages(itertools.chain.from_iterable(chunks)),
    )
    states = iter(messages)
    stdout = io.BytesIO()

    def run() -> None:
        stdout.seek(0)
        write_message(next(states), stdout)

    return run


def bare_urllib3(config: dict[str, str], lines: list[bytes]) -> Callable[[], None]:
    """Return a loop that does the same work with nothing but orjson and a connection pool."""
    pool = urllib3.connection_from_url(config["base_url"])
    headers = {
        "Authorization": f"Bearer {config['api_key']}",
        "Content-Type": "application/json",
        "User-Agent": "bare",
        "Accept": "*/*",
    }
    path = documents_path(config)

    def run() -> None:
        for line in lines:
            record = orjson.loads(line)["record"]
            stream, data = record["stream"], record["data"]
            text = orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()
            body = orjson.dumps(payload(stream, data, text, record["emitted_at"]))
            id_ = f"{stream}-{data['id']}"
            answer = pool.request("POST", f"{path}/{id_}", body=body, headers=headers)
            if answer.status != 200 or not orjson.loads(answer.data)["document"]["hash"]:
                raise RuntimeError(f"{id_} was not stored")

    return run


def usual_requests(config: dict[str, str], lines: list[bytes]) -> Callable[[], None]:
    """Return the loop that one would write first."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {config['api_key']}"
    url = config["base_url"] + documents_path(config)

    def run() -> None:
        for line in lines:
            record = json.loads(line)["record"]
            stream, data = record["stream"], record["data"]
            body = payload(stream, data, json.dumps(data, indent=2), record["emitted_at"])
            answer = session.post(f"{url}/{stream}-{data['id']}", json=body, timeout=120)
            answer.raise_for_status()
            answer.json()

    return run


def payload(stream: str, data: dict[str, Any], text: str, emitted_at_ms: int) -> dict[str, Any]:
    """Return Dust's upsert body."""
    return {
        "title": f"{stream} {data['id']}",
        "mime_type": "application/json",
        "text": text,
        "source_url": "",
        "tags": [f"airbyte:stream:{stream}"],
        "timestamp": emitted_at_ms,
        "light_document_output": True,
        "async": False,
    }


# Whole processes.


def whole_processes(config: dict[str, str]) -> Iterator[Row]:
    """Measure programs from start to end; what FEW records cost is taken off what MANY do."""
    users = [json.loads(line)["record"]["data"] for line in record_lines() if b'"users"' in line]
    settings = {**config, "documents_url": config["base_url"] + documents_path(config)}
    with tempfile.TemporaryDirectory() as folder:
        config_path, catalog_path = Path(folder) / "config.json", Path(folder) / "catalog.json"
        config_path.write_text(json.dumps(settings), encoding="utf-8")
        catalog_path.write_text(json.dumps(CATALOG), encoding="utf-8")
        files = ["--config", str(config_path)]
        bench = ROOT / "benchmarks"
        programs: dict[str, tuple[list[str], Callable[[int], bytes]]] = {
            "connector, process": (
                [sys.executable, str(ROOT / "main.py"), "write", *files]
                + ["--catalog", str(catalog_path)],
                lambda count: b"".join(airbyte_line(data) for data in repeated(users, count)),
            ),
            "singer-sdk target": (
                [python_of("singer"), str(bench / "singer_target.py"), *files],
                lambda count: lines_of(
                    itertools.chain(
                        [singer_schema()],
                        (singer_record(data) for data in repeated(users, count)),
                    )
                ),
            ),
            "dlt destination": (
                [python_of("dlt"), str(bench / "dlt_destination.py"), str(config_path)],
                lambda count: lines_of(repeated(users, count)),
            ),
        }
        for name, (command, stdin) in programs.items():
            few, many = (run_process(command, stdin(count)) for count in (FEW, MANY))
            more = MANY - FEW
            yield Row(
                name,
                (many.cpu_s - few.cpu_s) / more * 1e6,
                more / (many.wall_s - few.wall_s),
                many.peak_mib,
            )


@dataclass(frozen=True)
class Cost:
    """What a process cost."""

    cpu_s: float
    wall_s: float
    peak_mib: float


def run_process(command: list[str], stdin: bytes) -> Cost:
    """Run a program on its input and return what it cost, with its children."""
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    probe = [sys.executable, "-S", "-c", _PROBE, *command]
    done = subprocess.run(probe, input=stdin, capture_output=True, env=environment(), check=False)
    wall_s = time.perf_counter() - began_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu_s, wall_s, int(done.stderr.splitlines()[-1]) / 1024)


# A small process between this one and the program, since a child's peak begins with its parent's.
_PROBE = """
import os, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
import resource
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def environment() -> dict[str, str]:
    """Return the environment for programs: none of them calls home."""
    return connector_environment(RUNTIME__DLTHUB_TELEMETRY="false", DO_NOT_TRACK="1")


def python_of(environment_name: str) -> str:
    """Return the interpreter of one of the benchmark's own environments."""
    return str(ROOT / f".venv-{environment_name}" / "bin" / "python")


# Records, in the forms that the programs read.


def record_lines() -> list[bytes]:
    """Return the RECORD lines of the sample."""
    lines = FAKER_MESSAGES.read_bytes().splitlines(keepends=True)
    return [line for line in lines if b'"type":"RECORD"' in line]


def repeated(users: list[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    """Yield this many users, each with an id of its own."""
    for id_, user in enumerate(itertools.islice(itertools.cycle(users), count)):
        yield {**user, "id": id_}


def lines_of(messages: Iterator[dict[str, Any]]) -> bytes:
    """Return the messages as lines of JSON."""
    return b"".join(orjson.dumps(message) + b"\n" for message in messages)


def airbyte_line(data: dict[str, Any]) -> bytes:
    """Return the RECORD of a user."""
    return record("users", orjson.dumps(data).decode()) + b"\n"


def singer_schema() -> dict[str, Any]:
    """Return the SCHEMA message that a Singer stream begins with."""
    (schema,) = (
        each["stream"]["json_schema"]
        for each in CATALOG["streams"]
        if each["stream"]["name"] == "users"
    )
    return {"type": "SCHEMA", "stream": "users", "schema": schema, "key_properties": ["id"]}


def singer_record(data: dict[str, Any]) -> dict[str, Any]:
    """Return the RECORD of a user as Singer has it."""
    return {"type": "RECORD", "stream": "users", "record": data}


# The server, and the table.


@contextmanager
def local_dust(*options: str) -> Iterator[dict[str, str]]:
    """Serve a local Dust without a limit from a process of its own, and yield its settings."""
    command = [sys.executable, "-m", "integration_tests.local_dust", "--port", "0"]
    command += ["--upserts", str(10**9), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            process.stdout.readline()
            yield json.loads(b"".join(process.stdout.readline() for _ in range(7)))
        finally:
            process.terminate()


def documents_path(config: dict[str, str]) -> str:
    """Return the path of the documents, as the local Dust serves it."""
    return (
        f"/api/v1/w/{config['workspace_id']}/spaces/{config['space_id']}"
        f"/data_sources/{config['data_source_id']}/documents"
    )


def print_table(rows: list[Row]) -> None:
    """Print a table that can be pasted into an issue."""
    cpu_us = {row.name: row.cpu_us for row in rows}
    packages = [f"{name} {version(name)}" for name in ("airbyte-cdk", "requests")]
    pins = [
        (ROOT / "benchmarks" / f"requirements-{name}.txt").read_text(encoding="utf-8").split()[0]
        for name in ("singer", "dlt")
    ]
    versions = ", ".join(packages + [pin.replace("==", " ") for pin in pins])
    print(f"{date.today()}, Python {platform.python_version()}, {versions}\n")
    print(
        "| | CPU per record | of bare urllib3 | the connector's, of it | records per s "
        "| peak memory |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        is_process = row.peak_mib is not None
        own_us = cpu_us["connector, process" if is_process else "connector"]
        peak = f"{row.peak_mib:.0f} MiB" if is_process else ""
        print(
            f"| {row.name} | {row.cpu_us:.0f} µs | {row.cpu_us / cpu_us['bare urllib3']:.2f} "
            f"| {own_us / row.cpu_us:.2f} | {row.records_per_s:.0f} | {peak} |"
        )


if __name__ == "__main__":
    main()
