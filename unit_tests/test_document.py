from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import orjson
import pytest
from airbyte_cdk.models import StreamDescriptor

from destination_dust import exact_json
from destination_dust.document import Document
from destination_dust.errors import InputError
from destination_dust.stream import Stream
from unit_tests.builders import EMITTED_AT_MS, EVENTS, USERS, document_of

MEMBERS = Stream("members", primary_key=(("org",), ("id",)))
NESTED = Stream("users", primary_key=(("user", "id"),))
DOTTED = Stream("users", primary_key=(("a.b", "c"),))
EU_USERS = replace(USERS, namespace="eu")


def with_fields(**fields: object) -> Document:
    """Return the document of a record with these fields and the key 7."""
    return document_of(USERS, {"id": exact_json.Number("7"), **fields})


# The payload


def test_a_document_is_sent_as_dusts_upsert_request_takes_it() -> None:
    data = '{"id": 42, "name": "Ada", "url": "https://a.example/42"}'

    assert orjson.loads(orjson.dumps(document_of(EU_USERS, data).payload())) == {
        "title": "Ada",
        "mime_type": "application/json",
        "text": '{\n  "id": 42,\n  "name": "Ada",\n  "url": "https://a.example/42"\n}',
        "source_url": "https://a.example/42",
        "tags": ["airbyte:stream:users", "airbyte:namespace:eu"],
        "timestamp": 1736365559000,
        "light_document_output": True,
        "async": False,
    }


@pytest.mark.parametrize(
    ("emitted_at_ms", "is_sent"),
    [(1, True), (8_640_000_000_000_000, True), (0, False), (8_640_000_000_000_001, False)],
)
def test_a_timestamp_that_a_date_cannot_hold_is_left_out(emitted_at_ms: int, is_sent: bool) -> None:
    payload = document_of(USERS, {}, emitted_at_ms).payload()

    assert payload.get("timestamp", "left out") == (emitted_at_ms if is_sent else "left out")


def test_any_record_can_be_sent_as_utf8_json() -> None:
    data = r'{"id": "\ud800", "name": "\udc00", "url": "https://a.example/\ud800", "\udfff": 1}'
    stream = replace(USERS, name="\ud800", namespace="\udfff")

    sent = orjson.loads(orjson.dumps(document_of(stream, data).payload()))

    assert sent["tags"] == ["airbyte:stream:\ufffd", "airbyte:namespace:\ufffd"]
    assert stream.descriptor == StreamDescriptor(name="\\ud800", namespace="\\udfff")


def test_a_record_that_nests_too_deeply_to_be_written_fails_the_sync() -> None:
    data: dict[str, Any] = {}
    for _ in range(5000):
        data = {"a": data}

    with pytest.raises(InputError) as failed:
        document_of(EU_USERS, data)

    assert str(failed.value) == (
        "A record of stream 'users' nests too deeply to be stored as JSON: leave the field out in "
        "the connection's schema."
    )
    error = failed.value.as_airbyte_message().trace.error
    assert error.stream_descriptor == StreamDescriptor("users", "eu")


# Text


def test_the_text_is_the_records_data_digit_for_digit() -> None:
    """Key order kept, 2-space indent, non-ASCII as is, lone surrogates as their escapes."""
    numbers = ",\n    ".join(["123456789012345678901234567890", "1.10", "7E+3", "-0", "1e400"])
    text = (
        f'{{\n  "é": "日本 😀 \\ud800 \\udfff",\n  "b": [\n    {numbers}\n  ],\n'
        '  "a": {\n    "a": [],\n    "o": {},\n    "n": null,\n    "t": true\n  }\n}'
    )

    assert document_of(EVENTS, text).text == text
    assert document_of(EVENTS, re.sub(r"\n *", "", text)).text == text


