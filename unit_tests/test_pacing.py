"""What the pacer promises, most of it simulated at Dust's real size."""

from __future__ import annotations

import logging

import pytest

from destination_dust.pacing import Pacer
from unit_tests.rate_limit_simulation import (
    LIMIT,
    SCENARIOS,
    WINDOW_S,
    Connector,
    Scenario,
    measure,
    simulate,
    within,
)


@pytest.mark.parametrize(
    ("scenario", "answer_s"),
    [
        pytest.param(scenario, answer_s, id=f"{scenario}, answers in {answer_s:g} s")
        for scenario in SCENARIOS
        for answer_s in scenario.answer_times_s
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_all_come_to_equal_shares_and_together_use_the_limit(
    scenario: Scenario, answer_s: float, seed: int
) -> None:
    """With few 429s, and before the patience for any upsert ends."""
    assert scenario.missed(measure(scenario, answer_s, seed)) == []


@pytest.mark.parametrize("others", [30, 60, 90, 119])
def test_when_others_stop_it_gains_thirty_upserts_a_window_in_each_window(others: int) -> None:
    """Within as many windows as that takes, and one for the slots to come free, it has it all."""
    stop_s = 10 * WINDOW_S
    every_s = WINDOW_S / others
    connector = Connector()
    simulate(
        connector,
        others_s=[number * every_s for number in range(round(stop_s / every_s))],
        end_s=stop_s + 7 * WINDOW_S,
    )
    assert within(connector.stored_s, stop_s - WINDOW_S) < LIMIT - others / 2
    assert within(connector.stored_s, stop_s + (others / 30 + 1) * WINDOW_S) >= 0.95 * LIMIT


def test_it_goes_on_once_others_leave_a_slot() -> None:
    """The limit was used up by somebody else for a whole window."""
    late = Connector(start_s=1.0)
    simulate(late, others_s=[number * 0.001 for number in range(LIMIT)], end_s=2 * WINDOW_S)
    assert WINDOW_S <= late.stored_s[0] <= 1.1 * WINDOW_S


def test_a_client_without_slots_asks_only_from_time_to_time() -> None:
    late = Connector(start_s=1.0)
    simulate(late, others_s=[number * 0.001 for number in range(LIMIT)], end_s=WINDOW_S)
    assert late.stored_s == []
    assert 10 <= len(late.throttled_s) <= 16


def test_before_the_first_429_nothing_waits() -> None:
    pacer = Pacer()
    waits_s = set()
    for _ in range(10_000):
        waits_s.add(pacer.wait_s())
        pacer.count()
    assert waits_s == {0.0}


def test_the_first_429_is_waited_out_until_the_own_oldest_upsert_leaves_the_window() -> None:
    clock_s = iter([0.0, 30.0, 50.0, 70.0])
    pacer = Pacer(WINDOW_S, clock=lambda: next(clock_s))
    for _ in range(3):
        pacer.count()
    assert pacer.throttled_wait_s() == 30.0 + WINDOW_S - 70.0


def test_a_source_slower_than_its_share_does_not_make_it_larger() -> None:
    """After hours of that, a burst is spread as after a minute."""

    def wait_in_a_burst_s(slow_upserts: int) -> float:
        now_s = 0.0
        pacer = Pacer(WINDOW_S, clock=lambda: now_s)
        pacer.throttled_wait_s()
        for _ in range(slow_upserts):
            now_s += 10.0
            assert pacer.wait_s() == 0.0
        return pacer.wait_s()

    assert wait_in_a_burst_s(1000) == wait_in_a_burst_s(6) > 0.0


def test_that_pacing_begins_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    alone = Connector()
    with caplog.at_level(logging.INFO, "airbyte"):
        simulate(alone, end_s=5 * WINDOW_S)
    assert len(alone.throttled_s) > 1
    assert caplog.messages == [
        "The workspace's rate limit is reached: 120 of its upserts in the last 60 s were this "
        "sync's. From now on it paces itself, so that all syncs into the workspace come to equal "
        "shares."
    ]
