"""The documents of a data source, as Dust keeps them."""

from __future__ import annotations

import itertools
import random
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, MutableMapping
from hashlib import sha256
from operator import itemgetter
from typing import Any

from integration_tests.local_dust.options import DataSource, Options

Document = dict[str, Any]
"""A document as Dust stores it, and as a read shows it."""

# Below this, Dust reads a timestamp as seconds.
_LEAST_MILLISECONDS = 10**10

_CHUNK_BYTES = 2048

# What JavaScript's `trim` removes. Python's `strip` leaves U+FEFF and removes others.
_WHITE_SPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

# What the list is sorted by: age, then something arbitrary, since Dust has no tiebreaker.
_Place = tuple[int, str, str]


class Documents(MutableMapping[str, Document]):
    """The documents of one data source by id, which can be listed newest first.

    `version` changes with each change.
    """

    def __init__(self, options: Options) -> None:
        self.version = 0
        self._by_id: dict[str, Document] = {}
        # Always sorted, so that a change among 100,000 takes microseconds.
        self._places: list[_Place] = []
        self._options = options
        self._seeds = itertools.count()

    def __getitem__(self, id_: str) -> Document:
        return self._by_id[id_]

    def __setitem__(self, id_: str, document: Document) -> None:
        self.pop(id_, None)
        self.version += 1
        self._by_id[id_] = document
        insort(self._places, _place(document))

    def __delitem__(self, id_: str) -> None:
        document = self._by_id.pop(id_)
        self.version += 1
        del self._places[bisect_left(self._places, _place(document))]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def page(self, limit: int, offset: int, ids: Iterable[str] = ()) -> list[Document]:
        """Return `limit` documents at most, after the `offset` newest.

        If there are ids, only their documents count.
        """
        places = self._places
        if wanted := set(ids):
            places = sorted(_place(self._by_id[id_]) for id_ in wanted & self._by_id.keys())
        if self._options.ties_move:
            shuffled = random.Random(next(self._seeds)).sample(places, len(places))
            places = sorted(shuffled, key=itemgetter(0))
        end = offset + min(limit, self._options.max_page or limit)
        return [self._by_id[id_] for *_, id_ in places[offset:end]]


def stored_document(
    source: DataSource, id_: str, body: dict[str, Any], options: Options
) -> Document:
    """Return the document that an upsert of this body leaves in Dust.

    Source: dust-tt/dust, the POST of `documents/[documentId]` in `front-api/routes/v1/`.
    """
    text = body["text"]
    created_ms = options.now_ms()
    tags = list(body.get("tags") or [])
    titles_in_tags = (tag[6:].strip(_WHITE_SPACE) for tag in tags if tag.startswith("title:"))
    title_in_tags = next(titles_in_tags, "")
    title = (body.get("title") or "").strip(_WHITE_SPACE) or title_in_tags or id_
    if not title_in_tags:
        tags.append(f"title:{title}")
    mime_type = body.get("mime_type")
    text_size = len(text.encode())
    document = {
        "data_source_id": source.engine_id,
        "data_source_internal_id": sha256(source.engine_id.encode()).hexdigest(),
        "created": created_ms,
        "document_id": id_,
        "timestamp": _milliseconds(body.get("timestamp"), created_ms),
        "title": title,
        "mime_type": "application/octet-stream" if mime_type is None else mime_type,
        "provider_visibility": None,
        "tags": tags,
        "parent_id": None,
        "parents": [id_],
        "source_url": body.get("source_url") or None,
        "text_size": text_size,
        "chunk_count": -(-text_size // _CHUNK_BYTES),
        "chunks": [],
        "text": text,
        "token_count": None,
    }
    return {**document, "hash": options.hash_formula(document)}


def _place(document: Document) -> _Place:
    return (-document["timestamp"], document["hash"], document["document_id"])


def _milliseconds(timestamp: float | None, now_ms: int) -> int:
    if timestamp is None or timestamp < 0:
        return now_ms
    return int(timestamp) if timestamp >= _LEAST_MILLISECONDS else int(timestamp * 1000)
