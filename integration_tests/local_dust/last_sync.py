"""What the last sync did to the documents of a data source."""

from __future__ import annotations

from integration_tests.local_dust.documents import Documents


class LastSync:
    """Tells the documents that the last sync sent from those that it left as they were.

    A new connection that sends or deletes a document is a new sync: the connector keeps its
    connection until the sync ends, and a request that only reads changes nothing.
    """

    def __init__(self) -> None:
        self._connections: set[int] = set()
        self._began_ms: int | None = None
        self._deleted = 0

    def note_upsert(self, connection: int, now_ms: int) -> None:
        """Note an upsert before its document is stored."""
        if connection not in self._connections:
            self._connections.add(connection)
            self._began_ms = now_ms
            self._deleted = 0

    def note_delete(self, connection: int, now_ms: int) -> None:
        """Note that a document was deleted."""
        self.note_upsert(connection, now_ms)
        self._deleted += 1

    def shown(self, documents: Documents) -> dict[str, int] | None:
        """Return when the last sync began, and its counts since then; None before the first one."""
        began_ms = self._began_ms
        if began_ms is None:
            return None
        sent = sum(document["created"] >= began_ms for document in documents.values())
        return {
            "began": began_ms,
            "sent": sent,
            "left": len(documents) - sent,
            "deleted": self._deleted,
        }
