"""The shapes that records, keys and names have in real sources, each with what Dust then holds.

They are those of the test streams of singer-sdk's targets and of Airbyte's tests of destinations.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration_tests.connector import USERS, Message, catalog, record, state, stream
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import LocalDust

MEMBERS = stream("members", [["org"], ["num"]])
ALIKE = ("users", "Users", "USERS", "1users", "ops+1", "eu-users")
NAMESPACES = (None, "eu", "us")

NULLED_FIELD = (
    b'{"type":"RECORD","record":{"stream":"users","data":{"id":1,"bio":null,"undeclared":"x"},'
    b'"emitted_at":1736365559000,"meta":{"changes":[{"field":"bio","change":"NULLED",'
    b'"reason":"SOURCE_FIELD_SIZE_LIMITATION"}]}}}'
)
DATES = '{"id":1,"born":"0044-03-15 BC","seen":"23:59:60.999+14:00","at":"+10000-01-01"}'
NUMBERS = '{"id":2,"n":99999999999999999999999999999999.1,"b":false,"u":[1,"1",null,{"x":1}]}'


def records(name: str, *data: str) -> list[bytes]:
    """Return the RECORD lines of a stream."""
    return [record(name, one) for one in data]


SHAPES: dict[str, tuple[Message, list[bytes], dict[str, str]]] = {
    "no records": (USERS, [state(1)], {}),
    "versions of one record": (
        USERS,
        records("users", '{"id":1}', '{"id":1,"name":"A"}', '{"id":2}', '{"id":1,"name":"B"}'),
        {"users-1": '{"id":1,"name":"B"}', "users-2": '{"id":2}'},
    ),
    "a field that the source has nulled": (
        USERS,
        [NULLED_FIELD],
        {"users-1": '{"id":1,"bio":null,"undeclared":"x"}'},
    ),
    "dates, times and numbers that no database takes": (
        USERS,
        records("users", DATES, NUMBERS),
        {"users-1": DATES, "users-2": NUMBERS},
    ),
    "texts with escapes": (
        USERS,
        records("users", r'{"id":1,"s":"\" \\ \/ \n \u0000 \\u0000 \u0101 \u2028 \ud83d\ude00 ά"}'),
        {"users-1": '{"id":1,"s":"\\" \\\\ / \\n \\u0000 \\\\u0000 ā \u2028 😀 ά"}'},
    ),
    "names that look alike": (
        catalog(*(stream(name, "id") for name in ALIKE)),
        [record(name, {"id": 1, "of": name}) for name in reversed(ALIKE)],
        {
            "users-1": '{"id":1,"of":"users"}',
            "Users-1": '{"id":1,"of":"Users"}',
            "USERS-1": '{"id":1,"of":"USERS"}',
            "1users-1": '{"id":1,"of":"1users"}',
            "ops_1-1-9ab2f04fd6044856": '{"id":1,"of":"ops+1"}',
            "eu-users-1-9f88610c2c82be50": '{"id":1,"of":"eu-users"}',
        },
    ),
    "one name in namespaces and in none": (
        catalog(*(stream("users", "id", namespace=namespace) for namespace in NAMESPACES)),
        [record("users", {"id": 1, "of": each}, namespace=each) for each in NAMESPACES],
        {
            "users-1": '{"id":1,"of":null}',
            "users-1-d162a78a9a264503": '{"id":1,"of":"eu"}',
            "users-1-4ef6edd0bf4928b9": '{"id":1,"of":"us"}',
        },
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
    "no primary key": (
        catalog(stream("logs")),
        records("logs", *(f'{{"line":"a","n":{n}}}' for n in (1, 1, 2))),
        {
            "logs-f78dddd7f80f7133": '{"line":"a","n":1}',
            "logs-95c1fb96d8761e8b": '{"line":"a","n":2}',
        },
    ),
    "a record without its key": (
        USERS,
        records("users", '{"name":"Ann"}', '{"id":2}'),
        {"users-fb782b5cf1b735bf": '{"name":"Ann"}', "users-2": '{"id":2}'},
    ),
    "one number in the spelling of a snapshot and of a deletion": (
        USERS,
        records("users", '{"id":7000}', '{"id":8}', '{"id":7E+3,"_ab_cdc_deleted_at":"2026"}'),
        {"users-8": '{"id":8}'},
    ),
    "versions of a record whose key is partly null": (
        catalog(MEMBERS),
        records("members", '{"org":"a","num":null}', '{"org":"a"}', '{"org":"a","num":null,"v":3}'),
        {"members-a--0405e54d87c8a310": '{"org":"a","num":null,"v":3}'},
    ),
    "the deletion of a record whose key is partly null": (
        catalog(MEMBERS),
        records(
            "members",
            '{"org":"a","num":null}',
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
    return json.loads(text, parse_int=number, parse_float=number, object_pairs_hook=list)


def number(literal: str) -> tuple[str, str]:
    """Return a number in a form that no other value has."""
    return "number", literal
