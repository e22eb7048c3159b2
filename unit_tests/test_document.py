from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from airbyte_cdk.models import StreamDescriptor

from destination_dust import exact_json
from destination_dust.document import (
    Document,
    document_id,
    source_url_of,
)
from destination_dust.stream import Stream, clip
from unit_tests.builders import EMITTED_AT_MS, EVENTS, USERS, document_of

MEMBERS = Stream("members", primary_key=(("org",), ("id",)))
NESTED = Stream("users", primary_key=(("user", "id"),))

X232 = "x" * 232


def with_fields(**fields: object) -> Document:
    """Return the document of a record with these fields and the key 7."""
    return document_of(USERS, exact_json.dumps({"id": exact_json.Number("7"), **fields}))


# The payload


def test_a_document_is_what_dust_takes_in_its_upsert_request() -> None:
    stream = replace(USERS, namespace="eu")
    data = '{"id": 42, "name": "Ada", "url": "https://a.example/42"}'

    assert orjson.loads(orjson.dumps(document_of(stream, data).payload())) == {
        "title": "Ada",
        "mime_type": "application/json",
        "text": '{\n  "id": 42,\n  "name": "Ada",\n  "url": "https://a.example/42"\n}',
        "source_url": "https://a.example/42",
        "tags": ["airbyte:stream:users", "airbyte:namespace:eu"],
        "timestamp": 1736365559000,
        "light_document_output": True,
        "async": False,
    }


@pytest.mark.parametrize("emitted_at_ms", [1, EMITTED_AT_MS])
def test_the_timestamp_is_when_the_record_was_emitted(emitted_at_ms: int) -> None:
    assert document_of(USERS, '{"id": 1}', emitted_at_ms).payload()["timestamp"] == emitted_at_ms


@pytest.mark.parametrize("emitted_at_ms", [0, -1])
def test_a_timestamp_that_is_not_positive_is_left_out(emitted_at_ms: int) -> None:
    assert "timestamp" not in document_of(USERS, '{"id": 1}', emitted_at_ms).payload()


def test_any_record_can_be_sent_as_utf8_json() -> None:
    data = r'{"id": "\ud800", "name": "\udc00", "url": "https://a.example/\ud800", "\udfff": 1}'
    stream = replace(USERS, name="\ud800", namespace="\udfff")

    sent = orjson.loads(orjson.dumps(document_of(stream, data).payload()))

    assert sent["title"] == "\ufffd"
    assert sent["source_url"] == ""
    assert sent["tags"] == ["airbyte:stream:\ufffd", "airbyte:namespace:\ufffd"]


def test_a_streams_descriptor_carries_name_and_namespace() -> None:
    stream = Stream("users", namespace="eu")

    assert stream.descriptor == StreamDescriptor(name="users", namespace="eu")


def test_a_streams_descriptor_can_be_sent_whatever_the_name() -> None:
    stream = Stream("a\ud800", namespace="b\udfff")

    assert stream.descriptor == StreamDescriptor(name="a\\ud800", namespace="b\\udfff")


# Text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{\n  "b": 1,\n  "a": {\n    "d": [\n      2\n    ]\n  }\n}', id="key-order"),
        pytest.param('{\n  "id": 123456789012345678901234567890\n}', id="huge-integer"),
        pytest.param('{\n  "n": 0.12345678901234567890123456789\n}', id="long-decimal"),
        pytest.param('{\n  "n": [\n    1.0,\n    1.10,\n    1E+2,\n    -0\n  ]\n}', id="digits"),
        pytest.param('{\n  "n": 1e400\n}', id="beyond-a-double"),
        pytest.param('{\n  "é": "日本 😀"\n}', id="non-ascii"),
        pytest.param('{\n  "s": "\\ud800 and \\udfff"\n}', id="lone-surrogates"),
        pytest.param('{\n  "a": [],\n  "o": {},\n  "n": null,\n  "t": true\n}', id="empty"),
        pytest.param("{}", id="no-data"),
    ],
)
def test_the_text_is_the_records_data_digit_for_digit(text: str) -> None:
    """Key order kept, 2-space indent, non-ASCII as is, lone surrogates as their escapes."""
    assert document_of(EVENTS, text).text == text


