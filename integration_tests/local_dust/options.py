"""The options of a local Dust: its keys, data sources, limits, hashes and clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from blake3 import blake3

API_KEY = "sk-local-dust-1"
WORKSPACE_ID = "local-workspace"
SPACE_ID = "vlt_local"
DATA_SOURCE_ID = "dts_local"

UNLIMITED = 10**9
"""So many upserts per window that there is no rate limit."""


def dust_hash(document: Mapping[str, Any]) -> str:
    """Return the hash that Dust gives to a document.

    Source: dust-tt/dust, `DataSource::upsert` in `core/src/data_sources/data_source.rs`.
    """
    hashed = (
        document["document_id"],
        document["text"],
        str(document["timestamp"]),
        *document["tags"],
        *document["parents"],
    )
    return str(blake3("".join(hashed).encode()).hexdigest())


def system_time_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class ApiKey:
    """A key of one workspace, and its rights."""

    workspace_id: str
    can_write: bool = True


@dataclass(frozen=True)
class DataSource:
    """Where a data source is. Only a Dust connection may write to a managed one."""

    workspace_id: str
    space_id: str
    id: str
    is_managed: bool = False

    @property
    def engine_id(self) -> str:
        """Return the id that the engine behind Dust's API knows it by."""
        return sha256(self.id.encode()).hexdigest()


@dataclass(frozen=True)
class Options:
    """The options of a local Dust.

    Dust's list has no tiebreaker: with `ties_move` documents of one timestamp are listed in another
    order each time, though the same in each run. `max_page` caps the length of a page.

    `now_ms` is the clock behind `created`, timestamps and the `Date` of responses.
    """

    api_keys: dict[str, ApiKey] = field(default_factory=lambda: {API_KEY: ApiKey(WORKSPACE_ID)})
    data_sources: tuple[DataSource, ...] = (DataSource(WORKSPACE_ID, SPACE_ID, DATA_SOURCE_ID),)
    workspaces_without_api: frozenset[str] = frozenset()
    upserts_per_window: int = 120
    window_s: float = 60.0
    max_text_utf16_units: int = 2 * 1024 * 1024
    ties_move: bool = False
    max_page: int | None = None
    hash_formula: Callable[[Mapping[str, Any]], str] = dust_hash
    now_ms: Callable[[], int] = system_time_ms
