"""Deletes the stale documents of streams that a sync has replaced as a whole."""

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

# Each pass that proves nothing doubles the page, so this many are enough for a billion documents.
_MOST_PASSES = 20


def delete_stale(
    seen: Mapping[Stream, array[int]],
    client: DustClient,
    report: SyncReport,
    start: SyncStart,
    *,
    limit: int = PAGE_DOCUMENTS,
) -> None:
    """Delete each document of the streams that was not seen and is older than the sync.

    `seen` holds the hashes of the ids that the sync brought for each stream. Passes over Dust's
    list of documents, `limit` of them on a page, until a pass shows them all and none of them is
    stale. Raises DustError.
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
    """`newer` counts, per stream, what was kept because it was written since the sync began."""

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

        None when the list showed an id twice: it has no stable order, so it left out another.
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
        """Return whether the document was stale, and is deleted."""
        id_ = document["document_id"]
        stream = self._by_origin.get(origin_of(document.get("tags")))
        # An HTTP client resolves a path of dots, which would lead to the data source itself.
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
