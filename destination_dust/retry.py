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

    A 429 is none of the three: it passes when the rate limit has room again, and only windows full
    of 429s end the patience. Where the server does not say when to come back, the pacer knows best
    for a request that is `paced`; another one comes back after waits that double.
    """

    def __init__(self, pacer: Pacer, *, paced: bool) -> None:
        self.done = 0
        self._pacer = pacer
        self._paced = paced
        self._failures = 0
        self._refusals = 0
        self._throttled_s = 0.0

    def wait_s(self, failure: Failure) -> float | None:
        """Return how long to wait before the next try, in seconds; None when there is none."""
        if not failure.can_pass:
            return None
        wait_s = self._throttled_wait_s(failure) if failure.is_throttled else self._wait_s(failure)
        if wait_s is not None:
            self.done += 1
        return wait_s

    def _wait_s(self, failure: Failure) -> float | None:
        if self._failures == MAX_RETRIES:
            return None
        self._failures += 1
        if failure.retry_after_s is not None:
            return _within_bounds(failure.retry_after_s)
        return _backoff_s(self._failures)

    def _throttled_wait_s(self, failure: Failure) -> float | None:
        window_s = self._pacer.window_s
        if self._throttled_s >= _PATIENCE_WINDOWS * window_s:
            return None
        self._refusals += 1
        if failure.retry_after_s is not None:
            wait_s = _within_bounds(failure.retry_after_s)
        elif self._paced:
            wait_s = self._pacer.throttled_wait_s()
        else:
            wait_s = min(_backoff_s(self._refusals), window_s)
        wait_s = min(wait_s, _MOST_WINDOWS * window_s - self._throttled_s)
        self._throttled_s += wait_s
        return wait_s


def _backoff_s(try_: int) -> float:
    jitter = random.uniform(1.0, 1.5)  # noqa: S311 - it spreads load, it guards nothing
    return FIRST_BACKOFF_S * 2.0 ** (try_ - 1) * jitter


def _within_bounds(retry_after_s: float) -> float:
    # "Now" would be a request as fast as the last one failed.
    return min(max(retry_after_s, FIRST_BACKOFF_S), MAX_RETRY_AFTER_S)
