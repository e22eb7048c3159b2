"""The shapes that records, keys and names have in real sources, each with what Dust then holds.

They are those of the test streams of singer-sdk's targets and of Airbyte's tests of destinations.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration_tests.connector import Message, catalog, record, state, stream
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import LocalDust

Documents = dict[str, tuple[str, str]]
"""Title and text of documents by their ids; the text without its white space."""

USERS = [stream("users", "id")]
MEMBERS = [stream("members", [["org"], ["num"]])]
LOGS = [stream("logs")]

NULLED_FIELD = (
    b'{"type":"RECORD","record":{"stream":"users","data":{"id":1,"bio":null,"undeclared":"x"},'
    b'"emitted_at":1736365559000,"meta":{"changes":[{"field":"bio","change":"NULLED",'
    b'"reason":"SOURCE_FIELD_SIZE_LIMITATION"}]}}}'
)


def records(name: str, *data: str) -> list[bytes]:
    """Return the RECORD lines of a stream."""
    return [record(name, one) for one in data]


SHAPES = [
    pytest.param(USERS, [state(1)], {}, id="no records"),
    pytest.param(
        USERS,
        records(
            "users", '{"id":1}', '{"id":1,"name":"Ann"}', '{"id":2}', '{"id":1,"name":"Ann B."}'
        ),
        {"users-1": ("Ann B.", '{"id":1,"name":"Ann B."}'), "users-2": ("users 2", '{"id":2}')},
        id="versions of one record",
    ),
    pytest.param(
        USERS,
        records(
            "users", '{"id":1,"a":1}', '{"id":2,"a":"1","b":{"c":[]}}', '{"id":3,"b":[{"c":1.50}]}'
        ),
        {
            "users-1": ("users 1", '{"id":1,"a":1}'),
            "users-2": ("users 2", '{"id":2,"a":"1","b":{"c":[]}}'),
            "users-3": ("users 3", '{"id":3,"b":[{"c":1.50}]}'),
        },
        id="fields that come, go and change their type",
    ),
    pytest.param(
        USERS,
        records("users", '{"id":1,"note":null}', '{"id":2}', '{"id":3,"note":""}'),
        {
            "users-1": ("users 1", '{"id":1,"note":null}'),
            "users-2": ("users 2", '{"id":2}'),
            "users-3": ("users 3", '{"id":3,"note":""}'),
        },
        id="null, missing and empty",
    ),
    pytest.param(
        USERS,
        [NULLED_FIELD],
        {"users-1": ("users 1", '{"id":1,"bio":null,"undeclared":"x"}')},
        id="a field that the source has nulled",
    ),
    pytest.param(
        USERS,
        records(
            "users",
            '{"id":1,"born":"0044-03-15 BC","seen":"23:59:60.999+14:00","at":"+10000-01-01"}',
            '{"id":2,"n":99999999999999999999999999999999.1,"b":false,"u":[1,"1",null,{"x":1}]}',
        ),
        {
            "users-1": (
                "users 1",
                '{"id":1,"born":"0044-03-15 BC","seen":"23:59:60.999+14:00","at":"+10000-01-01"}',
            ),
            "users-2": (
                "users 2",
                '{"id":2,"n":99999999999999999999999999999999.1,"b":false,"u":[1,"1",null,{"x":1}]}',
            ),
        },
        id="dates, times and numbers that no database takes",
    ),
    pytest.param(
        USERS,
        records(
            "users", r'{"id":1,"s":"\" \\ \/ \n \u0000 \\u0000 \u0101 \u2028 \ud83d\ude00 ά 简"}'
        ),
        {
            "users-1": (
                "users 1",
                '{"id":1,"s":"\\" \\\\ / \\n \\u0000 \\\\u0000 ā \u2028 😀 ά 简"}',
            )
        },
        id="texts with escapes",
    ),
    pytest.param(
        [stream("Account", "Id")],
        [record("Account", '{"Id":"001A","Name":"Acme","WebSite":null,"Url":"https://a.example"}')],
        {
            "Account-001A": (
                "Acme",
                '{"Id":"001A","Name":"Acme","WebSite":null,"Url":"https://a.example"}',
            )
        },
        id="fields in camel case",
    ),
    pytest.param(
        [stream("crm:Deals!open?", "_id")],
        [record("crm:Deals!open?", '{"_id":"a2","d":{"agent:os":"x","f+1":1,"é":2,"Foo.Bar":3}}')],
        {
            "crm_Deals_open_-a2-e186b2152d8c47b3": (
                "crm:Deals!open? a2",
                '{"_id":"a2","d":{"agent:os":"x","f+1":1,"é":2,"Foo.Bar":3}}',
            )
        },
        id="special characters in names",
    ),
    pytest.param(
        [stream(name, "id") for name in ("users", "Users", "USERS", "1users", "ops+1", "eu-users")],
        [
            record(name, '{"id":1}')
            for name in ("USERS", "eu-users", "users", "1users", "Users", "ops+1")
        ],
        {
            "users-1": ("users 1", '{"id":1}'),
            "Users-1": ("Users 1", '{"id":1}'),
            "USERS-1": ("USERS 1", '{"id":1}'),
            "1users-1": ("1users 1", '{"id":1}'),
            "ops_1-1-9ab2f04fd6044856": ("ops+1 1", '{"id":1}'),
            "eu-users-1": ("eu-users 1", '{"id":1}'),
        },
        id="names that look alike",
    ),
    pytest.param(
        [stream("users", "id", namespace=namespace) for namespace in (None, "eu", "us")],
        [record("users", '{"id":1}', namespace=namespace) for namespace in (None, "eu", "us")],
        {
            "users-1-6f65acc5251ce6e7": ("users 1", '{"id":1}'),
            "users-1-d162a78a9a264503": ("users 1", '{"id":1}'),
            "users-1-4ef6edd0bf4928b9": ("users 1", '{"id":1}'),
        },
        id="one name in namespaces and in none",
    ),
    pytest.param(
        [*USERS, *MEMBERS],
        [
            *records("users", '{"id":1}'),
            *records("members", '{"org":"a","num":1}'),
            state(1),
            *records("users", '{"id":1,"v":2}'),
            *records("members", '{"org":"a","num":1,"v":2}'),
            state(2),
        ],
        {
            "users-1": ("users 1", '{"id":1,"v":2}'),
            "members-a-1": ("members a 1", '{"org":"a","num":1,"v":2}'),
        },
        id="two streams by turns",
    ),
    pytest.param(
        LOGS,
        [record("logs", f'{{"line":"a","n":{n}}}') for n in (1, 1, 2)],
        {
            "logs-f78dddd7f80f7133": ("logs-f78dddd7f80f7133", '{"line":"a","n":1}'),
            "logs-95c1fb96d8761e8b": ("logs-95c1fb96d8761e8b", '{"line":"a","n":2}'),
        },
        id="no primary key",
    ),
    pytest.param(
        USERS,
        records("users", '{"name":"Ann"}', '{"id":2}'),
        {
            "users-fb782b5cf1b735bf": ("Ann", '{"name":"Ann"}'),
            "users-2": ("users 2", '{"id":2}'),
        },
        id="a record without its key",
    ),
    pytest.param(
        [stream("users", "email")],
        records("users", '{"id":1,"email":"ann@a.example"}', '{"id":1,"email":"bob@a.example"}'),
        {
            "users-ann_a_example-6867abafce3c200c": (
                "users ann@a.example",
                '{"id":1,"email":"ann@a.example"}',
            ),
            "users-bob_a_example-666e066db2ee075b": (
                "users bob@a.example",
                '{"id":1,"email":"bob@a.example"}',
            ),
        },
        id="a key that was changed at the source",
    ),
    pytest.param(
        USERS,
        records("users", '{"id":{"seq":[1,null],"at":"2026-01-01"}}', '{"id":[]}'),
        {
            "users-__at___2026-01-01___seq___1_null__-36b26cc4de5659f6": (
                'users {"at":"2026-01-01","seq":[1,null]}',
                '{"id":{"seq":[1,null],"at":"2026-01-01"}}',
            ),
            "users-__-04002e37f225c4ae": ("users []", '{"id":[]}'),
        },
        id="objects and lists as keys",
    ),
    pytest.param(
        MEMBERS,
        records(
            "members",
            '{"org":"a","num":null,"v":1}',
            '{"org":"a","v":2}',
            '{"org":"a","num":null,"v":3}',
        ),
        {"members-a--0405e54d87c8a310": ("members a", '{"org":"a","num":null,"v":3}')},
        id="versions of a record whose key is partly null",
    ),
    pytest.param(
        MEMBERS,
        records(
            "members",
            '{"org":"a","num":null}',
            '{"org":"a","num":1}',
            '{"org":"a","num":null,"_ab_cdc_deleted_at":"2026-11-24"}',
        ),
        {"members-a-1": ("members a 1", '{"org":"a","num":1}')},
        id="the deletion of a record whose key is partly null",
    ),
    pytest.param(
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
        {"users-3": ("users 3", '{"id":3,"back":true}')},
        id="deletions of records that are there, never were, and come back",
    ),
    pytest.param(
        [stream("users", "id", mode="append")],
        records("users", '{"id":1}', '{"id":1,"_ab_cdc_deleted_at":"2026-11-24"}'),
        {"users-1": ("users 1", '{"id":1,"_ab_cdc_deleted_at":"2026-11-24"}')},
        id="a deletion under append",
    ),
]


@pytest.mark.parametrize(("streams", "lines", "documents"), SHAPES)
def test_a_sync_leaves_these_documents(
    dust: LocalDust, streams: list[Message], lines: list[bytes], documents: Documents
) -> None:
    done = sync(dust.config, catalog(*streams), lines)

    assert done.error is None
    assert done.states == [line for line in lines if b'"STATE"' in line]
    assert {
        id_: (document["title"], exact(document["text"]))
        for id_, document in dust.documents.items()
    } == {id_: (title, exact(text)) for id_, (title, text) in documents.items()}


def exact(text: str) -> Any:
    """Return parsed JSON with each number as it is written, and fields in their order."""
    return json.loads(text, parse_int=number, parse_float=number, object_pairs_hook=list)


def number(literal: str) -> tuple[str, str]:
    """Return a number as no text or list of the JSON can look."""
    return "number", literal
