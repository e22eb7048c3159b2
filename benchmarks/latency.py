"""Measure what a user waits for: the start, a slow Dust, the acknowledgement of a STATE.

python -m benchmarks.latency
"""

from __future__ import annotations

import itertools
import json
import logging
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from benchmarks.bench import (
    CATALOG,
    bare_urllib3,
    connector,
    documents_path,
    environment,
    local_dust,
    payload,
    record_lines,
)
from integration_tests.connector import ROOT, state, writing

STARTS = 7
SLOW_LATENCY_MS = 50
SLOW_CHUNK = 20
SLOW_ROUNDS = 9
STATES = 200


def main() -> None:
    """Print each figure with what it is measured against."""
    logging.disable(logging.INFO)
    spec_s, import_s = starts()
    print(
        f"spec: {spec_s:.2f} s, import airbyte_cdk: {import_s:.2f} s, {spec_s / import_s:.2f} of it"
    )
    connector_ms, bare_ms, socket_ms = slow_dust()
    print(
        f"a record on a Dust that takes {SLOW_LATENCY_MS} ms: {connector_ms:.2f} ms, bare urllib3: "
        f"{bare_ms:.2f} ms, a ready-made request on a socket: {socket_ms:.2f} ms; the connector's "
        f"is {connector_ms / socket_ms:.3f} of the last"
    )
    median_ms, worst_ms = states_on_the_pipe()
    print(
        f"STATE back on the pipe after its RECORD was written: {median_ms:.1f} ms, "
        f"at most {worst_ms:.1f} ms, the upsert between them included"
    )


def starts() -> tuple[float, float]:
    """Return the median times of `spec` and of the bare import of the CDK, taken in turn."""
    spec = [sys.executable, str(ROOT / "main.py"), "spec"]
    bare = [sys.executable, "-c", "import airbyte_cdk"]
    pairs = [(seconds(lambda: run(spec)), seconds(lambda: run(bare))) for _ in range(STARTS)]
    spec_s, import_s = zip(*pairs, strict=True)
    return statistics.median(spec_s), statistics.median(import_s)


def slow_dust() -> list[float]:
    """Return the median times per record, in ms, of the connector, a bare loop and a socket.

    They take turns. The socket's is the latency as it is: a machine that sleeps for 50 ms is slow
    to wake.
    """
    lines = list(itertools.islice(itertools.cycle(record_lines()), SLOW_CHUNK))
    with local_dust("--latency", str(SLOW_LATENCY_MS / 1000)) as config:
        contenders = [make(config, lines) for make in (connector, bare_urllib3, bare_socket)]
        # The first chunk finds the route and opens the connection.
        for run_chunk in contenders:
            run_chunk()
        rounds = [[seconds(run_chunk) for run_chunk in contenders] for _ in range(SLOW_ROUNDS)]
    return [statistics.median(taken) / SLOW_CHUNK * 1000 for taken in zip(*rounds, strict=True)]


def bare_socket(config: dict[str, str], lines: list[bytes]) -> Callable[[], None]:
    """Return a loop that sends a ready-made request for each line, and waits for the answer."""
    url = urlsplit(config["base_url"])
    connection = socket.create_connection((url.hostname, url.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = json.dumps(payload("users", {"id": 1}, "{}", 1736365559000))
    head = (
        f"POST {documents_path(config)}/users-1 HTTP/1.1",
        f"Host: {url.netloc}",
        f"Authorization: Bearer {config['api_key']}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    request = ("\r\n".join(head) + "\r\n\r\n" + body).encode()

    def run() -> None:
        for _ in lines:
            connection.sendall(request)
            if not connection.recv(65536).startswith(b"HTTP/1.1 200 "):
                raise RuntimeError("the document was not stored")

    return run


def states_on_the_pipe() -> tuple[float, float]:
    """Return median and maximum of the time from a RECORD's line to its STATE's, in ms."""
    took_ms = []
    lines = itertools.cycle(record_lines())
    with local_dust() as config, writing(config, CATALOG) as process:
        assert process.stdin
        assert process.stdout
        for number, line in enumerate(itertools.islice(lines, STATES)):
            began_s = time.perf_counter()
            process.stdin.write(line + state(number) + b"\n")
            process.stdin.flush()
            while json.loads(process.stdout.readline())["type"] != "STATE":
                pass
            took_ms.append((time.perf_counter() - began_s) * 1000)
    # The first holds the start of the process.
    return statistics.median(took_ms[1:]), max(took_ms[1:])


def run(command: list[str]) -> None:
    """Run a command to its end."""
    subprocess.run(command, stdout=subprocess.DEVNULL, env=environment(), check=True)


def seconds(work: Callable[[], object]) -> float:
    """Return how long the work takes."""
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


if __name__ == "__main__":
    main()
