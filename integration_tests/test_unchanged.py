"""Unchanged records are not sent again, in every mode, and whatever Dust's list says."""

from __future__ import annotations

import copy
import json
import logging
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from destination_dust.unchanged import SHORT_SYNC_UPSERTS
from integration_tests import connector
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
from integration_tests.connector.in_process import Sync, sync
from integration_tests.local_dust import UNLIMITED, Fault, LocalDust, Options, SeenRequest
from integration_tests.test_kills import feed_until_closed
from unit_tests.builders import USERS as STREAM
from unit_tests.builders import document_of
from unit_tests.clock import Clock

YESTERDAY_MS, TODAY_MS = 1_764_000_000_000, 1_764_086_400_000
HOUR_MS = 3_600_000

RECORDS = 1500

REFRESHES = {"generation_id": 7, "minimum_generation_id": 7, "sync_id": 40}

RATE_LIMITED = Fault(status=429)


@pytest.fixture
def dust() -> Iterator[LocalDust]:
    """A local Dust on the first route that is tried, so that each request is a single one."""
    with LocalDust(Options(upserts_per_window=UNLIMITED), route_style="hyphen") as dust:
        yield dust


def users(
    mode: str, sync_mode: str = "full_refresh", *, is_resumable: bool = False, **generations: int
) -> Message:
    configured = {**stream("users", "id", mode=mode), "sync_mode": sync_mode, **generations}
    configured["stream"]["is_resumable"] = is_resumable
    return catalog(configured)


def user(id_: object, *, emitted_at: int = TODAY_MS, **data: object) -> bytes:
    line = record("users", {"id": id_, **data})
    return line.replace(b"1736365559000", str(emitted_at).encode())


def long_sync(
    dust: LocalDust,
    *lines: bytes,
    configured: Message = USERS,
    short_for: int = 0,
    lists: Fault | None = None,
    **options: Any,
) -> Sync:
    """Sync with the upsert after the first `short_for` rate-limited, which makes it a long one.

    `lists` is what goes wrong with each list.
    """
    upserts = iter([None] * short_for + [RATE_LIMITED])

    def fault(request: SeenRequest) -> Fault | None:
        return next(upserts, None) if request.method == "POST" else lists

    dust.requests.clear()
    dust.faults = fault
    return sync(dust.config, configured, lines, **options)


def store(dust: LocalDust, *lines: bytes) -> None:
    """Let the Dust have documents as an earlier sync of these lines has left them."""
    assert sync(dust.config, USERS, lines).error is None
    for document in dust.documents.values():
        document["created"] -= HOUR_MS


def sent(dust: LocalDust) -> list[str]:
    """Return the ids of the upserts that were not rate-limited, as `long_sync` has the first."""
    ids = [one.path.rpartition("/")[2] for one in dust.requests if one.method == "POST"]
    return ids[1:]


def lists(dust: LocalDust) -> int:
    return Counter(request.method for request in dust.requests)["GET"]


def texts(dust: LocalDust) -> dict[str, Message]:
    return {id_: json.loads(document["text"]) for id_, document in dust.documents.items()}


