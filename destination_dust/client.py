"""The HTTP client for the Dust API: what can be asked of a data source, on which route, how often.

From top to bottom: a public method makes a task; the task finds its route; on a route it is tried
until it succeeds or nothing more can be done; each try is one exchange of `transport`.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson

from destination_dust.config import DustConfig
from destination_dust.document import Document
from destination_dust.failures import SUCCESSES, Answer, Failure, no_dust_api
from destination_dust.pacing import DUST_WINDOW_S, Pacer
from destination_dust.retry import Retries
from destination_dust.stream import Stream
from destination_dust.transport import READ_TIMEOUT_S, Transport

logger = logging.getLogger("airbyte")

# How servers write the route to a data source: with a hyphen or, as live Dust does, an underscore.
ROUTES = ("data-sources", "data_sources")

# In a check, a user is waiting.
_PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class _Task:
    """A request, apart from its route. `is_done` recognises Dust's answer by its JSON."""

    name: str
    method: str
    path: str
    is_done: Callable[[Any], bool]
    body: bytes | None = None
    stream: Stream | None = None
    takes_slot: bool = False
    """Whether it counts against the rate limit, which is one of upserts only."""
    is_needless: Callable[[], bool] = lambda: False
    """What to ask before a request that was rate-limited waits any further."""


@dataclass(frozen=True)
class Wait:
    """For how long the client sends nothing, why, and for which stream, if for any."""

    seconds: float
    is_for_rate_limit: bool
    stream: Stream | None


@dataclass(frozen=True)
class Stored:
    """What Dust tells of a document that it has stored: its hash, and when, in ms of its clock."""

    hash: str | None
    created_ms: int | None


@dataclass(frozen=True)
class Page:
    """A page of Dust's list of documents, and when it was sent, in ms of Dust's clock."""

    documents: list[dict[str, Any]]
    date_ms: int | None

    @property
    def ids(self) -> list[str]:
        """Return the ids of the documents, in the order of the list."""
        return [document["document_id"] for document in self.documents]


class _NeedlessError(Exception):
    """A task that was rate-limited need not be done any more."""


class DustClient:
    """The documents of one Dust data source.

    A server that does not know the first of the ROUTES is asked on the next, until one of them has
    succeeded; that one is kept. `wait` is called for each wait there is.

    A request is not tried again where that would take a wait of more than `longest_wait_s`.
    """

    def __init__(
        self,
        config: DustConfig,
        *,
        window_s: float = DUST_WINDOW_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        longest_wait_s: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[Wait], None] = lambda wait: time.sleep(wait.seconds),
    ) -> None:
        self._paths = {route: _documents_path(config, route) for route in ROUTES}
        self._route: str | None = None
        self._transport = Transport(config.base_url, config.api_key)
        self._read_timeout_s = read_timeout_s
        self._pacer = Pacer(window_s, clock=clock)
        self._wait = wait
        self._longest_wait_s = longest_wait_s

    def __enter__(self) -> DustClient:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._transport.close()

    def check_connection(self) -> None:
        """List one document, to see that key, ids and URL are right.

        Raises DustError, with what to fix, when they are not.
        """
        self.list_documents(limit=1)

    def check_write_access(self) -> None:
        """Ask Dust to delete a document that cannot exist, to see that the key may write.

        Dust checks the same rights as for an upsert, and deletes nothing. To be called after
        `check_connection`. It is asked once, and only Dust's own refusal counts: raises DustError
        with what to fix.
        """
        # No id of a record holds a dot.
        probe = _delete(f"airbyte.check.{secrets.token_hex(8)}", "write to the data source")
        outcome = self._try_once(probe, str(self._route), read_timeout_s=_PROBE_TIMEOUT_S)
        if isinstance(outcome, Failure) and outcome.is_refusal_by_dust:
            raise outcome.error(probe.name, stream=None)

    def list_documents(
        self, *, limit: int, offset: int = 0, streams: Sequence[Stream] = ()
    ) -> Page:
        """Return a page of the data source's documents as Dust describes them, without their texts.

        Newest first by timestamp; those of one timestamp come in any order, which may change from
        one page to the next. `streams` are those for whose sake this is done, if it fails. Raises
        DustError.
        """
        answer = self._perform(
            _Task(
                name=f"list the data source's documents{_for(streams)}",
                method="GET",
                path=f"?limit={limit}&offset={offset}" if offset else f"?limit={limit}",
                is_done=_lists_documents,
                stream=streams[0] if streams else None,
            )
        )
        return Page(answer.json["documents"], answer.date_ms)

    def upsert_document(
        self, document: Document, *, is_needless: Callable[[], bool] = lambda: False
    ) -> Stored | None:
        """Store the document, in place of one of the same id, and return what Dust tells of it.

        `is_needless` is asked each time that the upsert is rate-limited: when it returns True, the
        document is not sent again, and None is returned. Otherwise Dust has the document when this
        returns. Raises DustError when it may not have it.
        """
        task = _Task(
            name=f"upsert document {document.id!r} of stream {document.stream.name!r}",
            method="POST",
            path=f"/{document.id}",
            is_done=partial(_tells_of_storing, document.id),
            body=orjson.dumps(document.payload()),
            stream=document.stream,
            takes_slot=True,
            is_needless=is_needless,
        )
        try:
            stored = self._perform(task).json["document"]
        except _NeedlessError:
            return None
        return Stored(
            hash=stored.get("hash"),
            created_ms=stored["created"] if isinstance(stored.get("created"), int) else None,
        )

    def delete_document(self, id_: str, stream: Stream) -> None:
        """Delete the stream's document of this id, if there is one.

        When this returns, Dust does not have it. Raises DustError when it may have it still.
        """
        name = f"delete document {id_!r} of stream {stream.name!r}"
        self._perform(_delete(id_, name, stream))

    def _perform(self, task: _Task) -> Answer:
        """Return Dust's answer to a task. Raises DustError when it did not succeed."""
        outcome = self._try_routes(task)
        if isinstance(outcome, Failure):
            raise outcome.error(task.name, task.stream and task.stream.descriptor)
        return outcome

    def _try_routes(self, task: _Task) -> Answer | Failure:
        if self._route is not None:
            return self._try_repeatedly(task, self._route)

        failures: list[Failure] = []
        for route in ROUTES:
            outcome = self._try_repeatedly(task, route)
            if isinstance(outcome, Answer):
                self._keep(route)
                return outcome
            if not outcome.is_not_found:
                return outcome
            failures.append(outcome)
        # A 404 in Dust's own words means that the route is known, and something on it is not.
        from_dust = (failure for failure in failures if failure.answer and failure.answer.envelope)
        return next(from_dust, no_dust_api(failures))

    def _keep(self, route: str) -> None:
        self._route = route
        if route != ROUTES[0]:
            host = self._transport.host
            logger.info("%s serves documents under /%s/: keeping to that.", host, route)

    def _try_repeatedly(self, task: _Task, route: str) -> Answer | Failure:
        retries = Retries(self._pacer, paced=task.takes_slot)
        while True:
            outcome = self._try_in_turn(task, route)
            if isinstance(outcome, Answer):
                return outcome
            if outcome.is_throttled and task.is_needless():
                raise _NeedlessError
            wait_s = retries.wait_s(outcome)
            if wait_s is None or wait_s > self._longest_wait_s:
                return outcome
            # The pacer has said that upserts wait for the rate limit: that is ordinary.
            if not (task.takes_slot and outcome.is_throttled):
                logger.warning(
                    "Could not %s: %s Retry %d in %.1f s.",
                    task.name,
                    outcome.sentence,
                    retries.done,
                    wait_s,
                )
            self._wait(Wait(wait_s, outcome.is_throttled, task.stream))

    def _try_in_turn(self, task: _Task, route: str) -> Answer | Failure:
        """Try once; an upsert waits for its turn under the rate limit first."""
        if not task.takes_slot:
            return self._try_once(task, route)
        wait_s = self._pacer.wait_s()
        if wait_s > 0:
            self._wait(Wait(wait_s, is_for_rate_limit=True, stream=task.stream))
        outcome = self._try_once(task, route)
        if isinstance(outcome, Answer) or not outcome.is_throttled:
            # A failure may have taken a slot too: who knows how far the request got.
            self._pacer.count()
        return outcome

    def _try_once(
        self, task: _Task, route: str, *, read_timeout_s: float | None = None
    ) -> Answer | Failure:
        outcome = self._transport.exchange(
            task.method,
            self._paths[route] + task.path,
            task.body,
            read_timeout_s=read_timeout_s or self._read_timeout_s,
        )
        if isinstance(outcome, Failure):
            return outcome
        if outcome.status in SUCCESSES and task.is_done(outcome.json):
            return outcome
        return Failure.of(outcome)


