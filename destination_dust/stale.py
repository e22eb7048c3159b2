"""Deletes the stale documents of streams that a sync has sent in full."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from destination_dust.client import PAGE_DOCUMENTS, DustClient
from destination_dust.document import id_hash
from destination_dust.errors import DustUnavailableError
from destination_dust.report import SyncReport
from destination_dust.stream import Stream, stream_tags

# HTTP clients resolve paths of dots, and a DELETE would hit the data source itself.
_UNADDRESSABLE = ("", ".", "..")


def delete_stale(seen: Mapping[Stream, array[int]], client: DustClient, report: SyncReport) -> None:
    """Delete each document of the streams that the sync has not seen and that is older than it.

    `seen` maps each stream to the hashes of the document ids that the sync has seen. Nothing is
    deleted before the whole list was read, so that its pages do not move. Each document is looked
    at once more right before it is deleted, because another sync may have written it meanwhile.
    Raises DustError.
    """
    check = _Check(seen, client)
    stale = {
        listed["document_id"]: check.stream_of(listed)
        for listed in _all_documents(client, list(seen))
        if check.is_stale(listed)
    }
    for id_, stream in stale.items():
        for listed in client.find_document(id_, stream):
            if check.is_stale(listed) and check.stream_of(listed) is stream:
                client.delete_document(id_, stream)
                report.deleted_stale(stream)
    for stream, newer in check.newer.items():
        report.replaced(stream, newer=len(newer))


def _all_documents(client: DustClient, streams: Sequence[Stream]) -> Iterator[dict[str, Any]]:
    """Yield each document in Dust's list."""
    offset = 0
    previous: list[str] = []
    while page := client.list_documents(limit=PAGE_DOCUMENTS, offset=offset, streams=streams):
        ids = [listed["document_id"] for listed in page]
        if ids == previous:
            raise DustUnavailableError(
                "Could not delete stale documents: Dust's list repeats its pages. Try again later."
            )
        yield from page
        offset, previous = offset + len(page), ids


class _Check:
    """Which documents are stale, and which ones were written since the sync began."""

    def __init__(self, seen: Mapping[Stream, array[int]], client: DustClient) -> None:
        self.newer: dict[Stream, set[str]] = {stream: set() for stream in seen}
        self._seen = {stream: array("Q", sorted(hashes)) for stream, hashes in seen.items()}
        self._by_tags = {frozenset(stream.tags): stream for stream in seen}
        self._client = client

    def stream_of(self, listed: Mapping[str, Any]) -> Stream:
        return self._by_tags[stream_tags(listed)]

    def is_stale(self, listed: Mapping[str, Any]) -> bool:
        id_ = listed["document_id"]
        stream = self._by_tags.get(stream_tags(listed))
        if stream is None or id_ in _UNADDRESSABLE or self._was_seen(stream, id_):
            return False
        if self._client.was_written_before_sync(listed):
            return True
        self.newer[stream].add(id_)
        return False

    def _was_seen(self, stream: Stream, id_: str) -> bool:
        seen, hash_ = self._seen[stream], id_hash(id_)
        at = bisect_left(seen, hash_)
        return at < len(seen) and seen[at] == hash_
