"""Simulates connectors under Dust's rate limit, at its real size, and says what is promised."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from destination_dust.failures import Failure, Response
from destination_dust.rate_limit import Pacer, Retries

LIMIT = 120
WINDOW_S = 60.0
MINUTE_S = 60.0

# From a server next door to one that embeds a long text.
ANSWER_TIMES_S = (0.001, 0.05, 0.1, 0.2, 0.4, 1.0, 2.0, 4.0)

RATE_LIMITED = Failure.of(Response(429, "https://dust.tt/"))


class SlidingWindow:
    """The rate limit as Dust keeps it: a slot is free again a window after it was taken."""

    def __init__(self) -> None:
        self._free_s = deque([-math.inf] * LIMIT)

    def next_free_s(self) -> float:
        """Return when the next slot is free, or has been since."""
        return self._free_s[0]

    def take(self, now_s: float) -> bool:
        """Return whether there was a free slot, which is then taken."""
        if now_s < self._free_s[0]:
            return False
        self._free_s.popleft()
        self._free_s.append(now_s + WINDOW_S)
        return True


@dataclass
class Connector:
    """One sync: when it starts, how many records it has, and what became of them."""

    start_s: float = 0.0
    records: float = math.inf
    stored_s: list[float] = field(default_factory=list)
    rate_limited_s: list[float] = field(default_factory=list)

    def start(self, chance: random.Random) -> float:
        """Return when it sends the first upsert."""
        self._now_s = self.start_s
        self._pacer = Pacer(WINDOW_S, clock=lambda: self._now_s, uniform=chance.uniform)
        self._retries = Retries(self._pacer, takes_slot=True)
        return self._now_s + self._retries.wait_s()

    def receive(self, now_s: float, *, is_stored: bool) -> float | None:
        """Return when it sends the next upsert; None when it has finished or given up."""
        self._now_s = now_s
        if is_stored:
            self._pacer.count()
            self.stored_s.append(now_s)
            self._retries = Retries(self._pacer, takes_slot=True)
            if len(self.stored_s) == self.records:
                return None
        else:
            self.rate_limited_s.append(now_s)
            if not self._retries.go_on_after(RATE_LIMITED):
                return None
        return self._now_s + self._retries.wait_s()


def simulate(
    *connectors: Connector,
    answer_s: float,
    seed: int,
    others_s: Iterable[float] = (),
    end_s: float = math.inf,
) -> None:
    """Run the connectors, and upserts of others at given times, against one rate limit.

    Request and response take half of `answer_s` each, give or take a half of that at random.
    """
    limit = SlidingWindow()
    chance = random.Random(seed)

    def way_s() -> float:
        return answer_s / 2 * chance.uniform(0.5, 1.5)

    arrivals = [(at_s, -1) for at_s in others_s]
    for number, connector in enumerate(connectors):
        arrivals.append((connector.start(chance) + way_s(), number))
    heapq.heapify(arrivals)

    while arrivals and arrivals[0][0] < end_s:
        at_s, number = heapq.heappop(arrivals)
        is_stored = limit.take(at_s)
        if number >= 0:
            sent_s = connectors[number].receive(at_s + way_s(), is_stored=is_stored)
            if sent_s is not None:
                heapq.heappush(arrivals, (sent_s + way_s(), number))


def best_s(records: int, answer_s: float, earlier_s: Iterable[float] = ()) -> float:
    """Return how long the records take where each is sent as soon as there is a free slot."""
    limit = SlidingWindow()
    for at_s in earlier_s:
        limit.take(at_s)
    at_s = answer_s / 2
    for _ in range(records):
        at_s = max(at_s, limit.next_free_s())
        limit.take(at_s)
        at_s += answer_s
    return at_s - answer_s / 2


def within(times_s: Iterable[float], start_s: float, end_s: float) -> int:
    """Return how many of the times lie from the start to before the end."""
    return sum(start_s <= at_s < end_s for at_s in times_s)


def jains_index(numbers: Sequence[int]) -> float:
    """Return how equal the numbers are: 1 when all are the same, 1/n when one has it all.

    Source: Jain, Chiu, Hawe, "A quantitative measure of fairness and discrimination", 1984.
    """
    return sum(numbers) ** 2 / (len(numbers) * sum(number**2 for number in numbers))


@dataclass(frozen=True)
class Promise:
    """A figure and its bound, which is a least or a most one."""

    figure: str
    least: float = -math.inf
    most: float = math.inf
    style: str = ".2f"

    def __str__(self) -> str:
        words, bound = ("at most", self.most) if self.most < math.inf else ("at least", self.least)
        return f"{words} {bound:{self.style}}"

    def worst(self, values: Iterable[float]) -> float:
        """Return the value that is nearest to the bound, or furthest beyond it."""
        return max(values) if self.most < math.inf else min(values)

    def is_kept(self, value: float) -> bool:
        """Return whether the value is within the bound."""
        return self.least <= value <= self.most


TIMES_THE_BEST = "time against the best possible"
USE = "use of the limit"
JAINS_INDEX = "Jain's index of the shares"
AS_SLOTS_BECOME_FREE = "use of the limit in the first minute"
WITH_ALL_SLOTS_FREE = "use of the limit in the second minute"

FEW_429S = Promise("429s a minute for each, on average", most=20, style=".1f")
# After five windows of nothing but 429s it would give up.
PATIENT = Promise("longest wait of an upsert, in s", most=5 * WINDOW_S, style=".0f")
ALWAYS = (FEW_429S, PATIENT)


@dataclass(frozen=True)
class Scenario:
    """What is promised in a situation, beside what is promised ALWAYS.

    It is measured for an answer time and a seed.
    """

    name: str
    measure: Callable[[float, int], dict[str, float]]
    promises: tuple[Promise, ...]
    connectors: int = 1

    def __str__(self) -> str:
        return self.name

    @property
    def answer_times_s(self) -> list[float]:
        """Those at which the connectors could make more upserts than the limit allows."""
        return [
            answer_s for answer_s in ANSWER_TIMES_S if self.connectors * WINDOW_S / answer_s > LIMIT
        ]

    def missed(self, answer_s: float, seed: int) -> list[str]:
        """Return the promises that are not kept, in words."""
        figures = self.measure(answer_s, seed)
        return [
            f"{promise.figure}: {figures[promise.figure]:{promise.style}}, {promise} promised"
            for promise in (*self.promises, *ALWAYS)
            if not promise.is_kept(figures[promise.figure])
        ]


def _waiting(connectors: Sequence[Connector], end_s: float) -> dict[str, float]:
    """Return what waiting cost the connectors: the figures of the worst of them."""
    return {
        FEW_429S.figure: max(
            len(one.rate_limited_s) / ((end_s - one.start_s) / MINUTE_S) for one in connectors
        ),
        PATIENT.figure: max(
            later_s - earlier_s
            for one in connectors
            for earlier_s, later_s in pairwise([one.start_s, *one.stored_s, end_s])
        ),
    }


def _finite(records: int, most: float, *, burst: int = 0) -> Scenario:
    """A sync of so many records, alone or right after somebody else's burst of 12 s."""
    burst_s = [12 * (number / burst - 1) for number in range(burst)]

    def measure(answer_s: float, seed: int) -> dict[str, float]:
        connector = Connector(records=records)
        simulate(connector, answer_s=answer_s, seed=seed, others_s=burst_s)
        took_s = connector.stored_s[-1]
        return {
            TIMES_THE_BEST: took_s / best_s(records, answer_s, burst_s),
            **_waiting([connector], took_s),
        }

    return Scenario(
        f"{records} records after somebody's {burst}" if burst else f"{records} records alone",
        measure,
        (Promise(TIMES_THE_BEST, most=most),),
    )


