from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from integration_tests.local_dust import LocalDust, Options

# They start first. Otherwise a worker could be left with one of them when the others are done.
SLOWEST = (
    "test_kills.py",
    "test_sample.py",
    "test_image.py",
    "test_properties.py",
    "test_wheel.py",
    "test_replacement_properties.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in SLOWEST)


@pytest.fixture
def dust() -> Iterator[LocalDust]:
    """A local Dust that limits no rate."""
    with LocalDust(Options(upserts_per_window=10**9)) as dust:
        yield dust


@pytest.fixture(autouse=True, scope="session")
def signals_as_in_the_foreground() -> None:
    """What a shell ignores for tests in the background, or nohup, the connector would ignore."""
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)
