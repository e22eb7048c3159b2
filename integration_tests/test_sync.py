"""Whole syncs: what arrives in Dust is what the source sent."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from integration_tests import connector
from integration_tests.connector import (
    USERS,
    Message,
    catalog,
    record,
    state,
    stream,
    users_with_states,
)
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import LocalDust
from integration_tests.sample import FAKER_MESSAGES, read_catalog


def exact(text: str) -> Any:
    """Return parsed JSON with each number as it is written."""
    return json.loads(text, parse_int=lambda n: ("number", n), parse_float=lambda n: ("number", n))


def test_every_record_of_a_real_source_becomes_one_document(dust: LocalDust) -> None:
    """One request per record plus at most two, over one connection; every STATE byte for byte."""
    lines = FAKER_MESSAGES.read_bytes().splitlines()
    messages = [exact(line.decode()) for line in lines]
    records = [message["record"] for message in messages if message["type"] == "RECORD"]

    run = connector.write(dust.config, read_catalog(), lines)

    assert run.exit_code == 0, run.stderr
    assert len(records) == len(dust.documents) == 2100
    for sent in records:
        document = dust.documents[f"{sent['stream']}-{sent['data']['id'][1]}"]
        assert exact(document["text"]) == sent["data"]
        stream_tag, title_tag = document["tags"]
        assert stream_tag == f"airbyte:stream:{sent['stream']}"
        assert title_tag == f"title:{document['title']}"
        assert document["timestamp"] == int(sent["emitted_at"][1])
    pairs = zip(lines, messages, strict=True)
    assert run.states == [line for line, message in pairs if message["type"] == "STATE"]
    assert len(run.states) == 11
    assert len(dust.requests) <= 2100 + 2
    assert len({request.connection for request in dust.requests}) == 1


@pytest.mark.parametrize(("route_style", "extra"), [("underscore", 1), ("hyphen", 0), ("both", 0)])
def test_a_sync_asks_at_most_once_on_a_route_that_is_not_there(
    route_style: str, extra: int
) -> None:
    with LocalDust(route_style=route_style) as dust:
        done = sync(dust.config, USERS, users_with_states(range(20)))
        assert done.error is None
        assert len(dust.documents) == 20
        assert len(dust.requests) == 20 + extra


def test_write_says_nothing_but_states_and_logs(dust: LocalDust) -> None:
    """Three lines of the log: the route, and the summaries of the stream and of the sync."""
    run = connector.write(dust.config, USERS, [record("users", {"id": 1}), state(1)])
    assert Counter(message["type"] for message in run.messages) == {"STATE": 1, "LOG": 3}
    assert run.logs("INFO")[1].startswith("Stream 'users': 1 document upserted, ")
    assert run.logs("INFO")[2].startswith("Sync finished in ")
    assert run.stderr == b""


def test_a_record_is_upserted_again_under_the_same_id(dust: LocalDust) -> None:
    """Once per key: the later version of a record takes the place of the earlier one."""
    lines = [record("users", {"id": 1, "v": "old"}), record("users", {"id": 1, "v": "new"})]
    assert sync(dust.config, USERS, lines).error is None
    assert json.loads(dust.documents["users-1"]["text"]) == {"id": 1, "v": "new"}
    assert len(dust.documents) == 1


def test_numbers_keep_their_digits(dust: LocalDust) -> None:
    numbers = [
        "9007199254740993",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        "1.10",
        "-0",
        "-0.0",
        "1e400",
        "1E-7",
        "1" * 5000,
    ]
    sent = [f'{{"id":"{i}","a":{n},"b":[{{"c":{n}}}]}}' for i, n in enumerate(numbers)]
    done = sync(dust.config, USERS, [record("users", data) for data in sent])
    assert done.error is None
    for i, data in enumerate(sent):
        assert exact(dust.documents[f"users-{i}"]["text"]) == exact(data)


def test_text_is_the_record_as_indented_json(dust: LocalDust) -> None:
    data = r'{"z":"\u00e9 \ud83d\ude00","a":[],"id":1,"lone":"\ud800!"}'
    assert sync(dust.config, USERS, [record("users", data)]).error is None
    assert dust.documents["users-1"]["text"] == (
        '{\n  "z": "é 😀",\n  "a": [],\n  "id": 1,\n  "lone": "\\ud800!"\n}'
    )


def test_hostile_titles_and_urls_never_fail_a_sync(dust: LocalDust) -> None:
    """Dust refuses titles over 512 units and URLs it cannot parse: neither is sent."""
    lines = [
        record("users", {"id": 1, "title": "😀" * 400, "url": "https://example.com//double"}),
        record("users", r'{"id":2,"name":"\ud800 \u0000","url":"not a url","link":"http://[::1"}'),
        record("users", {"id": 3, "name": "Ann", "html_url": "https://example.com/ann"}),
    ]
    assert sync(dust.config, USERS, lines).error is None
    stored = dust.documents
    assert [stored[id_]["title"] for id_ in sorted(stored)] == ["😀" * 256, "\ufffd", "Ann"]
    assert [stored[id_]["source_url"] for id_ in sorted(stored)] == [
        None,
        None,
        "https://example.com/ann",
    ]


@pytest.mark.parametrize(
    ("streams", "records"),
    [
        pytest.param(
            [stream("users", "id")],
            [record("users", {"id": "a b"}), record("users", {"id": "a_b"})],
            id="a value that is sanitised",
        ),
        pytest.param(
            [stream("users", [["org"], ["id"]])],
            [
                record("users", {"org": "a-b", "id": "c"}),
                record("users", {"org": "a", "id": "b-c"}),
                record("users", {"org": "a", "id": ""}),
                record("users", {"org": "", "id": "a"}),
            ],
            id="hyphens and empty parts in a composite key",
        ),
        pytest.param(
            [stream("users", "id", namespace="eu"), stream("users", "id", namespace="us")],
            [
                record("users", {"id": 1}, namespace="eu"),
                record("users", {"id": 1}, namespace="us"),
            ],
            id="one name in two namespaces",
        ),
        pytest.param(
            [stream("users", "id"), stream("users-archive", "id")],
            [record("users", {"id": "archive-7"}), record("users-archive", {"id": 7})],
            id="a name that begins like another with a key",
        ),
        pytest.param(
            [stream("my users", "id"), stream("my_users", "id")],
            [record("my users", {"id": 1}), record("my_users", {"id": 1})],
            id="names that sanitise alike",
        ),
        pytest.param(
            [stream("users", "id")],
            [record("users", {"id": "x" * 300}), record("users", {"id": "x" * 299 + "y"})],
            id="keys beyond the longest id",
        ),
        pytest.param(
            [stream("users", "id")],
            [record("users", {"id": None, "v": 1}), record("users", {"v": 2})],
            id="records without their key",
        ),
        pytest.param(
            [stream("logs", namespace="eu"), stream("logs", namespace="us")],
            [
                record("logs", {"line": "same"}, namespace="eu"),
                record("logs", {"line": "same"}, namespace="us"),
            ],
            id="equal records without a key in two namespaces",
        ),
    ],
)
def test_different_records_never_share_a_document(
    dust: LocalDust, streams: list[Message], records: list[bytes]
) -> None:
    assert sync(dust.config, catalog(*streams), records).error is None
    assert len(dust.documents) == len(records)


def test_the_same_record_without_a_key_is_one_document(dust: LocalDust) -> None:
    """The id is a hash of what the data says, not of how it was written."""
    lines = [record("logs", '{"a":1,"b":[2]}'), record("logs", '{ "b" : [2], "a" : 1 }')]
    assert sync(dust.config, catalog(stream("logs")), lines).error is None
    assert len(dust.documents) == 1


def test_records_of_unknown_streams_are_counted_not_stored(dust: LocalDust) -> None:
    ghost = record("ghosts", {"id": 1})
    run = connector.write(dust.config, USERS, [ghost, ghost, record("users", {"id": 1})])
    assert run.exit_code == 0
    assert list(dust.documents) == ["users-1"]
    (warning,) = run.logs("WARN")
    assert "'ghosts' is not in the configured catalog" in warning
    assert any("'ghosts': 2 records not stored" in info for info in run.logs("INFO"))


def test_it_runs_from_any_folder(dust: LocalDust, tmp_path: Path) -> None:
    """With relative paths to settings and catalog, as in the README."""
    (tmp_path / "config.json").write_text(json.dumps(dust.config), encoding="utf-8")
    (tmp_path / "catalog.json").write_text(json.dumps(USERS), encoding="utf-8")
    arguments = ["write", "--config", "config.json", "--catalog", "catalog.json"]
    run = connector.run(*arguments, stdin=record("users", {"id": 1}), cwd=tmp_path)
    assert run.exit_code == 0
    assert list(dust.documents) == ["users-1"]


def test_spec_prints_the_settings(tmp_path: Path) -> None:
    run = connector.run("spec", cwd=tmp_path)
    assert run.exit_code == 0
    (message,) = run.messages
    assert list(message["spec"]["connectionSpecification"]["properties"]) == [
        "api_key",
        "workspace_id",
        "space_id",
        "data_source_id",
        "base_url",
    ]
