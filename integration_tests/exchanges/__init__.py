"""Requests to Dust with its responses, which the local Dust has to match.

The file is from a model of Dust's published sources.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from integration_tests.local_dust import LocalDust

_FILE = Path(__file__).parent / "dust_exchanges.jsonl"


@dataclass(frozen=True)
class Response:
    """What came back. The body is parsed when it is JSON, a text otherwise."""

    status: int
    content_type: str
    body: Any


@dataclass(frozen=True)
class Exchange:
    """A request, and Dust's response to it after those before it in the file.

    A body that is a text is sent as it is, since it is not JSON.
    """

    name: str
    method: str
    path: str
    authorization: str | None
    body: Any
    response: Response

    def repeat(self, dust: LocalDust) -> Response:
        """Return a local Dust's response to the same request."""
        config = dust.config
        ids = {name: config[f"{name}_id"] for name in ("workspace", "space", "data_source")}
        headers = {"Content-Type": "application/json"}
        if self.authorization is not None:
            headers["Authorization"] = self.authorization.format(key=config["api_key"])
        body = "" if self.body is None else self.body
        got = requests.request(
            self.method,
            config["base_url"] + self.path.format(**ids),
            headers=headers,
            data=body if isinstance(body, str) else json.dumps(body),
            timeout=10,
        )
        content_type = got.headers["Content-Type"].partition(";")[0]
        is_json = content_type == "application/json"
        return Response(got.status_code, content_type, got.json() if is_json else got.text)


def read_exchanges() -> Iterator[Exchange]:
    """Yield the exchanges of the file, in its order."""
    for line in _FILE.read_text(encoding="utf-8").splitlines():
        exchange = json.loads(line)
        response = Response(**exchange["answer"])
        yield Exchange(name=exchange["name"], **exchange["request"], response=response)
