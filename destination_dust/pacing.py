"""Keeps upserts within a rate limit that is known only by its refusals."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable

logger = logging.getLogger("airbyte")

DUST_WINDOW_S = 60.0

# The part of a window over which a share is spread, and in which a client without one asks again.
# Together they let a newcomer in: while one client refills its slots, the other's question falls
# between two of its upserts.
_SPREAD = 1 / 20

# The part of a window without a 429 after which there may be more to have.
_CALM = 1 / 2

# Far above any limit worth pacing for; it bounds the memory where there is none.
_MOST_REMEMBERED = 10_000


class Pacer:
    """One client's share of a sliding-window rate limit.

    Dust allows a number of upserts in any 60 s to all clients of a workspace together. Its 429 says
    neither how many nor when to come back. Before the first 429 nothing is held up. A 429 tells
    that what this client has upserted within the window is its share for now: from then on, when
    the share is used up, the next upsert waits until an earlier one has left the window; and
    upserts keep a small distance, so that other clients get a turn. After half a window without a
    429 the share grows by one with each upsert, the larger the faster, until the next 429. A client
    that had none of the slots is not held up, but asks for one from time to time.
    """

    def __init__(
        self, window_s: float = DUST_WINDOW_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.window_s = window_s
        self._clock = clock
        # When each upsert of the last window was answered. The server has counted it before that,
        # so a window after this time its slot is free for sure.
        self._upserts_s: deque[float] = deque(maxlen=_MOST_REMEMBERED)
        self._share: int | None = None
        self._last_turn_s = clock() - window_s
        self._throttled_s: float | None = None

    def wait_s(self) -> float:
        """Return how long the next upsert has to wait, in seconds: 0 before the first 429."""
        if self._share is None or self._throttled_s is None:
            return 0.0
        now_s = self._clock()
        used = self._used(now_s)
        if used < self._share:
            wait_s = self._until_spread(now_s, self._share)
        elif now_s - self._throttled_s < _CALM * self.window_s:
            wait_s = self._until_oldest_leaves(now_s)
        else:
            self._share = used + 1
            wait_s = self._until_spread(now_s, self._share)
        self._last_turn_s = now_s + wait_s
        return wait_s

    def count(self) -> None:
        """Take note of an upsert that was answered, other than by a 429."""
        self._upserts_s.append(self._clock())

    def throttled_wait_s(self) -> float:
        """Take note of a 429, and return how long its upsert has to wait, in seconds."""
        now_s = self._clock()
        used = self._used(now_s)
        if self._throttled_s is None:
            logger.info(
                "The workspace's rate limit is reached: %d of its upserts in the last %g s were "
                "this sync's. From now on it keeps to such a rate, and in time tries for more.",
                used,
                self.window_s,
            )
        self._throttled_s = now_s
        # With no slot of its own, a client takes all that it finds free when it finds any.
        self._share = used or None
        # Others may have taken the slots that come free next: do not ask for each of them.
        least_s = _SPREAD * self.window_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
        return max(least_s, self._until_oldest_leaves(now_s)) if used else least_s

    def _used(self, now_s: float) -> int:
        while self._upserts_s and now_s - self._upserts_s[0] >= self.window_s:
            self._upserts_s.popleft()
        return len(self._upserts_s)

    def _until_oldest_leaves(self, now_s: float) -> float:
        return self._upserts_s[0] + self.window_s - now_s

    def _until_spread(self, now_s: float, share: int) -> float:
        return max(0.0, self._last_turn_s + _SPREAD * self.window_s / share - now_s)
