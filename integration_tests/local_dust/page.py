"""What a local Dust shows of itself: a page at `/`, and the JSON that it is drawn from."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiohttp import web

from integration_tests.local_dust.documents import Document, Documents
from integration_tests.local_dust.options import UNLIMITED, DataSource
from integration_tests.local_dust.store import DustStore

_STREAM_TAG = "airbyte:stream:"
_NAMESPACE_TAG = "airbyte:namespace:"

ROWS = 50

# Of the text around what was searched for.
_CHARACTERS_BEFORE = 40
_CHARACTERS_AFTER = 100


class Page:
    """The routes that show what a store holds."""

    def __init__(self, store: DustStore) -> None:
        self._store = store

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/", self._show_page)
        router.add_get("/local/activity", self._show_activity)
        router.add_get("/local/documents", self._show_documents)
        router.add_get("/local/document", self._show_document)

    async def _show_page(self, _request: web.Request) -> web.Response:
        page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        headers = {
            "Content-Security-Policy": _policy(page),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def _show_activity(self, request: web.Request) -> web.Response:
        """Respond with the activity, and a version that changes with the documents.

        The limit is null when it is off.
        """
        options = self._store.options
        limit = options.upserts_per_window
        source = self._source(request.query)
        activity = {
            "version": self._store.documents[source].version,
            "limit": limit if limit < UNLIMITED else None,
            "window_s": options.window_s,
            **self._store.activity[source.workspace_id].shown(),
        }
        return web.json_response(activity)

    async def _show_documents(self, request: web.Request) -> web.Response:
        """Respond with an overview of a data source, and ROWS of its documents, newest first.

        `source` is the number of the data source, `offset` the number of the first row. `stream`
        (with `namespace`, if it has one) and `search` (in ids, titles and texts) narrow the list.
        """
        query = request.query
        source = self._source(query)
        documents = self._store.documents[source]
        search = query.get("search", "").strip()
        offset = _natural(query.get("offset", "0"))
        matching = _matching(documents, query, search)
        sources = self._store.options.data_sources
        overview = {
            "sources": [f"{one.workspace_id} / {one.space_id} / {one.id}" for one in sources],
            "total": len(documents),
            "streams": _streams(documents),
            "last_sync": self._store.last_syncs[source].shown(documents),
            "matching": len(matching),
            "rows_per_page": ROWS,
            "rows": [_row(document, search) for document in matching[offset : offset + ROWS]],
        }
        return web.json_response(overview)

    async def _show_document(self, request: web.Request) -> web.Response:
        """Respond with a document in full, or with null if there is none."""
        documents = self._store.documents[self._source(request.query)]
        return web.json_response(documents.get(request.query.get("id", "")))

    def _source(self, query: Mapping[str, str]) -> DataSource:
        number = _natural(query.get("source", "0"))
        sources = self._store.options.data_sources
        if number >= len(sources):
            raise web.HTTPNotFound
        return sources[number]


def _policy(page: str) -> str:
    """Return a policy under which the page's own script and style run, and nothing else."""
    policy = {
        "default-src": "'none'",
        "script-src": _digest_of("script", page),
        "style-src": _digest_of("style", page),
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # Not even the page's own script can turn a text into markup.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(map(" ".join, policy.items()))


def _digest_of(element: str, page: str) -> str:
    (content,) = re.findall(f"<{element}>(.*?)</{element}>", page, re.DOTALL)
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


def _natural(text: str) -> int:
    # Longer numbers occur nowhere, and Python refuses to read thousands of digits.
    if not re.fullmatch(r"\d{1,9}", text):
        raise web.HTTPBadRequest
    return int(text)


def _streams(documents: Documents) -> list[dict[str, Any]]:
    counts = Counter(map(_stream, documents.values()))
    return [
        {"name": name, "namespace": namespace, "documents": count}
        for (name, namespace), count in sorted(counts.items())
        if name
    ]


def _matching(documents: Documents, query: Mapping[str, str], search: str) -> list[Document]:
    found = documents.page(limit=len(documents), offset=0)
    if query.get("stream"):
        stream = (query["stream"], query.get("namespace", ""))
        found = [document for document in found if _stream(document) == stream]
    if search:
        folded = search.casefold()
        searched = ("document_id", "title", "text")
        found = [one for one in found if any(folded in one[name].casefold() for name in searched)]
    return found


def _stream(document: Document) -> tuple[str, str]:
    """Return the name and the namespace in a document's tags, empty where there is none."""
    name = namespace = ""
    for tag in document["tags"]:
        if tag.startswith(_STREAM_TAG):
            name = tag.removeprefix(_STREAM_TAG)
        elif tag.startswith(_NAMESPACE_TAG):
            namespace = tag.removeprefix(_NAMESPACE_TAG)
    return name, namespace


def _row(document: Document, search: str) -> dict[str, Any]:
    shown = ("document_id", "title", "tags", "timestamp", "created", "source_url")
    row = {name: document[name] for name in shown}
    return {**row, "excerpt": _excerpt(document["text"], search) if search else None}


def _excerpt(text: str, search: str) -> list[str] | None:
    """Return the first match with some text before and after it, or None."""
    found = re.search(re.escape(search), text, re.IGNORECASE)
    if found is None:
        return None
    start, end = found.span()
    before = text[max(start - _CHARACTERS_BEFORE, 0) : start]
    return [before, found[0], text[end : end + _CHARACTERS_AFTER]]
