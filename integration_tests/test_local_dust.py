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
from blake3 import blake3

from integration_tests.connector import ROOT
from integration_tests.local_dust import ApiKey, DataSource, Fault, LocalDust, Options
from integration_tests.local_dust.store import DustRefusal, DustStore

HOME = DataSource("w1", "vlt_1", "dts_1")
MANAGED = DataSource("w1", "vlt_1", "dts_managed", is_managed=True)
OPTIONS = Options(
    api_keys={"sk-1": ApiKey("w1"), "sk-2": ApiKey("w2")},
    data_sources=(HOME, DataSource("w2", "vlt_2", "dts_2")),
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


@pytest.mark.parametrize("path", ["/", "/local/documents", DOCUMENTS])
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("LocalHost", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8899", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8899", 421),
        ("localhost:8899@evil.example", 421),
        ("", 421),
    ],
)
def test_only_loopback_names_are_served(
    local: LocalDust, path: str, host: str, status: int
) -> None:
    """A website whose own name leads to this machine reads no records (DNS rebinding)."""
    headers = {"Host": host, "Authorization": "Bearer sk-1"}
    answer = requests.get(local.config["base_url"] + path, headers=headers, timeout=10)
    assert answer.status_code == status


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


@pytest.mark.parametrize(
    ("sent", "title"),
    [("\ufeff T\u2003", "T"), ("\x1cT\x85", "\x1cT\x85"), ("\ufeff", "a")],
    ids=["JavaScript's white space", "Python's white space", "blank"],
)
def test_a_title_is_stripped_as_javascript_strips(local: LocalDust, sent: str, title: str) -> None:
    assert upsert(local, title=sent).status_code == 200
    assert local.documents["a"]["title"] == title
    assert local.documents["a"]["tags"] == [f"title:{title}"]


def hashed(*texts: str) -> str:
    return blake3("".join(texts).encode()).hexdigest()


def test_the_hash_covers_id_text_timestamp_tags_and_parents(local: LocalDust) -> None:
    """In seconds or milliseconds: the hash has the timestamp as it is stored."""
    body = {"text": "é", "title": " T ", "tags": ["x", "y"], "timestamp": 1736365559}
    answer = upsert(local, **body, mime_type="a/b", source_url="https://example.com").json()
    expected = hashed("a", "é", "1736365559000", "x", "y", "title:T", "a")
    assert answer["document"]["hash"] == expected
    assert local.documents["a"]["hash"] == expected


def test_the_hash_formula_is_an_option() -> None:
    options = Options(hash_formula=lambda document: f"other {document['text']}")
    with LocalDust(options) as dust:
        dust.put("a", text="t")
        assert dust.documents["a"]["hash"] == "other t"


def test_dusts_own_tags_are_hashed_and_kept_and_never_shown(local: LocalDust) -> None:
    local.put("a", system_tags=["__DUST_x"], text="before", timestamp=1736365559000)
    upsert(local, text="after", tags=["y"], timestamp=1736365559000)
    assert local.documents["a"]["tags"] == ["y", "title:a", "__DUST_x"]
    read = ask(local, path=f"{DOCUMENTS}/a").json()["document"]
    (listed,) = ask(local).json()["documents"]
    assert read["tags"] == listed["tags"] == ["y", "title:a"]
    expected = hashed("a", "after", "1736365559000", "y", "title:a", "__DUST_x", "a")
    assert read["hash"] == listed["hash"] == expected


def test_the_clock_is_an_option() -> None:
    """Also one of whole seconds, which the date of a response is in any case."""
    with LocalDust(Options(now_ms=lambda: 1736365559000)) as dust:
        dust.put("a")
        answer = ask(dust, path="/")
    document = dust.documents["a"]
    assert document["created"] == document["timestamp"] == 1736365559000
    assert answer.headers["Date"] == "Wed, 08 Jan 2025 19:45:59 GMT"


def test_a_deleted_document_is_gone(local: LocalDust) -> None:
    upsert(local)
    assert ask(local, "DELETE", f"{DOCUMENTS}/a").status_code == 200
    assert local.documents == {}


def test_a_delete_of_an_unknown_id_changes_nothing_and_succeeds(local: LocalDust) -> None:
    answer = ask(local, "DELETE", f"{DOCUMENTS}/airbyte.check.0")
    assert (answer.status_code, answer.json()["document"]["document_id"]) == (
        200,
        "airbyte.check.0",
    )
    assert local.documents.version == 0
    assert not any(local.store.activity["w1"].shown()["deletes"])


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
    for id_, timestamp in enumerate(timestamps):
        dust.put(str(id_), timestamp=timestamp)


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


LONG = "1" * 5000


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=x", "offset=-1", "offset=1.5", f"limit={LONG}", f"offset={LONG}"]
)
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


def test_equal_timestamps_may_be_ordered_page_by_page() -> None:
    """The pages together then miss some and repeat others, but each is the same again."""
    with LocalDust(Options(ties_differ_by_page=True)) as dust:
        fill(dust, [1736365559000] * 20)
        once, again = ([listed(dust, f"limit=10&offset={at}") for at in (0, 10)] for _ in range(2))
        whole = listed(dust, "limit=20")
    assert once == again
    assert len({*once[0], *once[1]}) < 20
    assert whole[:10] != once[0]
    assert len(set(whole)) == 20


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"title": "😀" * 257}, (400, "invalid_request_error")),
        ({"tags": "x"}, (400, "invalid_request_error")),
        ({"timestamp": "now"}, (400, "invalid_request_error")),
        ({"timestamp": True}, (400, "invalid_request_error")),
        ({"light_document_output": None}, (400, "invalid_request_error")),
        ({"tags": ["a\0"]}, (500, "internal_server_error")),
        ({"timestamp": 1e20}, (500, "internal_server_error")),
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


READ_ONLY = ApiKey("w1", can_write=False)
CONVERSATIONS = DataSource("w1", "vlt_1", "dts_1", is_managed=True, is_of_conversations=True)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("key", "source", "status", "said"),
    [
        (ApiKey("w1", can_read=False, can_write=False), CONVERSATIONS, 404, "data source"),
        (READ_ONLY, CONVERSATIONS, 404, "space"),
        (READ_ONLY, MANAGED, 403, "managed data source"),
        (READ_ONLY, HOME, 403, "not allowed to update"),
    ],
    ids=["read right", "conversations", "managed", "write right"],
)
def test_rights_are_checked_in_dusts_order(
    method: str, key: ApiKey, source: DataSource, status: int, said: str
) -> None:
    """Each of these would be refused by the later checks as well."""
    with LocalDust(Options(api_keys={"sk-1": key}, data_sources=(source,))) as dust:
        path = f"{DOCUMENTS.replace('dts_1', source.id)}/a"
        answer = ask(dust, method, path, json={"text": "t"})
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


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
    """A slot frees 60 s after the upsert that took it; a rate-limited request takes none."""
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
