"""Sync a source into a Dust with PyAirbyte, in an environment that has it.

    python source_to_dust.py SOURCE DESTINATION_DUST SETTINGS STRATEGY CACHE

SOURCE is, as JSON, what `airbyte.get_source` takes. Then come the destination's program, its
settings as JSON, the name of a write strategy, and "cache" for PyAirbyte's default cache or "no
cache". Prints, as JSON, the ids of the records sent for each stream and the streams whose states
came back.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

# PyAirbyte reads these as it is imported: no registry of connectors, no telemetry.
os.environ.update(AIRBYTE_OFFLINE_MODE="1", DO_NOT_TRACK="1", NO_LIVE_PROGRESS="1")

import airbyte
from airbyte.strategies import WriteStrategy

# PyAirbyte ends a check with SIGTERM as soon as it has the status. Not each time does that happen
# before the process has ended.
CHECKS = 4


def main(source_json: str, destination_dust: str, settings: str, strategy: str, cache: str) -> None:
    """Check, sync, and read the source once more, which sends the same again."""
    source = airbyte.get_source(**json.loads(source_json), streams="*")
    destination = airbyte.get_destination(
        "destination-dust", config=json.loads(settings), local_executable=destination_dust
    )
    for _ in range(CHECKS):
        destination.check()
    write_strategy = WriteStrategy[strategy]
    options: dict[str, Any] = {} if cache == "cache" else {"cache": False}
    result = destination.write(
        source,
        write_strategy=write_strategy,
        # Replacing asks for a full refresh: without, only changes are read.
        force_full_refresh=write_strategy is WriteStrategy.REPLACE,
        # It cannot write to the cache while it reads from it: "Duplicate key".
        state_cache=False,
        **options,
    )
    sent = {
        stream: [record["id"] for record in source.get_records(stream).fetch_all()]
        for stream in source.get_selected_streams()
    }
    states = sorted(result.get_state_provider().known_stream_names)
    print(json.dumps({"sent": sent, "states": states}))


if __name__ == "__main__":
    main(*sys.argv[1:])
