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
    assert refused.value.failure_type.value == "config_error"
    # What Airbyte logs of it.
    assert "hunter2" not in str(refused.value.as_airbyte_message().trace)
    return str(refused.value.message)


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
@pytest.mark.parametrize("value", ["", " \n", None], ids=["empty", "blank", "null"])
def test_a_required_value_must_not_be_blank(name: str, value: str | None) -> None:
    assert refusal(**{name: value}) == f"{name} is missing or blank: it is required."


@pytest.mark.parametrize("name", ["api_key", *IDS])
def test_a_required_value_must_not_be_missing(name: str) -> None:
    settings = {"api_key": KEY, **IDS}
    del settings[name]

    with pytest.raises(DustConfigError, match=f"^{name} is missing or blank: it is required.$"):
        DustConfig.from_mapping(settings)


@pytest.mark.parametrize("name", ["api_key", *IDS, "base_url"])
@pytest.mark.parametrize("value", [5, 1.5, ["hunter2"], {"hunter2": 1}, True])
def test_a_value_must_be_a_string(name: str, value: Any) -> None:
    assert refusal(**{name: value}) == f"{name} must be a string."


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("https://dust.tt/w/hunter2", id="address"),
        pytest.param("dust.tt/w/hunter2", id="address-without-scheme"),
        pytest.param("/w/hunter2", id="path"),
        pytest.param("my hunter2", id="name"),
        pytest.param("hunter\n2", id="line-break"),
        pytest.param("Bearer sk-hunter2", id="header"),
        pytest.param("curl -H 'Authorization: Bearer sk-hunter2'", id="request"),
        pytest.param("sk-hunter2", id="key"),
        pytest.param("hunter2?", id="query"),
        pytest.param("hunter2\u200b", id="zero-width-space"),
        pytest.param("\u200ehunter2", id="left-to-right-mark"),
        pytest.param("hunter\u20602", id="word-joiner"),
        pytest.param("\ufeffhunter2", id="byte-order-mark"),
        pytest.param("\u202ahunter2", id="left-to-right-embedding"),
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
    """It may be a whole request, with the key in it."""
    assert refusal(**{name: value}) == (
        f"{name} must be only the id, such as {example}. Do not paste an address, a request or a "
        "key. It may have an invisible character from copying."
    )


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("value", ["0ec9852c2f", "dts_KtCBWtKdpmNc", "managed-notion", "task-1"])
def test_an_id_holds_letters_digits_underscores_and_hyphens(name: str, value: str) -> None:
    assert getattr(config(**{name: value}), name) == value


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("Bearer sk-hunter2", id="inner-space"),
        pytest.param("sk-\thunter2", id="inner-tab"),
        pytest.param("sk-hunter2\nX-Evil: 1", id="line-break"),
        pytest.param("sk-hunter2\x00end", id="null"),
        pytest.param("sk-hunter2\x7fend", id="delete"),
        pytest.param("sk-hunter2é", id="non-ascii"),
        pytest.param("sk-hunter2\u200bend", id="zero-width-space"),
        pytest.param("sk-hunter2\ud800", id="lone-surrogate"),
    ],
)
def test_a_key_that_could_not_be_a_header_value_is_refused_and_never_shown(key: str) -> None:
    message = refusal(api_key=key)

    assert message.startswith("api_key holds white space, control or non-ASCII characters")
    assert "paste the key alone" in message
    assert "hunter2" not in message


def test_any_printable_ascii_key_is_taken() -> None:
    key = "".join(map(chr, range(0x21, 0x7F)))

    assert config(api_key=key).api_key == key


def test_the_key_is_not_in_the_settings_repr() -> None:
    assert "hunter2" not in repr(config())
    assert "vlt_1" in repr(config())


