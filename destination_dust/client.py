"""The HTTP client for the Dust API: its methods, its routes, its retries.

A public method makes a task. `_try_routes` finds the route, `_try_repeatedly` retries, and
`_try_once` is one exchange of `transport`.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson

from destination_dust.config import DustConfig
from destination_dust.document import Document
from destination_dust.failures import SUCCESSES, Failure, Response, no_dust_api
from destination_dust.rate_limit import DUST_WINDOW_S, Pacer, Retries
from destination_dust.stream import Stream
from destination_dust.sync_start import SyncStart
from destination_dust.transport import READ_TIMEOUT_S, Transport

logger = logging.getLogger("airbyte")

# How servers write the route to a data source: with a hyphen or, as live Dust does, an underscore.
ROUTES = ("data-sources", "data_sources")

PAGE_DOCUMENTS = 2000
"""How many documents to list at once."""

# In a check, a user is waiting.
_PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class _Task:
    """A request, apart from its route. `is_done` recognises Dust's own response by its JSON."""

    name: str
    method: str
    path: str
    is_done: Callable[[Any], bool]
    body: bytes | None = None
    stream: Stream | None = None
    takes_slot: bool = False
    """Whether it counts against the rate limit, as only upserts do."""
    waits_for_limit: bool = True
    """Whether to go on after a first response that is a 429."""


@dataclass(frozen=True)
class Wait:
    """How long the client waits before it sends the next request, why, and for which stream."""

    seconds: float
    is_for_rate_limit: bool
    stream: Stream | None

    @property
    def reason(self) -> str:
        """Return what the client waits for, to end a sentence with."""
        return "the rate limit" if self.is_for_rate_limit else "another try"


class _RateLimited(Failure):
    """The first response to a task that does not wait for the rate limit was a 429."""


class DustClient:
    """The documents of one Dust data source.

    Tries the ROUTES in order until one succeeds, then keeps using it. Calls `wait` for each wait,
    and does not retry a request whose waits would add up to more than `longest_wait_s`. `started_s`
    is when the process started, by the `clock`.
    """

    def __init__(
        self,
        config: DustConfig,
        *,
        window_s: float = DUST_WINDOW_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        longest_wait_s: float = float("inf"),
        started_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[Wait], None] = lambda wait: time.sleep(wait.seconds),
    ) -> None:
        self._paths = {route: _documents_path(config, route) for route in ROUTES}
        self._route: str | None = None
        self._transport = Transport(config.base_url, config.api_key)
        self._read_timeout_s = read_timeout_s
        self._pacer = Pacer(window_s, clock=clock)
        self._start = SyncStart(clock() if started_s is None else started_s, clock)
        self._wait = wait
        self._longest_wait_s = longest_wait_s

    def __enter__(self) -> DustClient:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._transport.close()

    def check_connection(self) -> None:
        """List one document, to check the key, the ids and the URL.

        Raises DustError, which says what to fix.
        """
        self.list_documents(limit=1)

    def check_write_access(self) -> None:
        """Delete a document that cannot exist, to check that the key may write.

        Dust checks the same rights for a delete as for an upsert, and there is nothing to delete.
        Call it after `check_connection`. It is tried once, and only Dust's own refusal counts: it
        raises DustError, which says what to fix.
        """
        # The ids of records have no dots.
        probe = _delete(f"airbyte.check.{secrets.token_hex(8)}", "write to the data source")
        result = self._try_once(probe, self._route or ROUTES[0], read_timeout_s=_PROBE_TIMEOUT_S)
        if isinstance(result, Failure) and result.is_refusal_by_dust:
            raise result.error(probe.name, stream=None)

    def list_documents(
        self, *, limit: int, offset: int = 0, streams: Sequence[Stream] = ()
    ) -> list[dict[str, Any]]:
        """Return a page of the data source's documents, without their texts.

        The newest timestamp comes first. Documents of one timestamp come in any order, which may
        change from page to page. `streams` are named in the error message. Raises DustError.
        """
        response = self._perform(
            _Task(
                name=f"list the data source's documents{_for(streams)}",
                method="GET",
                path=f"?limit={limit}&offset={offset}" if offset else f"?limit={limit}",
                is_done=_lists_documents,
            )
        )
        return _documents_in(response)

    def find_document(self, id_: str, stream: Stream) -> list[dict[str, Any]]:
        """Return a list of the document with this id as Dust shows it now, empty if there is none.

        Raises DustError.
        """
        response = self._perform(
            _Task(
                name=f"find document {id_!r} of stream {stream.name!r}",
                method="GET",
                path=f"?document_ids={quote(id_, safe='')}&limit=1",
                is_done=partial(_lists_only, id_),
                stream=stream,
            )
        )
        return _documents_in(response)

    def was_written_before_sync(self, listed: Mapping[str, Any]) -> bool:
        """Return whether a document in Dust's list was certainly last written before the sync."""
        return self._start.is_after(listed.get("created"))

    def upsert_document(self, document: Document, *, waits: bool = True) -> bool:
        """Store the document, in place of one with the same id, and return whether that was done.

        Without `waits`, the upsert is not done if Dust's first response is a 429. After any other
        failure it is repeated all the same, because Dust may have stored a part of the document.
        Raises DustError when Dust may not have the document.
        """
        task = _Task(
            name=f"upsert document {document.id!r} of stream {document.stream.name!r}",
            method="POST",
            path=f"/{document.id}",
            is_done=partial(_tells_of_storing, document.id),
            body=orjson.dumps(document.payload()),
            stream=document.stream,
            takes_slot=True,
            waits_for_limit=waits,
        )
        result = self._try_routes(task)
        if isinstance(result, _RateLimited):
            return False
        self._start.note_created(_response(task, result).json["document"].get("created"))
        return True

    def delete_document(self, id_: str, stream: Stream) -> None:
        """Delete the stream's document with this id, if there is one.

        Raises DustError when Dust may still have it.
        """
        name = f"delete document {id_!r} of stream {stream.name!r}"
        self._perform(_delete(id_, name, stream))

    def _perform(self, task: _Task) -> Response:
        """Return Dust's response to a task. Raises DustError when the task failed."""
        return _response(task, self._try_routes(task))

    def _try_routes(self, task: _Task) -> Response | Failure:
        if self._route is not None:
            return self._try_repeatedly(task, self._route)

        failures: list[Failure] = []
        for route in ROUTES:
            result = self._try_repeatedly(task, route)
            if isinstance(result, Response):
                self._keep(route)
                return result
            if not result.is_not_found:
                return result
            failures.append(result)
        # A 404 in Dust's own words: the route exists, but something that it names does not.
        from_dust = (
            failure for failure in failures if failure.response and failure.response.envelope
        )
        return next(from_dust, no_dust_api(failures))

    def _keep(self, route: str) -> None:
        self._route = route
        if route != ROUTES[0]:
            logger.debug("Using the path /%s/, since /%s/ was answered with 404.", route, ROUTES[0])

    def _try_repeatedly(self, task: _Task, route: str) -> Response | Failure:
        retries = Retries(
            self._pacer, takes_slot=task.takes_slot, longest_wait_s=self._longest_wait_s
        )
        while True:
            wait_s = retries.wait_s()
            if wait_s > 0:
                self._wait(Wait(wait_s, retries.is_for_rate_limit, task.stream))
            result = self._try_once(task, route)
            if isinstance(result, Response) or not retries.go_on_after(result):
                return result
            if result.is_rate_limited and not (task.waits_for_limit or retries.failures):
                return _RateLimited(**vars(result))
            # Upserts that wait for the rate limit are ordinary, and the pacer has said so.
            if retries.backoff_s > 0:
                logger.warning(
                    "Could not %s: %s Retrying in %.1f s.",
                    task.name,
                    result.sentence,
                    retries.backoff_s,
                )

    def _try_once(
        self, task: _Task, route: str, *, read_timeout_s: float | None = None
    ) -> Response | Failure:
        result = self._transport.exchange(
            task.method,
            self._paths[route] + task.path,
            task.body,
            read_timeout_s=read_timeout_s or self._read_timeout_s,
        )
        if isinstance(result, Response):
            if result.status in SUCCESSES and task.is_done(result.json):
                self._start.note_date(result.date_ms)
            else:
                result = Failure.of(result)
        if task.takes_slot and not (isinstance(result, Failure) and result.is_rate_limited):
            # Dust may have counted a failed upsert as well.
            self._pacer.count()
        return result


