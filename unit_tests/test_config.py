from __future__ import annotations

import json
from typing import Any

import pytest
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from destination_dust.config import DustConfig, register_secrets, secrets_in
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
    assert config() == DustConfig(
        api_key=KEY,
        workspace_id="w1",
        space_id="vlt_1",
        data_source_id="dts_1",
        base_url="https://dust.tt",
    )


@pytest.mark.parametrize("name", ["api_key", *IDS, "base_url"])
def test_white_space_around_a_value_is_dropped(name: str) -> None:
    value = {"api_key": KEY, **IDS, "base_url": "https://eu.dust.tt"}[name]

    assert getattr(config(**{name: f" \t{value}\r\n"}), name) == value


@pytest.mark.parametrize("name", ["api_key", *IDS])
def test_a_required_value_must_not_be_missing_or_blank(name: str) -> None:
    for value in ("", " \n", None):
        assert refusal(**{name: value}) == f"{name} is missing or blank: it is required."

    settings = {"api_key": KEY, **IDS}
    del settings[name]
    with pytest.raises(DustConfigError, match=f"^{name} is missing or blank"):
        DustConfig.from_mapping(settings)


@pytest.mark.parametrize("name", ["api_key", *IDS, "base_url"])
@pytest.mark.parametrize("value", [5, ["hunter2"], {"hunter2": 1}, True])
def test_a_value_must_be_a_string(name: str, value: Any) -> None:
    assert refusal(**{name: value}) == f"{name} must be a string."


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("https://dust.tt/w/hunter2", id="address"),
        pytest.param("/w/hunter2", id="path"),
        pytest.param("my hunter2", id="name"),
        pytest.param("Bearer:sk-hunter2", id="header"),
        pytest.param("sk-hunter2", id="key"),
        pytest.param("hunter2?", id="query"),
        pytest.param("hunter2\u200b", id="zero-width-space"),
        pytest.param("\ufeffhunter2", id="byte-order-mark"),
        pytest.param("hunter\xad2", id="soft-hyphen"),
        pytest.param("hunter2\x00", id="control-character"),
        pytest.param("hunter2\ud800", id="lone-surrogate"),
    ],
)
@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("workspace_id", "0ec9852c2f"),
        ("space_id", "vlt_fC9eQ2lkNvGr"),
        ("data_source_id", "dts_KtCBWtKdpmNc"),
    ],
)
def test_what_cannot_be_an_id_is_refused_without_quoting_it(
    name: str, example: str, value: str
) -> None:
    """It may be a whole request that contains the key."""
    assert refusal(**{name: value}) == (
        f"{name} must be only the id, such as {example}. Do not paste an address, a request or a "
        "key. It may have an invisible character from copying."
    )


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("value", ["0ec9852c2f", "dts_KtCBWtKdpmNc", "managed-notion", "task-1"])
def test_an_id_may_have_letters_digits_underscores_and_hyphens(name: str, value: str) -> None:
    assert getattr(config(**{name: value}), name) == value


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("Bearer sk-hunter2", id="inner-space"),
        pytest.param("sk-hunter2\nX-Evil: 1", id="line-break"),
        pytest.param("sk-hunter2\x00end", id="null"),
        pytest.param("sk-hunter2\x7fend", id="delete"),
        pytest.param("sk-hunter2é", id="non-ascii"),
        pytest.param("sk-hunter2\u200bend", id="zero-width-space"),
        pytest.param("sk-hunter2\ud800", id="lone-surrogate"),
    ],
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
        ("", "https://dust.tt"),
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


