"""Unchanged records are not sent again, in every mode, and whatever Dust's list says."""

from __future__ import annotations

import copy
import json
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from destination_dust.destination import DestinationDust
from destination_dust.protocol import read_messages
from destination_dust.writer import SHORT_SYNC_UPSERTS
from integration_tests.connector import (
    USERS,
    Message,
    catalog,
    record,
    state,
    stream,
    stream_status,
    users_with_states,
)
from integration_tests.connector import stream_state as own_state
from integration_tests.connector.in_process import Sync, configured, sync
from integration_tests.local_dust import UNLIMITED, Fault, LocalDust, Options, SeenRequest
from integration_tests.test_stale import page_of

YESTERDAY_MS, TODAY_MS = 1_764_000_000_000, 1_764_086_400_000
HOUR_MS = 3_600_000

REFRESHES = {"generation_id": 7, "minimum_generation_id": 7, "sync_id": 40}

RATE_LIMITED = Fault(status=429)


@pytest.fixture
def dust() -> Iterator[LocalDust]:
    """A local Dust on the first route that is tried, so that each request is a single one."""
    with LocalDust(Options(upserts_per_window=UNLIMITED), route_style="hyphen") as dust:
        yield dust


def users(mode: str, sync_mode: str = "full_refresh", **generations: int) -> Message:
    return catalog({**stream("users", "id", mode=mode), "sync_mode": sync_mode, **generations})


def user(id_: object, *, emitted_at: int = TODAY_MS, **data: object) -> bytes:
    line = record("users", {"id": id_, **data})
    return line.replace(b"1736365559000", str(emitted_at).encode())


def long_sync(
    dust: LocalDust,
    *lines: bytes,
    configured: Message = USERS,
    upserts: tuple[Fault | None, ...] = (RATE_LIMITED,),
    lists: Fault | None = None,
    **options: Any,
) -> Sync:
    """Sync with the first upsert rate-limited, which makes it a long sync.

    `upserts` is what goes wrong with the first upserts, `lists` with each list.
    """
    faults = iter(upserts)

    def fault(request: SeenRequest) -> Fault | None:
        if request.method == "POST":
            return next(faults, None)
        return lists if request.method == "GET" else None

    dust.requests.clear()
    dust.faults = fault
    return sync(dust.config, configured, lines, **options)


def store(dust: LocalDust, *lines: bytes) -> None:
    """Let the Dust have documents as an earlier sync of these lines has left them."""
    assert sync(dust.config, USERS, lines).error is None
    for document in dust.documents.values():
        document["created"] -= HOUR_MS


def sent(dust: LocalDust) -> list[str]:
    """Return the ids of the upserts after the first, which `long_sync` has rate-limited."""
    ids = [one.path.rpartition("/")[2] for one in dust.requests if one.method == "POST"]
    return ids[1:]


def methods(dust: LocalDust) -> list[str]:
    return [request.method for request in dust.requests]


def texts(dust: LocalDust) -> dict[str, Message]:
    return {id_: json.loads(document["text"]) for id_, document in dust.documents.items()}


@pytest.mark.parametrize(
    ("configured", "is_replaced"),
    [
        pytest.param(users("append"), False, id="full refresh append"),
        pytest.param(users("append_dedup", "incremental"), False, id="incremental"),
        pytest.param(users("overwrite"), True, id="overwrite, refreshes off"),
        pytest.param(users("append", **REFRESHES), True, id="overwrite each night"),
    ],
)
def test_in_every_mode_only_what_changed_is_sent(
    dust: LocalDust, caplog: pytest.LogCaptureFixture, configured: Message, is_replaced: bool
) -> None:
    """What was not sent keeps the time of its last change, and was seen all the same."""
    old = [user(id_, v="old", emitted_at=YESTERDAY_MS) for id_ in range(6)]
    store(dust, *old)
    new = [user(id_, v="new" if id_ == 3 else "old") for id_ in (0, 1, 2, 3, 4, 6)]
    states = [own_state({"cursor": id_}) for id_ in range(6)]
    lines = [line for pair in zip(new, states, strict=True) for line in pair]
    with caplog.at_level(logging.INFO, "airbyte"):
        done = long_sync(dust, *lines, stream_status(), configured=configured)
    assert done.error is None
    assert done.states == states
    assert sent(dust) == ["users-3", "users-6"]
    changed = {"users-3", "users-6"}
    kept = {"users-0", "users-1", "users-2", "users-4"} | (set() if is_replaced else {"users-5"})
    timestamps = {id_: document["timestamp"] for id_, document in dust.documents.items()}
    assert timestamps == dict.fromkeys(kept, YESTERDAY_MS) | dict.fromkeys(changed, TODAY_MS)
    deleted = int(is_replaced)
    assert caplog.messages[-2].startswith(
        f"Stream 'users': 2 documents upserted, 4 unchanged, {deleted} deleted, "
    )
    assert f": 6 records, 2 upserted, 4 unchanged, {deleted} deleted." in caplog.messages[-1]


