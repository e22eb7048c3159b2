"""A small Dust on this machine that answers as the live one does, to sync into and to test with.

    python -m integration_tests.local_dust --port 8899

serves Dust's document API from memory. `GET /local` shows how much it holds, and
`GET /local/documents` every document in full.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from integration_tests.dust_store import (
    API_KEY,
    DATA_SOURCE_ID,
    SPACE_ID,
    WORKSPACE_ID,
    ApiKey,
    DataSource,
    DustRefusal,
    DustStore,
    Options,
    validate_body,
)

# Live Dust serves underscores only.
ROUTE_STYLES = {
    "underscore": ("data_sources",),
    "hyphen": ("data-sources",),
    "both": ("data_sources", "data-sources"),
}

_KEY = web.RequestKey("key", ApiKey)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    `status`, `headers` and `body` stand in for Dust's answer, `delay_s` comes before any answer.
    `ending` is how the connection ends: "reset" or "closed" instead of an answer, "truncated" in
    the middle of it; "trickled" is an answer byte by byte. With `after_work` Dust has done what was
    asked all the same.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    ending: str | None = None
    after_work: bool = False

    @property
    def needs_dust(self) -> bool:
        """Tell whether Dust itself deals with the request."""
        return self.after_work or (self.status is None and self.ending not in ("reset", "closed"))


def random_faults(seed: int, share: float) -> Iterator[Fault | None]:
    """Yield faults without end for this share of the requests, the same for the same seed."""
    source = random.Random(seed)
    unavailable = b'{"error":{"type":"service_unavailable","message":"Down."}}'
    kinds = [
        Fault(status=503, body=unavailable),
        Fault(status=500, after_work=True),
        Fault(status=502, body=b"<html>Bad gateway</html>"),
        Fault(status=429, headers={"Retry-After": "1"}),
        Fault(status=200, body=b"<html>Sign in</html>"),
        Fault(status=200, body=b'{"document":{"document_id":"another"}}', after_work=True),
        Fault(ending="reset"),
        Fault(ending="reset", after_work=True),
        Fault(ending="closed"),
        Fault(ending="closed", after_work=True),
        Fault(ending="truncated"),
        Fault(delay_s=0.01),
    ]
    while True:
        yield source.choice(kinds) if source.random() < share else None


@dataclass(frozen=True)
class SeenRequest:
    """A request as it arrived. `connection` is the port it came from."""

    method: str
    path: str
    connection: int
    body: bytes


class LocalDust:
    """Dust's document API on a loopback port; port 0 takes a free one.

    As a context manager it serves from a thread of its own. `requests` is what arrived; of `faults`
    each request takes the next, and None lets a request through. An answer
    leaves `latency_s` after its request came, or later.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        route_style: str = "underscore",
        port: int = 0,
        latency_s: float = 0.0,
        keepalive_s: float = 5.0,
    ) -> None:
        self.store = DustStore(options or Options())
        self.port = port
        self.requests: list[SeenRequest] = []
        self.faults: Iterator[Fault | None] = iter(())
        self.latency_s = latency_s
        self._keepalive_s = keepalive_s
        self._routes = ROUTE_STYLES[route_style]
        self._runner: web.AppRunner | None = None
        self._exit = ExitStack()

    @property
    def config(self) -> dict[str, str]:
        """Return the connector's settings for the first key and data source."""
        options = self.store.options
        source = options.data_sources[0]
        return {
            "api_key": next(iter(options.api_keys)),
            "workspace_id": source.workspace_id,
            "space_id": source.space_id,
            "data_source_id": source.id,
            "base_url": f"http://127.0.0.1:{self.port}",
        }

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        """Return the documents of the first data source by id."""
        return self.store.documents[self.store.options.data_sources[0]]

    def __enter__(self) -> LocalDust:
        loop = self._exit.enter_context(_loop_in_a_thread())
        asyncio.run_coroutine_threadsafe(self.start(), loop).result()
        self._exit.callback(lambda: asyncio.run_coroutine_threadsafe(self.stop(), loop).result())
        return self

    def __exit__(self, *_exception: object) -> None:
        self._exit.close()

    async def start(self) -> None:
        """Begin to serve, on the running event loop."""
        app = web.Application(
            client_max_size=2**30,
            middlewares=[
                self._take_its_time,
                self._see_and_fail,
                self._answer_errors,
                self._authenticate,
            ],
        )
        for route in self._routes:
            documents = (
                f"/api/v1/w/{{workspace}}/spaces/{{space}}/{route}/{{data_source}}/documents"
            )
            app.router.add_get(documents, self._list, allow_head=False)
            app.router.add_post(documents + "/{id}", self._upsert)
            app.router.add_get(documents + "/{id}", self._read, allow_head=False)
            app.router.add_delete(documents + "/{id}", self._delete)
        app.router.add_get("/local", self._show_overview)
        app.router.add_get("/local/documents", self._show_documents)
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=self._keepalive_s, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop serving, close every connection and drop the requests that hang."""
        if self._runner:
            await self._runner.cleanup()
        hanging = asyncio.all_tasks() - {asyncio.current_task()}
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    # Middlewares, from the outermost in.

    @web.middleware
    async def _take_its_time(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.latency_s or not request.path.startswith("/api/"):
            return await handler(request)
        until_s = time.monotonic() + self.latency_s
        answer = await handler(request)
        # The event loop's own timer is up to 2 ms late: the rest is waited for awake.
        await asyncio.sleep(until_s - time.monotonic() - 0.002)
        while time.monotonic() < until_s:
            await asyncio.sleep(0)
        return answer

    @web.middleware
    async def _see_and_fail(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/api/"):
            return await handler(request)
        port = request.transport.get_extra_info("peername")[1] if request.transport else 0
        body = await request.read()
        self.requests.append(SeenRequest(request.method, request.raw_path, port, body))
        fault = next(self.faults, None)
        if fault is None:
            return await handler(request)
        answer = await handler(request) if fault.needs_dust else None
        await asyncio.sleep(fault.delay_s)
        return await _fail(request, fault, answer)

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except DustRefusal as refusal:
            error = {"type": refusal.type, "message": refusal.message}
            return _json({"error": error}, status=refusal.status)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            return web.Response(status=404, text="404 Not Found")

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        # Before routing: with a bad key even an unknown path is a 401.
        if request.path.startswith("/api/v1/w/"):
            request[_KEY] = self.store.authenticate(
                request.headers.get("Authorization"),
                unquote(request.rel_url.raw_path.split("/")[4]),
            )
        return await handler(request)

    # Dust's routes.

    async def _list(self, request: web.Request) -> web.Response:
        documents = self.store.documents[self._source(request)]
        try:
            limit = int(request.query.get("limit", "10"))
            offset = int(request.query.get("offset", "0"))
        except ValueError:
            raise DustRefusal(400, "invalid_request_error", "Invalid limit or offset.") from None
        newest = sorted(documents.values(), key=lambda document: -document["timestamp"])
        page = [_without_text(document) for document in newest[offset : offset + limit]]
        return _json({"documents": page, "total": len(documents)})

    async def _upsert(self, request: web.Request) -> web.Response:
        try:
            body = validate_body(orjson.loads(await request.read()))
        except orjson.JSONDecodeError:
            raise DustRefusal(400, "invalid_request_error", "The body is not JSON.") from None
        source = self._source(request)
        id_ = request.match_info["id"]
        self.store.upsert(source, request[_KEY], id_, body)
        document = self.store.documents[source][id_]
        if body.get("light_document_output"):
            document = _without_text(document)
        return _json({"document": document, "data_source": {"name": source.id}})

    async def _read(self, request: web.Request) -> web.Response:
        document = self.store.documents[self._source(request)].get(request.match_info["id"])
        if document is None:
            raise DustRefusal(400, "data_source_error", "There was an error retrieving it.")
        return _json({"document": document})

    async def _delete(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        self.store.documents[self._source(request)].pop(id_, None)
        return _json({"document": {"document_id": id_}})

    def _source(self, request: web.Request) -> DataSource:
        path = request.match_info
        return self.store.data_source(path["workspace"], path["space"], path["data_source"])

    # What this server shows of itself.

    async def _show_overview(self, _request: web.Request) -> web.Response:
        documents = [doc for source in self.store.documents.values() for doc in source.values()]
        tags = Counter(tag for document in documents for tag in document.get("tags", []))
        return _json({"documents": len(documents), "tags": tags, "requests": len(self.requests)})

    async def _show_documents(self, _request: web.Request) -> web.Response:
        return _json([doc for source in self.store.documents.values() for doc in source.values()])


@contextmanager
def _loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _fail(
    request: web.Request, fault: Fault, answer: web.StreamResponse | None
) -> web.StreamResponse:
    if request.transport and fault.ending in ("reset", "closed"):
        if fault.ending == "reset":
            request.transport.abort()
        request.transport.close()
    if fault.status is not None:
        return web.Response(status=fault.status, headers=fault.headers, body=fault.body)
    if fault.ending in ("truncated", "trickled") and isinstance(answer, web.Response):
        return await _send_in_parts(request, bytes(answer.body), whole=fault.ending == "trickled")
    return answer or web.Response()


async def _send_in_parts(request: web.Request, body: bytes, *, whole: bool) -> web.StreamResponse:
    """Send an answer byte by byte, or only the first half of it."""
    answer = web.StreamResponse(headers={"Content-Length": str(len(body))})
    await answer.prepare(request)
    for at in range(len(body) if whole else len(body) // 2):
        await answer.write(body[at : at + 1])
        await asyncio.sleep(0.001)
    if not whole and request.transport:
        request.transport.close()
    return answer


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")


def _without_text(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "text"}


def main() -> None:
    """Serve until interrupted, on the port and with the contents that the options say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8899, help="default: %(default)s; 0: any")
    parser.add_argument("--route-style", choices=ROUTE_STYLES, default="underscore")
    parser.add_argument(
        "--key",
        action="append",
        metavar="KEY:WORKSPACE",
        help=f"an API key and its workspace, repeatable; default: {API_KEY}:{WORKSPACE_ID}",
    )
    parser.add_argument(
        "--data-source",
        action="append",
        metavar="WORKSPACE/SPACE/ID",
        help=f"repeatable; default: {WORKSPACE_ID}/{SPACE_ID}/{DATA_SOURCE_ID}",
    )
    parser.add_argument(
        "--upserts", type=int, default=120, help="allowed per window; default: %(default)s"
    )
    parser.add_argument(
        "--window", type=float, default=60.0, help="of the rate limit, in s; default: %(default)s"
    )
    parser.add_argument(
        "--latency", type=float, default=0.0, help="of every answer, in s; default: %(default)s"
    )
    args = parser.parse_args()
    keys = args.key or [f"{API_KEY}:{WORKSPACE_ID}"]
    sources = args.data_source or [f"{WORKSPACE_ID}/{SPACE_ID}/{DATA_SOURCE_ID}"]
    try:
        options = Options(
            api_keys={
                secret: ApiKey(workspace)
                for secret, workspace in (key.rsplit(":", maxsplit=1) for key in keys)
            },
            data_sources=tuple(DataSource(*source.split("/")) for source in sources),
            upserts_per_window=args.upserts,
            window_s=args.window,
        )
    except (TypeError, ValueError):
        parser.error("--key takes KEY:WORKSPACE, --data-source takes WORKSPACE/SPACE/ID")
    dust = LocalDust(options, route_style=args.route_style, port=args.port, latency_s=args.latency)
    try:
        asyncio.run(_serve(dust))
    except KeyboardInterrupt:
        print("\nStopped.")
    except OSError as error:
        parser.exit(1, f"{error.strerror}. Is one running already? --port takes another.\n")


async def _serve(dust: LocalDust) -> None:
    await dust.start()
    url = dust.config["base_url"]
    print(f"A local Dust listens on {url}. What it holds: {url}/local and {url}/local/documents")
    print("Settings for the connector (secrets/config.json):")
    print(json.dumps(dust.config, indent=2), flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await dust.stop()


if __name__ == "__main__":
    main()
