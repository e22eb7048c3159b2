"""The shapes that records, keys and names have in real sources, each with what Dust then holds.

They are those of the test streams of singer-sdk's targets and of Airbyte's tests of destinations.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from destination_dust.exact_json import Number
from integration_tests.connector import USERS, Message, catalog, record, state, stream
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import LocalDust

MEMBERS = stream("members", [["org"], ["num"]])
ESCAPED = (
    r'{"id":1,"s":"\" \\ \/ \n \u0000 \\u0000 \u0101 \ud83d\ude00 ά","n":99999999999999999999.10}'
)


def records(name: str, *data: str) -> list[bytes]:
    """Return the RECORD lines of a stream."""
    return [record(name, one) for one in data]


SHAPES: dict[str, tuple[Message, list[bytes], dict[str, str]]] = {
    "no records": (USERS, [state(1)], {}),
    "texts with escapes, and a number that no database takes": (
        USERS,
        records("users", ESCAPED),
        {"users-1": r'{"id":1,"s":"\" \\ / \n \u0000 \\u0000 ā 😀 ά","n":99999999999999999999.10}'},
    ),
    "two streams by turns": (
        catalog(*USERS["streams"], MEMBERS),
        [
            *records("users", '{"id":1}'),
            *records("members", '{"org":"a","num":1}'),
            state(1),
            *records("users", '{"id":1,"v":2}'),
            *records("members", '{"org":"a","num":1,"v":2}'),
            state(2),
        ],
        {"users-1": '{"id":1,"v":2}', "members-a-1": '{"org":"a","num":1,"v":2}'},
    ),
    "one number in the spelling of a snapshot and of a deletion": (
        USERS,
        records("users", '{"id":7000}', '{"id":8}', '{"id":7E+3,"_ab_cdc_deleted_at":"2026"}'),
        {"users-8": '{"id":8}'},
    ),
    "versions and the deletion of a record whose key is partly null": (
        catalog(MEMBERS),
        records(
            "members",
            '{"org":"a","num":null}',
            '{"org":"a"}',
            '{"org":"a","num":1}',
            '{"org":"a","num":null,"_ab_cdc_deleted_at":"2026-11-24"}',
        ),
        {"members-a-1": '{"org":"a","num":1}'},
    ),
    "deletions of records that are there, never were, and come back": (
        USERS,
        records(
            "users",
            '{"id":1,"_ab_cdc_deleted_at":null}',
            '{"id":1,"_ab_cdc_deleted_at":"2026-11-24"}',
            '{"id":2,"_ab_cdc_deleted_at":"2026-11-24"}',
            '{"id":3}',
            '{"id":3,"_ab_cdc_deleted_at":"2026-11-24"}',
            '{"id":3,"back":true}',
        ),
        {"users-3": '{"id":3,"back":true}'},
    ),
}


@pytest.mark.parametrize(("streams", "lines", "texts"), SHAPES.values(), ids=SHAPES.keys())
def test_a_sync_leaves_these_documents(
    dust: LocalDust, streams: Message, lines: list[bytes], texts: dict[str, str]
) -> None:
    done = sync(dust.config, streams, lines)

    assert done.error is None
    assert done.states == [line for line in lines if b'"STATE"' in line]
    assert {id_: exact(document["text"]) for id_, document in dust.documents.items()} == {
        id_: exact(text) for id_, text in texts.items()
    }


def exact(text: str) -> Any:
    """Return parsed JSON with each number as it is written, and fields in their order."""
    return json.loads(text, parse_int=Number, parse_float=Number, object_pairs_hook=list)
