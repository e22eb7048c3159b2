from __future__ import annotations

import itertools
import random
import re
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest
from airbyte_cdk.models import (
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    StreamDescriptor,
    SyncMode,
)

from destination_dust.catalog import (
    SUPPORTED_SYNC_MODES,
    configured_streams,
    notes_on_shared_ids,
    read_catalog,
)
from destination_dust.errors import DustConfigError
from destination_dust.stream import Stream
from unit_tests.builders import catalog_of, configured, document_of

USERS: dict[str, Any] = {
    "stream": {"name": "users", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
    "sync_mode": "full_refresh",
    "destination_sync_mode": "append_dedup",
    "primary_key": [["id"]],
}

WRONG_PRIMARY_KEY = (
    "The primary key of stream 'users' is not a list of paths, as in [[\"id\"]] or "
    '[["org", "id"], ["number"]]: choose the primary key again in the connection.'
)


def stream_of_users(**changes: Any) -> dict[str, Any]:
    """Return USERS with changes to what the source says of the stream."""
    return {**USERS, "stream": {**USERS["stream"], **changes}}


def streams_of(*streams: ConfiguredAirbyteStream) -> dict[tuple[str | None, str], Stream]:
    return configured_streams(catalog_of(*streams))


def id_of(stream: Stream, *key: str) -> str:
    """Return the document id of a record whose fields `0`, `1`, ... hold the key."""
    data = {str(part): value for part, value in enumerate(key)}
    return document_of(stream, data).id


def shown(error: DustConfigError) -> tuple[str, StreamDescriptor | None]:
    """Return failure type and stream of the TRACE that Airbyte sees."""
    trace = error.as_airbyte_message().trace
    assert trace is not None
    assert trace.error is not None
    assert trace.error.failure_type is not None
    return trace.error.failure_type.value, trace.error.stream_descriptor


# Reading the file


def test_a_catalog_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    path.write_bytes(orjson.dumps({"streams": [{**USERS, "a field of tomorrow": 1}]}))

    assert configured_streams(read_catalog(str(path))) == {
        (None, "users"): Stream("users", primary_key=(("id",),), is_deduped=True)
    }


@pytest.mark.parametrize(
    "part",
    [
        pytest.param('"json_schema":{"enum":["\\ud800"]}', id="lone-surrogate"),
        pytest.param('"json_schema":{"maximum":1e400}', id="number-beyond-a-double"),
        pytest.param(f'"json_schema":{{"maximum":{10**30}}}', id="number-beyond-64-bits"),
        pytest.param('"json_schema":null', id="no-schema"),
        pytest.param('"supported_sync_modes":["a mode of tomorrow"]', id="sync-mode-of-a-source"),
        pytest.param('"supported_sync_modes":null', id="no-sync-modes-of-a-source"),
    ],
)
def test_what_the_connector_never_reads_of_a_stream_may_be_anything(
    tmp_path: Path, part: str
) -> None:
    path = tmp_path / "catalog.json"
    catalog = orjson.dumps({"streams": [USERS]}).decode()
    # Of a repeated key the last value counts.
    path.write_text(catalog.replace('["full_refresh"]}', f'["full_refresh"],{part}}}'))

    assert list(configured_streams(read_catalog(str(path)))) == [(None, "users")]


def test_a_byte_order_mark_may_begin_the_file(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    path.write_bytes(b"\xef\xbb\xbf" + orjson.dumps({"streams": [USERS]}))

    assert list(configured_streams(read_catalog(str(path)))) == [(None, "users")]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        pytest.param({}, "streams", id="no-streams"),
        pytest.param(
            {"streams": [{**USERS, "destination_sync_mode": 1}]},
            "streams/0/destination_sync_mode",
            id="sync-mode-that-is-no-string",
        ),
        pytest.param({"streams": [USERS["stream"]]}, "streams/0/stream", id="catalog-of-a-source"),
        pytest.param(
            {"streams": [USERS, {**USERS, "cursor_field": "id"}]},
            "streams/1/cursor_field",
            id="second-stream",
        ),
        pytest.param(
            {"streams": [stream_of_users(namespace=5)]},
            "streams/0/stream/namespace",
            id="namespace-that-is-no-string",
        ),
        pytest.param(
            {"streams": [{**stream_of_users(name=None), "destination_sync_mode": "new"}]},
            "streams/0/stream/name",
            id="unknown-sync-mode-of-a-stream-without-a-name",
        ),
        pytest.param({"streams": [7]}, "streams/0", id="stream-that-is-no-object"),
        pytest.param({"streams": 7}, "streams", id="streams-that-are-no-list"),
    ],
)
def test_a_file_that_holds_no_catalog_is_an_error_of_the_configuration(
    tmp_path: Path, content: Any, place: str
) -> None:
    path = tmp_path / "catalog.json"
    path.write_bytes(orjson.dumps(content))

    with pytest.raises(DustConfigError) as refused:
        read_catalog(str(path))

    assert str(refused.value) == (
        f"This is not a configured Airbyte catalog: '{path}'. Something is missing or has the "
        f"wrong type at {place}. (The output of discover is not a configured catalog.)"
    )
    assert refused.value.failure_type.value == "config_error"
    # Nothing but the message is shown.
    assert refused.value.__suppress_context__


