"""Whatever is not sent, Dust ends up as if everything had been."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from integration_tests.connector import Message, catalog, record, stream, stream_status
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import Fault, LocalDust, Options, SeenRequest

IDS = st.sampled_from(["1", "2", "3", "a b", "A b", "x-y", "ü"])
DATA = st.fixed_dictionaries(
    {"v": st.integers(0, 1)},
    optional={
        "name": st.sampled_from(["Ann", " Ann ", "\ufeffAnn", "\ufeff", "A\u2028b", "title:x"]),
        "url": st.sampled_from(["https://e.com", "HTTPS://E.com:443/ä", "nope", ""]),
        "_ab_cdc_deleted_at": st.sampled_from([None, "2026-11-26"]),
    },
)
EMITTED_AT = st.sampled_from([0, 1_736_365_559, 1_736_365_559_000, 1_736_365_560_000])
RECORDS = st.lists(st.tuples(IDS, DATA, EMITTED_AT), max_size=12)

Edit = tuple[str, Any]
EDITS = st.sampled_from(
    [
        ("text", "edited"),
        ("title", "edited"),
        ("tags", ["airbyte:stream:users"]),
        ("tags", ["airbyte:stream:users", "__DUST_hidden"]),
        ("tags", ["by hand"]),
        ("source_url", "https://edited.example/"),
        ("source_url", None),
        ("mime_type", "text/plain"),
        ("parents", ["users-1", "folder"]),
        ("hash", "0" * 64),
        ("timestamp", 1_700_000_000_000),
    ]
)


@dataclass(frozen=True)
class Plan:
    """What an earlier sync sent, what people changed then, and what this sync sends.

    `rate_limited` says which of its upserts are rate-limited, one after another.
    """

    mode: str
    before: list[tuple[str, Message, int]]
    edits: dict[str, Edit]
    now: list[tuple[str, Message, int]]
    rate_limited: list[bool]
    rehash: bool


PLANS = st.builds(
    Plan,
    mode=st.sampled_from(["append", "append_dedup", "overwrite"]),
    before=RECORDS,
    edits=st.dictionaries(IDS, EDITS, max_size=3),
    now=RECORDS,
    rate_limited=st.lists(st.booleans(), max_size=8),
    rehash=st.booleans(),
)


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[LocalDust, LocalDust]]:
    """The Dust that is tested, and the one that shows what all upserts would have left."""
    with (
        LocalDust(Options(upserts_per_window=10**9, ties_move=True)) as tested,
        LocalDust(Options(upserts_per_window=10**9)) as oracle,
    ):
        yield tested, oracle


def lines_of(records: list[tuple[str, Message, int]]) -> list[bytes]:
    return [
        record("users", {"id": id_, **data}).replace(b"1736365559000", str(emitted_at).encode())
        for id_, data, emitted_at in records
    ] + [stream_status()]


def edit(dust: LocalDust, plan: Plan) -> None:
    """Change documents as people do; an edit of the text has a new hash."""
    for id_, (name, value) in zip(sorted(dust.documents), plan.edits.values(), strict=False):
        document = {**dust.documents[id_], name: value}
        if plan.rehash or name in ("text", "timestamp"):
            document["hash"] = dust.store.options.hash_formula(document)
        dust.documents[id_] = document
    # What was written just now is not older than the sync.
    for document in dust.documents.values():
        document["created"] -= 3_600_000


def contents(dust: LocalDust) -> dict[str, Message]:
    """Return the documents without their times, and what follows from them."""
    left_out = ("timestamp", "created", "hash")
    return {
        id_: {name: value for name, value in document.items() if name not in left_out}
        for id_, document in dust.documents.items()
    }


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(plan=PLANS)
def test_after_the_sync_dust_has_what_it_would_have_if_every_record_had_been_upserted(
    two: tuple[LocalDust, LocalDust], plan: Plan
) -> None:
    """Timestamps apart; and a document that kept its timestamp is the same in all else."""
    tested, oracle = two
    users = {**stream("users", "id", mode=plan.mode), "sync_mode": "full_refresh"}
    configured = catalog(users, stream("teams", "id"))
    for dust in two:
        dust.documents.clear()
        dust.faults = iter(())
        earlier = catalog(stream("users", "id"))
        assert sync(dust.config, earlier, lines_of(plan.before)).error is None
        edit(dust, plan)
    before = copy.deepcopy(dict(tested.documents))
    assert contents(tested) == contents(oracle)

    rate_limited = iter(plan.rate_limited)

    def fault(request: SeenRequest) -> Fault | None:
        return Fault(status=429) if request.method == "POST" and next(rate_limited, False) else None

    tested.faults = fault
    seen = len(tested.requests)
    assert sync(tested.config, configured, lines_of(plan.now)).error is None
    assert sync(oracle.config, configured, lines_of(plan.now)).error is None
    assert contents(tested) == contents(oracle)

    asked = tested.requests[seen:]
    sent = {one.path.rpartition("/")[2] for one in asked if one.method == "POST"}
    event(f"lists: {any(one.method == 'GET' for one in asked)}")
    for id_ in tested.documents.keys() - sent:
        assert tested.documents[id_] == before[id_]
        event("kept a document")
