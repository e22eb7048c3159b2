"""Whatever the list and the clocks do, exactly the stale documents are deleted."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from unit_tests.clock import Clock
from unit_tests.test_stale import BEGAN_MS, ListOfDocuments, listed, swept
from unit_tests.test_sync_start import start_at


@settings(deadline=None)
@given(
    ids=st.sets(st.integers(0, 60), max_size=40),
    seen=st.sets(st.integers(0, 60)),
    newer=st.sets(st.integers(0, 60), max_size=3),
    limit=st.integers(1, 3),
    timestamps=st.integers(1, 4),
    ties_move=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_no_order_of_the_list_hides_a_stale_document(
    ids: set[int],
    seen: set[int],
    newer: set[int],
    limit: int,
    timestamps: int,
    ties_move: bool,
    seed: int,
) -> None:
    """Whether it is another with each request, or fixed for each page; with the smallest pages."""
    documents = [
        listed(
            str(number),
            created=BEGAN_MS + 1 if number in newer else BEGAN_MS - 1,
            timestamp=number % timestamps,
        )
        for number in ids
    ]
    client = ListOfDocuments(documents, ties_move=ties_move, seed=seed)
    left = swept(client, seen=list(map(str, seen)), limit=limit)
    assert left == sorted(map(str, ids & (seen | newer)))


@settings(deadline=None)
@given(
    began_ms=st.integers(0, 10_000),
    responses=st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 40_000)), min_size=1),
    off_by_ms=st.integers(-3_600_000, 3_600_000),
    step_ms=st.sampled_from([1, 1000]),
    written_after_ms=st.integers(0, 5_000),
)
def test_what_was_written_after_the_start_never_counts_as_older(
    began_ms: int,
    responses: list[tuple[int, int]],
    off_by_ms: int,
    step_ms: int,
    written_after_ms: int,
) -> None:
    """Whatever each response takes to arrive, however far apart the clocks are, and how coarse."""

    def dust_ms(true_ms: int) -> int:
        return (true_ms + off_by_ms) // step_ms * step_ms

    clock = Clock()
    start = start_at(clock)
    for sent_after_ms, took_ms in responses:
        clock.now_s = 1000.0 + (sent_after_ms + took_ms) / 1000
        start.note(dust_ms(began_ms + sent_after_ms))
    assert not start.is_after(dust_ms(began_ms + written_after_ms))
