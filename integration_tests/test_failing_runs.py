"""How the process of a sync fails: with the reason, and without a STATE ahead of its data."""

from __future__ import annotations

import json

import pytest

from integration_tests import connector
from integration_tests.connector import USERS, catalog, record, state, stream
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import Fault, LocalDust

SECRET = "a secret of the record"

QUOTA = Fault(
    status=403,
    body=json.dumps({"error": {"type": "workspace_quota_error", "message": "Full."}}).encode(),
)


def test_no_state_comes_out_after_a_failed_upsert(dust: LocalDust) -> None:
    """Records, a failing upsert, a state: that state must not come out."""
    dust.faults = iter([None, None, QUOTA])
    lines = [
        record("users", {"id": 1}),
        state(1),
        record("users", {"id": 2, "note": SECRET}),
        state(2),
        record("users", {"id": 3}),
        state(3),
    ]
    run = connector.write(dust.config, USERS, lines)

    assert run.exit_code == 1
    assert run.states == [state(1)]
    assert list(dust.documents) == ["users-1"]
    assert len(dust.requests) == 3
    assert run.error["failure_type"] == "config_error"
    assert run.error["stream_descriptor"] == {"name": "users"}
    assert run.error["message"] == (
        "Could not upsert document 'users-2' of stream 'users': Dust answered 403 "
        'workspace_quota_error, "Full." The workspace\'s storage is full: delete documents in '
        "Dust or ask for a larger plan."
    )


def test_neither_key_nor_record_contents_show_in_a_failure(dust: LocalDust) -> None:
    dust.faults = iter([None, QUOTA])
    run = connector.write(
        dust.config,
        USERS,
        [record("users", {"id": 1, "note": SECRET}), state(SECRET)],
        LOG_LEVEL="debug",
    )
    assert run.exit_code == 1
    output = run.stdout + run.stderr
    assert SECRET.encode() not in output
    assert dust.config["api_key"].encode() not in output


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=200, body=b"<html>Sign in</html>"), id="200 with HTML"),
        pytest.param(Fault(ending="reset"), id="connection reset"),
    ],
)
def test_a_passing_fault_costs_a_retry_and_nothing_else(
    dust: LocalDust, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    dust.faults = iter([None, None, fault])
    lines = [record("users", {"id": 1}), record("users", {"id": 2}), state(2)]
    done = sync(dust.config, USERS, lines)
    assert done.error is None
    assert done.states == [state(2)]
    assert sorted(dust.documents) == ["users-1", "users-2"]
    assert len(dust.requests) == 4
    assert len(done.waits_s) == 1
    assert "Retry 1 in " in caplog.text


def test_a_bad_line_stops_the_sync_at_its_number(dust: LocalDust) -> None:
    truncated = record("users", {"id": 2, "note": SECRET})[:-20]
    lines = [b"", record("users", {"id": 1}), state(1), truncated, state(3)]
    run = connector.write(dust.config, USERS, lines)
    assert run.exit_code == 1
    assert run.states == [state(1)]
    assert list(dust.documents) == ["users-1"]
    assert run.error["failure_type"] == "system_error"
    assert run.error["message"].startswith(
        "Line 4 of the input is a malformed message: it is not JSON"
    )
    assert run.logs("INFO")[-1].startswith("Sync failed after ")
    assert (run.logs("FATAL"), run.stderr) == ([], b"")
    assert b"Traceback" not in run.stdout
    assert SECRET.encode() not in run.stdout


def test_noise_between_messages_is_ignored(
    dust: LocalDust, caplog: pytest.LogCaptureFixture
) -> None:
    """BOM, CRLF, blank lines, stray text, unknown types, unknown fields and meta values."""
    noisy_record = record("users", {"id": 1}).replace(
        b'"record":{',
        b'"new":1,"record":{"meta":{"changes":[{"field":"a","change":"NEW","reason":"X"}]},',
    )
    lines = [
        b"\xef\xbb\xbf" + noisy_record + b"\r",
        b"  ",
        b"Traceback (most recent call last):",
        b"5",
        b"[]",
        b'{"no":"type"}',
        b'{"type":"FUTURE","future":{}}',
        b'{"type":"TRACE","trace":{"type":"NEW"}}',
        state(1) + b"\r",
    ]
    done = sync(dust.config, USERS, lines)
    assert done.error is None
    assert done.states == [state(1)]
    assert list(dust.documents) == ["users-1"]
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "Line 3 of the input is not an Airbyte message: ignored.",
        "4 lines of the input were not Airbyte messages: ignored.",
    ]


def test_a_stream_that_cannot_be_written_fails_before_anything_is(dust: LocalDust) -> None:
    tomorrow = catalog(stream("users", "id", mode="a mode of tomorrow"))
    run = connector.write(dust.config, tomorrow, [record("users", {"id": 1})])
    assert run.exit_code == 1
    assert run.error["failure_type"] == "config_error"
    assert "Stream 'users' has the sync mode 'a mode of tomorrow'" in run.error["message"]
    assert dust.requests == []
