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
from destination_dust.failures import Failure, Meaning, Response

URL = "https://dust.tt/api/v1/w/w1/spaces/vlt_1/data_sources/dts_1/documents"


# What a server that echoes could send in the shape of Dust's errors.
ECHOES: list[Any] = [
    {"error": {"type": "bad", "message": ["a", "record"]}},
    {"error": {"type": "bad"}},
    {"error": {"type": "a record, much longer than a type", "message": "It said so."}},
    {"error": {"type": "x" * 65, "message": "It said so."}},
]


def answer(status: int, type_: str | None = None, **rest: Any) -> Response:
    json = None if type_ is None else {"error": {"type": type_, "message": "It said so."}}
    return Response(status=status, url=URL, json=json, **rest)


@pytest.mark.parametrize(
    ("status", "type_", "kind", "advice"),
    [
        (401, "not_authenticated", DustConfigError, "did not arrive: check the proxy"),
        (401, "malformed_authorization_header_error", DustConfigError, "begins with sk-"),
        (401, "invalid_api_key_error", DustConfigError, "https://eu.dust.tt is Europe"),
        (401, "workspace_auth_error", DustConfigError, "belongs to another workspace"),
        (404, "workspace_not_found", DustConfigError, "Check workspace_id"),
        (403, "workspace_can_use_product_required_error", DustConfigError, "no API access"),
        (404, "space_not_found", DustConfigError, "Check space_id, which begins with vlt_"),
        (404, "data_source_not_found", DustConfigError, "begins with dts_, dsv_ is a view's"),
        (403, "data_source_auth_error", DustConfigError, "a key that may write"),
        (403, "data_source_quota_error", DustConfigError, "larger than the workspace's plan"),
        (403, "workspace_quota_error", DustConfigError, "storage is full"),
        (429, "rate_limit_error", DustUnavailableError, "try again when they send less"),
        (503, "service_unavailable", DustUnavailableError, "Try again later"),
        (500, "internal_server_error", DustUnavailableError, "Try again later"),
        (400, "data_source_error", DustUnavailableError, "Try again later"),
        (400, "invalid_request_error", DustRequestError, "names a setting of the workspace"),
        (400, "some_new_type", DustRequestError, "please report it"),
        (401, "some_new_type", DustConfigError, "Check api_key"),
        (403, "some_new_type", DustConfigError, "Check api_key"),
        (404, "some_new_type", DustConfigError, "Check workspace_id, space_id"),
    ],
)
def test_dusts_own_error_is_quoted_with_what_to_do(
    status: int, type_: str, kind: type[DustError], advice: str
) -> None:
    """Dust's type comes before the status: one 403 is a missing right, another a full quota."""
    failure = Failure.of(answer(status, type_))
    assert failure.said == f'Dust answered {status} {type_}, "It said so."'
    assert advice in failure.meaning.advice
    assert failure.meaning.kind is kind


@pytest.mark.parametrize(
    ("status", "kind", "said", "advice"),
    [
        (200, DustUnavailableError, "dust.tt answered 200, but not as Dust does", "base_url"),
        (401, DustConfigError, "dust.tt answered 401 without Dust's error message", "api_key"),
        (403, DustConfigError, "dust.tt answered 403 without Dust's error message", "api_key"),
        (404, DustConfigError, "dust.tt answered 404 without Dust's error message", "base_url"),
        (413, DustConfigError, "dust.tt answered 413 without Dust's error message", "A proxy on"),
        (304, DustConfigError, "dust.tt answered 304 without Dust's error message", "Set base_url"),
        (407, DustConfigError, "dust.tt answered 407 without Dust's error message", "password"),
        (408, DustUnavailableError, "dust.tt answered 408 without Dust's", "again later"),
        (429, DustUnavailableError, "dust.tt answered 429 without Dust's", "when they send less"),
        (502, DustUnavailableError, "dust.tt answered 502 without Dust's", "again later"),
    ],
)
def test_the_status_decides_where_dust_did_not_say_why(
    status: int, kind: type[DustError], said: str, advice: str
) -> None:
    failure = Failure.of(answer(status))
    assert failure.meaning.kind is kind
    assert failure.said.startswith(said)
    assert advice in failure.meaning.advice


def test_a_redirect_names_its_target_without_the_query() -> None:
    """A query may hold a session or a token."""
    for location in (
        "https://login.example/sso?token=1#top",
        "https://login.example/sso#token",
        "https://me:password@login.example/sso",
        "https://me:p@ssword@login.example/sso",
    ):
        failure = Failure.of(answer(302, location=location))
        assert failure.said == "dust.tt redirects (302) to https://login.example/sso"
        assert failure.meaning.kind is DustConfigError


