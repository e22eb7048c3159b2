"""Dust's rate limit over real HTTP, with windows of a second.

The figures at Dust's own size are those of `unit_tests/test_rate_limit.py`, in simulated time.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from airbyte_cdk.models import FailureType

from integration_tests.connector import catalog, record, state, stream
from integration_tests.connector.in_process import Sync, sync
from integration_tests.local_dust import LocalDust, Options
from unit_tests.clock import Clock

STREAMS = catalog(stream("users", "id"), stream("teams", "id"))
LIMIT = 120
WINDOW_S = 1.0


def write(dust: LocalDust, name: str, records: int) -> Sync:
    """Write records and a state in real time."""
    lines = [*(record(name, {"id": id_}) for id_ in range(records)), state(records)]
    return sync(dust.config, STREAMS, lines, window_s=WINDOW_S, sleep=time.sleep)


def limited() -> LocalDust:
    return LocalDust(Options(upserts_per_window=LIMIT, window_s=WINDOW_S))


def test_a_sync_that_is_alone_is_seldom_rate_limited() -> None:
    with limited() as dust:
        done = write(dust, "users", 3 * LIMIT)
        assert done.error is None
        assert done.states == [state(3 * LIMIT)]
        assert len(dust.documents) == 3 * LIMIT
        # All other requests but one, on the unknown route, were rate-limited.
        assert len(dust.requests) - 3 * LIMIT - 1 <= 3 * 3


def test_two_connectors_on_one_workspace_both_finish() -> None:
    with limited() as dust, ThreadPoolExecutor() as threads:
        syncs = [threads.submit(write, dust, name, 2 * LIMIT) for name in ("users", "teams")]
        for one in syncs:
            assert one.result().error is None
            assert one.result().states == [state(2 * LIMIT)]
        assert len(dust.documents) == 4 * LIMIT


def test_a_sync_waits_for_the_slots_that_somebody_else_has_used() -> None:
    with limited() as dust:
        write(dust, "teams", LIMIT)
        done = write(dust, "users", 5)
        assert done.error is None
        assert len(dust.documents) == LIMIT + 5


def test_a_429_that_never_ends_fails_in_dusts_words() -> None:
    """After five windows of it."""
    clock = Clock()
    with LocalDust(Options(upserts_per_window=0)) as dust:
        lines = [record("users", {"id": 1}), state(1)]
        done = sync(dust.config, STREAMS, lines, clock=clock, sleep=clock.sleep)
    assert done.states == []
    assert done.error is not None
    assert done.error.failure_type is FailureType.transient_error
    assert "Dust answered 429 rate_limit_error" in str(done.error.message)
    assert 300 <= sum(clock.waits_s) < 330
