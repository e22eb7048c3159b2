"""What a sync logs for its user: progress, warnings, a summary."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from airbyte_cdk.models import AirbyteRecordMessage

from destination_dust.client import Wait
from destination_dust.document import Document
from destination_dust.stream import Stream, StreamKey, stream_key, stream_name
from destination_dust.writer import Outcome

logger = logging.getLogger("airbyte")

PROGRESS_INTERVAL_S = 30.0

_MINUTE_S = 60.0

_NO_PRIMARY_KEY = (
    "Stream %s has no primary key: each changed record becomes a new document, and the old one "
    "stays until the stream is refreshed. Choose a primary key in the connection if there is one."
)
_RECORD_WITHOUT_KEY = (
    "Stream %s has a record without its primary key (%s): its document id contains a hash of the "
    "record instead."
)
_UNDELETABLE = (
    "Stream %s has a deleted record without a primary key: the document to delete is unknown, so "
    "the record is stored like any other."
)


@dataclass
class _Counts:
    done: Counter[Outcome] = field(default_factory=Counter)
    stale: int = 0
    without_key: int = 0
    retries: int = 0
    rate_limit_wait_s: float = 0.0


class SyncReport:
    """Counts what happens in a sync and logs it, but never the contents of records.

    `streams` are those of the configured catalog. As a context manager it logs a summary at the
    end, even when the sync fails.
    """

    def __init__(
        self, streams: Iterable[Stream], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._started_s = self._last_progress_s = clock()
        self._upserts_s: deque[float] = deque()
        self._counts = {stream.key: _Counts() for stream in streams}
        self._not_in_catalog: Counter[StreamKey] = Counter()
        self._lists = _Counts()
        self._kept: dict[StreamKey, str] = {}
        self._logged: set[tuple[StreamKey, str]] = set()

    def __enter__(self) -> SyncReport:
        return self

    def __exit__(self, error: type[BaseException] | None, *_exception: object) -> None:
        self._summarise(has_failed=error is not None)

    def done(self, document: Document, outcome: Outcome) -> None:
        """Count a document, and warn where its stream or record lacks the primary key."""
        key = document.stream.key
        counts = self._counts[key]
        counts.done[outcome] += 1
        counts.without_key += document.lacks_its_key
        if outcome is Outcome.UPSERTED:
            self._upserts_s.append(self._clock())
        if not document.stream.primary_key:
            self._log_once(key, _NO_PRIMARY_KEY)
        elif document.key is None:
            self._log_once(key, _RECORD_WITHOUT_KEY, _paths(document.stream))
        if document.is_deleted and document.key is None:
            self._log_once(key, _UNDELETABLE)
        self.progress()

    def ignored(self, record: AirbyteRecordMessage) -> None:
        """Count a record of a stream that the catalog does not have."""
        key = stream_key(record.namespace, record.stream)
        self._not_in_catalog[key] += 1
        self._log_once(
            key, "Stream %s is not in the configured catalog: its records are not stored."
        )

    def deleted_stale(self, stream: Stream) -> None:
        """Count a stale document that was deleted."""
        self._counts[stream.key].stale += 1
        self.progress()

    def replaced(self, stream: Stream, *, newer: int) -> None:
        """Log that the stale documents of a stream were deleted.

        `newer` counts those that were kept because they were written after this sync began.
        """
        name = stream_name(stream.key)
        stale = _number(self._counts[stream.key].stale, "document")
        logger.info("Stream %s was replaced: %s of earlier syncs deleted.", name, stale)
        if newer:
            logger.warning(
                "Stream %s: kept %s that this sync did not send: written after it began, for "
                "example by another sync.",
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

    def waits(self, wait: Wait) -> None:
        """Count a wait that is about to begin: for its stream, or for the sync's lists."""
        counts = self._counts[wait.stream.key] if wait.stream else self._lists
        if wait.is_for_rate_limit:
            counts.rate_limit_wait_s += wait.seconds
        else:
            counts.retries += 1

    @property
    def until_progress_s(self) -> float:
        """Return in how many seconds the next progress line is due: at least one."""
        return max(self._last_progress_s + PROGRESS_INTERVAL_S - self._clock(), 1.0)

    def progress(self, waiting_for: str = "") -> None:
        """Log the progress, unless that was done in the last 30 s."""
        now_s = self._clock()
        if now_s - self._last_progress_s < PROGRESS_INTERVAL_S:
            return
        self._last_progress_s = now_s
        while self._upserts_s and self._upserts_s[0] <= now_s - _MINUTE_S:
            self._upserts_s.popleft()
        total = self._total
        logger.info(
            "%s done (%s unchanged)%s, %s in the last minute%s.",
            _number(total.done.total(), "record"),
            f"{total.done[Outcome.UNCHANGED]:,}",
            f", {_number(total.stale, 'stale document')} deleted" if total.stale else "",
            _number(len(self._upserts_s), "upsert"),
            f", waiting for {waiting_for}" if waiting_for else "",
        )

    def _log_once(self, key: StreamKey, warning: str, *details: str) -> None:
        if (key, warning) not in self._logged:
            self._logged.add((key, warning))
            logger.warning(warning, stream_name(key), *details)

    def _summarise(self, *, has_failed: bool) -> None:
        for key, counts in self._counts.items():
            logger.info("Stream %s: %s, %s.", stream_name(key), _written(counts), _waited(counts))
        for key, records in self._not_in_catalog.items():
            logger.info(
                "Stream %s: %s not stored, as it is not in the configured catalog.",
                stream_name(key),
                _number(records, "record"),
            )
        total = self._total
        ignored = self._not_in_catalog.total()
        kept = "; ".join(f"{stream_name(key)}, because {why}" for key, why in self._kept.items())
        logger.info(
            "Sync %s %s: %s, %s upserted, %s unchanged, %s deleted%s.%s%s",
            "failed after" if has_failed else "finished in",
            _duration(self._clock() - self._started_s),
            _number(total.done.total() + ignored, "record"),
            f"{total.done[Outcome.UPSERTED]:,}",
            f"{total.done[Outcome.UNCHANGED]:,}",
            f"{total.done[Outcome.DELETED] + total.stale:,}",
            f", {ignored:,} not stored" if ignored else "",
            f" Lists of documents: {_waited(self._lists)}." if self._lists != _Counts() else "",
            f" Documents of earlier syncs were kept: {kept}." if kept else "",
        )

    @property
    def _total(self) -> _Counts:
        counts = self._counts.values()
        return _Counts(
            done=sum((each.done for each in counts), Counter()),
            stale=sum(each.stale for each in counts),
        )


def _paths(stream: Stream) -> str:
    """Return the fields of the stream's primary key, for a message."""
    return ", ".join(".".join(path) for path in stream.primary_key)


def _written(counts: _Counts) -> str:
    upserted = _number(counts.done[Outcome.UPSERTED], "document")
    whose = "its" if counts.without_key == 1 else "their"
    without_key = f" ({counts.without_key:,} without {whose} key)" if counts.without_key else ""
    unchanged = counts.done[Outcome.UNCHANGED]
    deleted = counts.done[Outcome.DELETED] + counts.stale
    return f"{upserted} upserted{without_key}, {unchanged:,} unchanged, {deleted:,} deleted"


def _waited(counts: _Counts) -> str:
    retries = _number(counts.retries, "retry", "retries")
    return f"{retries}, {counts.rate_limit_wait_s:.1f} s waited for the rate limit"


def _number(number: int, singular: str, plural: str = "") -> str:
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def _duration(seconds: float) -> str:
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole_seconds} s"
