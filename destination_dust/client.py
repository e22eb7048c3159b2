"""The HTTP client for the Dust API: what can be asked of a data source, on which route, how often.

From top to bottom: a public method makes a task; the task finds its route; on a route it is tried
until it succeeds or nothing more can be done; each try is one exchange of `transport`.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson

from destination_dust.config import DustConfig
from destination_dust.document import Document, Stream, StreamKey
from destination_dust.failures import SUCCESSES, Answer, Failure, no_dust_api
from destination_dust.pacing import DUST_WINDOW_S, Pacer
from destination_dust.retry import Effort, Retries
from destination_dust.transport import ANSWER_TIME_LIMIT_S, READ_TIMEOUT_S, Transport

logger = logging.getLogger("airbyte")

# How servers write the route to a data source: with a hyphen or, as live Dust does, an underscore.
ROUTES = ("data-sources", "data_sources")


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


class DustClient:
    """The documents of one Dust data source.

    A server that does not know the first of the ROUTES is asked on the next, until one of them has
    succeeded; that one is kept. `efforts` adds up what it has taken for each stream.

    With a `time_limit_s`, all there is to do has that much time: when it has passed, nothing more
    is waited for or tried again.
    """

    def __init__(
        self,
        config: DustConfig,
        *,
        time_limit_s: float = float("inf"),
        window_s: float = DUST_WINDOW_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.efforts: defaultdict[StreamKey | None, Effort] = defaultdict(Effort)
        self._paths = {route: _documents_path(config, route) for route in ROUTES}
        self._route: str | None = None
        self._transport = Transport(config.base_url, config.api_key, read_timeout_s=read_timeout_s)
        self._pacer = Pacer(window_s, clock=clock)
        self._clock = clock
        self._sleep = sleep
        self._end_s = clock() + time_limit_s

    def __enter__(self) -> DustClient:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._transport.close()

    def check_connection(self) -> None:
        """List one document, to see that key, ids and URL are right.

        Raises DustError, with what to fix, when they are not.
        """
        self.list_documents(limit=1)

    def list_documents(
        self, *, limit: int, offset: int = 0, streams: Sequence[Stream] = ()
    ) -> list[dict[str, Any]]:
        """Return a page of the data source's documents as Dust describes them, without their texts.

        Newest first by timestamp; those of one timestamp come in any order, which may change from
        one page to the next. `streams` are those for whose sake this is done, if it fails. Raises
        DustError.
        """
        page: list[dict[str, Any]] = self._perform(
            _Task(
                name=f"list the data source's documents{_for(streams)}",
                method="GET",
                path=f"?limit={limit}&offset={offset}" if offset else f"?limit={limit}",
                is_done=_lists_documents,
                stream=streams[0] if streams else None,
            )
        )["documents"]
        return page

    def upsert_document(self, document: Document) -> None:
        """Store the document, in place of one of the same id.

        When this returns, Dust has the document. Raises DustError when it may not have it.
        """
        self._perform(
            _Task(
                name=f"upsert document {document.id!r} of stream {document.stream.name!r}",
                method="POST",
                path=f"/{document.id}",
                is_done=partial(_tells_of_storing, document.id),
                body=orjson.dumps(document.payload()),
                stream=document.stream,
                takes_slot=True,
            )
        )

    def delete_document(self, id_: str, stream: Stream) -> None:
        """Delete the stream's document of this id, if there is one.

        When this returns, Dust does not have it. Raises DustError when it may have it still.
        """
        self._perform(
            _Task(
                name=f"delete document {id_!r} of stream {stream.name!r}",
                method="DELETE",
                path=f"/{quote(id_, safe='')}",
                is_done=partial(_tells_of_deleting, id_),
                stream=stream,
            )
        )

    def _perform(self, task: _Task) -> Any:
        """Return the JSON of Dust's answer to a task. Raises DustError when it did not succeed."""
        outcome = self._try_routes(task)
        if isinstance(outcome, Failure):
            raise outcome.error(task.name, task.stream and task.stream.descriptor)
        return outcome.json

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
        effort = self.efforts[task.stream.key if task.stream else None]
        while True:
            outcome = self._try_in_turn(task, route, effort)
            if isinstance(outcome, Answer):
                return outcome
            wait_s = retries.wait_s(outcome)
            if wait_s is None or self._clock() + wait_s >= self._end_s:
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
            effort.retries += 1
            if outcome.is_throttled:
                effort.rate_limit_wait_s += wait_s
            self._sleep(wait_s)

    def _try_in_turn(self, task: _Task, route: str, effort: Effort) -> Answer | Failure:
        """Try once; an upsert waits for its turn under the rate limit first."""
        if not task.takes_slot:
            return self._try_once(task, route)
        wait_s = self._pacer.wait_s()
        if wait_s > 0:
            effort.rate_limit_wait_s += wait_s
            self._sleep(wait_s)
        outcome = self._try_once(task, route)
        if isinstance(outcome, Answer) or not outcome.is_throttled:
            # A failure may have taken a slot too: who knows how far the request got.
            self._pacer.count()
        return outcome

    def _try_once(self, task: _Task, route: str) -> Answer | Failure:
        outcome = self._transport.exchange(
            task.method,
            self._paths[route] + task.path,
            task.body,
            time_limit_s=min(ANSWER_TIME_LIMIT_S, max(1.0, self._end_s - self._clock())),
        )
        if isinstance(outcome, Failure):
            return outcome
        if outcome.status in SUCCESSES and task.is_done(outcome.json):
            return outcome
        return Failure.of(outcome)


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
    return isinstance(documents, list) and all(isinstance(item, dict) for item in documents)


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
