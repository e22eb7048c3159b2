from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration_tests.local_dust import LocalDust, Options


@pytest.fixture
def dust() -> Iterator[LocalDust]:
    """A local Dust that limits no rate."""
    with LocalDust(Options(upserts_per_window=10**9)) as dust:
        yield dust
