"""What the last sync did to the documents of a data source."""

from __future__ import annotations

from integration_tests.local_dust.documents import Documents

KEEPALIVE_S = 3600.0
"""So long that a waiting sync stays one sync. Dust itself closes idle connections after 5 s."""


class LastSync:
    """Counts the documents that the last sync sent, left as they were, and deleted.

    A sync starts when a new connection sends or deletes a document. The connector keeps its
    connection until the sync ends.
    """

    def __init__(self) -> None:
        self._connections: set[int] = set()
        self._started_ms: int | None = None
        self._deleted = 0

    def note_upsert(self, connection: int, now_ms: int) -> None:
        if connection not in self._connections:
            self._connections.add(connection)
            self._started_ms = now_ms
            self._deleted = 0

    def note_delete(self, connection: int, now_ms: int) -> None:
        self.note_upsert(connection, now_ms)
        self._deleted += 1

    def shown(self, documents: Documents) -> dict[str, int] | None:
        """Return when the last sync started, and the counts since then; None before any sync."""
        started_ms = self._started_ms
        if started_ms is None:
            return None
        sent = sum(document["created"] >= started_ms for document in documents.values())
        left = len(documents) - sent
        return {"started": started_ms, "sent": sent, "left": left, "deleted": self._deleted}
