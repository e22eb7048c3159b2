"""The local Dust responds as the live one does, so what the connector meets here counts."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import requests

from integration_tests.connector import ROOT
from integration_tests.exchanges import Exchange, Response, read_exchanges
from integration_tests.local_dust import UNLIMITED, ApiKey, DataSource, LocalDust, Options
from integration_tests.local_dust.store import DustRefusal, DustStore
from unit_tests.clock import Clock

NOW_MS = 1736365559000
HOME = DataSource("w1", "vlt_1", "dts_1")
OPTIONS = Options(
    api_keys={"sk-1": ApiKey("w1"), "sk-2": ApiKey("w2")},
    data_sources=(HOME, DataSource("w2", "vlt_2", "dts_2")),
    workspaces_without_api=frozenset({"w2"}),
    max_text_utf16_units=1000,
    upserts_per_window=UNLIMITED,
)
DOCUMENTS = "/api/v1/w/w1/spaces/vlt_1/data_sources/dts_1/documents"


@pytest.fixture
def local() -> Iterator[LocalDust]:
    with LocalDust(OPTIONS) as dust:
        yield dust


def ask(
    dust: LocalDust, method: str = "GET", path: str = DOCUMENTS, *, key: str = "sk-1", **rest: Any
) -> requests.Response:
    headers = {"Authorization": f"Bearer {key}", **rest.pop("headers", {})}
    url = dust.config["base_url"] + path
    return requests.request(method, url, headers=headers, timeout=10, **rest)


def upsert(dust: LocalDust, id_: str = "a", **body: Any) -> requests.Response:
    return ask(dust, "POST", f"{DOCUMENTS}/{id_}", json={"text": "t", **body})


def error_of(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["type"]


# Exchanges of Dust, one by one.

EXCHANGES = list(read_exchanges())


@pytest.fixture(scope="module")
def responses() -> dict[str, Response]:
    """The responses of one fresh local Dust to the requests of all exchanges, at their times."""
    now_ms = [0]
    with LocalDust(Options(now_ms=lambda: now_ms[0])) as dust:
        responses = {}
        for exchange in EXCHANGES:
            body = exchange.response.body
            document = body.get("document", {}) if isinstance(body, dict) else {}
            now_ms[0] = document.get("created", 0)
            responses[exchange.name] = exchange.repeat(dust)
    return responses


def shape(value: Any) -> Any:
    """Return the names of all fields with their JSON types; of a list, what its items look like."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        shapes = [shape(item) for item in value]
        return [one for at, one in enumerate(shapes) if one not in shapes[:at]]
    if isinstance(value, bool) or value is None:
        return type(value)
    return float if isinstance(value, int | float) else str


def codes(body: Any) -> tuple[Any, Any]:
    """Return the type of an error, and the code of the engine's."""
    error = body.get("error", {}) if isinstance(body, dict) else {}
    return error.get("type"), error.get("data_source_error", {}).get("code")


def hashes(body: Any) -> Iterator[tuple[str | None, str]]:
    """Yield each hash in a response, those of chunks too, with the id beside it."""
    if isinstance(body, dict):
        if "hash" in body:
            yield body.get("document_id"), body["hash"]
        body = list(body.values())
    if isinstance(body, list):
        for inner in body:
            yield from hashes(inner)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_the_local_dust_responds_as_dust_does(
    responses: dict[str, Response], exchange: Exchange
) -> None:
    """Only ids, times and wording may differ."""
    got, expected = responses[exchange.name], exchange.response
    assert (got.status, got.content_type) == (expected.status, expected.content_type)
    assert codes(got.body) == codes(expected.body)
    assert shape(got.body) == shape(expected.body)
    # "list" asks for one of several documents with the same timestamp: any of them may come.
    if exchange.name != "list":
        assert set(hashes(expected.body)) <= set(hashes(got.body))


def test_the_exchanges_hold_each_kind_of_response() -> None:
    assert len({exchange.name for exchange in EXCHANGES}) == len(EXCHANGES) == 45
    assert {exchange.response.status for exchange in EXCHANGES} == {200, 400, 401, 404, 500}


# Who may do what.


@pytest.mark.parametrize(
    ("key", "workspace", "expected"),
    [
        ("sk-0", "w0", (401, "invalid_api_key_error")),
        ("sk-1", "w2", (403, "workspace_can_use_product_required_error")),
        ("sk-2", "w1", (401, "workspace_auth_error")),
    ],
)
def test_authentication_comes_before_routing(
    local: LocalDust, key: str, workspace: str, expected: tuple[int, str]
) -> None:
    assert error_of(ask(local, path=f"/api/v1/w/{workspace}/anything", key=key)) == expected


