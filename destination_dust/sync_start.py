"""When a sync began by Dust's clock, so that newer documents can be told from older ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil
from typing import Any

_SECOND_MS = 1000


class SyncStart:
    """When the sync began by Dust's clock: an estimate that is never too late.

    The clock of this machine may be wrong, so it is only used to measure durations. `started_s` is
    when the process started, by the `clock`.
    """

    def __init__(self, started_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._started_s = started_s
        self._clock = clock
        self._estimate_ms: int | None = None

    def note(self, dust_ms: int | None) -> None:
        """Note Dust's time in ms in a response that has just arrived.

        The response was on its way for a while, so the estimate is too early by as much. The latest
        estimate is the best.
        """
        if dust_ms is not None:
            estimate_ms = dust_ms - ceil((self._clock() - self._started_s) * 1000)
            if self._estimate_ms is None or estimate_ms > self._estimate_ms:
                self._estimate_ms = estimate_ms

    def is_after(self, created_ms: Any) -> bool:
        """Return whether the sync certainly began after a document with this `created`."""
        if self._estimate_ms is None or not isinstance(created_ms, int):
            return False
        # A clock of whole seconds shows the same time for a second.
        latest_ms = created_ms if created_ms % _SECOND_MS else created_ms + _SECOND_MS - 1
        return latest_ms < self._estimate_ms
