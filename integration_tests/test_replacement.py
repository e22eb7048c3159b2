"""Overwrite, refresh, clear: what the source no longer has goes, and only when that is certain."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from integration_tests.connector import Message, catalog, record, stream
from integration_tests.connector import stream_state as own_state
from integration_tests.connector import stream_status as status
from integration_tests.connector.in_process import Sync, sync
from integration_tests.local_dust import Fault, LocalDust
from integration_tests.test_stale import warnings

# generation_id, minimum_generation_id and sync_id
REFRESHES = (7, 7, 40)
PYAIRBYTE = (1, 1, 1)

NOT_FINISHED = "the source did not finish the stream"
NOT_TOLD = "Airbyte did not say whether the source has sent the whole stream"
READ_INCREMENTALLY = "the stream was read incrementally"
NO_LAST_STATE = "the source sent no state after the last record"
LATER_ATTEMPT = "an earlier attempt of this job may have sent a part"
UNREAD = "the input had lines that are not Airbyte messages"


def users(
    mode: str = "overwrite",
    ids: tuple[int | None, int | None, int | None] = (None, None, None),
    *,
    name: str = "users",
    namespace: str | None = None,
    sync_mode: str = "full_refresh",
    is_resumable: bool | None = False,
) -> Message:
    """Return a configured stream with the key `id`, which by default cannot be resumed."""
    configured = stream(name, "id", namespace=namespace, mode=mode)
    configured["stream"]["is_resumable"] = is_resumable
    names = ("generation_id", "minimum_generation_id", "sync_id")
    return {**configured, "sync_mode": sync_mode, **dict(zip(names, ids, strict=True))}


def user(id_: int, namespace: str | None = None, **data: object) -> bytes:
    return record("users", {"id": id_, **data}, namespace=namespace)


def global_state(**streams: object) -> bytes:
    """Return a GLOBAL state that lists these streams with their contents."""
    states = [
        {"stream_descriptor": {"name": name}, "stream_state": content}
        for name, content in streams.items()
    ]
    state = {"type": "GLOBAL", "global": {"shared_state": {"lsn": 1}, "stream_states": states}}
    return json.dumps({"type": "STATE", "state": state}).encode()


OVERWRITE = users()
REFRESH = users("append", REFRESHES)
RESUMABLE = users(is_resumable=True)
INCREMENTAL = users("append", REFRESHES, sync_mode="incremental")

STATE = own_state({"cursor": 1})
TEAMS_STATE = own_state({"cursor": 1}, "teams")
EMPTY_STATE = own_state({})
"""What the platform adds for a stream whose source sent no state."""
NULL_STATE = own_state(None)
LEGACY_STATE = b'{"type":"STATE","state":{"data":{}}}'
LEGACY_TEAMS = b'{"type":"STATE","state":{"data":{"teams":1}}}'
ANY_END = own_state({"__ab_no_cursor_state_message": True})
ESTIMATE = (
    b'{"type":"TRACE","trace":{"type":"ESTIMATE","emitted_at":1,'
    b'"estimate":{"name":"users","type":"STREAM"}}}'
)
ERROR = b'{"type":"TRACE","trace":{"type":"ERROR","emitted_at":1,"error":{"message":"No."}}}'
STATE_WITHOUT_CONTENT = own_state(None).replace(b', "stream_state": null', b"")


@pytest.fixture
def old(dust: LocalDust) -> LocalDust:
    """A Dust with users 1 to 3 of an earlier sync, and what is none of their business."""
    configured = catalog(OVERWRITE, users(namespace="eu"), users(name="teams"))
    dust.put("by-hand", tags=["users"])
    lines = [user(id_) for id_ in (1, 2, 3)]
    store(dust, configured, *lines, user(9, "eu"), record("teams", {"id": 1}))
    return dust


def store(dust: LocalDust, configured: Message, *lines: bytes) -> None:
    """Let the Dust have what a sync of these lines has left an hour ago."""
    assert sync(dust.config, configured, lines).error is None
    for document in dust.documents.values():
        document["created"] -= 3_600_000


def users_in(dust: LocalDust) -> set[str]:
    """Return the ids of the documents of `users` without a namespace."""
    return {
        id_
        for id_, document in dust.documents.items()
        if "airbyte:stream:users" in document["tags"]
        and "airbyte:namespace:eu" not in document["tags"]
    }


def replace(
    dust: LocalDust, configured: Message, *lines: bytes, attempt: str | None = "0", **options: Any
) -> Sync:
    """Write the lines of one stream, by default in the first attempt of a job."""
    return sync(dust.config, catalog(configured), lines, attempt=attempt, **options)


@pytest.mark.parametrize(
    ("configured", "after"),
    [
        pytest.param(REFRESH, [STATE, status()], id="refreshes on"),
        pytest.param(
            users("append", REFRESHES, sync_mode="incremental", is_resumable=True),
            [STATE, status()],
            id="incremental",
        ),
        pytest.param(REFRESH, [status(), EMPTY_STATE], id="a state after the status"),
        pytest.param(users("append", (1, 1, 40)), [STATE, status()], id="the first generation"),
        pytest.param(users("append", (2, 2, 1)), [STATE, status()], id="the first sync"),
        pytest.param(users("overwrite", PYAIRBYTE), [STATE, status()], id="PyAirbyte's REPLACE"),
        pytest.param(RESUMABLE, [STATE, status()], id="resumable, told complete"),
        pytest.param(OVERWRITE, [EMPTY_STATE], id="the platform's own state"),
        pytest.param(OVERWRITE, [EMPTY_STATE, own_state({}, "teams")], id="another's state"),
        pytest.param(OVERWRITE, [status("STARTED"), STATE, status("COMPLETE")], id="started"),
        pytest.param(OVERWRITE, [ESTIMATE, EMPTY_STATE], id="an estimate is no failure"),
    ],
)
def test_what_a_complete_stream_did_not_write_is_deleted(
    old: LocalDust, caplog: pytest.LogCaptureFixture, configured: Message, after: list[bytes]
) -> None:
    """And nothing else: no other stream's documents, and none that people put there."""
    others = set(old.documents) - users_in(old)
    caplog.clear()
    with caplog.at_level(logging.INFO, "airbyte"):
        done = replace(old, configured, user(3), user(4), *after)
    assert done.error is None
    assert users_in(old) == {"users-3", "users-4"}
    assert set(old.documents) - users_in(old) == others
    assert warnings(caplog) == []
    assert "Stream 'users' was replaced: 2 documents of earlier syncs deleted." in caplog.messages


