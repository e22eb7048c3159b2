"""Have PyAirbyte sync into a local Dust, and compare what was sent and stored.

    make test-pyairbyte

From source-faker it appends, replaces twice, the second time with fewer records, and appends again.
From a source whose records never change it syncs twice, the second time with hardly an upsert: as
the source sends them, and from PyAirbyte's cache, which adds fields and leaves out namespaces.
PyAirbyte and the connectors run in environments of their own, without a network. Exits with 1 when
Dust does not hold what it should after a sync, when a STATE did not come back, or when PyAirbyte
shows a traceback.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from integration_tests.connector import ROOT, environment
from integration_tests.local_dust import UNLIMITED, LocalDust, Options

MOST_UPSERTS_WHEN_UNCHANGED = 110

_FOLDER = Path(__file__).parent
_UNLIMITED = Options(upserts_per_window=UNLIMITED)
_STATIC = {
    "name": "source-static",
    # PyAirbyte takes an empty one for a missing one.
    "config": {"unused": True},
    "local_executable": str(_FOLDER / "static_source.py"),
}

Records = set[tuple[str, int]]
"""The tag of its stream and the id of each record."""


def main() -> None:
    """Run `source_to_dust.py` for each sync, then compare Dust with what it says it sent."""
    with LocalDust(_UNLIMITED) as dust, tempfile.TemporaryDirectory() as folder:
        first = _sync(dust, folder, "APPEND", _faker(users=2000))
        _compare(dust, first)
        _compare(dust, _sync(dust, folder, "REPLACE", _faker(users=2000)))
        fewer = _sync(dust, folder, "REPLACE", _faker(users=500))
        assert fewer < first
        _compare(dust, fewer)
        _compare(dust, fewer | _sync(dust, folder, "APPEND", _faker(users=1000)))
    for cache in ("no cache", "cache"):
        _sync_unchanged(cache)


def _sync_unchanged(cache: str) -> None:
    with LocalDust(_UNLIMITED) as dust, tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            dust.requests.clear()
            _compare(dust, _sync(dust, folder, "AUTO", _STATIC, cache))
    upserts = sum(request.method == "POST" for request in dust.requests)
    print(f"  {upserts} upserts, as the records had not changed")
    if upserts > MOST_UPSERTS_WHEN_UNCHANGED:
        sys.exit("FAILED: unchanged records were sent again.")


def _faker(*, users: int) -> dict[str, Any]:
    """Return what `airbyte.get_source` takes: with its seed the source makes up the same users."""
    return {
        "name": "source-faker",
        "config": {"count": users, "seed": 1},
        "local_executable": _program("source-faker", "source-faker"),
    }


def _program(environment_name: str, name: str) -> str:
    return str(ROOT / f".venv-{environment_name}" / "bin" / name)


def _sync(
    dust: LocalDust, folder: str, strategy: str, source: dict[str, Any], cache: str = "no cache"
) -> Records:
    """Return what the source sent in a sync with this write strategy, run in the folder."""
    command = [_program("pyairbyte", "python"), "-W", "ignore", str(_FOLDER / "source_to_dust.py")]
    destination = _program("destination", "destination-dust")
    arguments = [json.dumps(source), destination, json.dumps(dust.config), strategy, cache]
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        cwd=folder,
        env=environment(AIRBYTE_LOGGING_ROOT=folder),
        check=False,
    )
    if done.returncode != 0 or b"Traceback" in done.stderr:
        sys.exit(f"{done.stderr.decode()}\nFAILED: PyAirbyte ended with {done.returncode}.")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if said["states"] != sorted(said["sent"]):
        sys.exit(f"FAILED: STATE messages came back for {said['states']} only.")
    sent = {
        (f"airbyte:stream:{stream}", id_) for stream, ids in said["sent"].items() for id_ in ids
    }
    name = source["name"]
    print(f"{strategy} from {name}, {cache}: {len(sent)} records sent, all states came back")
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
