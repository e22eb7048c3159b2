"""Whatever the clocks do, what was written after a sync began never counts as older."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from destination_dust.sync_start import SyncStart
from unit_tests.clock import Clock


@settings(deadline=None)
@given(
    began_ms=st.integers(0, 10_000),
    responses=st.lists(
        st.tuples(st.integers(0, 40_000), st.integers(0, 40_000), st.booleans()), min_size=1
    ),
    off_by_ms=st.integers(-3_600_000, 3_600_000),
    step_ms=st.sampled_from([1, 1000]),
    written_after_ms=st.integers(0, 5_000),
)
def test_what_was_written_after_the_start_never_counts_as_older(
    began_ms: int,
    responses: list[tuple[int, int, bool]],
    off_by_ms: int,
    step_ms: int,
    written_after_ms: int,
) -> None:
    """Whatever each response takes to arrive, however far apart the clocks are, and how coarse."""

    def dust_ms(true_ms: int) -> int:
        return (10**12 + true_ms + off_by_ms) // step_ms * step_ms

    clock = Clock()
    start = SyncStart(clock(), clock)
    for sent_after_ms, took_ms, has_created in responses:
        clock.now_s = 1000.0 + (sent_after_ms + took_ms) / 1000
        time_ms = dust_ms(began_ms + sent_after_ms)
        if has_created:
            start.note_created(time_ms)
        start.note_date(time_ms // 1000 * 1000)
    assert not start.is_after(dust_ms(began_ms + written_after_ms))
