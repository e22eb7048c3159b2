"""Configured catalogs and lines of messages, as Airbyte hands them to a destination."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

Message = dict[str, Any]


def catalog(*streams: Message) -> Message:
    return {"streams": list(streams)}


def stream(
    name: str, primary_key: Any = None, *, namespace: str | None = None, mode: str = "append_dedup"
) -> Message:
    """Return a configured stream; a `primary_key` of "id" stands for [["id"]]."""
    key = [[primary_key]] if isinstance(primary_key, str) else primary_key
    return {
        "stream": {
            "name": name,
            "namespace": namespace,
            "json_schema": {},
            "supported_sync_modes": ["full_refresh", "incremental"],
        },
        "sync_mode": "incremental",
        "destination_sync_mode": mode,
        "primary_key": key,
    }


def record(stream: str, data: Any, *, namespace: str | None = None) -> bytes:
    """Return a RECORD line; `data` may be the JSON text itself."""
    text = data if isinstance(data, str) else json.dumps(data)
    where = "" if namespace is None else f'"namespace":{json.dumps(namespace)},'
    return (
        f'{{"type":"RECORD","record":{{{where}"stream":{json.dumps(stream)},"data":{text},'
        '"emitted_at":1736365559000}}'
    ).encode()


def state(cursor: object) -> bytes:
    """Return a STATE line as Airbyte sends it since 1.7: with an id that must come back."""
    return stream_state({"cursor": cursor}, id=7)


def stream_state(
    content: object, name: str = "users", namespace: str | None = None, **beside: object
) -> bytes:
    """Return a STATE line of one stream with this content, and what is `beside` its state."""
    one = {"stream_descriptor": _descriptor(name, namespace), "stream_state": content}
    message = {"type": "STATE", "state": {"type": "STREAM", "stream": one}, **beside}
    return json.dumps(message).encode()


def stream_status(
    status: str = "COMPLETE", name: str = "users", namespace: str | None = None
) -> bytes:
    """Return a TRACE line with the status of a stream, as the platform and sources send it."""
    one = {"stream_descriptor": _descriptor(name, namespace), "status": status}
    trace = {"type": "STREAM_STATUS", "emitted_at": 1736365559000.0, "stream_status": one}
    return json.dumps({"type": "TRACE", "trace": trace}).encode()


def _descriptor(name: str, namespace: str | None) -> Message:
    return {"name": name} if namespace is None else {"name": name, "namespace": namespace}


USERS = catalog(stream("users", "id"))
"""The catalog of one stream, `users` with the primary key `id`."""


def users_with_states(ids: Iterable[int]) -> list[bytes]:
    """Return the lines of a sync of USERS: a record for each id, and its state right after it."""
    return [line for id_ in ids for line in (record("users", {"id": id_}), state(id_))]