@pytest.mark.parametrize(("characters", "is_indented"), [(1_000_000, True), (1_000_001, False)])
def test_a_text_of_over_1_000_000_characters_is_not_indented(
    characters: int, is_indented: bool
) -> None:
    frame = '{\n  "é": "",\n  "a": [\n    [\n      1.50\n    ]\n  ]\n}'
    indented = frame.replace('""', f'"{"é" * (characters - len(frame))}"')
    compact = re.sub(r"\n *", "", indented).replace(": ", ":")

    assert document_of(EVENTS, compact).text == (indented if is_indented else compact)


# Tags


@pytest.mark.parametrize(
    ("stream", "tags"),
    [
        pytest.param(USERS, ["stream:users"], id="no-namespace"),
        pytest.param(replace(USERS, namespace=""), ["stream:users"], id="empty-namespace"),
        pytest.param(Stream("s" * 600), ["stream:" + "s" * 497], id="512-characters"),
        pytest.param(Stream("s" * 495 + "😀"), ["stream:" + "s" * 495 + "😀"], id="512-units"),
        pytest.param(Stream("s" * 496 + "😀"), ["stream:" + "s" * 496], id="emoji-at-the-cut"),
        pytest.param(
            Stream("a\x00b\nc\x1fd\x7fe\x9ff", namespace="\x00\udfff"),
            ["stream:a b c d e f", "namespace: \ufffd"],
            id="control-and-surrogate",
        ),
    ],
)
def test_tags_are_stream_and_namespace_as_dust_can_store_them(
    stream: Stream, tags: list[str]
) -> None:
    """At most 512 UTF-16 units, without control characters. Dust answers 500 to NUL."""
    assert list(stream.tags) == ["airbyte:" + tag for tag in tags]


# Title and source URL

TITLE_FIELDS = ["name", "full_name", "display_name", "title", "subject", "label"]
URL_FIELDS = ["source_url", "html_url", "web_url", "permalink", "url", "link"]


@pytest.mark.parametrize(
    ("attribute", "names"),
    [("title", TITLE_FIELDS), ("source_url", URL_FIELDS)],
    ids=["title", "url"],
)
def test_the_first_of_the_usual_fields_counts(attribute: str, names: list[str]) -> None:
    """Whatever the case of its name, and the order in the record."""
    fields: dict[str, str] = {}
    for name in reversed(names):
        url = fields[name.title()] = f"https://a.example/{name}"
        assert getattr(with_fields(**fields), attribute) == url


@pytest.mark.parametrize(
    "field",
    ["Full_Name", "fullName", "full-name", "Full Name", "FULLNAME", "DisplayName", "display name"],
)
def test_case_and_separators_of_title_fields_are_ignored(field: str) -> None:
    assert with_fields(Title="Quality Engineer", **{field: "Ann Lee"}).title == "Ann Lee"


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        pytest.param({"Full_Name": "Zoe", "fullName": "Ann"}, "Zoe", id="first-in-the-record"),
        pytest.param({"Name": " ", "NAME": 1, "name": "n", "title": "t"}, "n", id="first-text"),
        pytest.param({"name": "\x00\x1f\x7f", "title": "t"}, "t", id="skips-control-only"),
        pytest.param(
            {"name": None, "title": {"name": "x"}, "label": "l"}, "l", id="skips-no-string"
        ),
        pytest.param({"name": "a\nb\tc\x00d\x7fe\x80f\x9fg"}, "a b c d e f g", id="control"),
        pytest.param({"name": "a\xa0b\u2028c\u200bd"}, "a\xa0b\u2028c\u200bd", id="no-control"),
        pytest.param({"name": "a\ud800b\udfffc"}, "a\ufffdb\ufffdc", id="lone-surrogates"),
        pytest.param({"name": "a" * 513}, "a" * 512, id="one-too-many"),
        pytest.param({"name": "a" * 510 + "😀"}, "a" * 510 + "😀", id="emoji-fits"),
        pytest.param({"name": "a" * 511 + "😀"}, "a" * 511, id="emoji-at-the-cut"),
        pytest.param({"name": "é" * 600}, "é" * 512, id="other-characters-count-once"),
    ],
)
def test_the_title_is_the_first_text_that_is_not_blank(
    fields: dict[str, object], title: str
) -> None:
    assert with_fields(**fields).title == title