def test_the_text_is_indented_however_the_record_was_written() -> None:
    assert document_of(EVENTS, '{"a":[1,{"b":2}]}').text == (
        '{\n  "a": [\n    1,\n    {\n      "b": 2\n    }\n  ]\n}'
    )


@pytest.mark.parametrize(("characters", "is_indented"), [(1_000_000, True), (1_000_001, False)])
def test_the_text_is_compact_where_indented_it_had_over_1_000_000_characters(
    characters: int, is_indented: bool
) -> None:
    """Indentation can triple a deep record, and Dust refuses 2 MB."""
    frame = '{\n  "é": "",\n  "a": [\n    [\n      1.50\n    ]\n  ]\n}'
    indented = frame.replace('""', f'"{"é" * (characters - len(frame))}"')
    compact = re.sub(r"\n *", "", indented).replace(": ", ":")

    for data in (indented, compact):
        assert document_of(EVENTS, data).text == (indented if is_indented else compact)


# Tags


@pytest.mark.parametrize(
    ("namespace", "tags"),
    [
        pytest.param("eu", ("airbyte:stream:users", "airbyte:namespace:eu"), id="namespace"),
        pytest.param(None, ("airbyte:stream:users",), id="none"),
        pytest.param("", ("airbyte:stream:users",), id="empty"),
    ],
)
def test_the_tags_are_stream_and_namespace(namespace: str | None, tags: tuple[str, ...]) -> None:
    assert Stream("users", namespace=namespace).tags == tags


def test_tags_are_cut_at_512() -> None:
    stream = Stream("s" * 600, namespace="n" * 492 + "😀")

    assert stream.tags == (
        "airbyte:stream:" + "s" * (512 - len("airbyte:stream:")),
        "airbyte:namespace:" + "n" * 492 + "😀",
    )
    assert replace(stream, namespace="n" * 493 + "😀").tags[1] == "airbyte:namespace:" + "n" * 493


@pytest.mark.parametrize("control", ["\x00", "\n", "\x1f", "\x7f", "\x80", "\x9f"])
def test_control_characters_become_spaces_in_tags(control: str) -> None:
    """Dust answers 500 to NUL."""
    assert Stream(f"my{control}users", namespace=f"e{control}u").tags == (
        "airbyte:stream:my users",
        "airbyte:namespace:e u",
    )


# Title


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        pytest.param({"label": "l", "subject": "s", "title": "t", "name": "n"}, "n", id="name"),
        pytest.param({"label": "l", "subject": "s", "title": "t"}, "t", id="title"),
        pytest.param({"label": "l", "subject": "s"}, "s", id="subject"),
        pytest.param({"label": "l"}, "l", id="label"),
        pytest.param({"Title": "CEO", "Name": "Acme"}, "Acme", id="case-ignored"),
        pytest.param({"NAME": "Zoe", "name": "Ann"}, "Zoe", id="first-in-the-record"),
        pytest.param({"Name": " ", "NAME": 1, "name": "n", "title": "t"}, "n", id="first-text"),
        pytest.param({"name": "", "title": " \n", "subject": "s"}, "s", id="skips-blank"),
        pytest.param({"name": "\x00\x1f\x7f", "title": "t"}, "t", id="skips-control-only"),
        pytest.param({"name": None, "title": ["x"], "subject": "s"}, "s", id="skips-no-string"),
        pytest.param({"name": True, "title": {"name": "x"}, "label": "l"}, "l", id="top-level"),
        pytest.param({"name": "a\nb\tc\x00d\x7fe\x80f\x9fg"}, "a b c d e f g", id="control"),
        pytest.param({"name": "a\xa0b\u2028c\u200bd"}, "a\xa0b\u2028c\u200bd", id="no-control"),
        pytest.param({"name": "a\r\nb"}, "a  b", id="one-space-for-each-control-character"),
        pytest.param({"name": "a\ud800b\udfffc"}, "a\ufffdb\ufffdc", id="lone-surrogates"),
        pytest.param({"name": "é 日本 😀"}, "é 日本 😀", id="non-ascii"),
    ],
)
def test_the_title_is_the_first_usual_field_that_holds_text(
    fields: dict[str, object], title: str
) -> None:
    assert with_fields(**fields).title == title


