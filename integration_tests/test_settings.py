"""What the process prints of settings: a wrong one is named and never quoted.

It may be a whole request, with the key in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from integration_tests import connector
from integration_tests.connector import USERS, Run, catalog, record, state, stream
from integration_tests.local_dust import Fault, LocalDust

SECRET = "0123456789abcdef"
KEY = f"sk-{SECRET}"
REQUEST = f"curl https://dust.tt/api/v1/w/w1/spaces -H 'Authorization: Bearer {KEY}'"

WRONG = [
    pytest.param("data_source_id", REQUEST, id="request"),
    pytest.param("api_key", [KEY], id="key-in-a-list"),
]


def assert_names_and_quotes_nothing(run: Run, message: str, name: str) -> None:
    assert message.startswith(f"{name} ")
    assert SECRET.encode() not in run.stdout + run.stderr


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_check_of_a_wrong_setting_fails_without_quoting_it(
    dust: LocalDust, name: str, value: Any
) -> None:
    run = connector.check({**dust.config, name: value})
    assert run.exit_code == 0
    assert run.status["status"] == "FAILED"
    assert_names_and_quotes_nothing(run, run.status["message"], name)
    assert dust.requests == []


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_write_with_a_wrong_setting_fails_without_quoting_it(
    dust: LocalDust, name: str, value: Any
) -> None:
    lines = [record("users", {"id": 1}), state(1)]
    run = connector.write({**dust.config, name: value}, USERS, lines)
    assert run.exit_code == 1
    assert run.states == []
    assert run.error["failure_type"] == "config_error"
    assert_names_and_quotes_nothing(run, run.error["message"], name)
    assert dust.requests == []


def test_a_key_in_a_setting_of_no_meaning_is_masked_in_what_dust_answers(dust: LocalDust) -> None:
    body = {"error": {"type": "invalid_request_error", "message": f"You sent {KEY}."}}
    dust.faults = iter([Fault(status=400, body=json.dumps(body).encode())])
    run = connector.check({**dust.config, "proxy": {"headers": [f"Bearer {KEY}"]}})
    assert "You sent ****." in run.status["message"]
    assert SECRET.encode() not in run.stdout + run.stderr


def test_a_catalog_with_odd_parts_that_do_not_matter_is_synced(
    dust: LocalDust, tmp_path: Path
) -> None:
    users = stream("users", namespace="\0eu")
    users["stream"] |= {
        "json_schema": {"const": "\ud800", "maximum": 10**30},
        "supported_sync_modes": ["a mode of tomorrow"],
        "source_defined_primary_key": [["id"]],
    }
    (tmp_path / "catalog.json").write_text(json.dumps(catalog(users)), encoding="utf-8-sig")
    (tmp_path / "config.json").write_text(json.dumps(dust.config), encoding="utf-8")
    arguments = ["write", "--config", "config.json", "--catalog", "catalog.json"]
    lines = record("users", {"id": 1}, namespace="\0eu")
    run = connector.run(*arguments, stdin=lines, cwd=tmp_path)
    assert run.exit_code == 0
    assert list(dust.documents) == ["users-1"]
