"""A minimal singer-sdk target that posts each record to Dust, as one would write it first.

Runs in an environment of its own: `python singer_target.py --config CONFIG < singer messages`.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import requests
from singer_sdk import typing as th
from singer_sdk.sinks import RecordSink
from singer_sdk.target_base import Target


class DustSink(RecordSink):
    """Posts one record at a time over one session."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {self.config['api_key']}"

    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:
        """Upsert the record."""
        response = self._session.post(
            f"{self.config['documents_url']}/{self.stream_name}-{record['id']}",
            json={
                "title": f"{self.stream_name} {record['id']}",
                "mime_type": "application/json",
                "text": json.dumps(record, indent=2, default=str),
                "source_url": "",
                "tags": [f"singer:stream:{self.stream_name}"],
                "light_document_output": True,
                "async": False,
            },
            timeout=120,
        )
        response.raise_for_status()


class TargetDust(Target):
    """The target around the sink."""

    name = "target-dust"
    default_sink_class = DustSink
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property("api_key", th.StringType, required=True),
        th.Property("documents_url", th.StringType, required=True),
    ).to_dict()


if __name__ == "__main__":
    TargetDust.cli()