def test_a_number_is_no_title() -> None:
    assert with_fields(name=exact_json.Number("5")).title == "users 7"


@pytest.mark.parametrize(
    ("stream", "data", "title"),
    [
        pytest.param(USERS, '{"id": 7}', "users 7", id="key"),
        pytest.param(MEMBERS, '{"org": "a-b", "id": 7}', "members a-b 7", id="composite-key"),
        pytest.param(USERS, '{"id": "a\\nb"}', "users a b", id="control-character-in-key"),
        pytest.param(USERS, '{"id": "\\ud800"}', "users \ufffd", id="lone-surrogate-in-key"),
        pytest.param(replace(USERS, name="a\0b"), '{"id": 7}', "a b 7", id="control-in-the-name"),
        pytest.param(MEMBERS, '{"org": null, "id": 7}', "members 7", id="null-part-left-out"),
        pytest.param(MEMBERS, '{"id": 7}', "members 7", id="missing-part-left-out"),
        pytest.param(replace(USERS, name="\n"), '{"id": ""}', "_--80aacf515b74b718", id="blank"),
        pytest.param(EVENTS, "{}", "events-44136fa355b3678a", id="no-key"),
        pytest.param(USERS, '{"id": null}', "users-185486091df0b98c", id="null-key"),
    ],
)
def test_without_such_a_field_the_title_is_the_key_else_the_document_id(
    stream: Stream, data: str, title: str
) -> None:
    assert document_of(stream, data).title == title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        pytest.param("a" * 512, "a" * 512, id="fits"),
        pytest.param("a" * 513, "a" * 512, id="one-too-many"),
        pytest.param("a" * 510 + "😀", "a" * 510 + "😀", id="emoji-fits"),
        pytest.param("a" * 511 + "😀", "a" * 511, id="emoji-at-the-cut"),
        pytest.param("😀" * 300, "😀" * 256, id="emoji-count-twice"),
        pytest.param("a" + "😀" * 300, "a" + "😀" * 255, id="odd-cut-between-emoji"),
        pytest.param("é" * 600, "é" * 512, id="other-characters-count-once"),
        pytest.param("a" * 511 + "\ud83d", "a" * 511 + "\ufffd", id="lone-surrogate-at-the-cut"),
    ],
)
def test_a_title_has_at_most_512_utf16_units_and_no_character_cut_apart(
    text: str, title: str
) -> None:
    assert with_fields(title=text).title == title
    assert clip(text, 512) == title


def test_a_title_made_of_the_key_is_cut_as_well() -> None:
    assert document_of(USERS, f'{{"id": "{"x" * 600}"}}').title == "users " + "x" * 506


