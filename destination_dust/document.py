"""From a record to the document it becomes in Dust. Pure: no network, clock, randomness or log."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airbyte_cdk.models import AirbyteRecordMessage
from pydantic_core import Url

from destination_dust import exact_json
from destination_dust.stream import Stream, clip, id_safe, printable

MIME_TYPE = "application/json"
MAX_ID_CHARACTERS = 255
MAX_TITLE_UTF16_UNITS = 512

_TITLE_FIELDS = ("title", "name", "subject", "label")
_URL_FIELDS = ("source_url", "html_url", "web_url", "permalink", "url", "link")

_DIGEST_CHARACTERS = 16
# Alone, sixteen digits are more likely a number than a digest.
_ENDS_LIKE_A_DIGEST = re.compile(r"-[0-9a-f]{16}\Z|\A(?=\d*[a-f])[0-9a-f]{16}\Z")

# Set where a change data capture has seen that the row was deleted.
_DELETED_AT = "_ab_cdc_deleted_at"


@dataclass(frozen=True)
class Document:
    """A record in the form in which Dust takes it.

    `key` is the record's key as texts, and None when the stream has no key or the record lacks a
    part of it. `timestamp_ms` counts from the epoch. `is_deleted` says that the source no longer
    has the record.
    """

    stream: Stream
    key: tuple[str, ...] | None
    id: str
    title: str
    text: str
    source_url: str
    timestamp_ms: int | None
    is_deleted: bool = False

    @property
    def is_deletion(self) -> bool:
        """Tell whether the document is to be deleted, which without a key is not possible."""
        return self.is_deleted and self.key is not None

    @property
    def lacks_its_key(self) -> bool:
        """Tell whether the stream has a key that the record has no value for."""
        return self.key is None and bool(self.stream.primary_key)

    def payload(self) -> dict[str, Any]:
        """Return the body of Dust's upsert request."""
        payload: dict[str, Any] = {
            "title": self.title,
            "mime_type": MIME_TYPE,
            "text": self.text,
            "source_url": self.source_url,
            "tags": self.stream.tags,
            "light_document_output": True,
            "async": False,
        }
        if self.timestamp_ms is not None:
            payload["timestamp"] = self.timestamp_ms
        return payload


def to_document(stream: Stream, record: AirbyteRecordMessage) -> Document:
    """Return the document of a record of the stream."""
    data = record.data
    key = key_of(data, stream.primary_key)
    id_ = document_id(stream, key, data)
    return Document(
        stream=stream,
        key=key,
        id=id_,
        title=title_of(data) or clip(_title_from_key(stream, key) or id_, MAX_TITLE_UTF16_UNITS),
        text=exact_json.dumps_indented(data),
        source_url=source_url_of(data),
        timestamp_ms=record.emitted_at if record.emitted_at > 0 else None,
        is_deleted=stream.is_deduped and data.get(_DELETED_AT) is not None,
    )


def key_of(
    data: Mapping[str, Any], primary_key: tuple[tuple[str, ...], ...]
) -> tuple[str, ...] | None:
    """Return the values of the primary key as texts, in the order of its paths.

    None when there is no primary key, or when the record misses a part of it or has null there: a
    placeholder would give unrelated records one id.
    """
    values = [_value_at(data, path) for path in primary_key]
    if not values or any(value is None for value in values):
        return None
    return tuple(
        value if isinstance(value, str) else exact_json.dumps(value, sort_keys=True)
        for value in values
    )


def document_id(stream: Stream, key: tuple[str, ...] | None, data: Mapping[str, Any]) -> str:
    """Return the record's id in Dust: at most 255 characters of `[a-zA-Z0-9_-]`.

    `{stream}-{value1}-{value2}` with a key, `{stream}-{hash of the data}` without. Where that form
    could mean two records, it ends in a digest of namespace, stream and key, since records that
    share an id overwrite each other.
    """
    identity: Any
    if key is None:
        identity = exact_json.dumps(data, sort_keys=True)
        plain = f"{stream.name}-{_digest(identity)}"
    else:
        identity = list(key)
        plain = "-".join((stream.name, *key))

    safe = id_safe(plain)
    is_ambiguous = (
        safe != plain
        or len(safe) > MAX_ID_CHARACTERS
        or stream.shares_ids
        or (key is not None and _is_ambiguous(key))
    )
    if not is_ambiguous:
        return safe
    digest = _digest(exact_json.dumps([stream.namespace, stream.name, identity]))
    return f"{safe[: MAX_ID_CHARACTERS - len(digest) - 1]}-{digest}"


def id_hash(id_: str) -> int:
    """Return a 64-bit hash of a document's id, by which many ids are remembered in little space."""
    return int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=8).digest(), "big")


def title_of(data: Mapping[str, Any]) -> str | None:
    """Return the first non-blank string in the fields that usually name a thing, cut to fit.

    Control characters become spaces. None when there is no such string.
    """
    for name in _TITLE_FIELDS:
        value = data.get(name)
        if isinstance(value, str):
            title = printable(value)
            if title.strip():
                return clip(title, MAX_TITLE_UTF16_UNITS)
    return None


def source_url_of(data: Mapping[str, Any]) -> str:
    """Return the first usual URL field that Dust accepts as the document's link, else "".

    Source: Dust API, upsert document: an absolute http(s) URL that a browser's `URL` parses,
    without `//` in its path. The parser used here follows the same standard.
    """
    for name in _URL_FIELDS:
        value = data.get(name)
        if isinstance(value, str) and _is_dust_url(value):
            return value
    return ""


def _value_at(data: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = data
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _is_ambiguous(key: tuple[str, ...]) -> bool:
    """Tell whether the key, joined by hyphens, could be read as another key."""
    return (
        "" in key
        or (len(key) > 1 and any("-" in value for value in key))
        # It could be the digest of another record, or end in it.
        or _ENDS_LIKE_A_DIGEST.search(key[-1]) is not None
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:_DIGEST_CHARACTERS]


def _title_from_key(stream: Stream, key: tuple[str, ...] | None) -> str | None:
    if key is None:
        return None
    return printable(" ".join((stream.name, *key)))


def _is_dust_url(text: str) -> bool:
    try:
        url = Url(text)
    except ValueError:
        return False
    return (
        url.scheme in ("http", "https")
        and "//" not in (url.path or "")
        # Which characters beyond these a host may hold depends on the Unicode of the server.
        and max(url.unicode_host() or "") <= "\uffff"
    )
