"""The Dust API over HTTP, faked at the wire."""

from __future__ import annotations

import logging
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import requests
from requests_mock import ANY, Mocker

from destination_dust.client import DustClient, Wait
from destination_dust.config import DustConfig
from destination_dust.document import Document
from destination_dust.errors import DustConfigError, DustError, DustUnavailableError
from unit_tests.builders import EVENTS, USERS, document_of
from unit_tests.clock import Clock

KEY = "sk-very-secret"
CONFIG = DustConfig(KEY, "w1", "vlt_1", "dts_1")
BASE = "https://dust.tt/api/v1/w/w1/spaces/vlt_1"
HYPHEN = f"{BASE}/data-sources/dts_1/documents"
UNDERSCORE = f"{BASE}/data_sources/dts_1/documents"

Response = dict[str, Any]

# What live Dust answers to an upsert with `light_document_output`: it does not name the document.
LIGHT_DOCUMENT = {
    "hash": "56b50e2cfbb1d69b5933d5828f06fc10237e811396fc758367faed2c13363920",
    "text_size": 7,
    "chunk_count": 1,
    "token_count": 512,
    "created": 1736365559000,
}


def user(id_: int = 1, **data: object) -> Document:
    return document_of(USERS, {"id": id_, **data}, emitted_at_ms=1)


def stored(**document: object) -> Response:
    return {"json": {"document": {**LIGHT_DOCUMENT, **document}, "data_source": {}}}


def refusal(status: int, type_: str = "some_error", message: str = "No.") -> Response:
    return {"status_code": status, "json": {"error": {"type": type_, "message": message}}}


def listed(*ids: object) -> Response:
    return {"json": {"documents": [{"document_id": id_} for id_ in ids], "total": 0}}


RATE_LIMITED = refusal(429, "rate_limit_error")


@pytest.fixture
def client(clock: Clock) -> DustClient:
    """A client for which only waits take time."""
    return DustClient(CONFIG, clock=clock, wait=lambda wait: clock.sleep(wait.seconds))


# Requests


def test_an_upsert_sends_the_whole_body_to_the_first_route(
    http: Mocker, client: DustClient
) -> None:
    http.post(f"{HYPHEN}/users-1", **stored())
    assert client.upsert_document(user(name="Ann"))
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


def test_every_request_has_timeouts(http: Mocker, client: DustClient) -> None:
    """Dust embeds a text before it responds. In a check, a user is waiting."""
    http.get(HYPHEN, **listed())
    http.post(f"{HYPHEN}/users-1", **stored())
    http.delete(ANY, exc=requests.exceptions.ReadTimeout)
    client.check_connection()
    client.upsert_document(user())
    client.check_write_access()
    timeouts = [request.timeout for request in http.request_history]
    assert timeouts == [(10, 300), (10, 300), (10, 5)]


def test_a_check_lists_one_document_by_percent_encoded_ids(http: Mocker) -> None:
    http.get(ANY, **listed())
    DustClient(DustConfig("sk-1", "w/1", "s 1", "d?1")).check_connection()
    (sent,) = http.request_history
    assert sent.url == (
        "https://dust.tt/api/v1/w/w%2F1/spaces/s%201/data-sources/d%3F1/documents?limit=1"
    )


