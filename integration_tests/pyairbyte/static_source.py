"""A source whose records are the same in each run: a declarative one, over HTTP on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USERS = [{"id": id_, "name": f"User {id_}", "is_active": id_ % 3 > 0} for id_ in range(2000)]


class _Users(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(USERS).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing of each request."""


@contextmanager
def static_source() -> Iterator[dict[str, Any]]:
    """Serve the USERS, and yield what `airbyte.get_source` takes to read them."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Users) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "name": "source-static",
            "config": {},
            "source_manifest": _manifest(f"http://127.0.0.1:{server.server_port}"),
        }
        server.shutdown()


def _manifest(url: str) -> dict[str, Any]:
    properties = {
        "id": {"type": "integer"},
        "name": {"type": "string"},
        "is_active": {"type": "boolean"},
    }
    users = {
        "type": "DeclarativeStream",
        "name": "users",
        "primary_key": ["id"],
        "schema_loader": {
            "type": "InlineSchemaLoader",
            "schema": {"type": "object", "properties": properties},
        },
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {"type": "HttpRequester", "url_base": url, "path": "users"},
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": []},
            },
        },
    }
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["users"]},
        "streams": [users],
        "spec": {
            "type": "Spec",
            "connection_specification": {"type": "object", "properties": {}},
        },
    }
