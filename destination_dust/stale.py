"""Deletes the stale documents of streams that a sync has sent in full."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

    `seen` maps each stream to the hashes of the document ids that the sync has seen. The whole list
    is read first, because deleting moves its pages. Each document is looked at once more right
    before it is deleted, because another sync may have written it meanwhile. Raises DustError.
    """
    unseen = _Unseen(seen)
    stale: dict[str, Stream] = {}
    newer: dict[Stream, set[str]] = {stream: set() for stream in seen}
    for id_, stream, listed in unseen.among(_all_documents(client, list(seen))):
        if client.was_written_before_sync(listed):
            stale[id_] = stream
        else:
            newer[stream].add(id_)
    for id_, stale_of in stale.items():
        for _, stream, listed in unseen.among(client.find_document(id_, stale_of)):
            if not client.was_written_before_sync(listed):
                newer[stream].add(id_)
            elif stream is stale_of:
                client.delete_document(id_, stream)
                report.deleted_stale(stream)
    for stream, ids in newer.items():
        report.replaced(stream, newer=len(ids))


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


class _Unseen:
    """Finds the documents of the streams that the sync has not seen."""

    def __init__(self, seen: Mapping[Stream, array[int]]) -> None:
        self._seen = {stream: array("Q", sorted(hashes)) for stream, hashes in seen.items()}
        self._by_tags = {frozenset(stream.tags): stream for stream in seen}

    def among(
        self, documents: Iterable[dict[str, Any]]
    ) -> Iterator[tuple[str, Stream, dict[str, Any]]]:
        """Yield each such document of a list, as id, stream and what the list shows."""
        for listed in documents:
            id_ = listed["document_id"]
            stream = self._by_tags.get(stream_tags(listed))
            if stream and id_ not in _UNADDRESSABLE and not self._was_seen(stream, id_):
                yield id_, stream, listed

    def _was_seen(self, stream: Stream, id_: str) -> bool:
        seen, hash_ = self._seen[stream], id_hash(id_)
        at = bisect_left(seen, hash_)
        return at < len(seen) and seen[at] == hash_
