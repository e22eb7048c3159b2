"""Turns a record into the document it becomes in Dust. Pure functions, and nothing is logged."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from airbyte_cdk.models import AirbyteRecordMessage
from pydantic_core import Url

from destination_dust import exact_json
from destination_dust.errors import InputError
from destination_dust.stream import Stream, clip, id_safe, printable

MIME_TYPE = "application/json"
MAX_ID_CHARACTERS = 255
MAX_TITLE_UTF16_UNITS = 512
MAX_INDENTED_CHARACTERS = 1_000_000
MAX_URL_CHARACTERS = 32_000
LEAST_TIMESTAMP_MS = 10**10
"""Smaller times are in seconds: Dust reads them so, and PyAirbyte's caches send them so."""
MAX_TIMESTAMP_MS = 8_640_000_000_000_000
"""The latest time that a date of JavaScript can hold."""

TITLE_FIELDS = ("name", "full_name", "display_name", "title", "subject", "label")
URL_FIELDS = ("source_url", "html_url", "web_url", "permalink", "url", "link")

_DIGEST_CHARACTERS = 16
# Sixteen digits alone are more likely a number than a digest.
_ENDS_LIKE_A_DIGEST = re.compile(r"-[0-9a-f]{16}\Z|\A(?=\d*[a-f])[0-9a-f]{16}\Z")

# Set where a change data capture has seen that the row was deleted.
_DELETED_AT = "_ab_cdc_deleted_at"

# Source: PyAirbyte, `constants.AB_INTERNAL_COLUMNS`.
_CACHE_FIELDS = frozenset({"_airbyte_raw_id", "_airbyte_extracted_at", "_airbyte_meta"})

Key = tuple[str | None, ...]
"""The values of a record's primary key as texts, None where one is null or missing."""


@dataclass(frozen=True)
class Document:
    """A record as Dust takes it.

    `key` is None when the stream has no primary key, or the record has none of its fields.
    `timestamp_ms` is Unix time. `is_deleted` means that the source no longer has the record.
    """

    stream: Stream
    key: Key | None
    id: str
    title: str
    text: str
    source_url: str
    timestamp_ms: int | None
    is_deleted: bool = False

    @property
    def is_deletion(self) -> bool:
        """Return whether to delete the document. Without a key, the document is unknown."""
        return self.is_deleted and self.key is not None

    @property
    def lacks_its_key(self) -> bool:
        """Return whether the stream has a key, but the record has none of its fields."""
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
    """Return the document of a record of the stream.

    Raises InputError when the record nests too deeply to be written as JSON.
    """
    try:
        return _document(stream, record, _data_of(stream, record))
    except RecursionError:
        # `from None`: a thousand frames explain nothing.
        raise InputError(
            f"A record of stream {stream.name!r} nests too deeply to be stored as JSON: leave the "
            "field out in the connection's schema.",
            stream=stream.descriptor,
        ) from None


def _document(stream: Stream, record: AirbyteRecordMessage, data: Mapping[str, Any]) -> Document:
    key = key_of(data, stream.primary_key)
    id_ = document_id(stream, key, data)
    return Document(
        stream=stream,
        key=key,
        id=id_,
        title=title_of(stream, key, id_, data),
        text=text_of(data),
        source_url=source_url_of(data),
        timestamp_ms=record.emitted_at if 0 < record.emitted_at <= MAX_TIMESTAMP_MS else None,
        is_deleted=stream.is_deduped and data.get(_DELETED_AT) is not None,
    )


def _data_of(stream: Stream, record: AirbyteRecordMessage) -> Mapping[str, Any]:
    """Return the record's data without the fields that a cache of PyAirbyte has added.

    Their values differ each time the source is read. So they would give every record another id or
    another text in every sync. Fields of these names that a source has itself, such as a table
    which Airbyte wrote, are kept: only caches give the time in seconds.
    """
    data: Mapping[str, Any] = record.data
    is_of_cache = stream.is_of_pyairbyte and record.emitted_at < LEAST_TIMESTAMP_MS
    if not (is_of_cache and _CACHE_FIELDS.issubset(data)):
        return data
    return {name: value for name, value in data.items() if name not in _CACHE_FIELDS}


def key_of(data: Mapping[str, Any], primary_key: tuple[tuple[str, ...], ...]) -> Key | None:
    """Return the values of the primary key, in the order of its paths.

    Equal numbers give the same text, however they are written. None when the stream has no primary
    key, or the record has none of its fields: a placeholder would give unrelated records the same
    id.
    """
    key = tuple(_text_at(data, path) for path in primary_key)
    return key if any(value is not None for value in key) else None


