"""What a sync tells its user on the way: progress, what was passed over, a summary per stream."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from airbyte_cdk.models import AirbyteRecordMessage

from destination_dust.catalog import StreamKey
from destination_dust.client import Effort
from destination_dust.document import Document

logger = logging.getLogger("airbyte")

PROGRESS_INTERVAL_S = 30.0


@dataclass
class _Counts:
    documents: int = 0
    retries: int = 0
    rate_limit_wait_s: float = 0.0
    without_key: int = 0


class SyncReport:
    """Counts what happens and says it through the `airbyte` logger: never a record's contents.

    `streams` are those of the configured catalog. As a context manager it ends with a summary, also
    when the sync fails.
    """

    def __init__(
        self, streams: Iterable[StreamKey], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._last_progress_s = clock()
        self._counts = {key: _Counts() for key in streams}
        self._not_in_catalog: Counter[StreamKey] = Counter()

    def __enter__(self) -> SyncReport:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._summarise()

    def stored(self, document: Document, effort: Effort) -> None:
        """Count a document that Dust now has."""
        stream = document.stream
        counts = self._counts[stream.namespace, stream.name]
        counts.documents += 1
        counts.retries += effort.retries
        counts.rate_limit_wait_s += effort.rate_limit_wait_s
        if document.lacks_its_key:
            counts.without_key += 1
            if counts.without_key == 1:
                logger.warning(
                    "Stream %s has a record without its primary key: its document id is made of "
                    "a hash of the record instead.",
                    _name((stream.namespace, stream.name)),
                )
        self._progress()

    def passed_over(self, record: AirbyteRecordMessage) -> None:
        """Count a record of a stream that the catalog does not hold."""
        key = (record.namespace, record.stream)
        self._not_in_catalog[key] += 1
        if self._not_in_catalog[key] == 1:
            logger.warning(
                "Stream %s is not in the configured catalog: its records are not stored.",
                _name(key),
            )

    def _summarise(self) -> None:
        for key, counts in self._counts.items():
            logger.info(
                "Stream %s: %d documents upserted, %d retries, %.1f s waited for the rate limit%s.",
                _name(key),
                counts.documents,
                counts.retries,
                counts.rate_limit_wait_s,
                f", {counts.without_key} records without their key" if counts.without_key else "",
            )
        for key, records in self._not_in_catalog.items():
            logger.info(
                "Stream %s: %d records not stored, as it is not in the configured catalog.",
                _name(key),
                records,
            )

    def _progress(self) -> None:
        now_s = self._clock()
        if now_s - self._last_progress_s >= PROGRESS_INTERVAL_S:
            self._last_progress_s = now_s
            total = sum(counts.documents for counts in self._counts.values())
            logger.info("%d documents upserted so far.", total)


def _name(key: StreamKey) -> str:
    namespace, name = key
    return repr(name) if namespace is None else f"{name!r} of namespace {namespace!r}"