def test_a_sync_mode_newer_than_the_cdk_is_an_error_that_names_the_stream(tmp_path: Path) -> None:
    """The platform has had overwrite_dedup since 1.0, the CDK has not."""
    path = tmp_path / "catalog.json"
    path.write_bytes(
        orjson.dumps({"streams": [USERS, {**USERS, "destination_sync_mode": "overwrite_dedup"}]})
    )

    with pytest.raises(DustConfigError) as refused:
        read_catalog(str(path))

    assert str(refused.value) == (
        "Stream 'users' has the sync mode 'overwrite_dedup', which Dust cannot do: choose append, "
        "append_dedup or overwrite for it in the connection."
    )
    assert shown(refused.value) == ("config_error", StreamDescriptor(name="users"))


def test_an_error_of_a_stream_whose_name_cannot_be_sent_is_shown_all_the_same(
    tmp_path: Path,
) -> None:
    path = tmp_path / "catalog.json"
    path.write_text(
        orjson.dumps({"streams": [{**USERS, "destination_sync_mode": "overwrite_dedup"}]})
        .decode()
        .replace("users", "\\ud800")
    )

    with pytest.raises(DustConfigError) as refused:
        read_catalog(str(path))

    assert shown(refused.value) == ("config_error", StreamDescriptor(name="\\ud800"))


CANARY = "hunter2"


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(
            {**stream_of_users(json_schema={"const": CANARY}), "sync_mode": CANARY}, id="schema"
        ),
        pytest.param({**USERS, "primary_key": CANARY * 500}, id="long-primary-key"),
        pytest.param({**USERS, "primary_key": [[{CANARY: CANARY}]]}, id="object-in-a-primary-key"),
        pytest.param({**USERS, "cursor_field": CANARY}, id="cursor-field"),
        pytest.param({**USERS, "generation_id": CANARY}, id="generation"),
        pytest.param({**USERS, "stream": CANARY}, id="stream"),
        pytest.param(stream_of_users(namespace=[CANARY]), id="namespace"),
        pytest.param({**stream_of_users(name={CANARY: 1}), "primary_key": CANARY}, id="name"),
        pytest.param(CANARY, id="no-object"),
    ],
)
def test_what_is_wrong_in_a_catalog_is_not_quoted(tmp_path: Path, stream: Any) -> None:
    path = tmp_path / "catalog.json"
    path.write_bytes(orjson.dumps({"streams": [stream]}))

    with pytest.raises(DustConfigError) as refused:
        read_catalog(str(path))

    assert CANARY not in repr(refused.value.as_airbyte_message())


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param({**USERS, "primary_key": "id"}, id="string"),
        pytest.param({**USERS, "primary_key": ["id"]}, id="list-of-strings"),
        pytest.param({**USERS, "primary_key": [[]]}, id="empty-path"),
        pytest.param(stream_of_users(source_defined_primary_key=["id"]), id="that-of-the-source"),
    ],
)
def test_a_malformed_primary_key_in_the_file_is_an_error_that_names_the_stream(
    tmp_path: Path, stream: Any
) -> None:
    path = tmp_path / "catalog.json"
    path.write_bytes(orjson.dumps({"streams": [stream]}))

    with pytest.raises(DustConfigError) as refused:
        read_catalog(str(path))

    assert str(refused.value) == WRONG_PRIMARY_KEY
    assert shown(refused.value) == ("config_error", StreamDescriptor(name="users"))


