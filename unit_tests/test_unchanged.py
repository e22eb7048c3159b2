"""When Dust's list is read, and which records are not sent because of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from destination_dust.client import Page, Stored
from destination_dust.document import Document
from destination_dust.errors import DustUnavailableError
from destination_dust.fingerprint import document_hash, stored_timestamp_ms
from destination_dust.stream import Stream
from destination_dust.unchanged import (
    PAGE_DOCUMENTS,
    SHORT_SYNC_UPSERTS,
    KnownDocuments,
)
from unit_tests.builders import EMITTED_AT_MS, EVENTS, USERS, document_of
from unit_tests.clock import Clock

YESTERDAY_MS = EMITTED_AT_MS - 86_400_000
NOW_MS = EMITTED_AT_MS + 1


class Dust:
    """A DustClient without HTTP, whose answers take time on the test's clock.

    `refusals` says how often the next upserts are rate-limited, each for a wait of 10 s.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.upsert_s = self.list_s = 0.1
        self.listed: list[dict[str, Any]] = []
        self.upserts: list[Document] = []
        self.offsets: list[int] = []
        self.refusals: list[int] = []
        self.hash_of: Callable[[Document, int], str | None] = document_hash
        self.list_fails = False

    def upsert_document(
        self, document: Document, *, is_needless: Callable[[], bool]
    ) -> Stored | None:
        for _ in range(self.refusals.pop(0) if self.refusals else 0):
            if is_needless():
                return None
            self.clock.now_s += 10
        self.clock.now_s += self.upsert_s
        self.upserts.append(document)
        sent_ms = document.timestamp_ms
        timestamp_ms = NOW_MS if sent_ms is None else stored_timestamp_ms(sent_ms)
        return Stored(hash=self.hash_of(document, timestamp_ms), created_ms=None)

    def list_documents(self, *, limit: int, offset: int, streams: Sequence[Stream]) -> Page:
        assert limit == PAGE_DOCUMENTS
        assert USERS in streams
        self.offsets.append(offset)
        assert len(self.offsets) <= 250, "it reads on and on"
        self.clock.now_s += self.list_s
        if self.list_fails:
            raise DustUnavailableError("Could not list.")
        return Page(self.listed[offset : offset + limit], date_ms=None)

    def has(self, *documents: Document) -> None:
        """Let Dust have had the documents since yesterday."""
        for document in documents:
            self.listed.append(
                {
                    "document_id": document.id,
                    "title": document.title,
                    "tags": [*document.stream.tags, f"title:{document.title}"],
                    "source_url": None,
                    "mime_type": "application/json",
                    "parents": [document.id],
                    "timestamp": YESTERDAY_MS,
                    "hash": document_hash(document, YESTERDAY_MS),
                }
            )


@pytest.fixture
def dust(clock: Clock) -> Dust:
    return Dust(clock)


@pytest.fixture
def known(dust: Dust, clock: Clock) -> KnownDocuments:
    return KnownDocuments(dust, [USERS, EVENTS], clock=clock)  # type: ignore[arg-type]


def user(id_: int, **data: object) -> Document:
    return document_of(USERS, {"id": str(id_), **data})


def users(ids: range) -> list[Document]:
    return [user(id_) for id_ in ids]


def make_long(known: KnownDocuments) -> None:
    """Upsert as many documents as a short sync has; Dust has none of them."""
    for id_ in range(SHORT_SYNC_UPSERTS):
        assert known.upsert(user(-1 - id_)) is not None


def test_a_short_sync_sends_each_record_and_lists_nothing(
    dust: Dust, known: KnownDocuments
) -> None:
    documents = users(range(SHORT_SYNC_UPSERTS))
    dust.has(*documents)
    assert all(known.upsert(document) for document in documents)
    assert dust.upserts == documents
    assert dust.offsets == []