# Source URL


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://a.example/x?y=1#z", id="https"),
        pytest.param("http://a.example", id="http-without-path"),
        pytest.param("HTTPS://A.example/", id="upper-case"),
        pytest.param("https://a.example/?next=//b", id="slashes-in-the-query"),
        pytest.param("https://a.example/#//b", id="slashes-in-the-fragment"),
        pytest.param("https://a.example:65535/", id="highest-port"),
        pytest.param("https://a.example/a b", id="space-in-the-path"),
        pytest.param("https://bücher.example/ü", id="idn"),
        pytest.param("https://[2001:db8::1]:8080/x", id="ipv6"),
        pytest.param("https:\\\\a.example\\x", id="backslashes-that-browsers-read-as-slashes"),
        pytest.param("https://a.example/" + "x" * 31_982, id="32000-characters"),
    ],
)
def test_a_url_that_dust_accepts_is_the_source_url_as_it_was_written(url: str) -> None:
    assert with_fields(url=url).source_url == url


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="empty"),
        pytest.param("a.example/x", id="no-scheme"),
        pytest.param("/x", id="relative"),
        pytest.param("ftp://a.example/x", id="ftp"),
        pytest.param("javascript:alert(1)", id="javascript"),
        pytest.param("mailto:ada@a.example", id="mailto"),
        pytest.param("https://", id="no-host"),
        pytest.param("https://a.example//x", id="two-slashes-begin-the-path"),
        pytest.param("https://a.example/x//y", id="two-slashes-in-the-path"),
        pytest.param("https://a.example/\\x", id="slash-and-backslash"),
        pytest.param("https://a.example\\\\x", id="two-backslashes"),
        pytest.param("https://a.example/x/..//y", id="two-slashes-after-dots"),
        pytest.param("https://a b.example/", id="space-in-the-host"),
        pytest.param("https://a.example:65536/", id="port-out-of-range"),
        pytest.param("https://a.example:x/", id="port-no-number"),
        pytest.param("https://[2001:db8::1/", id="broken-ipv6"),
        pytest.param("https://1.2.3.256/", id="broken-ipv4"),
        pytest.param("https://a.example/\ud800", id="lone-surrogate"),
        pytest.param("https://a.example/" + "x" * 31_983, id="beyond-dusts-search-index"),
        pytest.param("https://a.example/" + "日" * 3_600, id="too-long-once-encoded"),
        pytest.param(True, id="boolean"),
        pytest.param(None, id="null"),
        pytest.param(["https://a.example/"], id="list"),
        pytest.param({"url": "https://a.example/"}, id="object"),
        pytest.param(exact_json.Number("5"), id="number"),
    ],
)
def test_a_url_that_dust_would_refuse_is_left_out_and_a_later_good_one_taken(url: object) -> None:
    """A bad URL in a record never fails the sync."""
    assert with_fields(url=url).source_url == ""
    assert with_fields(url=url, link="https://b.example/").source_url == "https://b.example/"


URL_FIELDS = ["source_url", "html_url", "web_url", "permalink", "url", "link"]


@pytest.mark.parametrize("first", range(len(URL_FIELDS)), ids=URL_FIELDS)
def test_the_first_of_the_usual_url_fields_wins(first: int) -> None:
    fields = {name: f"https://a.example/{name}" for name in reversed(URL_FIELDS[first:])}

    assert with_fields(**fields).source_url == f"https://a.example/{URL_FIELDS[first]}"


def test_the_case_of_url_fields_is_ignored() -> None:
    a, b, c = (f"https://{name}.example/" for name in "abc")

    assert with_fields(link=a, URL=b, Url=c).source_url == b
    assert with_fields(link=a, HTML_URL="no URL", Html_Url=c).source_url == c


# Ids


