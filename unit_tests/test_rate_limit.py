"""When an upsert has its turn, and whether and when a failed request is sent again."""

from __future__ import annotations

import logging

import pytest

from destination_dust.errors import DustUnavailableError
from destination_dust.failures import Failure, Meaning, Response
from destination_dust.rate_limit import Pacer, Retries
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

LIMIT_REACHED = (
    "Dust's rate limit is reached (120 upserts a minute for the whole workspace): waiting."
)
BROKEN = Failure("the connection broke", Meaning(DustUnavailableError, ""))


def answered(status: int, retry_after_s: float | None = None) -> Failure:
    return Failure.of(Response(status, "https://dust.tt/", retry_after_s=retry_after_s))


@pytest.fixture
def pacer(clock: Clock) -> Pacer:
    """A pacer without chance."""
    return Pacer(WINDOW_S, clock=clock, uniform=lambda least, most: (least + most) / 2)


# When an upsert has its turn


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


def test_before_the_first_429_nothing_waits(pacer: Pacer) -> None:
    for _ in range(3 * LIMIT):
        assert pacer.wait_s() == 0
        pacer.count()


def test_after_an_hour_of_slow_records_a_burst_is_no_faster(pacer: Pacer, clock: Clock) -> None:
    pacer.note_429(None)
    pacer.wait_s()
    burst_s = pacer.wait_s()
    for _ in range(360):
        clock.now_s += 10.0
        assert pacer.wait_s() == 0
        pacer.count()
    assert 0 < pacer.wait_s() < burst_s


def test_a_shorter_window_shortens_the_waits(clock: Clock) -> None:
    waits_s = []
    for window_s in (WINDOW_S, WINDOW_S / 10):
        pacer = Pacer(window_s, clock=clock, uniform=lambda least, _most: least)
        pacer.note_429(None)
        waits_s.append(pacer.wait_s())
        clock.sleep(waits_s[-1])
        waits_s.append(pacer.wait_s())
    assert waits_s[2:] == pytest.approx([waits_s[0] / 10, waits_s[1] / 10])
    assert all(waits_s)


def test_waiting_is_logged_once_until_a_window_has_passed_without_a_429(
    pacer: Pacer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "airbyte"):
        for _ in range(50):
            pacer.note_429(None)
            clock.now_s += WINDOW_S - 1
        assert caplog.messages == [LIMIT_REACHED]
        clock.now_s += 1
        pacer.note_429(None)
    assert caplog.messages == [LIMIT_REACHED] * 2
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_a_long_sync_alone_logs_it_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "airbyte"):
        simulate(Connector(records=10 * LIMIT), answer_s=0.1, seed=1)
    assert caplog.messages == [LIMIT_REACHED]


# Whether and when a failed request is sent again


@pytest.fixture(params=[True, False], ids=["upsert", "another request"])
def retries(request: pytest.FixtureRequest, clock: Clock) -> Retries:
    return Retries(Pacer(WINDOW_S, clock=clock), takes_slot=request.param)


def waits_s(retries: Retries, *failures: Failure) -> list[float]:
    """Return the wait after each of the failures, as long as there is another try."""
    waits: list[float] = []
    for failure in failures:
        if not retries.go_on_after(failure):
            break
        waits.append(retries.wait_s())
    return waits


@pytest.mark.parametrize("failure", [BROKEN, answered(503)], ids=["network", "503"])
def test_there_are_three_retries_after_waits_that_double_from_one_second(
    clock: Clock, failure: Failure
) -> None:
    """Each is longer by up to half, so that nobody comes back too early, nor all at once."""
    runs = [
        waits_s(Retries(Pacer(clock=clock), takes_slot=bool(run % 2)), *[failure] * 9)
        for run in range(100)
    ]
    for number, least_s in enumerate([1.0, 2.0, 4.0]):
        assert all(least_s <= waits[number] <= 1.5 * least_s for waits in runs)
    assert {len(waits) for waits in runs} == {3}
    assert len({waits[0] for waits in runs}) > 1


@pytest.mark.parametrize(
    ("retry_after_s", "wait_s"),
    [(0, 1), (7, 7), (300, 300), (3600, 300)],
    ids=["now", "7 s", "five minutes", "an hour"],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_servers_own_wait_is_obeyed_up_to_five_minutes(
    retries: Retries, status: int, retry_after_s: float, wait_s: float
) -> None:
    """And for a second at least: "now" would be a tight loop."""
    assert waits_s(retries, answered(status, retry_after_s)) == [wait_s]


def test_what_cannot_pass_is_not_tried_again(retries: Retries) -> None:
    assert waits_s(retries, answered(401)) == []


def test_it_gives_up_after_five_windows_of_nothing_but_429s(retries: Retries, clock: Clock) -> None:
    waits: list[float] = []
    while retries.go_on_after(answered(429)):
        waits.append(retries.wait_s())
        clock.sleep(waits[-1])
    assert 5 * WINDOW_S <= sum(waits) <= 6.5 * WINDOW_S
    assert len(waits) <= 20 * sum(waits) / WINDOW_S


@pytest.mark.parametrize(("retry_after_s", "tries"), [(1, 300), (59, 6), (60, 5), (300, 1)])
def test_all_waits_for_429s_count_whoever_chose_them(
    retries: Retries, retry_after_s: float, tries: int
) -> None:
    assert len(waits_s(retries, *[answered(429, retry_after_s)] * 400)) == tries


def test_another_failure_ends_a_row_of_429s(retries: Retries) -> None:
    """Whatever the mix: at most three of the others are retried, and five windows after each."""
    four = [answered(429, WINDOW_S)] * 4
    mix = [*four, answered(503)] * 3
    assert len(waits_s(retries, *mix)) == len(mix)
    assert waits_s(retries, *[answered(429, WINDOW_S)] * 9) == [WINDOW_S] * 5
    assert waits_s(retries, answered(503)) == []


def test_the_waits_of_other_requests_double_up_to_a_window(pacer: Pacer) -> None:
    waits = waits_s(Retries(pacer, takes_slot=False), *[answered(429)] * 40)
    assert 1 <= waits[0] <= 1.5
    for number in range(1, len(waits)):
        earlier_s = sum(waits[:number])
        assert min(earlier_s, WINDOW_S) <= waits[number] <= min(1.5 * earlier_s, WINDOW_S)
    assert waits[-1] == WINDOW_S


def test_a_429_on_another_request_does_not_hold_up_upserts(pacer: Pacer) -> None:
    assert waits_s(Retries(pacer, takes_slot=False), answered(429)) != []
    assert [pacer.wait_s() for _ in range(3)] == [0, 0, 0]


def test_an_upsert_that_failed_waits_for_its_turn_as_well(pacer: Pacer) -> None:
    pacer.note_429(retry_after_s=20)
    assert waits_s(Retries(pacer, takes_slot=True), BROKEN) == [20]