def test_deletions_keep_their_order_among_unchanged_records(dust: LocalDust) -> None:
    """A, B, A ends as A, and what is deleted and comes back is stored."""
    store(dust, *(user(id_, v="A") for id_ in range(5)))
    gone = {"_ab_cdc_deleted_at": "2026-11-26"}
    lines = [user(0, v="A"), user(1, v="B"), user(1, v="A"), user(2, **gone), user(2, v="A")]
    lines += [user(3, v="A"), user(3, **gone), user(4, v="A")]
    assert long_sync(dust, *lines, configured=users("append_dedup", "incremental")).error is None
    assert sent(dust) == ["users-1", "users-1", "users-2"]
    assert texts(dust) == {f"users-{id_}": {"id": id_, "v": "A"} for id_ in (0, 1, 2, 4)}


def test_without_a_rate_limit_the_list_is_read_after_the_hundredth_upsert(dust: LocalDust) -> None:
    lines = [user(id_) for id_ in range(SHORT_SYNC_UPSERTS + 20)]
    store(dust, *lines)
    dust.requests.clear()
    assert sync(dust.config, USERS, lines).error is None
    assert Counter(methods(dust)) == {"POST": 100, "GET": 1}
    assert dust.requests[100].path.endswith("?limit=2000")


def test_a_rate_limited_upsert_is_looked_for_in_the_list_before_it_waits(dust: LocalDust) -> None:
    store(dust, user(1))
    done = long_sync(dust, user(1))
    assert (done.error, done.waits_s) == (None, [])
    assert methods(dust) == ["POST", "GET"]


def test_a_rate_limited_upsert_that_the_list_does_not_show_is_repeated(dust: LocalDust) -> None:
    done = long_sync(dust, user(1), upserts=(RATE_LIMITED,) * 3)
    assert done.error is None
    assert methods(dust) == ["POST", "GET", "POST", "POST", "POST"]
    assert texts(dust) == {"users-1": {"id": 1}}


@pytest.mark.parametrize("is_long", [True, False], ids=["long sync", "short sync"])
def test_an_upsert_that_failed_is_repeated_until_it_succeeds_although_the_list_shows_it(
    dust: LocalDust, caplog: pytest.LogCaptureFixture, is_long: bool
) -> None:
    """Dust has stored the document by then, but its search index may lack it."""
    failed = Fault(ending="reset", after_work=True)
    upserts = (RATE_LIMITED if is_long else None, failed, RATE_LIMITED, RATE_LIMITED)
    with caplog.at_level(logging.INFO, "airbyte"):
        assert long_sync(dust, user(1), user(2), upserts=upserts).error is None
    posts = [one.path.rpartition("/")[2] for one in dust.requests if one.method == "POST"]
    assert posts == (["users-1"] * 5 + ["users-2"] if is_long else ["users-1"] + ["users-2"] * 4)
    assert ": 2 records, 2 upserted, 0 unchanged, " in caplog.messages[-1]


def test_an_upsert_that_fails_otherwise_does_not_make_a_sync_a_long_one(dust: LocalDust) -> None:
    store(dust, user(1))
    assert long_sync(dust, user(1), upserts=(Fault(status=503),)).error is None
    assert methods(dust) == ["POST", "POST"]


def test_what_was_written_before_the_list_is_read_is_not_taken_from_it(dust: LocalDust) -> None:
    """The list may not show yet what has just been written or deleted."""
    store(dust, user(1), user(2), user(3))
    old = page_of(list(dust.documents.values()))
    gone = {"_ab_cdc_deleted_at": "2026-11-26"}
    lines = [user(1, v="B"), user(2, **gone), user(3), user(1), user(2)]
    upserts = (None, RATE_LIMITED)
    assert long_sync(dust, *lines, upserts=upserts, lists=old).error is None
    assert texts(dust) == {f"users-{id_}": {"id": id_} for id_ in (1, 2, 3)}


