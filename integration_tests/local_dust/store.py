"""What Dust does with a request, apart from HTTP: rights, limits, and what it stores."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

import ada_url

from integration_tests.local_dust import responses
from integration_tests.local_dust.activity import Activity
from integration_tests.local_dust.documents import Document, Documents, stored_document
from integration_tests.local_dust.last_sync import LastSync
from integration_tests.local_dust.options import ApiKey, DataSource, Options

MAX_TITLE_UTF16_UNITS = 512
MAX_ID_BYTES = 446
MAX_TIMESTAMP_MS = 2**64 - 1

_NULL = type(None)
_UPSERT_FIELDS: dict[str, tuple[type, ...]] = {
    "title": (str, _NULL),
    "mime_type": (str, _NULL),
    "text": (str, _NULL),
    "source_url": (str, _NULL),
    "tags": (list, _NULL),
    "parents": (list, _NULL),
    "parent_id": (str, _NULL),
    "timestamp": (int, float, _NULL),
    "light_document_output": (bool,),
    "async": (bool, _NULL),
}

_REFUSALS = {
    "not_authenticated": (401, "The request does not have valid authentication credentials."),
    "malformed_authorization_header_error": (401, "Malformed Authorization header"),
    "invalid_api_key_error": (401, "The API key provided is invalid or disabled."),
    "workspace_not_found": (404, "The workspace was not found."),
    "workspace_can_use_product_required_error": (
        403,
        "Your current plan does not allow API access.",
    ),
    "workspace_auth_error": (401, "The API key does not belong to this workspace."),
    "data_source_not_found": (404, "The data source you requested was not found."),
    "data_source_auth_error": (403, "You are not allowed to update data in this data source."),
    "data_source_quota_error": (403, "Data sources document upload size is limited."),
    "data_source_error": (400, "There was an error retrieving the data source document."),
    "internal_server_error": (500, "There was an error upserting the document."),
    "invalid_request_error": (400, ""),
    "rate_limit_error": (429, ""),
}
"""Status and usual message of each type of error."""


class DustRefusal(Exception):  # noqa: N818 - it is a response
    """A response with Dust's error envelope, and with the `data_source_error` of its engine."""

    def __init__(self, type_: str, message: str = "", *, data_source_error: Any = None) -> None:
        super().__init__(type_)
        self.type = type_
        self.status, usual_message = _REFUSALS[type_]
        self.body = {"error": {"type": type_, "message": message or usual_message}}
        if data_source_error:
            self.body["error"]["data_source_error"] = data_source_error