@pytest.mark.parametrize(
    ("entered", "used"),
    [
        pytest.param("", "https://dust.tt", id="empty"),
        pytest.param(" \n", "https://dust.tt", id="blank"),
        pytest.param(None, "https://dust.tt", id="null"),
        pytest.param("https://dust.tt", "https://dust.tt", id="us"),
        pytest.param("https://eu.dust.tt/", "https://eu.dust.tt", id="trailing-slash"),
        pytest.param("HTTPS://EU.Dust.TT", "https://eu.dust.tt", id="upper-case"),
        pytest.param("https://dust.tt:443", "https://dust.tt", id="default-port"),
        pytest.param("https://dust.example:8443/", "https://dust.example:8443", id="other-port"),
        pytest.param("https://10.0.0.1", "https://10.0.0.1", id="address"),
        pytest.param("http://localhost:3000", "http://localhost:3000", id="localhost-http"),
        pytest.param("http://127.0.0.1:3000/", "http://127.0.0.1:3000", id="loopback-http"),
        pytest.param("http://127.9.9.9", "http://127.9.9.9", id="whole-loopback-network"),
        pytest.param("http://[::1]:3000", "http://[::1]:3000", id="loopback-ipv6"),
        pytest.param("http://127.0.0.1:80", "http://127.0.0.1", id="default-port-of-http"),
    ],
)
def test_a_base_url_is_scheme_and_host_without_a_trailing_slash(
    entered: str | None, used: str
) -> None:
    assert config(base_url=entered).base_url == used


@pytest.mark.parametrize(
    "url",
    [
        "http://dust.tt",
        "http://10.0.0.1:3000",
        "http://0.0.0.0",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://[2001:db8::1]",
    ],
)
def test_http_is_for_this_machine_only(url: str) -> None:
    """No key travels unencrypted."""
    assert refusal(base_url=url) == (
        "base_url must begin with https://: over http:// the key would travel unencrypted. http:// "
        "is for this machine only (localhost, 127.0.0.1)."
    )


@pytest.mark.parametrize("url", ["ftp://dust.tt", "file:///etc/passwd", "localhost:3000"])
def test_a_base_url_of_another_scheme_is_refused(url: str) -> None:
    assert refusal(base_url=url) == "base_url must begin with https://, as in https://dust.tt."


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("hunter2.example", id="no-scheme"),
        pytest.param("https://", id="no-host"),
        pytest.param("https://user:hunter2@dust.tt:99999", id="port-out-of-range"),
        pytest.param("https://hunter2 dust.tt", id="space-in-the-host"),
        pytest.param("https://hunter2.tt\ud800", id="lone-surrogate"),
    ],
)
def test_what_is_no_url_is_refused_without_quoting_it(url: str) -> None:
    """It may hold a password."""
    assert refusal(base_url=url) == (
        "base_url is not a URL such as https://dust.tt or https://eu.dust.tt."
    )


@pytest.mark.parametrize(
    "url",
    ["https://hunter2@dust.tt", "https://user:hunter2@dust.tt", "https://:hunter2@dust.tt"],
)
def test_user_info_in_a_base_url_is_refused(url: str) -> None:
    assert refusal(base_url=url) == "base_url must not hold a user name or password."


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://dust.tt/api", id="path"),
        pytest.param("https://dust.tt//", id="two-slashes"),
        pytest.param("https://dust.tt?key=hunter2", id="query"),
        pytest.param("https://dust.tt/?", id="empty-query"),
        pytest.param("https://dust.tt#hunter2", id="fragment"),
        pytest.param("https://dust.tt\\@evil.example", id="backslash"),
    ],
)
def test_a_base_url_that_goes_on_after_the_host_is_refused(url: str) -> None:
    assert refusal(base_url=url) == (
        "base_url must not have a path or query. Use https://dust.tt (US) or https://eu.dust.tt "
        "(Europe)."
    )


KEY_OF_ANOTHER = "sk-" + "aBcDeFgHiJ" * 2


@pytest.mark.parametrize(
    ("name", "value", "api_key"),
    [
        pytest.param("base_url", "https://dust.ttsk-ABCdef0123", "sk-ABCdef0123", id="host"),
        pytest.param("base_url", "https://DUST.TTSK-ABCDEF0123", "sk-ABCdef0123", id="capitals"),
        pytest.param("base_url", "https://dust.tt.hunter2-x", "Hunter2-X", id="key-of-any-look"),
        pytest.param("base_url", f"https://x.{KEY_OF_ANOTHER}", KEY, id="host-and-another-key"),
        pytest.param("data_source_id", f"dts_x{KEY}", KEY, id="id"),
        pytest.param("space_id", f"vlt_1{KEY}end", KEY, id="amid-an-id"),
        pytest.param("workspace_id", f"w1{KEY_OF_ANOTHER}", KEY, id="id-and-another-key"),
    ],
)
def test_a_key_within_another_setting_is_refused_without_quoting_it(
    name: str, value: str, api_key: str
) -> None:
    """A request would carry it unencrypted, the look-up of a host by DNS."""
    message = refusal(**{name: value, "api_key": api_key})

    assert message == f"{name} contains an API key. Remove it from there."


