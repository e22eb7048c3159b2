"""Keeps upserts within Dust's rate limit, which all clients of a workspace share."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable

logger = logging.getLogger("airbyte")

DUST_LIMIT = 120
DUST_WINDOW_S = 60.0

# Mean waits in seconds, for a window of 60 s. After a 429: a shorter one means more 429s, a longer
# one more idle slots.
_AFTER_429_S = 3.3
# Between upserts: a shorter one is less fair, a longer one slower once others have stopped.
_GAP_S = 0.25
_GAP_ALONE_S = 0.1


class Pacer:
    """Decides when one client sends its next upsert.

    Dust takes 120 upserts in any 60 s from a whole workspace. A slot is free again 60 s after the
    upsert that took it. A 429 takes no slot and does not say when to come back. Nothing waits
    before the first 429. After it, the client retries about 3.3 s after each 429 and leaves about
    0.25 s between upserts. All clients do the same, so they get equal shares, whoever started
    first. The times are random: otherwise clients could fall into step, and the same one would
    always be first. A client that has sent 120 upserts in the last 60 s is alone. It waits until
    the oldest one frees its slot, and leaves only 0.1 s between upserts until the next 429.
    """

    def __init__(
        self,
        window_s: float = DUST_WINDOW_S,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.window_s = window_s
        self._clock = clock
        self._uniform = uniform
        # When the last upserts got their responses. Dust has counted them by then, so their slots
        # are certainly free a window later.
        self._upserts_s: deque[float] = deque(maxlen=DUST_LIMIT)
        self._last_429_s: float | None = None
        self._is_alone = False
        self._next_turn_s = 0.0

    def wait_s(self) -> float:
        """Return how long the next upsert has to wait, in seconds: 0 before the first 429."""
        if self._last_429_s is None:
            return 0.0
        now_s = self._clock()
        turn_s = max(now_s, self._next_turn_s)
        if len(self._upserts_s) == DUST_LIMIT and self._upserts_s[0] + self.window_s > turn_s:
            turn_s = self._upserts_s[0] + self.window_s
            self._is_alone = True
        gap_s = _GAP_ALONE_S if self._is_alone else _GAP_S
        self._next_turn_s = turn_s + self._about(gap_s)
        return turn_s - now_s

    def count(self) -> None:
        """Note an upsert whose response was not a 429."""
        self._upserts_s.append(self._clock())

    def retry_wait_s(self) -> float:
        """Note a 429, and return the least time that its upsert has to wait, in seconds."""
        now_s = self._clock()
        # Said again only after a whole window without a 429.
        if self._last_429_s is None or now_s - self._last_429_s >= self.window_s:
            logger.info(
                "Dust's rate limit is reached (%d upserts a minute for the whole workspace): "
                "waiting.",
                DUST_LIMIT,
            )
        self._last_429_s = now_s
        self._is_alone = False
        return self._about(_AFTER_429_S)

    def _about(self, mean_s: float) -> float:
        return self._uniform(0.5, 1.5) * mean_s * self.window_s / DUST_WINDOW_S
