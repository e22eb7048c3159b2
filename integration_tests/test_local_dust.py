"""The local Dust answers as the live one does; what the connector meets here is worth something."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import requests

from integration_tests.connector import ROOT
from integration_tests.local_dust import ApiKey, DataSource, Fault, LocalDust, Options
from integration_tests.local_dust.store import DustRefusal, DustStore

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
DOCUMENTS = "/api/v1/w/w1/spaces/vlt_1/data_sources/dts_1/documents"


@pytest.fixture
def local() -> Iterator[LocalDust]:
    with LocalDust(OPTIONS) as dust:
        yield dust


def ask(
    dust: LocalDust,
    method: str = "GET",
    path: str = DOCUMENTS,
    *,
    key: str = "Bearer sk-1",
    **rest: Any,
) -> requests.Response:
    url = dust.config["base_url"] + path
    return requests.request(method, url, headers={"Authorization": key}, timeout=10, **rest)


def upsert(dust: LocalDust, id_: str = "a", **body: Any) -> requests.Response:
    return ask(dust, "POST", f"{DOCUMENTS}/{id_}", json={"text": "t", **body})


def error_of(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["type"]


@pytest.mark.parametrize(
    ("key", "workspace", "expected"),
    [
        ("sk-0", "w1", (401, "invalid_api_key_error")),
        ("sk-2", "w1", (401, "workspace_auth_error")),
        ("sk-1", "w0", (404, "workspace_not_found")),
        ("sk-2", "w2", (403, "workspace_can_use_product_required_error")),
        ("sk-1", "w2", (403, "workspace_can_use_product_required_error")),
    ],
)
def test_authentication_comes_before_routing(
    local: LocalDust, key: str, workspace: str, expected: tuple[int, str]
) -> None:
    answer = ask(local, path=f"/api/v1/w/{workspace}/anything", key=f"Bearer {key}")
    assert error_of(answer) == expected


def test_head_is_an_unknown_method(local: LocalDust) -> None:
    assert ask(local, "HEAD").status_code == 404


@pytest.mark.parametrize(
    ("style", "statuses"), [("underscore", [200, 404]), ("hyphen", [404, 200]), ("both", [200] * 2)]
)
def test_the_route_style_is_an_option(style: str, statuses: list[int]) -> None:
    with LocalDust(OPTIONS, route_style=style) as dust:
        paths = [DOCUMENTS, DOCUMENTS.replace("data_sources", "data-sources")]
        assert [ask(dust, path=path).status_code for path in paths] == statuses


def test_a_read_shows_what_was_upserted(local: LocalDust) -> None:
    sent = {"title": " T ", "tags": ["x"], "timestamp": 1736365559000, "mime_type": "a/b"}
    assert upsert(local, source_url="HTTPS://Example.com", **sent).status_code == 200
    document = ask(local, path=f"{DOCUMENTS}/a").json()["document"]
    assert document == local.documents["a"]
    assert {name: document[name] for name in ("document_id", "text", *sent, "source_url")} == {
        "document_id": "a",
        "text": "t",
        "title": "T",
        "tags": ["x", "title:T"],
        "timestamp": 1736365559000,
        "mime_type": "a/b",
        "source_url": "https://example.com/",
    }


@pytest.mark.parametrize(
    ("body", "title", "tags"),
    [
        pytest.param({"title": "  "}, "a", ["title:a"], id="blank"),
        pytest.param({"tags": ["title: X "]}, "X", ["title: X "], id="among the tags"),
        pytest.param({"title": "T", "tags": ["title:X"]}, "T", ["title:X"], id="both"),
    ],
)
def test_a_title_falls_back_to_a_tag_and_then_to_the_id(
    local: LocalDust, body: dict[str, Any], title: str, tags: list[str]
) -> None:
    assert upsert(local, **body).status_code == 200
    assert (local.documents["a"]["title"], local.documents["a"]["tags"]) == (title, tags)


def test_a_deleted_document_is_gone(local: LocalDust) -> None:
    upsert(local)
    assert ask(local, "DELETE", f"{DOCUMENTS}/a").status_code == 200
    assert local.documents == {}


def test_a_body_that_is_not_declared_as_json_is_not_read(local: LocalDust) -> None:
    answer = ask(local, "POST", f"{DOCUMENTS}/a", data=b'{"text":"t"}')
    assert "`text` or `section` must be provided" in answer.json()["error"]["message"]


def listed(dust: LocalDust, query: str) -> list[str]:
    """Return the ids of a list, in its order."""
    config = dust.config
    path = (
        f"/api/v1/w/{config['workspace_id']}/spaces/{config['space_id']}"
        f"/data_sources/{config['data_source_id']}/documents?{query}"
    )
    documents = ask(dust, path=path, key=f"Bearer {config['api_key']}").json()["documents"]
    return [document["document_id"] for document in documents]


def fill(dust: LocalDust, timestamps: Iterable[int]) -> None:
    """Keep documents with the ids 0, 1, 2 and so on."""
    (source,) = dust.store.options.data_sources
    for id_, timestamp in enumerate(timestamps):
        body = {"text": "t", "timestamp": timestamp}
        dust.store.upsert(source, ApiKey(source.workspace_id), str(id_), body)


def test_the_list_is_newest_first(dust: LocalDust) -> None:
    """A small timestamp is in seconds."""
    fill(dust, [1736365559000, 1800000000000, 1700000000])
    assert listed(dust, "limit=3") == ["1", "0", "2"]
    assert dust.documents["2"]["timestamp"] == 1700000000000
    assert listed(dust, "limit=1&offset=1") == ["0"]
    assert listed(dust, "document_ids=2&document_ids=1&document_ids=nope") == ["1", "2"]


def test_a_list_without_a_limit_holds_ten(dust: LocalDust) -> None:
    fill(dust, [1736365559000] * 11)
    assert len(listed(dust, "")) == 10


@pytest.mark.parametrize("query", ["limit=-1", "limit=x", "offset=-1", "offset=1.5"])
def test_limit_and_offset_are_natural_numbers(local: LocalDust, query: str) -> None:
    assert error_of(ask(local, path=f"{DOCUMENTS}?{query}")) == (400, "invalid_request_error")


def test_the_list_stays_sorted_while_documents_come_and_go(dust: LocalDust) -> None:
    source = random.Random(1)
    fill(dust, (source.choice([10**12, 2 * 10**12, 3 * 10**12]) for _ in range(300)))
    fill(dust, (source.choice([10**12, 2 * 10**12, 3 * 10**12]) for _ in range(100)))
    for id_ in range(0, 300, 3):
        del dust.documents[str(id_)]
    page = dust.documents.page(limit=1000, offset=0)
    assert sorted(page, key=lambda document: -document["timestamp"]) == page
    assert {document["document_id"] for document in page} == set(dust.documents)
    assert len(page) == len(dust.documents) == 200


def test_equal_timestamps_are_listed_in_no_meaningful_order(dust: LocalDust) -> None:
    """Neither by id nor by age, but the same again."""
    fill(dust, [1736365559000] * 20)
    ids = [str(id_) for id_ in range(20)]
    once = listed(dust, "limit=20")
    assert once not in (ids, ids[::-1], sorted(ids), sorted(ids)[::-1])
    assert sorted(once) == sorted(ids)
    assert listed(dust, "limit=20") == once


def test_equal_timestamps_may_be_told_to_change_places() -> None:
    with LocalDust(Options(ties_move=True)) as dust:
        fill(dust, [1736365559000] * 20 + [1800000000000])
        lists = [listed(dust, "limit=21") for _ in range(2)]
    assert lists[0] != lists[1]
    assert sorted(lists[0]) == sorted(lists[1])
    assert lists[0][0] == lists[1][0] == "20"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"title": "😀" * 257}, (400, "invalid_request_error")),
        ({"tags": "x"}, (400, "invalid_request_error")),
        ({"timestamp": "now"}, (400, "invalid_request_error")),
        ({"timestamp": True}, (400, "invalid_request_error")),
        ({"light_document_output": None}, (400, "invalid_request_error")),
        ({"tags": ["a\0"]}, (500, "internal_server_error")),
        ({"text": "😀" * 501}, (403, "data_source_quota_error")),
    ],
)
def test_what_dust_refuses_is_refused(
    local: LocalDust, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert error_of(upsert(local, **body)) == expected
    assert local.documents == {}


@pytest.mark.parametrize(
    ("id_", "body"),
    [
        ("a", {"title": "😀" * 256}),
        ("a", {"source_url": ""}),
        ("a", {"text": "😀" * 500}),
        ("x" * 446, {}),
    ],
)
def test_what_dust_just_accepts_is_accepted(
    local: LocalDust, id_: str, body: dict[str, Any]
) -> None:
    assert upsert(local, id_, **body).status_code == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_only_a_key_that_may_write_writes_and_not_to_a_managed_data_source(
    local: LocalDust, method: str
) -> None:
    managed = DOCUMENTS.replace("dts_1", "dts_managed")
    body = {"text": "t"} if method == "POST" else None
    reader = ask(local, method, f"{DOCUMENTS}/a", key=f"Bearer {READER}", json=body)
    assert error_of(reader) == (403, "data_source_auth_error")
    to_managed = ask(local, method, f"{managed}/a", json=body)
    assert error_of(to_managed) == (403, "data_source_auth_error")


def test_a_full_workspace_takes_no_further_document(local: LocalDust) -> None:
    for id_ in ("a", "b", "c", "c"):
        assert upsert(local, id_).status_code == 200
    assert error_of(upsert(local, "d")) == (403, "workspace_quota_error")


def test_faults_may_be_chosen_by_the_request(local: LocalDust) -> None:
    local.faults = lambda request: Fault(status=503) if request.method == "DELETE" else None
    statuses = [ask(local, method, f"{DOCUMENTS}/a").status_code for method in ("DELETE", "GET")]
    assert statuses == [503, 400]


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
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
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
            (shown,) = requests.get(f"{config['base_url']}/local/documents", timeout=10).json()[
                "rows"
            ]
            assert shown["document_id"] == "a"
        finally:
            process.terminate()