@pytest.mark.parametrize(
    "url",
    [
        "https://task-force.example",
        "https://desk-support.example",
        "https://sk.example",
        "https://x.task-force-of-the-whole-company.example",
    ],
)
def test_a_host_with_the_letters_of_a_key_in_a_name_is_taken(url: str) -> None:
    assert config(base_url=url).base_url == url


@pytest.mark.parametrize("key", ["w1", "dust", "sk-12"])
def test_a_key_too_short_to_be_one_is_not_looked_for(key: str) -> None:
    assert config(api_key=key, workspace_id=f"w1{key}").workspace_id == f"w1{key}"


# What must not be printed


@pytest.mark.parametrize(
    ("settings", "secrets"),
    [
        pytest.param({"api_key": "sk-hunter2"}, ["sk-hunter2"], id="key"),
        pytest.param({"api_key": " \nhunter2\t"}, ["hunter2"], id="key-of-any-look"),
        pytest.param({"api_key": "a key!"}, ["a key!"], id="key-with-white-space"),
        pytest.param({"api_key": ["hunter2"]}, ["hunter2"], id="key-in-a-list"),
        pytest.param({"space_id": "sk-hunter2"}, ["sk-hunter2"], id="wrong-field"),
        pytest.param({"mine": {"a": [1, {"b": "sk-hunter2"}]}}, ["sk-hunter2"], id="deep-down"),
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
        pytest.param({"space_id": "%20sk-hunter2%20"}, ["sk-hunter2"], id="percent-encoded"),
        pytest.param({"workspace_id": "w1", "base_url": "https://dust.tt"}, [], id="none"),
    ],
)
def test_the_secrets_are_the_key_and_whatever_looks_like_one(
    settings: dict[str, Any], secrets: list[str]
) -> None:
    assert secrets_in(settings) == secrets


@pytest.mark.parametrize("key", ["", "a", "sk-", "sk-12"])
def test_a_key_of_fewer_than_6_characters_is_no_secret(key: str) -> None:
    """To mask it would damage all that is printed."""
    assert secrets_in({"api_key": key, "space_id": key}) == []
    assert secrets_in({"api_key": "sk-123"}) == ["sk-123"]


def test_the_longest_secret_comes_first() -> None:
    """Once a part of it is masked, the whole is no longer found, and the rest shows."""
    settings = {"space_id": "sk-hunter", "api_key": "Bearer sk-hunter2", "mine": "sk-hunter2a"}

    assert secrets_in(settings) == ["Bearer sk-hunter2", "sk-hunter2a", "sk-hunter2", "sk-hunter"]


def test_settings_may_nest_as_deeply_as_json_does() -> None:
    nested: Any = "sk-hunter2"
    for _ in range(5_000):
        nested = [nested]

    assert secrets_in({"mine": nested}) == ["sk-hunter2"]


@pytest.mark.parametrize("key", [" sk-padded\n", ["sk-in-a-list"], {"k": 'sk-"quoted\\'}, "  "])
def test_registered_secrets_are_masked_also_in_a_line_of_json(key: object) -> None:
    register_secrets({"api_key": key})

    assert "sk-" not in filter_secrets(str(key))
    assert "sk-" not in filter_secrets(json.dumps(key))
    assert filter_secrets("a b") == "a b"


def test_registered_secrets_are_masked_also_in_lower_case() -> None:
    """As a host, which is printed when it cannot be reached."""
    register_secrets({"base_url": "https://dust.ttsk-ABCdef0123"})

    assert filter_secrets("dust.ttsk-abcdef0123 refused") == "dust.tt**** refused"


def test_settings_that_are_refused_are_masked_from_then_on() -> None:
    with pytest.raises(DustConfigError):
        config(api_key="sk-ABCdef0123", base_url="https://dust.ttsk-ABCdef0123")

    assert filter_secrets("sk-ABCdef0123 sk-abcdef0123") == "**** ****"


def test_a_key_in_place_of_the_host_is_refused_without_quoting_it() -> None:
    settings = {"api_key": KEY, **IDS, "base_url": "https://sk-Hunter2"}
    with pytest.raises(DustConfigError) as refused:
        DustConfig.from_mapping(settings)
    assert str(refused.value) == "base_url must be a URL such as https://dust.tt, not a key."