# What is unchanged


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"emitted_at": 0}, id="no timestamp"),
        pytest.param({"emitted_at": 1_764_000_000}, id="timestamp in seconds"),
        pytest.param({"name": " Ann\u2003"}, id="white space around the title"),
        pytest.param({"name": "title:Ann"}, id="a title like a tag"),
        pytest.param({"url": "HTTPS://E.com:443/ä b"}, id="a URL to normalise"),
        pytest.param({"note": "\ud800 \0 ü"}, id="what JSON escapes"),
    ],
)
def test_what_dust_stores_in_another_form_is_unchanged_all_the_same(
    dust: LocalDust, data: dict[str, Any]
) -> None:
    lines = [user(id_, **data) for id_ in range(3)]
    store(dust, *lines)
    before = copy.deepcopy(dict(dust.documents))
    assert long_sync(dust, *lines).error is None
    assert sent(dust) == []
    assert dict(dust.documents) == before


@pytest.mark.parametrize(
    "edited",
    [
        pytest.param({"hash": "0" * 64}, id="another hash"),
        pytest.param({"timestamp": None}, id="no timestamp"),
        pytest.param({"timestamp": 5}, id="another timestamp"),
        pytest.param({"title": "U"}, id="another title"),
        pytest.param({"tags": ["title:T", "airbyte:stream:users"]}, id="tags in another order"),
        pytest.param({"tags": ["airbyte:stream:users", "title:T", "x"]}, id="another tag"),
        pytest.param({"source_url": "https://e.com/y"}, id="another link"),
        pytest.param({"mime_type": "text/plain"}, id="another type"),
        pytest.param({"parents": ["users-2", "folder"]}, id="moved into a folder"),
    ],
)
def test_a_document_that_is_listed_with_any_difference_is_sent(
    dust: LocalDust, edited: dict[str, Any]
) -> None:
    """Also where the hash is right."""
    lines = [user(id_, name="T", url="https://e.com/x") for id_ in (1, 2)]
    store(dust, *lines)
    listed = [{**document} for document in dust.documents.values()]
    listed[1].update(edited)
    assert long_sync(dust, *lines, lists=page_of(listed)).error is None
    assert sent(dust) == ["users-2"]


# Lists


@pytest.mark.parametrize(
    ("listed", "expected"),
    [([0, 1, 2] * 2, []), ([1, 2], [0]), ([0, 0, 0], [1, 2]), ([], [0, 1, 2])],
    ids=["each twice", "one missing", "one for others", "none"],
)
def test_whatever_the_list_repeats_or_misses_dust_has_all(
    dust: LocalDust, listed: list[int], expected: list[int]
) -> None:
    lines = [user(id_) for id_ in range(3)]
    store(dust, *lines)
    before = texts(dust)
    page = page_of([dust.documents[f"users-{id_}"] for id_ in listed])
    assert long_sync(dust, *lines, lists=page).error is None
    assert sent(dust) == [f"users-{id_}" for id_ in expected]
    assert texts(dust) == before


@pytest.mark.parametrize(
    "fault",
    [Fault(status=400, body=b"{}"), Fault(status=503), Fault(status=200, body=b"<html>")],
    ids=["400", "503", "200 HTML"],
)
def test_a_list_that_fails_is_warned_of_once_and_all_is_sent(
    dust: LocalDust, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    lines = users_with_states(range(3))
    store(dust, *lines)
    caplog.clear()
    done = long_sync(dust, *lines, lists=fault)
    assert done.error is None
    assert done.states == [state(id_) for id_ in range(3)]
    assert sent(dust) == ["users-0", "users-1", "users-2"]
    (warning,) = [text for text in caplog.messages if "Unchanged" in text]
    assert warning.startswith("Could not list the data source's documents for stream 'users': ")


def test_a_state_of_a_long_sync_comes_back_once_dust_has_all_before_it(dust: LocalDust) -> None:
    """Whether it was sent or left out: every third record has changed."""
    old, new = (
        {f"users-{id_}": {"id": id_, "v": v if id_ % 3 == 0 else ""} for id_ in range(30)}
        for v in ("old", "new")
    )
    store(dust, *(record("users", data) for data in old.values()))
    dust.faults = iter([RATE_LIMITED])
    lines = [line for id_, data in new.items() for line in (record("users", data), state(id_))]
    waits_s: list[float] = []
    messages = DestinationDust(sleep=waits_s.append).write(
        dust.config, configured(USERS), read_messages(lines)
    )
    for number, _ in enumerate(messages, start=1):
        stored = texts(dust)
        promised = list(new)[:number]
        assert [stored[id_] for id_ in promised] == [new[id_] for id_ in promised]
    assert texts(dust) == new