@pytest.mark.parametrize(
    ("configured", "after", "reason"),
    [
        pytest.param(OVERWRITE, [], NOT_TOLD, id="nothing after the records"),
        pytest.param(OVERWRITE, [EMPTY_STATE, user(5)], NOT_TOLD, id="a record after the state"),
        pytest.param(RESUMABLE, [NULL_STATE], NOT_TOLD, id="a null state after records"),
        pytest.param(users(is_resumable=None), [EMPTY_STATE], NOT_TOLD, id="perhaps resumable"),
        pytest.param(OVERWRITE, [own_state({}, "teams")], NOT_TOLD, id="another stream's state"),
        pytest.param(OVERWRITE, [status(), user(5)], NOT_FINISHED, id="a record after the status"),
        pytest.param(OVERWRITE, [status(), status("INCOMPLETE")], NOT_FINISHED, id="not complete"),
        pytest.param(OVERWRITE, [status(name="teams")], NOT_FINISHED, id="another stream's status"),
        pytest.param(OVERWRITE, [status("INCOMPLETE"), EMPTY_STATE], NOT_FINISHED, id="new CDK"),
        pytest.param(OVERWRITE, [EMPTY_STATE, status("INCOMPLETE")], NOT_FINISHED, id="old CDK"),
        pytest.param(OVERWRITE, [ERROR, EMPTY_STATE], NOT_FINISHED, id="an error of the source"),
        pytest.param(REFRESH, [EMPTY_STATE, NULL_STATE], NOT_FINISHED, id="no proof"),
        pytest.param(REFRESH, [status()], NO_LAST_STATE, id="no state after the record"),
        pytest.param(REFRESH, [TEAMS_STATE, status()], NO_LAST_STATE, id="another's state"),
        pytest.param(REFRESH, [STATE, user(5), status()], NO_LAST_STATE, id="a record after it"),
        pytest.param(
            users("overwrite", PYAIRBYTE, sync_mode="incremental"),
            [EMPTY_STATE, NULL_STATE, status()],
            READ_INCREMENTALLY,
            id="PyAirbyte, incremental",
        ),
    ],
)
def test_without_certainty_all_is_kept_and_one_warning_says_why(
    old: LocalDust,
    caplog: pytest.LogCaptureFixture,
    configured: Message,
    after: list[bytes],
    reason: str,
) -> None:
    before = set(old.documents)
    caplog.clear()
    done = replace(old, configured, user(4), *after)
    assert done.error is None
    assert before <= set(old.documents)
    assert "users-4" in old.documents
    assert not [request for request in old.requests if request.method == "DELETE"]
    (warning,) = warnings(caplog)
    assert warning.startswith("Stream 'users': documents of earlier syncs were kept, because ")
    assert reason in warning


