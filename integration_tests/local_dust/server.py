"""The HTTP server of a local Dust."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from integration_tests.local_dust.documents import Documents
from integration_tests.local_dust.faults import Fault, fail
from integration_tests.local_dust.options import ApiKey, DataSource, Options
from integration_tests.local_dust.page import Page
from integration_tests.local_dust.store import (
    DustRefusal,
    DustStore,
    validate_body,
    validate_page,
)

# Live Dust serves underscores only.
ROUTE_STYLES = {
    "underscore": ("data_sources",),
    "hyphen": ("data-sources",),
    "both": ("data_sources", "data-sources"),
}

_KEY = web.RequestKey("key", ApiKey)

_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class SeenRequest:
    """A request as it arrived. `connection` is the client's port."""

    method: str
    path: str
    connection: int
    body: bytes


Faults = Iterator[Fault | None] | Callable[[SeenRequest], Fault | None]


class LocalDust:
    """Dust's document API on a loopback port; port 0 takes a free one.

    As a context manager it serves from its own thread. `requests` holds the requests that arrived.
    `faults` is an iterator with a fault for each request, or a function that returns the fault for
    a request; None means that nothing goes wrong. `gate`, if set, is awaited before each request is
    handled. Each response is sent `latency_s` after its request arrived, or later.
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
        self.faults: Faults = iter(())
        self.gate: Callable[[SeenRequest], Awaitable[None]] | None = None
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
    def documents(self) -> Documents:
        """Return the documents of the first data source by id."""
        return self.store.documents[self.store.options.data_sources[0]]

    def put(self, id_: str, **body: Any) -> None:
        """Store a document in the first data source as Dust itself would write it."""
        self.store.put(self.store.options.data_sources[0], id_, {"text": "", **body})

    def __enter__(self) -> LocalDust:
        with ExitStack() as stack:
            loop = stack.enter_context(_loop_in_a_thread())
            stack.callback(lambda: asyncio.run_coroutine_threadsafe(self._stop(), loop).result())
            asyncio.run_coroutine_threadsafe(self._start(), loop).result()
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._exit.close()

    async def _start(self) -> None:
        app = web.Application(
            client_max_size=2**30,
            middlewares=[
                _refuse_other_names,
                self._take_its_time,
                self._see_and_fail,
                self._respond_to_errors,
                self._authenticate,
            ],
        )
        app.on_response_prepare.append(self._date)
        for route in self._routes:
            documents = (
                f"/api/v1/w/{{workspace}}/spaces/{{space}}/{route}/{{data_source}}/documents"
            )
            app.router.add_get(documents, self._list)
            app.router.add_post(documents + "/{id}", self._upsert)
            app.router.add_get(documents + "/{id}", self._read)
            app.router.add_delete(documents + "/{id}", self._delete)
        Page(self.store).add_routes(app.router)
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=self._keepalive_s, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        """Stop serving, close every connection and cancel pending requests."""
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
        response = await handler(request)
        # The event loop's timer is up to 2 ms late, so it polls for the rest.
        await asyncio.sleep(until_s - time.monotonic() - 0.002)
        while time.monotonic() < until_s:
            await asyncio.sleep(0)
        return response

    @web.middleware
    async def _see_and_fail(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/api/"):
            return await handler(request)
        connection = _connection(request)
        body = await request.read()
        seen = SeenRequest(request.method, request.raw_path, connection, body)
        if self.gate is not None:
            await self.gate(seen)
        self.requests.append(seen)
        fault = self.faults(seen) if callable(self.faults) else next(self.faults, None)
        if fault is None:
            return await handler(request)
        response = await handler(request) if fault.needs_dust else None
        await asyncio.sleep(fault.delay_s)
        return await fail(request, fault, response)

    @web.middleware
    async def _respond_to_errors(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except DustRefusal as refusal:
            return _json(refusal.body, status=refusal.status)
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

    async def _date(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(self.store.options.now_ms() / 1000, usegmt=True)

    # Dust's routes.

    async def _list(self, request: web.Request) -> web.Response:
        limit, offset = validate_page(request.query)
        ids = request.query.getall("document_ids", [])
        return _json(self.store.list_documents(self._source(request), limit, offset, ids))

    async def _upsert(self, request: web.Request) -> web.Response:
        body = validate_body(await _sent_json(request))
        id_ = request.match_info["id"]
        source, connection = self._source(request), _connection(request)
        return _json(self.store.upsert(source, request[_KEY], id_, body, connection))

    async def _read(self, request: web.Request) -> web.Response:
        return _json(self.store.read(self._source(request), request.match_info["id"]))

    async def _delete(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        source, connection = self._source(request), _connection(request)
        return _json(self.store.delete(source, request[_KEY], id_, connection))

    def _source(self, request: web.Request) -> DataSource:
        path = request.match_info
        return self.store.data_source(request[_KEY], path["space"], path["data_source"])


@web.middleware
async def _refuse_other_names(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Serve loopback names only: a website can point its own name here (DNS rebinding)."""
    if _LOOPBACK.fullmatch(request.headers.get("Host", "")):
        return await handler(request)
    return web.Response(status=421, text="421 Misdirected Request: ask for localhost.")


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


def _connection(request: web.Request) -> int:
    """Return the port that a request came from."""
    return request.transport.get_extra_info("peername")[1] if request.transport else 0


async def _sent_json(request: web.Request) -> Any:
    """Return the body. Dust reads it only when it is declared to be JSON."""
    if request.content_type != "application/json":
        return {}
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise DustRefusal("invalid_request_error", "Malformed JSON in request body") from None


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")
