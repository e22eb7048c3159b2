"""Replacing a stream: which streams are replaced, and which of them the source has sent in full.

A stream that is being replaced is written like any other. Old documents are deleted at the end of
the input, and only when it is certain that the source has sent the whole stream.

Sources: airbyte-platform, `CatalogGenerationSetter`, `AttemptHandler`, `RuntimeEnvVarFactory`,
`StreamStatusCompletionTracker`, `MissingStateInjector`, `EmptyAirbyteSource`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from airbyte_cdk.models import (
    AirbyteMessage,
    AirbyteRecordMessage,
    AirbyteStateBlob,
    AirbyteStateMessage,
    AirbyteStreamState,
    AirbyteStreamStatus,
    AirbyteTraceMessage,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    StreamDescriptor,
    SyncMode,
)

from destination_dust.catalog import Streams, is_of_pyairbyte
from destination_dust.client import DustClient
from destination_dust.document import Document, id_hash
from destination_dust.protocol import UnreadLine
from destination_dust.report import SyncReport
from destination_dust.stale import delete_stale
from destination_dust.stream import Stream, stream_key

# Sources built with Python's CDK may end a stream with this state whether it failed or not. Source:
# airbyte-python-cdk, `ConcurrentReadProcessor._on_stream_is_done`, `FinalStateCursor`.
_STATE_OF_ANY_END = "__ab_no_cursor_state_message"

_NEXT_REFRESH = "The next refresh deletes the old documents."


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
    SAME_TAGS = (
        "another stream has the same tags",
        "Tags are cut at 512 characters and lose control characters: rename one of the streams.",
    )
    UNASSIGNED_RECORDS = (
        "records arrived with this stream's name but a missing or unknown namespace",
        "They may belong to this stream: refresh the source's schema in the connection.",
    )
    LATER_ATTEMPT = (
        "an earlier attempt of this job may have sent a part of the stream",
        f"Airbyte did not show that this is the first one (WORKER_JOB_ATTEMPT=0). {_NEXT_REFRESH}",
    )
    NOT_FINISHED = ("the source did not finish the stream", _NEXT_REFRESH)
    NOT_TOLD = (
        "Airbyte did not say whether the source has sent the whole stream",
        "It says so only for connectors that support refreshes. If you added this one as an image, "
        "see step 4 of docs/dust.md. Without Airbyte, see the README.",
    )
    NO_LAST_STATE = (
        "the source sent no state after the last record of the stream",
        f"Records may be missing. {_NEXT_REFRESH}",
    )
    NOT_MENTIONED = (
        "the source said nothing about the stream",
        "It may no longer have the stream, or may no longer be allowed to read it. To delete the "
        "documents, clear the stream.",
    )


class Replacements:
    """The streams that a sync replaces: what it has sent of each, and whether that is everything.

    `attempt` is the number of the job's attempt that the platform reports: "0" is the first.
    """

    def __init__(
        self, catalog: ConfiguredAirbyteCatalog, streams: Streams, *, attempt: str | None
    ) -> None:
        self._replaced = {
            stream.key: _Replaced(stream, configured)
            for configured, stream in zip(catalog.streams, streams, strict=True)
            if is_replaced(configured)
        }
        self._attempt = attempt
        self._streams = streams
        self._streams_with_tags = Counter(stream.tags for stream in streams)
        self._names_of_unassigned: set[str] = set()
        self._tells_of_failures = False
        self._has_unread_lines = False
        # A clear sends no record, and no state with content for a stream of its catalog.
        self._may_be_clear = True

    def note(self, message: AirbyteMessage) -> None:
        """Note what a message of the input says about the streams."""
        if isinstance(message, UnreadLine):
            self._has_unread_lines = True
        elif message.record is not None:
            self._note_record(message.record)
        elif message.state is not None:
            self._note_state(message.state)
        elif message.trace is not None:
            self._note_trace(message.trace)

    def remember(self, document: Document) -> None:
        """Remember that the source has this document."""
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
            delete_stale(complete, client, report)

    def _note_record(self, record: AirbyteRecordMessage) -> None:
        self._may_be_clear = False
        stream = self._streams.of(record)
        if stream is None:
            self._names_of_unassigned.add(record.stream)
        elif replaced := self._replaced.get(stream.key):
            replaced.note_record()

    def _note_state(self, state: AirbyteStateMessage) -> None:
        if state.stream is not None:
            descriptor, content = state.stream.stream_descriptor, state.stream.stream_state
            if replaced := self._named(descriptor):
                # The platform adds `{}` for a stream without a state, even if the source left the
                # stream out.
                replaced.note_state(names_it=content is None or _has_content(content))
                if replaced.stream.key == stream_key(descriptor.namespace, descriptor.name):
                    replaced.ends_with_last_state = replaced.is_last(content)
            self._note_content([state.stream])
        elif state.global_ is not None:
            named = [self._named(one.stream_descriptor) for one in state.global_.stream_states]
            keys = {one.stream.key for one in named if one}
            for key, replaced in self._replaced.items():
                replaced.note_state(names_it=key in keys)
            self._note_content(state.global_.stream_states)
        else:
            for replaced in self._replaced.values():
                replaced.note_state(names_it=False)
            self._may_be_clear = self._may_be_clear and not state.data

    def _note_content(self, states: Iterable[AirbyteStreamState]) -> None:
        # The GLOBAL state of a clear lists the streams that are not cleared, with their content.
        for one in states:
            descriptor = one.stream_descriptor
            is_of_catalog = self._streams.named(descriptor.namespace, descriptor.name)
            if is_of_catalog and _has_content(one.stream_state):
                self._may_be_clear = False

    def _named(self, descriptor: StreamDescriptor) -> _Replaced | None:
        """Return the replaced stream that a message names, which may leave out its namespace."""
        stream = self._streams.named(descriptor.namespace, descriptor.name)
        return self._replaced.get(stream.key) if stream else None

    def _note_trace(self, trace: AirbyteTraceMessage) -> None:
        self._tells_of_failures = True
        if (status := trace.stream_status) is None:
            return
        if replaced := self._with_status(status.stream_descriptor):
            replaced.is_reported_complete = status.status is AirbyteStreamStatus.COMPLETE

    def _with_status(self, descriptor: StreamDescriptor) -> _Replaced | None:
        replaced = self._named(descriptor)
        if descriptor.namespace or (replaced and not replaced.is_overwrite):
            return replaced
        # PyAirbyte, which overwrites, leaves out the namespace: only a unique name is certain.
        return replaced if self._streams.only(descriptor.name) else None

    def _why_kept(self, replaced: _Replaced) -> WhyKept | None:
        """Return why old documents are kept, or None when the whole stream was certainly sent."""
        if replaced.is_overwrite and replaced.is_incremental:
            return WhyKept.READ_INCREMENTALLY
        if self._has_unread_lines:
            return WhyKept.UNREAD_LINES
        if self._streams_with_tags[replaced.stream.tags] > 1:
            return WhyKept.SAME_TAGS
        if replaced.stream.name in self._names_of_unassigned:
            return WhyKept.UNASSIGNED_RECORDS
        if not replaced.is_reported_complete:
            if self._tells_of_failures or not replaced.is_overwrite:
                return WhyKept.NOT_FINISHED
            if not replaced.ends_with_last_state:
                return WhyKept.NOT_TOLD
        # COMPLETE is the exit code of the source: the platform sends it for streams that the source
        # has left out, too.
        if not (replaced.is_mentioned or self._may_be_clear):
            return WhyKept.NO_LAST_STATE if replaced.has_records else WhyKept.NOT_MENTIONED
        is_whole = replaced.begins_anew_in_each_attempt or self._attempt == "0"
        return None if is_whole else WhyKept.LATER_ATTEMPT


def is_replaced(configured: ConfiguredAirbyteStream) -> bool:
    """Return whether the sync replaces what Dust has of the stream.

    Where refreshes are on, the platform says so in any sync mode: the oldest generation to keep is
    then the current one.
    """
    if configured.destination_sync_mode is DestinationSyncMode.overwrite:
        return True
    minimum = configured.minimum_generation_id or 0
    return 0 < minimum == configured.generation_id and not is_of_pyairbyte(configured)


@dataclass
class _Replaced:
    """What the input has said of one stream so far.

    `is_mentioned` means that the source has spoken of the stream since its last record, or at all
    where it has none.
    """

    stream: Stream
    configured: ConfiguredAirbyteStream
    # Hashes of the document ids that the sync has sent or found unchanged, 8 bytes each.
    seen: array[int] = field(default_factory=lambda: array("Q"))
    has_records: bool = False
    is_mentioned: bool = False
    is_reported_complete: bool = False
    ends_with_last_state: bool = False

    @property
    def is_overwrite(self) -> bool:
        """Return whether refreshes are off.

        With refreshes on, the platform sends append and stream statuses instead.
        """
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

    def note_record(self) -> None:
        self.has_records = True
        self.is_mentioned = self.is_reported_complete = self.ends_with_last_state = False

    def note_state(self, *, names_it: bool) -> None:
        """Note a state. Any state will do after records; without, it must name the stream."""
        self.is_mentioned = self.is_mentioned or self.has_records or names_it

    def is_last(self, content: AirbyteStateBlob | None) -> bool:
        """Return whether a STATE of the stream with this content shows that the stream has ended.

        A null state without records clears a stream. Any state ends a stream that cannot be
        resumed: its source sends it once at the end, or the platform adds it when the source has
        succeeded.
        """
        if content is None and not self.has_records:
            return True
        is_marker = content is not None and _STATE_OF_ANY_END in vars(content)
        return self.configured.stream.is_resumable is False and not is_marker


def _has_content(content: AirbyteStateBlob | None) -> bool:
    return content is not None and bool(vars(content))
