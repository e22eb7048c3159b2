"""Whether a request that failed is sent again, and how long to wait before."""

from __future__ import annotations

import random

from destination_dust.failures import Failure
from destination_dust.pacing import Pacer

MAX_RETRIES = 3
FIRST_BACKOFF_S = 1.0
MAX_RETRY_AFTER_S = 300.0

# After this many windows of nothing but 429s, others take every slot that becomes free.
_PATIENCE_WINDOWS = 3
# The most that one request waits for in all, also where the server asks for more.
_MOST_WINDOWS = 5


class Retries:
    """The repetitions of one request.

    Three of them after about 1, 2 and 4 s, or when the server says (`Retry-After`). The waits are
    up to half longer, at random, so that syncs which failed together do not return together.

    With a `pacer` a 429 is none of the three: it passes when a slot of the rate limit becomes free,
    and where the server does not say when that is, the pacer knows best. Only windows full of 429s
    end the patience.
    """

    def __init__(self, pacer: Pacer | None = None) -> None:
        self.done = 0
        self._pacer = pacer
        self._failures = 0
        self._throttled_s = 0.0

    def wait_s(self, failed: Failure) -> float | None:
        """Return how long to wait before the next try, in seconds; None when there is none."""
        if not failed.can_pass:
            return None
        if failed.is_throttled and self._pacer:
            wait_s = self._throttled_wait_s(failed, self._pacer)
        else:
            wait_s = self._backoff_s(failed)
        if wait_s is not None:
            self.done += 1
        return wait_s

    def _throttled_wait_s(self, failed: Failure, pacer: Pacer) -> float | None:
        if self._throttled_s >= _PATIENCE_WINDOWS * pacer.window_s:
            return None
        if failed.retry_after_s is None:
            wait_s = pacer.throttled_wait_s()
        else:
            wait_s = _within_bounds(failed.retry_after_s)
        wait_s = min(wait_s, _MOST_WINDOWS * pacer.window_s - self._throttled_s)
        self._throttled_s += wait_s
        return wait_s

    def _backoff_s(self, failed: Failure) -> float | None:
        if self._failures == MAX_RETRIES:
            return None
        self._failures += 1
        if failed.retry_after_s is not None:
            return _within_bounds(failed.retry_after_s)
        jitter = random.uniform(1.0, 1.5)  # noqa: S311 - it spreads load, it guards nothing
        return FIRST_BACKOFF_S * 2.0 ** (self._failures - 1) * jitter


def _within_bounds(retry_after_s: float) -> float:
    # "Now" would be a request as fast as the last one failed.
    return min(max(retry_after_s, FIRST_BACKOFF_S), MAX_RETRY_AFTER_S)
