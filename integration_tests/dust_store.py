"""What Dust does with a request, apart from HTTP: who may, what is refused, what is kept."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ada_url

API_KEY = "sk-local-dust-1"
WORKSPACE_ID = "local-workspace"
SPACE_ID = "vlt_local"
DATA_SOURCE_ID = "dts_local"

MAX_TITLE_UTF16_UNITS = 512
MAX_ID_BYTES = 446

# Below this, Dust reads a timestamp as seconds.
_LEAST_MILLISECONDS = 10**10

_UPSERT_FIELDS: dict[str, type | tuple[type, ...]] = {
    "title": str,
    "mime_type": str,
    "text": str,
    "source_url": str,
    "tags": list,
    "timestamp": (int, float),
    "light_document_output": bool,
    "async": bool,
}


@dataclass(frozen=True)
class ApiKey:
    """A key of one workspace; not every key may write."""

    workspace_id: str
    can_write: bool = True


@dataclass(frozen=True)
class DataSource:
    """Where a data source is. A managed one belongs to a Dust connection: no one else writes."""

    workspace_id: str
    space_id: str
    id: str
    is_managed: bool = False


@dataclass(frozen=True)
class Options:
    """What this Dust is: who may use it, what exists in it, and its limits."""

    api_keys: dict[str, ApiKey] = field(default_factory=lambda: {API_KEY: ApiKey(WORKSPACE_ID)})
    data_sources: tuple[DataSource, ...] = (DataSource(WORKSPACE_ID, SPACE_ID, DATA_SOURCE_ID),)
    workspaces_without_api: frozenset[str] = frozenset()
    upserts_per_window: int = 120
    window_s: float = 60.0
    max_text_utf16_units: int = 2 * 1024 * 1024
    max_documents: int | None = None


class DustRefusal(Exception):  # noqa: N818 - it is an answer
    """An answer with Dust's error envelope."""

    def __init__(self, status: int, type_: str, message: str) -> None:
        super().__init__(type_)
        self.status = status
        self.type = type_
        self.message = message


