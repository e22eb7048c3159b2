"""What an answer that is no success means: what was said, what to do, whether to try again."""

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
"""The statuses with which Dust says that it has done what was asked; older versions say 201."""

_MAX_QUOTED_CHARACTERS = 500
_DUST_ERROR_TYPE = re.compile(r"[a-z_]{1,64}")

_REGIONS = "https://dust.tt is the US, https://eu.dust.tt is Europe"
_TRY_LATER = "Run the sync again later; if this goes on, see https://status.dust.tt."
_REPORT = "This is a defect: please report it with this message."
_CHECK_BASE_URL = f"Check base_url: {_REGIONS}."


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP. `json` is None when the body is not JSON."""

    status: int
    url: str
    json: Any = None
    location: str | None = None
    retry_after_s: float | None = None

    @property
    def envelope(self) -> dict[str, Any] | None:
        """Return the `error` object that Dust itself sends with an error, if there is one."""
        error = self.json.get("error") if isinstance(self.json, dict) else None
        if not isinstance(error, dict) or not isinstance(error.get("message"), str):
            return None
        return error if _DUST_ERROR_TYPE.fullmatch(str(error.get("type"))) else None


@dataclass(frozen=True)
class Failure:
    """Why a request did not succeed, in a user's words, and what kind of error that is."""

    said: str
    advice: str
    kind: type[DustError]
    can_pass: bool = False
    """Whether the same request may succeed when it is repeated."""
    answer: Answer | None = None
    cause: Exception | None = None

    @property
    def is_throttled(self) -> bool:
        """Tell whether this is a rate limit's refusal."""
        return self.answer is not None and self.answer.status == 429

    @property
    def retry_after_s(self) -> float | None:
        """Return how long the server asks to wait, if it does."""
        return self.answer.retry_after_s if self.answer else None

    @property
    def sentence(self) -> str:
        """Return what was said with a full stop, unless a quotation has brought its own."""
        return self.said if self.said.endswith('."') else f"{self.said}."

    def error(self, task: str, stream: StreamDescriptor | None) -> DustError:
        """Return the error to raise for a task such as "upsert document 'users-1'"."""
        error = self.kind(f"Could not {task}: {self.sentence} {self.advice}", stream=stream)
        error.__cause__ = self.cause
        return error


# What Dust's own error types mean for the user. The same status can mean several things: one 403
# is a missing right, another a full quota. Source: dust-tt/dust, `front/lib/error.ts`.
_MEANING: dict[str, tuple[type[DustError], str]] = {
    "not_authenticated": (
        DustConfigError,
        "The Authorization header did not arrive: check the proxy between here and Dust.",
    ),
    "malformed_authorization_header_error": (
        DustConfigError,
        "Check api_key: a Dust API key begins with sk-. Paste it without quotation marks.",
    ),
    "invalid_api_key_error": (
        DustConfigError,
        "Check api_key: the key is mistyped or disabled, or it belongs to the other region, where "
        f"base_url must point ({_REGIONS}).",
    ),
    "workspace_auth_error": (
        DustConfigError,
        "The key belongs to another workspace: check workspace_id, or create a key in this one.",
    ),
    "workspace_not_found": (
        DustConfigError,
        f"Check workspace_id, and that base_url is the workspace's region ({_REGIONS}).",
    ),
    "workspace_can_use_product_required_error": (
        DustConfigError,
        "The plan of the workspace has no API access: ask its admin to change the plan.",
    ),
    "space_not_found": (
        DustConfigError,
        "Check space_id, which begins with vlt_, and that the key may read the space.",
    ),
    "data_source_not_found": (
        DustConfigError,
        "Check space_id and data_source_id: a data source id begins with dts_, dsv_ is a view's; "
        "and the key must have access to the space.",
    ),
    "data_source_auth_error": (
        DustConfigError,
        "Use a data source that is a folder, not one that a Dust connection manages, and a key "
        "that may write to its space.",
    ),
    "data_source_quota_error": (
        DustConfigError,
        "The record is larger than the workspace's plan allows for one document: leave its large "
        "fields out in the connection's schema, or ask for a larger plan.",
    ),
    "workspace_quota_error": (
        DustConfigError,
        "The workspace's storage is full: delete documents in Dust or ask for a larger plan.",
    ),
    "rate_limit_error": (
        DustUnavailableError,
        "Dust takes 120 upserts a minute for a whole workspace, and other clients left none of "
        "them: run the sync again when they write less.",
    ),
}


def failure(answer: Answer) -> Failure:
    """Return what an answer that is no success means."""
    kind, advice = _meaning(answer)
    return Failure(
        said=_said(answer),
        advice=advice,
        kind=kind,
        can_pass=_can_pass(answer.status),
        answer=answer,
    )


def no_dust_api(urls: list[str]) -> Failure:
    """Return the failure for a server that knows none of the ways to write Dust's routes."""
    return Failure(
        said=f"there is no Dust API at this address (404 from {' and '.join(urls)})",
        advice=_CHECK_BASE_URL,
        kind=DustConfigError,
    )


def _can_pass(status: int) -> bool:
    # A success is here when its body is not Dust's: something on the way to Dust is out of order.
    return status in (*SUCCESSES, 429) or status >= 500


def _meaning(answer: Answer) -> tuple[type[DustError], str]:
    if answer.envelope and answer.envelope["type"] in _MEANING:
        return _MEANING[answer.envelope["type"]]
    status = answer.status
    if status in SUCCESSES:
        return DustUnavailableError, _CHECK_BASE_URL
    if 300 <= status < 400:
        return DustConfigError, f"Set base_url to where Dust itself answers: {_REGIONS}."
    if status == 413:
        return _MEANING["data_source_quota_error"]
    if status == 429:
        return _MEANING["rate_limit_error"]
    if status >= 500:
        return DustUnavailableError, _TRY_LATER
    if status in (401, 403):
        return DustConfigError, f"Check api_key, and base_url ({_REGIONS})."
    if status == 404:
        return DustConfigError, "Check workspace_id, space_id, data_source_id and base_url."
    return DustRequestError, _REPORT


def _said(answer: Answer) -> str:
    """Return who answered what. Only Dust's own words are quoted: others may echo a record."""
    status = answer.status
    if answer.envelope:
        # Secrets are masked before the cut: half a key would not be recognised.
        message = filter_secrets(answer.envelope["message"])[:_MAX_QUOTED_CHARACTERS]
        return f'Dust answered {status} {answer.envelope["type"]}, "{message}"'
    if 300 <= status < 400:
        return f"the server redirects ({status}) to {_address(answer.location)}"
    if status in SUCCESSES:
        return f"{_host(answer.url)} answered {status}, but not as Dust does"
    return f"{_host(answer.url)} answered {status} without Dust's error message"


def _address(location: str | None) -> str:
    """Return the target of a redirect without what may be secret in it: user, query, fragment."""
    address = re.sub(r"[?#].*|(?<=//)[^/@]*@", "", location or "", flags=re.DOTALL)
    return address[:_MAX_QUOTED_CHARACTERS] or "an unnamed address"


def _host(url: str) -> str:
    return urlsplit(url).netloc