GLOBAL_TEAMS = global_state(teams={"a": 1})
TEAMS = [record("teams", {"id": 2}), TEAMS_STATE]


@pytest.mark.parametrize(
    ("lines", "of_others", "is_resumable", "goes_with", "goes_without"),
    [
        # What a source sends for a stream that has become empty.
        pytest.param([STATE], TEAMS, True, True, False, id="Python CDK, resumable, empty"),
        pytest.param([ANY_END], TEAMS, False, True, False, id="Python CDK, no cursor, empty"),
        pytest.param([EMPTY_STATE], TEAMS, False, False, False, id="older Python CDK, empty"),
        pytest.param([], TEAMS, False, False, False, id="older Python CDK and platform, empty"),
        pytest.param([STATE], TEAMS, True, True, False, id="Java JDBC, resumable, empty"),
        pytest.param([STATE_WITHOUT_CONTENT], TEAMS, False, True, True, id="Java JDBC, empty"),
        pytest.param(
            [], [*TEAMS, global_state(users={}, teams={"a": 1})], True, True, False, id="CDC, empty"
        ),
        pytest.param([], TEAMS, True, False, False, id="Kotlin, incremental, empty"),
        # What it sends for one with records.
        pytest.param([user(4), STATE], TEAMS, True, True, False, id="resumable, full"),
        pytest.param([user(4), STATE], TEAMS, False, True, True, id="not resumable, full"),
        pytest.param([user(4), NULL_STATE], TEAMS, False, True, True, id="Java JDBC, full"),
        pytest.param([user(4), ANY_END], TEAMS, False, True, False, id="no cursor, full"),
        pytest.param([user(4), EMPTY_STATE], TEAMS, False, True, True, id="older Python CDK, full"),
        pytest.param([user(4)], TEAMS, False, False, False, id="older platform, full"),
        pytest.param([user(4), GLOBAL_TEAMS], TEAMS, True, True, False, id="CDC, full"),
        pytest.param([user(4), LEGACY_STATE], TEAMS, None, True, False, id="legacy, full"),
        # What arrives of a stream that the source left out.
        pytest.param([], TEAMS, None, False, False, id="skipped"),
        pytest.param([], [TEAMS_STATE], None, False, False, id="skipped, the other one empty"),
        pytest.param([EMPTY_STATE], TEAMS, False, False, False, id="skipped, platform's state"),
        pytest.param([EMPTY_STATE], [TEAMS_STATE], False, False, False, id="skipped, both empty"),
        pytest.param([], [*TEAMS, GLOBAL_TEAMS], True, False, False, id="CDC, skipped"),
        pytest.param([], [GLOBAL_TEAMS], True, False, False, id="CDC, both skipped"),
        pytest.param([], [*TEAMS, LEGACY_STATE], None, False, False, id="legacy, skipped"),
        pytest.param([], [LEGACY_TEAMS], None, False, False, id="legacy, content"),
        # What the platform sends to clear streams.
        pytest.param([], [], True, True, False, id="clear of all, resumable"),
        pytest.param(
            [EMPTY_STATE], [own_state({}, "teams")], False, True, True, id="clear of all, anew"
        ),
        pytest.param(
            [NULL_STATE], [own_state(None, "teams")], True, True, True, id="clear of some"
        ),
        pytest.param(
            [], [global_state(others={"a": 1})], True, True, False, id="clear of some, CDC"
        ),
        pytest.param([], [LEGACY_STATE], None, True, False, id="clear, legacy"),
        pytest.param([EMPTY_STATE], [], None, True, False, id="clear, perhaps resumable"),
    ],
)
@pytest.mark.parametrize("has_refreshes", [True, False], ids=["with refreshes", "without"])
def test_what_was_not_sent_goes_only_where_the_source_has_spoken_of_the_stream(
    old: LocalDust,
    lines: list[bytes],
    of_others: list[bytes],
    is_resumable: bool | None,
    goes_with: bool,
    goes_without: bool,
    has_refreshes: bool,
) -> None:
    """With refreshes, COMPLETE follows for every stream; without, nothing does.

    Source of each row: airbyte-platform, the CDKs of Python, Java and Kotlin.
    """
    how = ("append", REFRESHES) if has_refreshes else ("overwrite",)
    configured = [users(*how, name=name, is_resumable=is_resumable) for name in ("users", "teams")]
    ends = [status(), status(name="teams")] if has_refreshes else []
    done = sync(old.config, catalog(*configured), [*of_others, *lines, *ends], attempt="0")
    assert done.error is None
    new = {"users-4"} if user(4) in lines else set()
    goes = goes_with if has_refreshes else goes_without
    assert users_in(old) == new | (set() if goes else {"users-1", "users-2", "users-3"})


