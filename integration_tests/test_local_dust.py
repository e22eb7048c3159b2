"""The local Dust answers as the live one does; what the connector meets here is worth something."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from integration_tests.connector import ROOT
from integration_tests.dust_store import ApiKey, DataSource, DustRefusal, DustStore, Options
from integration_tests.local_dust import LocalDust

READER = "sk-reader"
HOME = DataSource("w1", "vlt_1", "dts_1")
MANAGED = DataSource("w1", "vlt_1", "dts_managed", is_managed=True)
OPTIONS = Options(
    api_keys={"sk-1": ApiKey("w1"), READER: ApiKey("w1", can_write=False), "sk-2": ApiKey("w2")},
    data_sources=(HOME, MANAGED, DataSource("w2", "vlt_2", "dts_2")),
    workspaces_without_api=frozenset({"w2"}),
    max_text_utf16_units=1000,
    max_documents=3,
    upserts_per_window=10**9,
)


@pytest.fixture
def local() -> Iterator[LocalDust]:
    with LocalDust(OPTIONS) as dust:
        yield dust


def ask(
    dust: LocalDust,
    method: str = "GET",
    path: str = "/api/v1/w/w1/spaces/vlt_1/data_sources/dts_1/documents",
    *,
    key: str | None = "Bearer sk-1",
    **rest: Any,
) -> requests.Response:
    headers = {} if key is None else {"Authorization": key}
    url = dust.config["base_url"] + path
    return requests.request(method, url, headers=headers, timeout=10, **rest)


def upsert(
    dust: LocalDust, id_: str = "a", source: str = "dts_1", **body: Any
) -> requests.Response:
    path = f"/api/v1/w/w1/spaces/vlt_1/data_sources/{source}/documents/{id_}"
    return ask(dust, "POST", path, json={"text": "t", **body})


def error_of(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["type"]


@pytest.mark.parametrize(
    ("key", "path", "expected"),
    [
        (None, "/api/v1/w/w1/anything", (401, "not_authenticated")),
        ("sk-1", "/api/v1/w/w1/anything", (401, "malformed_authorization_header_error")),
        ("Bearer nonsense", "/api/v1/w/w1/x", (401, "malformed_authorization_header_error")),
        ("Bearer sk-0", "/api/v1/w/w1/anything", (401, "invalid_api_key_error")),
        ("Bearer sk-2", "/api/v1/w/w1/anything", (401, "workspace_auth_error")),
        ("Bearer sk-1", "/api/v1/w/w0/anything", (404, "workspace_not_found")),
        ("Bearer sk-2", "/api/v1/w/w2/x", (403, "workspace_can_use_product_required_error")),
    ],
)
def test_authentication_comes_before_routing(
    local: LocalDust, key: str | None, path: str, expected: tuple[int, str]
) -> None:
    assert error_of(ask(local, path=path, key=key)) == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/w/w1/spaces/vlt_1/data-sources/dts_1/documents"),
        ("PUT", "/api/v1/w/w1/spaces/vlt_1/data_sources/dts_1/documents/a"),
        ("HEAD", "/api/v1/w/w1/spaces/vlt_1/data_sources/dts_1/documents"),
    ],
)
def test_an_unknown_route_or_method_is_a_plain_404(
    local: LocalDust, method: str, path: str
) -> None:
    answer = ask(local, method, path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text == ("" if method == "HEAD" else "404 Not Found")


@pytest.mark.parametrize(
    ("style", "statuses"), [("underscore", [200, 404]), ("hyphen", [404, 200]), ("both", [200] * 2)]
)
def test_the_route_style_is_an_option(style: str, statuses: list[int]) -> None:
    with LocalDust(OPTIONS, route_style=style) as dust:
        paths = [
            f"/api/v1/w/w1/spaces/vlt_1/{route}/dts_1/documents"
            for route in ("data_sources", "data-sources")
        ]
        assert [ask(dust, path=path).status_code for path in paths] == statuses


def test_unknown_spaces_and_data_sources_are_404s(local: LocalDust) -> None:
    base = "/api/v1/w/w1/spaces"
    space = ask(local, path=f"{base}/vlt_0/data_sources/dts_1/documents")
    source = ask(local, path=f"{base}/vlt_1/data_sources/dsv_1/documents")
    assert error_of(space) == (404, "space_not_found")
    assert error_of(source) == (404, "data_source_not_found")


def test_an_upserted_document_can_be_read_listed_and_deleted(local: LocalDust) -> None:
    path = "/api/v1/w/w1/spaces/vlt_1/data_sources/dts_1/documents"
    stored = upsert(local, title="T", tags=["x"], timestamp=1736365559000)
    assert stored.json()["document"]["document_id"] == "a"
    assert ask(local, path=f"{path}/a").json()["document"]["text"] == "t"
    listed = ask(local, path=f"{path}?limit=1").json()
    assert listed["total"] == 1
    assert "text" not in listed["documents"][0]
    deleted = ask(local, "DELETE", f"{path}/a")
    assert deleted.json() == {"document": {"document_id": "a"}}
    assert ask(local, "DELETE", f"{path}/a").status_code == 200
    assert error_of(ask(local, path=f"{path}/a")) == (400, "data_source_error")


def test_the_list_is_newest_first_in_pages_of_ten(local: LocalDust) -> None:
    for id_, timestamp in (("old", 1736365559000), ("new", 1800000000000), ("seconds", 1700000000)):
        assert upsert(local, id_, timestamp=timestamp).status_code == 200
    listed = ask(local).json()["documents"]
    assert [document["document_id"] for document in listed] == ["new", "old", "seconds"]
    assert listed[2]["timestamp"] == 1700000000000
    path = "/api/v1/w/w1/spaces/vlt_1/data_sources/dts_1/documents?limit=1&offset=1"
    assert [d["document_id"] for d in ask(local, path=path).json()["documents"]] == ["old"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"title": "x" * 513}, (400, "invalid_request_error")),
        ({"title": "😀" * 257}, (400, "invalid_request_error")),
        ({"source_url": "not a url"}, (400, "invalid_request_error")),
        ({"source_url": "ftp://example.com/"}, (400, "invalid_request_error")),
        ({"source_url": "https://example.com/a//b"}, (400, "invalid_request_error")),
        ({"tags": ["__DUST_x"]}, (400, "invalid_request_error")),
        ({"tags": "x"}, (400, "invalid_request_error")),
        ({"timestamp": "now"}, (400, "invalid_request_error")),
        ({"parents": ["a"]}, (400, "invalid_request_error")),
        ({"text": None}, (400, "invalid_request_error")),
        ({"text": "😀" * 501}, (403, "data_source_quota_error")),
    ],
)
def test_what_dust_refuses_is_refused(
    local: LocalDust, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert error_of(upsert(local, **body)) == expected
    assert local.documents == {}


@pytest.mark.parametrize(
    "body", [{"title": "😀" * 256}, {"source_url": ""}, {"text": ""}, {"text": "😀" * 500}]
)
def test_what_dust_just_accepts_is_accepted(local: LocalDust, body: dict[str, Any]) -> None:
    assert upsert(local, **body).status_code == 200


def test_rights_and_quotas_are_refused(local: LocalDust) -> None:
    path = "/api/v1/w/w1/spaces/vlt_1/data_sources/dts_1/documents/a"
    reader = ask(local, "POST", path, key=f"Bearer {READER}", json={"text": "t"})
    assert error_of(reader) == (403, "data_source_auth_error")
    assert error_of(upsert(local, source="dts_managed")) == (403, "data_source_auth_error")
    assert error_of(upsert(local, "x" * 447)) == (500, "internal_server_error")
    for id_ in ("a", "b", "c", "c"):
        assert upsert(local, id_).status_code == 200
    assert error_of(upsert(local, "d")) == (403, "workspace_quota_error")


def store_with_clock(now_s: list[float]) -> DustStore:
    return DustStore(Options(upserts_per_window=2, window_s=60), clock=lambda: now_s[0])


def try_upsert(store: DustStore, id_: str = "a", **body: Any) -> str:
    """Return "stored", or the type of Dust's refusal."""
    (source,) = store.options.data_sources
    try:
        store.upsert(source, ApiKey(source.workspace_id), id_, {"text": "t", **body})
    except DustRefusal as refusal:
        return refusal.type
    return "stored"


