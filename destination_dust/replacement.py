"""Replacing a stream: which streams are replaced, and which of them the source has sent in full.

A stream that is being replaced is written like any other. Old documents are deleted at the end of
the input, and only when it is certain that the source has sent the whole stream.

Sources: airbyte-platform, `CatalogGenerationSetter`, `AttemptHandler`, `RuntimeEnvVarFactory`,
`StreamStatusCompletionTracker`, `MissingStateInjector`; PyAirbyte, `CatalogProvider`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from airbyte_cdk.models import (
    AirbyteMessage,
    AirbyteStreamStatus,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    StreamDescriptor,
    SyncMode,
)

from destination_dust.client import DustClient, Stored
from destination_dust.document import Document, id_hash
from destination_dust.protocol import UnreadLine
from destination_dust.report import SyncReport
from destination_dust.stale import delete_stale
from destination_dust.stream import Stream, StreamKey, stream_key
from destination_dust.sync_start import SyncStart

# Sources built with Python's CDK may end a stream with this state whether it failed or not. Source:
# airbyte-python-cdk, `ConcurrentReadProcessor._on_stream_is_done`, `FinalStateCursor`.
_STATE_OF_ANY_END = "__ab_no_cursor_state_message"

_NEXT_REFRESH = "The next refresh deletes them."


class WhyKept(Enum):
    """Why old documents of a stream are kept, and what to do about it."""

    READ_INCREMENTALLY = (
        "the stream was read incrementally, so only changes were sent",
        "Read it as a full refresh to replace it.",
    )
    UNREAD_LINES = (
        "the input had lines that are not Airbyte messages or could not be read",
        "Records may have been on them: check the log of the source.",
    )
    AMBIGUOUS_TAGS = (
        "another stream has, or may have, the same tags",
        "Tags are cut, and lose control characters: rename one of the streams.",
    )
    OTHER_NAMESPACE = (
        "records of this name came in a namespace that the configured catalog does not hold",
        "They may belong to the stream: refresh the source's schema in the connection.",
    )
    LATER_ATTEMPT = (
        "an earlier attempt of this job may have sent a part of the stream",
        f"Airbyte did not show that this is the first one (WORKER_JOB_ATTEMPT=0). {_NEXT_REFRESH}",
    )
    NOT_FINISHED = ("the source did not finish the stream", _NEXT_REFRESH)
    NOT_TOLD = (
        "Airbyte did not tell whether the source has sent the whole stream",
        "It tells only if the connector supports refreshes. For one that was added as a Docker "
        "image, set supports_refreshes to true in the row of its version in the table "
        "actor_definition_version of Airbyte's database.",
    )


class Replacements:
    """The streams that a sync replaces: what it has sent of each, and whether that is everything.

    `attempt` is the number of the job's attempt that the platform reports: "0" is the first.
    """

    def __init__(
        self,
        catalog: ConfiguredAirbyteCatalog,
        streams: Mapping[StreamKey, Stream],
        *,
        start: SyncStart,
        attempt: str | None,
    ) -> None:
        self._replaced = {
            stream.key: _Replaced(stream, configured)
            for configured, stream in zip(catalog.streams, streams.values(), strict=True)
            if is_replaced(configured)
        }
        self._start = start
        self._attempt = attempt
        self._streams = streams
        names = Counter(stream.name for stream in streams.values())
        self._by_unique_name = {
            one.stream.name: one for one in self._replaced.values() if names[one.stream.name] == 1
        }
        self._origins = Counter(stream.tags for stream in streams.values())
        self._names_elsewhere: set[str] = set()
        self._reports_failures = False
        self._has_unread_lines = False

    def note(self, message: AirbyteMessage) -> None:
        """Note what a message of the input says about the streams."""
        if isinstance(message, UnreadLine):
            self._has_unread_lines = True
        elif message.record is not None:
            self._note_record(stream_key(message.record.namespace, message.record.stream))
        elif message.trace is not None and message.trace.estimate is None:
            self._reports_failures = True
            status = message.trace.stream_status
            if status is not None and (replaced := self._with_status(status.stream_descriptor)):
                replaced.is_reported_complete = status.status is AirbyteStreamStatus.COMPLETE
        elif message.state is not None and message.state.stream is not None:
            descriptor = message.state.stream.stream_descriptor
            replaced = self._replaced.get(stream_key(descriptor.namespace, descriptor.name))
            if replaced is not None:
                replaced.ends_with_last_state = replaced.is_last(message.state.stream.stream_state)

    def saw(self, document: Document, stored: Stored | None) -> None:
        """Remember that the source has this document; `stored` is None when it was unchanged."""
        if stored is not None:
            self._start.note(stored.created_ms)
        if replaced := self._replaced.get(document.stream.key):
            replaced.seen.append(id_hash(document.id))

    def delete_stale(self, client: DustClient, report: SyncReport) -> None:
        """Delete the stale documents of each complete stream, and warn where they are kept.

        Call it at the end of the input. Raises DustError when a document cannot be deleted.
        """
        complete = {}
        for replaced in self._replaced.values():
            if (reason := self._why_kept(replaced)) is None:
                complete[replaced.stream] = replaced.seen
            else:
                report.kept(replaced.stream, *reason.value)
        if complete:
            delete_stale(complete, client, report, self._start)

    def _note_record(self, key: StreamKey) -> None:
        if replaced := self._replaced.get(key):
            replaced.has_records = True
            replaced.is_reported_complete = replaced.ends_with_last_state = False
        elif key not in self._streams:
            self._names_elsewhere.add(key[1])

    def _with_status(self, descriptor: StreamDescriptor) -> _Replaced | None:
        replaced = self._replaced.get(stream_key(descriptor.namespace, descriptor.name))
        if descriptor.namespace or (replaced and not replaced.is_overwrite):
            return replaced
        # PyAirbyte leaves the namespace out, so a name that is unique is enough.
        return self._by_unique_name.get(descriptor.name)

    def _why_kept(self, replaced: _Replaced) -> WhyKept | None:
        """Return why old documents are kept, or None when the whole stream was certainly sent."""
        if replaced.is_overwrite and replaced.is_incremental:
            return WhyKept.READ_INCREMENTALLY
        if self._has_unread_lines:
            return WhyKept.UNREAD_LINES
        if not replaced.stream.has_exact_tags or self._origins[replaced.stream.tags] > 1:
            return WhyKept.AMBIGUOUS_TAGS
        if replaced.stream.name in self._names_elsewhere:
            return WhyKept.OTHER_NAMESPACE
        if not replaced.is_reported_complete:
            if self._reports_failures or not replaced.is_overwrite:
                return WhyKept.NOT_FINISHED
            return None if replaced.ends_with_last_state else WhyKept.NOT_TOLD
        is_whole = replaced.begins_anew_in_each_attempt or self._attempt == "0"
        return None if is_whole else WhyKept.LATER_ATTEMPT


def is_replaced(configured: ConfiguredAirbyteStream) -> bool:
    """Return whether the sync replaces what Dust has of the stream.

    Where refreshes are on, the platform says so in any sync mode: the oldest generation to keep is
    then the current one. PyAirbyte sends three ones for every stream, which means nothing.
    """
    if configured.destination_sync_mode is DestinationSyncMode.overwrite:
        return True
    generation, minimum = configured.generation_id, configured.minimum_generation_id
    if (generation, minimum, configured.sync_id) == (1, 1, 1):
        return False
    return minimum is not None and 0 < minimum == generation


@dataclass
class _Replaced:
    stream: Stream
    configured: ConfiguredAirbyteStream
    # Hashes of the document ids that the sync has sent or found unchanged, 8 bytes each.
    seen: array[int] = field(default_factory=lambda: array("Q"))
    has_records: bool = False
    is_reported_complete: bool = False
    ends_with_last_state: bool = False

    @property
    def is_overwrite(self) -> bool:
        """Return whether refreshes are off: else the platform sends append, and stream statuses."""
        return self.configured.destination_sync_mode is DestinationSyncMode.overwrite

    @property
    def is_incremental(self) -> bool:
        return self.configured.sync_mode is not SyncMode.full_refresh

    @property
    def begins_anew_in_each_attempt(self) -> bool:
        """Return whether every attempt of a job sends the whole stream."""
        return self.is_overwrite or (
            not self.is_incremental and self.configured.stream.is_resumable is not True
        )

    def is_last(self, stream_state: Any) -> bool:
        """Return whether a STATE of the stream with this content shows that the stream has ended.

        A null state clears a stream. Any other state ends a stream that cannot be resumed: its
        source sends it once at the end, or the platform adds it when the source has succeeded.
        """
        if stream_state is None:
            return not self.has_records
        is_resumable = self.configured.stream.is_resumable
        return is_resumable is False and _STATE_OF_ANY_END not in vars(stream_state)
