from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests_mock
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets

from unit_tests.clock import Clock


@pytest.fixture(autouse=True)
def no_secrets() -> None:
    """Have the CDK forget the secrets of the test before, which it would mask."""
    update_secrets([])


@pytest.fixture
def http() -> Iterator[requests_mock.Mocker]:
    """HTTP faked at the wire: a request that no test has foreseen fails."""
    with requests_mock.Mocker() as mocker:
        yield mocker


@pytest.fixture
def waits() -> list[float]:
    """The waits in seconds that were slept through, where `waits.append` is the sleep."""
    return []


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until the test, or a sleep on it, moves it."""
    return Clock()