def test_an_unknown_sync_mode_beside_a_malformed_namespace_names_the_stream(
    tmp_path: Path,
) -> None:
    path = tmp_path / "catalog.json"
    stream = {**stream_of_users(namespace=5), "destination_sync_mode": "overwrite_dedup"}
    path.write_bytes(orjson.dumps({"streams": [stream]}))

    with pytest.raises(DustConfigError, match=r"^Stream 'users' has the sync mode ") as refused:
        read_catalog(str(path))

    assert shown(refused.value) == ("config_error", StreamDescriptor(name="users"))


def test_a_catalog_that_cannot_be_read_is_an_error_of_the_configuration() -> None:
    with pytest.raises(DustConfigError, match=r"^Could not read 'nowhere.json': .* --catalog "):
        read_catalog("nowhere.json")


# What the streams are


def test_streams_are_looked_up_by_namespace_and_name() -> None:
    streams = streams_of(
        configured("users", "eu", [["id"]]),
        configured("users", "us", [["org", "id"], ["number"]]),
        configured("orders"),
    )

    assert {key: stream.primary_key for key, stream in streams.items()} == {
        ("eu", "users"): (("id",),),
        ("us", "users"): (("org", "id"), ("number",)),
        (None, "orders"): (),
    }
    assert all((stream.namespace, stream.name) == key for key, stream in streams.items())


@pytest.mark.parametrize("primary_key", [None, []], ids=["null", "empty"])
def test_the_primary_key_of_the_source_is_used_where_none_is_configured(primary_key: Any) -> None:
    users = configured("users", primary_key=primary_key)
    users.stream.source_defined_primary_key = [["org", "id"], ["number"]]

    assert streams_of(users)[None, "users"].primary_key == (("org", "id"), ("number",))


def test_a_configured_primary_key_comes_before_that_of_the_source() -> None:
    users = configured("users", primary_key=[["email"]])
    users.stream.source_defined_primary_key = [["id"]]

    assert streams_of(users)[None, "users"].primary_key == (("email",),)


@pytest.mark.parametrize("primary_key", [None, []])
def test_a_stream_may_have_no_primary_key(primary_key: Any) -> None:
    assert streams_of(configured("users", primary_key=primary_key))[None, "users"].primary_key == ()


@pytest.mark.parametrize("mode", SUPPORTED_SYNC_MODES, ids=lambda mode: mode.value)
def test_append_append_dedup_and_overwrite_are_taken(mode: DestinationSyncMode) -> None:
    (stream,) = streams_of(configured("users", mode=mode)).values()
    assert stream.is_deduped is (mode is DestinationSyncMode.append_dedup)


@pytest.mark.parametrize(
    "mode",
    [
        *(mode for mode in DestinationSyncMode if mode not in SUPPORTED_SYNC_MODES),
        "a mode of tomorrow",
    ],
)
def test_another_sync_mode_is_an_error_that_names_the_stream(mode: Any) -> None:
    with pytest.raises(DustConfigError) as refused:
        streams_of(configured("orders"), configured("users", "eu", mode=mode))

    assert str(refused.value) == (
        f"Stream 'users' has the sync mode {getattr(mode, 'value', mode)!r}, which Dust cannot do: "
        "choose append, append_dedup or overwrite for it in the connection."
    )
    assert shown(refused.value) == (
        "config_error",
        StreamDescriptor(name="users", namespace="eu"),
    )


# Generations


@pytest.mark.parametrize("ids", [(7, 6, 40), (7, 8, 40), (None, 7, 40), (0, 7, 40), (7, -1, 40)])
@pytest.mark.parametrize("mode", SUPPORTED_SYNC_MODES, ids=lambda mode: mode.value)
def test_a_minimum_that_is_not_the_generation_is_an_error_that_names_the_stream(
    mode: DestinationSyncMode, ids: tuple[int | None, ...]
) -> None:
    with pytest.raises(DustConfigError) as refused:
        streams_of(configured("users", mode=mode, generations=ids))
    assert str(refused.value) == (
        f"The minimum_generation_id of stream 'users' is {ids[1]}, but it must be 0 or its "
        f"generation_id ({ids[0]}). Airbyte sets both: correct them only in a catalog of your own."
    )
    assert shown(refused.value) == ("config_error", StreamDescriptor(name="users"))


