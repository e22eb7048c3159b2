"""What a sync tells its user on the way: progress, what was ignored, a summary per stream."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from airbyte_cdk.models import AirbyteRecordMessage

from destination_dust.document import Document
from destination_dust.retry import Effort
from destination_dust.stream import Stream, StreamKey, stream_key, stream_name

logger = logging.getLogger("airbyte")

PROGRESS_INTERVAL_S = 30.0


@dataclass
class _Counts:
    upserted: int = 0
    without_key: int = 0
    deleted: int = 0
    undeletable: int = 0
    stale: int = 0


class SyncReport:
    """Counts what happens and says it through the `airbyte` logger: never a record's contents.

    `streams` are those of the configured catalog, `efforts` what it takes to get their requests
    through. As a context manager it ends with a summary, also when the sync fails.
    """

    def __init__(
        self,
        streams: Iterable[StreamKey],
        efforts: Mapping[StreamKey | None, Effort],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._efforts = efforts
        self._clock = clock
        self._last_progress_s = clock()
        self._counts = {key: _Counts() for key in streams}
        self._not_in_catalog: Counter[StreamKey] = Counter()

    def __enter__(self) -> SyncReport:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._summarise()

    def stored(self, document: Document) -> None:
        """Count a document that Dust now has."""
        key = document.stream.key
        counts = self._counts[key]
        counts.upserted += 1
        if document.lacks_its_key:
            counts.without_key += 1
            if counts.without_key == 1:
                logger.warning(
                    "Stream %s has a record without its primary key: its document id is made of "
                    "a hash of the record instead.",
                    stream_name(key),
                )
        if document.is_deleted:
            counts.undeletable += 1
            if counts.undeletable == 1:
                logger.warning(
                    "Stream %s has a deleted record without a primary key: which document to "
                    "delete is not known, so it is stored like any other.",
                    stream_name(key),
                )
        self._progress()

    def deleted(self, document: Document) -> None:
        """Count a document that was deleted, as its record was at the source."""
        self._counts[document.stream.key].deleted += 1
        self._progress()

    def deleted_stale(self, stream: Stream) -> None:
        """Count a stale document of a stream that is being replaced, which was deleted."""
        self._counts[stream.key].stale += 1
        self._progress()

    def replaced(self, stream: Stream, *, newer: int) -> None:
        """Say that all stale documents of a stream are deleted.

        `newer` counts those that were kept, since they were written after this sync began.
        """
        name = stream_name(stream.key)
        logger.info(
            "Stream %s was replaced: %s of earlier syncs deleted.",
            name,
            _number(self._counts[stream.key].stale, "document"),
        )
        if newer:
            logger.warning(
                "Stream %s: %s kept that this sync did not bring, because another sync or somebody "
                "else has written them since this sync began.",
                name,
                _number(newer, "document"),
            )

    def ignored(self, record: AirbyteRecordMessage) -> None:
        """Count a record of a stream that the catalog does not hold."""
        key = stream_key(record.namespace, record.stream)
        self._not_in_catalog[key] += 1
        if self._not_in_catalog[key] == 1:
            logger.warning(
                "Stream %s is not in the configured catalog: its records are not stored.",
                stream_name(key),
            )

    def _summarise(self) -> None:
        for key, counts in self._counts.items():
            effort = self._efforts.get(key, Effort())
            logger.info(
                "Stream %s: %s upserted%s%s, %s, %.1f s waited for the rate limit.",
                stream_name(key),
                _number(counts.upserted, "document"),
                f" ({counts.without_key} without their key)" if counts.without_key else "",
                f", {deleted} deleted" if (deleted := counts.deleted + counts.stale) else "",
                _number(effort.retries, "retry", "retries"),
                effort.rate_limit_wait_s,
            )
        for key, records in self._not_in_catalog.items():
            logger.info(
                "Stream %s: %s not stored, as it is not in the configured catalog.",
                stream_name(key),
                _number(records, "record"),
            )

    def _progress(self) -> None:
        now_s = self._clock()
        if now_s - self._last_progress_s >= PROGRESS_INTERVAL_S:
            self._last_progress_s = now_s
            upserted = sum(counts.upserted for counts in self._counts.values())
            deleted = sum(counts.deleted + counts.stale for counts in self._counts.values())
            logger.info(
                "%s upserted%s so far.",
                _number(upserted, "document"),
                f", {deleted} deleted" if deleted else "",
            )


def _number(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