@pytest.mark.parametrize("path", ["/", DOCUMENTS])
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("LocalHost", 200),
        ("[::1]:8899", 200),
        ("127.0.0.1.evil.example:8899", 421),
        ("localhost:8899@evil.example", 421),
        ("", 421),
    ],
)
def test_only_loopback_names_are_served(
    local: LocalDust, path: str, host: str, status: int
) -> None:
    """A website whose own name leads to this machine reads no records (DNS rebinding)."""
    assert ask(local, path=path, headers={"Host": host}).status_code == status


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("source", "said"),
    [(replace(HOME, is_managed=True), "managed data source"), (HOME, "not allowed to update")],
    ids=["managed", "write right"],
)
def test_a_managed_data_source_is_refused_before_a_key_that_may_only_read(
    method: str, source: DataSource, said: str
) -> None:
    keys = {"sk-1": ApiKey("w1", can_write=False)}
    with LocalDust(Options(api_keys=keys, data_sources=(source,))) as dust:
        response = ask(dust, method, f"{DOCUMENTS}/a", json={"text": "t"})
    assert response.status_code == 403
    assert said in response.json()["error"]["message"]


# What an upsert leaves.


def test_a_read_shows_what_was_upserted_until_it_is_deleted(local: LocalDust) -> None:
    """The title is stripped, the URL normalised; a small timestamp is in seconds."""
    sent = {"title": " T ", "tags": ["x"], "timestamp": 1736365559, "mime_type": "a/b"}
    assert upsert(local, source_url="HTTPS://Example.com", **sent).status_code == 200
    document = ask(local, path=f"{DOCUMENTS}/a").json()["document"]
    assert document == local.documents["a"]
    assert document.items() >= {"document_id": "a", "text": "t", "mime_type": "a/b"}.items()
    assert (document["title"], document["tags"]) == ("T", ["x", "title:T"])
    assert document["timestamp"] == NOW_MS
    assert document["source_url"] == "https://example.com/"
    assert ask(local, "DELETE", f"{DOCUMENTS}/a").status_code == 200
    assert local.documents == {}


@pytest.mark.parametrize(
    ("body", "title", "tags"),
    [
        pytest.param({"title": "\u2003\ufeff"}, "a", ["title:a"], id="blank"),
        pytest.param({"tags": ["title: X "]}, "X", ["title: X "], id="among the tags"),
        pytest.param({"title": "T", "tags": ["title:X"]}, "T", ["title:X"], id="both"),
        pytest.param({"title": "\x1cT"}, "\x1cT", ["title:\x1cT"], id="Python's white space"),
    ],
)
def test_a_title_is_stripped_and_falls_back_to_a_tag_and_then_to_the_id(
    local: LocalDust, body: dict[str, Any], title: str, tags: list[str]
) -> None:
    upsert(local, **body)
    assert (local.documents["a"]["title"], local.documents["a"]["tags"]) == (title, tags)


def test_created_and_the_date_of_a_response_are_by_the_same_clock() -> None:
    with LocalDust(Options(now_ms=lambda: NOW_MS)) as dust:
        dust.put("a")
        response = ask(dust, path="/")
    document = dust.documents["a"]
    assert document["created"] == document["timestamp"] == NOW_MS
    assert response.headers["Date"] == "Wed, 08 Jan 2025 19:45:59 GMT"


def test_a_body_that_is_not_declared_as_json_is_not_read(local: LocalDust) -> None:
    response = ask(local, "POST", f"{DOCUMENTS}/a", data=b'{"text":"t"}')
    assert "`text` or `section` must be provided" in response.json()["error"]["message"]


INVALID = (400, "invalid_request_error")
BROKEN = (500, "internal_server_error")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"title": "😀" * 257}, INVALID, id="title"),
        pytest.param({"timestamp": True}, INVALID, id="timestamp"),
        pytest.param({"light_document_output": None}, INVALID, id="light"),
        pytest.param({"tags": ["a\0"]}, BROKEN, id="NUL"),
        pytest.param({"timestamp": 1e20}, BROKEN, id="late"),
        pytest.param({"text": "😀" * 501}, (403, "data_source_quota_error"), id="size"),
    ],
)
def test_a_body_that_dust_refuses_is_refused(
    local: LocalDust, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert error_of(upsert(local, **body)) == expected
    assert local.documents == {}


@pytest.mark.parametrize(
    ("id_", "body"),
    [("a", {"title": "😀" * 256}), ("a", {"text": "😀" * 500}), ("x" * 446, {})],
    ids=["title", "size", "id"],
)
def test_a_body_that_dust_just_accepts_is_stored(
    local: LocalDust, id_: str, body: dict[str, Any]
) -> None:
    assert upsert(local, id_, **body).status_code == 200


# The list.


def listed(dust: LocalDust, query: str) -> list[str]:
    """Return the ids of a list of all documents, in its order."""
    response = ask(dust, path=f"{DOCUMENTS}?{query}").json()
    assert response["total"] == len(dust.documents)
    return [document["document_id"] for document in response["documents"]]


def fill(dust: LocalDust, timestamps: Iterable[int]) -> None:
    """Keep documents with the ids 0, 1, 2 and so on."""
    for id_, timestamp in enumerate(timestamps):
        dust.put(str(id_), timestamp=timestamp)


def test_a_list_is_newest_first_and_holds_ten_unless_it_has_a_limit(local: LocalDust) -> None:
    fill(local, (NOW_MS + 100 * id_ for id_ in range(12)))
    newest_first = [str(id_) for id_ in range(11, -1, -1)]
    assert listed(local, "limit=100") == newest_first
    assert listed(local, "") == newest_first[:10]
    assert listed(local, "&".join(f"document_ids={id_}" for id_ in range(12))) == newest_first[:10]
    assert listed(local, "limit=2&offset=3") == newest_first[3:5]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("document_ids=a/b%2Cc", ["a/b,c"], id="slash and comma"),
        pytest.param("document_ids=%252F", ["%2F"], id="decoded once"),
        pytest.param("document_ids=z&document_ids=nope&document_ids=%252F", ["z", "%2F"], id="two"),
        pytest.param("document_ids=z&document_ids=%252F&limit=1", ["z"], id="limit"),
        pytest.param("document_ids=z&document_ids=%252F&offset=1", ["%2F"], id="offset"),
        pytest.param("document_ids=z,%252F", [], id="comma-separated"),
        pytest.param("document_ids=", [], id="empty"),
        pytest.param("document_ids[]=z", ["a/b,c", "z", "%2F"], id="another name"),
    ],
)
def test_document_ids_narrow_the_list_before_it_is_cut(
    local: LocalDust, query: str, expected: list[str]
) -> None:
    for age, id_ in enumerate(("a/b,c", "z", "%2F")):
        local.put(id_, timestamp=NOW_MS - age)
    assert listed(local, query) == expected


