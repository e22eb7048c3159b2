"""At the end of a complete replacement: which documents are deleted, and in which order."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from destination_dust.errors import DustUnavailableError
from integration_tests.connector import Message, catalog, record, stream, stream_state
from integration_tests.connector import stream_status as status
from integration_tests.connector.in_process import Sync, sync
from integration_tests.local_dust import UNLIMITED, Fault, LocalDust, Options, SeenRequest
from unit_tests.clock import Clock

HOUR_MS = 3_600_000
USERS_TAG, EU_TAG = "airbyte:stream:users", "airbyte:namespace:eu"
UNAVAILABLE = Fault(status=503)
USERS = {**stream("users", "id", mode="overwrite"), "sync_mode": "full_refresh"}
TEAMS = {**stream("teams", "id", mode="overwrite"), "sync_mode": "full_refresh"}


@pytest.fixture
def dust() -> Iterator[LocalDust]:
    """A local Dust on the first route that is tried, so that each request is a single one."""
    with LocalDust(Options(upserts_per_window=UNLIMITED), route_style="hyphen") as dust:
        yield dust


def put(dust: LocalDust, *ids: str, tags: tuple[str, ...] = (USERS_TAG,)) -> None:
    """Let the Dust have documents that were written an hour ago, the last one listed first."""
    for id_ in ids:
        dust.put(id_, tags=list(tags), timestamp=10**12 + len(dust.documents))
        dust.documents[id_]["created"] -= HOUR_MS


def replace_users(dust: LocalDust, *ids: object, configured: Message = USERS, **how: Any) -> Sync:
    """Replace a stream by users with these ids."""
    name, namespace = configured["stream"]["name"], configured["stream"]["namespace"]
    lines = [record(name, {"id": id_}, namespace=namespace) for id_ in ids]
    ends = [stream_state({"c": 1}, name, namespace), status("COMPLETE", name, namespace)]
    return sync(dust.config, catalog(configured), [*lines, *ends], **how)


def described(request: SeenRequest) -> str:
    """Return "list 0", "look users-1", "DELETE users-1" or "POST users-1"."""
    url = urlsplit(request.path)
    if request.method != "GET":
        return f"{request.method} {url.path.rpartition('/')[2]}"
    query = parse_qs(url.query)
    return f"look {query['document_ids'][0]}" if "document_ids" in query else f"list {offset(url)}"


def offset(url: Any) -> int:
    return int(parse_qs(url.query).get("offset", ["0"])[0])


def requests(dust: LocalDust) -> list[str]:
    return [described(request) for request in dust.requests]


def page_of(documents: list[Message]) -> Fault:
    """Return what answers with this page of a list."""
    body = json.dumps({"documents": documents, "total": 0}).encode()
    return Fault(status=200, headers={"Content-Type": "application/json"}, body=body)


def on_lists(answer: Callable[[int], Fault | None]) -> Callable[[SeenRequest], Fault | None]:
    """Return faults that answer each page of the list, but no look, by its offset."""

    def fault(request: SeenRequest) -> Fault | None:
        if not described(request).startswith("list"):
            return None
        return answer(offset(urlsplit(request.path)))

    return fault


def before(what: str, change: Callable[[], object]) -> Callable[[SeenRequest], None]:
    """Return faults of which none fails, but something changes right before this request."""

    def fault(request: SeenRequest) -> None:
        if described(request) == what:
            change()

    return fault


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


# What is stale


def test_what_was_sent_is_kept_among_many_others(
    dust: LocalDust, caplog: pytest.LogCaptureFixture
) -> None:
    put(dust, *(f"users-{id_}" for id_ in range(100)))
    sent = range(0, 200, 3)
    assert replace_users(dust, *sent).error is None
    assert set(dust.documents) == {f"users-{id_}" for id_ in sent}
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("id_", "tags"),
    [
        pytest.param("users-1", ("users", "title:airbyte:stream:users"), id="tags of people"),
        pytest.param("users-1", (USERS_TAG, EU_TAG), id="another namespace"),
        pytest.param("users-1", ("airbyte:stream:users-archive",), id="another stream"),
        pytest.param(".", (USERS_TAG,), id="the list"),
        pytest.param("..", (USERS_TAG,), id="the data source itself"),
        pytest.param("", (USERS_TAG,), id="no id"),
    ],
)
def test_everything_else_is_kept_without_a_look(
    dust: LocalDust, id_: str, tags: tuple[str, ...]
) -> None:
    put(dust, id_, tags=tags)
    assert replace_users(dust).error is None
    assert set(dust.documents) == {id_}
    assert requests(dust) == ["list 0", "list 1"]


def test_a_stream_with_a_namespace_has_other_documents_than_one_without(dust: LocalDust) -> None:
    put(dust, "users-1")
    put(dust, "users-2", tags=(EU_TAG, USERS_TAG))
    in_eu = {**USERS, "stream": {**USERS["stream"], "namespace": "eu"}}
    assert replace_users(dust, configured=in_eu).error is None
    assert set(dust.documents) == {"users-1"}


@pytest.mark.parametrize("written_after_ms", [0, 1, HOUR_MS])
def test_what_somebody_else_wrote_since_the_sync_began_is_kept_and_counted_in_one_warning(
    caplog: pytest.LogCaptureFixture, written_after_ms: int
) -> None:
    clock = Clock()
    began_ms = 1_000_123
    clock.now_s = began_ms / 1000
    with LocalDust(Options(now_ms=lambda: began_ms)) as dust:
        put(dust, "users-1", "users-2", "users-3")
        for id_ in ("users-1", "users-2"):
            dust.documents[id_]["created"] = began_ms + written_after_ms
        dust.documents["users-3"]["created"] = began_ms - 1
        assert replace_users(dust, 4, clock=clock).error is None
        assert set(dust.documents) == {"users-1", "users-2", "users-4"}
    assert warnings(caplog) == [
        "Stream 'users': kept 2 documents that this sync did not send: written after it began, "
        "for example by another sync."
    ]


@pytest.mark.parametrize("name", ["created", "timestamp"])
@pytest.mark.parametrize(
    "value",
    [None, -1, 0, 1.5, 1e300, 2**63 - 1, 2**63, 2**64 - 1, 2**64, "1", True, [1], {}],
    ids=lambda value: str(value)[:20],
)
def test_no_list_ends_a_sync_whatever_numbers_it_holds(
    dust: LocalDust, name: str, value: object
) -> None:
    """Neither when unchanged records are looked for nor when stale documents are."""
    put(dust, "users-1", "users-2", "users-3")
    listed = [{**document} for document in dust.documents.values()]
    for document in listed[:2]:
        document[name] = value
    lists = on_lists(lambda at: page_of(listed[at:]))
    upserts = iter([Fault(status=429)])
    dust.faults = lambda request: (
        next(upserts, None) if request.method == "POST" else lists(request)
    )
    assert replace_users(dust, 1, 4).error is None
    assert {"users-1", "users-4"} <= set(dust.documents)
    assert "users-3" not in dust.documents


# How the list is read


def test_nothing_is_deleted_before_the_whole_list_was_read() -> None:
    """Pages may be shorter than was asked for. The end of the list is an empty one."""
    with LocalDust(Options(max_page=2), route_style="hyphen") as dust:
        put(dust, *(f"users-{id_}" for id_ in range(5)))
        assert replace_users(dust, 9).error is None
        listed = ["list 0", "list 2", "list 4", "list 6"]
        deletes = [f"{what} users-{id_}" for id_ in (4, 3, 2, 1, 0) for what in ("look", "DELETE")]
        assert requests(dust) == ["POST users-9", *listed, *deletes]


def test_a_page_that_repeats_the_one_before_it_ends_the_sync(dust: LocalDust) -> None:
    """The server ignores the offset."""
    put(dust, "users-1", "users-2")
    page = page_of(list(dust.documents.values()))
    dust.faults = on_lists(lambda at: page if at < 20 else None)
    done = replace_users(dust)
    assert isinstance(done.error, DustUnavailableError)
    assert str(done.error.message) == (
        "Could not delete stale documents: Dust's list repeats its pages. Try again later."
    )
    assert requests(dust) == ["list 0", "list 2"]


def test_a_document_that_is_listed_twice_is_deleted_once(dust: LocalDust) -> None:
    """Somebody else has stored a document, which has moved the others down."""
    put(dust, "users-1", "users-2")
    one, other = list(dust.documents.values())
    pages = {0: [one], 1: [one, other], 3: []}
    dust.faults = on_lists(lambda at: page_of(pages[at]))
    assert replace_users(dust, 3).error is None
    deletes = [f"{what} users-{id_}" for id_ in (1, 2) for what in ("look", "DELETE")]
    assert requests(dust)[4:] == deletes


# The look right before each DELETE


def test_each_document_is_looked_at_by_its_id_right_before_it_is_deleted(dust: LocalDust) -> None:
    put(dust, "a/b, ü&limit=2")
    assert replace_users(dust, 1).error is None
    assert [request.path.partition("documents")[2] for request in dust.requests] == [
        "/users-1",
        "?limit=2000",
        "?limit=2000&offset=2",
        "?document_ids=a%2Fb%2C%20%C3%BC%26limit%3D2&limit=1",
        "/a%2Fb%2C%20%C3%BC%26limit%3D2",
    ]
    assert set(dust.documents) == {"users-1"}


def test_what_somebody_else_has_written_since_the_list_was_read_is_kept(
    dust: LocalDust, caplog: pytest.LogCaptureFixture
) -> None:
    put(dust, "users-1", "users-2", "users-3")
    dust.faults = before("look users-2", lambda: dust.put("users-2", tags=[USERS_TAG]))
    assert replace_users(dust).error is None
    assert set(dust.documents) == {"users-2"}
    (warning,) = warnings(caplog)
    assert "kept 1 document " in warning


def test_what_somebody_else_has_deleted_meanwhile_is_not_deleted_again(dust: LocalDust) -> None:
    put(dust, "users-1", "users-2")
    dust.faults = before("look users-2", lambda: dust.documents.pop("users-2"))
    assert replace_users(dust).error is None
    assert requests(dust)[2:] == ["look users-2", "look users-1", "DELETE users-1"]


@pytest.mark.parametrize("tag", ["kept", "airbyte:stream:teams"], ids=["of people", "of teams"])
def test_what_has_another_tag_by_now_is_kept(dust: LocalDust, tag: str) -> None:
    """Also those of another stream that is replaced."""
    put(dust, "users-1")
    dust.faults = before("look users-1", lambda: dust.documents["users-1"].update(tags=[tag]))
    ends = [stream_state(None), status(), stream_state(None, "teams"), status(name="teams")]
    assert sync(dust.config, catalog(USERS, TEAMS), ends).error is None
    assert set(dust.documents) == {"users-1"}


@pytest.mark.parametrize(
    "shown",
    [["users-2"], ["users-1", "users-2"], ["users-1", "users-1"]],
    ids=["another", "another as well", "twice"],
)
def test_a_server_that_ignores_the_id_of_a_look_ends_the_sync(
    dust: LocalDust, shown: list[str]
) -> None:
    put(dust, "users-2", "users-1")
    page = page_of([dust.documents[id_] for id_ in shown])
    dust.faults = lambda request: page if described(request).startswith("look") else None
    done = replace_users(dust)
    assert isinstance(done.error, DustUnavailableError)
    assert str(done.error.message).startswith("Could not find document 'users-1' of stream 'users'")
    assert set(dust.documents) == {"users-1", "users-2"}


# Failures


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ("list 2", "Could not list the data source's documents for stream 'users': "),
        ("look users-1", "Could not find document 'users-1' of stream 'users': "),
        ("DELETE users-1", "Could not delete document 'users-1' of stream 'users': "),
    ],
)
def test_what_fails_four_times_ends_the_sync_and_the_next_one_finishes(
    dust: LocalDust, fails: str, message: str
) -> None:
    put(dust, "users-1", "users-2")
    dust.faults = lambda request: UNAVAILABLE if described(request) == fails else None
    done = replace_users(dust)
    assert isinstance(done.error, DustUnavailableError)
    assert str(done.error.message).startswith(message)
    assert len(done.states) == 1
    assert requests(dust).count(fails) == 4
    assert "users-1" in dust.documents
    dust.faults = iter(())
    assert replace_users(dust).error is None
    assert dict(dust.documents) == {}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=429, headers={"Retry-After": "7"}), id="429 with Retry-After"),
        pytest.param(UNAVAILABLE, id="503"),
        pytest.param(Fault(ending="reset", after_work=True), id="reset after the work"),
        pytest.param(Fault(status=200, body=b'{"document":{"document_id":"x"}}'), id="another's"),
    ],
)
@pytest.mark.parametrize("what", ["list 0", "look users-1", "DELETE users-1"])
def test_what_fails_twice_is_repeated(dust: LocalDust, fault: Fault, what: str) -> None:
    put(dust, "users-1")
    faults = [fault] * 2
    dust.faults = lambda request: faults.pop() if described(request) == what and faults else None
    done = replace_users(dust)
    assert done.error is None
    assert dict(dust.documents) == {}
    assert len(done.waits_s) == 2
    assert done.waits_s == [7, 7] or "Retry-After" not in fault.headers


def test_lists_and_deletes_take_no_slot_of_the_rate_limit() -> None:
    with LocalDust(Options(upserts_per_window=0)) as dust:
        put(dust, *(f"users-{id_}" for id_ in range(9)))
        done = replace_users(dust)
        assert (done.error, done.waits_s) == (None, [])
        assert dict(dust.documents) == {}
