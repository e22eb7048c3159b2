"""Never a document too many: whatever a sync is sent, and however it fails, what goes is stale."""

from __future__ import annotations

from collections.abc import Iterator
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
"""What a line is ("record", "state" or "status"), its stream, and its content."""


def tag_texts(key: Key) -> tuple[str, ...]:
    namespace, name = key
    name = name.replace("\t", " ")
    return (f"airbyte:stream:{name}", *([f"airbyte:namespace:{namespace}"] if namespace else []))


def to_bytes(line: Line) -> bytes:
    kind, (namespace, name), content = line
    if kind == "record":
        return record(name, {"id": content}, namespace=namespace)
    build = stream_state if kind == "state" else stream_status
    return build(content, name, namespace)


def is_meant(key: Key, kind: str, of: Key, *, is_unique: bool, is_overwrite: bool) -> bool:
    """Say whether a line is about the stream: a status may leave out the namespace."""
    if kind != "status" or of[0] is not None:
        return of == key
    return of[1] == key[1] and (is_unique or (key[0] is None and not is_overwrite))


def is_complete(configured: Message, others: list[Key], lines: list[Line]) -> bool:
    """Say what the contract says of a stream, as an outsider who has the whole input at hand."""
    source = configured["stream"]
    key: Key = (source["namespace"], source["name"])
    is_overwrite = configured["destination_sync_mode"] == "overwrite"
    if is_overwrite and configured["sync_mode"] == "incremental":
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
        return True
    return not source["is_resumable"] and "__ab_no_cursor_state_message" not in states[-1]


@st.composite
def configured_streams(draw: st.DrawFn, key: Key) -> Message:
    namespace, name = key
    mode = draw(st.sampled_from(["append", "append_dedup", "overwrite"]))
    configured = stream(name, "id", namespace=namespace, mode=mode)
    configured["stream"]["is_resumable"] = draw(st.sampled_from([None, False, True]))
    configured["sync_mode"] = draw(st.sampled_from(["full_refresh", "full_refresh", "incremental"]))
    generation = draw(st.sampled_from([None, (1, 1, 1), (7, 7, 40), (7, 0, 40), (8, 8, 41)]))
    if generation is not None:
        names = ("generation_id", "minimum_generation_id", "sync_id")
        configured |= dict(zip(names, generation, strict=True))
    return configured


CONTENTS = {
    "record": st.integers(0, 5),
    "state": st.sampled_from([None, {}, {"cursor": 1}, {"__ab_no_cursor_state_message": True}]),
    "status": st.sampled_from(["COMPLETE", "COMPLETE", "COMPLETE", "STARTED", "INCOMPLETE"]),
}


@st.composite
def attempts(draw: st.DrawFn, keys: list[Key]) -> tuple[list[Line], int | None]:
    """Draw the input of an attempt, cut where it may be, and how the server fails, if it does."""

    def content(kind: str) -> st.SearchStrategy[Line]:
        return st.tuples(
            st.just(kind),
            st.sampled_from([*keys, (None, "ghosts"), (None, keys[0][1])]),
            CONTENTS[kind],
        )

    kinds = st.sampled_from(["record", "record", "record", "state", "status"])
    lines = draw(st.lists(kinds.flatmap(content), max_size=12))
    ends: list[Line] = [("status", key, "COMPLETE") for key in draw(st.sets(st.sampled_from(keys)))]
    ends += [("state", key, {}) for key in draw(st.sets(st.sampled_from(keys)))]
    return lines + ends, draw(st.none() | st.integers(0, 1000))


@st.composite
def syncs(
    draw: st.DrawFn,
) -> tuple[list[Message], list[tuple[list[Line], int | None]]]:
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True))
    return (
        [draw(configured_streams(key)) for key in keys],
        draw(st.lists(attempts(keys), min_size=1, max_size=4)),
    )


@pytest.fixture(scope="module")
def shared_dust() -> Iterator[LocalDust]:
    with LocalDust(Options(upserts_per_window=10**9, ties_move=True)) as dust:
        yield dust


def document_of(dust: LocalDust, template: Message, id_: str, tags: list[str]) -> None:
    dust.documents[id_] = {**template, "document_id": id_, "hash": id_, "tags": tags}


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(plan=syncs())
def test_what_goes_is_stale_and_of_a_complete_stream_and_what_was_written_stays(
    shared_dust: LocalDust, plan: tuple[list[Message], list[tuple[list[Line], int | None]]]
) -> None:
    dust = shared_dust
    configured, inputs = plan
    keys: list[Key] = [(one["stream"]["namespace"], one["stream"]["name"]) for one in configured]
    dust.documents.clear()
    dust.faults = iter(())
    sync(dust.config, catalog(stream("made", "id")), [record("made", {"id": 1})])
    template = dust.documents.pop("made-1")
    for number, key in enumerate(KEYS):
        document_of(dust, template, f"old-{number}", [*tag_texts(key), "title:x"])
        document_of(dust, template, f"gen6-{number}", [*tag_texts(key), "airbyte:generation:6"])
    document_of(dust, template, "by-hand", ["users", "stream:users", "title:airbyte:stream:users"])
    document_of(dust, template, "untagged", [])

    for lines, seed in inputs:
        before = dict(dust.documents)
        seen = len(dust.requests)
        dust.faults = iter(()) if seed is None else random_faults(seed, share=0.1)
        done = sync(dust.config, catalog(*configured), map(to_bytes, lines))
        dust.faults = iter(())

        asked = dust.requests[seen:]
        written = {one.path.rpartition("/")[2] for one in asked if one.method == "POST"}
        gone = (set(before) | (written & set(dust.documents))) - set(dust.documents)
        complete = [
            key
            for key, one in zip(keys, configured, strict=True)
            if is_complete(one, [other for other in keys if other != key], lines)
            and is_replaced(one)
        ]
        origins = [set(tag_texts(key)) for key in complete]
        for id_ in gone:
            tags = set(before[id_]["tags"])
            assert origin(tags) in origins
            assert id_ not in written
        if done.error is None:
            assert all(id_ in dust.documents for id_ in written)
            for id_, document in dust.documents.items():
                assert id_ in written or not (
                    origin(set(document["tags"])) in origins
                    and f"airbyte:generation:{generation(configured, keys, document)}"
                    not in document["tags"]
                )


def origin(tags: set[str]) -> set[str]:
    return {tag for tag in tags if tag.startswith(("airbyte:stream:", "airbyte:namespace:"))}


def is_replaced(configured: Message) -> bool:
    generation_id = configured.get("generation_id")
    if configured["destination_sync_mode"] == "overwrite":
        return True
    return configured.get("minimum_generation_id") == generation_id and generation_id in (7, 8)


def generation(configured: list[Message], keys: list[Key], document: Message) -> str | None:
    """Return the platform's generation of the document's stream; none under overwrite."""
    for key, one in zip(keys, configured, strict=True):
        if set(tag_texts(key)) == origin(set(document["tags"])):
            is_overwrite = one["destination_sync_mode"] == "overwrite"
            return None if is_overwrite else str(one.get("generation_id"))
    return None