def test_the_length_of_a_page_may_be_capped() -> None:
    with LocalDust(replace(OPTIONS, max_page=2)) as local:
        fill(local, [NOW_MS] * 3)
        assert len(listed(local, "limit=3")) == 2
        assert len(listed(local, "limit=3&offset=2")) == 1


@pytest.mark.parametrize("query", ["limit=-1", "limit=x", "offset=-1", "offset=1.5"])
def test_limit_and_offset_are_natural_numbers(local: LocalDust, query: str) -> None:
    assert error_of(ask(local, path=f"{DOCUMENTS}?{query}")) == INVALID


def test_equal_timestamps_are_listed_in_no_meaningful_order(local: LocalDust) -> None:
    """Neither by id nor by age, but the same again."""
    fill(local, [NOW_MS] * 20)
    ids = [str(id_) for id_ in range(20)]
    once = listed(local, "limit=20")
    assert once not in (ids, ids[::-1], sorted(ids), sorted(ids)[::-1])
    assert sorted(once) == sorted(ids)
    assert listed(local, "limit=20") == once


def test_equal_timestamps_may_change_places_in_each_list() -> None:
    with LocalDust(replace(OPTIONS, ties_move=True)) as local:
        fill(local, [NOW_MS] * 20 + [NOW_MS + 1])
        lists = [listed(local, "limit=21") for _ in range(2)]
    assert lists[0] != lists[1]
    assert sorted(lists[0]) == sorted(lists[1])
    assert lists[0][0] == lists[1][0] == "20"


# The rate limit, the connection and the command.


def test_the_rate_limit_is_a_sliding_window() -> None:
    """A slot frees 60 s after the upsert that took it; a rate-limited request takes none."""
    clock = Clock()
    store = DustStore(Options(upserts_per_window=2, window_s=60), clock)
    (source,) = store.options.data_sources
    refused = pytest.raises(DustRefusal, match="rate_limit_error")
    for clock.now_s in (0, 30, 59, 59.9, 60, 61, 90):
        with refused if clock.now_s in (59, 59.9, 61) else nullcontext():
            store.upsert(source, ApiKey(source.workspace_id), "a", {"text": "t"})


def test_an_idle_connection_is_closed() -> None:
    with (
        LocalDust(keepalive_s=0.1) as dust,
        socket.create_connection(("127.0.0.1", dust.port), timeout=10) as connection,
    ):
        connection.sendall(b"GET /local/activity HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until_closed = connection.makefile("rb").read()
    assert until_closed.startswith(b"HTTP/1.1 200")


def test_the_command_says_where_it_listens_and_how_to_configure_for_it() -> None:
    command = [sys.executable, "-m", "integration_tests.local_dust", "--port", "0"]
    options = ["--key", "sk-x:w", "--data-source", "w/s/d", "--route-style", "hyphen"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout
            assert b" http://127.0.0.1:" in process.stdout.readline()
            process.stdout.readline()
            config = json.loads(b"".join(process.stdout.readline() for _ in range(7)))
            assert config.pop("api_key") == "sk-x"
            path = f"{config['base_url']}/api/v1/w/w/spaces/s/data-sources/d/documents"
            key = {"Authorization": "Bearer sk-x"}
            requests.post(f"{path}/a", json={"text": "t"}, headers=key, timeout=10)
            shown = requests.get(f"{config['base_url']}/local/documents", timeout=10).json()
            assert [row["document_id"] for row in shown["rows"]] == ["a"]
        finally:
            process.terminate()
