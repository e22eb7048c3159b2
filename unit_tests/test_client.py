"""The Dust API over HTTP, faked at the wire."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_mock
import urllib3
from airbyte_cdk.models import FailureType

from destination_dust.client import DustClient, Wait
from destination_dust.config import DustConfig
from destination_dust.document import Document
from destination_dust.errors import (
    DustConfigError,
    DustError,
    DustRequestError,
    DustUnavailableError,
)
from unit_tests.builders import EVENTS, USERS, document_of
from unit_tests.clock import Clock

KEY = "sk-very-secret"
CONFIG = DustConfig(KEY, "w1", "vlt_1", "dts_1")
BASE = "https://dust.tt/api/v1/w/w1/spaces/vlt_1"
HYPHEN = f"{BASE}/data-sources/dts_1/documents"
UNDERSCORE = f"{BASE}/data_sources/dts_1/documents"

Response = dict[str, Any]


def user(id_: int = 1, **data: object) -> Document:
    return document_of(USERS, {"id": id_, **data}, emitted_at_ms=1)


# What live Dust answers to an upsert with `light_document_output`: it does not name the document.
LIGHT_DOCUMENT = {
    "hash": "56b50e2cfbb1d69b5933d5828f06fc10237e811396fc758367faed2c13363920",
    "text_size": 7,
    "chunk_count": 1,
    "token_count": 512,
    "created": 1736365559000,
}


def stored(**document: object) -> Response:
    """Return the answer to an upsert; with a `document_id` as Dust's whole answer has it."""
    return {"json": {"document": {**LIGHT_DOCUMENT, **document}, "data_source": {}}}


def refusal(status: int, type_: str = "some_error", message: str = "No.") -> Response:
    return {"status_code": status, "json": {"error": {"type": type_, "message": message}}}


NOT_FOUND: Response = {"status_code": 404, "text": "404 Not Found"}
LISTED: Response = {"json": {"documents": [], "total": 0}}
DELETED: Response = {"json": {"document": {"document_id": "users-1"}}}


@pytest.fixture
def waits() -> list[Wait]:
    """The waits there were, none of which took any time."""
    return []


@pytest.fixture
def client(waits: list[Wait]) -> DustClient:
    return DustClient(CONFIG, wait=waits.append)


def failure_of(call: Callable[[], object], kind: type[DustError]) -> str:
    """Return the message of the failure that the call ends in."""
    with pytest.raises(kind) as failed:
        call()
    message = str(failed.value.message)
    assert KEY not in message
    return message


# Requests


def test_an_upsert_sends_the_whole_body_to_the_first_route(
    http: requests_mock.Mocker, client: DustClient
) -> None:
    http.post(f"{HYPHEN}/users-1", **stored())
    client.upsert_document(user(name="Ann"))
    (sent,) = http.request_history
    assert sent.headers["Authorization"] == f"Bearer {KEY}"
    assert sent.headers["Content-Type"] == "application/json"
    assert sent.json() == {
        "title": "Ann",
        "mime_type": "application/json",
        "text": '{\n  "id": 1,\n  "name": "Ann"\n}',
        "source_url": "",
        "tags": ["airbyte:stream:users"],
        "timestamp": 1,
        "light_document_output": True,
        "async": False,
    }


def test_every_request_has_timeouts(http: requests_mock.Mocker, client: DustClient) -> None:
    """Connect 10 s, read 300 s: Dust embeds the text before it answers."""
    http.get(HYPHEN, **LISTED)
    http.post(f"{HYPHEN}/users-1", **stored())
    client.check_connection()
    client.upsert_document(user())
    assert [request.timeout for request in http.request_history] == [(10, 300)] * 2


def test_a_silent_server_has_five_seconds_to_say_whether_the_key_may_write(
    http: requests_mock.Mocker, client: DustClient
) -> None:
    http.get(HYPHEN, **LISTED)
    http.delete(requests_mock.ANY, exc=requests.exceptions.ReadTimeout)
    client.check_connection()
    client.check_write_access()
    assert http.last_request.timeout == (10, 5)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(
    http: requests_mock.Mocker, client: DustClient, status: int
) -> None:
    """The POST would become a GET: a 200, and nothing stored."""
    elsewhere = "https://elsewhere.example/"
    http.post(f"{HYPHEN}/users-1", status_code=status, headers={"Location": elsewhere})
    http.get("https://elsewhere.example/", **stored())
    http.post("https://elsewhere.example/", **stored())
    message = failure_of(lambda: client.upsert_document(user()), DustConfigError)
    assert f"dust.tt redirects ({status}) to {elsewhere}." in message
    assert http.call_count == 1


