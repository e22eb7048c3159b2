"""Deletes the stale documents of streams that a sync has sent in full."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Any

from destination_dust.client import PAGE_DOCUMENTS, DustClient
from destination_dust.document import id_hash
from destination_dust.errors import DustUnavailableError
from destination_dust.report import SyncReport
from destination_dust.stream import Stream, origin_of
from destination_dust.sync_start import SyncStart

# Dust shows at once what has been deleted, so a list that needs more passes cannot be trusted.
_MOST_PASSES = 20
# More documents than any source sends with one timestamp.
_LARGEST_PAGE = 500_000


def delete_stale(
    seen: Mapping[Stream, array[int]],
    client: DustClient,
    report: SyncReport,
    start: SyncStart,
    *,
    limit: int = PAGE_DOCUMENTS,
) -> None:
    """Delete each document of the streams that the sync has not seen and that is older than it.

    `seen` has the hashes of the document ids that the sync has seen, per stream. Dust's list is
    read with `limit` documents on a page, until it shows no stale one. Raises DustError.
    """
    sweep = _Sweep(seen, client, report, start)
    for _ in range(_MOST_PASSES):
        if sweep.over_all_pages(limit) == 0:
            for stream in seen:
                report.replaced(stream, newer=sweep.newer[stream])
            return
    raise _untrustworthy("it still shows some that were deleted")


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

    def over_all_pages(self, limit: int) -> int:
        """Delete the stale documents, and return how many there were.

        The list is ordered by timestamp, but documents of one timestamp may change places between
        two requests. So the last timestamp on a page is left to the next page, which then shows all
        its documents at once. A page that has no other timestamp is read again, twice as large.
        """
        self.newer.clear()
        deleted = offset = 0
        last_ms = sys.maxsize
        while True:
            page = self._client.list_documents(limit=limit, offset=offset, streams=list(self._seen))
            self._start.note_date(page.date_ms)
            documents = page.documents
            is_end = len(documents) < limit
            if not is_end:
                oldest_ms = documents[-1]["timestamp"]
                documents = [one for one in documents if one["timestamp"] > oldest_ms]
                if not documents or oldest_ms >= last_ms:
                    limit = _twice(limit)
                    continue
                last_ms = oldest_ms
            deleted_here = sum(map(self._delete_if_stale, documents))
            deleted += deleted_here
            offset += len(documents) - deleted_here
            if is_end:
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


def _twice(limit: int) -> int:
    if limit >= _LARGEST_PAGE:
        raise _untrustworthy("its pages repeat")
    return 2 * limit


def _untrustworthy(reason: str) -> DustUnavailableError:
    return DustUnavailableError(
        f"Could not delete all stale documents by Dust's list: {reason}. Try again later."
    )
