"""The configured catalog: which streams a sync may write, and how their records are keyed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress

from airbyte_cdk.models import (
    AirbyteRecordMessage,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
)
from serpyco_rs import SchemaValidationError

from destination_dust.command_line import CATALOG, name_of_file, read_json_object
from destination_dust.errors import DustConfigError
from destination_dust.stream import Stream, StreamKey, stream_key

SUPPORTED_SYNC_MODES = (
    DestinationSyncMode.append,
    DestinationSyncMode.append_dedup,
    DestinationSyncMode.overwrite,
)


class Streams:
    """The configured streams of a sync, in the order of the catalog."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        self._by_key = {stream.key: stream for stream in streams}
        self._by_name: defaultdict[str, list[Stream]] = defaultdict(list)
        for stream in self:
            self._by_name[stream.name].append(stream)

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._by_key.values())

    def of(self, record: AirbyteRecordMessage) -> Stream | None:
        """Return the stream that a record belongs to, or None if the catalog does not have it."""
        return self.named(record.namespace, record.stream)

    def named(self, namespace: str | None, name: str) -> Stream | None:
        """Return the stream that a message names, or None if the catalog does not have it.

        PyAirbyte's caches leave out the namespace. Then it is the stream of this name that has no
        namespace, or else the only stream of this name.
        """
        key = stream_key(namespace, name)
        if key in self._by_key or namespace:
            return self._by_key.get(key)
        return self.only(name)

    def only(self, name: str) -> Stream | None:
        """Return the stream of this name, or None unless there is exactly one."""
        named = self._by_name.get(name, [])
        return named[0] if len(named) == 1 else None


def read_catalog(path: str) -> ConfiguredAirbyteCatalog:
    """Return the configured catalog in a JSON file, without the schemas of its streams.

    Raises DustConfigError when the file cannot be read or is not a configured catalog.
    """
    content = read_json_object(path, CATALOG)
    # The connector never reads these, and the CDK refuses some that platforms send.
    with suppress(AttributeError, KeyError, TypeError):
        for configured in content["streams"]:
            configured["stream"].update(json_schema={}, supported_sync_modes=[])
    try:
        return ConfiguredAirbyteCatalogSerializer.load(content)
    except SchemaValidationError as error:
        # Not its messages, which quote the catalog.
        raise DustConfigError(
            f"{name_of_file(path, CATALOG)} is not a configured Airbyte catalog: "
            f"{error.errors[0].instance_path!r} is missing or has the wrong type or value. (The "
            "output of discover is not a configured catalog.)"
        ) from None


def configured_streams(catalog: ConfiguredAirbyteCatalog) -> Streams:
    """Return the catalog's streams.

    Raises DustConfigError when a sync mode is not supported, a primary key has an empty path, a
    minimum generation is not the current one, or a stream is configured twice.
    """
    streams: dict[StreamKey, Stream] = {}
    for stream in map(_stream, catalog.streams):
        if streams.setdefault(stream.key, stream) is not stream:
            raise DustConfigError(
                f"Stream {stream.name!r} is configured twice. Choose the source-defined namespace "
                "in the connection, or sync only one of them.",
                stream=stream.descriptor,
            )
    return Streams(streams.values())


def _stream(configured: ConfiguredAirbyteStream) -> Stream:
    namespace, name = stream_key(configured.stream.namespace, configured.stream.name)
    mode = configured.destination_sync_mode
    primary_key = configured.primary_key or configured.stream.source_defined_primary_key or []
    stream = Stream(
        name,
        namespace,
        primary_key=tuple(tuple(path) for path in primary_key),
        is_deduped=mode is DestinationSyncMode.append_dedup,
    )
    if mode not in SUPPORTED_SYNC_MODES:
        raise DustConfigError(
            f"Stream {name!r} has the sync mode {mode.value!r}, which this destination does not "
            "support: choose append, append_dedup or overwrite for it in the connection.",
            stream=stream.descriptor,
        )
    if not all(stream.primary_key):
        raise DustConfigError(
            f"The primary key of stream {name!r} is not a list of paths, as in "
            '[["id"]] or [["org", "id"], ["number"]]: choose the primary key again in the '
            "connection.",
            stream=stream.descriptor,
        )
    generation, minimum = configured.generation_id, configured.minimum_generation_id
    if minimum and minimum != generation:
        raise DustConfigError(
            f"The minimum_generation_id of stream {name!r} is {minimum}, but it must be 0 or its "
            f"generation_id ({generation}). Airbyte sets both: change them only in a catalog you "
            "wrote yourself.",
            stream=stream.descriptor,
        )
    return stream