class DustStore:
    """The documents of every data source, in memory, behind Dust's rules.

    Each method raises DustRefusal where Dust refuses.
    """

    def __init__(self, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self.options = options
        self.documents = {source: Documents(options) for source in options.data_sources}
        self.activity = {
            source.workspace_id: Activity(options.window_s, clock)
            for source in options.data_sources
        }
        self.last_syncs = {source: LastSync() for source in options.data_sources}
        self._clock = clock
        self._upserts_s: dict[str, deque[float]] = defaultdict(deque)

    def authenticate(self, authorization: str | None, workspace_id: str) -> ApiKey:
        """Return the key in an Authorization header, if it belongs to the workspace."""
        if authorization is None:
            raise DustRefusal("not_authenticated")
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip().startswith("sk-"):
            raise DustRefusal("malformed_authorization_header_error")
        key = self.options.api_keys.get(secret.strip())
        if key is None:
            raise DustRefusal("invalid_api_key_error")
        if workspace_id not in {source.workspace_id for source in self.options.data_sources}:
            raise DustRefusal("workspace_not_found")
        if workspace_id in self.options.workspaces_without_api:
            raise DustRefusal("workspace_can_use_product_required_error")
        if key.workspace_id != workspace_id:
            raise DustRefusal("workspace_auth_error")
        return key

    def data_source(self, key: ApiKey, space_id: str, data_source_id: str) -> DataSource:
        ids = (key.workspace_id, space_id, data_source_id)
        for source in self.options.data_sources:
            if (source.workspace_id, source.space_id, source.id) == ids:
                return source
        raise DustRefusal("data_source_not_found")

    def list_documents(
        self, source: DataSource, limit: int, offset: int, ids: list[str]
    ) -> dict[str, Any]:
        """Return the response to a list. `total` counts all documents, whatever the ids."""
        documents = self.documents[source]
        page = [responses.listed(document) for document in documents.page(limit, offset, ids)]
        return {"documents": page, "total": len(documents)}

    def read(self, source: DataSource, id_: str) -> dict[str, Any]:
        document = self.documents[source].get(id_)
        if document is None:
            message = f"No document found for id `{id_}`"
            error = {"code": "data_source_document_not_found", "message": message}
            raise DustRefusal("data_source_error", data_source_error=error)
        return {"document": document}

    def delete(self, source: DataSource, key: ApiKey, id_: str, connection: int) -> dict[str, Any]:
        """Delete a document if there is one, and return the response."""
        _validate_rights(source, key)
        if self.documents[source].pop(id_, None):
            self.last_syncs[source].note_delete(connection, self.options.now_ms())
            self.activity[source.workspace_id].count("delete")
        return {"document": {"document_id": id_}}

    def upsert(
        self,
        source: DataSource,
        key: ApiKey,
        id_: str,
        body: dict[str, Any],
        connection: int = 0,
    ) -> dict[str, Any]:
        """Store a document whose body has passed `validate_body`, and return the response.

        The checks are in Dust's order. An asynchronous upsert is stored at once, too.
        """
        _validate_rights(source, key)
        self.last_syncs[source].note_upsert(connection, self.options.now_ms())
        self._take_slot(source.workspace_id)
        source_url = _standardised_url(body.get("source_url") or "")
        self._validate_text(body.get("text"))
        _validate_parents(body)
        if utf16_units(body.get("title") or "") > MAX_TITLE_UTF16_UNITS:
            raise _invalid_request(
                f"Invalid title: title too long (max {MAX_TITLE_UTF16_UNITS} characters)."
            )
        if any(tag.startswith("__DUST") for tag in body.get("tags") or ()):
            raise _engine_error("reserved tag prefix __DUST")
        document = stored_document(source, id_, {**body, "source_url": source_url}, self.options)
        _validate_for_engine(document)
        self.documents[source][id_] = document
        # The search index refuses only what is stored already.
        if len(id_.encode()) > MAX_ID_BYTES:
            raise _engine_error("Failed to index node: id is too long")
        if body.get("async"):
            return {"document": {"document_id": id_}}
        show = responses.light if body.get("light_document_output") else responses.whole
        return {"document": show(document), "data_source": responses.data_source(source)}

    def put(self, source: DataSource, id_: str, body: dict[str, Any]) -> None:
        """Store a document without checking rights, limits or rules."""
        self.documents[source][id_] = stored_document(source, id_, body, self.options)

    def _take_slot(self, workspace_id: str) -> None:
        now_s = self._clock()
        taken_s = self._upserts_s[workspace_id]
        while taken_s and now_s - taken_s[0] >= self.options.window_s:
            taken_s.popleft()
        if len(taken_s) >= self.options.upserts_per_window:
            self.activity[workspace_id].count("refusal")
            most = self.options.upserts_per_window
            message = f"You have reached the maximum number of {most} upserts per minute."
            raise DustRefusal("rate_limit_error", message)
        taken_s.append(now_s)
        self.activity[workspace_id].count("upsert")

    def _validate_text(self, text: str | None) -> None:
        if text is None:
            raise _invalid_request("Invalid request body, `text` or `section` must be provided.")
        if utf16_units(text) > self.options.max_text_utf16_units:
            raise DustRefusal("data_source_quota_error")


def validate_page(query: Mapping[str, str]) -> tuple[int, int]:
    try:
        limit, offset = int(query.get("limit", "10")), int(query.get("offset", "0"))
    except ValueError:
        raise _invalid_request("Invalid query parameters: Expected number.") from None
    if limit < 0 or offset < 0:
        raise _invalid_request("Invalid query parameters: Number must not be negative.")
    return limit, offset


def validate_body(body: Any) -> dict[str, Any]:
    """Return the body of an upsert, if it matches Dust's schema."""
    if not isinstance(body, dict):
        raise _invalid_request("Invalid request body: Expected object.")
    for name, kinds in _UPSERT_FIELDS.items():
        if name in body and type(body[name]) not in kinds:
            raise _invalid_request(f'Invalid request body: wrong type at "{name}".')
    for name in ("tags", "parents"):
        if not all(isinstance(item, str) for item in body.get(name) or ()):
            raise _invalid_request(f'Invalid request body: Expected strings in "{name}".')
    return body


def utf16_units(text: str) -> int:
    """Return the length of a text as JavaScript counts it."""
    return len(text.encode("utf-16-le")) // 2


def _validate_rights(source: DataSource, key: ApiKey) -> None:
    if source.is_managed:
        message = "You cannot write to a managed data source."
        raise DustRefusal("data_source_auth_error", message)
    if not key.can_write:
        raise DustRefusal("data_source_auth_error")


def _standardised_url(text: str) -> str:
    if not text:
        return ""
    url = ada_url.URL(text) if ada_url.check_url(text) else None
    if url is None or url.protocol not in ("http:", "https:") or "//" in url.pathname:
        raise _invalid_request(
            "Invalid request body, `source_url` if provided must be a valid URL."
        )
    return str(url.href)


def _validate_parents(body: dict[str, Any]) -> None:
    for name in ("parents", "parent_id"):
        # An empty list is something to JavaScript, an empty string is nothing.
        if body.get(name) not in (None, ""):
            raise _invalid_request(
                f"Setting a custom hierarchy is not supported yet. Please omit the {name} field."
            )


def _validate_for_engine(document: Document) -> None:
    if document["timestamp"] > MAX_TIMESTAMP_MS:
        raise _engine_error("timestamp: number out of range")
    texts = (document["document_id"], document["title"], *document["tags"])
    if any("\0" in text for text in texts):
        raise _engine_error('invalid byte sequence for encoding "UTF8": 0x00')


def _engine_error(what: str) -> DustRefusal:
    message = f"Failed to upsert document (error: {what})"
    error = {"code": "internal_server_error", "message": message}
    return DustRefusal("internal_server_error", data_source_error=error)


def _invalid_request(message: str) -> DustRefusal:
    return DustRefusal("invalid_request_error", message)
