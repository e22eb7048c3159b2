"""Whatever the clocks do, nothing that is newer than a sync counts as stale."""

from __future__ import annotations

from email.utils import formatdate

import requests_mock
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_dust.client import DustClient
from destination_dust.config import DustConfig
from unit_tests.builders import USERS, document_of
from unit_tests.clock import Clock

CONFIG = DustConfig("sk-1", "w1", "vlt_1", "dts_1")


@settings(deadline=None)
@given(
    began_ms=st.integers(0, 10_000),
    responses=st.lists(
        st.tuples(st.integers(0, 40_000), st.integers(0, 40_000), st.sampled_from([0, 1, 1000])),
        min_size=1,
        max_size=3,
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