def _use(connectors: Sequence[Connector], from_s: float, end_s: float) -> float:
    stored = sum(within(one.stored_s, from_s, end_s) for one in connectors)
    return stored / (LIMIT * (end_s - from_s) / WINDOW_S)


def _others_stop(
    per_minute: int, least_in_the_first: float, least_in_the_second: float
) -> Scenario:
    """Somebody else's upserts, evenly spaced, end after ten minutes.

    At 0.4 s an upsert is hardly faster than the limit: what is late is not caught up at once.
    """
    stop_s = 10 * MINUTE_S
    others_s = [number * MINUTE_S / per_minute for number in range(10 * per_minute)]

    def measure(answer_s: float, seed: int) -> dict[str, float]:
        one = [Connector()]
        end_s = stop_s + 2 * WINDOW_S
        simulate(*one, answer_s=answer_s, seed=seed, others_s=others_s, end_s=end_s)
        return {
            AS_SLOTS_BECOME_FREE: _use(one, stop_s, stop_s + WINDOW_S),
            WITH_ALL_SLOTS_FREE: _use(one, stop_s + WINDOW_S, end_s),
            **_waiting(one, end_s),
        }

    return Scenario(
        f"others stop that sent {per_minute} a minute",
        measure,
        (
            Promise(AS_SLOTS_BECOME_FREE, least=least_in_the_first, style=".1%"),
            Promise(WITH_ALL_SLOTS_FREE, least=least_in_the_second, style=".1%"),
        ),
    )


def _sharing(
    start: str,
    connectors: int,
    apart_s: float,
    minutes: tuple[int, int],
    least_jains_index: float,
    least_use: float = 0.95,
) -> Scenario:
    """Connectors that start one after another, of which shares and use are measured later."""
    from_min, end_min = minutes
    from_s, end_s = from_min * MINUTE_S, end_min * MINUTE_S

    def measure(answer_s: float, seed: int) -> dict[str, float]:
        each = [Connector(number * apart_s) for number in range(connectors)]
        simulate(*each, answer_s=answer_s, seed=seed, end_s=end_s)
        return {
            JAINS_INDEX: jains_index([within(one.stored_s, from_s, end_s) for one in each]),
            USE: _use(each, from_s, end_s),
            **_waiting(each, end_s),
        }

    promises = (
        Promise(JAINS_INDEX, least=least_jains_index, style=".3f"),
        Promise(USE, least=least_use, style=".1%"),
    )
    name = f"{start}, minute {from_min} to {end_min}"
    return Scenario(name, measure, promises[connectors == 1 :], connectors)


SCENARIOS = (
    _finite(200, 1.3),
    _finite(300, 1.15),
    _finite(360, 1.25),
    _finite(600, 1.15),
    _sharing("alone", 1, 0.0, (5, 35), 1.0, 0.98),
    *(_finite(110, 1.5, burst=burst) for burst in (109, 120)),
    *(_finite(300, 1.15, burst=burst) for burst in (109, 120)),
    _others_stop(30, 0.7, 0.92),
    _others_stop(60, 0.7, 0.92),
    _others_stop(90, 0.85, 0.92),
    _others_stop(119, 0.95, 0.95),
    _sharing("2 that start 60 s apart", 2, 60.0, (5, 8), 0.93),
    _sharing("3 that start 60 s apart", 3, 60.0, (5, 8), 0.93),
    _sharing("5 that start 60 s apart", 5, 60.0, (5, 8), 0.85),
    *(
        _sharing("2 to 10 that start 90 s apart", connectors, 90.0, (15, 30), 0.93)
        for connectors in range(2, 11)
    ),
)
