"""What the pacer promises, most of it simulated at Dust's real size."""

from __future__ import annotations

import logging

import pytest

from destination_dust.pacing import Pacer
from unit_tests.clock import Clock
from unit_tests.rate_limit_simulation import (
    LIMIT,
    SCENARIOS,
    WINDOW_S,
    Connector,
    Scenario,
    best_s,
    simulate,
)

SAID = "Dust's rate limit is reached (120 upserts a minute for the whole workspace): waiting."


def mean(least: float, most: float) -> float:
    """Return what a random number between the two is on average."""
    return (least + most) / 2


@pytest.fixture
def pacer(clock: Clock) -> Pacer:
    """A pacer without chance."""
    return Pacer(WINDOW_S, clock=clock, uniform=mean)


@pytest.mark.parametrize(
    ("scenario", "answer_s"),
    [
        pytest.param(scenario, answer_s, id=f"{scenario.connectors}: {scenario}, {answer_s:g} s")
        for scenario in SCENARIOS
        for answer_s in scenario.answer_times_s
    ],
)
def test_each_promise_is_kept(scenario: Scenario, answer_s: float) -> None:
    """For one seed; `make shares` takes more of them."""
    assert scenario.missed(answer_s, seed=1) == []


def test_the_best_possible_time_is_what_the_limit_allows() -> None:
    """120 in 12 s, and the next 80 from the 60th second on."""
    assert best_s(200, answer_s=0.1) == pytest.approx(60 + 8)
    just_before_s = [-1.0] * 109
    assert best_s(110, answer_s=0.1, earlier_s=just_before_s) == pytest.approx(59 + 98 * 0.1 + 0.05)


def test_two_with_the_fastest_responses_do_not_fall_into_step() -> None:
    """With fixed times, one of them would be too early each time."""
    each = [Connector(), Connector(start_s=90.0)]
    simulate(*each, answer_s=0.001, seed=1, end_s=30 * WINDOW_S)
    assert min(len(one.stored_s) for one in each) > 0.4 * 30 * LIMIT


def test_before_the_first_429_nothing_waits(pacer: Pacer) -> None:
    waits_s = set()
    for _ in range(10_000):
        waits_s.add(pacer.wait_s())
        pacer.count()
    assert waits_s == {0.0}


def test_whoever_had_all_slots_waits_until_the_oldest_is_free(pacer: Pacer, clock: Clock) -> None:
    for _ in range(LIMIT):
        clock.now_s += 0.1
        pacer.count()
    first_s = clock.now_s - (LIMIT - 1) * 0.1
    clock.sleep(pacer.retry_wait_s())
    clock.sleep(pacer.wait_s())
    assert clock.now_s == pytest.approx(first_s + WINDOW_S)


def test_whoever_had_all_slots_then_goes_faster_than_one_among_others(
    pacer: Pacer, clock: Clock
) -> None:
    pacer.retry_wait_s()
    pacer.wait_s()
    among_others_s = pacer.wait_s()
    for _ in range(LIMIT):
        pacer.count()
    clock.sleep(pacer.wait_s())
    assert 0 < pacer.wait_s() < among_others_s


def test_after_an_hour_of_slow_records_a_burst_is_no_faster(pacer: Pacer, clock: Clock) -> None:
    pacer.retry_wait_s()
    pacer.wait_s()
    burst_s = pacer.wait_s()
    for _ in range(360):
        clock.now_s += 10.0
        assert pacer.wait_s() == 0.0
        pacer.count()
    assert pacer.wait_s() == burst_s > 0.0


def test_a_shorter_window_shortens_the_waits(clock: Clock) -> None:
    short = Pacer(WINDOW_S / 10, clock=clock, uniform=mean)
    long = Pacer(WINDOW_S, clock=clock, uniform=mean)
    assert short.retry_wait_s() == pytest.approx(long.retry_wait_s() / 10)
    assert short.wait_s() == long.wait_s() == 0
    assert short.wait_s() == pytest.approx(long.wait_s() / 10)


def test_waiting_is_said_once_until_a_window_has_passed_without_a_429(
    pacer: Pacer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "airbyte"):
        for _ in range(50):
            pacer.retry_wait_s()
            clock.now_s += WINDOW_S - 1
        assert caplog.messages == [SAID]
        clock.now_s += 1
        pacer.retry_wait_s()
        assert caplog.messages == [SAID, SAID]
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_a_long_sync_alone_says_it_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "airbyte"):
        simulate(Connector(records=10 * LIMIT), answer_s=0.1, seed=1)
    assert caplog.messages == [SAID]
