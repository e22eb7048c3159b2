"""Which records need not be sent, because Dust has them already.

Dust takes 120 upserts a minute from a whole workspace, but lists 2,000 documents in one response,
with the hash of each.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from destination_dust.client import PAGE_DOCUMENTS, DustClient, Stored
from destination_dust.document import Document, id_hash
from destination_dust.errors import DustError
from destination_dust.fingerprint import (
    document_hash,
    fingerprint_of,
    stored_timestamp_ms,
    would_leave,
)
from destination_dust.stream import Stream, stream_tags

logger = logging.getLogger("airbyte")

SHORT_SYNC_UPSERTS = 100
MOST_LISTED = 500_000

# Marks a document that this sync wrote or deleted before it had read the whole list.
_WRITTEN = b""


class KnownDocuments:
    """The documents of a sync's streams that Dust has, as far as its list has been read.

    Only a long sync reads the list: one with more than 100 upserts, or with a rate-limited one. It
    reads one page, and goes on as long as reading has taken less time than the upserts.
    """

    def __init__(
        self,
        client: DustClient,
        streams: Iterable[Stream],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._streams = list(streams)
        self._origins = {frozenset(stream.tags) for stream in self._streams}
        self._clock = clock
        self._is_long = False
        self._upserts = 0
        self._upserts_s = 0.0
        self._lap_s = 0.0
        # Fingerprints by the hash of the id.
        self._known: dict[int, bytes] = {}
        self._is_done_reading = False
        self._listed = 0
        self._listing_s = 0.0
        # Whether Dust has computed the hash of an upsert as expected; None while it is unknown.
        self._hashes_as_expected: bool | None = None

    def upsert(self, document: Document) -> Stored | None:
        """Upsert the document and return what Dust says of it, or None when Dust has it already.

        Raises DustError when Dust may not have the document.
        """
        if self._upserts >= SHORT_SYNC_UPSERTS:
            self._become_long()
        if self._has(document):
            return None
        self._lap_s = self._clock()
        stored = self._client.upsert_document(
            document, is_needless=partial(self._has_after_all, document)
        )
        self._count_time()
        if stored is not None:
            self._upserts += 1
            self._compare_hashes(document, stored)
            self.forget(document)
        return stored

    def forget(self, document: Document) -> None:
        """Forget what the list says of a document that this sync has written or deleted."""
        if self._is_done_reading:
            self._known.pop(id_hash(document.id), None)
        else:
            self._known[id_hash(document.id)] = _WRITTEN

    def _has(self, document: Document) -> bool:
        """Return whether Dust has the document. Reads the list until it shows it, if it may."""
        hash_ = id_hash(document.id)
        while hash_ not in self._known and self._may_read_on:
            self._read_page()
        fingerprint = self._known.get(hash_, _WRITTEN)
        return fingerprint != _WRITTEN and would_leave(document, fingerprint)

    def _has_after_all(self, document: Document) -> bool:
        """Return whether Dust has a document whose upsert was rate-limited."""
        self._count_time()
        self._become_long()
        has_it = self._has(document)
        self._lap_s = self._clock()
        return has_it

    def _count_time(self) -> None:
        """Add the time since `_lap_s` to the time spent on upserts."""
        self._upserts_s += self._clock() - self._lap_s

    def _become_long(self) -> None:
        if not self._is_long and self._hashes_as_expected is False:
            logger.info(
                "Dust computes document hashes in a way that this version of the connector does "
                "not know. Unchanged records are sent as well."
            )
            self._is_done_reading = True
        self._is_long = True

    @property
    def _may_read_on(self) -> bool:
        if self._is_done_reading or not self._is_long:
            return False
        return self._listed == 0 or self._listing_s < self._upserts_s

    def _read_page(self) -> None:
        started_s = self._clock()
        try:
            page = self._client.list_documents(
                limit=PAGE_DOCUMENTS, offset=self._listed, streams=self._streams
            )
        except DustError as error:
            logger.warning("%s Unchanged records are sent as well.", error.message)
            self._is_done_reading = True
            return
        self._listing_s += self._clock() - started_s
        self._remember(page)
        self._listed += len(page)
        self._is_done_reading = len(page) < PAGE_DOCUMENTS or self._listed >= MOST_LISTED

    def _remember(self, page: list[dict[str, Any]]) -> None:
        for listed in page:
            if stream_tags(listed) in self._origins:
                fingerprint = fingerprint_of(listed)
                if fingerprint is not None:
                    self._known.setdefault(id_hash(listed["document_id"]), fingerprint)

    def _compare_hashes(self, document: Document, stored: Stored) -> None:
        """Check whether Dust computes hashes as expected. One match is enough."""
        if self._hashes_as_expected or document.timestamp_ms is None:
            return
        expected = document_hash(document, stored_timestamp_ms(document.timestamp_ms))
        self._hashes_as_expected = stored.hash == expected
