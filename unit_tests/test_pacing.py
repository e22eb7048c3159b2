"""The pacer against a sliding window of Dust's real size, in simulated time."""

from __future__ import annotations

import heapq
import logging
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from destination_dust.pacing import Pacer

LIMIT = 120
WINDOW_S = 60.0


class SlidingWindow:
    """The rate limit as Dust keeps it: a slot is free again a window after it was taken."""

    def __init__(self) -> None:
        self._taken_s: deque[float] = deque()

    def take(self, now_s: float) -> bool:
        while self._taken_s and now_s - self._taken_s[0] >= WINDOW_S:
            self._taken_s.popleft()
        if len(self._taken_s) >= LIMIT:
            return False
        self._taken_s.append(now_s)
        return True


@dataclass
class Connector:
    """One sync: when it begins, how many upserts it has to make, and what became of them."""

    start_s: float
    upserts: int
    pacer: Pacer = field(init=False)
    stored_s: list[float] = field(default_factory=list)
    throttled_s: list[float] = field(default_factory=list)
    longest_wait_s: float = 0.0
    throttled_wait_s: float = 0.0

    def most_429s_in_a_window(self) -> int:
        return max((within(self.throttled_s, at_s) for at_s in self.throttled_s), default=0)


def within(times_s: Iterable[float], start_s: float) -> int:
    """Return how many of the times lie in the window that begins then."""
    return sum(start_s <= at_s < start_s + WINDOW_S for at_s in times_s)


def simulate(
    *connectors: Connector,
    others_s: Iterable[float] = (),
    latency_s: float = 0.01,
    end_s: float = 3600.0,
) -> None:
    """Run the connectors, and single upserts of others, against one rate limit.

    The server counts an upsert in the middle of its latency.
    """
    random.seed(1)
    now_s = 0.0
    limit = SlidingWindow()
    queue: list[tuple[float, int, str]] = [(at_s, -1, "other") for at_s in others_s]
    for number, connector in enumerate(connectors):
        connector.pacer = Pacer(WINDOW_S, clock=lambda: now_s)
        queue.append((connector.start_s, number, "turn"))
    heapq.heapify(queue)

    while queue and queue[0][0] < end_s:
        now_s, number, event = heapq.heappop(queue)
        if event == "other":
            limit.take(now_s)
            continue
        connector = connectors[number]
        after_s, following = latency_s / 2, "answer"
        if event == "turn":
            after_s, following = connector.pacer.wait_s(), "send"
        elif event == "send":
            following = "stored" if limit.take(now_s + after_s) else "throttled"
            after_s = latency_s
        elif event == "stored":
            connector.pacer.count()
            connector.stored_s.append(now_s)
            connector.throttled_wait_s = 0.0
            if len(connector.stored_s) == connector.upserts:
                continue
            after_s, following = 0.0, "turn"
        elif event == "throttled":
            connector.throttled_s.append(now_s)
            after_s, following = connector.pacer.throttled_wait_s(), "turn"
            connector.throttled_wait_s += after_s
            connector.longest_wait_s = max(connector.longest_wait_s, connector.throttled_wait_s)
        heapq.heappush(queue, (now_s + after_s, number, following))


@pytest.mark.parametrize("latency_s", [0.001, 0.05, 0.2])
def test_alone_it_runs_at_the_full_rate(latency_s: float) -> None:
    """Three windows' worth within 5 % of the best possible time, at most three 429s in any."""
    alone = Connector(0.0, 3 * LIMIT)
    simulate(alone, latency_s=latency_s)
    best_s = 2 * WINDOW_S + LIMIT * latency_s
    assert alone.stored_s[-1] <= 1.05 * best_s
    assert 1 <= alone.most_429s_in_a_window() <= 3


@pytest.mark.parametrize("start_s", [0.0, 0.05, 0.5, 10.0, 30.0, 59.0])
@pytest.mark.parametrize("latency_s", [0.001, 0.05])
def test_two_share_what_there_is(start_s: float, latency_s: float) -> None:
    """Together they use at least 90 % of what the limit allows, and none of them starves."""
    first, second = Connector(0.0, 10**6), Connector(start_s, 10**6)
    simulate(first, second, latency_s=latency_s, end_s=10 * WINDOW_S)
    assert len(first.stored_s + second.stored_s) >= 0.9 * 10 * LIMIT
    for connector in (first, second):
        assert all(within(connector.stored_s, n * WINDOW_S) >= 1 for n in range(1, 10))
        assert connector.longest_wait_s < 1.1 * WINDOW_S
        # As many as a client without a slot asks for one; with slots there are a few.
        assert connector.most_429s_in_a_window() <= 40
        assert within(connector.throttled_s, 5 * WINDOW_S) <= 6


def test_it_goes_on_once_others_leave_a_slot() -> None:
    """The limit was used up by somebody else for a whole window."""
    late = Connector(1.0, LIMIT)
    simulate(late, others_s=[number * 0.001 for number in range(LIMIT)])
    assert WINDOW_S <= late.stored_s[0] <= 1.06 * WINDOW_S
    assert late.stored_s[-1] <= 1.15 * WINDOW_S


@pytest.mark.parametrize("others", [30, 60, 115, 119])
def test_when_others_stop_it_is_back_at_the_full_rate_within_two_windows(others: int) -> None:
    stop_s = 5 * WINDOW_S
    every_s = WINDOW_S / others
    others_s = [number * every_s for number in range(round(stop_s / every_s))]
    connector = Connector(1.5 * WINDOW_S, 10**6)
    simulate(connector, others_s=others_s, end_s=stop_s + 4 * WINDOW_S)
    assert within(connector.stored_s, stop_s - WINDOW_S) < 1.1 * (LIMIT - others) + 5
    assert within(connector.stored_s, stop_s + 2 * WINDOW_S) >= 0.95 * LIMIT


def test_before_the_first_429_nothing_waits() -> None:
    pacer = Pacer()
    waits_s = set()
    for _ in range(10_000):
        waits_s.add(pacer.wait_s())
        pacer.count()
    assert waits_s == {0.0}


def test_that_pacing_begins_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    alone = Connector(0.0, 3 * LIMIT)
    with caplog.at_level(logging.INFO, "airbyte"):
        simulate(alone)
    assert len(alone.throttled_s) > 1
    assert caplog.messages == [
        "The workspace's rate limit is reached: 120 of its upserts in the last 60 s were this "
        "sync's. From now on it keeps to such a rate, and in time tries for more."
    ]
