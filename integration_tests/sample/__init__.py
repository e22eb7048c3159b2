"""What a real source sent: 2,100 records, and 110 of them for a Dust with its rate limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
MESSAGES = _FOLDER / "messages.jsonl"
FAKER_MESSAGES = _FOLDER / "faker_messages.jsonl"


def read_catalog() -> dict[str, Any]:
    """Return the configured catalog of both."""
    catalog: dict[str, Any] = json.loads((_FOLDER / "catalog.json").read_text(encoding="utf-8"))
    return catalog
