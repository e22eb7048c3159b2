"""When a sync began by Dust's clock: never too late, whatever the clocks and the network do."""

from __future__ import annotations

import pytest

from destination_dust.sync_start import SyncStart
from unit_tests.clock import Clock

DUST_MS = 1_736_365_559_123


def test_the_time_between_the_start_of_the_process_and_now_counts(clock: Clock) -> None:
    """Also when the machine is suspended later."""
    wall_clock = Clock()
    start = SyncStart(clock() - 30, clock=clock, wall_clock=wall_clock)
    wall_clock.now_s += 1200
    start.note(DUST_MS)
    assert not start.is_after(DUST_MS - 1_230_000)
    assert start.is_after(DUST_MS - 1_230_001)


def start_at(clock: Clock, wall_clock: Clock | None = None) -> SyncStart:
    return SyncStart(clock(), clock=clock, wall_clock=wall_clock or clock)


def test_time_in_which_the_machine_was_suspended_counts(clock: Clock) -> None:
    """The monotonic clock stands still then, and what others wrote meanwhile is not older."""
    wall_clock = Clock()
    start = start_at(clock, wall_clock)
    start.note(DUST_MS)
    wall_clock.now_s += 1200
    start.note(DUST_MS + 1_200_000)
    assert not start.is_after(DUST_MS + 600_000)


@pytest.mark.parametrize("back_s", [3600.0, 5.0])
def test_a_wall_clock_that_is_set_back_changes_nothing(clock: Clock, back_s: float) -> None:
    wall_clock = Clock()
    start = start_at(clock, wall_clock)
    clock.now_s += 30
    wall_clock.now_s += 30 - back_s
    start.note(DUST_MS + 30_000)
    assert start.is_after(DUST_MS - 1)
    assert not start.is_after(DUST_MS)


def test_a_date_counts_only_until_a_created_is_known(clock: Clock) -> None:
    """The clock of a proxy may be ahead."""
    start = start_at(clock)
    start.note_date(DUST_MS)
    assert start.is_after(DUST_MS - 1)
    start.note(DUST_MS - 90_000)
    start.note_date(DUST_MS + 90_000)
    assert not start.is_after(DUST_MS - 60_000)
    assert start.is_after(DUST_MS - 90_001)


def test_of_several_dates_the_latest_estimate_is_the_best(clock: Clock) -> None:
    """One of them came right after a full second."""
    start = start_at(clock)
    start.note_date(11_000)
    clock.now_s += 0.5
    start.note_date(12_000)
    assert start.is_after(11_499)


def test_it_is_the_time_of_a_response_less_what_passed_since_the_process_started(
    clock: Clock,
) -> None:
    start = start_at(clock)
    clock.now_s += 30
    start.note(DUST_MS)
    assert start.is_after(DUST_MS - 30_001)
    assert not start.is_after(DUST_MS - 30_000)
    assert not start.is_after(DUST_MS - 29_999)


def test_what_passed_is_rounded_up_since_dusts_clock_is_rounded_down(clock: Clock) -> None:
    """Begun at 9.1 ms; another sync wrote at 9.5 ms, a response came at 10 ms."""
    start = start_at(clock)
    clock.now_s += 0.0009
    start.note(DUST_MS + 10)
    assert not start.is_after(DUST_MS + 9)
    assert start.is_after(DUST_MS + 8)


def test_of_several_responses_the_latest_estimate_is_the_best(clock: Clock) -> None:
    """The quickest response is the closest; one that took 30 s says less."""
    start = start_at(clock)
    start.note(DUST_MS)
    clock.now_s += 30
    start.note(DUST_MS + 1)
    assert start.is_after(DUST_MS - 1)
    clock.now_s += 1
    start.note(DUST_MS + 31_005)
    assert start.is_after(DUST_MS + 4)
    assert not start.is_after(DUST_MS + 6)


def test_a_clock_of_whole_seconds_keeps_what_was_written_in_the_second_it_began(
    clock: Clock,
) -> None:
    """Begun at 10.5 s; another sync wrote at 10.7 s, which is listed as 10 s."""
    start = start_at(clock)
    clock.now_s += 0.5
    start.note(11_000)
    assert not start.is_after(10_000)
    assert start.is_after(9_000)


def test_a_clock_that_has_shown_milliseconds_may_show_a_whole_second_too(clock: Clock) -> None:
    """Of many documents that are written within a second, some are."""
    start = start_at(clock)
    start.note(10_500)
    assert start.is_after(10_000)


def test_a_listed_document_shows_the_resolution_of_the_clock_too(clock: Clock) -> None:
    start = start_at(clock)
    clock.now_s += 0.5
    start.note_date(11_000)
    assert not start.is_after(10_000)
    assert start.is_after(10_001)
    assert start.is_after(10_000)


@pytest.mark.parametrize("created", [None, "1", 1.5, [1]])
def test_a_document_without_a_time_is_not_older(clock: Clock, created: object) -> None:
    start = start_at(clock)
    start.note(DUST_MS)
    assert not start.is_after(created)


def test_before_any_response_nothing_is_older(clock: Clock) -> None:
    start = start_at(clock)
    start.note(None)
    assert not start.is_after(0)
