"""What a sync tells its user on the way: progress, what was passed over, a summary per stream."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from airbyte_cdk.models import AirbyteRecordMessage

from destination_dust.client import Effort
from destination_dust.document import Document, Stream, StreamKey

logger = logging.getLogger("airbyte")

PROGRESS_INTERVAL_S = 30.0


@dataclass
class _Counts:
    documents: int = 0
    without_key: int = 0
    effort: Effort = field(default_factory=Effort)


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

    def effort(self, stream: Stream) -> Effort:
        """Return where the effort for the stream's upserts adds up."""
        return self._counts[stream.key].effort

    def stored(self, document: Document) -> None:
        """Count a document that Dust now has."""
        key = document.stream.key
        counts = self._counts[key]
        counts.documents += 1
        if document.lacks_its_key:
            counts.without_key += 1
            if counts.without_key == 1:
                logger.warning(
                    "Stream %s has a record without its primary key: its document id is made of "
                    "a hash of the record instead.",
                    _name(key),
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
                "Stream %s: %s upserted%s, %s, %.1f s waited for the rate limit.",
                _name(key),
                _number(counts.documents, "document"),
                f" ({counts.without_key} without their key)" if counts.without_key else "",
                _number(counts.effort.retries, "retry", "retries"),
                counts.effort.rate_limit_wait_s,
            )
        for key, records in self._not_in_catalog.items():
            logger.info(
                "Stream %s: %s not stored, as it is not in the configured catalog.",
                _name(key),
                _number(records, "record"),
            )

    def _progress(self) -> None:
        now_s = self._clock()
        if now_s - self._last_progress_s >= PROGRESS_INTERVAL_S:
            self._last_progress_s = now_s
            total = sum(counts.documents for counts in self._counts.values())
            logger.info("%s upserted so far.", _number(total, "document"))


def _number(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def _name(key: StreamKey) -> str:
    namespace, name = key
    return repr(name) if namespace is None else f"{name!r} of namespace {namespace!r}"
