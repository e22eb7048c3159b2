"""When a sync began by Dust's clock, so that newer documents can be told from older ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil
from typing import Any

_SECOND_MS = 1000


class SyncStart:
    """When the sync began by Dust's clock: an estimate that is never too late.

    Only differences between readings are used, because this machine's clocks may be wrong.
    `started_s` is when the process started, by the `clock`. The `clock` may stop while the machine
    is suspended, and the `wall_clock` may be set back, so the longer difference counts.
    """

    def __init__(
        self,
        started_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._clocks = (clock, wall_clock)
        self._started_s = (started_s, wall_clock() - (clock() - started_s))
        self._by_created_ms: int | None = None
        self._by_date_ms: int | None = None
        # A whole second until Dust's clock has shown anything else.
        self._resolution_ms = _SECOND_MS

    def note(self, created_ms: int | None) -> None:
        """Note the `created` of a document that Dust has just stored, in ms.

        A response takes time to arrive, so each estimate is a little early. The latest is best.
        """
        self._by_created_ms = _latest(self._by_created_ms, self._estimate_ms(created_ms))
        self._note_resolution(created_ms)

    def note_date(self, date_ms: int | None) -> None:
        """Note the date of a response that has just arrived, in ms.

        A proxy may have set it, so it counts only as long as no `created` is known.
        """
        self._by_date_ms = _latest(self._by_date_ms, self._estimate_ms(date_ms))

    def is_after(self, created_ms: Any) -> bool:
        """Return whether the sync certainly began after a document with this `created`."""
        start_ms = self._by_date_ms if self._by_created_ms is None else self._by_created_ms
        if start_ms is None or not isinstance(created_ms, int):
            return False
        self._note_resolution(created_ms)
        # By a clock of whole seconds, the document may be up to 999 ms newer.
        return created_ms + self._resolution_ms - 1 < start_ms

    def _note_resolution(self, created_ms: int | None) -> None:
        if created_ms is not None and created_ms % _SECOND_MS:
            self._resolution_ms = 1

    def _estimate_ms(self, dust_ms: int | None) -> int | None:
        if dust_ms is None:
            return None
        clocks = zip(self._clocks, self._started_s, strict=True)
        passed_s = max(clock() - started_s for clock, started_s in clocks)
        return dust_ms - ceil(passed_s * 1000)


def _latest(*estimates_ms: int | None) -> int | None:
    return max((one for one in estimates_ms if one is not None), default=None)