def _response(task: _Task, result: Response | Failure) -> Response:
    """Return the response to a task. Raises DustError when it failed."""
    if isinstance(result, Failure):
        raise result.error(task.name, task.stream and task.stream.descriptor)
    return result


def _delete(id_: str, name: str, stream: Stream | None = None) -> _Task:
    return _Task(
        name=name,
        method="DELETE",
        path=f"/{quote(id_, safe='')}",
        is_done=partial(_tells_of_deleting, id_),
        stream=stream,
    )


def _documents_in(response: Response) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = response.json["documents"]
    return documents


def _for(streams: Sequence[Stream]) -> str:
    if not streams:
        return ""
    others = f" and {len(streams) - 1} more" if len(streams) > 1 else ""
    return f" for stream {streams[0].name!r}{others}"


def _documents_path(config: DustConfig, route: str) -> str:
    workspace, space, data_source = (
        quote(id_, safe="") for id_ in (config.workspace_id, config.space_id, config.data_source_id)
    )
    return f"/api/v1/w/{workspace}/spaces/{space}/{route}/{data_source}/documents"


# How Dust responds when it has done what was asked.
# Sources: `core/src/api/data_sources.rs` of dust-tt/dust, and the schemas of `@dust-tt/client`.


def _lists_documents(json: Any) -> bool:
    """Return whether this is a page of documents. Source: `GetDocumentsResponseSchema`."""
    documents = json.get("documents") if isinstance(json, dict) else None
    return isinstance(documents, list) and all(
        isinstance(item, dict) and isinstance(item.get("document_id"), str) for item in documents
    )


def _lists_only(id_: str, json: Any) -> bool:
    """Return whether this is a list of the document with this id, or of none.

    A server that ignores `document_ids` lists others.
    """
    return _lists_documents(json) and [item["document_id"] for item in json["documents"]] in (
        [],
        [id_],
    )


def _tells_of_storing(id_: str, json: Any) -> bool:
    """Return whether the response to an upsert says that this document was stored.

    The light response, which the connector asks for, has the document's hash and no id. The whole
    response has both. The response to an asynchronous upsert has only the id.

    Source: `data_sources_documents_upsert`; `UpsertDocumentResponseSchema`.
    """
    document = _document_in(json)
    if document.get("document_id") is not None:
        return bool(document["document_id"] == id_)
    return isinstance(document.get("hash"), str)


def _tells_of_deleting(id_: str, json: Any) -> bool:
    """Return whether the response names this document. Source: `DeleteDocumentResponseSchema`."""
    return bool(_document_in(json).get("document_id") == id_)


def _document_in(json: Any) -> dict[str, Any]:
    document = json.get("document") if isinstance(json, dict) else None
    return document if isinstance(document, dict) else {}
