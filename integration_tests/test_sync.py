"""Whole syncs: what arrives in Dust is what the source sent."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from integration_tests import connector
from integration_tests.connector import (
    USERS,
    catalog,
    record,
    state,
    stream,
    stream_status,
    users_with_states,
)
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import Fault, LocalDust
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


@pytest.mark.parametrize(("style", "extra"), [("underscore", 1), ("hyphen", 0), ("both", 0)])
def test_a_sync_tries_a_route_that_does_not_exist_at_most_once(style: str, extra: int) -> None:
    with LocalDust(route_style=style) as dust:
        done = sync(dust.config, USERS, users_with_states(range(20)))
        assert done.error is None
        assert len(dust.documents) == 20
        assert len(dust.requests) == 20 + extra


def test_write_prints_nothing_but_states_and_logs(dust: LocalDust) -> None:
    """Two lines of log: the summaries of the stream and of the sync."""
    run = connector.write(dust.config, USERS, [record("users", {"id": 1}), state(1)])
    assert Counter(message["type"] for message in run.messages) == {"STATE": 1, "LOG": 2}
    assert run.logs("INFO")[0].startswith("Stream 'users': 1 document upserted, ")
    assert run.logs("INFO")[1].startswith("Sync finished in ")
    assert run.stderr == b""


def test_the_text_is_the_record_as_indented_json_with_every_digit(dust: LocalDust) -> None:
    numbers = ["123456789012345678901234567890", "1.10", "-0", "-0.0", "1e400", "1E-7", "1" * 5000]
    data = r'{"z":"\u00e9 \ud83d\ude00","a":[],"id":1,"lone":"\ud800!","n":[' + ",".join(numbers)
    assert sync(dust.config, USERS, [record("users", f"{data}]}}")]).error is None
    lines = ",\n".join(f"    {number}" for number in numbers)
    assert dust.documents["users-1"]["text"] == (
        '{\n  "z": "é 😀",\n  "a": [],\n  "id": 1,\n  "lone": "\\ud800!",\n  "n": [\n'
        f"{lines}\n  ]\n}}"
    )


def test_records_of_unknown_streams_are_counted_and_not_stored(dust: LocalDust) -> None:
    ghost = record("ghosts", {"id": 1})
    run = connector.write(dust.config, USERS, [ghost, record("users", {"id": 1})])
    assert run.exit_code == 0
    assert list(dust.documents) == ["users-1"]
    (warning,) = run.logs("WARN")
    assert "'ghosts' is not in the configured catalog" in warning
    assert run.logs("INFO")[-1].endswith(
        ": 2 records, 1 upserted, 0 unchanged, 0 deleted, 1 not stored."
    )


def test_retries_and_waits_of_a_list_are_counted_for_the_sync_and_not_for_a_stream(
    dust: LocalDust, caplog: pytest.LogCaptureFixture
) -> None:
    """The list that finds stale documents is of the whole data source."""
    caplog.set_level("INFO", "airbyte")
    dust.faults = iter([Fault(status=503), Fault(status=429, headers={"Retry-After": "2"})])
    cleared = catalog({**stream("users", "id", mode="overwrite"), "sync_mode": "full_refresh"})
    assert sync(dust.config, cleared, [stream_status()]).error is None
    assert ", 0 retries, 0.0 s waited" in caplog.messages[-2]
    assert caplog.messages[-1].endswith(
        " 0 deleted. Lists of documents: 1 retry, 2.0 s waited for the rate limit."
    )
