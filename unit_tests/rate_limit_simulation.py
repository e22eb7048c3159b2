"""Connectors against Dust's rate limit at its real size, in virtual time."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from destination_dust.pacing import Pacer

LIMIT = 120
WINDOW_S = 60.0
MINUTE_S = 60.0

# From a server next door to one that embeds a long text.
ANSWER_TIMES_S = (0.001, 0.05, 0.2, 1.0)

# An upsert that has waited so long after 429s fails with the next one.
PATIENCE_S = 3 * WINDOW_S


class SlidingWindow:
    """The rate limit as Dust keeps it: a slot is free again a window after it was taken."""

    def __init__(self) -> None:
        self._taken_s: deque[float] = deque()

    def take(self, now_s: float) -> bool:
        """Return whether there was a slot, which is then taken."""
        while self._taken_s and now_s - self._taken_s[0] >= WINDOW_S:
            self._taken_s.popleft()
        if len(self._taken_s) >= LIMIT:
            return False
        self._taken_s.append(now_s)
        return True


@dataclass
class Connector:
    """One sync that always has a record to upsert: when it begins, and what became of it."""

    start_s: float = 0.0
    pacer: Pacer = field(init=False)
    stored_s: list[float] = field(default_factory=list)
    throttled_s: list[float] = field(default_factory=list)
    # What an upsert has waited after 429s, and the most that one had waited when it met another.
    throttled_wait_s: float = 0.0
    most_waited_s: float = 0.0


def simulate(
    *connectors: Connector,
    end_s: float,
    answer_s: float = 0.05,
    seed: int = 1,
    others_s: Iterable[float] = (),
) -> None:
    """Run the connectors, and single upserts of others at given times, against one rate limit.

    Request and answer take half of `answer_s` each, give or take a half of that at random.
    """
    now_s = 0.0
    limit = SlidingWindow()
    chance = random.Random(seed)
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
        after_s = answer_s / 2 * chance.uniform(0.5, 1.5)
        if event == "turn":
            after_s, following = connector.pacer.wait_s(), "send"
        elif event == "send":
            following = "arrive"
        elif event == "arrive":
            following = "stored" if limit.take(now_s) else "throttled"
        elif event == "stored":
            connector.pacer.count()
            connector.stored_s.append(now_s)
            connector.throttled_wait_s = 0.0
            after_s, following = 0.0, "turn"
        else:
            connector.throttled_s.append(now_s)
            connector.most_waited_s = max(connector.most_waited_s, connector.throttled_wait_s)
            after_s, following = connector.pacer.throttled_wait_s(), "turn"
            connector.throttled_wait_s += after_s
        heapq.heappush(queue, (now_s + after_s, number, following))


def within(times_s: Iterable[float], start_s: float, end_s: float | None = None) -> int:
    """Return how many of the times lie from the start to before the end; a window's unless told."""
    end_s = start_s + WINDOW_S if end_s is None else end_s
    return sum(start_s <= at_s < end_s for at_s in times_s)


def most_in_a_window(times_s: list[float]) -> int:
    """Return the largest number of the times, which are in order, that lie in one window."""
    return max((within(times_s, at_s) for at_s in times_s), default=0)


def jains_index(numbers: list[int]) -> float:
    """Return how equal the numbers are: 1 when all are the same, 1/n when one has it all.

    Source: Jain, Chiu, Hawe, "A quantitative measure of fairness and discrimination", 1984.
    """
    return sum(numbers) ** 2 / (len(numbers) * sum(number**2 for number in numbers))


@dataclass(frozen=True)
class Figures:
    """What came of a scenario: what is promised, as measured, and what each connector stored.

    The use is a part of the limit. 429s are those of one connector in one window: the mean in the
    measured span, and the most in the whole run.
    """

    upserts: list[int]
    jains_index: float
    use: float
    mean_429s: float
    most_429s: int
    most_waited_s: float


@dataclass(frozen=True)
class Scenario:
    """Connectors that start one after another, and what is promised of them.

    Shares and use are promised from `measured_from_s` on, the rest for the whole run.
    """

    connectors: int
    apart_s: float
    end_s: float
    measured_from_s: float
    least_jains_index: float
    least_use: float
    most_429s: int

    def __str__(self) -> str:
        if self.connectors == 1:
            return "1 alone"
        return f"{self.connectors}, {self.apart_s:g} s apart"

    @property
    def answer_times_s(self) -> list[float]:
        """Those at which the connectors could make more upserts than the limit allows."""
        return [
            answer_s for answer_s in ANSWER_TIMES_S if self.connectors * WINDOW_S / answer_s > LIMIT
        ]

    def missed(self, figures: Figures) -> list[str]:
        """Return what falls short of the promise, in words."""
        promises = {
            f"Jain's index {figures.jains_index:.3f}, at least {self.least_jains_index} promised": (
                figures.jains_index >= self.least_jains_index
            ),
            f"use {figures.use:.1%}, at least {self.least_use:.0%} promised": (
                figures.use >= self.least_use
            ),
            f"{figures.most_429s} 429s in a window, at most {self.most_429s} promised": (
                figures.most_429s <= self.most_429s
            ),
            f"429 after {figures.most_waited_s:.0f} s of waiting, fails after {PATIENCE_S:.0f}": (
                figures.most_waited_s < PATIENCE_S
            ),
        }
        return [promise for promise, is_kept in promises.items() if not is_kept]


def _alone() -> Scenario:
    return Scenario(
        connectors=1,
        apart_s=0.0,
        end_s=8 * MINUTE_S,
        measured_from_s=0.0,
        least_jains_index=1.0,
        least_use=0.97,
        most_429s=3,
    )


def _soon(connectors: int) -> Scenario:
    return Scenario(
        connectors=connectors,
        apart_s=60.0,
        end_s=8 * MINUTE_S,
        measured_from_s=5 * MINUTE_S,
        least_jains_index=0.9,
        least_use=0.96,
        most_429s=30,
    )


def _in_the_long_run(connectors: int) -> Scenario:
    return Scenario(
        connectors=connectors,
        apart_s=90.0,
        end_s=30 * MINUTE_S,
        measured_from_s=15 * MINUTE_S,
        least_jains_index=0.95,
        least_use=0.96,
        most_429s=30,
    )


SCENARIOS = (
    _alone(),
    *(_soon(connectors) for connectors in (2, 3, 5)),
    *(_in_the_long_run(connectors) for connectors in (2, 5, 10)),
)


def measure(scenario: Scenario, answer_s: float, seed: int) -> Figures:
    """Run a scenario."""
    connectors = [Connector(number * scenario.apart_s) for number in range(scenario.connectors)]
    simulate(*connectors, end_s=scenario.end_s, answer_s=answer_s, seed=seed)
    from_s, end_s = scenario.measured_from_s, scenario.end_s
    windows = (end_s - from_s) / WINDOW_S
    upserts = [within(connector.stored_s, from_s, end_s) for connector in connectors]
    refusals = sum(within(connector.throttled_s, from_s, end_s) for connector in connectors)
    return Figures(
        upserts=upserts,
        jains_index=jains_index(upserts),
        use=sum(upserts) / (LIMIT * windows),
        mean_429s=refusals / (len(connectors) * windows),
        most_429s=max(most_in_a_window(connector.throttled_s) for connector in connectors),
        most_waited_s=max(connector.most_waited_s for connector in connectors),
    )