@pytest.mark.parametrize("status", [400, 402, 405, 410, 418, 431, 451])
def test_a_refusal_in_other_words_than_dusts_is_not_taken_for_a_defect(status: int) -> None:
    """A gateway or a captive portal has answered: there is nothing to report."""
    error = Failure.of(answer(status)).error("upsert document 'users-1'", None)
    assert isinstance(error, DustRequestError)
    assert str(error) == (
        f"Could not upsert document 'users-1': dust.tt answered {status} without Dust's error "
        "message. This response is not from Dust. Check base_url (https://dust.tt is the US, "
        "https://eu.dust.tt is Europe), and any proxy on the way."
    )


@pytest.mark.parametrize("status", [400, 402, 405, 410, 451])
def test_a_refusal_by_dust_that_nobody_has_foreseen_is_to_be_reported(status: int) -> None:
    error = Failure.of(answer(status, "some_new_type")).error("upsert document 'users-1'", None)
    assert isinstance(error, DustRequestError)
    assert str(error) == (
        f"Could not upsert document 'users-1': Dust answered {status} some_new_type, "
        '"It said so." This is a defect: please report it with this message.'
    )


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_access_may_be_a_proxys_or_a_firewalls(status: int) -> None:
    assert Failure.of(answer(status)).meaning.advice == (
        "Check api_key, base_url (https://dust.tt is the US, https://eu.dust.tt is Europe), and "
        "any proxy or firewall on the way."
    )


def test_a_redirect_without_a_target_is_no_redirect() -> None:
    assert Failure.of(answer(302)).said == "dust.tt answered 302 without Dust's error message"
    assert Failure.of(answer(302)).meaning.kind is DustConfigError


@pytest.mark.parametrize(
    ("status", "type_", "is_retryable", "is_rate_limited"),
    [
        (429, "rate_limit_error", True, True),
        (403, "rate_limit_error", True, True),
        (429, None, True, True),
        (429, "workspace_quota_error", False, False),
        (503, "service_unavailable", True, False),
        (400, "internal_server_error", True, False),
        (400, "data_source_error", True, False),
        (503, "workspace_quota_error", False, False),
        (408, None, True, False),
        (500, None, True, False),
        (200, None, True, False),
        (200, "rate_limit_error", True, False),
        (200, "invalid_api_key_error", True, False),
        (201, None, True, False),
        (400, None, False, False),
        (404, None, False, False),
    ],
)
def test_what_is_retryable_follows_from_dusts_type_before_the_status(
    status: int, type_: str | None, is_retryable: bool, is_rate_limited: bool
) -> None:
    failure = Failure.of(answer(status, type_))
    assert (failure.is_retryable, failure.is_rate_limited) == (is_retryable, is_rate_limited)


@pytest.mark.parametrize("type_", ["rate_limit_error", None])
def test_a_429_does_not_speak_of_upserts(type_: str | None) -> None:
    """A list or a delete can meet one too."""
    assert "upsert" not in Failure.of(answer(429, type_)).meaning.advice


def test_an_error_keeps_what_caused_it() -> None:
    """It is in the log, for whoever has to find out why."""
    cause = ConnectionResetError()
    failure = Failure("the connection broke", Meaning(DustUnavailableError, ""), cause=cause)
    assert failure.error("upsert document 'users-1'", None).__cause__ is cause


@pytest.mark.parametrize(
    "control",
    ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"],
    ids=ascii,
)
def test_control_characters_of_a_server_are_quoted_as_spaces(control: str) -> None:
    """A line break could imitate a line of the log, and a terminal obeys an escape."""
    envelope = {"error": {"type": "t", "message": f"It{control}said."}}
    assert Failure.of(Response(400, URL, json=envelope)).said == 'Dust answered 400 t, "It said."'
    redirect = answer(302, location=f"https://login.example/{control}sso")
    assert Failure.of(redirect).said.endswith(" to https://login.example/ sso")


def test_a_long_message_is_cut() -> None:
    long = Response(400, URL, json={"error": {"type": "t", "message": "x" * 10_000}})
    assert len(Failure.of(long).said) < 600


@pytest.mark.parametrize(
    "json", [[], {}, {"error": "text"}, {"error": {"type": 5}}, "text", None, *ECHOES]
)
def test_what_is_no_envelope_is_not_quoted(json: Any) -> None:
    """A proxy's error page may echo what was sent: a record, or the key."""
    assert "without Dust's error message" in Failure.of(Response(500, URL, json=json)).said


def test_a_key_is_masked_before_a_message_is_cut() -> None:
    """Half a key would not be recognised."""
    add_to_secrets("sk-very-secret-indeed")
    message = "x" * 490 + "sk-very-secret-indeed"
    echo = Response(400, URL, json={"error": {"type": "bad_request", "message": message}})
    assert "sk-" not in Failure.of(echo).said
