from __future__ import annotations

import json
from typing import Any

import pytest
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from destination_dust.config import ID_EXAMPLES, DustConfig, register_secrets, secrets_in
from destination_dust.errors import DustConfigError

KEY = "sk-hunter2"
IDS = {"workspace_id": "w1", "space_id": "vlt_1", "data_source_id": "dts_1"}


def config(**changes: Any) -> DustConfig:
    return DustConfig.from_mapping({"api_key": KEY, **IDS, **changes})


def refusal(**changes: Any) -> str:
    """Return the message with which the settings are refused."""
    with pytest.raises(DustConfigError) as refused:
        config(**changes)
    # What Airbyte logs of it.
    assert "hunter2" not in str(refused.value.as_airbyte_message().trace)
    return str(refused.value)


def test_the_settings_are_read_and_the_base_url_is_dusts_own_when_there_is_none() -> None:
    assert config() == DustConfig(api_key=KEY, **IDS, base_url="https://dust.tt")


@pytest.mark.parametrize("name", ["api_key", *IDS, "base_url"])
def test_white_space_around_a_value_is_dropped(name: str) -> None:
    value = {"api_key": KEY, **IDS, "base_url": "https://eu.dust.tt"}[name]
    assert getattr(config(**{name: f" \t{value}\r\n"}), name) == value


@pytest.mark.parametrize("name", ["api_key", *IDS])
def test_a_required_value_must_not_be_missing_or_blank(name: str) -> None:
    for value in ("", " \n", None):
        assert refusal(**{name: value}) == f"{name} is required."
    settings = {"api_key": KEY, **IDS}
    del settings[name]
    with pytest.raises(DustConfigError, match=f"^{name} is required"):
        DustConfig.from_mapping(settings)


@pytest.mark.parametrize("name", ["api_key", *IDS, "base_url"])
@pytest.mark.parametrize("value", [5, ["hunter2"], {"hunter2": 1}, True])
def test_a_value_must_be_a_string(name: str, value: Any) -> None:
    assert refusal(**{name: value}) == f"{name} must be a string."


@pytest.mark.parametrize(
    "value",
    [
        "/w/hunter2",
        "my hunter2",
        "Bearer:sk-hunter2",
        "sk-hunter2",
        "hunter2?",
        "hunter2\u200b",
        "hunter2\x00",
        "hunter2\ud800",
    ],
    ids=ascii,
)
@pytest.mark.parametrize(("name", "example"), ID_EXAMPLES.items())
def test_what_cannot_be_an_id_is_refused_without_quoting_it(
    name: str, example: str, value: str
) -> None:
    """It may be a whole request that contains the key."""
    assert refusal(**{name: value}) == (
        f"{name} must be only the id, such as {example}. Do not paste an address, a request or a "
        "key. It may contain an invisible character that was copied along."
    )


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("value", ["0ec9852c2f", "dts_KtCBWtKdpmNc", "managed-notion", "task-1"])
def test_an_id_may_have_letters_digits_underscores_and_hyphens(name: str, value: str) -> None:
    assert getattr(config(**{name: value}), name) == value


@pytest.mark.parametrize(
    "key",
    ["Bearer hunter2", "hunter2\nX-Evil: 1", "hunter2\x7fend", "hunter2é", "hunter2\ud800"],
    ids=ascii,
)
def test_a_key_that_could_not_be_a_header_value_is_refused_and_never_shown(key: str) -> None:
    assert refusal(api_key=key) == (
        "api_key contains whitespace, control or non-ASCII characters; no Dust key does. Paste the "
        "key alone (sk-...), without 'Bearer' or quotation marks."
    )


def test_a_key_may_have_any_printable_ascii_character() -> None:
    key = "".join(map(chr, range(0x21, 0x7F)))
    assert config(api_key=key).api_key == key


def test_the_repr_of_the_settings_does_not_contain_the_key() -> None:
    assert "hunter2" not in repr(config())
    assert "vlt_1" in repr(config())


# base_url


@pytest.mark.parametrize(
    ("entered", "used"),
    [
        (" \n", "https://dust.tt"),
        (None, "https://dust.tt"),
        ("https://eu.dust.tt/", "https://eu.dust.tt"),
        ("HTTPS://EU.Dust.TT", "https://eu.dust.tt"),
        ("https://dust.tt:443", "https://dust.tt"),
        ("https://dust.example:8443/", "https://dust.example:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://task-force.example", "https://task-force.example"),
    ],
)
def test_a_base_url_is_scheme_and_host_without_a_trailing_slash(
    entered: str | None, used: str
) -> None:
    assert config(base_url=entered).base_url == used


REFUSALS = {
    "http": "base_url must begin with https://: over http:// the key would travel unencrypted. "
    "http:// is allowed only for this machine (localhost, 127.0.0.1).",
    "scheme": "base_url must begin with https://, as in https://dust.tt.",
    "no-url": "base_url is not a URL such as https://dust.tt or https://eu.dust.tt.",
    "user": "base_url must not hold a user name or password.",
    "path": "base_url must not have a path or query. Use https://dust.tt (US) or "
    "https://eu.dust.tt (Europe).",
    "key": "base_url must be a URL such as https://dust.tt, not a key.",
}


