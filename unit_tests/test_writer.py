"""How much of Dust's list a sync reads, what it remembers of it, and what it compares.

What is sent because of it is in integration_tests/test_unchanged.py.
"""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from destination_dust.document import Document
from destination_dust.stream import Stream
from destination_dust.writer import (
    PAGE_DOCUMENTS,
    SHORT_SYNC_UPSERTS,
    Outcome,
    Writer,
    document_hash,
)
from unit_tests.builders import USERS, document_of
from unit_tests.clock import Clock

NUMBERS = itertools.count()


class Dust:
    """A DustClient without HTTP, whose responses take time on the test's clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.upsert_s = self.list_s = 0.125
        self.rate_limit_wait_s = 0.0
        self.listed: Sequence[dict[str, Any]] = []
        self.pages: list[int] = []

    def upsert_document(self, _document: Document, *, waits: bool = True) -> bool:
        if self.rate_limit_wait_s and not waits:
            return False
        self.clock.now_s += self.rate_limit_wait_s or self.upsert_s
        self.rate_limit_wait_s = 0.0
        return True

    def list_documents(
        self, *, limit: int, offset: int, streams: Sequence[Stream]
    ) -> Sequence[dict[str, Any]]:
        assert streams == [USERS]
        assert len(self.pages) < 250, "it reads on and on"
        self.pages.append(offset // PAGE_DOCUMENTS)
        self.clock.now_s += self.list_s
        return self.listed[offset : offset + limit]


@pytest.fixture
def dust(clock: Clock) -> Dust:
    return Dust(clock)


@pytest.fixture
def writer(dust: Dust, clock: Clock) -> Writer:
    return Writer(dust, [USERS], clock=clock)  # type: ignore[arg-type]


def user(id_: object) -> Document:
    return document_of(USERS, {"id": id_})


def listed(documents: int) -> list[dict[str, Any]]:
    """Return the list of a Dust that has users from 0 on, as an upsert would leave them."""
    return [
        {
            "document_id": f"users-{id_}",
            "title": f"users {id_}",
            "tags": ["airbyte:stream:users", f"title:users {id_}"],
            "source_url": None,
            "mime_type": "application/json",
            "parents": [f"users-{id_}"],
            "timestamp": 5,
            "hash": document_hash(user(id_), 5),
        }
        for id_ in range(documents)
    ]


def upsert_new(writer: Writer, documents: int) -> None:
    for _ in range(documents):
        assert writer.write(user(f"new {next(NUMBERS)}")) is Outcome.UPSERTED


@pytest.mark.parametrize(
    ("page_s", "pages_after_100", "pages_after_200"), [(1.0, 13, 25), (3.0, 5, 9), (60.0, 1, 1)]
)
def test_the_list_is_read_on_while_that_took_less_than_half_of_the_time_so_far(
    dust: Dust, writer: Writer, page_s: float, pages_after_100: int, pages_after_200: int
) -> None:
    """A hundred upserts take 12.5 s. The first page is read whatever it takes."""
    dust.listed, dust.list_s = listed(1) * 30 * PAGE_DOCUMENTS, page_s
    upsert_new(writer, SHORT_SYNC_UPSERTS)
    assert dust.pages == []
    upsert_new(writer, 1)
    assert dust.pages == list(range(pages_after_100))
    upsert_new(writer, 100)
    assert dust.pages == list(range(pages_after_200))


def test_waits_for_the_rate_limit_count_as_time_to_read_on_in(dust: Dust, writer: Writer) -> None:
    dust.listed, dust.list_s, dust.rate_limit_wait_s = listed(1) * 30 * PAGE_DOCUMENTS, 4.0, 30.0
    upsert_new(writer, 1)
    assert dust.pages == [0]
    upsert_new(writer, 1)
    assert len(dust.pages) == 8


def test_no_more_pages_are_read_than_a_record_needs(dust: Dust, writer: Writer) -> None:
    dust.listed = listed(2 * PAGE_DOCUMENTS + 1)
    upsert_new(writer, SHORT_SYNC_UPSERTS)
    for id_, pages in ((5, 1), (6, 1), (PAGE_DOCUMENTS, 2), (0, 2)):
        assert writer.write(user(id_)) is Outcome.UNCHANGED
        assert len(dust.pages) == pages
    upsert_new(writer, 5)
    assert dust.pages == [0, 1, 2]


def test_at_most_500_000_documents_are_listed(dust: Dust, writer: Writer) -> None:
    dust.listed, dust.list_s = [{"document_id": "x", "tags": []}] * 600_000, 0.0
    upsert_new(writer, SHORT_SYNC_UPSERTS + 5)
    assert dust.pages == list(range(250))


def test_the_memory_for_the_list_is_small_and_does_not_grow_once_it_is_read(
    dust: Dust, writer: Writer
) -> None:
    """At most 40 MiB for 100,000 documents, and nothing for those of other streams."""
    other = {"document_id": "teams-1", "tags": ["airbyte:stream:teams"], "timestamp": 5}
    others = [{**other, "document_id": f"teams-{id_}"} for id_ in range(3_000)]
    dust.listed = [*others, *listed(500)]
    upsert_new(writer, SHORT_SYNC_UPSERTS)
    tracemalloc.start()
    bytes_after = {}
    for upserts in (1, 1_000, 5_000):
        upsert_new(writer, upserts)
        bytes_after[upserts], _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert dust.pages == [0, 1]
    assert bytes_after[1] < 500 * 400
    # Python fills its own caches during the first ones.
    assert bytes_after[5_000] < bytes_after[1_000] + 20_000
