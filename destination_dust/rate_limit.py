"""When an upsert has its turn, and whether and when a failed request is sent again."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable

from destination_dust.failures import Failure

logger = logging.getLogger("airbyte")

DUST_LIMIT = 120
DUST_WINDOW_S = 60.0

MAX_RETRIES = 3
FIRST_BACKOFF_S = 1.0
MAX_RETRY_AFTER_S = 300.0

# After this many windows of nothing but 429s, others take every free slot.
_PATIENCE_WINDOWS = 5

# Mean waits in seconds, for a window of 60 s. After a 429: a shorter one means more 429s, a longer
# one more idle slots.
_AFTER_429_S = 3.3
# Between upserts: a shorter one is less fair, a longer one slower once others have stopped.
_GAP_S = 0.25
_GAP_ALONE_S = 0.1


class Pacer:
    """Decides when one client sends its next upsert.

    Dust takes 120 upserts in any 60 s from a whole workspace. A slot is free again 60 s after the
    upsert that took it. A 429 takes no slot and does not say when to come back.

    Before the first 429, nothing waits. After it, the client retries about 3.3 s after each 429 and
    leaves about 0.25 s between upserts. All clients do the same, so they get equal shares, whoever
    started first. The times are random, so that clients do not fall into step: otherwise the same
    one would always be first.

    A client that has sent 120 upserts in the last 60 s is alone. It waits until the oldest one
    frees its slot, and leaves only 0.1 s between upserts until the next 429.
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

    def note_429(self, retry_after_s: float | None) -> None:
        """Note a 429: the next upsert waits about 3.3 s, or as long as the server asks."""
        now_s = self._clock()
        # Logged again only after a whole window without a 429.
        if self._last_429_s is None or now_s - self._last_429_s >= self.window_s:
            logger.info(
                "Dust's rate limit is reached (%d upserts a minute for the whole workspace): "
                "waiting.",
                DUST_LIMIT,
            )
        self._last_429_s = now_s
        self._is_alone = False
        self._next_turn_s = now_s + (retry_after_s or self._about(_AFTER_429_S))

    def _about(self, mean_s: float) -> float:
        return self._uniform(0.5, 1.5) * mean_s * self.window_s / DUST_WINDOW_S


class Retries:
    """The tries of one request: when the next one is sent, and whether there is one.

    There are up to three retries, after about 1, 2 and 4 s, or when the server says
    (`Retry-After`). Each wait is randomly lengthened by up to 50%, so that syncs which failed
    together do not come back together.

    A 429 is not one of the three. It is retried until the waits for nothing but 429s add up to five
    windows. An upsert then waits for its turn (`pacer`); the waits of other requests double.
    """

    def __init__(
        self, pacer: Pacer, *, takes_slot: bool, longest_wait_s: float = float("inf")
    ) -> None:
        self.failures = 0
        """How many failures there were, apart from 429s."""
        self.backoff_s = 0.0
        self._pacer = pacer
        self._takes_slot = takes_slot
        self._left_s = longest_wait_s
        self._is_rate_limited = False
        self._rate_limited_s = 0.0

    def wait_s(self) -> float:
        """Return how long to wait before the next try, in seconds."""
        turn_s = self._pacer.wait_s() if self._takes_slot else 0.0
        wait_s = max(self.backoff_s, turn_s)
        if self._is_rate_limited:
            self._rate_limited_s += wait_s
        return wait_s

    @property
    def is_for_rate_limit(self) -> bool:
        """Return whether the wait is for the rate limit, not for another try."""
        return self._is_rate_limited or self.backoff_s == 0

    def go_on_after(self, failure: Failure) -> bool:
        """Return whether to try again after this failure."""
        if not failure.is_retryable:
            return False
        self._is_rate_limited = failure.is_rate_limited
        if failure.is_rate_limited:
            if self._rate_limited_s >= _PATIENCE_WINDOWS * self._pacer.window_s:
                return False
            self._back_off_from_429(_retry_after_s(failure))
        else:
            if self.failures == MAX_RETRIES:
                return False
            self._rate_limited_s = 0.0
            self.backoff_s = _retry_after_s(failure) or _jitter(FIRST_BACKOFF_S * 2**self.failures)
            self.failures += 1
        self._left_s -= self.backoff_s
        return self._left_s >= 0

    def _back_off_from_429(self, retry_after_s: float | None) -> None:
        if self._takes_slot:
            self._pacer.note_429(retry_after_s)
            self.backoff_s = 0.0
        else:
            doubled_s = max(FIRST_BACKOFF_S, self._rate_limited_s)
            self.backoff_s = retry_after_s or min(_jitter(doubled_s), self._pacer.window_s)


def _jitter(wait_s: float) -> float:
    return wait_s * random.uniform(1.0, 1.5)  # noqa: S311 - it spreads load, it guards nothing


def _retry_after_s(failure: Failure) -> float | None:
    """Return the wait that the server asks for, if it does."""
    if failure.retry_after_s is None:
        return None
    # At least the first backoff: a server may say "now".
    return min(max(failure.retry_after_s, FIRST_BACKOFF_S), MAX_RETRY_AFTER_S)
