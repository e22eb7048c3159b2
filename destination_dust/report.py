"""What a sync logs for its user: progress, warnings, a summary."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from airbyte_cdk.models import AirbyteRecordMessage

from destination_dust.client import Wait
from destination_dust.document import Document
from destination_dust.stream import Stream, StreamKey, stream_key, stream_name

logger = logging.getLogger("airbyte")

PROGRESS_INTERVAL_S = 30.0

_NO_PRIMARY_KEY = (
    "Stream %s has no primary key: a record that changed becomes a second document, and the first "
    "one stays until the stream is refreshed. Choose a primary key in the connection if there is "
    "one."
)
_RECORD_WITHOUT_KEY = (
    "Stream %s has a record without its primary key: its document id contains a hash of the record "
    "instead."
)
_UNDELETABLE = (
    "Stream %s has a deleted record without a primary key: which document to delete is not known, "
    "so it is stored like any other."
)


@dataclass
class _Counts:
    upserted: int = 0
    unchanged: int = 0
    deleted: int = 0
    stale: int = 0
    without_key: int = 0
    retries: int = 0
    rate_limit_wait_s: float = 0.0

    @property
    def done(self) -> int:
        return self.upserted + self.unchanged + self.deleted


class SyncReport:
    """Counts what happens in a sync and logs it, but never the contents of records.

    `streams` are those of the configured catalog. As a context manager it logs a summary at the
    end, also when the sync fails.
    """

    def __init__(
        self,
        streams: Iterable[Stream],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._started_s = self._last_progress_s = clock()
        self._last_upserted = 0
        self._counts = {stream.key: _Counts() for stream in streams}
        self._not_in_catalog: Counter[StreamKey] = Counter()
        self._kept: dict[StreamKey, str] = {}
        self._said: set[tuple[StreamKey, str]] = set()

    def __enter__(self) -> SyncReport:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        self._summarise(has_failed=kind is not None)

    def wait(self, wait: Wait) -> None:
        """Wait for the client, and keep logging the progress meanwhile."""
        if wait.stream is not None:
            counts = self._counts[wait.stream.key]
            counts.retries += not wait.is_for_rate_limit
            counts.rate_limit_wait_s += wait.seconds * wait.is_for_rate_limit
        waits_for = "the rate limit" if wait.is_for_rate_limit else "another try"
        left_s = wait.seconds
        while left_s > 0:
            until_progress_s = self._last_progress_s + PROGRESS_INTERVAL_S - self._clock()
            slice_s = min(left_s, max(until_progress_s, 1.0))
            self._sleep(slice_s)
            left_s -= slice_s
            self._progress(f", waiting for {waits_for}" if left_s > 0 else "")

    def stored(self, document: Document) -> None:
        """Count a document that was upserted."""
        self._counts[document.stream.key].upserted += 1
        self._note_key(document)
        self._progress()

    def unchanged(self, document: Document) -> None:
        """Count a document that was not sent, because Dust has it already."""
        self._counts[document.stream.key].unchanged += 1
        self._note_key(document)
        self._progress()

    def deleted(self, document: Document) -> None:
        """Count a document that was deleted because its record was deleted at the source."""
        self._counts[document.stream.key].deleted += 1
        self._note_key(document)
        self._progress()

    def deleted_stale(self, stream: Stream) -> None:
        """Count a stale document that was deleted."""
        self._counts[stream.key].stale += 1
        self._progress()

    def replaced(self, stream: Stream, *, newer: int) -> None:
        """Log that the stale documents of a stream were deleted.

        `newer` counts those that were kept because they were written after this sync began.
        """
        name = stream_name(stream.key)
        stale = _number(self._counts[stream.key].stale, "document")
        logger.info("Stream %s was replaced: %s of earlier syncs deleted.", name, stale)
        if newer:
            logger.warning(
                "Stream %s: kept %s that this sync did not send: written by another sync or "
                "somebody else after it began.",
                name,
                _number(newer, "document"),
            )

    def kept(self, stream: Stream, reason: str, advice: str) -> None:
        """Warn that the old documents of a stream were kept although it is being replaced."""
        self._kept[stream.key] = reason
        logger.warning(
            "Stream %s: documents of earlier syncs were kept, because %s. %s",
            stream_name(stream.key),
            reason,
            advice,
        )

    def ignored(self, record: AirbyteRecordMessage) -> None:
        """Count a record of a stream that is not in the catalog."""
        key = stream_key(record.namespace, record.stream)
        self._not_in_catalog[key] += 1
        if self._not_in_catalog[key] == 1:
            logger.warning(
                "Stream %s is not in the configured catalog: its records are not stored.",
                stream_name(key),
            )

    def _note_key(self, document: Document) -> None:
        """Log once per stream what a missing or incomplete key means in Dust."""
        key = document.stream.key
        self._counts[key].without_key += document.lacks_its_key
        if not document.stream.primary_key:
            self._say_once(logging.WARNING, key, _NO_PRIMARY_KEY)
        elif document.key is None:
            self._say_once(logging.WARNING, key, _RECORD_WITHOUT_KEY)
        if document.is_deleted and document.key is None:
            self._say_once(logging.WARNING, key, _UNDELETABLE)

    def _say_once(self, level: int, key: StreamKey, message: str) -> None:
        if (key, message) not in self._said:
            self._said.add((key, message))
            logger.log(level, message, stream_name(key))

    def _progress(self, waiting: str = "") -> None:
        now_s = self._clock()
        passed_s = now_s - self._last_progress_s
        if passed_s < PROGRESS_INTERVAL_S:
            return
        total = self._total
        logger.info(
            "%s done (%s unchanged)%s, %s a minute%s.",
            _number(total.done, "record"),
            f"{total.unchanged:,}",
            f", {_number(total.stale, 'stale document')} deleted" if total.stale else "",
            _number(round((total.upserted - self._last_upserted) * 60 / passed_s), "upsert"),
            waiting,
        )
        self._last_progress_s = now_s
        self._last_upserted = total.upserted

    def _summarise(self, *, has_failed: bool) -> None:
        for key, counts in self._counts.items():
            logger.info(
                "Stream %s: %s upserted%s, %s unchanged, %s deleted, %s, %.1f s waited for the "
                "rate limit.",
                stream_name(key),
                _number(counts.upserted, "document"),
                f" ({counts.without_key:,} without their key)" if counts.without_key else "",
                f"{counts.unchanged:,}",
                f"{counts.deleted + counts.stale:,}",
                _number(counts.retries, "retry", "retries"),
                counts.rate_limit_wait_s,
            )
        for key, records in self._not_in_catalog.items():
            logger.info(
                "Stream %s: %s not stored, as it is not in the configured catalog.",
                stream_name(key),
                _number(records, "record"),
            )
        total = self._total
        kept = "; ".join(f"{stream_name(key)}, because {why}" for key, why in self._kept.items())
        logger.info(
            "Sync %s %s: %s, %s upserted, %s unchanged, %s deleted.%s",
            "failed after" if has_failed else "finished in",
            _duration(self._clock() - self._started_s),
            _number(total.done + sum(self._not_in_catalog.values()), "record"),
            f"{total.upserted:,}",
            f"{total.unchanged:,}",
            f"{total.deleted + total.stale:,}",
            f" Documents of earlier syncs were kept: {kept}." if kept else "",
        )

    @property
    def _total(self) -> _Counts:
        counts = self._counts.values()
        return _Counts(
            upserted=sum(each.upserted for each in counts),
            unchanged=sum(each.unchanged for each in counts),
            deleted=sum(each.deleted for each in counts),
            stale=sum(each.stale for each in counts),
        )


def _number(number: int, singular: str, plural: str = "") -> str:
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def _duration(seconds: float) -> str:
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole_seconds} s"