@pytest.mark.parametrize(
    ("configured", "is_replaced"),
    [
        pytest.param(users("append"), False, id="full refresh append"),
        pytest.param(users("append_dedup", "incremental"), False, id="incremental"),
        pytest.param(users("overwrite"), True, id="overwrite, refreshes off"),
        pytest.param(users("append", **REFRESHES), True, id="overwrite each night"),
        pytest.param(users("append", is_resumable=True, **REFRESHES), True, id="resumable"),
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
        done = long_sync(dust, *lines, stream_status(), configured=configured, attempt="0")

    assert done.error is None
    assert done.states == states
    assert sent(dust) == ["users-3", "users-6"]
    changed = {"users-3", "users-6"}
    kept = {"users-0", "users-1", "users-2", "users-4"} | (set() if is_replaced else {"users-5"})
    timestamps = {id_: document["timestamp"] for id_, document in dust.documents.items()}
    assert timestamps == {
        **dict.fromkeys(kept, YESTERDAY_MS),
        **dict.fromkeys(changed, TODAY_MS),
    }
    deleted = int(is_replaced)
    assert caplog.messages[-2].startswith(
        f"Stream 'users': 2 documents upserted, 4 unchanged, {deleted} deleted, "
    )
    assert f": 6 records, 2 upserted, 4 unchanged, {deleted} deleted." in caplog.messages[-1]


def test_deletions_keep_their_order_among_unchanged_records(dust: LocalDust) -> None:
    """A, B, A ends as A, and what is deleted and comes back is stored."""
    store(dust, *(user(id_, v="A") for id_ in range(5)))
    gone = {"_ab_cdc_deleted_at": "2026-11-26"}
    lines = [
        user(0, v="A"),
        user(1, v="B"),
        user(1, v="A"),
        user(2, **gone),
        user(2, v="A"),
        user(3, v="A"),
        user(3, **gone),
        user(4, v="A"),
    ]
    assert long_sync(dust, *lines, configured=users("append_dedup", "incremental")).error is None
    assert sent(dust) == ["users-1", "users-1", "users-2"]
    assert texts(dust) == {f"users-{id_}": {"id": id_, "v": "A"} for id_ in (0, 1, 2, 4)}


def test_without_a_rate_limit_the_hundred_and_first_upsert_makes_a_sync_a_long_one(
    dust: LocalDust,
) -> None:
    lines = [user(id_) for id_ in range(SHORT_SYNC_UPSERTS + 20)]
    store(dust, *lines)
    dust.requests.clear()
    assert sync(dust.config, USERS, lines).error is None
    assert Counter(request.method for request in dust.requests) == {"POST": 100, "GET": 1}
    assert dust.requests[100].path.endswith("?limit=2000")


def test_an_upsert_that_fails_otherwise_does_not_make_a_sync_a_long_one(dust: LocalDust) -> None:
    store(dust, user(1))
    dust.requests.clear()
    dust.faults = iter([Fault(status=503)])
    assert sync(dust.config, USERS, [user(1)]).error is None
    assert [request.method for request in dust.requests] == ["POST", "POST"]


# What is unchanged


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"emitted_at": 0}, id="no timestamp"),
        pytest.param({"emitted_at": 1_764_000_000}, id="timestamp in seconds"),
        pytest.param({"name": "\ufeffAnn\ufeff"}, id="U+FEFF around the title"),
        pytest.param({"name": "\ufeff"}, id="U+FEFF for a title"),
        pytest.param({"name": "\x85Ann\x1f"}, id="control characters around the title"),
        pytest.param({"name": "title:Ann"}, id="a title like a tag"),
        pytest.param({"url": "HTTPS://E.com:443/ä b"}, id="a URL to normalise"),
        pytest.param({"url": "https://ü.example"}, id="an international host"),
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


def test_ids_that_differ_in_case_are_different_documents(dust: LocalDust) -> None:
    store(dust, user("a", v=1), user("A", v=1), user("b", v=1))
    lines = [user("B", v=1), user("a", v=1), user("A", v=2), user("b", v=1)]
    assert long_sync(dust, *lines).error is None
    assert sent(dust) == ["users-B", "users-A"]
    assert {id_: data["v"] for id_, data in texts(dust).items()} == {
        "users-a": 1,
        "users-A": 2,
        "users-b": 1,
        "users-B": 1,
    }


def test_a_hidden_tag_of_dust_shows_as_a_change(dust: LocalDust) -> None:
    """It is in the hash and not in the list; an upsert keeps it."""
    store(dust, user(1), user(2))
    payload = {**dust.documents["users-2"], "mime_type": "application/json"}
    payload["tags"] = ["airbyte:stream:users"]
    dust.put("users-2", system_tags=["__DUST_x"], **payload)
    assert long_sync(dust, user(1), user(2)).error is None
    assert sent(dust) == ["users-2"]
    assert dust.documents["users-2"]["tags"][-1] == "__DUST_x"


@pytest.mark.parametrize(
    "edited",
    [
        pytest.param({"hash": None}, id="no hash"),
        pytest.param({"parents": ["users-2", "folder"]}, id="other parents"),
        pytest.param({"parents": None}, id="no parents"),
        pytest.param({"tags": ["airbyte:stream:users", "title:users 2", "x"]}, id="another tag"),
        pytest.param({"source_url": "https://e.com/"}, id="another link"),
        pytest.param({"mime_type": "text/plain"}, id="another type"),
        pytest.param({"timestamp": None}, id="no timestamp"),
    ],
)
def test_a_document_that_shows_a_difference_is_sent(
    dust: LocalDust, edited: dict[str, Any]
) -> None:
    """As the list shows it: a hash that is right is not enough."""
    store(dust, user(1), user(2))
    listed = [{**document} for document in dust.documents.values()]
    listed[1].update(edited)
    assert long_sync(dust, user(1), user(2), lists=page_of(listed)).error is None
    assert sent(dust) == ["users-2"]


# Lists


def page_of(documents: Iterable[Message]) -> Fault:
    body = json.dumps({"documents": list(documents), "total": 0}).encode()
    return Fault(status=200, headers={"Content-Type": "application/json"}, body=body)


