"""How often a request is repeated, and how long to wait before."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """Three repetitions after about 1, 2 and 4 s, or when the server says.

    The waits are up to half longer, at random, so that syncs which failed together do not return
    together. A server's own wait (`Retry-After`) comes first, up to 5 minutes of it.
    """

    limit: int = 3
    backoff_s: float = 1.0
    max_retry_after_s: float = 300.0

    def wait_s(self, retries_done: int, retry_after_s: float | None) -> float:
        """Return how long to wait before the next repetition, in seconds."""
        if retry_after_s is not None:
            return min(retry_after_s, self.max_retry_after_s)
        jitter = random.uniform(1.0, 1.5)  # noqa: S311 - it spreads load, it guards nothing
        return self.backoff_s * 2.0**retries_done * jitter
