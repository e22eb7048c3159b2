"""Whether a request that failed is sent again, and how long to wait before."""

from __future__ import annotations

import pytest

from destination_dust.errors import DustUnavailableError
from destination_dust.failures import Answer, Failure, Meaning
from destination_dust.pacing import Pacer
from destination_dust.retry import Retries
from unit_tests.clock import Clock

BROKEN = Failure("the connection broke", Meaning(DustUnavailableError, ""))


def answered(status: int, retry_after_s: float | None = None) -> Failure:
    return Failure.of(Answer(status, "https://dust.tt/", retry_after_s=retry_after_s))


def retries(pacer: Pacer | None = None, *, paced: bool = True) -> Retries:
    return Retries(pacer or Pacer(), paced=paced)


def waits_s(failure: Failure, retries: Retries) -> list[float]:
    """Return the waits before each further try, until there is none."""
    waits: list[float] = []
    while (wait_s := retries.wait_s(failure)) is not None:
        waits.append(wait_s)
    return waits


@pytest.mark.parametrize("paced", [True, False])
@pytest.mark.parametrize("failure", [BROKEN, answered(503)])
def test_waits_double_from_one_second(failure: Failure, paced: bool) -> None:
    """The jitter adds up to half: nobody comes back too early."""
    runs = [waits_s(failure, retries(paced=paced)) for _ in range(100)]
    assert all(len(waits) == 3 for waits in runs)
    for number, least_s in enumerate([1.0, 2.0, 4.0]):
        assert all(least_s <= waits[number] <= 1.5 * least_s for waits in runs)
    assert len({waits[0] for waits in runs}) > 1


@pytest.mark.parametrize(("retry_after_s", "wait_s"), [(0, 1), (7, 7), (300, 300), (3600, 300)])
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("paced", [True, False])
def test_the_servers_own_wait_is_obeyed_up_to_five_minutes(
    paced: bool, status: int, retry_after_s: float, wait_s: float
) -> None:
    """And for a second at least: "now" would be a tight loop."""
    assert retries(paced=paced).wait_s(answered(status, retry_after_s)) == wait_s


def test_what_cannot_pass_is_not_tried_again() -> None:
    assert waits_s(answered(401), retries()) == []


@pytest.mark.parametrize("paced", [True, False])
@pytest.mark.parametrize(("own_upserts", "gap_s"), [(0, 0.0), (1, 0.0), (120, 0.0), (120, 0.5)])
def test_an_endless_429_is_waited_for_longer_than_a_window_and_less_than_five_minutes(
    clock: Clock, own_upserts: int, gap_s: float, paced: bool
) -> None:
    """Without asking all the time, and whatever else fails between: it has three tries still."""
    pacer = Pacer(clock=clock)
    for _ in range(own_upserts):
        pacer.count()
        clock.now_s += gap_s
    patient = retries(pacer, paced=paced)
    assert patient.wait_s(BROKEN) is not None
    while (wait_s := patient.wait_s(answered(429))) is not None:
        clock.sleep(wait_s)
    assert 60 < sum(clock.waits_s) <= 300
    assert patient.done <= sum(clock.waits_s) / 1.5 + 1
    assert len(waits_s(BROKEN, patient)) == 2


@pytest.mark.parametrize("retry_after_s", [0, 1, 75, 170, 179, 300])
def test_a_429_that_asks_to_come_back_is_not_waited_for_beyond_five_minutes(
    retry_after_s: float,
) -> None:
    assert 60 < sum(waits_s(answered(429, retry_after_s), retries())) <= 300


def test_a_server_that_says_when_to_come_back_is_not_second_guessed() -> None:
    """After the wait it asked for, the next upserts are not held up either."""
    pacer = Pacer()
    for _ in range(100):
        pacer.count()
    assert retries(pacer).wait_s(answered(429, retry_after_s=1)) == 1
    assert pacer.wait_s() == 0


def test_a_refusal_of_what_takes_no_slot_leaves_the_pacer_alone() -> None:
    """A list or a delete that is throttled says nothing of the limit of upserts."""
    pacer = Pacer()
    pacer.count()
    assert retries(pacer, paced=False).wait_s(answered(429)) is not None
    assert pacer.wait_s() == 0
