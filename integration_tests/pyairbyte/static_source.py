#!/usr/bin/env python3
"""A source whose records are the same in each run: users with a key in a namespace, notes without.

It needs no packages. PyAirbyte runs it as a program, with a command and its options.
"""

from __future__ import annotations

import json
import sys
from typing import Any

STREAMS = {
    "users": {
        "namespace": "shop",
        "source_defined_primary_key": [["id"]],
        "json_schema": {
            "type": "object",
            "properties": {"id": {"type": "integer"}, "is_active": {"type": "boolean"}},
        },
    },
    "notes": {
        "json_schema": {
            "type": "object",
            "properties": {"id": {"type": "integer"}, "text": {"type": "string"}},
        },
    },
}
RECORDS: dict[str, list[dict[str, Any]]] = {
    "users": [{"id": id_, "is_active": id_ % 3 > 0} for id_ in range(1500)],
    "notes": [{"id": id_, "text": f"Note {id_}"} for id_ in range(500)],
}


def main() -> None:
    """Say what the command asks for, a message a line."""
    match sys.argv[1]:
        case "spec":
            say("SPEC", spec={"connectionSpecification": {"type": "object", "properties": {}}})
        case "check":
            say("CONNECTION_STATUS", connectionStatus={"status": "SUCCEEDED"})
        case "discover":
            modes = {"supported_sync_modes": ["full_refresh"]}
            streams = [{"name": name, **modes, **stream} for name, stream in STREAMS.items()]
            say("CATALOG", catalog={"streams": streams})
        case "read":
            with open(sys.argv[sys.argv.index("--catalog") + 1], encoding="utf-8") as file:  # noqa: PTH123
                configured = json.load(file)["streams"]
            for stream in configured:
                read(stream["stream"]["name"])


def read(name: str) -> None:
    """Say the records of a stream, its state and that it is complete."""
    namespace = STREAMS[name].get("namespace")
    descriptor = {"name": name, "namespace": namespace}
    for data in RECORDS[name]:
        record = {"stream": name, "namespace": namespace, "data": data}
        say("RECORD", record={**record, "emitted_at": 1736365559000})
    done = {"stream_descriptor": descriptor, "stream_state": {"__ab_no_cursor_state_message": True}}
    say("STATE", state={"type": "STREAM", "stream": done})
    status = {"stream_descriptor": descriptor, "status": "COMPLETE"}
    trace = {"type": "STREAM_STATUS", "emitted_at": 1736365559000, "stream_status": status}
    say("TRACE", trace=trace)


def say(type_: str, **content: object) -> None:
    """Print a message."""
    print(json.dumps({"type": type_, **content}))


if __name__ == "__main__":
    main()