def test_netrc_does_not_replace_the_key(
    http: Mocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine dust.tt login me password other\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    http.get(HYPHEN, **listed())
    DustClient(CONFIG).check_connection()
    assert http.request_history[0].headers["Authorization"] == f"Bearer {KEY}"


# Responses


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(
    "document", [LIGHT_DOCUMENT, {"document_id": "users-1"}], ids=["light", "id alone"]
)
def test_an_upsert_is_done_when_dust_responds_with_a_hash_or_the_id(
    http: Mocker, client: DustClient, status: int, document: dict[str, object]
) -> None:
    http.post(f"{HYPHEN}/users-1", status_code=status, json={"document": document})
    assert client.upsert_document(user())
    assert http.call_count == 1


@pytest.mark.parametrize("ids", [["users-é/1,2"], []], ids=["there", "not there"])
def test_a_document_is_found_by_its_percent_encoded_id(
    http: Mocker, client: DustClient, ids: list[str]
) -> None:
    """By default Dust lists ten documents, whatever the filter."""
    http.get(
        f"{HYPHEN}?document_ids=users-%C3%A9%2F1%2C2&limit=1", complete_qs=True, **listed(*ids)
    )
    assert client.find_document("users-é/1,2", USERS) == listed(*ids)["json"]["documents"]
    assert "document_ids=users-%C3%A9%2F1%2C2&limit=1" in http.last_request.url


def test_a_document_is_deleted_by_its_percent_encoded_id(http: Mocker, client: DustClient) -> None:
    http.delete(ANY, json={"document": {"document_id": "a/b c?d"}})
    client.delete_document("a/b c?d", USERS)
    (sent,) = http.request_history
    assert (sent.url, sent.body) == (f"{HYPHEN}/a%2Fb%20c%3Fd", None)


UPSERT = ("upsert document 'users-1' of stream 'users'", lambda dust: dust.upsert_document(user()))
LIST = ("list the data source's documents", lambda dust: dust.list_documents(limit=10))
FIND = (
    "find document 'users-1' of stream 'users'",
    lambda dust: dust.find_document("users-1", USERS),
)
DELETE = (
    "delete document 'users-1' of stream 'users'",
    lambda dust: dust.delete_document("users-1", USERS),
)
OTHER_SUCCESSES: list[tuple[Any, str, Response]] = [
    (UPSERT, "upsert, HTML", {"text": "<html>Sign in</html>"}),
    (UPSERT, "upsert, another document", stored(document_id="users-9")),
    (UPSERT, "upsert, empty document", {"json": {"document": {}}}),
    (UPSERT, "upsert, no hash", {"json": {"document": {"hash": None}}}),
    (UPSERT, "upsert, no object", {"json": {"document": "users-1"}}),
    (UPSERT, "upsert, list", {"json": []}),
    (LIST, "list, list", {"json": []}),
    (LIST, "list, object", {"json": {"documents": {}}}),
    (LIST, "list, texts", {"json": {"documents": ["users-1"]}}),
    (LIST, "list, numbers", listed(1)),
    (FIND, "find, several", listed("users-1", "users-2")),
    (DELETE, "delete, another document", {"json": {"document": {"document_id": "users-2"}}}),
    (DELETE, "delete, hash alone", {"json": {"document": {"hash": "x"}}}),
]


@pytest.mark.parametrize(
    ("request_", "response"),
    [(row[0], row[2]) for row in OTHER_SUCCESSES],
    ids=[row[1] for row in OTHER_SUCCESSES],
)
def test_any_other_success_is_a_failure_and_retried(
    http: Mocker, client: DustClient, request_: Any, response: Response
) -> None:
    name, call = request_
    http.register_uri(ANY, ANY, [response])
    with pytest.raises(DustUnavailableError) as failed:
        call(client)
    error = failed.value.as_airbyte_message().trace.error
    assert error.message.startswith(
        f"Could not {name}: dust.tt answered 200, but not as Dust does."
    )
    assert (error.stream_descriptor is None) is (request_ is LIST)
    assert http.call_count == 4
    assert len({request.body for request in http.request_history}) == 1


# Routes


def test_the_underscore_route_is_kept_once_it_has_succeeded(
    http: Mocker, client: DustClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Live Dust always needs it, so only the debug log mentions it."""
    http.post(ANY, status_code=404)
    for id_ in (1, 2):
        http.post(f"{UNDERSCORE}/users-{id_}", **stored())
    with caplog.at_level(logging.DEBUG, "airbyte"):
        client.upsert_document(user(1))
        client.upsert_document(user(2))
    assert [request.url for request in http.request_history] == [
        f"{HYPHEN}/users-1",
        f"{UNDERSCORE}/users-1",
        f"{UNDERSCORE}/users-2",
    ]
    (logged,) = caplog.record_tuples
    assert logged == (
        "airbyte",
        logging.DEBUG,
        "Using the path /data_sources/, since /data-sources/ was answered with 404.",
    )


# Retries and the rate limit


def test_each_retry_is_logged_with_its_reason_and_its_wait(
    http: Mocker, caplog: pytest.LogCaptureFixture
) -> None:
    http.post(f"{HYPHEN}/users-1", [refusal(503), refusal(503), stored()])
    waits: list[Wait] = []
    DustClient(CONFIG, wait=waits.append).upsert_document(user())
    assert [(wait.is_for_rate_limit, wait.stream) for wait in waits] == [(False, USERS)] * 2
    assert caplog.messages == [
        "Could not upsert document 'users-1' of stream 'users': Dust answered 503 some_error, "
        f'"No." Retrying in {wait.seconds:.1f} s.'
        for wait in waits
    ]


@pytest.mark.parametrize("status", [204, 301, 302, 303, 307, 308, 400, 401, 403, 405, 409, 422])
def test_nothing_else_is_retried_and_no_redirect_is_followed(
    http: Mocker, client: DustClient, clock: Clock, status: int
) -> None:
    headers = {"Location": "https://elsewhere.example/"}
    http.post(f"{HYPHEN}/users-1", status_code=status, headers=headers)
    with pytest.raises(DustError):
        client.upsert_document(user())
    assert (http.call_count, clock.waits_s) == (1, [])


def test_waiting_for_the_limit_of_upserts_is_ordinary_and_any_other_retry_a_warning(
    http: Mocker, client: DustClient, caplog: pytest.LogCaptureFixture
) -> None:
    http.post(f"{HYPHEN}/users-1", [RATE_LIMITED, RATE_LIMITED, refusal(503), stored()])
    http.get(HYPHEN, [RATE_LIMITED, listed()])
    with caplog.at_level(logging.INFO, "airbyte"):
        client.upsert_document(user())
        client.list_documents(limit=1)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING"]


@pytest.mark.parametrize(
    ("first", "takes_slot"),
    [(stored(), True), (refusal(503), True), (RATE_LIMITED, False)],
    ids=["stored", "failed", "rate-limited"],
)
def test_an_upsert_takes_a_slot_unless_it_was_rate_limited(
    http: Mocker, client: DustClient, clock: Clock, first: Response, takes_slot: bool
) -> None:
    """Once all 120 slots were used, the next upsert waits until the first one is free again."""
    http.post(f"{HYPHEN}/users-1", [first, *[stored()] * 119, RATE_LIMITED, stored()])
    while http.call_count < 122:
        client.upsert_document(user())
    assert (sum(clock.waits_s) > 59) is takes_slot


def test_an_upsert_that_has_failed_otherwise_is_repeated_after_a_429_too(
    http: Mocker, client: DustClient
) -> None:
    """Dust may have stored a part of it."""
    http.post(f"{HYPHEN}/users-1", [refusal(500), RATE_LIMITED, RATE_LIMITED, stored()])
    assert client.upsert_document(user(), waits=False)
    assert http.call_count == 4


# When the sync began by Dust's clock

DUST_MS = 1_736_365_559_123


@pytest.fixture
def learn(http: Mocker, client: DustClient, clock: Clock) -> Callable[..., None]:
    """Let a response arrive some time after the start of the sync, with a `created` or a Date."""

    def learn(after_s: float, created_ms: object = None, date_ms: int | None = None) -> None:
        clock.now_s = 1000.0 + after_s
        date = {} if date_ms is None else {"Date": formatdate(date_ms / 1000, usegmt=True)}
        http.post(f"{HYPHEN}/users-1", headers=date, **stored(created=created_ms))
        client.upsert_document(user())

    return learn


def assert_began(client: DustClient, began_ms: int) -> None:
    """Assert that the sync began at this time, as far as the client knows."""
    assert client.was_written_before_sync({"created": began_ms - 1})
    assert not client.was_written_before_sync({"created": began_ms})


@pytest.mark.parametrize(
    ("after_s", "began_ms"),
    [(30, DUST_MS - 30_000), (0.0009, DUST_MS - 1)],
    ids=["later", "rounded up"],
)
def test_the_sync_began_at_the_time_of_a_response_less_what_had_passed(
    client: DustClient, learn: Callable[..., None], after_s: float, began_ms: int
) -> None:
    """What has passed is rounded up: Dust's clock is rounded down."""
    learn(after_s, DUST_MS)
    assert_began(client, began_ms)


def test_the_time_before_the_client_was_made_counts(http: Mocker, clock: Clock) -> None:
    client = DustClient(CONFIG, started_s=clock() - 5, clock=clock)
    http.post(f"{HYPHEN}/users-1", **stored(created=DUST_MS))
    client.upsert_document(user())
    assert_began(client, DUST_MS - 5_000)


def test_of_several_estimates_the_latest_counts(
    client: DustClient, learn: Callable[..., None]
) -> None:
    """Each is too early by the time that its response took."""
    learn(0, DUST_MS)
    learn(30, DUST_MS + 1)
    assert_began(client, DUST_MS)
    learn(31, DUST_MS + 31_005)
    assert_began(client, DUST_MS + 5)


def test_the_date_of_a_response_counts_until_a_created_is_known(
    client: DustClient, learn: Callable[..., None]
) -> None:
    """A proxy may have set it. Of several estimates the latest counts here, too."""
    learn(0.001, date_ms=11_000)
    learn(0.501, date_ms=12_000)
    learn(0.502, date_ms=12_000)
    assert_began(client, 11_499)
    learn(1, created_ms=2_234, date_ms=90_000)
    assert_began(client, 1_234)


def test_only_what_dust_itself_responds_tells_its_time(http: Mocker, client: DustClient) -> None:
    """The clock of a proxy may be ahead."""
    date = {"Date": formatdate(99, usegmt=True)}
    http.get(HYPHEN, [{"status_code": 502, "headers": date}, {**listed(), "headers": {}}])
    client.list_documents(limit=1)
    assert not client.was_written_before_sync({"created": 1})


@pytest.mark.parametrize(
    ("created", "is_certain"),
    [(9_000, True), (10_000, False), (10_001, True), (None, False), ("1", False), (1.5, False)],
    ids=str,
)
def test_doubt_keeps_a_document(
    client: DustClient, learn: Callable[..., None], created: object, is_certain: bool
) -> None:
    """The sync began at 10.5 s; what was written at 10.7 s may be listed as 10 s."""
    learn(0.5, 11_000)
    assert client.was_written_before_sync({"created": created}) is is_certain


def test_without_any_time_of_dusts_every_document_is_kept(
    client: DustClient, learn: Callable[..., None]
) -> None:
    learn(0, "soon")
    assert not client.was_written_before_sync({"created": 0})


# Errors


def test_a_failed_list_names_its_streams_in_the_message_only(
    http: Mocker, client: DustClient
) -> None:
    """It is none of one stream's errors."""
    http.get(HYPHEN, **refusal(403))
    with pytest.raises(DustConfigError) as failed:
        client.list_documents(limit=9, streams=[USERS, EVENTS])
    error = failed.value.as_airbyte_message().trace.error
    assert error.stream_descriptor is None
    assert error.message.startswith(
        "Could not list the data source's documents for stream 'users' and 1 more: "
    )
