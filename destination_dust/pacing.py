"""Keeps upserts within a rate limit that is known only by its refusals."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

logger = logging.getLogger("airbyte")

DUST_WINDOW_S = 60.0

# In upserts per window: a share that is used up grows by so many in each window, ...
_INCREASE = 30.0
# ... and a 429 leaves this part of it. Less increase or a deeper cut leaves more slots unused; the
# other way round there are more 429s.
_CUT = 7 / 8

# The least that a client begins with. It is about what increase and cut leave to one that is always
# refused: such a client asks 15 times in a window.
_LEAST = 15.0

# Far above any limit worth pacing for; it bounds the memory where there is none.
_MOST_REMEMBERED = 10_000


class Pacer:
    """One client's share of a sliding-window rate limit.

    Dust allows a number of upserts in any 60 s to all clients of a workspace together. Its 429 says
    neither how many nor when to come back. Before the first 429 nothing is held up. From then on
    the client has a share, a number of upserts per window, and spreads them evenly. All shares grow
    by the same number, and lose the same part of them with each 429. So a large share, which meets
    more 429s and loses more with each, becomes smaller and a small one larger, until they are the
    same, whoever started first.

    Source: Chiu and Jain, "Analysis of the increase and decrease algorithms for congestion
    avoidance in computer networks", 1989.
    """

    def __init__(
        self, window_s: float = DUST_WINDOW_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.window_s = window_s
        self._clock = clock
        # When each upsert before the first 429 was answered. The server has counted it before that,
        # so a window after this time its slot is free for sure.
        self._upserts_s: deque[float] = deque(maxlen=_MOST_REMEMBERED)
        self._share: float | None = None
        self._next_turn_s = 0.0

    def wait_s(self) -> float:
        """Return how long the next upsert has to wait, in seconds: 0 before the first 429."""
        if self._share is None:
            return 0.0
        now_s = self._clock()
        wait_s = max(0.0, self._next_turn_s - now_s)
        if wait_s > 0:
            # A client that is slower than its share does not need a larger one.
            self._share += _INCREASE / self._share
        self._next_turn_s = now_s + wait_s + self.window_s / self._share
        return wait_s

    def count(self) -> None:
        """Take note of an upsert that was answered, other than by a 429."""
        if self._share is None:
            self._upserts_s.append(self._clock())

    def throttled_wait_s(self) -> float:
        """Take note of a 429, and return how long its upsert has to wait, in seconds."""
        now_s = self._clock()
        if self._share is None:
            wait_s = self._begin(now_s)
        else:
            # A refused turn adds as much as any, or small shares would hardly grow.
            self._share = _CUT * self._share + _INCREASE / self._share
            wait_s = self.window_s / self._share
        self._next_turn_s = now_s + wait_s
        return wait_s

    def _begin(self, now_s: float) -> float:
        """Set the first share, and return how long until the oldest upsert leaves the window."""
        while self._upserts_s and now_s - self._upserts_s[0] >= self.window_s:
            self._upserts_s.popleft()
        used = len(self._upserts_s)
        logger.info(
            "The workspace's rate limit is reached: %d of its upserts in the last %g s were this "
            "sync's. From now on it paces itself, so that all syncs into the workspace come to "
            "equal shares.",
            used,
            self.window_s,
        )
        self._share = max(_LEAST, _CUT * used)
        if not used:
            return self.window_s / self._share
        return self._upserts_s[0] + self.window_s - now_s
