"""What must hold for any record, not only for those that somebody thought of."""

from __future__ import annotations

import json
import re
from typing import Any

from airbyte_cdk.models import AirbyteMessage, AirbyteRecordMessage, Type
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from destination_dust import exact_json
from destination_dust.catalog import configured_streams
from destination_dust.document import Document, to_document
from destination_dust.errors import InputError
from destination_dust.protocol import StateLine, UnreadLine, read_messages
from destination_dust.stream import Stream, StreamKey
from integration_tests.connector import Message, catalog, stream
from integration_tests.connector.in_process import configured
from integration_tests.local_dust import ApiKey, Options
from integration_tests.local_dust.store import DustStore, validate_body

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=300)
settings.load_profile("repeatable")

USERS = Stream("users", primary_key=(("id",),))

# Few letters, so that the same texts meet often; among them all that ids treat in a special way.
look_alikes = st.text(alphabet="ab-_ é.\ud800", max_size=4)
names = look_alikes.filter(lambda name: name.isprintable())
anything = st.text(st.characters(), max_size=20)

numbers = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: str(d).replace("E+", "E")),
    st.sampled_from(["-0", "1e400", "0.10", "1E-7", "123456789012345678901234567890.10"]),
).map(exact_json.Number)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, anything),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(anything, inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.one_of(
    st.none(),
    look_alikes,
    st.sampled_from(["null", True, [], {"a": None}, {"a": ""}]),
    st.integers(-3, 30).map(str).map(exact_json.Number),
)


def streams_of(*streams: Message) -> dict[StreamKey, Stream]:
    """Return the streams of a catalog."""
    return configured_streams(configured(catalog(*streams)))


def document_of(of: Stream, data: dict[str, Any], emitted_at_ms: int = 1) -> Document:
    """Return the document of a record of a stream."""
    record = AirbyteRecordMessage(
        stream=of.name, namespace=of.namespace, data=data, emitted_at=emitted_at_ms
    )
    return to_document(of, record)


@st.composite
def syncs(draw: st.DrawFn) -> list[tuple[Any, Document]]:
    """Return what identifies each record of a sync, with the document it becomes."""
    keyed = draw(
        st.lists(
            st.tuples(names, st.sampled_from([None, "a", "b"]), st.integers(0, 2)),
            min_size=1,
            max_size=4,
            unique_by=lambda stream_: stream_[:2],
        )
    )
    streams = streams_of(
        *(
            stream(name, [["k", str(part)] for part in range(parts)], namespace=namespace)
            for name, namespace, parts in keyed
        )
    )
    records = draw(
        st.lists(
            st.tuples(
                st.sampled_from(keyed),
                st.fixed_dictionaries({}, optional={"0": keys, "1": keys}),
                keys,
            ),
            max_size=25,
        )
    )
    made = []
    for (name, namespace, parts), k, other in records:
        data = {"k": k, "other": other}
        identity = identity_of([k.get(str(part)) for part in range(parts)], data)
        made.append(((namespace, name, *identity), document_of(streams[namespace, name], data)))
    return made


def identity_of(key: list[Any], data: dict[str, Any]) -> list[Any]:
    """Return the values of the key as texts, or the data's text where all are null or missing."""
    if all(value is None for value in key):
        return [exact_json.dumps(data, sort_keys=True), "no key"]
    return [value if isinstance(value, str | None) else exact_json.dumps(value) for value in key]


@given(syncs())
def test_two_records_get_one_id_exactly_when_they_are_the_same(
    sync: list[tuple[Any, Document]],
) -> None:
    """The same record is the same stream and key, or without any part of a key the same data."""
    identities = {identity for identity, _ in sync}
    ids = {made_of.id for _, made_of in sync}
    assert len(identities) == len(ids) == len({(i, d.id) for i, d in sync})
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,255}", id_) for id_ in ids)


def parsed(text: str) -> Any:
    """Return JSON with each number as it is written."""
    return json.loads(text, parse_int=exact_json.Number, parse_float=exact_json.Number)


