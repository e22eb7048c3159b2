"""The configured catalog: which streams a sync may write, and how their records are keyed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from airbyte_cdk.models import (
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
)

from destination_dust.errors import DustConfigError
from destination_dust.stream import Stream, StreamKey, stream_key

SUPPORTED_SYNC_MODES = (
    DestinationSyncMode.append,
    DestinationSyncMode.append_dedup,
    DestinationSyncMode.overwrite,
)

_CONFIGURED_FIELDS = (
    "sync_mode",
    "destination_sync_mode",
    "primary_key",
    "generation_id",
    "minimum_generation_id",
    "sync_id",
)
_STREAM_FIELDS = ("name", "namespace", "source_defined_primary_key", "is_resumable")
_CDK_SYNC_MODES = frozenset(mode.value for mode in DestinationSyncMode)


def read_catalog(path: str) -> ConfiguredAirbyteCatalog:
    """Return the configured catalog in a JSON file, without what the connector never reads of it.

    Raises DustConfigError when the file cannot be read or holds no configured catalog, or a sync
    mode that is not known.
    """
    try:
        # Not orjson, which refuses numbers and texts that a schema may hold.
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
        if isinstance(content, dict) and isinstance(content.get("streams"), list):
            content = {"streams": [_as_read(configured) for configured in content["streams"]]}
        return ConfiguredAirbyteCatalogSerializer.load(content)
    except OSError as error:
        raise DustConfigError(f"Could not read the configured catalog: {error}.") from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DustConfigError(f"{path} is not a configured Airbyte catalog: {reason}.") from error


def configured_streams(catalog: ConfiguredAirbyteCatalog) -> dict[StreamKey, Stream]:
    """Return the catalog's streams by namespace and name, in its order.

    Raises DustConfigError for a sync mode that is not supported, for a primary key that is not a
    list of paths, for a minimum generation that is not the current one, and for a stream that is
    configured twice.
    """
    streams: dict[StreamKey, Stream] = {}
    for configured in catalog.streams:
        stream = _stream(configured)
        if streams.setdefault(stream.key, stream) is not stream:
            raise DustConfigError(
                f"Stream {stream.name!r} is configured twice: which of its primary keys counts is "
                "not known.",
                stream=stream.descriptor,
            )
    sharing_ids = _sharing_ids(streams.values())
    return {key: replace(stream, shares_ids=key in sharing_ids) for key, stream in streams.items()}


def _sharing_ids(streams: Iterable[Stream]) -> set[StreamKey]:
    """Return the keys of the streams that could come to the same document ids as another stream.

    In sorted order all that begin with a prefix come right after it, so each stream is compared
    with one other only, however many there are.
    """
    keys: set[StreamKey] = set()
    shortest: Stream | None = None
    for stream in sorted(streams, key=attrgetter("id_prefix")):
        if shortest is not None and stream.id_prefix.startswith(shortest.id_prefix):
            keys |= {shortest.key, stream.key}
        else:
            shortest = stream
    return keys


def _stream(configured: ConfiguredAirbyteStream) -> Stream:
    namespace, name = stream_key(configured.stream.namespace, configured.stream.name)
    stream = Stream(name, namespace)
    mode = configured.destination_sync_mode
    if mode not in SUPPORTED_SYNC_MODES:
        raise _unsupported(getattr(mode, "value", mode), stream)
    primary_key = configured.primary_key or configured.stream.source_defined_primary_key or []
    if not _is_list_of_paths(primary_key):
        raise DustConfigError(
            f"The primary key of stream {stream.name!r} is not a list of paths, as in "
            '[["id"]] or [["org", "id"], ["number"]]: choose the primary key again in the '
            "connection.",
            stream=stream.descriptor,
        )
    generation, minimum = configured.generation_id, configured.minimum_generation_id
    if minimum and minimum != generation:
        raise DustConfigError(
            f"Stream {stream.name!r} has the minimum_generation_id {minimum} and the generation_id "
            f"{generation}: the connector can keep all generations (0) or the current one alone.",
            stream=stream.descriptor,
        )
    return replace(
        stream,
        primary_key=tuple(tuple(path) for path in primary_key),
        is_deduped=mode is DestinationSyncMode.append_dedup,
    )


def _as_read(configured: Any) -> Any:
    """Return what the connector reads of a configured stream: the rest may hold anything.

    Raises DustConfigError for a sync mode newer than the CDK, whose own error names no stream.
    """
    if not isinstance(configured, dict) or not isinstance(configured.get("stream"), dict):
        return configured
    # Without these two the CDK takes no stream.
    stream: dict[str, Any] = {"json_schema": {}, "supported_sync_modes": []}
    stream |= _only(_STREAM_FIELDS, configured["stream"])
    mode = configured.get("destination_sync_mode")
    if isinstance(mode, str) and mode not in _CDK_SYNC_MODES:
        namespace = stream.get("namespace")
        named = Stream(str(stream.get("name")), str(namespace) if namespace else None)
        raise _unsupported(mode, named)
    return {**_only(_CONFIGURED_FIELDS, configured), "stream": stream}


def _only(names: Iterable[str], fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}


def _unsupported(mode: str, stream: Stream) -> DustConfigError:
    return DustConfigError(
        f"Stream {stream.name!r} has the sync mode {mode!r}, which Dust cannot do: choose append, "
        "append_dedup or overwrite for it in the connection.",
        stream=stream.descriptor,
    )


def _is_list_of_paths(primary_key: Any) -> bool:
    return isinstance(primary_key, list) and all(
        isinstance(path, list) and path and all(isinstance(name, str) for name in path)
        for path in primary_key
    )
