from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from airbyte_cdk.models import (
    AirbyteRecordMessage,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    StreamDescriptor,
    SyncMode,
)

from destination_dust.catalog import Streams, configured_streams, read_catalog
from destination_dust.errors import DustConfigError
from destination_dust.stream import Stream
from unit_tests.builders import catalog_of, configured

USERS: dict[str, Any] = {
    "stream": {"name": "users", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
    "sync_mode": "full_refresh",
    "destination_sync_mode": "append_dedup",
    "primary_key": [["id"]],
}
# Stands for what a user may have pasted.
CANARY = "hunter2"


def users_with(**changes: Any) -> dict[str, Any]:
    """Return USERS with changes to what the source says of the stream."""
    return {**USERS, "stream": {**USERS["stream"], **changes}}


def streams_of(*streams: ConfiguredAirbyteStream) -> Streams:
    return configured_streams(catalog_of(*streams))


def refusal(*streams: ConfiguredAirbyteStream) -> tuple[str, StreamDescriptor | None]:
    """Return the message of the refusal, and the stream that its TRACE names."""
    with pytest.raises(DustConfigError) as refused:
        streams_of(*streams)
    trace = refused.value.as_airbyte_message().trace
    assert trace is not None
    assert trace.error is not None
    return str(refused.value), trace.error.stream_descriptor


# The file


def test_a_catalog_is_read_from_its_file(tmp_path: Path) -> None:
    """With what decides whether a stream is replaced, and with fields that are not known yet."""
    path = tmp_path / "catalog.json"
    generations = {"generation_id": 7, "minimum_generation_id": 7, "sync_id": 40}
    users = {**users_with(is_resumable=True), **generations, "unknown": 1}
    path.write_bytes(b"\xef\xbb\xbf" + orjson.dumps({"streams": [users]}))
    catalog = read_catalog(str(path))
    (one,) = catalog.streams
    assert (one.generation_id, one.minimum_generation_id, one.sync_id) == (7, 7, 40)
    assert one.sync_mode is SyncMode.full_refresh
    assert one.stream.is_resumable is True
    assert list(configured_streams(catalog)) == [
        Stream("users", primary_key=(("id",),), is_deduped=True)
    ]


@pytest.mark.parametrize(
    "part", ['"json_schema":{"maximum":1e400}', '"json_schema":null', '"supported_sync_modes":[1]']
)
def test_unused_parts_of_a_catalog_are_not_validated(tmp_path: Path, part: str) -> None:
    path = tmp_path / "catalog.json"
    # Of a repeated name the last value counts.
    catalog = orjson.dumps({"streams": [USERS]}).decode()
    path.write_text(catalog.replace('["full_refresh"]}', f'["full_refresh"],{part}}}'))
    assert [stream.name for stream in configured_streams(read_catalog(str(path)))] == ["users"]


@pytest.mark.parametrize(
    ("place", "streams"),
    [
        ("streams", CANARY),
        ("streams/0", [CANARY]),
        # The output of discover.
        ("streams/0/stream", [USERS["stream"]]),
        ("streams/0/stream/name", [users_with(name=[CANARY])]),
        ("streams/1/cursor_field", [USERS, {**USERS, "cursor_field": CANARY}]),
        # The platform has modes that the CDK does not know.
        ("streams/0/destination_sync_mode", [{**USERS, "destination_sync_mode": CANARY}]),
        ("streams/0/primary_key", [{**USERS, "primary_key": CANARY}]),
        ("streams/0/primary_key/0/0", [{**USERS, "primary_key": [[{CANARY: 1}]]}]),
    ],
)
def test_a_malformed_catalog_is_an_error_that_names_the_place_and_quotes_nothing(
    tmp_path: Path, place: str, streams: Any
) -> None:
    path = tmp_path / "catalog.json"
    path.write_bytes(orjson.dumps({"streams": streams}))
    with pytest.raises(DustConfigError) as refused:
        read_catalog(str(path))
    assert str(refused.value) == (
        f"'{path}' is not a configured Airbyte catalog: '{place}' is missing or has the wrong type "
        "or value. (The output of discover is not a configured catalog.)"
    )
    # Neither does what else Airbyte logs of it.
    assert CANARY not in repr(refused.value.as_airbyte_message())


def test_a_malformed_catalog_in_a_file_named_like_a_key_is_not_named(tmp_path: Path) -> None:
    path = tmp_path / "sk-hunter2.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(DustConfigError, match=r"^the file passed as --catalog is not "):
        read_catalog(str(path))


# Its streams


def test_streams_have_their_namespace_and_primary_key() -> None:
    streams = streams_of(
        configured("users", "eu", [["id"]]),
        configured("users", "us", [["org", "id"], ["number"]]),
        configured("orders", "", None),
        configured("events", None, []),
    )
    assert list(streams) == [
        Stream("users", "eu", (("id",),)),
        Stream("users", "us", (("org", "id"), ("number",))),
        Stream("orders"),
        Stream("events"),
    ]


@pytest.mark.parametrize(
    ("primary_key", "used"),
    [
        pytest.param(None, (("org", "id"), ("number",)), id="null"),
        pytest.param([], (("org", "id"), ("number",)), id="empty"),
        pytest.param([["email"]], (("email",),), id="configured"),
    ],
)
def test_the_primary_key_of_the_source_is_used_where_none_is_configured(
    primary_key: Any, used: tuple[tuple[str, ...], ...]
) -> None:
    users = configured("users", primary_key=primary_key)
    users.stream.source_defined_primary_key = [["org", "id"], ["number"]]
    assert [stream.primary_key for stream in streams_of(users)] == [used]


@pytest.mark.parametrize("primary_key", [[[]], [["id"], []]], ids=["only-one", "second"])
@pytest.mark.parametrize("is_of_source", [False, True], ids=["configured", "source-defined"])
def test_a_primary_key_with_an_empty_path_is_refused(primary_key: Any, is_of_source: bool) -> None:
    users = configured("users", "eu", None if is_of_source else primary_key)
    users.stream.source_defined_primary_key = primary_key
    assert refusal(users) == (
        "The primary key of stream 'users' is not a list of paths, as in [[\"id\"]] or "
        '[["org", "id"], ["number"]]: choose the primary key again in the connection.',
        StreamDescriptor(name="users", namespace="eu"),
    )


@pytest.mark.parametrize("mode", DestinationSyncMode, ids=lambda mode: mode.value)
def test_only_append_append_dedup_and_overwrite_are_supported(mode: DestinationSyncMode) -> None:
    """And only append_dedup deletes what the source has deleted."""
    users = configured("users", "eu", mode=mode)
    if mode.value in ("append", "append_dedup", "overwrite"):
        assert [stream.is_deduped for stream in streams_of(users)] == [mode.value == "append_dedup"]
    else:
        assert refusal(configured("orders"), users) == (
            f"Stream 'users' has the sync mode '{mode.value}', which this destination does not "
            "support: choose append, append_dedup or overwrite for it in the connection.",
            StreamDescriptor(name="users", namespace="eu"),
        )


@pytest.mark.parametrize(
    "generations", [(7, 6, 40), (7, 8, 40), (None, 7, 40), (0, 7, 40), (7, -1, 40)]
)
def test_a_minimum_generation_that_is_not_the_current_one_is_refused(
    generations: tuple[int | None, int, int],
) -> None:
    assert refusal(configured("users", generations=generations)) == (
        f"The minimum_generation_id of stream 'users' is {generations[1]}, but it must be 0 or its "
        f"generation_id ({generations[0]}). Airbyte sets both: change them only in a catalog you "
        "wrote yourself.",
        StreamDescriptor(name="users"),
    )


@pytest.mark.parametrize(("one", "other"), [("eu", "eu"), (None, "")], ids=["same", "none"])
def test_a_stream_that_is_configured_twice_is_refused(one: str | None, other: str | None) -> None:
    message, stream = refusal(
        configured("users", one, [["id"]]), configured("users", other, [["email"]])
    )
    assert message == (
        "Stream 'users' is configured twice. Choose the source-defined namespace in the "
        "connection, or sync only one of them."
    )
    assert stream == StreamDescriptor(name="users", namespace=one)


def test_an_error_names_a_stream_with_a_lone_surrogate_by_its_escape() -> None:
    """No message can hold the surrogate itself."""
    _, stream = refusal(configured("\ud800", primary_key=[[]]))
    assert stream == StreamDescriptor(name="\\ud800")


# The stream of a record


@pytest.mark.parametrize(
    ("namespaces", "namespace", "found"),
    [
        pytest.param([None], "", [None], id="empty-is-none"),
        pytest.param(["eu", "us"], "us", ["us"], id="same-namespace"),
        pytest.param(["eu", None], None, [None], id="none-before-another"),
        pytest.param(["eu"], None, ["eu"], id="only-stream-of-the-name"),
        pytest.param(["eu", "us"], None, [], id="two-streams-of-the-name"),
        pytest.param(["eu"], "us", [], id="another-namespace"),
        pytest.param([], None, [], id="another-name"),
    ],
)
def test_a_record_without_a_namespace_may_belong_to_the_only_stream_of_its_name(
    namespaces: list[str | None], namespace: str | None, found: list[str | None]
) -> None:
    """PyAirbyte's caches leave the namespace out."""
    streams = Streams([Stream("orders", "eu"), *(Stream("users", each) for each in namespaces)])
    record = AirbyteRecordMessage(stream="users", namespace=namespace, data={}, emitted_at=1)
    stream = streams.of(record)
    assert ([] if stream is None else [stream.key]) == [(each, "users") for each in found]
