"""The connector as the CDK sees it: spec, check and write."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_mock
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    ConfiguredAirbyteCatalog,
    DestinationSyncMode,
    FailureType,
    Status,
    Type,
)
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from destination_dust.destination import CHECK_TIME_LIMIT_S, DestinationDust
from destination_dust.errors import DustError
from destination_dust.stream import Stream
from unit_tests.builders import USERS, catalog_of, configured, record_of
from unit_tests.clock import Clock

CONFIG = {
    "api_key": " sk-very-secret\n",
    "workspace_id": "w1",
    "space_id": "vlt_1",
    "data_source_id": "dts_1",
}
DOCUMENTS = "https://dust.tt/api/v1/w/w1/spaces/vlt_1/data-sources/dts_1/documents"
LOGGER = logging.getLogger("airbyte")


def catalog(mode: DestinationSyncMode = DestinationSyncMode.append) -> ConfiguredAirbyteCatalog:
    return catalog_of(configured("users", primary_key=[["id"]], mode=mode))


def record(id_: object, stream: Stream = USERS) -> AirbyteMessage:
    message = record_of(stream, {"id": id_, "note": "hidden"})
    return AirbyteMessage(type=Type.RECORD, record=message)


def state() -> AirbyteMessage:
    return AirbyteMessage(type=Type.STATE)


def accept(http: requests_mock.Mocker, *ids: str) -> None:
    for id_ in ids:
        http.post(f"{DOCUMENTS}/{id_}", json={"document": {"hash": f"hash of {id_}"}})


def write(
    *messages: AirbyteMessage, catalog_: ConfiguredAirbyteCatalog | None = None
) -> Iterator[AirbyteMessage]:
    return iter(DestinationDust().write(CONFIG, catalog_ or catalog(), list(messages)))


def test_write_yields_the_states_and_nothing_else(http: requests_mock.Mocker) -> None:
    accept(http, "users-1", "users-2")
    first, second = state(), state()
    log = AirbyteMessage(type=Type.LOG)
    yielded = list(write(record(1), first, log, record(2), second))
    assert [id(message) for message in yielded] == [id(first), id(second)]


def test_a_state_is_yielded_once_all_before_it_is_stored(http: requests_mock.Mocker) -> None:
    """And before anything after it is sent: write() is lazy."""
    accept(http, "users-1", "users-2", "users-3")
    yielded = write(record(1), record(2), state(), record(3), state())
    next(yielded)
    assert [request.path.rpartition("/")[2] for request in http.request_history] == [
        "users-1",
        "users-2",
    ]


def test_no_state_follows_a_record_that_could_not_be_stored(http: requests_mock.Mocker) -> None:
    accept(http, "users-1")
    http.post(f"{DOCUMENTS}/users-2", status_code=403)
    before, after = state(), state()
    yielded = write(record(1), before, record(2), after)
    assert next(yielded) is before
    with pytest.raises(RuntimeError, match="users-2"):
        next(yielded)
    assert list(yielded) == []


def test_a_catalog_that_cannot_be_written_sends_nothing(http: requests_mock.Mocker) -> None:
    unknown = catalog("a mode of tomorrow")  # type: ignore[arg-type]
    with pytest.raises(DustError, match="a mode of tomorrow") as failed:
        list(write(record(1), catalog_=unknown))
    assert failed.value.failure_type is FailureType.config_error
    assert http.call_count == 0


def test_streams_that_change_each_others_ids_are_named_before_anything_is_written(
    http: requests_mock.Mocker, caplog: pytest.LogCaptureFixture
) -> None:
    both = catalog_of(configured("users"), configured("users-archive"))
    with caplog.at_level(logging.INFO, "airbyte"):
        next(write(state(), catalog_=both))
    named = [r for r in caplog.records if "'users', 'users-archive'" in r.getMessage()]
    assert [record.levelname for record in named] == ["INFO"]
    assert http.call_count == 0


def test_the_summary_comes_also_when_the_sync_fails(
    http: requests_mock.Mocker, caplog: pytest.LogCaptureFixture
) -> None:
    accept(http, "users-1")
    http.post(f"{DOCUMENTS}/users-2", status_code=403)
    with caplog.at_level(logging.INFO, "airbyte"), pytest.raises(DustError):
        list(write(record(1), record(2)))
    assert caplog.messages[-1].startswith("Sync failed after ")
    assert "hidden" not in caplog.text


def accept_check(http: requests_mock.Mocker) -> None:
    """Have Dust list documents, and delete the one that a check asks for."""
    http.get(DOCUMENTS, json={"documents": [], "total": 0})
    http.delete(
        re.compile(rf"{DOCUMENTS}/airbyte\.check\.[0-9a-f]{{16}}\Z"),
        json=lambda request, _: {"document": {"document_id": request.path.rpartition("/")[2]}},
    )


def test_a_check_that_lists_documents_and_may_delete_one_succeeds(
    http: requests_mock.Mocker,
) -> None:
    accept_check(http)
    status = DestinationDust().check(LOGGER, CONFIG)
    assert status.status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param({"status_code": 401}, "Check api_key", id="refused"),
        pytest.param({"text": "<html>"}, "not as Dust does", id="no JSON"),
        pytest.param({"json": {"documents": {}}}, "not as Dust does", id="no list"),
        pytest.param({"exc": requests.exceptions.ReadTimeout}, "timed out", id="timeout"),
    ],
)
def test_a_check_that_fails_says_why(
    http: requests_mock.Mocker, waits: list[float], answer: dict[str, Any], said: str
) -> None:
    http.get(DOCUMENTS, **answer)
    status = DestinationDust(sleep=waits.append).check(LOGGER, CONFIG)
    assert status.status is Status.FAILED
    assert said in (status.message or "")


@pytest.mark.parametrize("config", [{}, {**CONFIG, "space_id": 5}, {**CONFIG, "api_key": "a b"}])
def test_a_check_of_bad_settings_fails_without_a_request(
    http: requests_mock.Mocker, config: dict[str, Any]
) -> None:
    status = DestinationDust().check(LOGGER, config)
    assert status.status is Status.FAILED
    assert http.call_count == 0


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "15"}], ids=["backoff", "Retry-After"])
def test_a_check_gives_up_before_the_user_at_the_form_does(
    http: requests_mock.Mocker, clock: Clock, headers: dict[str, str]
) -> None:
    """Also when each request takes as long as it may: then it can say why the last one failed."""

    def at_the_last_moment(request: Any, _context: object) -> str:
        clock.now_s += request.timeout[1]
        return ""

    http.get(DOCUMENTS, status_code=503, headers=headers, text=at_the_last_moment)
    began_s = clock()
    status = DestinationDust(clock=clock, sleep=clock.sleep).check(LOGGER, CONFIG)
    assert "answered 503" in str(status.message)
    assert clock() - began_s < CHECK_TIME_LIMIT_S - 15


def test_a_check_never_raises(http: requests_mock.Mocker) -> None:
    http.get(DOCUMENTS, exc=KeyError)
    status = DestinationDust().check(LOGGER, CONFIG)
    assert status.status is Status.FAILED
    assert "KeyError" in (status.message or "")


def test_the_key_is_known_to_the_secret_filter(http: requests_mock.Mocker) -> None:
    """As it is sent, without the white space around it: the CDK knows at most the raw one."""
    accept_check(http)
    DestinationDust().check(LOGGER, CONFIG)
    assert filter_secrets("key=sk-very-secret.") == "key=****."


@pytest.mark.parametrize("key", ['sk-with"quote', "sk-with\\backslash"])
def test_a_key_that_json_escapes_is_masked_in_a_failure(
    http: requests_mock.Mocker, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    """The CDK looks for the key in the line of JSON, where it stands with escapes."""
    body = {"error": {"type": "bad_request", "message": f"You sent {key}."}}
    http.post(f"{DOCUMENTS}/users-1", json=body, status_code=400)
    with pytest.raises(DustError) as failed:
        list(DestinationDust().write({**CONFIG, "api_key": key}, catalog(), [record(1)]))
    assert "You sent ****." in str(failed.value.message)
    failed.value.emit_message()
    assert "sk-with" not in capsys.readouterr().out


def run_check(tmp_path: Path, config: object) -> AirbyteConnectionStatus:
    """Return what the check command answers to these settings."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    destination = DestinationDust()
    (message,) = destination.run_cmd(destination.parse_args(["check", "--config", str(path)]))
    assert message.connectionStatus is not None
    return message.connectionStatus


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"api_key": ["sk-hunter2"]}, "api_key must be a string.", id="list"),
        pytest.param({"space_id": 4711}, "space_id must be a string.", id="number"),
        pytest.param({"base_url": 5}, "base_url must be a string.", id="base-url"),
        pytest.param(
            {"data_source_id": "curl https://dust.tt -H 'Authorization: Bearer sk-hunter2'"},
            "data_source_id must be only the id, such as dts_KtCBWtKdpmNc. Do not paste an "
            "address, a request or a key. It may have an invisible character from copying.",
            id="request",
        ),
    ],
)
def test_the_check_command_names_a_wrong_setting_in_words_of_the_connector(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    """Those of the CDK quote it."""
    status = run_check(tmp_path, {**CONFIG, **change})
    assert (status.status, status.message) == (Status.FAILED, said)


def test_the_check_command_names_a_missing_setting(tmp_path: Path) -> None:
    config = {name: value for name, value in CONFIG.items() if name != "space_id"}
    assert run_check(tmp_path, config).message == "space_id is missing or blank: it is required."


@pytest.mark.parametrize("name", ["workspace_id", "space_id", "data_source_id", "base_url"])
def test_the_check_command_takes_values_with_white_space_around_them(
    http: requests_mock.Mocker, tmp_path: Path, name: str
) -> None:
    accept_check(http)
    config = {**CONFIG, "base_url": "https://dust.tt"}
    status = run_check(tmp_path, {**config, name: f"\r\n {config[name]}\n"})
    assert status.status is Status.SUCCEEDED


def test_a_key_in_whatever_setting_is_masked_in_what_dust_said(
    http: requests_mock.Mocker, tmp_path: Path
) -> None:
    body = {"error": {"type": "bad_request", "message": "You sent sk-nested and abc."}}
    http.get(DOCUMENTS, json=body, status_code=400)
    status = run_check(tmp_path, {**CONFIG, "headers": [{"x-key": "Bearer sk-nested"}]})
    assert "You sent **** and abc." in (status.message or "")


def test_a_key_too_short_to_be_one_masks_nothing(
    http: requests_mock.Mocker, tmp_path: Path
) -> None:
    body = {"error": {"type": "bad_request", "message": "A bad cab."}}
    http.get(DOCUMENTS, json=body, status_code=400)
    status = run_check(tmp_path, {**CONFIG, "api_key": "a"})
    assert "A bad cab." in (status.message or "")


def test_a_write_with_a_wrong_setting_sends_nothing(http: requests_mock.Mocker) -> None:
    config = {**CONFIG, "space_id": "https://dust.tt/w/w1/spaces/vlt_1"}
    with pytest.raises(DustError, match=r"^space_id must be only the id, such as ") as failed:
        list(DestinationDust().write(config, catalog(), [record(1)]))
    assert failed.value.failure_type is FailureType.config_error
    assert http.call_count == 0


# The process


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Runs a command that fails by a DustError, and returns what the only TRACE holds."""
    # The CDK replaces it.
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(*arguments: str) -> dict[str, Any]:
        with pytest.raises(SystemExit) as ended:
            DestinationDust(sleep=lambda _: None).run(list(arguments))
        assert ended.value.code == 1
        printed = capfd.readouterr()
        assert "Traceback" not in printed.out + printed.err
        assert "very-secret" not in printed.out + printed.err
        messages = [json.loads(line) for line in printed.out.splitlines()]
        (error,) = (message["trace"]["error"] for message in messages if message["type"] == "TRACE")
        return dict(error)

    return run


@pytest.fixture
def run_write(
    run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., dict[str, Any]]]:
    """Runs a write of streams and lines that fails, and returns what the only TRACE holds."""
    config, catalog_, lines = (tmp_path / name for name in ("config.json", "catalog.json", "lines"))
    config.write_text(json.dumps(CONFIG), encoding="utf-8")
    lines.touch()

    def run_write(streams: list[Any], content: bytes = b"") -> dict[str, Any]:
        catalog_.write_text(json.dumps({"streams": streams}), encoding="utf-8")
        lines.write_bytes(content)
        return run("write", "--config", str(config), "--catalog", str(catalog_))

    with lines.open(encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield run_write


@pytest.mark.parametrize(
    ("file", "said"),
    [
        pytest.param("nowhere.json", "Could not read 'nowhere.json': ", id="missing"),
        pytest.param(json.dumps(CONFIG), "Could not read the file passed as ", id="settings"),
        pytest.param("sk-very-secret", "Could not read the file passed as ", id="key"),
    ],
)
def test_a_file_that_cannot_be_read_gives_one_config_error_and_no_traceback(
    run: Callable[..., dict[str, Any]], file: str, said: str
) -> None:
    error = run("check", "--config", file)
    assert error["failure_type"] == "config_error"
    assert error["message"].startswith(said)


def test_a_wrong_setting_of_a_write_gives_one_config_error_and_no_traceback(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "files.json"
    path.write_text(json.dumps({**CONFIG, "api_key": ["sk-very-secret"], "streams": []}))
    error = run("write", "--config", str(path), "--catalog", str(path))
    assert error["failure_type"] == "config_error"
    assert error["message"] == "api_key must be a string."


def stream_named(name: str, **changes: Any) -> dict[str, Any]:
    """Return a configured stream as it stands in the catalog's file."""
    return {
        "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
        "sync_mode": "full_refresh",
        "destination_sync_mode": "append_dedup",
        "primary_key": [["id"]],
        **changes,
    }


KEY = "sk-very-secret"


@pytest.mark.parametrize(
    ("streams", "said"),
    [
        pytest.param([KEY], "wrong type at streams/0.", id="stream"),
        pytest.param([stream_named(KEY)] * 2, "Stream '****' is configured twice.", id="name"),
        pytest.param(
            [stream_named("users", destination_sync_mode=KEY)],
            "Stream 'users' has the sync mode '****', ",
            id="sync-mode",
        ),
        pytest.param(
            [stream_named("users", primary_key=[KEY])],
            "The primary key of stream 'users' is not a list of paths",
            id="primary-key",
        ),
    ],
)
def test_the_key_is_not_printed_wherever_the_catalog_holds_it(
    run_write: Callable[..., dict[str, Any]], streams: list[Any], said: str
) -> None:
    error = run_write(streams)
    assert error["failure_type"] == "config_error"
    assert said in error["message"]


def test_a_broken_connection_of_a_write_gives_one_transient_error_and_no_traceback(
    http: requests_mock.Mocker, run_write: Callable[..., dict[str, Any]]
) -> None:
    """Though with what the system said of it, for whoever has to find out why."""
    http.post(f"{DOCUMENTS}/users-1", exc=requests.ConnectionError("No route to host"))
    line = b'{"type":"RECORD","record":{"stream":"users","data":{"id":1},"emitted_at":5}}'
    error = run_write([stream_named("users")], line)
    assert error["failure_type"] == "transient_error"
    assert error["stream_descriptor"] == {"name": "users"}
    assert error["message"] == (
        "Could not upsert document 'users-1' of stream 'users': the connection to dust.tt broke. "
        "Check base_url, and the network and proxy settings of the machine this runs on."
    )
    assert "ConnectionError: No route to host\n" in error["stack_trace"]


def test_a_malformed_line_of_a_write_gives_one_system_error_and_no_traceback(
    run_write: Callable[..., dict[str, Any]],
) -> None:
    error = run_write([stream_named("users")], b'{"type":"RECORD"}')
    assert error["failure_type"] == "system_error"
    assert error["message"] == (
        "Line 1 of the input is a malformed message: it is a RECORD without a 'record' object. The "
        "sync stops here, so that no record is lost: check the source that wrote it."
    )