def test_what_replacing_depends_on_is_read_from_the_file(tmp_path: Path) -> None:
    """By every airbyte-cdk in range."""
    path = tmp_path / "catalog.json"
    generations = {"generation_id": 7, "minimum_generation_id": 7, "sync_id": 40}
    stream = {**stream_of_users(is_resumable=True), **generations}
    path.write_bytes(orjson.dumps({"streams": [stream]}))

    (one,) = read_catalog(str(path)).streams
    assert (one.generation_id, one.minimum_generation_id, one.sync_id) == (7, 7, 40)
    assert one.sync_mode is SyncMode.full_refresh
    assert one.stream.is_resumable is True


# Keys


@pytest.mark.parametrize(
    "primary_key",
    [
        pytest.param("id", id="string"),
        pytest.param(["id"], id="list-of-strings"),
        pytest.param([["org"], "id"], id="one-path-is-a-string"),
        pytest.param([[]], id="empty-path"),
        pytest.param([["id"], []], id="one-path-is-empty"),
        pytest.param([[1]], id="path-of-numbers"),
        pytest.param({"id": 1}, id="object"),
        pytest.param([None], id="null"),
    ],
)
def test_a_primary_key_that_is_no_list_of_paths_is_an_error_that_names_the_stream(
    primary_key: Any,
) -> None:
    with pytest.raises(DustConfigError) as refused:
        streams_of(configured("users", "eu", primary_key))

    assert str(refused.value) == WRONG_PRIMARY_KEY
    assert shown(refused.value) == (
        "config_error",
        StreamDescriptor(name="users", namespace="eu"),
    )


# Streams whose ids could meet


@pytest.mark.parametrize(
    ("one", "other", "ids"),
    [
        pytest.param(
            (("eu", "users"), "42"),
            (("us", "users"), "42"),
            ["users-42-172108a93de08fd4", "users-42-278db07ac962d050"],
            id="same-name-in-another-namespace",
        ),
        pytest.param(
            ((None, "users"), "42"),
            (("eu", "users"), "42"),
            ["users-42-40f0191e58eb825d", "users-42-172108a93de08fd4"],
            id="same-name-without-namespace",
        ),
        pytest.param(
            ((None, "my stream"), "42"),
            ((None, "my.stream"), "42"),
            ["my_stream-42-66770e6195d3b386", "my_stream-42-94be99a68e799481"],
            id="names-that-sanitise-alike",
        ),
        pytest.param(
            ((None, "users"), "archive-7"),
            ((None, "users-archive"), "7"),
            ["users-archive-7-e790d9dae9ad016c", "users-archive-7-013b17e9822d5a64"],
            id="name-that-begins-like-an-id",
        ),
        pytest.param(
            ((None, "users"), "7"),
            ((None, "users_archive"), "7"),
            ["users-7", "users_archive-7"],
            id="underscore-keeps-names-apart",
        ),
        pytest.param(
            ((None, "users"), "7"),
            ((None, "users2"), "7"),
            ["users-7", "users2-7"],
            id="same-beginning-without-hyphen",
        ),
        pytest.param(
            (("eu", "users"), "7"), (("us", "orders"), "7"), ["users-7", "orders-7"], id="unrelated"
        ),
    ],
)
@pytest.mark.parametrize("swapped", [False, True], ids=["in-order", "swapped"])
def test_ids_end_in_a_digest_where_another_stream_could_come_to_the_same(
    one: Any, other: Any, ids: list[str], swapped: bool
) -> None:
    pairs = [one, other]
    catalog = [
        configured(name, namespace, [["0"]])
        for (namespace, name), _ in (reversed(pairs) if swapped else pairs)
    ]
    streams = streams_of(*catalog)

    assert [id_of(streams[key], value) for key, value in pairs] == ids


def test_a_name_that_sanitises_to_that_of_another_stream_gives_both_a_digest() -> None:
    streams = streams_of(configured("my_stream", None, [["0"]]), configured("my stream"))

    assert all(stream.shares_ids for stream in streams.values())


LOOK_ALIKES = ["".join(name) for n in (1, 2, 3) for name in itertools.product("a-_ ", repeat=n)]


@pytest.mark.parametrize("seed", range(50))
def test_streams_share_ids_exactly_when_a_pair_of_them_could(seed: int) -> None:
    """Could means: with `-` behind it, one sanitised name begins with the other."""
    everything = [(namespace, name) for namespace in (None, "n") for name in LOOK_ALIKES]
    keys = random.Random(seed).sample(everything, 1 + seed)

    def could(one: tuple[str | None, str], other: tuple[str | None, str]) -> bool:
        prefix, longer = sorted(
            re.sub("[^a-zA-Z0-9_-]", "_", name) + "-" for _, name in (one, other)
        )
        return one != other and longer.startswith(prefix)

    streams = streams_of(*(configured(name, namespace) for namespace, name in keys))

    assert {key: stream.shares_ids for key, stream in streams.items()} == {
        key: any(could(key, other) for other in keys) for key in keys
    }