@pytest.mark.parametrize(
    ("stream", "data", "id_"),
    [
        pytest.param(USERS, '{"id": 42}', "users-42", id="integer"),
        pytest.param(USERS, '{"id": 0}', "users-0", id="zero"),
        pytest.param(USERS, '{"id": -5}', "users--5", id="negative-integer"),
        pytest.param(
            USERS,
            '{"id": 123456789012345678901234567890}',
            "users-123456789012345678901234567890",
            id="huge-integer",
        ),
        pytest.param(USERS, '{"id": 1e400}', "users-1e400", id="beyond-a-double"),
        pytest.param(USERS, '{"id": true}', "users-true", id="true"),
        pytest.param(USERS, '{"id": false}', "users-false", id="false"),
        pytest.param(USERS, '{"id": "AB_12-x"}', "users-AB_12-x", id="code"),
        pytest.param(
            USERS,
            '{"id": "3f2504e0-4f89-11d3-9a0c-0305e82c3301"}',
            "users-3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            id="uuid",
        ),
        pytest.param(MEMBERS, '{"id": 7, "org": "acme"}', "members-acme-7", id="composite"),
        pytest.param(
            replace(MEMBERS, primary_key=(("id",), ("org",))),
            '{"org": "acme", "id": 7}',
            "members-7-acme",
            id="order-of-the-paths",
        ),
        pytest.param(NESTED, '{"id": 1, "user": {"id": 42}}', "users-42", id="nested"),
        pytest.param(replace(USERS, namespace="eu"), '{"id": 42}', "users-42", id="namespace"),
        pytest.param(
            replace(USERS, name="users-archive"),
            '{"id": 7}',
            "users-archive-7",
            id="hyphen-in-name",
        ),
        pytest.param(USERS, f'{{"id": "{"x" * 249}"}}', f"users-{'x' * 249}", id="255-characters"),
    ],
)
def test_a_plain_key_gives_the_plain_id(stream: Stream, data: str, id_: str) -> None:
    """`{stream}-{value1}-{value2}`, nested paths followed."""
    assert document_of(stream, data).id == id_


@pytest.mark.parametrize(
    ("stream", "data", "id_"),
    [
        pytest.param(USERS, '{"id": "a b"}', "users-a_b-61dd1ecf303fe6f7", id="space"),
        pytest.param(USERS, '{"id": "a.b"}', "users-a_b-a66939f263821f81", id="dot"),
        pytest.param(USERS, '{"id": "é"}', "users-_-5a38f9ca5a512193", id="non-ascii"),
        pytest.param(USERS, '{"id": "😀"}', "users-_-9283cb47bab872c3", id="emoji"),
        pytest.param(USERS, r'{"id": "\ud800"}', "users-_-b6fa42ab409d27e7", id="lone-surrogate"),
        pytest.param(USERS, '{"id": 1.10}', "users-1_10-4edff15dd0a554e3", id="decimal"),
        pytest.param(USERS, '{"id": 1.1}', "users-1_1-160cde078704c7a6", id="shorter-decimal"),
        pytest.param(USERS, '{"id": 1E+2}', "users-1E_2-97db4f3f30a09a75", id="exponent"),
        pytest.param(
            USERS,
            '{"id": 0.1234567890123456789012345678901234567890}',
            "users-0_1234567890123456789012345678901234567890-4de1901f7cd406a6",
            id="long-decimal",
        ),
        pytest.param(USERS, '{"id": ""}', "users--ec63b620fa1336bf", id="empty"),
        pytest.param(
            USERS,
            '{"id": {"b": 1.0, "a": [2, true]}}',
            "users-__a___2_true___b__1_0_-8c4344297f94f86f",
            id="object",
        ),
        pytest.param(USERS, '{"id": [1, null]}', "users-_1_null_-6bbb4ebfadb282c1", id="list"),
        pytest.param(
            USERS, f'{{"id": "{"x" * 250}"}}', f"users-{X232}-5b4ecba065317c7c", id="256-characters"
        ),
        pytest.param(
            USERS, f'{{"id": "{"x" * 300}"}}', f"users-{X232}-563bcfc78b282bd8", id="306-characters"
        ),
        pytest.param(
            MEMBERS,
            '{"org": "a-b", "id": "c"}',
            "members-a-b-c-5e2dedd7d9538fd0",
            id="composite-with-hyphen-first",
        ),
        pytest.param(
            MEMBERS,
            '{"org": "a", "id": "b-c"}',
            "members-a-b-c-af8293f9f7fbc08d",
            id="composite-with-hyphen-last",
        ),
        pytest.param(
            MEMBERS,
            '{"org": "acme", "id": -5}',
            "members-acme--5-707cdc3fcdc1052c",
            id="composite-with-negative",
        ),
        pytest.param(
            MEMBERS, '{"org": "", "id": 7}', "members--7-5f202d8f5d2e6232", id="composite-empty"
        ),
        pytest.param(
            MEMBERS, '{"org": null, "id": 7}', "members--7-1473399cb08b923a", id="first-part-null"
        ),
        pytest.param(MEMBERS, '{"id": 7}', "members--7-1473399cb08b923a", id="first-part-missing"),
        pytest.param(
            MEMBERS, '{"org": "a", "id": null}', "members-a--0405e54d87c8a310", id="last-part-null"
        ),
        pytest.param(
            USERS,
            '{"id": "a-0123456789abcdef"}',
            "users-a-0123456789abcdef-db9379db9399fded",
            id="ends-like-a-digest",
        ),
        pytest.param(
            replace(USERS, name="my stream"),
            '{"id": 42}',
            "my_stream-42-66770e6195d3b386",
            id="stream-name",
        ),
        pytest.param(
            replace(USERS, shares_ids=True), '{"id": 42}', "users-42-40f0191e58eb825d", id="shared"
        ),
        pytest.param(
            replace(USERS, shares_ids=True, namespace="eu"),
            '{"id": 42}',
            "users-42-172108a93de08fd4",
            id="shared-with-namespace",
        ),
    ],
)
def test_a_key_that_could_be_read_as_another_gives_an_id_with_a_digest(
    stream: Stream, data: str, id_: str
) -> None:
    """The digest is the first 16 hex of SHA-256 over `[namespace,stream,[values]]` as JSON."""
    assert document_of(stream, data).id == id_


