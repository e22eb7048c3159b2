"""Whatever the list and the clocks do, only stale documents are deleted."""

from __future__ import annotations

import contextlib
import random
from array import array
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

import requests_mock
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_dust.client import DustClient
from destination_dust.config import DustConfig
from destination_dust.document import id_hash
from destination_dust.errors import DustUnavailableError
from destination_dust.report import SyncReport
from destination_dust.stale import delete_stale
from unit_tests.builders import USERS, document_of
from unit_tests.clock import Clock

CONFIG = DustConfig("sk-1", "w1", "vlt_1", "dts_1")


class ListOfDocuments:
    """A DustClient without HTTP, for which the documents in `newer` were written since.

    It lists at most `page` documents at once, in another order each time with `order_moves`.
    """

    def __init__(self, ids: set[str], newer: set[str], page: int, order_moves: bool) -> None:
        self.ids = ids
        self._newer, self._page, self._order_moves = newer, page, order_moves
        self._random = random.Random(0)

    def list_documents(self, *, limit: int, offset: int, **_options: Any) -> list[dict[str, Any]]:
        ids = sorted(self.ids)
        if self._order_moves:
            self._random.shuffle(ids)
        return [_listed(id_) for id_ in ids[offset : offset + min(limit, self._page)]]

    def find_document(self, id_: str, _stream: object) -> list[dict[str, Any]]:
        return [_listed(id_)] if id_ in self.ids else []

    def delete_document(self, id_: str, _stream: object) -> None:
        self.ids.remove(id_)

    def was_written_before_sync(self, listed: Mapping[str, Any]) -> bool:
        return listed["document_id"] not in self._newer


def _listed(id_: str) -> dict[str, Any]:
    return {"document_id": id_, "tags": list(USERS.tags)}


IDS = st.sets(st.integers(0, 30).map(str), max_size=20)


@settings(deadline=None)
@given(ids=IDS, seen=IDS, newer=IDS, page=st.integers(1, 25), order_moves=st.booleans())
def test_no_order_of_the_list_deletes_another_document(
    ids: set[str], seen: set[str], newer: set[str], page: int, order_moves: bool
) -> None:
    """In an order that does not move, all stale documents are deleted."""
    client: Any = ListOfDocuments(set(ids), newer, page, order_moves)
    kept = ids & (seen | newer)
    # Where the order moves, a page may repeat the one before it.
    with contextlib.suppress(*[DustUnavailableError] if order_moves else []):
        delete_stale({USERS: array("Q", map(id_hash, seen))}, client, SyncReport([USERS]))
    assert kept <= client.ids
    assert order_moves or client.ids == kept


@settings(deadline=None)
@given(
    began_ms=st.integers(0, 10_000),
    responses=st.lists(
        st.tuples(st.integers(0, 40_000), st.integers(0, 40_000), st.sampled_from([0, 1, 1000])),
        min_size=1,
        max_size=5,
    ),
    dust_is_ahead_ms=st.integers(0, 7_200_000),
    list_resolution_ms=st.sampled_from([1, 1000]),
    written_after_ms=st.integers(0, 5_000),
)
def test_what_was_written_after_the_start_was_never_written_before_the_sync(
    began_ms: int,
    responses: list[tuple[int, int, int]],
    dust_is_ahead_ms: int,
    list_resolution_ms: int,
    written_after_ms: int,
) -> None:
    """Whatever each response takes, however far apart the clocks are, and however coarse.

    A response shows its time as `created`, in ms or whole seconds, or only as a Date.
    """

    def dusts_ms(true_ms: int, resolution_ms: int) -> int:
        return (dust_is_ahead_ms + true_ms) // resolution_ms * resolution_ms

    clock = Clock()
    document = document_of(USERS, {"id": 1})
    with DustClient(CONFIG, clock=clock) as client, requests_mock.Mocker() as http:
        for sent_after_ms, took_ms, resolution_ms in responses:
            clock.now_s = 1000.0 + (sent_after_ms + took_ms) / 1000
            sent_ms = dusts_ms(began_ms + sent_after_ms, resolution_ms or 1)
            created = {"created": sent_ms} if resolution_ms else {}
            date = {"Date": formatdate(sent_ms // 1000, usegmt=True)}
            http.post(requests_mock.ANY, headers=date, json={"document": {"hash": "", **created}})
            client.upsert_document(document)
        written_ms = dusts_ms(began_ms + written_after_ms, list_resolution_ms)
        assert not client.was_written_before_sync({"created": written_ms})
