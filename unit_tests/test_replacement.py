"""Which streams are replaced. What is deleted then is in integration_tests/test_replacement.py."""

from __future__ import annotations

import pytest
from airbyte_cdk.models import DestinationSyncMode

from destination_dust.replacement import is_replaced
from unit_tests.builders import configured


@pytest.mark.parametrize(
    ("generations", "expected"),
    [
        ((7, 7, 40), True),
        ((1, 1, 40), True),
        ((2, 2, 1), True),
        ((7, 7, None), True),
        ((1, 1, 1), False),
        ((7, 0, 40), False),
        ((7, 6, 40), False),
        ((0, 0, 40), False),
        ((7, None, 40), False),
        ((None, None, None), False),
        ((-1, -1, 40), False),
    ],
)
@pytest.mark.parametrize("mode", [DestinationSyncMode.append, DestinationSyncMode.append_dedup])
def test_where_refreshes_are_on_the_platform_says_what_is_replaced(
    mode: DestinationSyncMode,
    generations: tuple[int | None, int | None, int | None],
    expected: bool,
) -> None:
    """Three ones are what PyAirbyte sends for any stream."""
    assert is_replaced(configured("users", mode=mode, generations=generations)) is expected


@pytest.mark.parametrize("generations", [(None, None, None), (1, 1, 1), (7, 7, 40), (7, 0, 40)])
def test_overwrite_replaces_whatever_the_generations(
    generations: tuple[int | None, int | None, int | None],
) -> None:
    overwrite = configured("users", mode=DestinationSyncMode.overwrite, generations=generations)
    assert is_replaced(overwrite)
