"""What must hold for any record and any input."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Any

from airbyte_cdk.models import AirbyteMessage
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from destination_dust import exact_json
from destination_dust.catalog import Streams, configured_streams
from destination_dust.document import to_document
from destination_dust.errors import InputError
from destination_dust.exact_json import Number
from destination_dust.protocol import StateLine, UnreadLine, read_messages
from destination_dust.stream import Stream
from integration_tests.connector import Message, catalog, stream
from integration_tests.connector.in_process import configured
from integration_tests.local_dust import ApiKey, Options
from integration_tests.local_dust.store import DustStore, validate_body
from unit_tests.builders import USERS, document_of, record_of

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=300)
settings.load_profile("repeatable")

# Few letters, so that equal texts are frequent, and all characters that ids treat differently.
look_alikes = st.text(alphabet="ab-_ é.\ud800", max_size=4)
names = st.sampled_from(["a", "A", "a-", "a-b", "a-a", "a_b", "a b", "é"])
anything = st.text(st.characters(), max_size=20)

numbers = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: str(d).replace("E+", "E")),
    st.sampled_from(["-0", "1e400", "0.10", "1E-7", "123456789012345678901234567890.10"]),
).map(Number)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, anything),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(anything, inner, max_size=3)
    ),
    max_leaves=8,
)

SPELLINGS = {"7000": "7000 7E+3 7000.0", "0.5": "0.50 5e-1", "0": "0 -0 -0.0e9", "-3": "-3 -3.0"}
KEYS: list[tuple[Any, str | None]] = [
    (None, None),
    ("null", "null"),
    (True, "true"),
    ([], "[]"),
    ({"a": None}, '{"a":null}'),
    *(({"a": Number(one)}, '{"a":1}') for one in ("1", "1.0")),
    *((Number(one), plain) for plain, many in SPELLINGS.items() for one in many.split()),
]
"""Values of keys, each with the text by which it is compared."""
keys = st.one_of(
    st.sampled_from(KEYS),
    st.one_of(look_alikes, st.text("ab-", max_size=3)).map(lambda text: (text, text)),
)


def streams_of(*streams: Message) -> Streams:
    """Return the streams of a catalog."""
    return configured_streams(configured(catalog(*streams)))


# Ids


@given(st.data())
def test_an_id_is_that_of_one_record_whatever_else_the_catalog_has(data: st.DataObject) -> None:
    """A record is its stream and key, or its stream and data where it has no part of a key.

    Some of the keys are made to give the id of another record.
    """
    drawn = data.draw(
        st.lists(
            st.tuples(names, st.sampled_from([None, "a", "b"]), st.integers(0, 2)),
            min_size=2,
            max_size=5,
            unique_by=lambda each: each[:2],
        )
    )
    made = [
        stream(name, [["k", str(part)] for part in range(parts)], namespace=namespace)
        for name, namespace, parts in drawn
    ]
    together, alone = streams_of(*made), [streams_of(each) for each in made]
    seen: set[tuple[Any, str]] = set()

    def note(number: int, key: list[tuple[Any, str | None]], other: Any) -> None:
        name, namespace, parts = drawn[number]
        record = {"k": {str(part): value for part, (value, _) in enumerate(key)}, "other": other}
        texts = tuple(text for _, text in key[:parts])
        if not any(text is not None for text in texts):
            texts = ("no key", exact_json.dumps(record, sort_keys=True), "")
        message = record_of(Stream(name, namespace), record)
        ids = set()
        for streams in (together, alone[number]):
            its_stream = streams.of(message)
            assert its_stream is not None
            ids.add(to_document(its_stream, message).id)
        assert len(ids) == 1
        seen.add(((namespace, name, texts), *ids))

    for number, key, other in data.draw(
        st.lists(
            st.tuples(st.integers(0, len(made) - 1), st.lists(keys, min_size=2, max_size=2), keys),
            min_size=5,
            max_size=25,
        )
    ):
        note(number, key, other[0])
    for _, id_ in list(seen):
        for number, (name, _, parts) in enumerate(drawn):
            if id_.startswith(f"{name}-"):
                rest = id_.removeprefix(f"{name}-")
                splits = [rest.rsplit("-", 1), rest.split("-", 1)] if parts == 2 else [[rest]]
                for texts in splits:
                    note(number, [(text, text) for text in texts], None)
    assert len({identity for identity, _ in seen}) == len({id_ for _, id_ in seen}) == len(seen)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,255}", id_) for _, id_ in seen)


near_literals = st.from_regex(r"-?(0|1|10|700?)(\.(0|10?|05))?([eE][+-]?[0-3])?", fullmatch=True)
any_literals = st.from_regex(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)


@given(st.lists(st.one_of(near_literals, any_literals), max_size=10))
def test_two_numbers_are_one_key_exactly_when_they_are_equal(literals: list[str]) -> None:
    made = {(Fraction(each), document_of(USERS, {"id": Number(each)}).id) for each in literals}
    assert len({value for value, _ in made}) == len({id_ for _, id_ in made}) == len(made)
    for each in literals:
        assert Fraction(exact_json.with_plain_numbers(Number(each)).literal) == Fraction(each)


# Texts and payloads


def parsed(text: str) -> Any:
    """Return JSON with each number as it is written."""
    return json.loads(text, parse_int=Number, parse_float=Number)


@given(st.dictionaries(anything, values, max_size=5))
def test_the_text_parses_back_to_the_record_digit_for_digit(data: dict[str, Any]) -> None:
    text = document_of(USERS, data).text
    text.encode("utf-8")
    # A pair of surrogates that came as two escapes is one character, here as in any JSON.
    assert parsed(text) == parsed(exact_json.dumps(data))
    assert parsed(text) == exact_json.loads(text)
    assert exact_json.dumps_indented(parsed(text)) == text


odd_urls = st.one_of(
    anything,
    st.from_regex(r"https?:[/\\]{0,3}[^ ]{0,12}", fullmatch=True),
    st.tuples(st.sampled_from(["http://", "https://", "HTTP:"]), anything).map("".join),
)


@given(
    data=st.fixed_dictionaries(
        {"id": keys.map(lambda key: key[0])},
        optional={"name": st.one_of(anything, numbers), "Name": anything, "url": odd_urls}
        | {"URL": odd_urls, "body": values},
    ),
    emitted_at_ms=st.integers(-(2**63), 2**63 - 1),
)
@settings(max_examples=1500)
@example(data={"id": None, "name": "😀" * 400, "url": "https://a.b//c"}, emitted_at_ms=0)
def test_dust_accepts_every_document(data: dict[str, Any], emitted_at_ms: int) -> None:
    """Its URL parser is Node's; the connector's is another one of the same standard."""
    made = document_of(USERS, data, emitted_at_ms)
    store = DustStore(Options())
    (source,) = store.options.data_sources
    body = validate_body(json.loads(json.dumps(made.payload())))
    store.upsert(source, ApiKey(source.workspace_id), made.id, body)
    assert list(store.documents[source]) == [made.id]


# Input

SECRET = "kaleidoscope"
RECORD = (
    '{"type":"RECORD","record":{"stream":"users","namespace":null,"emitted_at":1736365559000,'
    f'"data":{{"id":1,"note":"{SECRET} \\u00e9 é","tags":["{SECRET}",1.50,null]}}}}}}'
).encode()
STATE = f'{{"type":"STATE","state":{{"data":{{"cursor":"{SECRET}"}}}},"id":1}}'.encode()


@st.composite
def mutated_lines(draw: st.DrawFn) -> bytes:
    """Return a RECORD or STATE line with some bytes dropped, replaced or added."""
    line = bytearray(draw(st.sampled_from([RECORD, STATE])))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(line)))
        end = min(len(line), start + draw(st.integers(0, 6)))
        odd = st.sampled_from([b'"', b"\\", b"{", b"}", b"NaN", b"\x00", b"\xff", b"\xed\xa0\x80"])
        line[start:end] = draw(st.one_of(st.just(b""), odd, st.binary(max_size=3)))
    return bytes(line)


@given(
    st.lists(
        st.one_of(
            mutated_lines(),
            st.binary(max_size=60),
            st.one_of(st.integers(1, 500), st.integers(5000, 100_000)).map(
                lambda depth: RECORD.replace(b"1.50", b"[" * depth + b"]" * depth)
            ),
        ),
        max_size=4,
    )
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_input_is_read_correctly_or_refused_by_its_number(lines: list[bytes]) -> None:
    """An error names the line and quotes nothing of it."""
    lines = b"\n".join(lines).split(b"\n")
    messages: list[AirbyteMessage] = []
    try:
        messages.extend(read_messages(line + b"\n" for line in lines))
    except InputError as error:
        message = str(error.message)
        named = re.match(r"Line (\d+) of the input|The input contains no Airbyte message", message)
        assert named is not None
        number = int(named[1] or 1)
        assert 1 <= number <= len(lines)
        assert SECRET not in message
        lines = lines[: number - 1]
    for read in messages:
        if read.record is not None:
            data = read.record.data
            assert any(is_record_of(line, data) for line in lines)
        elif not isinstance(read, UnreadLine):
            assert isinstance(read, StateLine)
            assert any(read.line == line.rstrip(b"\r") for line in lines)


def is_record_of(line: bytes, data: dict[str, Any]) -> bool:
    """Return whether the standard library reads a record of exactly this data from the line."""
    try:
        return bool(parsed(line.decode("utf-8"))["record"]["data"] == data)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
