"""Sync records of a real source into a local Dust twice, and compare Dust with the source.

    make sync
    make sync KEEP=1

Between the two syncs, some records change and some are deleted from the source. Exits with 1 when a
sync fails, when Dust does not hold exactly what the source holds, when STATE messages do not come
back, or when unchanged records are sent again.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from destination_dust.writer import SHORT_SYNC_UPSERTS
from integration_tests import connector
from integration_tests.connector import Message, Run
from integration_tests.local_dust import UNLIMITED, LocalDust, Options
from integration_tests.local_dust.last_sync import KEEPALIVE_S
from integration_tests.sample.source import (
    CHANGED,
    GONE,
    NEW_EMAIL,
    SHOWN,
    first_day,
    next_day,
    platform_catalog,
    platform_lines,
    records_of,
    states_of,
)

_MOST_NAMED = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m integration_tests.sample", description=__doc__.partition("\n")[0]
    )
    until = "serve on this port until interrupted"
    parser.add_argument("--keep", type=int, metavar="PORT", help=until)
    port: int | None = parser.parse_args().keep
    with ExitStack() as stack:
        try:
            options = Options(upserts_per_window=UNLIMITED)
            dust = stack.enter_context(LocalDust(options, port=port or 0, keepalive_s=KEEPALIVE_S))
        except OSError as error:
            sys.exit(f"{error.strerror}. Is a local Dust running already?")
        _sync_two_days(dust)
        if port is None:
            print("\nRun `make sync KEEP=1` to keep it open and browse the documents.")
        else:
            _wait_for_interrupt(f"{dust.config['base_url']}/")


def _sync_two_days(dust: LocalDust) -> None:
    print(
        f"Started a local Dust on {dust.config['base_url']}.\n"
        "Rate limit off (at Dust's 120 a minute the first sync would take 17 minutes)."
    )
    source = first_day()
    _sync(dust, source, generation=1)
    print(f"\nIn the source, {len(CHANGED)} records are now changed and {len(GONE)} are deleted.")
    changes = _sync(dust, next_day(source), generation=2)
    if changes.unchanged < changes.sent:
        sys.exit("FAILED: records were sent again although they had not changed.")
    print(f"\nThe document {SHOWN}, whose email has changed:\n{dust.documents[SHOWN]['text']}")


def _wait_for_interrupt(url: str) -> None:
    try:
        print(f"\n{url} shows the documents until you press Ctrl-C.")
        print(f"Search for {NEW_EMAIL} there to see the records that changed.", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nStopped.")


@dataclass(frozen=True)
class _Changes:
    """How many documents a sync sent, left as they were, and deleted."""

    sent: int
    unchanged: int
    deleted: int

    def __str__(self) -> str:
        why = f" (a sync always sends its first {SHORT_SYNC_UPSERTS})" if self.unchanged else ""
        return f"{self.sent:,} sent{why}, {self.unchanged:,} unchanged, {self.deleted:,} deleted"


def _sync(dust: LocalDust, source: list[Message], generation: int) -> _Changes:
    """Sync all that the source sends, compare, and return what changed in Dust."""
    print(f"\nSync {generation}, {len(records_of(source)):,} records: ", end="", flush=True)
    before = dict(dust.documents)
    catalog, lines = platform_catalog(generation), platform_lines(source)
    run = connector.write(dust.config, catalog, lines, WORKER_JOB_ATTEMPT="0")
    changes = _changes(before, dust.documents)
    print(f"{changes}.")
    for warning in run.logs("WARN"):
        print(warning)
    if run.exit_code != 0:
        said = [*(error["message"] for error in run.errors), run.stderr.decode().strip()]
        sys.exit("\n".join(["FAILED:", *filter(None, said), f"Exit code {run.exit_code}."]))
    _compare(dust, source, run)
    return changes


def _changes(before: Mapping[str, Message], after: Mapping[str, Message]) -> _Changes:
    # Each upsert gives a document another `created`, even where nothing else changed.
    unchanged = sum(before.get(id_) == document for id_, document in after.items())
    deleted = len(before.keys() - after.keys())
    return _Changes(sent=len(after) - unchanged, unchanged=unchanged, deleted=deleted)


def _compare(dust: LocalDust, source: list[Message], run: Run) -> None:
    records = records_of(source)
    if different := differences(dust.documents, records):
        named = "\n".join(different[:_MOST_NAMED])
        sys.exit(f"FAILED: Dust and the source differ in {len(different):,} records:\n{named}")
    if run.states != states_of(source):
        sys.exit("FAILED: not all STATE messages came back as they were sent.")
    print(
        f"Dust holds what the source holds: all {len(records):,} records were compared.\n"
        f"All {len(run.states)} STATE messages came back."
    )


def differences(documents: Mapping[str, Message], records: Mapping[str, Message]) -> list[str]:
    """Return a line for each document that differs from the source.

    Both mappings have document ids as keys. Only the text of a document is compared.
    """
    missing = [f"{id_} is not in Dust" for id_ in records.keys() - documents.keys()]
    left = [f"{id_} is in Dust but not in the source" for id_ in documents.keys() - records.keys()]
    changed = [
        f"{id_} has different contents in Dust"
        for id_ in documents.keys() & records.keys()
        if json.loads(documents[id_]["text"]) != records[id_]
    ]
    return sorted(missing + left + changed)


if __name__ == "__main__":
    main()
