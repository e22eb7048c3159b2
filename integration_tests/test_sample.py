"""`make sync`, as a newcomer runs it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

from integration_tests.connector import ROOT, Message, environment
from integration_tests.sample.__main__ import differences
from integration_tests.sample.source import NEW_EMAIL

COMMAND = (sys.executable, "-m", "integration_tests.sample")


def test_two_syncs_are_compared_and_their_documents_shown_until_interrupted() -> None:
    command = [*COMMAND, "--keep", "0"]
    env = environment()
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=env, text=True) as process:
        try:
            assert process.stdout
            said = [next(process.stdout)]
            while "until you press Ctrl-C" not in said[-1]:
                said.append(next(process.stdout))
            first, second = (line for line in said if line.startswith("Sync "))
            assert first == "Sync 1, 2,100 records: 2,100 sent, 0 unchanged, 0 deleted.\n"
            assert re.search(
                "2,097 records: [12][0-9]{2} sent .+ 1,[0-9]{3} unchanged, 3 del", second
            )
            assert sum(line.startswith("Dust holds what the source holds") for line in said) == 2
            at = said.index("The document users-750, whose email has changed:\n") + 1
            shown_text = "".join(said[at : said.index("}\n", at) + 1])
            assert json.loads(shown_text)["email"] == NEW_EMAIL
            (url,) = re.findall(r"http://\S+/", said[-1])
            shown = requests.get(f"{url}local/documents", timeout=10).json()
            assert shown["total"] == 2097
            last_sync = shown["last_sync"]
            assert f" {last_sync['sent']} sent " in second
            assert f" {last_sync['left']:,} unchanged, {last_sync['deleted']} deleted" in second
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()


def test_a_port_in_use_is_reported_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [*COMMAND, "--keep", str(taken.getsockname()[1])]
        env = environment()
        done = subprocess.run(command, capture_output=True, cwd=ROOT, env=env, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"Is a local Dust running already?" in done.stderr


@pytest.mark.parametrize(
    ("stored", "difference"),
    [
        ({}, "users-1 is not in Dust"),
        ({"users-1": {"id": 2}}, "users-1 has different contents in Dust"),
        ({"users-1": {"id": 1}, "x": {}}, "x is in Dust but not in the source"),
    ],
    ids=["missing", "different", "one too many"],
)
def test_each_difference_from_the_source_is_named(
    stored: dict[str, Message], difference: str
) -> None:
    documents = {id_: {"text": json.dumps(data)} for id_, data in stored.items()}
    assert differences(documents, {"users-1": {"id": 1}}) == [difference]
