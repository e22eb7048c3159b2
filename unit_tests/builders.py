"""Builds what the tests are about: streams, their configuration, records and documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airbyte_cdk.models import (
    AirbyteRecordMessage,
    AirbyteStream,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
)

from destination_dust import exact_json
from destination_dust.document import Document, to_document
from destination_dust.stream import Stream

EMITTED_AT_MS = 1736365559000

USERS = Stream("users", primary_key=(("id",),))
EVENTS = Stream("events")


def record_of(
    stream: Stream, data: Mapping[str, Any] | str, emitted_at_ms: int = EMITTED_AT_MS
) -> AirbyteRecordMessage:
    """Return a record of the stream; `data` may be the JSON text itself."""
    return AirbyteRecordMessage(
        stream=stream.name,
        namespace=stream.namespace,
        data=exact_json.loads(data) if isinstance(data, str) else dict(data),
        emitted_at=emitted_at_ms,
    )


def document_of(
    stream: Stream, data: Mapping[str, Any] | str, emitted_at_ms: int = EMITTED_AT_MS
) -> Document:
    """Return the document of such a record."""
    return to_document(stream, record_of(stream, data, emitted_at_ms))


def configured(
    name: str,
    namespace: str | None = None,
    primary_key: Any = None,
    mode: DestinationSyncMode = DestinationSyncMode.append,
    *,
    sync_mode: SyncMode = SyncMode.full_refresh,
    is_resumable: bool | None = None,
    generations: tuple[int | None, int | None, int | None] = (None, None, None),
) -> ConfiguredAirbyteStream:
    """Return a stream as the configured catalog holds it.

    `generations` are its generation_id, minimum_generation_id and sync_id.
    """
    generation_id, minimum_generation_id, sync_id = generations
    return ConfiguredAirbyteStream(
        stream=AirbyteStream(
            name=name,
            namespace=namespace,
            json_schema={},
            supported_sync_modes=[SyncMode.full_refresh],
            is_resumable=is_resumable,
        ),
        sync_mode=sync_mode,
        destination_sync_mode=mode,
        primary_key=primary_key,
        generation_id=generation_id,
        minimum_generation_id=minimum_generation_id,
        sync_id=sync_id,
    )


def catalog_of(*streams: ConfiguredAirbyteStream) -> ConfiguredAirbyteCatalog:
    """Return a configured catalog."""
    return ConfiguredAirbyteCatalog(streams=list(streams))
