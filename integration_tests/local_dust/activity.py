"""How many requests of which kind a workspace got in the last minutes, second by second."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import accumulate
from math import ceil
from operator import sub
from typing import Any

SHOWN_S = 300


class Activity:
    """Counts upserts that took a slot of the rate limit, rate-limited ones, and deletes."""

    def __init__(self, window_s: float, clock: Callable[[], float]) -> None:
        self._window_s = ceil(window_s)
        self._clock = clock
        self._seconds: dict[int, Counter[str]] = defaultdict(Counter)

    def count(self, what: str) -> None:
        """Count an "upsert", a "refusal" or a "delete" that happens now."""
        second = int(self._clock())
        if second not in self._seconds:
            oldest = second - SHOWN_S - self._window_s
            for old in [known for known in self._seconds if known < oldest]:
                del self._seconds[old]
        self._seconds[second][what] += 1

    def shown(self) -> dict[str, Any]:
        """Return a list for each kind, with a count for each second up to the current one.

        `used` counts the upserts of the whole window before each second, as the rate limit does.
        """
        now = int(self._clock())
        upserts = self._per_second("upsert", now, SHOWN_S + self._window_s)
        sums = list(accumulate(upserts, initial=0))
        used = list(map(sub, sums[self._window_s :], sums))[1:]
        return {
            "used": used,
            "refusals": self._per_second("refusal", now, SHOWN_S),
            "deletes": self._per_second("delete", now, SHOWN_S),
        }

    def _per_second(self, what: str, now: int, seconds: int) -> list[int]:
        empty: Counter[str] = Counter()
        return [
            self._seconds.get(second, empty)[what] for second in range(now - seconds + 1, now + 1)
        ]
