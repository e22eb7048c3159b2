"""Replacing a stream: which streams are replaced, which of them are complete, what is stale then.

A stream that is being replaced is written like any other. At the end of the input, the documents
that the sync did not bring are deleted, if it is certain that the source has sent the whole stream.

Sources: airbyte-platform, `CatalogGenerationSetter`, `AttemptHandler`, `RuntimeEnvVarFactory`,
`StreamStatusCompletionTracker`, `MissingStateInjector`; PyAirbyte, `CatalogProvider`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
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

# With this the concurrent sources of Python's CDK end a stream that failed as one that did not.
# Source: airbyte-python-cdk, `ConcurrentReadProcessor._on_stream_is_done`, `FinalStateCursor`.
_STATE_OF_ANY_END = "__ab_no_cursor_state_message"

# Why older documents of a stream are kept, and what to do.
_Reason = tuple[str, str]
_NEXT_REFRESH = "The next refresh deletes them."
_READ_INCREMENTALLY: _Reason = (
    "the stream was read incrementally, so only changes were sent",
    "Read it as a full refresh to replace it.",
)
_UNREAD_LINES: _Reason = (
    "the input had lines that are not Airbyte messages or could not be read",
    "Records may have been on them: check the log of the source.",
)
_AMBIGUOUS_TAGS: _Reason = (
    "another stream has, or may have, the same tags",
    "Tags are cut, and lose control characters: rename one of the streams.",
)
_OTHER_NAMESPACE: _Reason = (
    "records of this name came in a namespace that the configured catalog does not hold",
    "They may belong to the stream: refresh the source's schema in the connection.",
)
_LATER_ATTEMPT: _Reason = (
    "an earlier attempt of this job may have sent a part of the stream",
    f"Airbyte did not show that this is the first one (WORKER_JOB_ATTEMPT=0). {_NEXT_REFRESH}",
)
_NOT_FINISHED: _Reason = ("the source did not finish the stream", _NEXT_REFRESH)
_NOT_TOLD: _Reason = (
    "Airbyte did not tell whether the source has sent the whole stream",
    "It tells where the connector supports refreshes. For a connector that was added as a Docker "
    "image, set supports_refreshes to true in the row of its version in the table "
    "actor_definition_version of Airbyte's database.",
)
REASONS = (
    _READ_INCREMENTALLY,
    _UNREAD_LINES,
    _AMBIGUOUS_TAGS,
    _OTHER_NAMESPACE,
    _LATER_ATTEMPT,
    _NOT_FINISHED,
    _NOT_TOLD,
)
"""All of them: docs/dust.md explains each."""


class Replacements:
    """The streams of a sync that are being replaced, what it brought, and whether that is all.

    `attempt` is the number of the job's attempt as the platform tells it: "0" is the first.
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
        self._failures_are_told = False
        self._has_unread_lines = False

    def note(self, message: AirbyteMessage) -> None:
        """Note what a message of the input tells about the streams."""
        if isinstance(message, UnreadLine):
            self._has_unread_lines = True
        elif message.record is not None:
            self._note_record(stream_key(message.record.namespace, message.record.stream))
        elif message.trace is not None and message.trace.estimate is None:
            self._failures_are_told = True
            status = message.trace.stream_status
            if status is not None and (replaced := self._told_of(status.stream_descriptor)):
                replaced.is_told_complete = status.status is AirbyteStreamStatus.COMPLETE
        elif message.state is not None and message.state.stream is not None:
            descriptor = message.state.stream.stream_descriptor
            replaced = self._replaced.get(stream_key(descriptor.namespace, descriptor.name))
            if replaced is not None:
                replaced.ends_with_last_state = replaced.is_last(message.state.stream.stream_state)

    def saw(self, document: Document, stored: Stored | None) -> None:
        """Remember that Dust has this document of the source, `stored` if it was sent just now."""
        if stored is not None:
            self._start.note(stored.created_ms)
        if replaced := self._replaced.get(document.stream.key):
            replaced.seen.append(id_hash(document.id))

    def delete_stale(self, client: DustClient, report: SyncReport) -> None:
        """Delete the stale documents of each stream that is complete; warn where they are kept.

        To be called at the end of the input. Raises DustError when one cannot be deleted.
        """
        complete = {}
        for replaced in self._replaced.values():
            if (reason := self._why_kept(replaced)) is None:
                complete[replaced.stream] = replaced.seen
            else:
                report.kept(replaced.stream, *reason)
        if complete:
            delete_stale(complete, client, report, self._start)

    def _note_record(self, key: StreamKey) -> None:
        if replaced := self._replaced.get(key):
            replaced.has_records = True
            replaced.is_told_complete = replaced.ends_with_last_state = False
        elif key not in self._streams:
            self._names_elsewhere.add(key[1])

    def _told_of(self, descriptor: StreamDescriptor) -> _Replaced | None:
        replaced = self._replaced.get(stream_key(descriptor.namespace, descriptor.name))
        if descriptor.namespace or (replaced and not replaced.is_overwrite):
            return replaced
        # PyAirbyte leaves the namespace out: the name alone decides, where it is unique.
        return self._by_unique_name.get(descriptor.name)

    def _why_kept(self, replaced: _Replaced) -> _Reason | None:
        """Return why older documents are kept, and None when the stream is complete and whole."""
        if replaced.is_overwrite and replaced.is_incremental:
            return _READ_INCREMENTALLY
        if self._has_unread_lines:
            return _UNREAD_LINES
        if not replaced.stream.has_exact_tags or self._origins[replaced.stream.tags] > 1:
            return _AMBIGUOUS_TAGS
        if replaced.stream.name in self._names_elsewhere:
            return _OTHER_NAMESPACE
        if not replaced.is_told_complete:
            if self._failures_are_told or not replaced.is_overwrite:
                return _NOT_FINISHED
            return None if replaced.ends_with_last_state else _NOT_TOLD
        is_whole = replaced.begins_anew_in_each_attempt or self._attempt == "0"
        return None if is_whole else _LATER_ATTEMPT


def is_replaced(configured: ConfiguredAirbyteStream) -> bool:
    """Return whether what Dust has of the stream is to be replaced by what the sync brings.

    Where refreshes are on, the platform says so by the minimum of the generations to keep, under
    whatever sync mode. Three ones are what PyAirbyte sends for every stream.
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
    # The hashes of the ids that the sync brought: 8 bytes each.
    seen: array[int] = field(default_factory=lambda: array("Q"))
    has_records: bool = False
    is_told_complete: bool = False
    ends_with_last_state: bool = False

    @property
    def is_overwrite(self) -> bool:
        """Return whether the platform sends no status: with refreshes it sends append instead."""
        return self.configured.destination_sync_mode is DestinationSyncMode.overwrite

    @property
    def is_incremental(self) -> bool:
        return self.configured.sync_mode is not SyncMode.full_refresh

    @property
    def begins_anew_in_each_attempt(self) -> bool:
        """Return whether no attempt goes on where an earlier one stopped."""
        return self.is_overwrite or (
            not self.is_incremental and self.configured.stream.is_resumable is not True
        )

    def is_last(self, stream_state: Any) -> bool:
        """Return whether nothing of the stream can follow a STATE of its own with this content.

        Without content it is how the platform clears a stream. With some, a source that cannot
        resume midway sends it at the end, or the platform does so when the source has succeeded.
        """
        if stream_state is None:
            return not self.has_records
        is_resumable = self.configured.stream.is_resumable
        return is_resumable is False and _STATE_OF_ANY_END not in vars(stream_state)
