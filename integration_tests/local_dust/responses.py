"""What Dust's responses show of a document and its data source.

Source: dust-tt/dust, `core/src/api/data_sources.rs`; the schemas of the npm client
`@dust-tt/client`.
"""

from __future__ import annotations

from typing import Any

from blake3 import blake3

from integration_tests.local_dust.documents import Document
from integration_tests.local_dust.options import DataSource

_TOKENS_PER_CHUNK = 512


def light(document: Document) -> dict[str, Any]:
    """Return the response to an upsert with `light_document_output`, which has no id."""
    shown = {name: document[name] for name in ("hash", "text_size", "chunk_count", "created")}
    return {**shown, "token_count": _token_count(document)}


def whole(document: Document) -> dict[str, Any]:
    """Return the response to an upsert. Its chunks, here one, hold the text and a vector."""
    text = document["text"]
    chunk = {
        "text": text,
        "hash": blake3((document["hash"] + text).encode()).hexdigest(),
        "offset": 0,
        "vector": [0.25, -0.5],
        "score": None,
    }
    chunks = [chunk] if text else []
    return {**listed(document), "chunks": chunks, "token_count": _token_count(document)}


def listed(document: Document) -> dict[str, Any]:
    """Return a document as the list shows it, without its text."""
    return {name: value for name, value in document.items() if name != "text"}


def data_source(source: DataSource) -> dict[str, Any]:
    return {
        "id": 1,
        "sId": source.id,
        "createdAt": 1_700_000_000_000,
        "name": "airbyte",
        "description": None,
        "dustAPIProjectId": "1",
        "dustAPIDataSourceId": source.engine_id,
        "connectorId": None,
        "connectorProvider": None,
        "assistantDefaultSelected": False,
    }


def _token_count(document: Document) -> int:
    return int(document["chunk_count"]) * _TOKENS_PER_CHUNK
