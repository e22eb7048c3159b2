"""Brings one document to Dust, or leaves it where Dust has it already, or deletes it.

Dust takes 120 upserts a minute from a whole workspace, but lists 2,000 documents in one response,
with the hash of each.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

import orjson
from blake3 import blake3
from pydantic_core import Url

from destination_dust.client import PAGE_DOCUMENTS, DustClient
from destination_dust.document import MIME_TYPE, Document, id_hash
from destination_dust.errors import DustError
from destination_dust.stream import Stream, stream_tags

logger = logging.getLogger("airbyte")

SHORT_SYNC_UPSERTS = 100
MOST_LISTED = 500_000

_DIGEST_BYTES = 16
_TIMESTAMP_BYTES = 8

# Marks a document that this sync has written: what the list says of it no longer counts.
_WRITTEN = b""


class Outcome(Enum):
    """What was done with a document."""

    UPSERTED = "upserted"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


class Writer:
    """Writes documents, and leaves out those that Dust's list shows as they would be stored.

    Only a long sync reads the list: one with more than 100 upserts, or with a rate-limited one. It
    reads one page, and more as long as reading has taken less than half of the time so far.
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
        self._tags = {frozenset(stream.tags) for stream in self._streams}
        self._clock = clock
        self._started_s = clock()
        self._upserts = 0
        self._is_long = False
        # What the list shows, by the hash of the id: see `_fingerprint`.
        self._listed: dict[int, bytes] = {}
        self._offset = 0
        self._listing_s = 0.0
        self._has_read_list = False

    def write(self, document: Document) -> Outcome:
        """Upsert the document, leave it or delete it, and return which.

        Raises DustError when Dust may not have the document, or may still have a deleted one.
        """
        if document.is_deletion:
            self._client.delete_document(document.id, document.stream)
            self._forget(document)
            return Outcome.DELETED
        if self._is_unchanged(document):
            return Outcome.UNCHANGED
        if not self._client.upsert_document(document, waits=False):
            # Perhaps it need not wait for the rate limit.
            self._is_long = True
            if self._is_unchanged(document):
                return Outcome.UNCHANGED
            self._client.upsert_document(document)
        self._forget(document)
        self._upserts += 1
        self._is_long = self._is_long or self._upserts >= SHORT_SYNC_UPSERTS
        return Outcome.UPSERTED

    def _is_unchanged(self, document: Document) -> bool:
        """Return whether the list shows the document. Reads on until it does, if it may."""
        hash_ = id_hash(document.id)
        while hash_ not in self._listed and self._may_read_on():
            self._read_page()
        listed = self._listed.get(hash_, _WRITTEN)
        return listed != _WRITTEN and would_leave(document, listed)

    def _forget(self, document: Document) -> None:
        """Forget what the list says of the document, or will say when it is read on."""
        if self._has_read_list:
            self._listed.pop(id_hash(document.id), None)
        else:
            self._listed[id_hash(document.id)] = _WRITTEN

    def _may_read_on(self) -> bool:
        if not self._is_long or self._has_read_list:
            return False
        passed_s = self._clock() - self._started_s
        return self._offset == 0 or self._listing_s < passed_s / 2

    def _read_page(self) -> None:
        began_s = self._clock()
        try:
            page = self._client.list_documents(
                limit=PAGE_DOCUMENTS, offset=self._offset, streams=self._streams
            )
        except DustError as error:
            logger.warning("%s Unchanged records are sent as well.", error.message)
            page = []
        self._listing_s += self._clock() - began_s
        self._offset += len(page)
        self._has_read_list = len(page) < PAGE_DOCUMENTS or self._offset >= MOST_LISTED
        for listed in page:
            if stream_tags(listed) in self._tags and _has_timestamp(listed):
                self._listed.setdefault(id_hash(listed["document_id"]), fingerprint_of(listed))


# Whether a listed document is what an upsert would leave. A match proves it; anything else, such as
# a hash that Dust computes otherwise, leads to an upsert.


def _has_timestamp(listed: Mapping[str, Any]) -> bool:
    """Return whether the list shows the timestamp, as a number that a fingerprint can hold."""
    # A number of more than 64 bits is read as a float.
    timestamp_ms = listed.get("timestamp")
    return isinstance(timestamp_ms, int) and timestamp_ms >= 0


def fingerprint_of(listed: Mapping[str, Any]) -> bytes:
    """Return what to remember of a listed document: a digest and the timestamp, 24 bytes."""
    names = ("hash", "title", "tags", "source_url", "mime_type", "parents")
    return _fingerprint(listed["timestamp"], [listed.get(name) for name in names])


def would_leave(document: Document, fingerprint: bytes) -> bool:
    """Return whether an upsert of the document would change nothing in Dust but the timestamp.

    Tags and parents are compared as well as the hash: they can change later without the hash, and
    the hash joins them without separators.
    """
    timestamp_ms = int.from_bytes(fingerprint[_DIGEST_BYTES:], "big")
    stored_title = document.title.strip() or document.id
    stored = [
        document_hash(document, timestamp_ms),
        stored_title,
        _stored_tags(document),
        str(Url(document.source_url)) if document.source_url else None,
        MIME_TYPE,
        [document.id],
    ]
    return _fingerprint(timestamp_ms, stored) == fingerprint


def document_hash(document: Document, timestamp_ms: int) -> str:
    """Return the hash that Dust gives the document when it is stored with this timestamp.

    Source: dust-tt/dust, `DataSource::upsert` in `core/src/data_sources/data_source.rs`: hex BLAKE3
    of id, text, timestamp, tags and parents. The only parent of a document that was written through
    the API is itself.
    """
    parts = (document.id, document.text, str(timestamp_ms), *_stored_tags(document), document.id)
    return blake3("".join(parts).encode()).hexdigest()


def _stored_tags(document: Document) -> list[str]:
    return [*document.stream.tags, f"title:{document.title.strip() or document.id}"]


def _fingerprint(timestamp_ms: int, stored: list[Any]) -> bytes:
    digest = blake3(orjson.dumps(stored)).digest(length=_DIGEST_BYTES)
    return digest + timestamp_ms.to_bytes(_TIMESTAMP_BYTES, "big")