class Counted(str):
    """A text that counts how often it is compared."""

    __slots__ = ()
    comparisons: ClassVar[int] = 0

    def __lt__(self, other: str) -> bool:
        Counted.comparisons += 1
        return super().__lt__(other)

    def startswith(self, *prefix: Any) -> bool:
        Counted.comparisons += 1
        return super().startswith(*prefix)


def test_many_streams_are_not_compared_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,000 there are half a million pairs; to sort them takes 10,000 comparisons."""
    catalog = [configured(f"stream_{number}") for number in range(1_000)]
    random.Random(1).shuffle(catalog)
    monkeypatch.setattr(Stream, "id_prefix", property(lambda stream: Counted(f"{stream.name}-")))
    monkeypatch.setattr(Counted, "comparisons", 0)

    streams = streams_of(*catalog)

    assert not any(stream.shares_ids for stream in streams.values())
    assert 1_000 < Counted.comparisons < 20_000


NINE_STREAMS = ", ".join(f"'u-{number}'" for number in range(9))


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        pytest.param([(None, "users"), (None, "orders")], [], id="unrelated"),
        pytest.param(
            [(None, "users-archive"), (None, "orders"), (None, "users")],
            ["Streams 'users', 'users-archive': "],
            id="name-that-begins-like-an-id",
        ),
        pytest.param(
            [("eu", "users"), ("us", "users")],
            ["Streams 'users' of namespace 'eu', 'users' of namespace 'us': "],
            id="namespaces",
        ),
        pytest.param(
            [(None, "u"), (None, "u-a"), (None, "u-b"), (None, "u-a-b"), (None, "v"), ("n", "v")],
            ["Streams 'u', 'u-a', 'u-a-b', 'u-b': ", "Streams 'v', 'v' of namespace 'n': "],
            id="groups",
        ),
        pytest.param(
            [(None, "u"), *((None, f"u-{number}") for number in range(9))],
            [f"Streams 'u', {NINE_STREAMS}: "],
            id="ten-streams",
        ),
        pytest.param(
            [(None, "u"), *((None, f"u-{letter}") for letter in "0123456789ab")],
            [f"Streams 'u', {NINE_STREAMS} and 3 more: "],
            id="more-than-ten-streams",
        ),
    ],
)
def test_streams_that_change_each_others_ids_are_named_in_one_note_with_what_it_means(
    keys: list[tuple[str | None, str]], named: list[str]
) -> None:
    streams = streams_of(*(configured(name, namespace) for namespace, name in keys))

    assert list(notes_on_shared_ids(streams.values())) == [
        f"{names}document ids end in a digest, because two records of different streams could "
        "have the same id. Documents that were written before these streams were synced together "
        "have other ids. Later upserts and deletions do not reach them until the stream is "
        "refreshed."
        for names in named
    ]


def test_a_stream_that_is_configured_twice_is_refused() -> None:
    with pytest.raises(DustConfigError) as refused:
        streams_of(configured("users", "eu", [["id"]]), configured("users", "eu", [["email"]]))

    assert refused.value.message == (
        "Stream 'users' is configured twice. Remove one of them from the catalog."
    )


def test_two_records_of_a_sync_never_share_an_id() -> None:
    """Whatever two streams the catalog holds, and however much their names and keys look alike."""
    names = ["u", "u-a", "u_a", "u a", "u-a-b", "v"]
    values = ["", "a", "-", "a-a", "a_a", "a a", "b", "a-b"]
    keyed = [
        configured(name, namespace, [[str(part)] for part in range(parts)])
        for name, namespace, parts in itertools.product(names, [None, "n"], [1, 2])
    ]
    for pair in itertools.combinations(keyed, 2):
        if len({(one.stream.namespace, one.stream.name) for one in pair}) == 1:
            continue
        streams = streams_of(*pair).values()
        records = [
            (stream, key)
            for stream in streams
            for key in itertools.product(values, repeat=len(stream.primary_key))
        ]
        assert len({id_of(stream, *key) for stream, key in records}) == len(records)
