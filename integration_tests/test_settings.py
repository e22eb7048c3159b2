"""What the process reads of its settings, and that it prints no key, wherever the key is."""

from __future__ import annotations

import json
import os
from pathlib import Path

from destination_dust import __version__
from integration_tests import connector
from integration_tests.connector import Run, catalog, record, state, stream
from integration_tests.local_dust import Fault, LocalDust

SECRET = "0123456789abcdef"
KEY = f"sk-{SECRET}"
REQUEST = f"curl https://dust.tt/api/v1/w/w1/spaces -H 'Authorization: Bearer {KEY}'"
# Otherwise Python takes the C locale for one of UTF-8.
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def assert_prints_no_key(run: Run) -> None:
    assert SECRET.encode() not in (run.stdout + run.stderr).lower()


def test_a_check_of_a_wrong_setting_fails_without_quoting_it(dust: LocalDust) -> None:
    """The CDK's own validation would quote it."""
    run = connector.check({**dust.config, "data_source_id": [REQUEST]})
    assert run.exit_code == 0
    assert run.status == {"status": "FAILED", "message": "data_source_id must be a string."}
    assert_prints_no_key(run)
    assert dust.requests == []


def test_a_key_in_any_setting_is_masked_in_what_dust_said(dust: LocalDust) -> None:
    body = {"error": {"type": "bad_request", "message": f"You sent {KEY} and abc."}}
    dust.faults = iter([Fault(status=400, body=json.dumps(body).encode())])
    run = connector.check({**dust.config, "headers": [{"x-key": f"Bearer {KEY}"}]})
    assert "You sent **** and abc." in run.status["message"]
    assert_prints_no_key(run)


def test_a_key_after_the_base_url_is_refused_before_its_host_is_looked_up() -> None:
    """Neither is it printed in lower case, as a host is."""
    key = f"sk-{SECRET.upper()}"
    settings = {**LocalDust().config, "api_key": key, "base_url": f"https://dust.tt{key}"}
    run = connector.check(settings)
    assert run.exit_code == 0
    assert run.status["message"] == "base_url contains an API key. Remove it from there."
    assert_prints_no_key(run)


def test_a_key_in_the_catalog_is_masked(dust: LocalDust) -> None:
    twice = catalog(stream(KEY), stream(KEY))
    run = connector.write({**dust.config, "api_key": KEY}, twice, [])
    assert (run.exit_code, run.stderr) == (1, b"")
    assert run.error["message"].startswith("Stream '****' is configured twice.")
    assert_prints_no_key(run)


def test_an_unknown_setting_gives_one_warning(dust: LocalDust) -> None:
    run = connector.check({**dust.config, "baseUrl": "https://eu.dust.tt"})
    assert run.exit_code == 0
    (warning,) = run.logs("WARN")
    assert warning.startswith("Unknown settings are ignored: 'baseUrl'. ")


def test_settings_in_place_of_the_name_of_their_file_are_not_printed(dust: LocalDust) -> None:
    run = connector.run("check", "--config", json.dumps({**dust.config, "api_key": KEY}))
    assert (run.exit_code, run.stderr) == (1, b"")
    assert [message["type"] for message in run.messages] == ["TRACE"]
    assert run.error["failure_type"] == "config_error"
    assert_prints_no_key(run)


def test_the_version_is_printed() -> None:
    run = connector.run("--version")
    assert (run.exit_code, run.stderr) == (0, b"")
    assert run.stdout.decode() == f"destination-dust {__version__}\n"


def test_spec_prints_the_settings_from_any_folder(tmp_path: Path) -> None:
    run = connector.run("spec", cwd=tmp_path)
    assert run.exit_code == 0
    (message,) = run.messages
    names = ["api_key", "workspace_id", "space_id", "data_source_id", "base_url"]
    assert list(message["spec"]["connectionSpecification"]["properties"]) == names


def test_a_file_whose_name_is_not_utf_8_is_named_in_any_locale() -> None:
    run = connector.run("check", "--config", os.fsdecode(b"caf\xe9.json"), **C_LOCALE)
    assert (run.exit_code, run.stderr) == (1, b"")
    assert run.error["message"].startswith(r"Could not read 'caf\\xe9.json': No such file ")


def test_files_in_utf_8_are_read_in_any_locale_and_folder(dust: LocalDust, tmp_path: Path) -> None:
    """With a byte order mark too, as editors on Windows write it."""
    eleves = stream("élèves", "id")
    files = {"config.json": {**dust.config, "note": "é"}, "catalog.json": catalog(eleves)}
    for name, content in files.items():
        text = json.dumps(content, ensure_ascii=False)
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
