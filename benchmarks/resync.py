"""Measure what a sync costs of records that Dust has already, and compare with what is promised.

    python -m benchmarks.resync

Prints a table of syncs into a local Dust in virtual time, in which an upsert takes as long as the
table says and a page of the list a second, and how much memory remembering the list takes. Exits
with 1 when a promise is missed.
"""

from __future__ import annotations

import logging
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from destination_dust.document import Document
from destination_dust.stream import Stream
from destination_dust.writer import MOST_LISTED, SHORT_SYNC_UPSERTS, Writer
from integration_tests.connector import USERS as CATALOG
from integration_tests.connector import record
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import UNLIMITED, LocalDust, Options, SeenRequest
from integration_tests.local_dust.store import DustStore
from unit_tests.builders import USERS, document_of
from unit_tests.clock import Clock

LIMIT = 120
LIST_S = 1.0

MIB = 2**20
MOST_MIB_FOR_100_000 = 40


@dataclass(frozen=True)
class Case:
    """A sync of so many records, some of them changed, and what it may cost at most."""

    records: int
    changed: int
    upsert_s: float
    limit: int = LIMIT
    most_upserts: float = float("inf")
    most_lists: float = float("inf")
    most_s: float = float("inf")
    most_cpu_s: float = float("inf")


CASES = (
    Case(100, 1, upsert_s=0.1),
    Case(3_000, 8, upsert_s=0.1, most_upserts=140, most_lists=6, most_s=100),
    Case(3_000, 30, upsert_s=0.1),
    Case(10_000, 100, upsert_s=0.1),
    Case(50_000, 8, upsert_s=0.1),
    Case(50_000, 500, upsert_s=0.1),
    Case(600, 0, upsert_s=0.2, limit=UNLIMITED, most_upserts=110),
    Case(50_000, 0, upsert_s=0.1, most_cpu_s=60),
)


@dataclass(frozen=True)
class Cost:
    """What a sync took: requests, seconds on the virtual clock, CPU of the connector alone.

    Upserts that were rate-limited count, too.
    """

    upserts: int
    lists: int
    seconds: float
    cpu_s: float


def main() -> None:
    """Print both tables."""
    logging.disable()
    missed = [*print_syncs(), *print_memory()]
    if missed:
        sys.exit("\n".join(missed))


def print_syncs() -> Iterator[str]:
    """Print a line for each case, and yield each promise that was missed."""
    print(
        "| records | changed | an upsert takes | limit a minute | upserts | lists | time "
        "| if all are sent, at best | CPU for each record |"
    )
    print("| ---: " * 9 + "|")
    for case in CASES:
        cost = cost_of(case)
        limit = "none" if case.limit == UNLIMITED else str(case.limit)
        at_best_s = case.records * max(case.upsert_s, 60 / case.limit)
        print(
            f"| {case.records:,} | {case.changed} | {case.upsert_s:g} s | {limit} "
            f"| {cost.upserts} | {cost.lists} | {duration(cost.seconds)} "
            f"| {duration(at_best_s)} | {cost.cpu_s / case.records * 1e6:.0f} µs |"
        )
        for what, measured, most in (
            ("upserts", cost.upserts, case.most_upserts),
            ("lists", cost.lists, case.most_lists),
            ("seconds", cost.seconds, case.most_s),
            ("seconds of CPU", cost.cpu_s, case.most_cpu_s),
        ):
            if measured > most:
                yield f"{case}: {measured:g} {what}"


def cost_of(case: Case) -> Cost:
    """Run the sync into a local Dust that has all of its records, some of them as they were."""
    clock = Clock()
    dust = LocalDust()
    dust.store = DustStore(Options(upserts_per_window=case.limit), clock)
    changed = set(range(0, case.records, case.records // case.changed)) if case.changed else set()
    for id_ in range(case.records):
        stored = document_of(USERS, user(id_, "old" if id_ in changed else "new"))
        dust.put(stored.id, **stored.payload())

    def take_time(request: SeenRequest) -> None:
        clock.now_s += case.upsert_s if request.method == "POST" else LIST_S

    dust.faults = take_time
    lines = (record("users", user(id_, "new")) for id_ in range(case.records))
    with dust:
        began_s, began_cpu_s = clock(), time.thread_time()
        done = sync(dust.config, CATALOG, lines, clock=clock, sleep=clock.sleep)
        cpu_s = time.thread_time() - began_cpu_s
    if done.error:
        raise done.error
    methods = Counter(request.method for request in dust.requests)
    return Cost(methods["POST"], methods["GET"], clock() - began_s, cpu_s)


def user(id_: int, status: str) -> dict[str, object]:
    """Return a record of about 0.4 KB."""
    return {"id": id_, "name": f"User {id_}", "status": status, "note": "x" * 300}


class ListOfAny:
    """A client of a Dust with so many documents, whose pages take no time and upserts a second."""

    def __init__(self, documents: int, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    def list_documents(
        self, *, limit: int, offset: int, streams: Sequence[Stream]
    ) -> list[dict[str, object]]:
        """Return a page."""
        numbers = range(offset, min(offset + limit, self._documents))
        return [listed(streams[0], number) for number in numbers]

    def upsert_document(self, _document: Document, *, waits: bool = True) -> bool:
        """Take the document for stored."""
        self._clock.now_s += 1
        return True


def listed(stream: Stream, number: int) -> dict[str, object]:
    """Return a document as Dust's list shows it."""
    id_ = f"{stream.name}-{number}"
    return {
        "document_id": id_,
        "title": id_,
        "tags": [*stream.tags, f"title:{id_}"],
        "source_url": None,
        "mime_type": "application/json",
        "parents": [id_],
        "timestamp": 1736365559000,
        "hash": f"{number:064x}",
    }


def print_memory() -> Iterator[str]:
    """Print what lists of several lengths take, and yield each promise that was missed."""
    mib = {
        number: remembered_mib(number) for number in (100_000, MOST_LISTED, MOST_LISTED + 100_000)
    }
    print("\n| documents listed | memory |")
    print("| ---: | ---: |")
    for number, one in mib.items():
        print(f"| {number:,} | {one:.1f} MiB |")
    if mib[100_000] > MOST_MIB_FOR_100_000:
        yield f"100,000 documents: {mib[100_000]:.1f} MiB"
    if mib[MOST_LISTED + 100_000] > mib[MOST_LISTED] * 1.01:
        yield f"more than {MOST_LISTED:,} documents are remembered"


def remembered_mib(documents: int) -> float:
    """Return the memory that a sync keeps once it has read a list of so many documents."""
    clock = Clock()
    client = ListOfAny(documents, clock)
    tracemalloc.start()
    writer = Writer(client, [USERS], clock=clock)  # type: ignore[arg-type]
    for number in range(SHORT_SYNC_UPSERTS + 1):
        writer.write(document_of(USERS, {"id": f"new {number}"}))
    bytes_, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return bytes_ / MIB


def duration(seconds: float) -> str:
    """Return a time as a table shows it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