@pytest.mark.parametrize(
    ("stream", "data", "id_"),
    [
        pytest.param(EVENTS, "{}", "events-44136fa355b3678a", id="no-data"),
        pytest.param(
            EVENTS,
            '{"b": [2, "é"], "a": {"y": null, "x": 1.50}}',
            "events-7224d88b2b8ee3d1",
            id="unsorted-keys",
        ),
        pytest.param(
            EVENTS,
            '{"a": {"x": 1.50, "y": null}, "b": [2, "é"]}',
            "events-7224d88b2b8ee3d1",
            id="sorted-keys",
        ),
        pytest.param(EVENTS, r'{"a": "\ud800"}', "events-89f8ca88ea20e6cd", id="lone-surrogate"),
        pytest.param(
            replace(EVENTS, namespace="eu"), '{"a":1}', "events-015abd7f5cc57a2d", id="namespace"
        ),
        pytest.param(
            replace(EVENTS, namespace="eu", shares_ids=True),
            '{"a":1}',
            "events-015abd7f5cc57a2d-18b0201ef64f9c08",
            id="shared",
        ),
        pytest.param(
            replace(EVENTS, name="my events"),
            '{"a":1}',
            "my_events-015abd7f5cc57a2d-539b6f4c88988acf",
            id="stream-name",
        ),
    ],
)
def test_without_a_primary_key_the_id_is_a_hash_of_the_data(
    stream: Stream, data: str, id_: str
) -> None:
    """`{stream}-` and the first 16 hex of SHA-256 over the compact JSON with sorted keys."""
    stored = document_of(stream, data)

    assert stored.id == id_
    assert not stored.lacks_its_key


@pytest.mark.parametrize(
    ("stream", "data", "id_"),
    [
        pytest.param(USERS, '{"name": "Ada"}', "users-88bab6d8f6dc68a8", id="missing"),
        pytest.param(USERS, '{"id": null}', "users-185486091df0b98c", id="null"),
        pytest.param(
            MEMBERS, '{"org": null}', "members-b6fc21e65194f168", id="all-parts-null-or-missing"
        ),
        pytest.param(NESTED, '{"user": "Ada"}', "users-09a6b6cb2b960137", id="path-into-a-string"),
        pytest.param(
            NESTED, '{"user.id": 7}', "users-296912ad15a49e64", id="path-is-no-name-with-a-dot"
        ),
    ],
)
def test_a_record_without_any_part_of_its_key_gets_the_id_of_its_data(
    stream: Stream, data: str, id_: str
) -> None:
    """A placeholder would put unrelated records on one id."""
    stored = document_of(stream, data)

    assert stored.id == id_
    assert stored.lacks_its_key