Listed = list[Message]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda listed: listed * 2, [], id="each twice"),
        pytest.param(lambda listed: listed[1:], ["users-0"], id="one missing"),
        pytest.param(lambda listed: [listed[0]] * 3, ["users-1", "users-2"], id="one for others"),
        pytest.param(lambda _: [], ["users-0", "users-1", "users-2"], id="none"),
    ],
)
def test_whatever_the_list_repeats_or_misses_dust_has_all(
    dust: LocalDust, change: Callable[[Listed], Listed], expected: list[str]
) -> None:
    lines = [user(id_) for id_ in range(3)]
    store(dust, *lines)
    before = texts(dust)
    listed = [dust.documents[f"users-{id_}"] for id_ in range(3)]
    assert long_sync(dust, *lines, lists=page_of(change(listed))).error is None
    assert sent(dust) == expected
    assert texts(dust) == before


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            Fault(status=400, body=b'{"error":{"type":"data_source_error","message":"No."}}'),
            id="400",
        ),
        pytest.param(Fault(status=503), id="503"),
        pytest.param(Fault(status=403, body=b"<html>"), id="403 of a proxy"),
        pytest.param(Fault(status=200, body=b"<html>"), id="200 HTML"),
        pytest.param(Fault(ending="reset"), id="reset"),
    ],
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


@pytest.mark.parametrize(("page_s", "pages"), [(9.0, 2), (1.0, 6)])
def test_a_list_takes_no_longer_than_the_upserts_but_for_one_page(
    dust: LocalDust, page_s: float, pages: int
) -> None:
    """A sync of 150 new records into a data source of 10,000 hardly notices."""
    clock = Clock()
    for number in range(10_000):
        dust.put(f"users-old-{number}", tags=["airbyte:stream:users"])

    def take_time(request: SeenRequest) -> None:
        clock.now_s += 0.1 if request.method == "POST" else page_s

    dust.faults = take_time
    lines = [user(id_) for id_ in range(150)]
    assert sync(dust.config, USERS, lines, clock=clock, sleep=clock.sleep).error is None
    # The first hundred upserts took 10 s, and all of them 15 s.
    assert lists(dust) == pages


# Evidence


def other_formula(_document: object) -> str:
    return "0" * 64


def test_another_hash_formula_is_found_out_and_all_is_sent(
    dust: LocalDust, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [user(id_) for id_ in range(3)]
    store(dust, *lines)
    dust.store.options = replace(dust.store.options, hash_formula=other_formula)
    with caplog.at_level(logging.INFO, "airbyte"):
        assert long_sync(dust, *lines, short_for=1).error is None
    assert len(dust.requests) == 4
    assert lists(dust) == 0
    assert sum("in a way that" in text for text in caplog.messages) == 1


def test_without_any_upsert_yet_another_hash_formula_shows_as_differences(dust: LocalDust) -> None:
    lines = [user(id_) for id_ in range(3)]
    dust.store.options = replace(dust.store.options, hash_formula=other_formula)
    store(dust, *lines)
    assert long_sync(dust, *lines).error is None
    assert sent(dust) == ["users-0", "users-1", "users-2"]


# States


def test_no_state_is_ahead_of_an_upsert_that_failed(dust: LocalDust) -> None:
    lines = users_with_states(range(5))
    store(dust, *lines)
    del dust.documents["users-3"]
    faults = iter([RATE_LIMITED, Fault(status=403)])
    dust.faults = lambda request: next(faults, None) if request.method == "POST" else None
    done = sync(dust.config, USERS, lines)
    assert done.error is not None
    assert done.states == [state(id_) for id_ in range(3)]


@pytest.mark.timeout(120)
def test_a_long_sync_that_is_killed_has_acknowledged_what_dust_has_and_the_next_one_is_right(
    dust: LocalDust,
) -> None:
    """Every 20th record has changed."""
    ids = range(RECORDS)
    for id_ in ids:
        dust.put(f"users-{id_}", **document_of(STREAM, {"id": id_, "v": "old"}).payload())
    new = {f"users-{id_}": {"id": id_, "v": "old" if id_ % 20 else "new"} for id_ in ids}
    lines = [line for id_ in ids for line in (record("users", new[f"users-{id_}"]), state(id_))]
    killed_at = state(RECORDS // 2)
    with connector.writing(dust.config, USERS) as process:
        assert process.stdin
        assert process.stdout
        feed = threading.Thread(target=feed_until_closed, args=(process.stdin, lines), daemon=True)
        feed.start()
        output = []
        while killed_at + b"\n" not in output[-1:]:
            output.append(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        output += process.stdout.readlines()
        feed.join()
    states = [line for line in output if b'"type":"STATE"' in line and line.endswith(b"\n")]
    assert states == [state(id_) + b"\n" for id_ in range(len(states))]
    assert RECORDS // 2 < len(states) < RECORDS
    stored, promised = texts(dust), list(new)[: len(states)]
    assert [stored[id_] for id_ in promised] == [new[id_] for id_ in promised]
    assert lists(dust) == 1

    assert sync(dust.config, USERS, lines).error is None
    assert texts(dust) == new
