"""A sync's start time on Dust's clock, which tells older documents from newer ones."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any


class SyncStart:
    """An estimate of the start time that is never too late.

    This machine's own time may be wrong, so only the time that has passed since `started_s` counts.
    """

    def __init__(self, started_s: float, clock: Callable[[], float]) -> None:
        self._started_s = started_s
        self._clock = clock
        self._by_created_ms = self._by_date_ms = -1

    def note_created(self, created_ms: Any) -> None:
        """Note the `created` of a document that Dust has just stored, in ms.

        A response takes time to arrive, so each estimate is a little early. The latest is best.
        """
        if isinstance(created_ms, int):
            self._by_created_ms = max(self._by_created_ms, self._less_passed_ms(created_ms))

    def note_date(self, date_ms: int | None) -> None:
        """Note the `Date` of a response that has just arrived, in ms.

        A proxy may have set it, so it counts only as long as no `created` is known.
        """
        if date_ms is not None:
            self._by_date_ms = max(self._by_date_ms, self._less_passed_ms(date_ms))

    def is_after(self, created_ms: Any) -> bool:
        """Return whether the sync certainly began after a document with this `created`."""
        if not isinstance(created_ms, int):
            return False
        # A clock of whole seconds shows a time that may be up to 999 ms ago.
        latest_ms = created_ms if created_ms % 1000 else created_ms + 999
        start_ms = self._by_date_ms if self._by_created_ms < 0 else self._by_created_ms
        return latest_ms < start_ms

    def _less_passed_ms(self, now_ms: int) -> int:
        return now_ms - ceil((self._clock() - self._started_s) * 1000)