def test_null_is_another_value_than_an_empty_text_or_the_word() -> None:
    parts = ["null", '""', '"null"', '"None"', "[]", "{}", "false", "0"]
    data = [f'{{"org": {org}, "id": {id_}}}' for org in parts for id_ in parts]

    assert len({document_of(MEMBERS, one).id for one in data}) == len(parts) ** 2


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("1", '"1"', True),
        ("true", '"true"', True),
        ('{"a":1}', '"{\\"a\\":1}"', True),
        ("1", "1.0", False),
        ("100", "1e2", False),
        ("0", "-0", False),
        ('"a"', '"A"', False),
        ('"a"', '"a "', False),
        ('"\u00e9"', '"e\u0301"', False),
        ('"\u212a"', '"K"', False),
        ('"\\ud83d\\ude00"', '"😀"', True),
        ('"007"', '"7"', False),
    ],
)
def test_keys_are_one_where_their_texts_are(one: str, other: str, are_one: bool) -> None:
    """Numbers by their digits, texts by their characters, neither folded nor normalised."""
    ids = {document_of(USERS, f'{{"id": {key}}}').id for key in (one, other)}

    assert len(ids) == (1 if are_one else 2)


def test_a_path_follows_fields_whose_names_hold_dots() -> None:
    stream = Stream("users", primary_key=(("a.b", "c"),))

    assert document_of(stream, '{"a.b": {"c": 1}, "a": {"b": {"c": 2}}}').id == "users-1"


def test_a_key_of_2_mb_gives_an_id_and_a_title_like_others() -> None:
    one, other = (document_of(USERS, f'{{"id": "{"x" * 2_000_000}{end}"}}') for end in "ab")

    assert len(one.id) == len(other.id) == 255
    assert one.id != other.id
    assert one.title == other.title == "users " + "x" * 506


@pytest.mark.parametrize(
    "data", ['{"id": 0}', '{"id": false}', '{"id": ""}', '{"id": []}', '{"id": {}}']
)
def test_an_empty_value_is_a_key_all_the_same(data: str) -> None:
    assert not document_of(USERS, data).lacks_its_key


def test_an_object_as_key_is_the_same_whatever_the_order_of_its_keys() -> None:
    one, other = (
        document_of(USERS, f'{{"id": {key}}}') for key in ('{"a":1,"b":2}', '{"b":2,"a":1}')
    )

    assert one.id == other.id


def keys_that_look_alike() -> Iterator[tuple[str, ...]]:
    values = ["".join(value) for n in range(4) for value in itertools.product("a-_.", repeat=n)]
    yield from itertools.product(values, repeat=2)


def test_two_composite_keys_never_share_an_id() -> None:
    ids: dict[str, tuple[str, ...]] = {}
    for org, id_ in keys_that_look_alike():
        document_id = document_of(MEMBERS, exact_json.dumps({"org": org, "id": id_})).id
        assert ids.setdefault(document_id, (org, id_)) == (org, id_)

    assert len(ids) == 85**2


def test_two_single_keys_never_share_an_id() -> None:
    """Also when one of them is another's id with its digest."""
    values = {"a b", "a.b", "a_b", "", "-", "é", "ü", "x" * 260, "x" * 261, r"\ud800", "\ud800"}
    first = {value: document_of(USERS, exact_json.dumps({"id": value})).id for value in values}
    mimics = {id_.removeprefix("users-") for id_ in first.values()}
    everything = values | mimics
    ids = {document_of(USERS, exact_json.dumps({"id": value})).id for value in everything}

    assert len(mimics - values) > 5
    assert len(ids) == len(everything)


