"""What a local Dust is: who may use it, what exists in it, and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

API_KEY = "sk-local-dust-1"
WORKSPACE_ID = "local-workspace"
SPACE_ID = "vlt_local"
DATA_SOURCE_ID = "dts_local"


@dataclass(frozen=True)
class ApiKey:
    """A key of one workspace; not every key may write."""

    workspace_id: str
    can_write: bool = True


@dataclass(frozen=True)
class DataSource:
    """Where a data source is. A managed one belongs to a Dust connection: no one else writes."""

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
    """The world of a local Dust.

    With `ties_move` documents of one timestamp are listed in another order each time, the same in
    each run: Dust's list has no tiebreaker.
    """

    api_keys: dict[str, ApiKey] = field(default_factory=lambda: {API_KEY: ApiKey(WORKSPACE_ID)})
    data_sources: tuple[DataSource, ...] = (DataSource(WORKSPACE_ID, SPACE_ID, DATA_SOURCE_ID),)
    workspaces_without_api: frozenset[str] = frozenset()
    upserts_per_window: int = 120
    window_s: float = 60.0
    max_text_utf16_units: int = 2 * 1024 * 1024
    max_documents: int | None = None
    ties_move: bool = False
