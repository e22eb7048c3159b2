"""What the process reads of its settings, and that it prints no key, wherever the key is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from integration_tests import connector
from integration_tests.connector import Run, catalog, record, state, stream
from integration_tests.local_dust import LocalDust

SECRET = "0123456789abcdef"
KEY = f"sk-{SECRET}"
REQUEST = f"curl https://dust.tt/api/v1/w/w1/spaces -H 'Authorization: Bearer {KEY}'"
# Otherwise Python takes the C locale for one of UTF-8.
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def assert_prints_no_key(run: Run) -> None:
    assert SECRET.encode() not in run.stdout + run.stderr


def test_a_check_of_a_wrong_setting_fails_without_quoting_it(dust: LocalDust) -> None:
    run = connector.check({**dust.config, "data_source_id": REQUEST})
    assert run.exit_code == 0
    assert run.status["status"] == "FAILED"
    assert run.status["message"] == (
        "data_source_id must be only the id, such as dts_KtCBWtKdpmNc. Do not paste an address, a "
        "request or a key. It may have an invisible character from copying."
    )
    assert_prints_no_key(run)
    assert dust.requests == []


@pytest.mark.parametrize("host", ["dust.tt", "DUST.TT"])
def test_a_key_behind_the_base_url_is_refused_before_its_host_is_looked_up(host: str) -> None:
    """Neither is it printed in lower case, as a host is."""
    key = f"sk-{SECRET.upper()}"
    settings = {**LocalDust().config, "api_key": key, "base_url": f"https://{host}{key}"}
    run = connector.check(settings)
    assert run.exit_code == 0
    assert run.status["message"] == "base_url contains an API key. Remove it from there."
    assert SECRET.encode() not in (run.stdout + run.stderr).lower()


def test_a_file_whose_name_is_not_utf_8_is_named_in_any_locale() -> None:
    run = connector.run("check", "--config", os.fsdecode(b"caf\xe9.json"), **C_LOCALE)
    assert (run.exit_code, run.stderr) == (1, b"")
    assert run.error["message"].startswith(r"Could not read 'caf\\xe9.json': No such file ")


def test_settings_in_place_of_their_files_name_are_not_printed(dust: LocalDust) -> None:
    run = connector.run("check", "--config", json.dumps({**dust.config, "api_key": KEY}))
    assert (run.exit_code, run.stderr) == (1, b"")
    assert [message["type"] for message in run.messages] == ["TRACE"]
    assert run.error["failure_type"] == "config_error"
    assert_prints_no_key(run)


@pytest.mark.parametrize(
    "arguments",
    [pytest.param((), id="no command"), pytest.param(("check", "--api_key", KEY), id="a key")],
)
def test_wrong_arguments_are_answered_with_the_usage(arguments: tuple[str, ...]) -> None:
    run = connector.run(*arguments)
    assert (run.exit_code, run.stdout) == (2, b"")
    assert run.stderr.startswith(b"usage: main.py spec\n")
    assert_prints_no_key(run)


def test_files_in_utf_8_are_read_and_written_about_in_any_locale(
    dust: LocalDust, tmp_path: Path
) -> None:
    """With a byte order mark too, as editors on Windows write it."""
    eleves = stream("élèves", "id")
    eleves["stream"]["json_schema"] = {"const": "\ud800", "maximum": 10**30}
    files = {"config.json": {**dust.config, "note": "é"}, "catalog.json": catalog(eleves)}
    for name, content in files.items():
        text = json.dumps(content, ensure_ascii=name == "catalog.json")
        (tmp_path / name).write_text(text, encoding="utf-8-sig")

    run = connector.run(
        *("write", "--config", "config.json", "--catalog", "catalog.json"),
        stdin=record("élèves", {"id": 1}) + b"\n" + state(1),
        cwd=tmp_path,
        **C_LOCALE,
    )
    assert (run.exit_code, run.stderr) == (0, b"")
    assert run.states == [state(1)]
    assert len(dust.documents) == 1
    assert any("'élèves'" in line for line in run.logs("INFO"))