@pytest.mark.parametrize(
    ("stream", "data", "title"),
    [
        pytest.param(USERS, '{"id": 7E+3}', "users 7000", id="key"),
        pytest.param(MEMBERS, '{"org": "a-b", "id": 7}', "members a-b 7", id="composite-key"),
        pytest.param(replace(USERS, name="a\0b"), '{"id": 7}', "a b 7", id="control-in-the-name"),
        pytest.param(MEMBERS, '{"org": null, "id": 7}', "members 7", id="null-part-left-out"),
        pytest.param(replace(USERS, name="\n"), '{"id": ""}', "_--80aacf515b74b718", id="blank"),
        pytest.param(EVENTS, "{}", "events-44136fa355b3678a", id="no-key"),
        pytest.param(USERS, f'{{"id": "{"x" * 600}"}}', "users " + "x" * 506, id="long-key"),
    ],
)
def test_without_such_a_field_the_title_is_the_key_else_the_document_id(
    stream: Stream, data: str, title: str
) -> None:
    assert document_of(stream, data).title == title


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://a.example", id="http-without-path"),
        pytest.param("https://a.example/?next=//b#//c", id="slashes-after-the-path"),
        pytest.param("https://bücher.example/ü", id="idn"),
        pytest.param("https:\\\\a.example\\x", id="backslashes-that-browsers-read-as-slashes"),
        pytest.param("https://a.example/" + "x" * 31_982, id="32000-characters"),
        pytest.param("https://docs.example.com/docs/api/x", id="api-deeper-in-the-path"),
        pytest.param("https://apis.example.com/apis/rest", id="nearly-an-api"),
    ],
)
def test_a_url_of_a_page_is_the_source_url_as_it_was_written(url: str) -> None:
    assert with_fields(url=url).source_url == url


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("ftp://a.example/x", id="ftp"),
        pytest.param("https://a.example//x", id="two-slashes-begin-the-path"),
        pytest.param("https://1.2.3.256/", id="broken-ipv4"),
        pytest.param("https://a.example/\ud800", id="lone-surrogate"),
        pytest.param("https://a.example/" + "x" * 31_983, id="beyond-dusts-search-index"),
        pytest.param("https://a.example/" + "日" * 3_600, id="too-long-once-encoded"),
        # Dust's parser may not know these characters, and then refuses the whole document.
        pytest.param("https://\U0002ebf0.com/", id="host-beyond-the-basic-plane"),
        pytest.param("https://api.github.com/users/1", id="api-host"),
        pytest.param("https://acme.zendesk.com/api/v2/tickets/35.json", id="api-path"),
        pytest.param("https://acme.atlassian.net/rest/api/3/issue/1", id="rest-path"),
    ],
)
def test_a_bad_url_or_that_of_an_api_is_left_out_and_a_later_page_taken(url: object) -> None:
    assert with_fields(url=url).source_url == ""
    assert with_fields(url=url, link="https://b.example/").source_url == "https://b.example/"


# Ids


