"""Two syncs of one connection at the same time, in any order of their requests."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Iterator
from threading import Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration_tests.connector import Message, catalog, record, stream, stream_status
from integration_tests.connector import stream_state as own_state
from integration_tests.connector.in_process import Sync, sync
from integration_tests.local_dust import LocalDust, Options, SeenRequest

OLD = range(6)


@pytest.fixture(scope="module")
def shared_dust() -> Iterator[LocalDust]:
    def now_ms() -> int:
        # Not the machine's time of day, which may be corrected while the test runs.
        return time.monotonic_ns() // 1_000_000 + 1_700_000_000_000

    with LocalDust(Options(upserts_per_window=10**9, now_ms=now_ms)) as dust:
        yield dust


class Turns:
    """Lets one request through at a time: of the older sync where the order says so.

    `order` says whose turn it is, request by request; after its end the older one comes first. The
    newer one begins once the older one has sent `before_newer` requests.
    """

    def __init__(self, dust: LocalDust, before_newer: int, order: Iterable[bool]) -> None:
        self.sent: list[tuple[str, str]] = []
        self._order = iter(order)
        self._before_newer = before_newer
        self._dust = dust
        self._names: dict[int, str] = {}
        self._waiting: dict[str, tuple[asyncio.Event, SeenRequest]] = {}
        self._running = {"older"}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._newer: Thread | None = None

    def run(self, older: list[int], newer: list[int]) -> None:
        """Run both syncs, which send these users, to their ends."""
        self._newer = Thread(target=self._sync, args=("newer", newer))
        self._dust.gate = self
        try:
            self._sync("older", older)
            self._begin_newer()
            self._newer.join()
        finally:
            self._dust.gate = None

    async def __call__(self, request: SeenRequest) -> None:
        """Wait for the turn of a request."""
        self._loop = asyncio.get_running_loop()
        name = self._names.setdefault(request.connection, "newer" if self._names else "older")
        turn = asyncio.Event()
        self._waiting[name] = (turn, request)
        if len(self.sent) == self._before_newer:
            self._begin_newer()
        self._let_one_through()
        await turn.wait()

    def _begin_newer(self) -> None:
        assert self._newer is not None
        if self._newer.ident is None:
            self._running.add("newer")
            self._newer.start()

    def _sync(self, name: str, ids: list[int]) -> None:
        key = {"generation_id": 7, "minimum_generation_id": 7, "sync_id": 40}
        configured: Message = {
            **stream("users", "id", mode="append"),
            **key,
            "sync_mode": "full_refresh",
        }
        lines = [record("users", {"id": id_, "by": name}) for id_ in ids]
        done = sync(
            self._dust.config, catalog(configured), [*lines, own_state({"c": 1}), stream_status()]
        )
        assert done == Sync(states=[own_state({"c": 1})])
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._has_ended, name)

    def _has_ended(self, name: str) -> None:
        self._running.discard(name)
        self._let_one_through()

    def _let_one_through(self) -> None:
        if not self._waiting or set(self._waiting) < self._running:
            return
        is_older = next(self._order, True)
        name = "older" if "older" in self._waiting and (is_older or len(self._waiting) == 1) else ""
        name = name or next(name for name in self._waiting if name != "older")
        turn, request = self._waiting.pop(name)
        self.sent.append((name, f"{request.method} {_id_in(request.path)}"))
        turn.set()


def _id_in(path: str) -> str:
    found = re.search(r"users-\d+", path)
    return found[0] if found else "list"


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    older=st.lists(st.integers(0, 9), max_size=4, unique=True),
    newer=st.lists(st.integers(0, 9), max_size=8, unique=True),
    before_newer=st.integers(0, 12),
    order=st.lists(st.booleans(), max_size=60),
)
def test_what_was_acknowledged_stays(
    shared_dust: LocalDust,
    older: list[int],
    newer: list[int],
    before_newer: int,
    order: list[bool],
) -> None:
    """Unless its deletion is the very next request of a sync that has just looked at it."""
    dust = shared_dust
    dust.documents.clear()
    sync(
        dust.config,
        catalog(stream("users", "id", mode="append")),
        [record("users", {"id": id_}) for id_ in OLD],
    )
    for document in dust.documents.values():
        document["created"] -= 3_600_000
    turns = Turns(dust, before_newer, order)
    turns.run(older, newer)

    in_between = set()
    for at, (name, request) in enumerate(turns.sent):
        if request.startswith("DELETE "):
            id_ = request.removeprefix("DELETE ")
            look = max(before for before in range(at) if turns.sent[before] == (name, f"GET {id_}"))
            own_between = [one for one in turns.sent[look + 1 : at] if one[0] == name]
            assert own_between == []
            in_between |= {one[1] for one in turns.sent[look + 1 : at]}
    for id_ in newer:
        assert f"users-{id_}" in dust.documents or f"POST users-{id_}" in in_between
    assert set(dust.documents) <= {f"users-{id_}" for id_ in {*older, *newer}}
