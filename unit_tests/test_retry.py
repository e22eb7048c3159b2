"""Whether a request that failed is sent again, and how long to wait before."""

from __future__ import annotations

import pytest

from destination_dust.errors import DustUnavailableError
from destination_dust.failures import Failure, Meaning, Response
from destination_dust.pacing import DUST_WINDOW_S as WINDOW_S
from destination_dust.pacing import Pacer
from destination_dust.retry import Retries

BROKEN = Failure("the connection broke", Meaning(DustUnavailableError, ""))


def answered(status: int, retry_after_s: float | None = None) -> Failure:
    return Failure.of(Response(status, "https://dust.tt/", retry_after_s=retry_after_s))


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
def test_five_windows_of_nothing_but_429s_end_the_patience(paced: bool) -> None:
    """Without asking all the time."""
    patient = retries(paced=paced)
    waits = waits_s(answered(429), patient)
    assert 5 * WINDOW_S <= sum(waits) <= 10 * WINDOW_S
    assert len(waits) <= 20 * sum(waits) / WINDOW_S


@pytest.mark.parametrize(
    ("retry_after_s", "tries"), [(0, 300), (1, 300), (59, 10), (60, 5), (300, 5), (3600, 5)]
)
def test_windows_are_counted_and_not_the_seconds_that_the_server_asks_for(
    retry_after_s: float, tries: int
) -> None:
    """A window that no 429 has come in does not count: it may have had a free slot."""
    assert len(waits_s(answered(429, retry_after_s), retries())) == tries


def test_the_patience_begins_anew_after_another_failure() -> None:
    """Whatever the mix: at most three of the others are waited for, and five windows after each."""
    patient = retries()
    for _ in range(3):
        for _ in range(4):
            assert patient.wait_s(answered(429, WINDOW_S)) == WINDOW_S
        assert patient.wait_s(answered(503)) is not None
    assert waits_s(answered(429, WINDOW_S), patient) == 5 * [WINDOW_S]
    assert patient.wait_s(answered(503)) is None


def test_a_429_is_none_of_the_three_tries() -> None:
    patient = retries()
    for _ in range(10):
        assert patient.wait_s(answered(429)) is not None
    assert len(waits_s(BROKEN, patient)) == 3


def test_a_server_that_says_when_to_come_back_is_not_second_guessed() -> None:
    """After the wait it asked for, the upsert is not held up any further."""
    pacer = Pacer()
    pacer.count()
    assert retries(pacer).wait_s(answered(429, retry_after_s=1)) == 1
    assert pacer.wait_s() == 0


def test_a_429_on_what_takes_no_slot_leaves_the_pacer_alone() -> None:
    """A list or a delete that is rate-limited says nothing of the limit of upserts."""
    pacer = Pacer()
    assert retries(pacer, paced=False).wait_s(answered(429)) is not None
    assert [pacer.wait_s() for _ in range(3)] == [0, 0, 0]
