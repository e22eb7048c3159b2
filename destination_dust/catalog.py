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
from serpyco_rs import SchemaValidationError

from destination_dust.arguments import CATALOG, name_of_file, read_json_object
from destination_dust.errors import DustConfigError
from destination_dust.stream import Stream, StreamKey, stream_key, stream_name

SUPPORTED_SYNC_MODES = (
    DestinationSyncMode.append,
    DestinationSyncMode.append_dedup,
    DestinationSyncMode.overwrite,
)
_CDK_SYNC_MODES = frozenset(mode.value for mode in DestinationSyncMode)
_MOST_NAMED = 10


def read_catalog(path: str) -> ConfiguredAirbyteCatalog:
    """Return the configured catalog in a JSON file, without the schemas of its streams.

    Raises DustConfigError when the file cannot be read, is not a configured catalog, or has an
    unknown sync mode.
    """
    content = read_json_object(path, CATALOG)
    for configured in _configured_in(content):
        _refuse_what_the_cdk_explains_badly(configured)
        # The connector never reads these, and the CDK refuses some that platforms send.
        configured["stream"] |= {"json_schema": {}, "supported_sync_modes": []}
    try:
        return ConfiguredAirbyteCatalogSerializer.load(content)
    except SchemaValidationError as error:
        # Not its messages, which quote the catalog.
        places = ", ".join(sorted({item.instance_path for item in error.errors}))
        raise DustConfigError(
            f"This is not a configured Airbyte catalog: {name_of_file(path, CATALOG)}. Something "
            f"is missing or has the wrong type at {places}. (The output of discover is not a "
            "configured catalog.)"
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
                f"Stream {stream.name!r} is configured twice. Remove one of them from the catalog.",
                stream=stream.descriptor,
            )
    sharing = {stream.key for group in _sharing_ids(streams.values()) for stream in group}
    return {key: replace(stream, shares_ids=key in sharing) for key, stream in streams.items()}


def notes_on_shared_ids(streams: Iterable[Stream]) -> Iterator[str]:
    """Yield a note for each group of streams that change each other's document ids."""
    for group in _sharing_ids(streams):
        names = ", ".join(stream_name(stream.key) for stream in group[:_MOST_NAMED])
        more = f" and {len(group) - _MOST_NAMED} more" if len(group) > _MOST_NAMED else ""
        yield (
            f"Streams {names}{more}: document ids end in a digest, because two records of "
            "different streams could have the same id. Documents that were written before these "
            "streams were synced together have other ids. Later upserts and deletions do not reach "
            "them until the stream is refreshed."
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
        raise _wrong_primary_key(stream)
    generation, minimum = configured.generation_id, configured.minimum_generation_id
    if minimum and minimum != generation:
        raise DustConfigError(
            f"The minimum_generation_id of stream {stream.name!r} is {minimum}, but it must be 0 "
            f"or its generation_id ({generation}). Airbyte sets both: correct them only in a "
            "catalog of your own.",
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


def _refuse_what_the_cdk_explains_badly(configured: dict[str, Any]) -> None:
    """Raise DustConfigError for an unknown sync mode or a malformed primary key.

    The CDK refuses them too, but without the name of the stream.
    """
    name, namespace = (configured["stream"].get(key) for key in ("name", "namespace"))
    if not isinstance(name, str):
        return
    stream = Stream(name, namespace if isinstance(namespace, str) else None)
    mode = configured.get("destination_sync_mode")
    if isinstance(mode, str) and mode not in _CDK_SYNC_MODES:
        raise _unsupported(mode, stream)
    keys = (configured.get("primary_key"), configured["stream"].get("source_defined_primary_key"))
    if not all(key is None or _is_list_of_paths(key) for key in keys):
        raise _wrong_primary_key(stream)


def _wrong_primary_key(stream: Stream) -> DustConfigError:
    return DustConfigError(
        f"The primary key of stream {stream.name!r} is not a list of paths, as in "
        '[["id"]] or [["org", "id"], ["number"]]: choose the primary key again in the '
        "connection.",
        stream=stream.descriptor,
    )


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
