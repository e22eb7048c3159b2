"""Whether a document in Dust's list is what an upsert would leave there. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from blake3 import blake3
from pydantic_core import Url

from destination_dust.document import MIME_TYPE, Document

# Below this, Dust reads a timestamp as seconds. Source: dust-tt/dust, `cleanTimestamp`.
_LEAST_TIMESTAMP_MS = 10**10

# What JavaScript's `trim` strips. Python's `strip` leaves U+FEFF.
_JS_WHITE_SPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

_DIGEST_BYTES = 16


def fingerprint_of(listed: Mapping[str, Any]) -> bytes | None:
    """Return what to remember of a document in Dust's list: a digest and the timestamp, 24 bytes.

    None when the list does not show its timestamp.
    """
    timestamp_ms = listed.get("timestamp")
    if not isinstance(timestamp_ms, int):
        return None
    names = ("hash", "title", "tags", "source_url", "mime_type", "parents")
    return _fingerprint(timestamp_ms, [listed.get(name) for name in names])


def would_leave(document: Document, fingerprint: bytes) -> bool:
    """Return whether an upsert of the document would change nothing in Dust but the timestamp.

    Tags and parents are compared as well as the hash: they can change later without the hash, and
    the hash joins them without separators.
    """
    timestamp_ms = int.from_bytes(fingerprint[_DIGEST_BYTES:], "big", signed=True)
    stored = [
        document_hash(document, timestamp_ms),
        _stored_title(document),
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


def stored_timestamp_ms(timestamp_ms: int) -> int:
    """Return the timestamp that Dust stores when this one is sent."""
    return timestamp_ms if timestamp_ms >= _LEAST_TIMESTAMP_MS else timestamp_ms * 1000


def _stored_tags(document: Document) -> list[str]:
    return [*document.stream.tags, f"title:{_stored_title(document)}"]


def _stored_title(document: Document) -> str:
    return document.title.strip(_JS_WHITE_SPACE) or document.id


def _fingerprint(timestamp_ms: int, stored: list[Any]) -> bytes:
    digest = blake3(orjson.dumps(stored)).digest(length=_DIGEST_BYTES)
    return digest + timestamp_ms.to_bytes(8, "big", signed=True)
