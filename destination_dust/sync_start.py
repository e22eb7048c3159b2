"""When a sync began by Dust's clock, which tells its documents from those of others."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil
from typing import Any

_SECOND_MS = 1000


class SyncStart:
    """When the sync began, by Dust's clock: an estimate that is never too late.

    The clock of this machine may be an hour off, so only its differences count. `started_s` is when
    the process started, by the `clock`.
    """

    def __init__(self, started_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._started_s = started_s
        self._clock = clock
        self._estimate_ms: int | None = None

    def note(self, dust_ms: int | None) -> None:
        """Note the time by Dust's clock, in ms, that a response shows which has just arrived.

        It was on its way for a while, so the start comes out too early, by the least with the
        response that was quickest.
        """
        if dust_ms is not None:
            estimate_ms = dust_ms - ceil((self._clock() - self._started_s) * 1000)
            if self._estimate_ms is None or estimate_ms > self._estimate_ms:
                self._estimate_ms = estimate_ms

    def is_after(self, created_ms: Any) -> bool:
        """Return whether a document with this `created` was certainly written before the sync."""
        if self._estimate_ms is None or not isinstance(created_ms, int):
            return False
        # A clock of whole seconds may have shown this time for a second.
        latest_ms = created_ms if created_ms % _SECOND_MS else created_ms + _SECOND_MS - 1
        return latest_ms < self._estimate_ms