def test_one_warning_says_that_the_source_left_a_stream_out(
    old: LocalDust, caplog: pytest.LogCaptureFixture
) -> None:
    configured = catalog(REFRESH, users("append", REFRESHES, name="teams"))
    caplog.clear()
    assert sync(old.config, configured, [*TEAMS, status(), status(name="teams")]).error is None
    assert warnings(caplog) == [
        "Stream 'users': documents of earlier syncs were kept, because the source said nothing "
        "about the stream. It may no longer have the stream, or may no longer be allowed to read "
        "it. To delete the documents, clear the stream."
    ]


@pytest.mark.parametrize(
    "configured",
    [
        pytest.param(users("append"), id="no generations"),
        pytest.param(users("append", (7, 0, 40)), id="minimum 0"),
        pytest.param(users("append", (7, None, 40)), id="no minimum"),
        pytest.param(users("append", (0, 0, 40)), id="generation 0"),
        pytest.param(users("append", PYAIRBYTE), id="PyAirbyte's constant"),
    ],
)
def test_a_stream_that_is_not_being_replaced_is_as_it_ever_was(
    old: LocalDust, caplog: pytest.LogCaptureFixture, configured: Message
) -> None:
    """Not one byte of its documents changes, nothing is listed or deleted."""
    caplog.clear()
    seen = len(old.requests)
    assert replace(old, configured, user(4), EMPTY_STATE, status()).error is None
    assert {request.method for request in old.requests[seen:]} == {"POST"}
    assert old.requests[-1].body == (
        rb'{"title":"users 4","mime_type":"application/json","text":"{\n  \"id\": 4\n}",'
        rb'"source_url":"","tags":["airbyte:stream:users"],"light_document_output":true,'
        rb'"async":false,"timestamp":1736365559000}'
    )
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    "configured",
    [INCREMENTAL, users("append", REFRESHES, is_resumable=True)],
    ids=["incremental", "resumable"],
)
@pytest.mark.parametrize("attempt", ["1", "", None])
def test_what_may_go_on_where_an_earlier_attempt_stopped_deletes_nothing(
    old: LocalDust, caplog: pytest.LogCaptureFixture, configured: Message, attempt: str | None
) -> None:
    """What the earlier attempt wrote is not known to this one."""
    store(old, catalog(configured), user(4))
    caplog.clear()
    assert replace(old, configured, user(5), STATE, status(), attempt=attempt).error is None
    assert users_in(old) == {f"users-{id_}" for id_ in range(1, 6)}
    (warning,) = warnings(caplog)
    assert LATER_ATTEMPT in warning
    assert replace(old, configured, user(4), user(5), STATE, status(), attempt="0").error is None
    assert users_in(old) == {"users-4", "users-5"}