@pytest.mark.parametrize(
    ("stream", "data", "id_"),
    [
        (USERS, '{"id": 42}', "users-42"),
        (USERS, '{"id": -5}', "users--5"),
        (USERS, '{"id": 7E+3}', "users-7000"),
        (USERS, '{"id": 123456789012345678901}', "users-123456789012345678901"),
        (USERS, '{"id": 1736365559000123}', "users-1736365559000123"),
        (USERS, '{"id": true}', "users-true"),
        (USERS, '{"id": "AB_12-x"}', "users-AB_12-x"),
        (NESTED, '{"id": 1, "user": {"id": 42}}', "users-42"),
        (DOTTED, '{"a": {"b": {"c": 1}}, "a.b": {"c": 42}}', "users-42"),
        (MEMBERS, '{"id": 7, "org": "acme"}', "members-acme-7"),
        # These could belong to two records, and end in the first 16 hex of SHA-256 over
        # `[namespace,stream,[values]]` as JSON.
        (USERS, '{"id": "a b"}', "users-a_b-61dd1ecf303fe6f7"),
        (USERS, '{"id": "é"}', "users-_-5a38f9ca5a512193"),
        (USERS, r'{"id": "\ud800"}', "users-_-b6fa42ab409d27e7"),
        (USERS, '{"id": 1.10}', "users-1_1-160cde078704c7a6"),
        (USERS, '{"id": ""}', "users--ec63b620fa1336bf"),
        (USERS, '{"id": {"b":1.0,"a":[2e0]}}', "users-__a___2___b__1_-15616c61417cc1e9"),
        (USERS, '{"id": "a-0123456789abcdef"}', "users-a-0123456789abcdef-db9379db9399fded"),
        (USERS, '{"id": "deadbeefdeadbeef"}', "users-deadbeefdeadbeef-91feb80b8f7dc5a0"),
        (MEMBERS, '{"org": "a-b", "id": "c"}', "members-a-b-c-5e2dedd7d9538fd0"),
        (MEMBERS, '{"org": "a", "id": "b-c"}', "members-a-b-c-af8293f9f7fbc08d"),
        (MEMBERS, '{"org": "", "id": 7}', "members--7-5f202d8f5d2e6232"),
        (MEMBERS, '{"org": null, "id": 7}', "members--7-1473399cb08b923a"),
        (MEMBERS, '{"id": 7}', "members--7-1473399cb08b923a"),
        (MEMBERS, '{"org": "a", "id": null}', "members-a--0405e54d87c8a310"),
        (
            MEMBERS,
            '{"org": "a", "id": "deadbeefdeadbeef"}',
            "members-a-deadbeefdeadbeef-28eac898ee2269c4",
        ),
        (EU_USERS, '{"id": 7}', "users-7-7a0e64069e1e2827"),
        (replace(USERS, name="my stream"), '{"id": 7}', "my_stream-7-26ddf82b0984288f"),
        (replace(USERS, name="users-archive"), '{"id": 7}', "users-archive-7-013b17e9822d5a64"),
    ],
)
def test_a_key_gives_the_plain_id_or_one_with_a_digest(stream: Stream, data: str, id_: str) -> None:
    assert document_of(stream, data).id == id_


def test_an_id_has_at_most_255_characters_and_is_cut_before_its_digest() -> None:
    ids = [document_of(USERS, {"id": "x" * length}).id for length in (249, 250, 300)]

    assert ids == [
        "users-" + "x" * 249,
        "users-" + "x" * 232 + "-5b4ecba065317c7c",
        "users-" + "x" * 232 + "-563bcfc78b282bd8",
    ]


@pytest.mark.parametrize(
    ("stream", "data", "id_"),
    [
        (EVENTS, '{"b": [2, "é"], "a": {"y": null, "x": 1.50}}', "7224d88b2b8ee3d1"),
        (EVENTS, r'{"a": "\ud800"}', "89f8ca88ea20e6cd"),
        # A namespace or an unusual name adds a digest.
        (replace(EVENTS, namespace="eu"), '{"a":1}', "015abd7f5cc57a2d-18b0201ef64f9c08"),
        (replace(EVENTS, name="my-events"), '{"a":1}', "015abd7f5cc57a2d-f57235c6cd48680d"),
    ],
    ids=["sorted", "surrogate", "namespace", "hyphen"],
)
def test_without_a_primary_key_the_id_is_a_hash_of_the_data(
    stream: Stream, data: str, id_: str
) -> None:
    """The first 16 hex of SHA-256 over the compact JSON with sorted keys, numbers as they came."""
    document = document_of(stream, data)

    assert document.id == f"{stream.name}-{id_}"
    assert not document.lacks_its_key


