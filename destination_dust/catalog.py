"""The configured catalog: which streams a sync may write, and how their records are keyed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from operator import attrgetter
from typing import Any

from airbyte_cdk.models import (
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
)

from destination_dust.arguments import CATALOG, name_of_file, read_json_object
from destination_dust.errors import DustConfigError
from destination_dust.stream import Stream, StreamKey, stream_key, stream_name

SUPPORTED_SYNC_MODES = (
    DestinationSyncMode.append,
    DestinationSyncMode.append_dedup,
    DestinationSyncMode.overwrite,
)
_CDK_SYNC_MODES = frozenset(mode.value for mode in DestinationSyncMode)


def read_catalog(path: str) -> ConfiguredAirbyteCatalog:
    """Return the configured catalog in a JSON file, without the schemas of its streams.

    Raises DustConfigError when the file cannot be read, is not a configured catalog, or has an
    unknown sync mode.
    """
    content = read_json_object(path, CATALOG)
    for configured in _configured_in(content):
        _refuse_unknown_mode(configured)
        # The connector never reads it, and the CDK refuses some that sources send.
        configured["stream"]["json_schema"] = {}
    try:
        return ConfiguredAirbyteCatalogSerializer.load(content)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise DustConfigError(
            f"This is not a configured Airbyte catalog: {name_of_file(path, CATALOG)}. {reason}."
        ) from None


def configured_streams(catalog: ConfiguredAirbyteCatalog) -> dict[StreamKey, Stream]:
    """Return the catalog's streams by namespace and name, in its order.

    Raises DustConfigError when a sync mode is not supported, a primary key is not a list of paths,
    a minimum generation is not the current one, or a stream is configured twice.
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
    sharing = {stream.key for group in _sharing_ids(streams.values()) for stream in group}
    return {key: replace(stream, shares_ids=key in sharing) for key, stream in streams.items()}


def notes_on_shared_ids(streams: Iterable[Stream]) -> Iterator[str]:
    """Yield a note for each group of streams that change each other's document ids."""
    for first, second, *others in _sharing_ids(streams):
        more = f" (and {len(others)} more)" if others else ""
        yield (
            f"Streams {stream_name(first.key)} and {stream_name(second.key)}{more}: document ids "
            "end in a digest, because two records of different streams could have the same id. "
            "Documents that were written before these streams were synced together carry other "
            "ids, which later upserts and deletions do not reach, until the stream is refreshed."
        )


def _sharing_ids(streams: Iterable[Stream]) -> list[list[Stream]]:
    """Return the groups of streams that could have the same document ids.

    Sorted, all prefixes that begin with another one come right after it. So each stream needs to be
    compared with one other stream only.
    """
    groups: list[list[Stream]] = []
    for stream in sorted(streams, key=attrgetter("id_prefix")):
        if groups and stream.id_prefix.startswith(groups[-1][0].id_prefix):
            groups[-1].append(stream)
        else:
            groups.append([stream])
    return [group for group in groups if len(group) > 1]


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


def _configured_in(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the streams that have the right shape. The CDK refuses the others."""
    streams = content.get("streams")
    for configured in streams if isinstance(streams, list) else ():
        if isinstance(configured, dict) and isinstance(configured.get("stream"), dict):
            yield configured


def _refuse_unknown_mode(configured: dict[str, Any]) -> None:
    """Raise DustConfigError for an unknown sync mode: the CDK's own error names no stream."""
    mode = configured.get("destination_sync_mode")
    if isinstance(mode, str) and mode not in _CDK_SYNC_MODES:
        stream = configured["stream"]
        raise _unsupported(mode, Stream(str(stream.get("name")), stream.get("namespace")))


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