def _delete(id_: str, name: str, stream: Stream | None = None) -> _Task:
    return _Task(
        name=name,
        method="DELETE",
        path=f"/{quote(id_, safe='')}",
        is_done=partial(_tells_of_deleting, id_),
        stream=stream,
    )


def _for(streams: Sequence[Stream]) -> str:
    if not streams:
        return ""
    others = f" and {len(streams) - 1} more" if len(streams) > 1 else ""
    return f" for stream {streams[0].name!r}{others}"


def _documents_path(config: DustConfig, route: str) -> str:
    workspace, space, data_source = (
        quote(id_, safe="", errors="surrogatepass")
        for id_ in (config.workspace_id, config.space_id, config.data_source_id)
    )
    return f"/api/v1/w/{workspace}/spaces/{space}/{route}/{data_source}/documents"


# What Dust answers when it has done what was asked.
# Sources: `core/src/api/data_sources.rs` of dust-tt/dust, and the schemas of `@dust-tt/client`.


def _lists_documents(json: Any) -> bool:
    """Tell whether this is a page of documents. Source: `GetDocumentsResponseSchema`."""
    documents = json.get("documents") if isinstance(json, dict) else None
    return isinstance(documents, list) and all(
        isinstance(item, dict) and isinstance(item.get("document_id"), str) for item in documents
    )


def _tells_of_storing(id_: str, json: Any) -> bool:
    """Tell whether an upsert's answer says that this document was stored.

    Dust names the document only in the whole answer. The light one, which the connector asks for,
    has the hash of what was stored and no id; the answer to an asynchronous upsert has the id only.

    Source: `data_sources_documents_upsert`; `UpsertDocumentResponseSchema`.
    """
    document = _document_in(json)
    if document.get("document_id") is not None:
        return bool(document["document_id"] == id_)
    return isinstance(document.get("hash"), str)


def _tells_of_deleting(id_: str, json: Any) -> bool:
    """Tell whether the answer names this document. Source: `DeleteDocumentResponseSchema`."""
    return bool(_document_in(json).get("document_id") == id_)


def _document_in(json: Any) -> dict[str, Any]:
    document = json.get("document") if isinstance(json, dict) else None
    return document if isinstance(document, dict) else {}
