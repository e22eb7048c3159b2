"""Measure the connector's peak memory: over many records, and for one large record.

    python -m benchmarks.memory

Prints the peak of the process in MiB after 500 and after 100,000 small records, and for records of
1 KB and 2 MB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from integration_tests.connector import USERS, record, state, writing
from integration_tests.local_dust import LocalDust, Options


def main() -> None:
    """Print the table of peaks."""
    small = {"name": "Ann", "note": "x" * 300}
    for title, records, data in (
        ("500 records of 0.3 KB", 500, small),
        ("100,000 records of 0.3 KB", 100_000, small),
        ("10 records of 1 KB", 10, {"note": "x" * 1_000}),
        ("10 records of 2 MB", 10, {"note": "x" * 2_000_000}),
    ):
        lines = (record("users", {"id": id_, **data}) for id_ in range(records))
        print(f"{title:28} {_peak_mib(lines):7.1f} MiB")


def _peak_mib(lines: Iterable[bytes]) -> float:
    options = Options(upserts_per_window=10**9, max_text_utf16_units=10**9)
    with LocalDust(options) as dust, writing(dust.config, USERS) as process:
        assert process.stdin
        assert process.stdout
        for line in lines:
            process.stdin.write(line + b"\n")
        process.stdin.write(state(1) + b"\n")
        process.stdin.flush()
        while b'"type":"STATE"' not in process.stdout.readline():
            pass
        # Unlike what wait4 tells, this begins with the connector's own program.
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        peak = re.search(r"^VmHWM:\s+(\d+) kB$", status, flags=re.MULTILINE)
        assert peak is not None
        return int(peak[1]) / 1024


if __name__ == "__main__":
    main()
