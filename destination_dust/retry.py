"""Whether and when a failed request is sent again."""

from __future__ import annotations

import random

from destination_dust.failures import Failure
from destination_dust.pacing import Pacer

MAX_RETRIES = 3
FIRST_BACKOFF_S = 1.0
MAX_RETRY_AFTER_S = 300.0

# After this many windows of nothing but 429s, others take every free slot.
_PATIENCE_WINDOWS = 5


class Retries:
    """The retries of one request.

    There are up to three, after about 1, 2 and 4 s or when the server says (`Retry-After`). The
    waits are up to half longer, at random, so that syncs which failed together do not come back
    together.

    A 429 is not one of the three. It is retried until five windows have passed with nothing but
    429s. Without `Retry-After`, the pacer sets the wait of an upsert (`paced`), and the waits of
    other requests double.
    """

    def __init__(self, pacer: Pacer, *, paced: bool) -> None:
        self.done = 0
        self._pacer = pacer
        self._paced = paced
        self._failures = 0
        self._429s = 0
        # Full windows of nothing but 429s so far, and the waits in the current one.
        self._windows = 0
        self._waited_s = 0.0

    def wait_s(self, failure: Failure) -> float | None:
        """Return how long to wait before the next try, in seconds; None when there is none."""
        if not failure.is_retryable:
            return None
        wait_s = self._after_429_s(failure) if failure.is_rate_limited else self._wait_s(failure)
        if wait_s is not None:
            self.done += 1
        return wait_s

    def _wait_s(self, failure: Failure) -> float | None:
        self._windows, self._waited_s = 0, 0.0
        if self._failures == MAX_RETRIES:
            return None
        self._failures += 1
        return _asked_s(failure) or _backoff_s(self._failures)

    def _after_429_s(self, failure: Failure) -> float | None:
        if self._windows == _PATIENCE_WINDOWS:
            return None
        self._429s += 1
        pacer_s = self._pacer.retry_wait_s() if self._paced else None
        wait_s = _asked_s(failure) or pacer_s or self._capped_backoff_s()
        self._waited_s += wait_s
        if self._waited_s >= self._pacer.window_s:
            self._windows, self._waited_s = self._windows + 1, 0.0
        return wait_s

    def _capped_backoff_s(self) -> float:
        return min(_backoff_s(self._429s), self._pacer.window_s)


def _backoff_s(try_: int) -> float:
    jitter = random.uniform(1.0, 1.5)  # noqa: S311 - it spreads load, it guards nothing
    return FIRST_BACKOFF_S * 2.0 ** (try_ - 1) * jitter


def _asked_s(failure: Failure) -> float | None:
    """Return the wait that the server asks for, if it does."""
    if failure.retry_after_s is None:
        return None
    # At least the first backoff: a server may say "now".
    return min(max(failure.retry_after_s, FIRST_BACKOFF_S), MAX_RETRY_AFTER_S)
