"""How long to wait before a request is repeated."""

from __future__ import annotations

import pytest

from destination_dust.retry import RetryPolicy


@pytest.mark.parametrize(("retries_done", "least_s"), [(0, 1.0), (1, 2.0), (2, 4.0)])
def test_waits_double_from_one_second(retries_done: int, least_s: float) -> None:
    """The jitter adds up to half: nobody comes back too early."""
    waits_s = [RetryPolicy().wait_s(retries_done, None) for _ in range(200)]
    assert all(least_s <= wait_s <= 1.5 * least_s for wait_s in waits_s)
    assert len(set(waits_s)) > 1


@pytest.mark.parametrize(("retry_after_s", "wait_s"), [(0, 0), (7, 7), (300, 300), (3600, 300)])
def test_the_servers_own_wait_is_obeyed_up_to_five_minutes(
    retry_after_s: float, wait_s: float
) -> None:
    assert RetryPolicy().wait_s(0, retry_after_s) == wait_s
