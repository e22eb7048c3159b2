"""A configured stream: its name, key and tags; and how text must be formatted for Dust."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airbyte_cdk.models import StreamDescriptor

MAX_TAG_UTF16_UNITS = 512

STREAM_TAG = "airbyte:stream:"
NAMESPACE_TAG = "airbyte:namespace:"

_NOT_ID_SAFE = re.compile(r"[^a-zA-Z0-9_-]")
_CONTROL_TO_SPACE = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")

StreamKey = tuple[str | None, str]
"""Namespace and name: what Airbyte looks a stream up by."""


@dataclass(frozen=True)
class Stream:
    """What stays the same for a configured stream during a sync.

    `primary_key` holds one path of field names per part of the key. `is_deduped` means that a
    deletion at the source is a deletion in Dust.
    """

    name: str
    namespace: str | None = None
    primary_key: tuple[tuple[str, ...], ...] = ()
    is_deduped: bool = False

    @property
    def key(self) -> StreamKey:
        """Return the namespace and name by which Airbyte looks up a stream."""
        return self.namespace, self.name

    @cached_property
    def descriptor(self) -> StreamDescriptor:
        """Return the stream's name and namespace as Airbyte's messages carry them.

        A lone surrogate, which no message can hold, becomes its escape.
        """
        return StreamDescriptor(
            name=_encodable(self.name),
            namespace=_encodable(self.namespace) if self.namespace else None,
        )

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """Return the tags of the stream's documents: its name and its namespace.

        There are no other tags, because agents read all tags of a document in each search result.
        """
        stream = _tag(STREAM_TAG + self.name)
        return (stream, _tag(NAMESPACE_TAG + self.namespace)) if self.namespace else (stream,)


def stream_key(namespace: str | None, name: str) -> StreamKey:
    """Return the key of a stream: an empty namespace counts as none."""
    return namespace or None, name


def stream_name(key: StreamKey) -> str:
    """Return a stream's name for a message, with its namespace if it has one."""
    namespace, name = key
    return repr(name) if namespace is None else f"{name!r} of namespace {namespace!r}"


def stream_tags(listed: Mapping[str, Any]) -> frozenset[str]:
    """Return the tags that name the stream and namespace of a document in Dust's list.

    Empty for a document that no sync has written.
    """
    tags = listed.get("tags")
    if not isinstance(tags, list):
        return frozenset()
    return frozenset(
        tag for tag in tags if isinstance(tag, str) and tag.startswith((STREAM_TAG, NAMESPACE_TAG))
    )


def id_safe(text: str) -> str:
    """Return the text with `_` for each character that document ids do not have."""
    return _NOT_ID_SAFE.sub("_", text)


def printable(text: str) -> str:
    """Return the text with a space for each control character. Dust cannot store a NUL."""
    return text.translate(_CONTROL_TO_SPACE)


def clip(text: str, utf16_units: int) -> str:
    """Return the text cut to a number of UTF-16 units, never inside a character.

    Dust counts as JavaScript does, so an emoji counts twice. A lone surrogate cannot be sent and
    becomes U+FFFD.
    """
    if text.isascii():
        return text[:utf16_units]
    # Each character has at least one unit, so this cuts nothing that could stay.
    units = text[:utf16_units].encode("utf-16-le", "surrogatepass")
    whole = units.decode("utf-16-le", "replace")
    return whole.encode("utf-16-le")[: 2 * utf16_units].decode("utf-16-le", "ignore")


def _tag(text: str) -> str:
    return clip(printable(text), MAX_TAG_UTF16_UNITS)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
