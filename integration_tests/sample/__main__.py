"""Sync a sample of real source-faker output into a local Dust, and show what is there then.

    make sync
    make sync KEEP=1

Exits with 1 when a record is missing in Dust or a STATE did not come back.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from integration_tests import connector
from integration_tests.local_dust import LocalDust
from integration_tests.sample import CATALOG, MESSAGES

_WIDTH = 150


def main() -> None:
    """Run `spec`, `check` and `write` as a user would, then compare Dust with the sample."""
    parser = argparse.ArgumentParser(
        prog="python -m integration_tests.sample", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--keep",
        type=int,
        metavar="PORT",
        help="serve on this port, and go on until interrupted",
    )
    port: int | None = parser.parse_args().keep
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        try:
            dust = stack.enter_context(LocalDust(port=port or 0))
        except OSError as error:
            sys.exit(f"{error.strerror}. Is a local Dust running already?")
        url = dust.config["base_url"]
        print(f"A local Dust listens on {url}; a page there shows what it holds.", flush=True)
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(dust.config), encoding="utf-8")
        _run("spec")
        _run("check", "--config", str(config))
        output = _run("write", "--config", str(config), "--catalog", str(CATALOG), stdin=MESSAGES)
        _compare(dust, output)
        if port is None:
            print("`make sync KEEP=1` keeps them open, on a page for your browser.")
        else:
            _wait_for_interrupt(f"{url}/ shows them until you press Ctrl-C.")


def _wait_for_interrupt(invitation: str) -> None:
    try:
        print(invitation, flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nStopped.")


def _run(*arguments: str, stdin: Path | None = None) -> list[str]:
    """Run the connector, show its output clipped to the screen, and return the lines."""
    print(f"\n$ {f'cat {stdin.name} | ' if stdin else ''}python main.py {' '.join(arguments)}")
    run = connector.run(*arguments, stdin=stdin.read_bytes() if stdin else b"")
    lines = [line.decode("utf-8") for line in run.lines]
    for line in lines:
        print(line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "...")
    if run.exit_code != 0:
        sys.exit(f"{run.stderr.decode()}\nThe connector ended with exit code {run.exit_code}.")
    return lines


def _compare(dust: LocalDust, output: list[str]) -> None:
    sent = MESSAGES.read_text(encoding="utf-8").splitlines()
    messages = [json.loads(line) for line in sent]
    records = [message["record"] for message in messages if message["type"] == "RECORD"]
    missing = [
        f"{record['stream']}-{record['data']['id']}"
        for record in records
        if not _is_stored(dust, record)
    ]
    states = [line for line, message in zip(sent, messages, strict=True) if "state" in message]
    lost_states = [state for state in states if state not in output]

    print("\nNow in Dust:")
    tags = [tag for document in dust.documents.values() for tag in document["tags"]]
    counts = Counter(tag for tag in tags if tag.startswith("airbyte:"))
    for tag, count in counts.items():
        print(f"  {count:4} documents with the tag {tag}")
    print(f"\nOne of them, {records[-1]['stream']}-{records[-1]['data']['id']}:")
    last = dust.documents.get(f"{records[-1]['stream']}-{records[-1]['data']['id']}", {})
    print(json.dumps(last, indent=2, ensure_ascii=False))
    print("\nits text as an agent reads it:")
    print(last.get("text"))

    if missing or lost_states or len(dust.documents) != len(records):
        sys.exit(
            f"\nFAILED: {len(records)} records sent, {len(dust.documents)} documents in Dust, "
            f"missing or different: {missing}; {len(lost_states)} STATE messages did not come back."
        )
    print(f"\nAll {len(records)} records are in Dust, all {len(states)} STATE messages came back.")


def _is_stored(dust: LocalDust, record: dict[str, object]) -> bool:
    data = record["data"]
    assert isinstance(data, dict)
    document = dust.documents.get(f"{record['stream']}-{data['id']}")
    return document is not None and json.loads(document["text"]) == data


if __name__ == "__main__":
    main()
