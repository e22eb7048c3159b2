"""Replacing a stream: which streams are, which of them are complete, what is stale then.

A stream that is being replaced is written like any other; its documents carry one tag more, that of
their generation. What the generation did not write is deleted at the end of the input, and only
when it is certain that the source has sent the whole stream.

Sources: airbyte-platform, `CatalogGenerationSetter`, `StreamStatusCompletionTracker`,
`MissingStateInjector`; PyAirbyte, `CatalogProvider`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
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

from destination_dust.client import DustClient
from destination_dust.document import NAMESPACE_TAG, STREAM_TAG, Stream, StreamKey
from destination_dust.errors import DustUnavailableError
from destination_dust.report import SyncReport, stream_name

logger = logging.getLogger("airbyte")

PAGE_DOCUMENTS = 2000

# The list has no stable order: what a pass over several pages missed is found by one of these.
_CLEAN_PASSES = 3
# A list in random order takes about twelve passes for 100,000 documents.
_MOST_PASSES = 30

# With this the concurrent sources of Python's CDK end a stream that failed as one that did not.
# Source: airbyte-python-cdk, `ConcurrentReadProcessor._on_stream_is_done`, `FinalStateCursor`.
_STATE_OF_ANY_END = "__ab_no_cursor_state_message"

_READ_INCREMENTALLY = (
    "it was read incrementally, so that only changes were sent. To replace it, read it as a full "
    "refresh."
)
_NOT_FINISHED = "the source did not finish it. A later sync that replaces it deletes them."
_NOT_TOLD = (
    "Airbyte did not tell whether the source has sent all of it. It does where the connector "
    "supports refreshes; for one that was added as a Docker image, set supports_refreshes to true "
    "in the row of its version in the table actor_definition_version of Airbyte's database."
)
_AMBIGUOUS_TAGS = (
    "its tags are those of another stream, too, or may be: they are cut, or had control characters."
)
_OTHER_NAMESPACE = (
    "records of this name came in a namespace that the configured catalog does not hold, and they "
    "may be the stream's."
)


class Replacements:
    """The streams of a sync that are being replaced, and what has shown that they are complete."""

    def __init__(
        self, catalog: ConfiguredAirbyteCatalog, streams: Mapping[StreamKey, Stream]
    ) -> None:
        self._replaced = {
            stream.key: _Replaced(stream, configured)
            for configured, stream in zip(catalog.streams, streams.values(), strict=True)
            if stream.generation is not None
        }
        names = Counter(stream.name for stream in streams.values())
        self._by_unique_name = {
            replaced.stream.name: replaced
            for replaced in self._replaced.values()
            if names[replaced.stream.name] == 1
        }
        self._origins = Counter(stream.origin_tags for stream in streams.values())
        self._configured = streams.keys()
        self._names_elsewhere: set[str] = set()
        self._failures_are_told = False

    def note(self, message: AirbyteMessage) -> None:
        """Take note of what a message of the input tells about the streams."""
        if not self._replaced:
            return
        if message.record is not None:
            key: StreamKey = (message.record.namespace or None, message.record.stream)
            if replaced := self._replaced.get(key):
                replaced.is_told_complete = replaced.ends_with_its_last_state = False
            elif key not in self._configured:
                self._names_elsewhere.add(message.record.stream)
        elif message.trace is not None:
            self._failures_are_told = True
            status = message.trace.stream_status
            if status is not None and (replaced := self._told_of(status.stream_descriptor)):
                replaced.is_told_complete = status.status is AirbyteStreamStatus.COMPLETE
        elif message.state is not None and message.state.stream is not None:
            state = message.state.stream
            key = (state.stream_descriptor.namespace or None, state.stream_descriptor.name)
            if replaced := self._replaced.get(key):
                replaced.ends_with_its_last_state = replaced.ends_with(state.stream_state)

    def sweep(self, client: DustClient, report: SyncReport) -> None:
        """Delete the stale documents of each stream that is complete; warn of those that are kept.

        To be called at the end of the input. Raises DustError when one cannot be deleted.
        """
        complete = []
        for replaced in self._replaced.values():
            if (reason := self._why_kept(replaced)) is None:
                complete.append(replaced.stream)
            else:
                name = stream_name(replaced.stream.key)
                logger.warning(
                    "Stream %s: documents of earlier syncs were kept, as %s", name, reason
                )
        if complete:
            _sweep(client, complete, report)

    def _told_of(self, descriptor: StreamDescriptor) -> _Replaced | None:
        replaced = self._replaced.get((descriptor.namespace or None, descriptor.name))
        if descriptor.namespace or (replaced and not replaced.is_overwrite):
            return replaced
        # PyAirbyte leaves the namespace out: the name alone decides, where it is unique.
        return self._by_unique_name.get(descriptor.name)

    def _why_kept(self, replaced: _Replaced) -> str | None:
        """Return why older documents are kept, and None when the stream is complete."""
        if replaced.is_overwrite and replaced.is_incremental:
            return _READ_INCREMENTALLY
        if not replaced.stream.has_exact_tags or self._origins[replaced.stream.origin_tags] > 1:
            return _AMBIGUOUS_TAGS
        if replaced.stream.name in self._names_elsewhere:
            return _OTHER_NAMESPACE
        if replaced.is_told_complete:
            return None
        if self._failures_are_told or not replaced.is_overwrite:
            return _NOT_FINISHED
        return None if replaced.ends_with_its_last_state else _NOT_TOLD


@dataclass
class _Replaced:
    stream: Stream
    configured: ConfiguredAirbyteStream
    is_told_complete: bool = False
    ends_with_its_last_state: bool = False

    @property
    def is_overwrite(self) -> bool:
        """Tell whether the platform sends no status: with refreshes it sends append instead."""
        return self.configured.destination_sync_mode is DestinationSyncMode.overwrite

    @property
    def is_incremental(self) -> bool:
        return self.configured.sync_mode is not SyncMode.full_refresh

    def ends_with(self, stream_state: Any) -> bool:
        """Tell whether nothing of the stream can come after a STATE of its own with this content.

        Without content it is how the platform clears a stream. With some, a source that cannot
        resume midway sends it at the end, or the platform does so when the source has succeeded.
        """
        if stream_state is None:
            return True
        return not self.configured.stream.is_resumable and _STATE_OF_ANY_END not in vars(
            stream_state
        )


def _sweep(client: DustClient, streams: list[Stream], report: SyncReport) -> None:
    """Pass over the documents until there are none that the generations did not write."""
    clean_passes = 0
    for _ in range(_MOST_PASSES):
        found, pages = _sweep_once(client, streams, report)
        clean_passes = 0 if found else clean_passes + 1
        if clean_passes == (_CLEAN_PASSES if pages > 1 else 1):
            for stream in streams:
                report.replaced(stream)
            return
    raise _unreliable_list("it goes on to show some that are deleted")


def _sweep_once(client: DustClient, streams: list[Stream], report: SyncReport) -> tuple[bool, int]:
    """Return whether any document was stale, and how many pages there were."""
    by_origin = {frozenset(stream.origin_tags): stream for stream in streams}
    found = False
    offset = pages = 0
    last_page: list[Any] = []
    while page := client.list_documents(limit=PAGE_DOCUMENTS, offset=offset, streams=streams):
        ids = [document.get("document_id") for document in page]
        if ids == last_page:
            if not found:
                raise _unreliable_list("its pages repeat")
            break
        last_page = ids
        pages += 1
        offset += len(page)
        for document in page:
            stream = by_origin.get(_origin(document))
            if stream is not None and stream.generation_tag not in document["tags"]:
                client.delete_document(document["document_id"], stream)
                report.swept(stream)
                offset -= 1
                found = True
    return found, pages


def _unreliable_list(why: str) -> DustUnavailableError:
    return DustUnavailableError(
        f"Could not delete all stale documents by Dust's list: {why}. Run the sync again later."
    )


def _origin(document: dict[str, Any]) -> frozenset[str]:
    """Return the tags that say of which stream a document is: none, if it was put there by hand."""
    tags = document.get("tags")
    id_ = document.get("document_id")
    # Ids of dots alone cannot be addressed.
    if not isinstance(tags, list) or not isinstance(id_, str) or id_ in ("", ".", ".."):
        return frozenset()
    return frozenset(
        tag for tag in tags if isinstance(tag, str) and tag.startswith((STREAM_TAG, NAMESPACE_TAG))
    )