class DustStore:
    """The documents of every data source, in memory, behind Dust's rules.

    Each method raises DustRefusal where Dust refuses.
    """

    def __init__(self, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self.options = options
        self.documents: dict[DataSource, dict[str, dict[str, Any]]] = {
            source: {} for source in options.data_sources
        }
        self._clock = clock
        self._upserts_s: dict[str, deque[float]] = defaultdict(deque)

    def authenticate(self, authorization: str | None, workspace_id: str) -> ApiKey:
        """Return the key of an Authorization header, when it is one of the workspace."""
        if authorization is None:
            raise DustRefusal(
                401, "not_authenticated", "The request does not have valid authentication."
            )
        secret = authorization.removeprefix("Bearer ")
        if secret == authorization or not secret.startswith("sk-"):
            raise DustRefusal(
                401, "malformed_authorization_header_error", "Malformed Authorization header."
            )
        key = self.options.api_keys.get(secret)
        if key is None:
            raise DustRefusal(401, "invalid_api_key_error", "The API key provided is invalid.")
        if workspace_id not in {source.workspace_id for source in self.options.data_sources}:
            raise DustRefusal(404, "workspace_not_found", "The workspace was not found.")
        if key.workspace_id != workspace_id:
            raise DustRefusal(
                401, "workspace_auth_error", "The API key does not belong to this workspace."
            )
        if workspace_id in self.options.workspaces_without_api:
            raise DustRefusal(
                403,
                "workspace_can_use_product_required_error",
                "Your current plan does not allow API access.",
            )
        return key

    def data_source(self, workspace_id: str, space_id: str, data_source_id: str) -> DataSource:
        """Return the data source of these ids."""
        in_space = [
            source
            for source in self.options.data_sources
            if (source.workspace_id, source.space_id) == (workspace_id, space_id)
        ]
        if not in_space:
            raise DustRefusal(404, "space_not_found", "The space you requested was not found.")
        for source in in_space:
            if source.id == data_source_id:
                return source
        raise DustRefusal(
            404, "data_source_not_found", "The data source you requested was not found."
        )

    def upsert(self, source: DataSource, key: ApiKey, id_: str, body: dict[str, Any]) -> None:
        """Keep a document whose body has passed `validate_body`, in Dust's order of checks."""
        if source.is_managed or not key.can_write:
            raise DustRefusal(
                403, "data_source_auth_error", "You cannot upsert a document in this data source."
            )
        self._take_slot(source.workspace_id)
        _validate_source_url(body.get("source_url") or "")
        self._validate_size(source, id_, body.get("text", ""))
        if utf16_units(body.get("title", "")) > MAX_TITLE_UTF16_UNITS:
            raise _invalid_request(f"Title must be at most {MAX_TITLE_UTF16_UNITS} characters.")
        if len(id_.encode()) > MAX_ID_BYTES:
            raise DustRefusal(500, "internal_server_error", "There was an error upserting.")
        self.documents[source][id_] = {
            **body,
            "document_id": id_,
            "title": body.get("title", "").strip() or id_,
            "timestamp": _milliseconds(body.get("timestamp")),
        }

    def _take_slot(self, workspace_id: str) -> None:
        now_s = self._clock()
        taken_s = self._upserts_s[workspace_id]
        while taken_s and now_s - taken_s[0] >= self.options.window_s:
            taken_s.popleft()
        if len(taken_s) >= self.options.upserts_per_window:
            raise DustRefusal(
                429,
                "rate_limit_error",
                f"You have reached the maximum number of {self.options.upserts_per_window} "
                "upserts per minute of your workspace.",
            )
        taken_s.append(now_s)

    def _validate_size(self, source: DataSource, id_: str, text: str) -> None:
        if utf16_units(text) > self.options.max_text_utf16_units:
            raise DustRefusal(
                403, "data_source_quota_error", "Data sources document upload size is limited."
            )
        limit = self.options.max_documents
        stored = self.documents[source]
        if limit is not None and id_ not in stored and len(stored) >= limit:
            raise DustRefusal(403, "workspace_quota_error", "The workspace's storage is full.")


def validate_body(body: Any) -> dict[str, Any]:
    """Return the upsert body when it has the shape that Dust's schema asks for."""
    if not isinstance(body, dict):
        raise _invalid_request("Expected an object.")
    for name, kinds in _UPSERT_FIELDS.items():
        if name in body and not isinstance(body[name], kinds):
            raise _invalid_request(f"Invalid request body: {name} has the wrong type.")
    if "parents" in body or "parent_id" in body:
        raise _invalid_request("Custom parents are not supported.")
    tags = body.get("tags", [])
    if not all(isinstance(tag, str) and not tag.startswith("__DUST") for tag in tags):
        raise _invalid_request("Invalid tags.")
    if not isinstance(body.get("text"), str):
        raise _invalid_request("Invalid request body, `text` is required.")
    return body


def utf16_units(text: str) -> int:
    """Return the length of a text as JavaScript counts it."""
    return len(text.encode("utf-16-le")) // 2


def _validate_source_url(text: str) -> None:
    if not text:
        return
    try:
        url = ada_url.URL(text)
    except ValueError:
        raise _invalid_request("Invalid request body, `source_url` must be a valid URL.") from None
    if url.protocol not in ("http:", "https:") or "//" in url.pathname:
        raise _invalid_request("Invalid request body, `source_url` must be a valid URL.")


def _milliseconds(timestamp: float | None) -> int:
    if timestamp is None or timestamp < 0:
        return time.time_ns() // 1_000_000
    return int(timestamp) if timestamp >= _LEAST_MILLISECONDS else int(timestamp * 1000)


def _invalid_request(message: str) -> DustRefusal:
    return DustRefusal(400, "invalid_request_error", message)
