"""Measure what it takes to delete the stale documents of a stream that is being replaced.

    python -m benchmarks.sweep

The sync brings every second record that a local Dust has, unchanged, and deletes the others.
Prints, for few and for many, the connector's peak memory, how often it upserted and listed
documents, and its time per delete beside that of a bare urllib3 loop that knows what to delete.
Both look at each document right before they delete it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import urllib3

from integration_tests import connector
from integration_tests.connector import (
    ROOT,
    catalog,
    record,
    stream,
    stream_state,
    stream_status,
)
from integration_tests.local_dust import UNLIMITED, LocalDust, Options, SeenRequest
from unit_tests.builders import USERS, document_of

CATALOG = catalog({**stream("users", "id", mode="overwrite"), "sync_mode": "full_refresh"})
HOUR_MS = 3_600_000


def main() -> None:
    """Print the table, or be the bare loop when arguments say where."""
    if len(sys.argv) > 1:
        bare_loop(*sys.argv[1:])
        return
    print("documents  stale   upserts  lists  peak memory  per delete  bare loop  ratio")
    for documents in (1_000, 100_000):
        with LocalDust(Options(upserts_per_window=UNLIMITED)) as dust:
            fill(dust, documents)
            peak_mib, sweep_s = swept(dust, documents)
            upserts = sum(request.method == "POST" for request in dust.requests)
            lists = sum("?limit=2000" in request.path for request in dust.requests)
            fill(dust, documents)
            bare_s = timed_bare_loop(dust, documents)
        each_us, bare_us = (seconds / documents * 2e6 for seconds in (sweep_s, bare_s))
        print(
            f"{documents:9,}  {documents // 2:6,}  {upserts:7,}  {lists:5}  "
            f"{peak_mib:7.1f} MiB  {each_us:7.0f} µs  {bare_us:6.0f} µs  {each_us / bare_us:5.2f}"
        )


def fill(dust: LocalDust, documents: int) -> None:
    """Let the Dust have documents that were written an hour ago."""
    for number in range(documents):
        document = document_of(USERS, {"id": number})
        dust.put(document.id, **document.payload())
        dust.documents[document.id]["created"] -= HOUR_MS


def swept(dust: LocalDust, documents: int) -> tuple[float, float]:
    """Return the connector's peak memory in MiB, and the seconds from its first delete on."""
    peak = b""
    deletes_s: list[float] = []

    def note_delete(request: SeenRequest) -> None:
        if request.method == "DELETE":
            deletes_s.append(time.monotonic())

    dust.faults = note_delete
    with connector.writing(dust.config, CATALOG) as process:
        assert process.stdin
        for number in range(1, documents, 2):
            process.stdin.write(record("users", {"id": number}) + b"\n")
        process.stdin.write(stream_state({"cursor": 1}) + b"\n" + stream_status() + b"\n")
        process.stdin.close()
        while process.poll() is None:
            # Unlike what wait4 tells, this begins with the connector's own program.
            status = Path(f"/proc/{process.pid}/status").read_bytes()
            peak = (re.findall(rb"^VmHWM:\s+(\d+) kB$", status, flags=re.MULTILINE) or [peak])[0]
            time.sleep(0.02)
        seconds = time.monotonic() - deletes_s[0]
        assert process.returncode == 0
    assert len(deletes_s) == len(dust.documents) == documents // 2
    return int(peak) / 1024, seconds


def timed_bare_loop(dust: LocalDust, documents: int) -> float:
    """Return the seconds that the bare loop takes."""
    command = [sys.executable, "-m", "benchmarks.sweep", dust.config["base_url"], str(documents)]
    done = subprocess.run(
        [*command, dust.config["api_key"]], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def bare_loop(base_url: str, documents: str, api_key: str) -> None:
    """Look at each second document and delete it, and print the seconds it took."""
    pool = urllib3.connection_from_url(base_url)
    config = LocalDust().config
    path = (
        f"/api/v1/w/{config['workspace_id']}/spaces/{config['space_id']}"
        f"/data_sources/{config['data_source_id']}/documents"
    )
    headers = {"Authorization": f"Bearer {api_key}"}
    began_s = time.monotonic()
    for number in range(0, int(documents), 2):
        look = pool.request("GET", f"{path}?document_ids=users-{number}&limit=1", headers=headers)
        assert len(json.loads(look.data)["documents"]) == 1
        done = pool.request("DELETE", f"{path}/users-{number}", headers=headers)
        assert done.status == 200
    print(time.monotonic() - began_s)


if __name__ == "__main__":
    main()
