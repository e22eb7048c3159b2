"""A dlt custom destination that posts each record to Dust, as one would write it first.

Runs in an environment of its own: `python dlt_destination.py CONFIG < records, one JSON a line`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import dlt
import requests

config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
session = requests.Session()
session.headers["Authorization"] = f"Bearer {config['api_key']}"


@dlt.destination(batch_size=1, name="dust", naming_convention="direct")
def dust(items: list[dict[str, Any]], table: dict[str, Any]) -> None:
    """Upsert each item."""
    for item in items:
        response = session.post(
            f"{config['documents_url']}/{table['name']}-{item['id']}",
            json={
                "title": f"{table['name']} {item['id']}",
                "mime_type": "application/json",
                "text": json.dumps(item, indent=2, default=str),
                "source_url": "",
                "tags": [f"dlt:table:{table['name']}"],
                "light_document_output": True,
                "async": False,
            },
            timeout=120,
        )
        response.raise_for_status()


def main() -> None:
    """Run the records through a pipeline that keeps its files in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline("bench", destination=dust, pipelines_dir=folder)
        records = (json.loads(line) for line in sys.stdin)
        pipeline.run(records, table_name="users", columns={"address": {"data_type": "json"}})


if __name__ == "__main__":
    main()