def test_after_the_hundredth_upsert_what_dust_has_is_not_sent(
    dust: Dust, known: KnownDocuments
) -> None:
    dust.has(user(1), user(2))
    make_long(known)
    assert known.upsert(user(1)) is None
    assert known.upsert(user(2, name="new")) is not None
    assert known.upsert(user(3)) is not None
    assert dust.upserts[SHORT_SYNC_UPSERTS:] == [user(2, name="new"), user(3)]
    assert dust.offsets == [0]


def test_an_upsert_that_is_rate_limited_is_looked_at_again_before_it_waits(
    dust: Dust, known: KnownDocuments, clock: Clock
) -> None:
    dust.has(user(1), user(2))
    dust.refusals = [1]
    before_s = clock()
    assert known.upsert(user(1)) is None
    assert clock() == before_s + dust.list_s
    assert known.upsert(user(2)) is None
    assert dust.upserts == []


def test_an_upsert_that_is_rate_limited_and_not_known_is_sent(
    dust: Dust, known: KnownDocuments
) -> None:
    dust.refusals = [2]
    assert known.upsert(user(1)) is not None
    assert dust.upserts == [user(1)]
    assert dust.offsets == [0]


def test_another_stream_or_namespace_is_not_taken_for_a_configured_one(
    dust: Dust, known: KnownDocuments
) -> None:
    ghost = document_of(Stream("ghosts"), {"id": 1})
    dust.has(ghost, document_of(replace(USERS, namespace="eu"), {"id": "1"}))
    dust.listed.append({**dust.listed[0], "document_id": "by-hand", "tags": []})
    make_long(known)
    assert known.upsert(user(1)) is not None
    assert known.upsert(ghost) is not None


# How much of the list is read


