"""Deletes the stale documents of streams that a sync has sent in full."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Any

from destination_dust.client import DustClient
from destination_dust.document import id_hash
from destination_dust.errors import DustUnavailableError
from destination_dust.report import SyncReport
from destination_dust.stream import Stream, origin_of
from destination_dust.sync_start import SyncStart

PAGE_DOCUMENTS = 2000

# The page doubles after each pass that proves nothing, so this is enough for a billion documents.
_MOST_PASSES = 20


def delete_stale(
    seen: Mapping[Stream, array[int]],
    client: DustClient,
    report: SyncReport,
    start: SyncStart,
    *,
    limit: int = PAGE_DOCUMENTS,
) -> None:
    """Delete each document of the streams that the sync has not seen and that is older than it.

    `seen` has the hashes of the document ids that the sync has seen, per stream. The whole list of
    documents is read, `limit` on a page, until it shows no stale one. Raises DustError.
    """
    sweep = _Sweep(seen, client, report, start)
    for _ in range(_MOST_PASSES):
        deleted = sweep.over_all_pages(limit)
        if deleted is None:
            limit *= 2
        elif deleted == 0:
            for stream in seen:
                report.replaced(stream, newer=sweep.newer[stream])
            return
    raise DustUnavailableError(
        "Could not delete all stale documents: Dust's list still shows some that were deleted, or "
        "shows documents twice. Run the sync again later."
    )


class _Sweep:
    """`newer` counts the documents of each stream that were written since the sync began."""

    def __init__(
        self,
        seen: Mapping[Stream, array[int]],
        client: DustClient,
        report: SyncReport,
        start: SyncStart,
    ) -> None:
        self.newer: Counter[Stream] = Counter()
        self._seen = {stream: array("Q", sorted(hashes)) for stream, hashes in seen.items()}
        self._by_origin = {frozenset(stream.tags): stream for stream in seen}
        self._client = client
        self._report = report
        self._start = start

    def over_all_pages(self, limit: int) -> int | None:
        """Delete the stale documents, and return how many there were.

        None when the list showed an id twice. It has no stable order, so it has left out another.
        """
        self.newer.clear()
        listed: set[int] = set()
        deleted = offset = 0
        while True:
            page = self._client.list_documents(limit=limit, offset=offset, streams=list(self._seen))
            self._start.note(page.date_ms)
            hashes = {id_hash(id_) for id_ in page.ids}
            if len(hashes) < len(page.ids) or not listed.isdisjoint(hashes):
                return None
            listed |= hashes
            deleted_here = sum(map(self._delete_if_stale, page.documents))
            deleted += deleted_here
            offset += len(page.documents) - deleted_here
            if len(page.documents) < limit:
                return deleted

    def _delete_if_stale(self, document: dict[str, Any]) -> bool:
        """Delete the document if it is stale, and return whether it was."""
        id_ = document["document_id"]
        stream = self._by_origin.get(origin_of(document.get("tags")))
        # An HTTP client would resolve a path of dots, and delete the data source itself.
        if stream is None or id_ in ("", ".", "..") or self._was_seen(stream, id_):
            return False
        if not self._start.is_after(document.get("created")):
            self.newer[stream] += 1
            return False
        self._client.delete_document(id_, stream)
        self._report.deleted_stale(stream)
        return True

    def _was_seen(self, stream: Stream, id_: str) -> bool:
        seen, hash_ = self._seen[stream], id_hash(id_)
        at = bisect_left(seen, hash_)
        return at < len(seen) and seen[at] == hash_
