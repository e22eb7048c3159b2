"""What a failed response means for the user."""

from __future__ import annotations

from typing import Any

import pytest
from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets

from destination_dust.errors import (
    DustConfigError,
    DustError,
    DustRequestError,
    DustUnavailableError,
)
from destination_dust.failures import Failure, Response

URL = "https://dust.tt/api/v1/w/w1/spaces/vlt_1/data_sources/dts_1/documents"


def failure(status: int, type_: str | None = None, message: str = "So.", **rest: Any) -> Failure:
    json = None if type_ is None else {"error": {"type": type_, "message": message}}
    return Failure.of(Response(status=status, url=URL, json=json, **rest))


OF_DUST: list[tuple[int, str, type[DustError], str]] = [
    (401, "not_authenticated", DustConfigError, "did not arrive: check the proxy"),
    (401, "malformed_authorization_header_error", DustConfigError, "begins with sk-"),
    (401, "invalid_api_key_error", DustConfigError, "https://eu.dust.tt is Europe"),
    (401, "workspace_auth_error", DustConfigError, "belongs to another workspace"),
    (404, "workspace_not_found", DustConfigError, "Check workspace_id"),
    (403, "workspace_can_use_product_required_error", DustConfigError, "no API access"),
    (404, "space_not_found", DustConfigError, "Check space_id, which begins with vlt_"),
    (404, "data_source_not_found", DustConfigError, "begins with dts_ (dsv_ is a view"),
    (403, "data_source_auth_error", DustConfigError, "created with the folder's space"),
    (403, "data_source_quota_error", DustConfigError, "larger than the workspace's plan"),
    (413, "content_too_large", DustConfigError, "larger than the workspace's plan"),
    (403, "workspace_quota_error", DustConfigError, "storage is full"),
    (429, "rate_limit_error", DustUnavailableError, "try again when they send less"),
    (503, "service_unavailable", DustUnavailableError, "Try again later"),
    (500, "internal_server_error", DustUnavailableError, "Try again later"),
    (400, "data_source_error", DustUnavailableError, "Try again later"),
    (400, "invalid_request_error", DustRequestError, "If Dust names a workspace setting"),
    # The type counts before the status, unless that is a success.
    (429, "workspace_quota_error", DustConfigError, "storage is full"),
    (200, "invalid_api_key_error", DustUnavailableError, "Check base_url"),
    (401, "some_new_type", DustConfigError, "Check api_key"),
    (404, "some_new_type", DustConfigError, "Check workspace_id, space_id"),
    (500, "some_new_type", DustUnavailableError, "Try again later"),
]


@pytest.mark.parametrize(
    ("status", "type_", "error", "advice"), OF_DUST, ids=[f"{row[0]} {row[1]}" for row in OF_DUST]
)
def test_dusts_own_error_is_quoted_with_what_to_do(
    status: int, type_: str, error: type[DustError], advice: str
) -> None:
    found = failure(status, type_)
    assert found.said == f'Dust answered {status} {type_}, "So."'
    assert advice in found.meaning.advice
    assert found.meaning.error is error


OF_OTHERS: list[tuple[int, type[DustError], str]] = [
    (200, DustUnavailableError, "Check base_url"),
    (304, DustConfigError, "Set base_url"),
    (403, DustConfigError, "any proxy or firewall on the way"),
    (404, DustConfigError, "Check workspace_id, space_id, data_source_id and base_url"),
    (407, DustConfigError, "user name and password to HTTP_PROXY"),
    (408, DustUnavailableError, "Try again later"),
    (413, DustConfigError, "A proxy on the way"),
    (429, DustUnavailableError, "when they send less"),
    (502, DustUnavailableError, "Try again later"),
]


@pytest.mark.parametrize(
    ("status", "error", "advice"), OF_OTHERS, ids=[str(row[0]) for row in OF_OTHERS]
)
def test_the_status_decides_where_the_response_is_not_dusts(
    status: int, error: type[DustError], advice: str
) -> None:
    found = failure(status)
    not_dusts = "but not as Dust does" if status < 300 else "without Dust's error message"
    assert found.said.replace(",", "") == f"dust.tt answered {status} {not_dusts}"
    assert found.meaning.error is error
    assert advice in found.meaning.advice


@pytest.mark.parametrize("status", [204, 400, 402, 405, 410, 418, 431, 451])
def test_an_unknown_refusal_is_to_be_reported_only_where_it_is_dusts(status: int) -> None:
    """Otherwise a gateway or a captive portal has answered."""
    of_dust = failure(status, "some_new_type").error("upsert it", None)
    of_another = failure(status).error("upsert it", None)
    assert {type(of_dust), type(of_another)} == {DustRequestError}
    assert str(of_dust) == (
        f'Could not upsert it: Dust answered {status} some_new_type, "So." This is a bug: please '
        "report it with this message."
    )
    assert str(of_another) == (
        f"Could not upsert it: dust.tt answered {status} without Dust's error message. This "
        "response is not from Dust. Check base_url (https://dust.tt is the US, "
        "https://eu.dust.tt is Europe), and any proxy on the way."
    )


@pytest.mark.parametrize(
    "location",
    [
        "https://login.example/sso?token=1#top",
        "https://login.example/sso#token",
        "https://me:p@ssword@login.example/sso",
    ],
    ids=["query", "fragment", "user with @"],
)
def test_a_redirect_names_its_target_without_what_may_be_secret(location: str) -> None:
    found = failure(302, location=location)
    assert found.said == "dust.tt redirects (302) to https://login.example/sso"
    assert found.meaning.error is DustConfigError


@pytest.mark.parametrize(
    ("status", "type_", "is_rate_limited"),
    [
        (429, "rate_limit_error", True),
        (403, "rate_limit_error", True),
        (429, None, True),
        (429, "workspace_quota_error", False),
        (503, None, False),
    ],
)
def test_only_the_rate_limit_is_waited_for_like_one(
    status: int, type_: str | None, is_rate_limited: bool
) -> None:
    assert failure(status, type_).is_rate_limited is is_rate_limited


@pytest.mark.parametrize("control", ["\n", "\0", "\x1b", "\x7f", "\x9b", "\u2028"], ids=ascii)
def test_control_characters_of_a_server_are_quoted_as_spaces(control: str) -> None:
    """A line break could imitate a line of the log, and a terminal obeys an escape."""
    assert failure(400, "t", f"It{control}said.").said == 'Dust answered 400 t, "It said."'
    redirect = failure(302, location=f"https://login.example/{control}sso")
    assert redirect.said.endswith(" to https://login.example/ sso")


@pytest.mark.parametrize(
    "json",
    [
        [],
        {"error": "text"},
        {"error": {"type": 5, "message": "A record."}},
        {"error": {"type": "bad", "message": ["a", "record"]}},
        {"error": {"type": "a record", "message": "A record."}},
        {"error": {"type": "x" * 65, "message": "A record."}},
    ],
    ids=["list", "text", "number", "message of parts", "sentence", "long type"],
)
def test_only_dusts_own_form_of_an_error_is_quoted(json: Any) -> None:
    """A proxy's error page may echo what was sent: a record, or the key."""
    assert Failure.of(Response(500, URL, json=json)).said == (
        "dust.tt answered 500 without Dust's error message"
    )


def test_a_long_message_is_cut_after_a_key_in_it_was_masked() -> None:
    """Half a key would not be recognised."""
    add_to_secrets("sk-very-secret-indeed")
    said = failure(400, "bad_request", "x" * 490 + "sk-very-secret-indeed" * 100).said
    assert len(said) < 600
    assert "sk-" not in said