@given(st.dictionaries(anything, values, max_size=5))
def test_the_text_parses_back_to_the_record_digit_for_digit(data: dict[str, Any]) -> None:
    text = document_of(USERS, data).text
    text.encode("utf-8")
    # A pair of surrogates that came as two escapes is one character, here as in any JSON.
    assert parsed(text) == parsed(exact_json.dumps(data))
    assert parsed(text) == exact_json.loads(text)
    assert exact_json.dumps_indented(parsed(text)) == text


@given(st.dictionaries(anything, values, max_size=5))
@settings(max_examples=30)
def test_a_text_that_is_too_long_for_indentation_parses_back_as_well(data: dict[str, Any]) -> None:
    data["long"] = "x" * 1_000_000
    text = document_of(USERS, data).text
    assert "\n" not in text
    assert parsed(text) == exact_json.loads(text) == parsed(exact_json.dumps_indented(data))
    assert exact_json.dumps(parsed(text)) == text


@given(values)
def test_a_lone_surrogate_changes_no_other_text(value: Any) -> None:
    usual = exact_json.dumps_indented([value, "x"])
    other = exact_json.dumps_indented([value, "\ud800"])
    before, _, after = usual.rpartition('"x"')
    assert other == before + r'"\ud800"' + after


odd_urls = st.one_of(
    anything,
    st.from_regex(r"https?:[/\\]{0,3}[^ ]{0,12}", fullmatch=True),
    st.tuples(st.sampled_from(["http://", "https://", "HTTP:"]), anything).map("".join),
)


@given(
    data=st.fixed_dictionaries(
        {"id": keys},
        optional={"name": st.one_of(anything, numbers), "Name": anything, "url": odd_urls}
        | {"URL": odd_urls, "body": values},
    ),
    emitted_at_ms=st.integers(-(2**63), 2**63 - 1),
)
@settings(max_examples=1500)
@example(data={"id": None, "name": "😀" * 400, "url": "https://a.b//c"}, emitted_at_ms=0)
def test_dust_accepts_every_document(data: dict[str, Any], emitted_at_ms: int) -> None:
    """Its parser of URLs is that of Node; ours is another one of the same standard."""
    made = document_of(USERS, data, emitted_at_ms)
    store = DustStore(Options())
    (source,) = store.options.data_sources
    body = validate_body(json.loads(json.dumps(made.payload())))
    store.upsert(source, ApiKey(source.workspace_id), made.id, body)
    assert list(store.documents[source]) == [made.id]


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
            st.integers(1, 3000).map(lambda depth: RECORD.replace(b"1.50", b"[" * depth)),
            st.integers(1, 3000).map(
                lambda depth: RECORD.replace(b"1.50", b"[" * depth + b"]" * depth)
            ),
            st.integers(0, 200_000).map(lambda size: RECORD.replace(b"users", b"u" * size)),
        ),
        max_size=4,
    )
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_input_is_read_right_or_refused_by_its_number(lines: list[bytes]) -> None:
    """Read as JSON says, ignored, or an error that names the line and quotes nothing of it."""
    lines = b"\n".join(lines).split(b"\n")
    messages: list[AirbyteMessage] = []
    refusal: InputError | None = None
    try:
        messages.extend(read_messages(line + b"\n" for line in lines))
    except InputError as error:
        refusal = error
    if refusal is not None:
        message = str(refusal.message)
        named = re.match(r"Line (\d+) of the input|The input holds no Airbyte message", message)
        assert named is not None
        number = int(named[1] or 1)
        assert 1 <= number <= len(lines)
        assert SECRET not in message
        assert refusal.__cause__ is None
        lines = lines[: number - 1]
    for read in messages:
        if read.type is Type.RECORD:
            data = read.record.data  # type: ignore[union-attr]
            assert any(is_record_of(line, data) for line in lines)
        elif not isinstance(read, UnreadLine):
            assert isinstance(read, StateLine)
            assert any(read.line == line.rstrip(b"\r") for line in lines)


def is_record_of(line: bytes, data: dict[str, Any]) -> bool:
    """Return whether a line holds a record of exactly this data, by the standard library's word."""
    try:
        return bool(parsed(line.decode("utf-8"))["record"]["data"] == data)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