@pytest.mark.parametrize(
    ("message", "urls"),
    [
        pytest.param(
            "base_url must begin with https://: over http:// the key would travel unencrypted. "
            "http:// is allowed only for this machine (localhost, 127.0.0.1).",
            ["http://dust.tt", "http://10.0.0.1:3000", "http://localhost.example"]
            + ["http://127.0.0.1.example", "http://[2001:db8::1]"],
            id="unencrypted",
        ),
        pytest.param(
            "base_url must begin with https://, as in https://dust.tt.",
            ["ftp://dust.tt", "localhost:3000"],
            id="another-scheme",
        ),
        pytest.param(
            "base_url is not a URL such as https://dust.tt or https://eu.dust.tt.",
            ["hunter2.example", "https://", "https://user:hunter2@dust.tt:99999"]
            + ["https://hunter2.tt\ud800"],
            id="not-a-url",
        ),
        pytest.param(
            "base_url must not hold a user name or password.",
            ["https://hunter2@dust.tt", "https://:hunter2@dust.tt"],
            id="user-or-password",
        ),
        pytest.param(
            "base_url must not have a path or query. Use https://dust.tt (US) or "
            "https://eu.dust.tt (Europe).",
            ["https://dust.tt/api", "https://dust.tt//", "https://dust.tt?key=hunter2"]
            + ["https://dust.tt#hunter2", "https://dust.tt\\@evil.example"],
            id="more-than-a-host",
        ),
        pytest.param(
            "base_url must be a URL such as https://dust.tt, not a key.",
            ["https://sk-Hunter2"],
            id="key",
        ),
    ],
)
def test_another_base_url_is_refused_without_quoting_it(message: str, urls: list[str]) -> None:
    assert {url: refusal(base_url=url) for url in urls} == dict.fromkeys(urls, message)


# Keys in other settings

KEY_OF_ANOTHER = "sk-" + "aBcDeFgHiJ" * 2


@pytest.mark.parametrize(
    ("name", "value", "api_key"),
    [
        pytest.param("base_url", "https://dust.ttsk-ABCdef0123", "sk-ABCdef0123", id="host"),
        pytest.param("base_url", "https://DUST.TTSK-ABCDEF0123", "sk-ABCdef0123", id="capitals"),
        pytest.param("base_url", "https://dust.tt.hunter2-x", "Hunter2-X", id="key-without-sk"),
        pytest.param("base_url", f"https://x.{KEY_OF_ANOTHER}", KEY, id="host-and-another-key"),
        pytest.param("data_source_id", f"dts_x{KEY}", KEY, id="id"),
        pytest.param("workspace_id", f"w1{KEY_OF_ANOTHER}", KEY, id="id-and-another-key"),
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


def test_known_settings_give_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    config(base_url="https://eu.dust.tt")

    assert caplog.messages == []


# What must not be printed


@pytest.mark.parametrize(
    ("settings", "secrets"),
    [
        pytest.param({"api_key": " \nhunter2\t"}, ["hunter2"], id="key-without-sk"),
        pytest.param({"api_key": ["a key!"]}, ["a key!"], id="key-in-a-list"),
        pytest.param({"space_id": "sk-hunter2"}, ["sk-hunter2"], id="wrong-field"),
        pytest.param({"mine": {"a": [1, {"b": "sk-hunter2"}]}}, ["sk-hunter2"], id="nested"),
        pytest.param({"sk-hunter2": None}, ["sk-hunter2"], id="name-of-a-field"),
        pytest.param(
            {"space_id": "curl -H 'Authorization: Bearer sk-hunter_2' https://dust.tt"},
            ["sk-hunter_2"],
            id="request",
        ),
        pytest.param(
            {"base_url": "https://sk-a1b2c3d4:sk-d4e5f6@dust.tt"},
            ["sk-a1b2c3d4", "sk-d4e5f6"],
            id="two-in-a-text",
        ),
        pytest.param({"space_id": '{"key":"\\nsk-hunter2"}'}, ["sk-hunter2"], id="text-of-json"),
        pytest.param({"workspace_id": "w1", "base_url": "https://dust.tt"}, [], id="none"),
        # Masking a shorter key would damage the output.
        pytest.param({"api_key": "sk-12", "space_id": "sk-12"}, [], id="5-characters"),
        pytest.param({"api_key": "sk-123"}, ["sk-123"], id="6-characters"),
        # Once a part of it is masked, the whole is no longer found, and the rest shows.
        pytest.param(
            {"space_id": "sk-hunter", "api_key": "Bearer sk-hunter2", "mine": "sk-hunter2a"},
            ["Bearer sk-hunter2", "sk-hunter2a", "sk-hunter2", "sk-hunter"],
            id="longest-first",
        ),
    ],
)
def test_the_secrets_are_the_key_and_everything_that_looks_like_one(
    settings: dict[str, Any], secrets: list[str]
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
