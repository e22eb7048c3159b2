from __future__ import annotations

import sys
from pathlib import Path

import pytest

from destination_dust.command_line import parse_arguments, read_json_object
from destination_dust.errors import DustConfigError

KEY = "sk-hunter2"
SETTINGS = '{"api_key": "hunter2", "base_url": "https://dust.tt"}'


def refusal(path: str, option: str = "--config") -> str:
    """Return the message with which a file is refused."""
    with pytest.raises(DustConfigError) as refused:
        read_json_object(path, option)
    # What Airbyte shows of it. A cause would quote what was passed, or what is in the file.
    assert "hunter2" not in str(refused.value.as_airbyte_message().trace)
    assert refused.value.__context__ is None
    return str(refused.value)


# Arguments


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([KEY], id="unknown-command"),
        pytest.param(["check"], id="check-without-config"),
        pytest.param(["write", "--config", KEY], id="write-without-catalog"),
        pytest.param(["write", "--catalog", KEY], id="write-without-config"),
        pytest.param(["check", "--config", "c", f"--api_key={KEY}"], id="unknown-option"),
        pytest.param(["check", "--conf", KEY], id="abbreviated-option"),
    ],
)
def test_wrong_arguments_give_the_usage_and_are_not_repeated(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(arguments)
    printed = capsys.readouterr()
    program = Path(sys.argv[0]).name
    assert ended.value.code == 2
    assert printed.err == (
        f"usage: {program} spec\n"
        f"       {program} check --config FILE\n"
        f"       {program} write --config FILE --catalog FILE\n"
        f"       {program} --version\n"
        f"{program}: error: Wrong or missing arguments: see the usage above. They are not printed, "
        "because they may contain an API key.\n"
    )
    assert printed.out == ""


def test_the_help_describes_commands_and_files(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["check", "--help"])
    assert ended.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "check tries them, write" in printed
    assert "FILE a JSON file with the settings" in printed
    assert "FILE a JSON file with the configured catalog" in printed


# Files


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b'{"api_key": "hunter2"', "it is not JSON at line 1, column 22", id="cut"),
        pytest.param('{"api_key": "hunter2"}'.encode("utf-16"), "it is not UTF-8", id="utf-16"),
        pytest.param(b'["hunter2"]', "it must contain one JSON object", id="list"),
        pytest.param(
            b"[" * 100_000, "a number in it is too long, or its nesting is too deep", id="deep"
        ),
        pytest.param(
            b"9" * 5_000, "a number in it is too long, or its nesting is too deep", id="long-number"
        ),
    ],
)
def test_a_file_without_a_json_object_is_named_and_not_quoted(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "config.txt"
    path.write_bytes(content)
    assert refusal(str(path)) == (
        f"Could not read '{path}': {reason}. --config takes the path of a JSON file with the "
        "settings."
    )


@pytest.mark.parametrize(
    ("option", "content"), [("--config", "the settings"), ("--catalog", "the configured catalog")]
)
def test_a_missing_file_is_named(option: str, content: str) -> None:
    assert refusal("secrets/nowhere.json", option) == (
        "Could not read 'secrets/nowhere.json': No such file or directory. "
        f"{option} takes the path of a JSON file with {content}."
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("task-1/config.json", "'task-1/config.json'", id="name-with-the-letters-sk"),
        pytest.param(".", "'.'", id="folder"),
        pytest.param(SETTINGS * 100, "the file passed as --config", id="settings"),
        pytest.param("hunter2", "the file passed as --config", id="key-without-sk"),
        pytest.param(f"{KEY}.json", "the file passed as --config", id="key-before-an-extension"),
        pytest.param("config_sk-a.json", "the file passed as --config", id="after-an-underscore"),
        pytest.param("sk-exists", "the file passed as --config", id="file-named-like-a-key"),
    ],
)
def test_only_what_is_certainly_the_name_of_a_file_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sk-exists").write_text("hunter2", encoding="utf-8")
    assert refusal(path).startswith(f"Could not read {name}: ")
