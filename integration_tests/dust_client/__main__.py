"""Have Dust's official client parse the connector's requests and the local Dust's responses.

    make test-dust-client

The schemas are those of the npm package `@dust-tt/client`. Exits with 1 when one of them refuses.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from integration_tests import connector
from integration_tests.exchanges import Exchange, Response, read_exchanges
from integration_tests.local_dust import LocalDust, Options
from integration_tests.sample import MESSAGES, read_catalog

_SCRIPT = Path(__file__).parent / "parse.cjs"


def main() -> None:
    """Pass each request and response to the client, one per line."""
    node = shutil.which("node")
    if node is None:
        sys.exit("Node 20 or later is needed.")
    lines = [*_requests_of_a_sync(), *_responses()]
    stdin = "\n".join(json.dumps(line) for line in lines)
    sys.exit(subprocess.run([node, _SCRIPT], input=stdin.encode(), check=False).returncode)


def _requests_of_a_sync() -> Iterator[dict[str, Any]]:
    """Yield the body of each upsert while the connector syncs the sample."""
    with LocalDust(Options(upserts_per_window=10**9)) as dust:
        run = connector.write(dust.config, read_catalog(), MESSAGES.read_bytes().splitlines())
    if run.exit_code != 0:
        sys.exit(f"{run.stderr.decode()}\nThe connector ended with exit code {run.exit_code}.")
    for request in dust.requests:
        if request.method == "POST":
            yield {
                "schema": "PostDataSourceDocumentRequestSchema",
                "what": f"the upsert of {request.path.rpartition('/')[2]}",
                "json": json.loads(request.body),
            }


def _responses() -> Iterator[dict[str, Any]]:
    """Yield the local Dust's response to each kind of request."""
    with LocalDust() as dust:
        for exchange in read_exchanges():
            what = f"the response to '{exchange.name}'"
            for schema, content in _parts(exchange, exchange.repeat(dust)):
                yield {"schema": schema, "what": what, "json": content}


def _parts(exchange: Exchange, response: Response) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a response, each with the schema that it must match."""
    body = response.body
    if response.content_type != "application/json":
        return
    if response.status != 200:
        yield "APIErrorSchema", body.get("error")
    elif exchange.method == "DELETE":
        yield "DeleteDocumentResponseSchema", body
    elif exchange.method == "GET":
        one = "/documents/" in exchange.path
        yield "GetDocumentResponseSchema" if one else "GetDocumentsResponseSchema", body
    elif not exchange.body["async"]:
        # The client does not know Dust's response to an asynchronous upsert.
        yield "UpsertDocumentResponseSchema", body
        # That schema would accept any document with an id.
        is_light = exchange.body["light_document_output"]
        document_schema = "CoreAPILightDocumentSchema" if is_light else "CoreAPIDocumentSchema"
        yield document_schema, body.get("document")


if __name__ == "__main__":
    main()
