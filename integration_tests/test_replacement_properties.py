"""Never a document too many: whatever a sync is sent, and however it fails, what goes is stale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from destination_dust.destination import DestinationDust
from destination_dust.protocol import read_messages
from integration_tests.connector import (
    Message,
    catalog,
    in_process,
    record,
    stream,
    stream_state,
    stream_status,
)
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import LocalDust, Options, random_faults

Key = tuple[str | None, str]

KEYS: list[Key] = [
    (None, "users"),
    ("eu", "users"),
    (None, "users-archive"),
    (None, "my users"),
    (None, "my_users"),
    (None, "a\tb"),
    (None, "a b"),
    ("airbyte:stream:users", "x"),
]

Line = tuple[str, Key, Any]
"""What a line is ("record", "state", "status" or "noise"), its stream, and its content."""


def tag_texts(key: Key) -> tuple[str, ...]:
    namespace, name = key
    name = name.replace("\t", " ")
    return (f"airbyte:stream:{name}", *([f"airbyte:namespace:{namespace}"] if namespace else []))


def to_bytes(line: Line) -> bytes:
    kind, (namespace, name), content = line
    if kind == "noise":
        return b"noise"
    if kind == "record":
        return record(name, {"id": content}, namespace=namespace)
    build = stream_state if kind == "state" else stream_status
    return build(content, name, namespace)


def is_meant(key: Key, kind: str, of: Key, *, is_unique: bool, is_overwrite: bool) -> bool:
    """Say whether a line is about the stream: a status may leave out the namespace."""
    if kind != "status" or of[0] is not None:
        return of == key
    return of[1] == key[1] and (is_unique or (key[0] is None and not is_overwrite))


def is_replaced(configured: Message) -> bool:
    """Say what the contract says of which streams are being replaced."""
    names = ("generation_id", "minimum_generation_id", "sync_id")
    generation, minimum, _ = ids = [configured.get(name) for name in names]
    if configured["destination_sync_mode"] == "overwrite":
        return True
    return minimum == generation and generation in (1, 7, 8) and ids != [1, 1, 1]


def is_whole(configured: Message, attempt: str | None) -> bool:
    """Say whether the sync goes on where no other stopped."""
    if configured["destination_sync_mode"] == "overwrite" or attempt == "0":
        return True
    source = configured["stream"]
    return configured["sync_mode"] == "full_refresh" and source["is_resumable"] is not True


def is_complete(configured: Message, others: list[Key], lines: list[Line]) -> bool:
    """Say what the contract says of a stream, as an outsider who has the whole input at hand."""
    source = configured["stream"]
    key: Key = (source["namespace"], source["name"])
    is_overwrite = configured["destination_sync_mode"] == "overwrite"
    if is_overwrite and configured["sync_mode"] == "incremental":
        return False
    if any(kind == "noise" for kind, _, _ in lines):
        return False
    if any(tag_texts(other) == tag_texts(key) for other in others) or "\t" in key[1]:
        return False
    if any(
        kind == "record" and of not in [key, *others] and of[1] == key[1] for kind, of, _ in lines
    ):
        return False
    is_unique = all(other[1] != key[1] for other in others)
    own = [
        (kind, content)
        for kind, of, content in lines
        if is_meant(key, kind, of, is_unique=is_unique, is_overwrite=is_overwrite)
    ]
    since_record: list[tuple[str, Any]] = []
    for kind, content in own:
        since_record = [] if kind == "record" else [*since_record, (kind, content)]
    statuses = [content for kind, content in since_record if kind == "status"]
    if statuses and statuses[-1] == "COMPLETE":
        return True
    if any(kind == "status" for kind, _, _ in lines):
        return False
    states = [content for kind, content in since_record if kind == "state"]
    if not is_overwrite or not states:
        return False
    if states[-1] is None:
        return all(kind != "record" for kind, _ in own)
    return source["is_resumable"] is False and "__ab_no_cursor_state_message" not in states[-1]


@st.composite
def configured_streams(draw: st.DrawFn, key: Key) -> Message:
    namespace, name = key
    mode = draw(st.sampled_from(["append", "append_dedup", "overwrite"]))
    configured = stream(name, "id", namespace=namespace, mode=mode)
    configured["stream"]["is_resumable"] = draw(st.sampled_from([None, False, True]))
    configured["sync_mode"] = draw(st.sampled_from(["full_refresh", "full_refresh", "incremental"]))
    generation = draw(
        st.sampled_from([None, (1, 1, 1), (1, 1, 40), (7, 7, 40), (7, 0, 40), (8, 8, 41)])
    )
    if generation is not None:
        names = ("generation_id", "minimum_generation_id", "sync_id")
        configured |= dict(zip(names, generation, strict=True))
    return configured


CONTENTS = {
    "record": st.integers(0, 5),
    "state": st.sampled_from([None, {}, {"cursor": 1}, {"__ab_no_cursor_state_message": True}]),
    "status": st.sampled_from(["COMPLETE", "COMPLETE", "COMPLETE", "STARTED", "INCOMPLETE"]),
    "noise": st.none(),
}


@dataclass(frozen=True)
class Attempt:
    """The input of a sync, how the server fails, if it does, and what the platform tells."""

    lines: list[Line]
    faults_seed: int | None
    number: str | None


@st.composite
def attempts(draw: st.DrawFn, keys: list[Key]) -> Attempt:
    def content(kind: str) -> st.SearchStrategy[Line]:
        return st.tuples(
            st.just(kind),
            st.sampled_from([*keys, (None, "ghosts"), (None, keys[0][1])]),
            CONTENTS[kind],
        )

    kinds = st.sampled_from(["record"] * 9 + ["state"] * 3 + ["status"] * 3 + ["noise"])
    lines = draw(st.lists(kinds.flatmap(content), max_size=12))
    ends: list[Line] = [("status", key, "COMPLETE") for key in draw(st.sets(st.sampled_from(keys)))]
    ends += [("state", key, {}) for key in draw(st.sets(st.sampled_from(keys)))]
    seed = draw(st.none() | st.integers(0, 1000))
    return Attempt(lines + ends, seed, draw(st.sampled_from(["0", "0", "1", None])))


@st.composite
def syncs(draw: st.DrawFn) -> list[tuple[list[Message], Attempt]]:
    """Draw syncs one after another, each with a catalog of its own."""
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True))
    return [
        ([draw(configured_streams(key)) for key in keys], draw(attempts(keys)))
        for _ in range(draw(st.integers(1, 4)))
    ]


@pytest.fixture(scope="module")
def shared_dust() -> Iterator[LocalDust]:
    with LocalDust(Options(upserts_per_window=10**9, ties_move=True)) as dust:
        yield dust


def origin(tags: Iterable[str]) -> set[str]:
    return {tag for tag in tags if tag.startswith(("airbyte:stream:", "airbyte:namespace:"))}


def fill(dust: LocalDust) -> None:
    """Let the Dust have old documents of every stream, and some that no sync has written."""
    dust.documents.clear()
    dust.faults = iter(())
    sync(dust.config, catalog(stream("made", "id")), [record("made", {"id": 1})])
    template = dust.documents.pop("made-1")
    tags_by_id = {"untagged": [], "by-hand": ["users", "stream:users", "title:airbyte:stream:x"]}
    for number, key in enumerate(KEYS):
        tags_by_id[f"old-{number}"] = [*tag_texts(key), "title:x"]
        # As 0.2.0 left it.
        tags_by_id[f"gen6-{number}"] = [*tag_texts(key), "airbyte:generation:6"]
    for id_, tags in tags_by_id.items():
        dust.documents[id_] = {**template, "document_id": id_, "hash": id_, "tags": tags}


def age(dust: LocalDust) -> None:
    """Have all documents written an hour earlier: those of a sync just now are not older."""
    for document in dust.documents.values():
        document["created"] -= 3_600_000


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(plan=syncs())
def test_after_a_complete_and_whole_replacement_dust_has_what_was_sent_and_else_all_is_kept(
    shared_dust: LocalDust, plan: list[tuple[list[Message], Attempt]]
) -> None:
    dust = shared_dust
    fill(dust)
    for configured, attempt in plan:
        age(dust)
        before = dict(dust.documents)
        seen = len(dust.requests)
        seed = attempt.faults_seed
        dust.faults = iter(()) if seed is None else random_faults(seed, share=0.1)
        lines = map(to_bytes, attempt.lines)
        done = sync(dust.config, catalog(*configured), lines, attempt=attempt.number)
        dust.faults = iter(())

        asked = dust.requests[seen:]
        written = {one.path.rpartition("/")[2] for one in asked if one.method == "POST"}
        gone = (set(before) | (written & set(dust.documents))) - set(dust.documents)
        keys: list[Key] = [
            (one["stream"]["namespace"], one["stream"]["name"]) for one in configured
        ]
        replaced = [
            set(tag_texts(key))
            for key, one in zip(keys, configured, strict=True)
            if is_replaced(one)
            and is_whole(one, attempt.number)
            and is_complete(one, [other for other in keys if other != key], attempt.lines)
        ]
        for id_ in gone:
            assert origin(before[id_]["tags"]) in replaced
            assert id_ not in written
        if done.error is None:
            assert written <= set(dust.documents)
            for id_, document in dust.documents.items():
                assert id_ in written or origin(document["tags"]) not in replaced
        for id_ in written & set(dust.documents):
            tags = set(dust.documents[id_]["tags"])
            assert all(tag in origin(tags) or tag.startswith("title:") for tag in tags)


class Overlapping:
    """A sync that goes on by one record at a time, and sweeps at its end."""

    def __init__(self, dust: LocalDust, configured: Message, ids: Iterable[int]) -> None:
        key: Key = (None, "users")
        lines = [line for id_ in ids for line in (("record", key, id_), ("state", key, {"c": 1}))]
        self._lines = [*map(to_bytes, lines), to_bytes(("status", key, "COMPLETE"))]
        destination = DestinationDust()
        self._states = iter(
            destination.write(
                dust.config, in_process.configured(catalog(configured)), read_messages(self._lines)
            )
        )

    def step(self) -> bool:
        """Store one more record, or sweep; return whether there is more to do."""
        return next(self._states, None) is not None


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    older=st.lists(st.integers(0, 9), max_size=6),
    newer=st.lists(st.integers(0, 9), max_size=6),
    steps_before=st.integers(0, 7),
    order=st.lists(st.booleans(), min_size=14, max_size=14),
)
def test_overlapping_syncs_never_delete_what_the_newer_one_wrote_or_both_have(
    shared_dust: LocalDust,
    older: list[int],
    newer: list[int],
    steps_before: int,
    order: list[bool],
) -> None:
    """In any interleaving of their records and sweeps."""
    dust = shared_dust
    fill(dust)
    age(dust)
    one = stream("users", "id", mode="overwrite")
    configured = {**one, "sync_mode": "full_refresh"}
    first = Overlapping(dust, configured, older)
    for _ in range(steps_before):
        first.step()
    second = Overlapping(dust, configured, newer)
    for is_first in order:
        (first if is_first else second).step()
    while first.step():
        pass
    while second.step():
        pass
    users = {
        id_
        for id_, one in dust.documents.items()
        if origin(one["tags"]) == {"airbyte:stream:users"}
    }
    assert {f"users-{id_}" for id_ in newer} <= users
    assert not {"old-0", "gen6-0"} & users
    assert {"old-1", "untagged", "by-hand"} <= set(dust.documents)
