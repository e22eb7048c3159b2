"""How a sync fails: with the reason, and without a STATE ahead of its data."""

from __future__ import annotations

import json

import pytest

from integration_tests import connector
from integration_tests.connector import USERS, record, state
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import Fault, LocalDust

SECRET = "a secret of the record"

QUOTA = Fault(
    status=403,
    body=json.dumps({"error": {"type": "workspace_quota_error", "message": "Full."}}).encode(),
)


def test_no_state_comes_out_after_a_failed_upsert(dust: LocalDust) -> None:
    """Nor does the log show the key or the contents of a record or a state."""
    dust.faults = iter([None, None, QUOTA])
    lines = [
        record("users", {"id": 1}),
        state(1),
        record("users", {"id": 2, "note": SECRET}),
        state(SECRET),
        record("users", {"id": 3}),
        state(3),
    ]
    run = connector.write(dust.config, USERS, lines, LOG_LEVEL="debug")

    assert run.exit_code == 1
    assert run.states == [state(1)]
    assert list(dust.documents) == ["users-1"]
    assert len(dust.requests) == 3
    assert run.error["failure_type"] == "config_error"
    assert run.error["stream_descriptor"] == {"name": "users"}
    assert run.error["message"].startswith(
        "Could not upsert document 'users-2' of stream 'users': Dust answered 403 "
        'workspace_quota_error, "Full." '
    )
    output = run.stdout + run.stderr
    assert SECRET.encode() not in output
    assert dust.config["api_key"].encode() not in output


def test_a_malformed_line_stops_the_sync_at_its_number(dust: LocalDust) -> None:
    truncated = record("users", {"id": 2, "note": SECRET})[:-20]
    lines = [b"", record("users", {"id": 1}), state(1), truncated, state(3)]
    run = connector.write(dust.config, USERS, lines)
    assert run.exit_code == 1
    assert run.states == [state(1)]
    assert list(dust.documents) == ["users-1"]
    assert run.error["failure_type"] == "system_error"
    assert run.error["message"].startswith("Line 4 of the input is a malformed message: ")
    assert run.logs("INFO")[-1].startswith("Sync failed after ")
    assert (run.logs("FATAL"), run.stderr) == ([], b"")
    assert b"Traceback" not in run.stdout
    assert SECRET.encode() not in run.stdout


def test_other_lines_between_messages_are_ignored(
    dust: LocalDust, caplog: pytest.LogCaptureFixture
) -> None:
    """BOM, CRLF, blank lines, other text, unknown types, unknown fields and meta values."""
    odd_record = record("users", {"id": 1}).replace(
        b'"record":{',
        b'"new":1,"record":{"meta":{"changes":[{"field":"a","change":"NEW","reason":"X"}]},',
    )
    lines = [
        b"\xef\xbb\xbf" + odd_record + b"\r",
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


def test_a_failure_gives_one_trace_with_its_cause_and_no_traceback(dust: LocalDust) -> None:
    """A traceback would only hide what the system said."""
    config = {**dust.config, "base_url": "https://localhost:1"}
    run = connector.write(config, USERS, [], REQUESTS_CA_BUNDLE="nowhere.pem")
    assert (run.exit_code, run.stderr) == (1, b"")
    assert run.error["message"].startswith("REQUESTS_CA_BUNDLE names 'nowhere.pem', ")
    assert "FileNotFoundError: [Errno 2] No such file" in run.error["stack_trace"]
    assert b"Traceback" not in run.stdout