@pytest.mark.parametrize(
    "data",
    [r'{"id": "a/b?c=d&e#f%20"}', r'{"id": "../.."}', r'{"id": "日本\n\u0000"}', '{"id": "."}'],
)
def test_an_id_holds_nothing_that_a_url_path_would_read_otherwise(data: str) -> None:
    id_ = document_of(USERS, data).id

    assert set(id_) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def test_names_that_differ_only_in_control_characters_give_different_ids() -> None:
    streams = [replace(USERS, name=f"my{character}users") for character in "\x00\x01\x7f\n "]

    assert len({document_of(stream, '{"id": 7}').id for stream in streams}) == len(streams)


def test_an_id_is_the_same_in_every_process() -> None:
    script = (
        "from unit_tests.builders import EVENTS, USERS, document_of\n"
        'print(document_of(USERS, \'{"id": {"c": 1, "a": 2, "b": 3}}\').id)\n'
        'print(document_of(EVENTS, \'{"c": 1, "a": 2, "b": {"e": 1, "d": 2}}\').id)\n'
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", script],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "1")
    ]
    outputs = {child.communicate(timeout=60)[0] for child in children}

    assert len(outputs) == 1
    assert outputs == {
        "users-__a__2__b__3__c__1_-e69912653c36605a\nevents-21c462b958096775\n",
    }


@pytest.mark.parametrize("key", ["deadbeefdeadbeef", "0123456789abcdef"])
def test_a_key_that_could_be_the_hash_of_a_record_without_key_gets_a_digest(key: str) -> None:
    assert re.fullmatch(rf"users-{key}-[0-9a-f]{{16}}", document_id(USERS, (key,), {}))


def test_sixteen_decimal_digits_are_a_plain_key() -> None:
    assert document_id(USERS, ("1736365559000123",), {}) == "users-1736365559000123"


def test_a_record_without_its_key_never_shares_an_id_with_a_key_that_looks_like_its_hash() -> None:
    without_key = document_id(USERS, None, {"id": None, "v": 1})
    assert document_id(USERS, (without_key.removeprefix("users-"),), {}) != without_key


@pytest.mark.parametrize("host", ["\U0002ebf0.com", "xn--8g0n.com"])
def test_a_host_beyond_the_basic_plane_is_not_sent(host: str) -> None:
    """Dust's parser may know fewer of these characters, and then refuses the whole document."""
    assert source_url_of({"url": f"https://{host}/", "link": "https://example.com/"}) == (
        "https://example.com/"
    )


# Tags, and deleted records


def test_a_document_has_the_tags_of_its_stream_and_namespace_and_no_others() -> None:
    assert Stream("users").tags == ("airbyte:stream:users",)
    assert Stream("users", "eu").tags == ("airbyte:stream:users", "airbyte:namespace:eu")


@pytest.mark.parametrize(
    ("is_deduped", "data", "is_deletion"),
    [
        (True, {"id": 1, "_ab_cdc_deleted_at": "2026-11-24"}, True),
        (True, {"id": 1, "_ab_cdc_deleted_at": ""}, True),
        (True, {"id": 1, "_ab_cdc_deleted_at": None}, False),
        (True, {"id": 1}, False),
        (True, {"id": None, "_ab_cdc_deleted_at": "2026-11-24"}, False),
        (True, {"org": "acme", "_ab_cdc_deleted_at": "2026-11-24"}, True),
        (False, {"id": 1, "_ab_cdc_deleted_at": "2026-11-24"}, False),
    ],
)
def test_a_deleted_record_is_a_deletion_where_its_key_tells_of_which_document(
    is_deduped: bool, data: dict[str, Any], is_deletion: bool
) -> None:
    stream = replace(MEMBERS, is_deduped=is_deduped)
    assert document_of(stream, data).is_deletion is is_deletion
