"""What a real source sent: 150 messages for a first look, and 2,100 records for a whole sync."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
CATALOG = _FOLDER / "catalog.json"
MESSAGES = _FOLDER / "messages.jsonl"
FAKER_MESSAGES = _FOLDER / "faker_messages.jsonl"


def read_catalog() -> dict[str, Any]:
    """Return the configured catalog of both."""
    catalog: dict[str, Any] = json.loads(CATALOG.read_text(encoding="utf-8"))
    return catalog
