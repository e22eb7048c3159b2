"""Which documents are deleted as stale, by a list as Dust's: it has no stable order."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from typing import Any

import pytest

from destination_dust.client import Page
from destination_dust.document import id_hash
from destination_dust.errors import DustUnavailableError
from destination_dust.report import SyncReport
from destination_dust.stale import delete_stale
from destination_dust.stream import Stream
from destination_dust.sync_start import SyncStart
from unit_tests.builders import USERS
from unit_tests.clock import Clock

BEGAN_MS = 1_736_365_559_123
USERS_EU = Stream("users", "eu")


class ListOfDocuments:
    """A DustClient that lists and deletes without HTTP, the newest timestamp first.

    Its order among documents of one timestamp is another one with each request (`ties_move`), or
    with each offset, the same in each pass. Before each of its first requests, somebody else stores
    a document (`foreign`) or deletes one (`deleted`).
    """

    def __init__(self, documents: list[dict[str, Any]], *, ties_move: bool, seed: int = 0) -> None:
        self.documents = {document["document_id"]: document for document in documents}
        self.lists = 0
        self.immortal: set[str] = set()
        self.foreign: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.is_stable = False
        self.largest = 0
        self._ties_move = ties_move
        self._seed = seed

    def list_documents(self, *, limit: int, offset: int, streams: Sequence[Stream]) -> Page:
        self.lists += 1
        self.largest = max(self.largest, limit)
        if self.foreign:
            document = self.foreign.pop()
            self.documents[document["document_id"]] = document
        if self.deleted:
            self.documents.pop(self.deleted.pop(), None)
        documents = list(self.documents.values())
        if not self.is_stable:
            order = random.Random(self.lists if self._ties_move else self._seed + offset)
            documents = order.sample(documents, len(documents))
        documents.sort(key=lambda document: -document["timestamp"])
        return Page(documents[offset : offset + limit], date_ms=BEGAN_MS)

    def delete_document(self, id_: str, stream: Stream) -> None:
        assert stream in (USERS, USERS_EU)
        if id_ not in self.immortal:
            del self.documents[id_]


def listed(
    id_: str, *, stream: Stream | None = USERS, created: object = BEGAN_MS - 1, timestamp: int = 0
) -> dict[str, Any]:
    tags = [*(stream.tags if stream else ()), f"title:{id_}"]
    return {"document_id": id_, "tags": tags, "created": created, "timestamp": timestamp}


def swept(
    client: Any,
    *,
    seen: Sequence[str] = (),
    streams: Sequence[Stream] = (USERS,),
    limit: int = 2000,
    start: SyncStart | None = None,
) -> list[str]:
    """Return the ids that are left after the stale documents of the streams were deleted."""
    clock = Clock()
    report = SyncReport([stream.key for stream in streams], clock=clock)
    hashes = array("Q", map(id_hash, seen))
    start = start or SyncStart(clock(), clock=clock, wall_clock=clock)
    delete_stale(dict.fromkeys(streams, hashes), client, report, start, limit=limit)
    return sorted(client.documents)


def test_what_was_not_seen_and_is_older_than_the_sync_is_deleted() -> None:
    client = ListOfDocuments([listed("users-1"), listed("users-2")], ties_move=False)
    assert swept(client, seen=["users-2", "users-3"]) == ["users-2"]


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(listed("users-1", created=BEGAN_MS), id="written since"),
        pytest.param(listed("users-1", created=BEGAN_MS // 1000 * 1000), id="whole seconds"),
        pytest.param(listed("users-1", created=None), id="no time"),
        pytest.param(listed("users-1", created="0"), id="another kind of time"),
        pytest.param(listed("users-1", stream=None), id="no tag"),
        pytest.param(listed("users-1", stream=USERS_EU), id="another namespace"),
        pytest.param(listed("users-1", stream=Stream("users-archive")), id="another stream"),
        pytest.param({"document_id": "users-1", "created": 0, "tags": None}, id="no tags"),
        pytest.param(listed("."), id="this folder"),
        pytest.param(listed(".."), id="the data source itself"),
        pytest.param(listed(""), id="the list"),
    ],
)
def test_everything_else_is_kept(kept: dict[str, Any]) -> None:
    client = ListOfDocuments([{"timestamp": 0, **kept}], ties_move=False)
    assert swept(client) == [kept["document_id"]]


def test_only_what_has_the_tags_of_a_namespace_is_deleted_for_it() -> None:
    documents = [listed("users-1"), listed("users-2", stream=USERS_EU)]
    client = ListOfDocuments(documents, ties_move=False)
    assert swept(client, streams=[USERS_EU]) == ["users-1"]


def test_pages_stay_small_where_timestamps_differ() -> None:
    """Pages move up while documents are deleted, and none is missed. Two passes are enough."""
    documents = [listed(f"{number:02}", timestamp=number) for number in range(40)]
    client = ListOfDocuments(documents, ties_move=True)
    seen = [f"{number:02}" for number in range(0, 40, 2)]
    assert swept(client, seen=seen, limit=10) == seen
    # 40 documents by 9 on a page and 4 on the last, then the 20 that are left.
    assert client.lists == 5 + 3
    assert client.largest == 10


def test_somebody_else_may_store_documents_while_the_list_is_read() -> None:
    """They move all others down by one, so that some are shown twice. None is left out."""
    documents = [listed(str(number), timestamp=number) for number in range(50)]
    client = ListOfDocuments(documents, ties_move=True)
    client.foreign = [
        listed(f"new-{number}", created=BEGAN_MS + number, timestamp=100 + number)
        for number in range(200)
    ]
    left = swept(client, limit=5)
    assert [id_ for id_ in left if not id_.startswith("new-")] == []
    assert client.lists < 50


def test_what_a_foreign_deletion_hides_is_found_by_the_next_pass() -> None:
    """It moves all others up by one, so that one may be left out."""
    documents = [listed(f"{number:02}", timestamp=100 - number) for number in range(20)]
    client = ListOfDocuments(documents, ties_move=True)
    client.deleted = ["01", "02"]
    assert swept(client, seen=["00"], limit=5) == ["00"]


def test_a_foreign_deletion_between_two_pages_leads_to_another_pass() -> None:
    """What the first page has left to the second one has moved up, and is not on it."""
    documents = [listed(f"{number:02}", timestamp=100 - number) for number in range(20)]
    seen = [f"{number:02}" for number in range(20) if number != 9]
    client = ListOfDocuments(documents, ties_move=False)
    client.deleted = ["01", "not there"]
    assert "09" not in swept(client, seen=seen, limit=10)


def test_what_was_written_since_is_counted_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Once, though a pass that deleted something is followed by another."""
    documents = [
        listed("users-1", created=BEGAN_MS),
        listed("users-2", created=BEGAN_MS + 5),
        listed("users-3"),
    ]
    client = ListOfDocuments(documents, ties_move=True)
    assert swept(client) == ["users-1", "users-2"]
    (warning,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warning.startswith("Stream 'users': 2 documents kept that this sync did not bring")


def test_without_any_time_of_dusts_clock_nothing_is_deleted() -> None:
    class WithoutDate(ListOfDocuments):
        def list_documents(self, **page: Any) -> Page:
            return Page(super().list_documents(**page).documents, date_ms=None)

    assert swept(WithoutDate([listed("users-1")], ties_move=False)) == ["users-1"]


def test_a_document_that_is_listed_for_ever_ends_the_sync() -> None:
    """Dust says that it is deleted, and lists it all the same."""
    client = ListOfDocuments([listed("users-1")], ties_move=False)
    client.immortal.add("users-1")
    with pytest.raises(DustUnavailableError, match="still shows deleted documents"):
        swept(client)
    assert client.lists < 50


def test_a_list_that_ignores_the_offset_ends_the_sync() -> None:
    class WithoutOffset(ListOfDocuments):
        def list_documents(self, *, limit: int, offset: int, streams: Sequence[Stream]) -> Page:
            return super().list_documents(limit=limit, offset=0, streams=streams)

    documents = [listed(str(number), timestamp=number) for number in range(20)]
    seen = [str(number) for number in range(20)]
    with pytest.raises(DustUnavailableError, match="repeats its pages"):
        swept(WithoutOffset(documents, ties_move=False), seen=seen, limit=3)


def test_where_ties_of_one_timestamp_never_settle_what_may_be_left_is_warned_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest page does not show them all at once."""
    monkeypatch.setattr("destination_dust.stale._LARGEST_PAGE", 8)
    documents = [listed(str(number)) for number in range(30)]
    seen = [str(number) for number in range(30)]
    client = ListOfDocuments(documents, ties_move=True)
    assert len(swept(client, seen=seen, limit=3)) == 30
    assert client.largest == 8
    (warning,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert "some documents of earlier syncs may have been kept" in warning


def test_once_a_page_shows_all_ties_nothing_is_uncertain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    documents = [listed(str(number)) for number in range(30)]
    client = ListOfDocuments(documents, ties_move=True)
    assert swept(client, seen=["7"], limit=2) == ["7"]
    assert client.largest <= 32
    assert "may have been kept" not in caplog.text


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_a_timestamp_of_many_pages_is_read_to_its_end_in_a_stable_order(limit: int) -> None:
    """All records of some sources have the same one."""
    documents = [listed(f"{number:02}", timestamp=number // 20) for number in range(40)]
    client = ListOfDocuments(documents, ties_move=False)
    client.is_stable = True
    assert swept(client, seen=["00", "39"], limit=limit) == ["00", "39"]
    assert client.largest == limit


def test_a_list_without_end_ends_the_sync() -> None:
    class Endless(ListOfDocuments):
        def list_documents(self, *, limit: int, **page: Any) -> Page:
            self.lists += 1
            return Page([listed("users-1", created=BEGAN_MS)] * limit, date_ms=BEGAN_MS)

    client = Endless([], ties_move=False)
    with pytest.raises(DustUnavailableError, match="repeats its pages"):
        swept(client)
    assert client.lists < 20


def test_documents_of_one_timestamp_do_not_keep_it_busy_while_others_store_some() -> None:
    """Each page goes on by half of it at least, however many documents come at the front."""
    documents = [listed(str(number)) for number in range(30)]
    client = ListOfDocuments(documents, ties_move=False)
    client.is_stable = True
    client.foreign = [
        listed(f"new-{number}", created=BEGAN_MS + number, timestamp=100 + number)
        for number in range(500)
    ]
    seen = [str(number) for number in range(30)]
    assert set(seen) <= set(swept(client, seen=seen, limit=4))
    assert client.lists < 50
