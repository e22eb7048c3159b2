"""Deletes the stale documents of streams that a sync has sent in full."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from destination_dust.client import PAGE_DOCUMENTS, DustClient
from destination_dust.document import id_hash
from destination_dust.errors import DustUnavailableError
from destination_dust.report import SyncReport
from destination_dust.stream import Stream, origin_of
from destination_dust.sync_start import SyncStart

# So many documents fit into one response, even with long titles and URLs.
_LARGEST_PAGE = 16_000
# Deletions show at once in Dust's list. If it takes more passes than this, the list is wrong.
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

    `seen` maps each stream to the hashes of the document ids that the sync has seen. Dust's list is
    read again and again, with `limit` documents on a page at first, until it shows no stale one.
    Raises DustError.
    """
    sweep = _Sweep(seen, client, report, start)
    for _ in range(_MOST_PASSES):
        deleted = sweep.over_all_pages(limit)
        if deleted == 0 and (sweep.has_read_all or limit == _LARGEST_PAGE):
            for stream in seen:
                report.replaced(
                    stream, newer=len(sweep.newer[stream]), is_certain=sweep.has_read_all
                )
            return
        if not sweep.has_read_all:
            limit = min(2 * limit, _LARGEST_PAGE)
    raise _untrustworthy("still shows deleted documents")


class _Sweep:
    """The last pass over the list.

    `has_read_all` is False when it has certainly missed a document. `newer` has the hashes of the
    document ids of each stream that were written since the sync began.
    """

    def __init__(
        self,
        seen: Mapping[Stream, array[int]],
        client: DustClient,
        report: SyncReport,
        start: SyncStart,
    ) -> None:
        self.newer: defaultdict[Stream, set[int]] = defaultdict(set)
        self.has_read_all = True
        self._left: set[int] = set()
        self._tied: set[int] = set()
        self._seen = {stream: array("Q", sorted(hashes)) for stream, hashes in seen.items()}
        self._by_origin = {frozenset(stream.tags): stream for stream in seen}
        self._client = client
        self._report = report
        self._start = start

    def over_all_pages(self, limit: int) -> int:
        """Delete the stale documents, and return how many there were.

        Ends early when it has missed a document, since the next pass has larger pages.
        """
        self.has_read_all = True
        self._left, self._tied = set(), set()
        deleted = offset = 0
        previous: list[int] = []
        while True:
            page = self._client.list_documents(limit=limit, offset=offset, streams=list(self._seen))
            self._start.note_date(page.date_ms)
            documents = self._without_ties(page.documents, limit)
            if not self.has_read_all and limit < _LARGEST_PAGE:
                return deleted
            hashes = list(map(_hash, page.documents))
            if len(hashes) == limit and hashes == previous:
                raise _untrustworthy("repeats its pages")
            previous = hashes
            deleted_here = sum(map(self._delete_if_stale, documents))
            deleted += deleted_here
            offset += len(documents) - deleted_here
            if len(page.documents) < limit:
                return deleted

    def _without_ties(self, page: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
        """Return the documents of a page to look at now.

        The list is ordered by timestamp, and documents of one timestamp may change places between
        two requests. So those of the last timestamp are left to the next page, which shows them all
        at once. If it does not, because somebody else has deleted documents, some were missed. If
        they fill half a page or more, they are looked at now. Then one that appears again shows
        that another was missed.
        """
        last_ms = page[-1]["timestamp"] if page else 0
        earlier = [document for document in page if document["timestamp"] > last_ms]
        is_left = len(page) == limit and len(earlier) > limit // 2
        documents = earlier if is_left else page
        if not self._left.issubset(map(_hash, page)):
            self.has_read_all = False
        if not self._tied.isdisjoint(map(_hash, documents)):
            self.has_read_all = False
        self._left = set(map(_hash, page[len(earlier) :])) if is_left else set()
        if not is_left:
            self._tied.update(map(_hash, page))
        return documents

    def _delete_if_stale(self, document: dict[str, Any]) -> bool:
        """Delete the document if it is stale, and return whether it was."""
        id_ = document["document_id"]
        stream = self._by_origin.get(origin_of(document.get("tags")))
        # An HTTP client would resolve a path of dots, and delete the data source itself.
        if stream is None or id_ in ("", ".", "..") or self._was_seen(stream, id_):
            return False
        if not self._start.is_after(document.get("created")):
            self.newer[stream].add(_hash(document))
            return False
        self._client.delete_document(id_, stream)
        self._report.deleted_stale(stream)
        return True

    def _was_seen(self, stream: Stream, id_: str) -> bool:
        seen, hash_ = self._seen[stream], id_hash(id_)
        at = bisect_left(seen, hash_)
        return at < len(seen) and seen[at] == hash_


def _untrustworthy(reason: str) -> DustUnavailableError:
    return DustUnavailableError(
        f"Could not delete all stale documents: Dust's list {reason}. Try again later."
    )


def _hash(document: dict[str, Any]) -> int:
    return id_hash(document["document_id"])