@pytest.mark.parametrize(
    ("reason", "url"),
    [
        ("http", "http://dust.tt"),
        ("http", "http://10.0.0.1:3000"),
        ("http", "http://localhost.example"),
        ("http", "http://127.0.0.1.example"),
        ("scheme", "ftp://dust.tt"),
        ("scheme", "localhost:3000"),
        ("no-url", "hunter2.example"),
        ("no-url", "https://"),
        ("no-url", "https://user:hunter2@dust.tt:99999"),
        ("no-url", "https://hunter2.tt\ud800"),
        ("user", "https://hunter2@dust.tt"),
        ("user", "https://:hunter2@dust.tt"),
        ("path", "https://dust.tt/api"),
        ("path", "https://dust.tt?key=hunter2"),
        ("path", "https://dust.tt#hunter2"),
        ("path", "https://dust.tt\\@evil.example"),
        ("key", "https://sk-Hunter2"),
    ],
)
def test_another_base_url_is_refused_without_quoting_it(reason: str, url: str) -> None:
    assert refusal(base_url=url) == REFUSALS[reason]


# Keys in other settings

KEY_OF_ANOTHER = "sk-" + "aBcDeFgHiJ" * 2


@pytest.mark.parametrize(
    ("name", "value", "api_key"),
    [
        ("base_url", "https://dust.ttsk-ABCdef0123", "sk-ABCdef0123"),
        ("base_url", "https://DUST.TTSK-ABCDEF0123", "sk-ABCdef0123"),
        ("base_url", "https://dust.tt.hunter2-x", "Hunter2-X"),
        ("base_url", f"https://x.{KEY_OF_ANOTHER}", KEY),
        ("data_source_id", f"dts_x{KEY}", KEY),
        ("workspace_id", f"w1{KEY_OF_ANOTHER}", KEY),
    ],
)
def test_a_key_within_another_setting_is_refused_without_quoting_it(
    name: str, value: str, api_key: str
) -> None:
    """Otherwise a host would be looked up by DNS, which is not encrypted."""
    message = refusal(**{name: value, "api_key": api_key})
    assert message == f"{name} contains an API key. Remove it from there."


@pytest.mark.parametrize("key", ["w1", "sk-12"])
def test_a_key_of_fewer_than_6_characters_is_not_searched_for(key: str) -> None:
    assert config(api_key=key, workspace_id=f"w1{key}").workspace_id == f"w1{key}"


# Settings that the spec does not have


def test_unknown_settings_give_one_warning_that_names_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With a mistyped base_url, the key would go to another server than the user meant."""
    settings = config(**{"baseUrl": "https://eu.dust.tt", f"my {KEY}": 1})
    assert settings.base_url == "https://dust.tt"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "Unknown settings are ignored: 'baseUrl', one whose name looks like an API key. The "
            "settings are api_key, workspace_id, space_id, data_source_id, base_url.",
        )
    ]


# What must not be printed


@pytest.mark.parametrize(
    ("secrets", "settings"),
    [
        (["hunter2"], {"api_key": " \nhunter2\t"}),
        (["a key!"], {"api_key": ["a key!"]}),
        (["sk-hunter2"], {"mine": {"a": [1, {"b": "sk-hunter2"}]}}),
        (["sk-hunter2"], {"sk-hunter2": None}),
        (["sk-hunter_2"], {"space_id": "curl -H 'Authorization: Bearer sk-hunter_2' dust.tt"}),
        (["sk-a1b2c3d4", "sk-d4e5f6"], {"base_url": "https://sk-a1b2c3d4:sk-d4e5f6@dust.tt"}),
        (["sk-hunter2"], {"space_id": '{"key":"\\nsk-hunter2"}'}),
        ([], {"workspace_id": "w1", "base_url": "https://dust.tt"}),
        # Masking a shorter key would damage the output.
        ([], {"api_key": "sk-12", "space_id": "sk-12"}),
        (["sk-123"], {"api_key": "sk-123"}),
        # Once a part of it is masked, the whole is no longer found, and the rest shows.
        (["sk-hunter2a", "sk-hunter"], {"space_id": "sk-hunter", "api_key": "sk-hunter2a"}),
    ],
)
def test_the_secrets_are_the_key_and_everything_that_looks_like_one(
    secrets: list[str], settings: dict[str, Any]
) -> None:
    assert secrets_in(settings) == secrets


@pytest.mark.parametrize("key", [" sk-padded\n", ["sk-in-a-list"], 'sk-"quoted\\', "  "])
def test_registered_secrets_are_masked_also_in_a_line_of_json(key: object) -> None:
    register_secrets({"api_key": key})
    assert "sk-" not in filter_secrets(str(key))
    assert "sk-" not in filter_secrets(json.dumps(key))
    assert filter_secrets("a b") == "a b"


def test_settings_that_are_refused_are_masked_from_then_on() -> None:
    """In lower case too, as a host in an error message."""
    with pytest.raises(DustConfigError):
        config(api_key="sk-ABCdef0123", base_url="https://dust.ttsk-ABCdef0123")
    assert filter_secrets("sk-ABCdef0123 dust.ttsk-abcdef0123") == "**** dust.tt****"
