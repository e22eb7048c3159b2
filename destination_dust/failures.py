"""What a failed response means: what was said, what to do, whether to retry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airbyte_cdk.models import StreamDescriptor
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from destination_dust.errors import (
    DustConfigError,
    DustError,
    DustRequestError,
    DustUnavailableError,
)

SUCCESSES = (200, 201)
"""The statuses of a successful response; older versions of Dust use 201."""

_MAX_QUOTED_CHARACTERS = 500
# Terminals act on some of them, and a line break could fake a line of the log.
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DUST_ERROR_TYPE = re.compile(r"[a-z_]{1,64}")

_REGIONS = "https://dust.tt is the US, https://eu.dust.tt is Europe"
_TRY_LATER = "Try again later; if it persists, see https://status.dust.tt."
_REPORT = "This is a bug: please report it with this message."
_NOT_DUST = (
    f"This response is not from Dust. Check base_url ({_REGIONS}), and any proxy on the way."
)
_CHECK_BASE_URL = f"Check base_url: {_REGIONS}."
_PROXY_EXAMPLE = ", as in http://user:password@proxy.example:3128."


@dataclass(frozen=True)
class Response:
    """What came back over HTTP. `json` is None when the body is not JSON.

    `date_ms` is when it was sent by the server's clock, which may have whole seconds only.
    """

    status: int
    url: str
    json: Any = None
    location: str | None = None
    retry_after_s: float | None = None
    date_ms: int | None = None

    @property
    def envelope(self) -> dict[str, Any] | None:
        """Return the `error` object that Dust itself sends with an error, if there is one."""
        error = self.json.get("error") if isinstance(self.json, dict) else None
        if not isinstance(error, dict) or not isinstance(error.get("message"), str):
            return None
        return error if _DUST_ERROR_TYPE.fullmatch(str(error.get("type"))) else None


@dataclass(frozen=True)
class Meaning:
    """Which error to raise, and what the user can do about it."""

    error: type[DustError]
    advice: str


@dataclass(frozen=True)
class Failure:
    """Why a request failed: what to tell the user, and how to classify it.

    `response` is the failed response, or None when there was none.
    """

    said: str
    meaning: Meaning
    response: Response | None = None
    cause: Exception | None = None

    @classmethod
    def of(cls, response: Response) -> Failure:
        """Return what a failed response means."""
        return cls(said=_said(response), meaning=_meaning(response), response=response)

    @property
    def is_retryable(self) -> bool:
        """Return whether a retry may succeed."""
        return self.meaning.error is DustUnavailableError

    @property
    def is_rate_limited(self) -> bool:
        """Return whether the request was rate-limited."""
        return self.meaning is _RATE_LIMITED

    @property
    def is_refusal_by_dust(self) -> bool:
        """Return whether Dust itself, not a proxy, has refused the key or its rights."""
        response = self.response
        return (
            response is not None and response.status in (401, 403) and response.envelope is not None
        )

    @property
    def is_not_found(self) -> bool:
        """Return whether the server answered 404."""
        return self.response is not None and self.response.status == 404

    @property
    def retry_after_s(self) -> float | None:
        """Return how long the server asks to wait, if it does."""
        return self.response.retry_after_s if self.response else None

    @property
    def sentence(self) -> str:
        """Return what was said with a full stop, unless a quotation has brought its own."""
        return self.said if self.said.endswith('."') else f"{self.said}."

    def error(self, task: str, stream: StreamDescriptor | None) -> DustError:
        """Return the error to raise for a task such as "upsert document 'users-1'"."""
        message = f"Could not {task}: {self.sentence} {self.meaning.advice}"
        error = self.meaning.error(message, stream=stream)
        error.__cause__ = self.cause
        return error


_RATE_LIMITED = Meaning(
    DustUnavailableError,
    "Other clients of the workspace are using up its rate limit: try again when they send less.",
)
_TOO_LARGE = Meaning(
    DustConfigError,
    "The record is larger than the workspace's plan allows for one document: leave its large "
    "fields out in the connection's schema, or ask for a larger plan.",
)
_UNAVAILABLE = Meaning(DustUnavailableError, _TRY_LATER)
_PROXY_UNAVAILABLE = Meaning(
    DustUnavailableError, "Try again later; if it persists, ask who runs the proxy."
)

# What Dust's own error types mean to the user. One status can mean several things: a 403 may be a
# missing right or a full quota. Source: dust-tt/dust, `front/types/error.ts`.
MEANINGS: dict[str, Meaning] = {
    "not_authenticated": Meaning(
        DustConfigError,
        "The Authorization header did not arrive: check the proxy between Airbyte and Dust.",
    ),
    "malformed_authorization_header_error": Meaning(
        DustConfigError,
        "Check api_key: a Dust API key begins with sk-. Paste it without quotation marks.",
    ),
    "invalid_api_key_error": Meaning(
        DustConfigError,
        "Check api_key (it may be mistyped or disabled), and that base_url is the key's region "
        f"({_REGIONS}).",
    ),
    "workspace_auth_error": Meaning(
        DustConfigError,
        "The key belongs to another workspace: check workspace_id, or create a key in this one.",
    ),
    "workspace_not_found": Meaning(
        DustConfigError,
        f"Check workspace_id, and that base_url is the workspace's region ({_REGIONS}).",
    ),
    "workspace_can_use_product_required_error": Meaning(
        DustConfigError,
        "The plan of the workspace has no API access: ask its admin to change the plan.",
    ),
    "space_not_found": Meaning(
        DustConfigError,
        "Check space_id, which begins with vlt_, and that the key may read the space.",
    ),
    "data_source_not_found": Meaning(
        DustConfigError,
        "Check space_id and data_source_id: a data source id begins with dts_ (dsv_ is a view and "
        "does not work). The key must also have access to the space.",
    ),
    "data_source_auth_error": Meaning(
        DustConfigError,
        "Use a folder, not a data source that a Dust connection manages, and a key created with "
        "the folder's space under Spaces.",
    ),
    "data_source_quota_error": _TOO_LARGE,
    "content_too_large": _TOO_LARGE,
    "workspace_quota_error": Meaning(
        DustConfigError,
        "The workspace's storage is full: delete documents in Dust or ask for a larger plan.",
    ),
    "invalid_request_error": Meaning(
        DustRequestError,
        "If Dust names a workspace setting, change it in Dust; otherwise this is a bug, please "
        "report it with this message.",
    ),
    # Dust answers a list request with 400 and this type when its backend fails.
    "data_source_error": _UNAVAILABLE,
    "rate_limit_error": _RATE_LIMITED,
    "service_unavailable": _UNAVAILABLE,
    "internal_server_error": _UNAVAILABLE,
}


_NO_ACCESS = Meaning(
    DustConfigError,
    f"Check api_key, base_url ({_REGIONS}), and any proxy or firewall on the way.",
)

# What a status means when the response is not Dust's own.
_BY_STATUS: dict[int, Meaning] = {
    401: _NO_ACCESS,
    403: _NO_ACCESS,
    404: Meaning(DustConfigError, "Check workspace_id, space_id, data_source_id and base_url."),
    407: Meaning(
        DustConfigError, f"Add the proxy's user name and password to HTTP_PROXY{_PROXY_EXAMPLE}"
    ),
    408: _UNAVAILABLE,
    413: Meaning(
        DustConfigError,
        "A proxy on the way to Dust does not accept requests this large: have its limit raised, or "
        "leave the stream's large fields out in the connection's schema.",
    ),
    429: _RATE_LIMITED,
}


def no_dust_api(failures: list[Failure]) -> Failure:
    """Return the failure of a server that answered 404 on every route."""
    urls = " and ".join(failure.response.url for failure in failures if failure.response)
    return Failure(
        said=f"there is no Dust API at this address (404 from {urls})",
        meaning=Meaning(DustConfigError, _CHECK_BASE_URL),
    )


def tunnel_refused(proxy: str, host: str, status: int, *, had_user: bool) -> Failure:
    """Return the failure of a proxy that answered a CONNECT request with this status.

    `had_user` means that a user name and a password were sent to it.
    """
    said = f"the proxy {proxy} answered {status} when asked for {host}"
    if status == 407 and had_user:
        said = f"the proxy {proxy} refused the user name and password in HTTPS_PROXY ({status})"
        advice = (
            "Check them. Only Basic authentication is supported: ask who runs the proxy for it, or "
            "for a way around the proxy."
        )
    elif status == 407:
        advice = f"Add the proxy's user name and password to HTTPS_PROXY{_PROXY_EXAMPLE}"
    else:
        advice = (
            f"Have the proxy let {host} through, or add it to NO_PROXY (names separated by commas, "
            "without *)."
        )
    return Failure(
        said=said,
        meaning=Meaning(DustConfigError, advice) if status < 500 else _PROXY_UNAVAILABLE,
    )


def _meaning(response: Response) -> Meaning:
    """Return what a failed response means: by Dust's own error type, else by its status."""
    status = response.status
    if status in SUCCESSES:
        # A proxy has answered in Dust's place, perhaps only for now.
        return Meaning(DustUnavailableError, _CHECK_BASE_URL)
    if response.envelope and response.envelope["type"] in MEANINGS:
        return MEANINGS[response.envelope["type"]]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return Meaning(DustConfigError, f"Set base_url to where Dust itself answers: {_REGIONS}.")
    if status >= 500:
        return _UNAVAILABLE
    return Meaning(DustRequestError, _REPORT if response.envelope else _NOT_DUST)


def _said(response: Response) -> str:
    """Return who answered what. Only Dust is quoted: other servers may echo a record."""
    status = response.status
    if response.envelope:
        message = _quotable(response.envelope["message"])
        return f'Dust answered {status} {response.envelope["type"]}, "{message}"'
    if response.location is not None and 300 <= status < 400:
        return f"{_host(response.url)} redirects ({status}) to {_address(response.location)}"
    if status in SUCCESSES:
        return f"{_host(response.url)} answered {status}, but not as Dust does"
    return f"{_host(response.url)} answered {status} without Dust's error message"


def _address(location: str) -> str:
    """Return the target of a redirect without its user, query and fragment: they may be secret."""
    address = re.sub(r"[?#].*|(?<=//)[^/]*@", "", location, flags=re.DOTALL)
    return _quotable(address) or "an unnamed address"


def _quotable(text: str) -> str:
    """Return what a server said as one line of at most 500 characters, with secrets masked."""
    # Masked before it is cut, because half a key would not be recognised.
    return _CONTROL_CHARACTERS.sub(" ", filter_secrets(text))[:_MAX_QUOTED_CHARACTERS]


def _host(url: str) -> str:
    return urlsplit(url).netloc