def test_the_rate_limit_is_a_sliding_window() -> None:
    """A slot frees 60 s after the upsert that took it; a throttled request takes none."""
    now_s = [0.0]
    store = store_with_clock(now_s)
    outcomes = []
    for now_s[0] in (0, 30, 59, 59.9, 60, 61, 90):
        outcomes.append(try_upsert(store))
    full = "rate_limit_error"
    assert outcomes == ["stored", "stored", full, full, "stored", full, "stored"]


def test_a_rejected_url_has_taken_a_slot() -> None:
    store = store_with_clock([0.0])
    outcomes = [try_upsert(store, source_url=url) for url in ("bad", "bad", "")]
    assert outcomes == ["invalid_request_error", "invalid_request_error", "rate_limit_error"]


def test_an_idle_connection_is_closed_after_five_seconds(local: LocalDust) -> None:
    address = ("127.0.0.1", local.port)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET /local HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        answered_s = time.monotonic()
        assert connection.recv(1) == b""
        assert 4 <= time.monotonic() - answered_s <= 7


def test_the_command_tells_where_it_listens_and_how_to_configure_for_it() -> None:
    command = [sys.executable, "-m", "integration_tests.local_dust", "--port", "0"]
    options = ["--key", "sk-x:w", "--data-source", "w/s/d", "--route-style", "hyphen"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout
            assert b"listens on http://127.0.0.1:" in process.stdout.readline()
            process.stdout.readline()
            config = json.loads(b"".join(process.stdout.readline() for _ in range(7)))
            assert config.pop("api_key") == "sk-x"
            path = f"{config['base_url']}/api/v1/w/w/spaces/s/data-sources/d/documents"
            key = {"Authorization": "Bearer sk-x"}
            requests.post(f"{path}/a", json={"text": "t"}, headers=key, timeout=10)
            (shown,) = requests.get(f"{config['base_url']}/local/documents", timeout=10).json()
            assert (shown["document_id"], shown["text"]) == ("a", "t")
            overview = requests.get(f"{config['base_url']}/local", timeout=10).json()
            assert overview == {"documents": 1, "tags": {}, "requests": 1}
        finally:
            process.terminate()
