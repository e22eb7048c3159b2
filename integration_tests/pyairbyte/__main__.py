"""Have PyAirbyte sync source-faker into a local Dust, and compare what was sent and stored.

    make test-pyairbyte

It appends, replaces twice, the second time with fewer records, and appends again. PyAirbyte and
both connectors run in environments of their own, without a network. Exits with 1 when Dust does not
hold what it should after a sync, or when a STATE did not come back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from integration_tests.connector import ROOT, environment
from integration_tests.local_dust import LocalDust, Options

_PROGRAMS = {
    "pyairbyte": "python",
    "source-faker": "source-faker",
    "destination": "destination-dust",
}

Records = set[tuple[str, int]]
"""The tag of its stream and the id of each record."""


def main() -> None:
    """Run `faker_to_dust.py` for each sync, then compare Dust with what it says it sent."""
    with LocalDust(Options(upserts_per_window=10**9)) as dust:
        first = _sync(dust, "APPEND", users=2000)
        _compare(dust, first)
        _compare(dust, _sync(dust, "REPLACE", users=2000))
        fewer = _sync(dust, "REPLACE", users=500)
        assert fewer < first
        _compare(dust, fewer)
        _compare(dust, fewer | _sync(dust, "APPEND", users=1000))


def _sync(dust: LocalDust, strategy: str, *, users: int) -> Records:
    """Return what the source sent in a sync of so many users with this write strategy."""
    python, *connectors = (
        str(ROOT / f".venv-{name}" / "bin" / program) for name, program in _PROGRAMS.items()
    )
    script = str(Path(__file__).parent / "faker_to_dust.py")
    arguments = [*connectors, json.dumps(dust.config), strategy, str(users)]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [python, "-W", "ignore", script, *arguments],
            stdout=subprocess.PIPE,
            cwd=folder,
            env=environment(AIRBYTE_LOGGING_ROOT=folder),
            check=False,
        )
    if done.returncode != 0:
        sys.exit(f"PyAirbyte ended with {done.returncode}.")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if said["states"] != sorted(said["sent"]):
        sys.exit(f"FAILED: only of {said['states']} did a STATE come back.")
    sent = {
        (f"airbyte:stream:{stream}", id_) for stream, ids in said["sent"].items() for id_ in ids
    }
    print(f"{strategy} of {users} users: {len(sent)} records sent, all states came back")
    return sent


def _compare(dust: LocalDust, expected: Records) -> None:
    documents = dust.documents.values()
    stored = {(document["tags"][0], json.loads(document["text"])["id"]) for document in documents}
    if not expected or stored != expected or len(documents) != len(stored):
        sys.exit(
            f"FAILED: {len(documents)} documents in Dust, {len(expected)} expected: "
            f"{len(expected - stored)} are missing, {len(stored - expected)} too many."
        )
    print(f"  {len(documents)} documents are in Dust, as they should be")


if __name__ == "__main__":
    main()