def test_pages_are_read_as_long_as_that_takes_less_time_than_the_upserts(
    dust: Dust, known: KnownDocuments
) -> None:
    """A hundred upserts took 10 s, a page takes 3 s: four pages, then one for 30 upserts."""
    dust.list_s = 3.0
    dust.has(*users(range(10 * PAGE_DOCUMENTS)))
    make_long(known)
    for number in range(60):
        assert known.upsert(user(-1000 - number)) is not None
    assert [offset // PAGE_DOCUMENTS for offset in dust.offsets] == [0, 1, 2, 3, 4, 5]


def test_the_first_page_is_read_however_little_time_the_upserts_took(
    dust: Dust, known: KnownDocuments
) -> None:
    dust.upsert_s, dust.list_s = 0.0, 5.0
    dust.has(*users(range(2 * PAGE_DOCUMENTS)))
    make_long(known)
    assert known.upsert(user(1)) is None
    assert known.upsert(user(PAGE_DOCUMENTS)) is not None
    assert dust.offsets == [0]


def test_waiting_for_the_rate_limit_is_time_to_read_on(dust: Dust, known: KnownDocuments) -> None:
    """Also that of the upsert which is waiting."""
    dust.upsert_s, dust.list_s, dust.refusals = 0.0, 4.0, [4]
    dust.has(*users(range(10 * PAGE_DOCUMENTS)))
    assert known.upsert(user(-1)) is not None
    # 30 s of waits before the last look, and 4 s a page.
    assert len(dust.offsets) == 8


def test_a_record_that_is_known_by_now_needs_no_further_page(
    dust: Dust, known: KnownDocuments
) -> None:
    dust.has(*users(range(3 * PAGE_DOCUMENTS)))
    make_long(known)
    assert known.upsert(user(5)) is None
    assert dust.offsets == [0]
    assert known.upsert(user(PAGE_DOCUMENTS + 5)) is None
    assert dust.offsets == [0, PAGE_DOCUMENTS]


def test_a_list_that_was_read_to_its_end_is_not_read_again(
    dust: Dust, known: KnownDocuments
) -> None:
    dust.has(*users(range(PAGE_DOCUMENTS + 1)))
    make_long(known)
    for _ in range(3):
        assert known.upsert(user(-1000)) is not None
    assert dust.offsets == [0, PAGE_DOCUMENTS]


def test_of_a_list_without_end_a_part_is_read(dust: Dust, known: KnownDocuments) -> None:
    """It has more than 500,000 documents, or repeats its pages."""

    class Endless(list[dict[str, Any]]):
        def __getitem__(self, page: Any) -> Any:
            return [{"document_id": "x", "tags": []}] * PAGE_DOCUMENTS

    dust.listed, dust.list_s = Endless(), 0.0
    make_long(known)
    assert known.upsert(user(1)) is not None
    assert dust.offsets == list(range(0, 500_000, 2000))


# What this sync has written


def test_what_the_sync_wrote_is_no_longer_known_from_the_list(
    dust: Dust, known: KnownDocuments
) -> None:
    """A, B, A ends as A."""
    dust.has(user(1, v="A"))
    make_long(known)
    assert known.upsert(user(1, v="A")) is None
    assert known.upsert(user(1, v="B")) is not None
    assert known.upsert(user(1, v="A")) is not None


def test_what_the_sync_deleted_is_stored_when_it_comes_back(
    dust: Dust, known: KnownDocuments
) -> None:
    dust.has(user(1))
    make_long(known)
    assert known.upsert(user(1)) is None
    known.forget(user(1))
    assert known.upsert(user(1)) is not None


@pytest.mark.parametrize("is_deleted", [True, False])
def test_what_was_written_before_the_list_was_read_is_not_taken_from_it(
    dust: Dust, known: KnownDocuments, is_deleted: bool
) -> None:
    """The list may not show yet what has just been written."""
    dust.has(user(1))
    if is_deleted:
        known.forget(user(1))
    else:
        known.upsert(user(1, v="B"))
    make_long(known)
    assert known.upsert(user(1)) is not None


# Evidence


@pytest.mark.parametrize("hash_", ["0" * 64, "", None])
def test_where_dust_hashes_in_another_way_all_is_sent_and_nothing_listed(
    dust: Dust, known: KnownDocuments, caplog: pytest.LogCaptureFixture, hash_: str | None
) -> None:
    dust.has(user(1))
    dust.hash_of = lambda _document, _timestamp_ms: hash_
    make_long(known)
    with caplog.at_level(logging.INFO, "airbyte"):
        for _ in range(3):
            assert known.upsert(user(1)) is not None
    assert dust.offsets == []
    assert [text for text in caplog.messages if "hashes" in text] == [
        "Dust computes document hashes in a way that this version of the connector does not know. "
        "Unchanged records are sent as well."
    ]


def test_one_hash_as_expected_is_enough(dust: Dust, known: KnownDocuments) -> None:
    """Another may differ: someone set the document's parents, or it has a hidden tag."""
    dust.has(user(1))
    dust.hash_of = lambda document, ms: (
        "0" if len(dust.upserts) != 50 else document_hash(document, ms)
    )
    make_long(known)
    assert known.upsert(user(1)) is None


def test_records_without_a_timestamp_are_no_evidence(dust: Dust, known: KnownDocuments) -> None:
    """Dust takes its own time for them, which is not known here."""
    dust.has(user(1))
    for id_ in range(SHORT_SYNC_UPSERTS):
        assert known.upsert(document_of(USERS, {"id": str(-1 - id_)}, emitted_at_ms=0)) is not None
    assert known.upsert(user(1)) is None


def test_timestamps_in_seconds_are_evidence_as_dust_stores_them(
    dust: Dust, known: KnownDocuments
) -> None:
    dust.has(user(1))
    for id_ in range(SHORT_SYNC_UPSERTS):
        assert known.upsert(document_of(USERS, {"id": str(-1 - id_)}, 1736365559)) is not None
    assert known.upsert(user(1)) is None


def test_a_list_that_fails_does_not_fail_the_sync(
    dust: Dust, known: KnownDocuments, caplog: pytest.LogCaptureFixture
) -> None:
    dust.has(user(1))
    dust.list_fails = True
    make_long(known)
    for _ in range(3):
        assert known.upsert(user(1)) is not None
    assert dust.offsets == [0]
    assert caplog.messages == ["Could not list. Unchanged records are sent as well."]
