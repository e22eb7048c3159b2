"""Never a document too many: whatever a sync is sent, and however it fails, what goes is stale."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration_tests.connector import (
    Message,
    catalog,
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
"""What a line is, its stream if it is of one, and its content."""


def tag_texts(key: Key) -> tuple[str, ...]:
    namespace, name = key
    name = name.replace("\t", " ")
    return (f"airbyte:stream:{name}", *([f"airbyte:namespace:{namespace}"] if namespace else []))


def to_bytes(line: Line) -> bytes:
    kind, (namespace, name), content = line
    if kind == "noise":
        return b"noise"
    if kind == "legacy":
        return json.dumps({"type": "STATE", "state": {"data": content}}).encode()
    if kind == "global":
        states = [
            {"stream_descriptor": {"name": key[1], "namespace": key[0]}, "stream_state": one}
            for key, one in content.items()
        ]
        state = {"type": "GLOBAL", "global": {"stream_states": states}}
        return json.dumps({"type": "STATE", "state": state}).encode()
    if kind == "record":
        return record(name, {"id": content}, namespace=namespace)
    build = stream_state if kind == "state" else stream_status
    return build(content, name, namespace)


def stream_of(of: Key, keys: list[Key]) -> Key | None:
    """Say which stream a record or a state belongs to: it may leave out the namespace."""
    named = [key for key in keys if key[1] == of[1]]
    if of in keys or of[0] is not None:
        return of if of in keys else None
    return named[0] if len(named) == 1 else None


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


def is_status_of(key: Key, of: Key, keys: list[Key], *, is_overwrite: bool) -> bool:
    """Say whether a status is the stream's: PyAirbyte, which overwrites, leaves out namespaces."""
    if of[0] is not None or (key[0] is None and not is_overwrite):
        return of == key
    return [other for other in keys if other[1] == of[1]] == [key]


def has_succeeded(configured: Message, keys: list[Key], lines: list[Line]) -> bool:
    """Say whether the source has certainly sent the whole stream, or all that it had of it."""
    key = key_of(configured)
    is_overwrite = configured["destination_sync_mode"] == "overwrite"
    if is_overwrite and configured["sync_mode"] == "incremental":
        return False
    after = lines[index_after_last_record(key, keys, lines) :]
    statuses = [
        content
        for kind, of, content in after
        if kind == "status" and is_status_of(key, of, keys, is_overwrite=is_overwrite)
    ]
    if statuses and statuses[-1] == "COMPLETE":
        return True
    states = [content for kind, of, content in after if kind == "state" and of == key]
    if not is_overwrite or not states or any(kind == "status" for kind, _, _ in lines):
        return False
    if states[-1] is None:
        return index_after_last_record(key, keys, lines) == 0
    is_marker = "__ab_no_cursor_state_message" in states[-1]
    return configured["stream"]["is_resumable"] is False and not is_marker


def is_mentioned(key: Key, keys: list[Key], lines: list[Line]) -> bool:
    """Say whether the source has spoken of the stream since its last record, or this is a clear."""
    start = index_after_last_record(key, keys, lines)
    has_records = start > 0
    for kind, of, content in lines[start:]:
        is_own = kind == "state" and stream_of(of, keys) == key
        if is_own and (has_records or content != {}):
            return True
        if kind == "global" and (has_records or key in [stream_of(one, keys) for one in content]):
            return True
        if kind == "legacy" and has_records:
            return True
    return not any(
        kind == "record"
        or (kind == "state" and stream_of(of, keys) and content)
        or (kind == "global" and any(content[one] for one in content if stream_of(one, keys)))
        or (kind == "legacy" and content)
        for kind, of, content in lines
    )


def is_complete(configured: Message, keys: list[Key], lines: list[Line]) -> bool:
    """Say what the contract says of a stream, as an outsider who has the whole input at hand."""
    key = key_of(configured)
    if any(kind == "noise" for kind, _, _ in lines):
        return False
    if sum(tag_texts(other) == tag_texts(key) for other in keys) > 1:
        return False
    if any(
        kind == "record" and of[1] == key[1] and stream_of(of, keys) is None
        for kind, of, _ in lines
    ):
        return False
    return has_succeeded(configured, keys, lines) and is_mentioned(key, keys, lines)


def index_after_last_record(key: Key, keys: list[Key], lines: list[Line]) -> int:
    """Return where the lines begin that follow the last record of a stream, 0 without any."""
    own = [
        at
        for at, (kind, of, _) in enumerate(lines, start=1)
        if kind == "record" and stream_of(of, keys) == key
    ]
    return max(own, default=0)


def key_of(configured: Message) -> Key:
    return configured["stream"]["namespace"], configured["stream"]["name"]


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


STATES = st.sampled_from([None, {}, {"cursor": 1}, {"__ab_no_cursor_state_message": True}])
CONTENTS = {
    "record": st.integers(0, 5),
    "state": STATES,
    "global": st.dictionaries(st.sampled_from(KEYS), STATES, max_size=3),
    "legacy": st.sampled_from([{}, {"cursor": 1}]),
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

    records = draw(st.sampled_from([0, 9]))
    kinds = st.sampled_from(
        ["record"] * records + ["state"] * 3 + ["status"] * 3 + ["global", "legacy", "noise"]
    )
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
        keys = [key_of(one) for one in configured]
        replaced = [
            set(tag_texts(key))
            for key, one in zip(keys, configured, strict=True)
            if is_replaced(one)
            and is_whole(one, attempt.number)
            and is_complete(one, keys, attempt.lines)
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
