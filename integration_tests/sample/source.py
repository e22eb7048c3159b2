"""The source of `make sync` on two days, and how a platform with refreshes on sends what it has."""

from __future__ import annotations

import json
from collections.abc import Iterable

from integration_tests.connector import Message, stream_status
from integration_tests.sample import FAKER_MESSAGES, read_catalog

CHANGED = {"users-10", "users-250", "users-500", "users-750", "users-1000"}
SHOWN = "users-750"
GONE = {"products-50", "users-600", "purchases-900"}
NEW_EMAIL = "new.address@example.com"

_DAY_MS = 24 * 60 * 60 * 1000

# The number of the first job is not 1 as well: PyAirbyte sends three ones for every stream.
_EARLIER_JOBS = 41


def first_day() -> list[Message]:
    """Return the RECORD and STATE messages of the sample."""
    messages = map(json.loads, FAKER_MESSAGES.read_text(encoding="utf-8").splitlines())
    return [message for message in messages if message["type"] in ("RECORD", "STATE")]


def next_day(messages: Iterable[Message]) -> list[Message]:
    """Return what the source sends a day later, when some records have changed or are gone."""
    later = []
    for message in messages:
        if message["type"] == "STATE":
            later.append(message)
        elif (id_ := document_id(record := message["record"])) not in GONE:
            data = {**record["data"], **({"email": NEW_EMAIL} if id_ in CHANGED else {})}
            emitted_at = record["emitted_at"] + _DAY_MS
            later.append({**message, "record": {**record, "data": data, "emitted_at": emitted_at}})
    return later


def records_of(messages: Iterable[Message]) -> dict[str, Message]:
    """Return the data of the records, by the ids of their documents."""
    records = [message["record"] for message in messages if message["type"] == "RECORD"]
    return {document_id(record): record["data"] for record in records}


def states_of(messages: Iterable[Message]) -> list[bytes]:
    return [_line(message) for message in messages if message["type"] == "STATE"]


def document_id(record: Message) -> str:
    return f"{record['stream']}-{record['data']['id']}"


def platform_catalog(generation: int) -> Message:
    """Return the configured catalog of a sync that replaces each stream."""
    replaced = {
        "sync_mode": "full_refresh",
        "destination_sync_mode": "append_dedup",
        "generation_id": generation,
        "minimum_generation_id": generation,
        "sync_id": _EARLIER_JOBS + generation,
    }
    return {"streams": [{**stream, **replaced} for stream in read_catalog()["streams"]]}


def platform_lines(messages: Iterable[Message]) -> list[bytes]:
    """Return the lines of a whole sync: the messages, then that each stream is complete."""
    names = [stream["stream"]["name"] for stream in read_catalog()["streams"]]
    return [*map(_line, messages), *(stream_status(name=name) for name in names)]


def _line(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