@pytest.mark.parametrize(
    "configured",
    [users("append", REFRESHES, is_resumable=None), REFRESH, RESUMABLE],
    ids=["perhaps resumable", "not resumable", "overwrite"],
)
@pytest.mark.parametrize("attempt", ["1", None])
def test_what_begins_anew_in_each_attempt_is_replaced_in_any(
    old: LocalDust, configured: Message, attempt: str | None
) -> None:
    """A full refresh that cannot be resumed, and overwrite: the platform clears the state first."""
    assert replace(old, configured, user(4), STATE, status(), attempt=attempt).error is None
    assert users_in(old) == {"users-4"}


@pytest.mark.parametrize("line", [b"starting up", b'{"level": "info"}'])
def test_a_line_that_is_no_message_keeps_all_documents(
    old: LocalDust, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    """It may have been a record that has lost its start."""
    before = set(old.documents)
    assert replace(old, OVERWRITE, line, user(4), STATE, status()).error is None
    assert set(old.documents) == before | {"users-4"}
    assert UNREAD in warnings(caplog)[-1]


# Names and namespaces


EU, US = users(namespace="eu"), users(namespace="us")
EU_STATE, US_STATE = (own_state({"cursor": 1}, namespace=one) for one in ("eu", "us"))
EU_STATUS, US_STATUS = (status(namespace=one) for one in ("eu", "us"))


@pytest.mark.parametrize(
    ("configured", "lines", "left"),
    [
        pytest.param([EU], [user(3, "eu"), EU_STATE, status()], {"us1", "eu3"}, id="one"),
        pytest.param(
            [EU, US],
            [user(3, "eu"), EU_STATE, status(), user(3, "us"), US_STATE, status()],
            {"us1", "eu1", "eu3", "us3"},
            id="status of two",
        ),
        pytest.param(
            [EU, US], [user(3, "eu"), STATE, EU_STATUS], {"us1", "eu1", "eu3"}, id="state of two"
        ),
        pytest.param([EU], [user(3), STATE, status()], {"us1", "eu3"}, id="record, state, status"),
        pytest.param(
            [EU], [user(3), US_STATE, status()], {"us1", "eu1", "eu3"}, id="another's state"
        ),
        pytest.param([EU], [user(3), EMPTY_STATE], {"us1", "eu1", "eu3"}, id="no status"),
        pytest.param(
            [EU], [user(3), own_state({}, namespace="eu")], {"us1", "eu3"}, id="exact state"
        ),
    ],
)
def test_what_leaves_out_the_namespace_is_of_the_only_stream_of_the_name(
    dust: LocalDust, configured: list[Message], lines: list[bytes], left: set[str]
) -> None:
    """PyAirbyte leaves it out."""
    store(dust, catalog(EU, US), user(1, "eu"), user(1, "us"))
    assert sync(dust.config, catalog(*configured), lines).error is None
    documents = dust.documents.values()
    assert {f"{one['tags'][1][-2:]}{json.loads(one['text'])['id']}" for one in documents} == left


def test_a_status_without_a_namespace_is_not_taken_for_the_stream_without_one(
    old: LocalDust,
) -> None:
    """PyAirbyte overwrites `users` and `eu/users`, and only the latter has ended."""
    before = set(old.documents)
    lines = [user(4), STATE, user(9, "eu"), EU_STATE, status()]
    assert sync(old.config, catalog(OVERWRITE, EU), lines).error is None
    assert before <= set(old.documents)


def test_a_status_is_exact_where_the_platform_sends_it(dust: LocalDust) -> None:
    """With refreshes on, a status without a namespace is of the stream without one."""
    store(dust, catalog(users("append")), user(1))
    configured = catalog(REFRESH, users("append", REFRESHES, namespace="eu"))
    assert sync(dust.config, configured, [status()]).error is None
    assert dict(dust.documents) == {}


def test_a_state_without_a_namespace_shows_that_this_is_no_clear(dust: LocalDust) -> None:
    """The source left out `users`, and `teams` has become empty."""
    configured = catalog(EU, users(name="teams", namespace="eu"))
    store(dust, configured, user(1, "eu"))
    lines = [TEAMS_STATE, status(name="teams"), status()]
    assert sync(dust.config, configured, lines).error is None
    assert len(dust.documents) == 1


def test_streams_with_the_same_tags_are_kept(
    dust: LocalDust, caplog: pytest.LogCaptureFixture
) -> None:
    """A control character becomes a space in a tag."""
    configured = catalog(users(name="a\tb"), users(name="a b"))
    store(dust, configured, record("a\tb", {"id": 1}), record("a b", {"id": 1}))
    caplog.clear()
    sync(dust.config, configured, [status(name="a\tb"), status(name="a b")])
    assert len(dust.documents) == 2
    assert ["the same tags" in warning for warning in warnings(caplog)] == [True, True]


@pytest.mark.parametrize("namespace", [None, "asia"], ids=["missing", "unknown"])
def test_records_that_belong_to_no_stream_keep_the_documents_of_their_name(
    dust: LocalDust, caplog: pytest.LogCaptureFixture, namespace: str | None
) -> None:
    """They are not stored, and what they would replace is not deleted."""
    store(dust, catalog(EU, US), user(1, "eu"), user(1, "us"))
    before = set(dust.documents)
    lines = [user(1, namespace), EU_STATE, EU_STATUS, US_STATE, US_STATUS]
    assert sync(dust.config, catalog(EU, US), lines).error is None
    assert set(dust.documents) == before
    kept = [one for one in warnings(caplog) if "a missing or unknown namespace" in one]
    assert len(kept) == 2


# Failures


@pytest.mark.parametrize(
    "line",
    [b'{"type":"TRACE', b"noise with a " + user(5), record("teams", {"id": 5})],
    ids=["cut off", "noise", "refused by Dust"],
)
def test_a_sync_that_fails_after_the_end_of_a_stream_deletes_nothing(
    old: LocalDust, line: bytes
) -> None:
    before = set(old.documents)
    old.faults = lambda request: Fault(status=403) if request.path.endswith("teams-5") else None
    configured = catalog(OVERWRITE, users("append", name="teams"))
    done = sync(old.config, configured, [user(4), STATE, status(), line])
    assert done.error is not None
    assert set(old.documents) == before | {"users-4"}


# Deleted records


DEDUPED = users("append_dedup", sync_mode="incremental")
DELETED = {"_ab_cdc_deleted_at": "2026-11-24T00:00:00Z", "name": None}


def test_a_deleted_record_deletes_its_document_in_order(
    dust: LocalDust, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [user(1), user(2), user(2, **DELETED), user(3, **DELETED)]
    lines += [user(3, _ab_cdc_deleted_at=None), user(4, **DELETED)]
    with caplog.at_level(logging.INFO, "airbyte"):
        assert replace(dust, DEDUPED, *lines).error is None
    assert set(dust.documents) == {"users-1", "users-3"}
    assert [(one.method, one.path[-1]) for one in dust.requests[1:]] == [
        *[("POST", "1"), ("POST", "2"), ("DELETE", "2")],
        *[("DELETE", "3"), ("POST", "3"), ("DELETE", "4")],
    ]
    assert "Stream 'users': 3 documents upserted, 0 unchanged, 3 deleted, " in caplog.messages[-2]


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_in_other_modes_a_deleted_record_is_a_record_like_any_other(
    dust: LocalDust, mode: str
) -> None:
    replace(dust, users(mode), user(1), user(1, **DELETED))
    assert json.loads(dust.documents["users-1"]["text"]) == {"id": 1, **DELETED}


@pytest.mark.parametrize(
    "configured",
    [DEDUPED, stream("users", None, mode="append_dedup")],
    ids=["record without its key", "stream without a key"],
)
def test_deleted_records_without_a_key_are_stored_with_one_warning(
    dust: LocalDust, caplog: pytest.LogCaptureFixture, configured: Message
) -> None:
    lines = [record("users", {"id": None, "v": v, **DELETED}) for v in (1, 2)]
    assert replace(dust, configured, *lines).error is None
    assert len(dust.documents) == 2
    assert warnings(caplog)[1:] == [
        "Stream 'users' has a deleted record without a primary key: the document to delete is "
        "unknown, so the record is stored like any other."
    ]


def test_no_state_comes_out_after_a_deletion_that_failed(dust: LocalDust) -> None:
    replace(dust, DEDUPED, user(1))
    dust.faults = lambda request: Fault(status=403) if request.method == "DELETE" else None
    done = replace(dust, DEDUPED, own_state(1), user(1, **DELETED), own_state(2))
    assert done.states == [own_state(1)]
    assert done.error is not None
    message = str(done.error.message)
    assert message.startswith("Could not delete document 'users-1' of stream 'users': ")
