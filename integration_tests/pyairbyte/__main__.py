"""Have PyAirbyte sync source-faker into a local Dust, and compare what was sent and stored.

    make test-pyairbyte

PyAirbyte and both connectors run in environments of their own, without a network. Exits with 1 when
a record is missing in Dust or a STATE did not come back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from integration_tests.connector import ROOT, environment
from integration_tests.local_dust import LocalDust, Options

_PROGRAMS = {
    "pyairbyte": "python",
    "source-faker": "source-faker",
    "destination": "destination-dust",
}


def main() -> None:
    """Run `faker_to_dust.py`, then compare Dust with what it says it sent."""
    python, *connectors = (
        str(ROOT / f".venv-{name}" / "bin" / program) for name, program in _PROGRAMS.items()
    )
    script = str(Path(__file__).parent / "faker_to_dust.py")
    with LocalDust(Options(upserts_per_window=10**9)) as dust, tempfile.TemporaryDirectory() as tmp:
        done = subprocess.run(
            [python, "-W", "ignore", script, *connectors, json.dumps(dust.config)],
            stdout=subprocess.PIPE,
            cwd=tmp,
            env=environment(AIRBYTE_LOGGING_ROOT=tmp),
            check=False,
        )
        if done.returncode != 0:
            sys.exit(f"PyAirbyte ended with {done.returncode}.")
        said = json.loads(done.stdout.splitlines()[-1])
        _compare(dust, said["sent"], said["states"])


def _compare(dust: LocalDust, sent: dict[str, list[int]], states: list[str]) -> None:
    stored = Counter(
        (document["tags"][0], json.loads(document["text"])["id"])
        for document in dust.documents.values()
    )
    expected = Counter((f"airbyte:stream:{stream}", id_) for stream in sent for id_ in sent[stream])
    for stream, ids in sent.items():
        print(f"{stream}: {len(ids)} records sent")
    if not expected or stored != expected:
        sys.exit(f"FAILED: {stored.total()} documents in Dust, {expected.total()} records sent.")
    if states != sorted(sent):
        sys.exit(f"FAILED: only of {states} did a STATE come back.")
    print(f"All {stored.total()} records are in Dust, and the states of all streams came back.")


if __name__ == "__main__":
    main()