def document_id(stream: Stream, key: Key | None, data: Mapping[str, Any]) -> str:
    """Return the record's id in Dust: at most 255 characters of `[a-zA-Z0-9_-]`.

    `{stream}-{value1}-{value2}` with a key, `{stream}-{hash of the data}` without. Records with the
    same id would overwrite each other, so an id that could belong to two records ends in a digest
    of namespace, stream and key. Whether it could is decided by the record and its stream alone: if
    other streams of the catalog mattered, ids would change with them.
    """
    identity: Any = exact_json.dumps(data, sort_keys=True) if key is None else list(key)
    values = [_digest(identity)] if key is None else [value or "" for value in key]
    plain = "-".join((stream.name, *values))
    safe = id_safe(plain)
    is_whole = safe == plain and len(safe) <= MAX_ID_CHARACTERS
    # Another namespace may have a stream of the same name, and `users-archive` with the key `7`
    # would get the id of `users` with the key `archive-7`.
    is_of_one_stream = stream.namespace is None and "-" not in stream.name
    if is_whole and is_of_one_stream and (key is None or not _is_ambiguous(values)):
        return safe
    digest = _digest(exact_json.dumps([stream.namespace, stream.name, identity]))
    return f"{safe[: MAX_ID_CHARACTERS - len(digest) - 1]}-{digest}"


def id_hash(id_: str) -> int:
    """Return a 64-bit hash of a document's id, to remember many ids in little memory."""
    return int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=8).digest(), "big")


def title_of(stream: Stream, key: Key | None, id_: str, data: Mapping[str, Any]) -> str:
    """Return the first text in the usual fields for names that is not blank.

    Without one it is stream and key, else the id. Control characters become spaces, and a long
    title is cut. `name` comes before `title`, because a person's title is often "Dr.".
    """
    texts = _texts_in(data, TITLE_FIELDS, _folded)
    if key is not None:
        texts.append(" ".join((stream.name, *(value for value in key if value is not None))))
    titles = map(printable, (*texts, id_))
    return clip(next(title for title in titles if title.strip()), MAX_TITLE_UTF16_UNITS)


def text_of(data: Mapping[str, Any]) -> str:
    """Return the data as JSON, indented where that is not too long.

    Indentation can triple the length of a deep record, and Dust refuses texts over 2 MB.
    """
    text = exact_json.dumps_indented(data)
    return text if len(text) <= MAX_INDENTED_CHARACTERS else exact_json.dumps(data)


def source_url_of(data: Mapping[str, Any]) -> str:
    """Return the first URL of a page in the usual fields that Dust accepts, else ""."""
    return next(filter(_is_url_of_page, _texts_in(data, URL_FIELDS, str.lower)), "")


def _texts_in(
    data: Mapping[str, Any], names: tuple[str, ...], fold: Callable[[str], str]
) -> list[str]:
    """Return the texts in the fields of these names, in the order of the names.

    `fold` takes away what does not count in a field's name. Fields of one name keep the order that
    they have in the record.
    """
    ranks = {fold(name): rank for rank, name in enumerate(names)}
    texts = [
        (ranks[name], value)
        for field, value in data.items()
        if isinstance(value, str) and (name := fold(field)) in ranks
    ]
    return [text for _, text in sorted(texts, key=itemgetter(0))]


def _folded(name: str) -> str:
    """Return the name of a field as one word: `Full_Name`, `fullName` and `Full Name` are one."""
    return re.sub(r"[_\- ]", "", name).lower()


def _text_at(data: Mapping[str, Any], path: tuple[str, ...]) -> str | None:
    value: Any = data
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None or isinstance(value, str):
        return value
    # Change data capture may write 7E+3 where the snapshot wrote 7000.
    return exact_json.dumps(exact_json.with_plain_numbers(value), sort_keys=True)


def _is_ambiguous(values: list[str]) -> bool:
    """Return whether the key, joined by hyphens, could be read as another key."""
    return (
        "" in values
        or (len(values) > 1 and any("-" in value for value in values))
        # It could be the digest of another record, or end in one.
        or _ENDS_LIKE_A_DIGEST.search(values[-1]) is not None
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:_DIGEST_CHARACTERS]


def _is_url_of_page(text: str) -> bool:
    """Return whether Dust takes the text as a document's URL, and it is not that of an API.

    Dust accepts absolute http(s) URLs that a browser's `URL` parses, without `//` in the path. The
    parser used here follows the same standard. Dust's search index fails at over 32,766 bytes. An
    API's URL, as Zendesk's `url` or Jira's `self`, would open JSON.

    Source: Dust API, upsert document; Dust's sources, `data_sources_nodes_4.mappings.json`.
    """
    try:
        url = Url(text)
    except ValueError:
        return False
    path = url.path or ""
    return (
        url.scheme in ("http", "https")
        and "//" not in path
        and not (url.host or "").startswith("api.")
        and not path.startswith(("/api/", "/rest/"))
        and len(str(url)) <= MAX_URL_CHARACTERS
        # Which other characters a host may have depends on the server's version of Unicode.
        and max(url.unicode_host() or "") <= "\uffff"
    )