@pytest.mark.parametrize(
    ("stream", "data", "id_"),
    [
        pytest.param(MEMBERS, '{"org": null}', "members-b6fc21e65194f168", id="all-parts"),
        pytest.param(NESTED, '{"user": "Ada"}', "users-09a6b6cb2b960137", id="path-into-a-string"),
        pytest.param(NESTED, '{"user.id": 7}', "users-296912ad15a49e64", id="name-with-a-dot"),
    ],
)
def test_a_record_without_any_part_of_its_key_gets_the_id_of_its_data(
    stream: Stream, data: str, id_: str
) -> None:
    """A placeholder would put unrelated records on one id."""
    document = document_of(stream, data)

    assert document.id == id_
    assert document.lacks_its_key


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("1", '"1"', True),
        ('{"a":1,"b":[2]}', '{"b":[2e0],"a":1.0}', True),
        ('"1"', '"1.0"', False),
        ('"\u00e9"', '"e\u0301"', False),
    ],
)
def test_keys_are_equal_where_their_texts_are(one: str, other: str, are_one: bool) -> None:
    """Texts are compared by their characters, neither folded nor normalised."""
    ids = {document_of(USERS, f'{{"id": {key}}}').id for key in (one, other)}

    assert len(ids) == (1 if are_one else 2)


# What PyAirbyte's caches add

CACHE_FIELDS = {"_airbyte_raw_id": "01J", "_airbyte_extracted_at": "2026", "_airbyte_meta": {}}
EMITTED_AT_S = EMITTED_AT_MS // 1000
FROM_PYAIRBYTE = replace(EVENTS, is_of_pyairbyte=True)


def test_the_fields_of_a_pyairbyte_cache_are_in_neither_id_nor_text() -> None:
    """They differ each time the source is read."""
    document = document_of(FROM_PYAIRBYTE, {"id": "a", **CACHE_FIELDS}, EMITTED_AT_S)

    assert document == document_of(FROM_PYAIRBYTE, {"id": "a"}, EMITTED_AT_S)


@pytest.mark.parametrize(
    ("stream", "left_out", "emitted_at"),
    [
        *((FROM_PYAIRBYTE, name, EMITTED_AT_S) for name in CACHE_FIELDS),
        (FROM_PYAIRBYTE, None, EMITTED_AT_MS),
        (EVENTS, None, EMITTED_AT_S),
    ],
    ids=[*CACHE_FIELDS, "PyAirbyte without a cache", "Airbyte"],
)
def test_fields_of_these_names_that_a_source_has_itself_are_kept(
    stream: Stream, left_out: str | None, emitted_at: int
) -> None:
    """Airbyte's destinations write them into the tables of a warehouse, which may be a source."""
    data = {"id": "a"} | {name: CACHE_FIELDS[name] for name in CACHE_FIELDS if name != left_out}
    document = document_of(stream, data, emitted_at)

    assert orjson.loads(document.text) == data
    assert document.id != document_of(stream, {"id": "a"}, emitted_at).id


# Deleted records


@pytest.mark.parametrize(
    ("is_deduped", "data", "is_deletion"),
    [
        (True, {"id": "a", "_ab_cdc_deleted_at": ""}, True),
        (True, {"id": "a", "_ab_cdc_deleted_at": None}, False),
        (True, {"id": None, "_ab_cdc_deleted_at": "2026-11-24"}, False),
        (True, {"org": "acme", "_ab_cdc_deleted_at": "2026-11-24"}, True),
        (False, {"id": "a", "_ab_cdc_deleted_at": "2026-11-24"}, False),
    ],
    ids=["empty", "null", "no-key", "part-of-the-key", "append"],
)
def test_a_deleted_record_is_a_deletion_under_append_dedup_if_it_has_a_key(
    is_deduped: bool, data: dict[str, Any], is_deletion: bool
) -> None:
    stream = replace(MEMBERS, is_deduped=is_deduped)

    assert document_of(stream, data).is_deletion is is_deletion