def test_the_check_lists_one_document(http: requests_mock.Mocker, client: DustClient) -> None:
    http.get(f"{HYPHEN}?limit=1", complete_qs=True, **LISTED)
    client.check_connection()
    assert http.call_count == 1


def test_ids_are_percent_encoded(http: requests_mock.Mocker) -> None:
    http.get(requests_mock.ANY, **LISTED)
    DustClient(DustConfig("sk-1", "w/1", "s 1", "d?1")).check_connection()
    assert http.request_history[0].url == (
        "https://dust.tt/api/v1/w/w%2F1/spaces/s%201/data-sources/d%3F1/documents?limit=1"
    )


def test_netrc_does_not_replace_the_key(
    http: requests_mock.Mocker,
    client: DustClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "netrc").write_text("machine dust.tt login me password other\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    http.get(HYPHEN, **LISTED)
    client.check_connection()
    assert http.request_history[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(
    "document",
    [
        pytest.param(LIGHT_DOCUMENT, id="light"),
        pytest.param({**LIGHT_DOCUMENT, "document_id": "users-1", "text": "{}"}, id="whole"),
        pytest.param({"document_id": "users-1"}, id="id alone"),
    ],
)
def test_dusts_answer_to_an_upsert_is_a_success(
    http: requests_mock.Mocker, client: DustClient, status: int, document: dict[str, object]
) -> None:
    """By the hash of what was stored, or by the document's id: the light answer has no id."""
    http.post(f"{HYPHEN}/users-1", status_code=status, json={"document": document})
    client.upsert_document(user())
    assert http.call_count == 1


# Lists and deletes


def test_a_page_is_what_dust_lists(http: requests_mock.Mocker, client: DustClient) -> None:
    page = [{"document_id": "users-1", "tags": []}, {"document_id": "users-2", "tags": []}]
    url = f"{HYPHEN}?limit=1000&offset=2000"
    http.get(url, complete_qs=True, json={"documents": page, "total": 0})
    assert client.list_documents(limit=1000, offset=2000).documents == page


@pytest.mark.parametrize(
    "json", [[], {}, {"documents": None}, {"documents": {}}, {"documents": ["users-1"]}]
)
def test_what_is_no_page_is_not_taken_for_an_empty_one(
    http: requests_mock.Mocker, client: DustClient, json: Any
) -> None:
    http.get(HYPHEN, json=json)
    message = failure_of(lambda: client.list_documents(limit=10), DustUnavailableError)
    assert "answered 200, but not as Dust does" in message
    assert http.call_count == 4


def test_a_failed_list_names_the_streams_it_is_for(
    http: requests_mock.Mocker, client: DustClient
) -> None:
    http.get(HYPHEN, **refusal(403))
    streams = [USERS, EVENTS]
    message = failure_of(lambda: client.list_documents(limit=9, streams=streams), DustConfigError)
    assert message.startswith(
        "Could not list the data source's documents for stream 'users' and 1 more: "
    )


@pytest.mark.parametrize(
    ("id_", "path"), [("users-1", "users-1"), ("a/b c?d", "a%2Fb%20c%3Fd")], ids=["plain", "odd"]
)
def test_a_document_is_deleted_by_its_id(
    http: requests_mock.Mocker, client: DustClient, id_: str, path: str
) -> None:
    """An id that the connector did not make is percent-encoded."""
    http.delete(requests_mock.ANY, json={"document": {"document_id": id_}})
    client.delete_document(id_, USERS)
    (sent,) = http.request_history
    assert (sent.url, sent.body) == (f"{HYPHEN}/{path}", None)


@pytest.mark.parametrize(
    "json",
    [{}, {"document": {}}, {"document": {"document_id": "users-2"}}, {"document": {"hash": "x"}}],
)
def test_a_delete_is_done_when_dust_names_the_document(
    http: requests_mock.Mocker, client: DustClient, json: Any
) -> None:
    http.delete(f"{HYPHEN}/users-1", json=json)
    message = failure_of(lambda: client.delete_document("users-1", USERS), DustUnavailableError)
    assert message.startswith("Could not delete document 'users-1' of stream 'users': ")
    assert http.call_count == 4


# Routes


def test_the_underscore_route_is_kept_once_it_has_succeeded(
    http: requests_mock.Mocker, client: DustClient, caplog: pytest.LogCaptureFixture
) -> None:
    """One request more for the whole sync, and one line that says so."""
    http.post(requests_mock.ANY, **NOT_FOUND)
    for id_ in (1, 2, 3):
        http.post(f"{UNDERSCORE}/users-{id_}", **stored())
    with caplog.at_level(logging.INFO, "airbyte"):
        for id_ in (1, 2, 3):
            client.upsert_document(user(id_))
    assert [request.url for request in http.request_history] == [
        f"{HYPHEN}/users-1",
        f"{UNDERSCORE}/users-1",
        f"{UNDERSCORE}/users-2",
        f"{UNDERSCORE}/users-3",
    ]
    assert caplog.messages == [
        "Using the path /data_sources/, since /data-sources/ was answered with 404."
    ]


def test_the_first_route_is_not_worth_a_word(
    http: requests_mock.Mocker, client: DustClient, caplog: pytest.LogCaptureFixture
) -> None:
    http.post(f"{HYPHEN}/users-1", **stored())
    with caplog.at_level(logging.INFO, "airbyte"):
        client.upsert_document(user())
    assert caplog.messages == []


def test_after_a_success_a_404_is_an_answer(http: requests_mock.Mocker, client: DustClient) -> None:
    http.post(f"{HYPHEN}/users-1", **stored())
    http.post(f"{HYPHEN}/users-2", **NOT_FOUND)
    client.upsert_document(user(1))
    failure_of(lambda: client.upsert_document(user(2)), DustConfigError)
    assert http.call_count == 2


@pytest.mark.parametrize("enveloped", [HYPHEN, UNDERSCORE])
def test_of_two_404s_the_one_in_dusts_words_is_reported(
    http: requests_mock.Mocker, client: DustClient, enveloped: str
) -> None:
    http.post(requests_mock.ANY, **NOT_FOUND)
    http.post(f"{enveloped}/users-1", **refusal(404, "data_source_not_found", "Not found."))
    message = failure_of(lambda: client.upsert_document(user()), DustConfigError)
    assert message == (
        "Could not upsert document 'users-1' of stream 'users': Dust answered 404 "
        'data_source_not_found, "Not found." Check space_id and data_source_id: a data source id '
        "begins with dts_, dsv_ is a view's; and the key must have access to the space."
    )


def test_two_foreign_404s_mean_no_dust_api(http: requests_mock.Mocker, client: DustClient) -> None:
    http.get(requests_mock.ANY, **NOT_FOUND)
    message = failure_of(client.check_connection, DustConfigError)
    assert message == (
        "Could not list the data source's documents: there is no Dust API at this address (404 "
        f"from {HYPHEN}?limit=1 and {UNDERSCORE}?limit=1). Check base_url: https://dust.tt is the "
        "US, https://eu.dust.tt is Europe."
    )


def test_another_error_on_the_second_route_is_reported(
    http: requests_mock.Mocker, client: DustClient
) -> None:
    http.post(f"{HYPHEN}/users-1", **NOT_FOUND)
    http.post(f"{UNDERSCORE}/users-1", **refusal(403, "data_source_auth_error"))
    message = failure_of(lambda: client.upsert_document(user()), DustConfigError)
    assert "403 data_source_auth_error" in message


# Retries

RETRYABLE: list[Any] = [
    pytest.param(refusal(500, "internal_server_error"), id="500"),
    pytest.param({"status_code": 502, "text": "<html>Bad gateway</html>"}, id="502 HTML"),
    pytest.param(refusal(503, "service_unavailable"), id="503"),
    pytest.param({"exc": requests.exceptions.ConnectTimeout}, id="connect timeout"),
    pytest.param({"exc": requests.exceptions.ReadTimeout}, id="read timeout"),
    pytest.param({"exc": requests.exceptions.ConnectionError}, id="broken connection"),
    pytest.param({"exc": requests.exceptions.ChunkedEncodingError}, id="broken body"),
    pytest.param({"exc": requests.exceptions.InvalidHeader}, id="broken headers"),
    pytest.param({"exc": urllib3.exceptions.ProtocolError}, id="urllib3's own"),
    pytest.param({"text": "<html>Sign in</html>"}, id="200 with HTML"),
    pytest.param({"text": '{"document":{"docum'}, id="200 truncated"),
    pytest.param(stored(document_id="users-9"), id="200 for another document"),
    pytest.param({"json": {"document": {}}}, id="200 with an empty document"),
    pytest.param({"json": {"document": {"hash": None}}}, id="200 without a hash"),
    pytest.param({"json": {"document": {"text_size": 7}}}, id="200 with neither hash nor id"),
    pytest.param({"json": {"document": "users-1"}}, id="200 with no document object"),
    pytest.param({"status_code": 201, "json": {}}, id="201 with foreign JSON"),
    pytest.param({"json": []}, id="200 with foreign JSON"),
]


@pytest.mark.parametrize("answer", RETRYABLE)
def test_what_is_retryable_is_tried_three_times_more(
    http: requests_mock.Mocker,
    client: DustClient,
    waits: list[Wait],
    caplog: pytest.LogCaptureFixture,
    answer: Response,
) -> None:
    """With growing waits, each of them logged; then the sync may go on another day."""
    http.post(f"{HYPHEN}/users-1", [answer])
    failure_of(lambda: client.upsert_document(user()), DustUnavailableError)
    assert http.call_count == 4
    first, second, third = (wait.seconds for wait in waits)
    assert [1 <= first <= 1.5, 2 <= second <= 3, 4 <= third <= 6] == [True] * 3
    assert all(wait == Wait(wait.seconds, False, USERS) for wait in waits)
    assert len(caplog.messages) == 3
    assert "Retry 1 in " in caplog.messages[0]


@pytest.mark.parametrize("answer", RETRYABLE)
def test_a_retry_that_succeeds_is_the_end_of_it(
    http: requests_mock.Mocker, client: DustClient, waits: list[Wait], answer: Response
) -> None:
    http.post(f"{HYPHEN}/users-1", [answer, stored()])
    client.upsert_document(user())
    assert len(waits) == 1
    bodies = [request.body for request in http.request_history]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [("7", 7), ("4000", 300), ("9" * 5000, 300), ("date", 190)],
    ids=["seconds", "at most five minutes", "for ever", "date"],
)
def test_retry_after_is_obeyed(
    http: requests_mock.Mocker,
    client: DustClient,
    waits: list[Wait],
    header: str,
    expected_s: float,
) -> None:
    if header == "date":
        soon = datetime.now(timezone.utc) + timedelta(seconds=200)
        header = format_datetime(soon, usegmt=True)
    rate_limited = {**refusal(429, "rate_limit_error"), "headers": {"Retry-After": header}}
    http.post(f"{HYPHEN}/users-1", [rate_limited, stored()])
    client.upsert_document(user())
    (wait,) = waits
    assert expected_s <= wait.seconds <= expected_s + 15
    assert wait == Wait(wait.seconds, True, USERS)


@pytest.mark.parametrize("header", ["soon", "-5", "1.5", "Wed, 21 Oct 99999 07:28:00 GMT"])
def test_a_retry_after_that_is_no_time_is_ignored(
    http: requests_mock.Mocker, client: DustClient, waits: list[Wait], header: str
) -> None:
    rate_limited = {**refusal(503), "headers": {"Retry-After": header}}
    http.post(f"{HYPHEN}/users-1", [rate_limited, stored()])
    client.upsert_document(user())
    (wait,) = waits
    assert 1 <= wait.seconds <= 1.5


@pytest.mark.parametrize("status", [204, 301, 302, 307, 400, 401, 403, 405, 409, 413, 422])
def test_nothing_else_is_retried(
    http: requests_mock.Mocker, client: DustClient, waits: list[Wait], status: int
) -> None:
    http.post(f"{HYPHEN}/users-1", status_code=status)
    with pytest.raises(DustError):
        client.upsert_document(user())
    assert http.call_count == 1
    assert waits == []


# Time


@pytest.fixture
def timed(clock: Clock) -> DustClient:
    """A client for which only waits take time."""
    return DustClient(CONFIG, clock=clock, wait=lambda wait: clock.sleep(wait.seconds))


RATE_LIMITED = refusal(429, "rate_limit_error")


def test_whoever_has_had_all_slots_waits_until_the_oldest_is_free(
    http: requests_mock.Mocker, timed: DustClient, clock: Clock
) -> None:
    """And the upsert after it waits for its turn, too."""
    http.post(f"{HYPHEN}/users-1", [*[stored()] * 120, RATE_LIMITED, stored()])
    timed.upsert_document(user())
    clock.now_s += 10
    for _ in range(120):
        timed.upsert_document(user())
    assert sum(clock.waits_s) == pytest.approx(50)
    timed.upsert_document(user())
    assert sum(clock.waits_s) > 50


def test_an_upsert_that_failed_may_have_taken_a_slot(
    http: requests_mock.Mocker, timed: DustClient, clock: Clock
) -> None:
    http.post(f"{HYPHEN}/users-1", [refusal(503), *[stored()] * 119, RATE_LIMITED, stored()])
    for _ in range(120):
        timed.upsert_document(user())
    assert sum(clock.waits_s) == pytest.approx(60)


def test_waiting_for_the_rate_limit_is_ordinary_and_another_retry_is_a_warning(
    http: requests_mock.Mocker, timed: DustClient, caplog: pytest.LogCaptureFixture
) -> None:
    http.post(f"{HYPHEN}/users-1", [RATE_LIMITED, RATE_LIMITED, refusal(503), stored()])
    with caplog.at_level(logging.INFO, "airbyte"):
        timed.upsert_document(user())
    (waiting, retry) = caplog.records
    assert (waiting.levelname, waiting.message) == (
        "INFO",
        "Dust's rate limit is reached (120 upserts a minute for the whole workspace): waiting.",
    )
    assert retry.levelname == "WARNING"
    assert "Dust answered 503" in retry.message


def test_a_429_on_a_list_is_a_warning(
    http: requests_mock.Mocker, timed: DustClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The limit of upserts does not explain it."""
    http.get(HYPHEN, [RATE_LIMITED, LISTED])
    timed.list_documents(limit=1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_rate_limited_upsert_has_taken_no_slot(
    http: requests_mock.Mocker, timed: DustClient, clock: Clock
) -> None:
    http.post(f"{HYPHEN}/users-1", [RATE_LIMITED, stored()])
    timed.upsert_document(user())
    assert sum(clock.waits_s) < 10


def test_a_list_and_a_delete_take_no_slot(
    http: requests_mock.Mocker, timed: DustClient, clock: Clock
) -> None:
    """The rate limit is one of upserts."""
    http.get(HYPHEN, **LISTED)
    http.delete(f"{HYPHEN}/users-1", **DELETED)
    http.post(f"{HYPHEN}/users-1", [RATE_LIMITED, stored()])
    timed.list_documents(limit=1)
    timed.delete_document("users-1", USERS)
    timed.upsert_document(user())
    assert sum(clock.waits_s) < 10


@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        pytest.param(refusal(503), 1, id="backoff"),
        pytest.param({**refusal(503), "headers": {"Retry-After": "15"}}, 0, id="Retry-After"),
        pytest.param(RATE_LIMITED, 1, id="rate limit"),
        pytest.param(
            {**RATE_LIMITED, "headers": {"Retry-After": "1"}}, 2, id="rate limit with Retry-After"
        ),
    ],
)
def test_nothing_is_tried_again_when_all_waits_would_be_longer_than_the_longest(
    http: requests_mock.Mocker, clock: Clock, answer: Response, waits: int
) -> None:
    http.get(HYPHEN, **answer)
    hasty = DustClient(
        CONFIG, longest_wait_s=2, clock=clock, wait=lambda wait: clock.sleep(wait.seconds)
    )
    message = failure_of(hasty.check_connection, DustUnavailableError)
    assert f"Dust answered {answer['status_code']}" in message
    assert len(clock.waits_s) == waits
    assert http.call_count == waits + 1


# Errors


def test_a_failure_is_a_runtime_error_with_the_streams_descriptor(
    http: requests_mock.Mocker, client: DustClient
) -> None:
    http.post(f"{HYPHEN}/users-1", **refusal(400, "invalid_request_error", "Bad title."))
    upsert = user(note="hidden")
    with pytest.raises(RuntimeError) as failed:
        client.upsert_document(upsert)
    assert isinstance(failed.value, DustRequestError)
    error = failed.value.as_airbyte_message().trace.error
    assert error.failure_type is FailureType.system_error
    assert error.stream_descriptor.name == "users"
    assert error.message == (
        "Could not upsert document 'users-1' of stream 'users': Dust answered 400 "
        'invalid_request_error, "Bad title." Where Dust names a setting of the workspace, change '
        "it there; anything else is a defect: please report it with this message."
    )
    assert "hidden" not in json.dumps([error.message, error.internal_message, error.stack_trace])
