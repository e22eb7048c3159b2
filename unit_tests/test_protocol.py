from __future__ import annotations

import codecs
import errno
import io
import json
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteRecordMessage,
    AirbyteStateType,
    Status,
    StreamDescriptor,
    TraceType,
    Type,
)

from destination_dust.errors import InputError
from destination_dust.exact_json import MAX_NESTING, Number
from destination_dust.protocol import (
    StateLine,
    UnreadLine,
    read_messages,
    stdin_lines,
    write_message,
)

BOM = b"\xef\xbb\xbf"
RECORD = b'{"type":"RECORD","record":{"stream":"users","data":{"id":1},"emitted_at":5}}'
STATE = b'{"type":"STATE","state":{"type":"STREAM"},"id":1}'


class Pipe(io.BytesIO):
    """A stdout that remembers what is asked of it, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def write(self, data: Any, /) -> int:
        self.calls.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        self.calls.append("flush")


def read(text: bytes) -> list[AirbyteMessage]:
    """Return the messages in the bytes of a whole stdin."""
    return list(read_messages(io.BytesIO(text)))


def types(text: bytes) -> list[str]:
    """Return the types of the messages, with UNREAD for each that could not be read."""
    return [
        "UNREAD" if isinstance(message, UnreadLine) else message.type.value
        for message in read(text)
    ]


def written(message: AirbyteMessage) -> bytes:
    pipe = Pipe()
    write_message(message, pipe)
    return b"".join(call for call in pipe.calls if call != "flush")


def with_record(**fields: Any) -> bytes:
    """Return a RECORD line in which these fields are others, or absent when they are `...`."""
    record = {"stream": "users", "data": {"x": "hunter2"}, "emitted_at": 5, **fields}
    record = {name: value for name, value in record.items() if value is not ...}
    return orjson.dumps({"type": "RECORD", "record": record})


# Records


def test_a_record_is_read_with_its_stream_namespace_and_time() -> None:
    line = with_record(
        namespace="eu", data={"id": "a", "b": [True, None]}, emitted_at=1736365559000
    )

    assert read(line) == [
        AirbyteMessage(
            type=Type.RECORD,
            record=AirbyteRecordMessage(
                stream="users",
                namespace="eu",
                data={"id": "a", "b": [True, None]},
                emitted_at=1736365559000,
            ),
        )
    ]


@pytest.mark.parametrize("namespace", [None, ...], ids=["null", "absent"])
def test_a_record_may_have_no_namespace(namespace: Any) -> None:
    (message,) = read(with_record(namespace=namespace))

    assert message.record is not None
    assert message.record.namespace is None


def test_the_data_of_a_record_keeps_every_digit_and_character() -> None:
    data = rb'{"n":18446744073709551616,"d":1.10,"s":"\ud800 \u00e9","deep":' + b"[" * 400
    line = b'{"type":"RECORD","record":{"stream":"s","data":' + data + b"]" * 400 + b"},"

    (message,) = read(line + b'"emitted_at":1}}')

    assert message.record is not None
    assert message.record.data["n"] == Number("18446744073709551616")
    assert message.record.data["d"] == Number("1.10")
    assert message.record.data["s"] == "\ud800 é"


@pytest.mark.parametrize(
    "emitted_at", [0, -1, 2**63 - 1, -(2**63)], ids=["zero", "negative", "largest", "least"]
)
def test_emitted_at_may_be_any_integer_of_64_bits(emitted_at: int) -> None:
    (message,) = read(with_record(emitted_at=emitted_at))

    assert message.record is not None
    assert message.record.emitted_at == emitted_at


def test_unknown_fields_and_meta_values_of_a_record_are_ignored() -> None:
    meta = {"changes": [{"field": "x", "change": "OF_TOMORROW", "reason": "NEW"}], "odd": 1}

    (message,) = read(with_record(meta=meta, tomorrow={"a": 1}, file_reference=5))

    assert message.record is not None
    assert message.record.data == {"x": "hunter2"}


# States


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(STATE, id="id"),
        pytest.param(
            b'{"state":{"sourceStats":{"recordCount":2.0},"partition_id":"p","stream":{'
            b'"stream_state":null,"stream_descriptor":{"name":"users","namespace":null}},'
            b'"checkpoint_id":7,"destinationStats":null,"type":"TOMORROW"},"type":"STATE","x":[]}',
            id="unknown-fields-and-nulls",
        ),
        pytest.param(b'{"type":"STATE","state":{"data":{"cursor":"a"}}}', id="legacy"),
        pytest.param(b'{"type":"STATE","state":{}}', id="empty"),
        pytest.param(
            b' { "state" :\t{ "b" : 1 , "a" : 2 } , "type" : "STATE" } \t', id="spacing-and-order"
        ),
        pytest.param(
            rb'{"type":"ST\u0041TE","state":{"c":"\u00e9\/\ud800"}}',
            id="escapes",
        ),
        pytest.param('{"type":"STATE","state":{"c":"é😀"}}'.encode(), id="non-ascii"),
        pytest.param(
            b'{"type":"STATE","state":{"c":123456789012345678901234567890,"d":1.10,"e":1E400}}',
            id="digits",
        ),
        pytest.param(b'{"type":"STATE","state":{"c":1,"c":2}}', id="repeated-key"),
    ],
)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""], ids=["lf", "crlf", "end-of-input"])
def test_a_state_goes_back_byte_for_byte(line: bytes, ending: bytes) -> None:
    (message,) = read(line + ending)

    assert message.type is Type.STATE
    assert written(message) == line + b"\n"


# Lines


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(RECORD + b"\n" + STATE + b"\n", id="lf"),
        pytest.param(RECORD + b"\r\n" + STATE + b"\r\n", id="crlf"),
        pytest.param(RECORD + b"\n" + STATE, id="last-line-without-newline"),
        pytest.param(b"\n\r\n \t\n" + RECORD + b"\n\n" + STATE + b"\n\n", id="blank-lines"),
        pytest.param(BOM + RECORD + b"\n" + STATE + b"\n", id="bom"),
        pytest.param(BOM + b"\r\n" + RECORD + b"\n" + STATE, id="bom-on-a-blank-line"),
        pytest.param(RECORD + b"\n" + BOM + STATE, id="bom-of-a-second-file"),
        pytest.param(b"  " + RECORD + b"  \n\t" + STATE + b"\n", id="white-space-around"),
    ],
)
def test_blank_lines_line_endings_and_a_bom_make_no_difference(
    text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert types(text) == ["RECORD", "STATE"]
    assert caplog.messages == []


def test_a_bom_is_no_part_of_a_state() -> None:
    (message,) = read(BOM + STATE)

    assert written(message) == STATE + b"\n"


def test_no_input_holds_no_messages(caplog: pytest.LogCaptureFixture) -> None:
    assert read(b"") == []
    assert caplog.messages == []


def test_messages_come_in_the_order_of_their_lines() -> None:
    lines = [STATE, RECORD, RECORD, STATE, RECORD]

    assert types(b"\n".join(lines)) == ["STATE", "RECORD", "RECORD", "STATE", "RECORD"]


def test_a_message_comes_before_the_next_line_is_asked_for() -> None:
    """A STATE gets out while stdin stays open."""

    def lines() -> Iterator[bytes]:
        yield STATE + b"\n"
        pytest.fail("the next line was asked for")

    assert next(read_messages(lines())).type is Type.STATE


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"type":"LOG","log":{"level":"INFO","message":"hello"}}', id="log"),
        pytest.param(b'{"type":"TRACE","trace":{"type":"ESTIMATE"}}', id="trace"),
        pytest.param(b'{"type":"CONTROL"}', id="control"),
        pytest.param(b'{"type":"OF_TOMORROW","tomorrow":[1]}', id="unknown"),
        pytest.param(b'{"type":"state","state":{}}', id="lower-case-state"),
        pytest.param(b'{"type":"","state":{}}', id="empty"),
    ],
)
def test_other_messages_are_ignored_in_silence(
    line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert types(line + b"\n" + STATE) == ["STATE"]
    assert caplog.messages == []


STRAY_LINES = {
    "text": b"hunter2 says hello",
    "array": b"[1, 2]",
    "string": b'"hunter2"',
    "number": b"5",
    "a-word-of-records": b"2026-01-01 INFO read 5 RECORD messages, type: RECORD, record: 7",
    "a-quoted-type": b'INFO ignored a message of "type": "RECORD"',
    "a-log-of-a-record": b'{"level": "INFO", "record": {"id": "hunter2"}}',
    "colour": b"\x1b[32mhunter2\x1b[0m",
    "nul": b"hunter2\x00",
    "nan": b"NaN",
    "null": b"null",
    "not-utf8": b"\xff\xfe\x00hunter2",
    "empty-object": b"{}",
    "object-without-type": b'{"hunter2": {"type": "RECORD"}}',
    "type-is-no-string": b'{"type": 5, "hunter2": 1}',
    "type-is-null": b'{"type": null}',
}


@pytest.mark.parametrize("line", STRAY_LINES.values(), ids=STRAY_LINES.keys())
def test_a_line_that_is_no_message_is_unread_with_a_warning(
    line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning gives the line's number and never its content."""
    assert types(STATE + b"\n\n" + line + b"\n" + RECORD) == ["STATE", "UNREAD", "RECORD"]
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        ("airbyte", "WARNING", "Line 3 of the input is not an Airbyte message: ignored.")
    ]


def test_many_lines_that_are_no_messages_give_one_warning_and_a_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    strays = b"".join(line + b"\n" for line in STRAY_LINES.values())
    unread = ["UNREAD"] * (100 * len(STRAY_LINES))

    assert types(RECORD + b"\n" + strays * 100 + STATE) == ["RECORD", *unread, "STATE"]
    assert caplog.messages == [
        "Line 2 of the input is not an Airbyte message: ignored.",
        f"{len(STRAY_LINES) * 100} lines of the input were not Airbyte messages: ignored.",
    ]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


NOT_JSON = "it is not JSON at character"
NOT_FINITE = "it holds NaN or Infinity, which are not JSON"
TOO_DEEP = "it nests deeper than 500 levels"
NO_RECORD = "it is a RECORD without a 'record' object"
NO_STREAM = "it is a RECORD without the name of a stream"
NO_NAMESPACE = "it is a RECORD with a namespace that is not a string"
NO_DATA = "it is a RECORD without a 'data' object"
NO_EMITTED_AT = "it is a RECORD without an integer 'emitted_at'"
NO_STATE = "it is a STATE without a 'state' object"
NOT_ALONE = "there is other text on the line beside a RECORD"
OTHER_CASE = "its type must be written RECORD, in capitals"
UTF_16 = "it looks like UTF-16, and messages are UTF-8"
UTF_32 = "it looks like UTF-32, and messages are UTF-8"


def with_data(data: bytes) -> bytes:
    return with_record(data={}).replace(b'"data":{}', b'"data":{"y":"hunter2","x":' + data + b"}")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(with_record()[:-1], NOT_JSON, id="one-byte-short"),
        pytest.param(with_record()[:50], NOT_JSON, id="truncated"),
        pytest.param(b"{", NOT_JSON, id="one-byte"),
        pytest.param(b"{hunter2}", NOT_JSON, id="no-json"),
        pytest.param(with_record() + b"hunter2", NOT_JSON, id="more-after-it"),
        pytest.param(with_record() + with_record(), NOT_JSON, id="two-on-a-line"),
        pytest.param(b'{"type":"LOG","log":"hunter2', NOT_JSON, id="truncated-log"),
        pytest.param(STATE[:-1], NOT_JSON, id="truncated-state"),
        pytest.param(with_data(b"NaN"), NOT_FINITE, id="nan"),
        pytest.param(with_data(b"Infinity"), NOT_FINITE, id="infinity"),
        pytest.param(with_data(b"-Infinity"), NOT_FINITE, id="minus-infinity"),
        pytest.param(
            b'{"type":"RECORD","x":"\xffhunter2"}', "byte 23 of it is not UTF-8", id="not-utf8"
        ),
        pytest.param(with_data(b'"\xed\xa0\x80"'), "is not UTF-8", id="surrogate-in-utf8"),
        pytest.param(with_data(b"[" * MAX_NESTING + b"]" * MAX_NESTING), TOO_DEEP, id="deep"),
        pytest.param(with_data(b"[" * 100_000 + b"]" * 100_000), TOO_DEEP, id="very-deep"),
        pytest.param(b'{"type":"RECORD","x":"hunter2"}', NO_RECORD, id="no-record"),
        pytest.param(b'{"type":"RECORD","record":["hunter2"]}', NO_RECORD, id="record-is-a-list"),
        pytest.param(with_record(stream=...), NO_STREAM, id="no-stream"),
        pytest.param(with_record(stream=None), NO_STREAM, id="stream-is-null"),
        pytest.param(with_record(stream=5), NO_STREAM, id="stream-is-a-number"),
        pytest.param(with_record(namespace=5), NO_NAMESPACE, id="namespace-is-a-number"),
        pytest.param(with_record(data=...), NO_DATA, id="no-data"),
        pytest.param(with_record(data=None), NO_DATA, id="data-is-null"),
        pytest.param(with_record(data=["hunter2"]), NO_DATA, id="data-is-a-list"),
        pytest.param(with_record(data="hunter2"), NO_DATA, id="data-is-a-string"),
        pytest.param(with_record(emitted_at=...), NO_EMITTED_AT, id="no-emitted-at"),
        pytest.param(with_record(emitted_at=None), NO_EMITTED_AT, id="emitted-at-is-null"),
        pytest.param(with_record(emitted_at="5"), NO_EMITTED_AT, id="emitted-at-is-a-string"),
        pytest.param(with_record(emitted_at=True), NO_EMITTED_AT, id="emitted-at-is-a-boolean"),
        pytest.param(with_record(emitted_at=5.5), NO_EMITTED_AT, id="emitted-at-is-a-decimal"),
        pytest.param(with_record(emitted_at=2**63), NO_EMITTED_AT, id="emitted-at-too-large"),
        pytest.param(
            with_record().replace(b":5}", b":" + b"9" * 5000 + b"}"),
            NO_EMITTED_AT,
            id="emitted-at-too-long",
        ),
        pytest.param(b'{"type":"STATE","x":"hunter2"}', NO_STATE, id="no-state"),
        pytest.param(b'{"type":"STATE","state":null}', NO_STATE, id="state-is-null"),
        pytest.param(b'{"type":"STATE","state":"hunter2"}', NO_STATE, id="state-is-a-string"),
        pytest.param(b'{"type":"STATE","state":["hunter2"]}', NO_STATE, id="state-is-a-list"),
        pytest.param(b"2026-01-01 INFO " + with_record(), NOT_ALONE, id="log-prefix"),
        pytest.param(b"INFO " + with_record()[:-9], NOT_ALONE, id="truncated-behind-a-prefix"),
        pytest.param(b"INFO %a" % json.loads(with_record()), NOT_ALONE, id="dict-of-python"),
        pytest.param(b"\x1b[32m" + with_record() + b"\x1b[0m", NOT_ALONE, id="colour"),
        pytest.param(
            b"\x1b[1;39m{" + with_record()[1:].replace(b":", b"\x1b[0m\x1b[39m:\x1b[0m "),
            NOT_ALONE,
            id="colours-between-tokens",
        ),
        pytest.param(b"\0\0\0\0" + with_record(), NOT_ALONE, id="nul-bytes"),
        pytest.param(b"\xc2\xa0" + with_record(), NOT_ALONE, id="no-break-space"),
        pytest.param(b"\x1e" + with_record(), NOT_ALONE, id="record-separator"),
        pytest.param(b"[" + with_record() + b"]", NOT_ALONE, id="array"),
        pytest.param(b'{"message":' + with_record() + b"}", NOT_ALONE, id="inside-an-object"),
        pytest.param(orjson.dumps(with_record().decode()), NOT_ALONE, id="json-in-a-string"),
        pytest.param(
            orjson.dumps({"message": orjson.dumps(with_record().decode()).decode()}),
            NOT_ALONE,
            id="json-in-a-string-in-a-string",
        ),
        pytest.param(
            b"INFO " + with_record().replace(b":", b" : ").replace(b"RECORD", b"record"),
            NOT_ALONE,
            id="lower-case-behind-a-prefix",
        ),
        pytest.param(with_record().replace(b"RECORD", b"record"), OTHER_CASE, id="lower-case"),
        pytest.param(with_record().replace(b"RECORD", b" Record "), OTHER_CASE, id="white space"),
        pytest.param(with_record().decode().encode("utf-16-le"), UTF_16, id="utf-16-le"),
        pytest.param(with_record().decode().encode("utf-16-be"), UTF_16, id="utf-16-be"),
        pytest.param(with_record().decode().encode("utf-16"), UTF_16, id="utf-16-with-bom"),
        pytest.param(with_record().decode().encode("utf-32-le"), UTF_32, id="utf-32-le"),
        pytest.param(with_record().decode().encode("utf-32-be"), UTF_32, id="utf-32-be"),
        pytest.param(with_record().decode().encode("utf-32"), UTF_32, id="utf-32-with-bom"),
    ],
)
@pytest.mark.parametrize("rest", [b"\n" + STATE, b""], ids=["in-the-middle", "at-the-end"])
def test_a_malformed_message_stops_the_sync(
    line: bytes, reason: str, rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What came before it is handed on; the error gives the line's number, never its content."""
    messages = read_messages(io.BytesIO(RECORD + b"\n\n" + line + rest))

    assert next(messages).type is Type.RECORD
    with pytest.raises(InputError) as stopped:
        next(messages)

    error = stopped.value
    assert str(error).startswith("Line 3 of the input is a malformed message: ")
    assert reason in str(error)
    assert str(error).endswith("so that no record is lost: check the source that wrote it.")
    assert error.failure_type.value == "system_error"
    told = [*traceback.format_exception(error), repr(error.__cause__)]
    assert "hunter2" not in "".join(told) + repr(error.as_airbyte_message())
    assert caplog.messages == []


def as_file(encoding: str) -> bytes:
    """Return a whole input of other messages than RECORDs, with CRLF, in an encoding."""
    lines = ['{"type":"STATE","state":{"data":{"x":"hunter2"}}}', "", '{"type":"LOG"}', ""]
    return "\r\n".join(lines).encode(encoding)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            b"\n" + b"\n\n".join(STRAY_LINES.values()),
            f"Lines that are not blank: {len(STRAY_LINES)}. Check",
            id="noise",
        ),
        pytest.param(b"hunter2", "Lines that are not blank: 1. Check", id="one-line"),
        pytest.param(
            as_file("utf-16-be"),
            "Lines that are not blank: 3. They look like UTF-16, and messages are UTF-8. Check",
            id="utf-16-be",
        ),
        pytest.param(
            codecs.BOM_UTF16_LE + as_file("utf-16-le"),
            "They look like UTF-16, and messages are UTF-8.",
            id="utf-16-le-with-bom",
        ),
        pytest.param(
            codecs.BOM_UTF32_LE + as_file("utf-32-le"),
            "They look like UTF-32, and messages are UTF-8.",
            id="utf-32-le-with-bom",
        ),
        pytest.param(
            "\r\n".encode("utf-16-be") + as_file("utf-16-be"),
            "They look like UTF-16, and messages are UTF-8.",
            id="utf-16-be-with-a-blank-line-first",
        ),
    ],
)
def test_an_input_of_lines_without_one_message_fails_the_sync(text: bytes, said: str) -> None:
    """It is in another encoding, or another program's output: its records would vanish."""
    with pytest.raises(InputError) as failed:
        read(text)

    assert str(failed.value).startswith("The input holds no Airbyte message. ")
    assert said in str(failed.value)
    assert str(failed.value).endswith("Check the source that wrote it.")
    assert "hunter2" not in repr(failed.value.as_airbyte_message())


@pytest.mark.parametrize(
    ("line", "messages"),
    [(RECORD, ["RECORD"]), (STATE, ["STATE"]), (b'{"type":"LOG"}', []), (b'{"type":"NEW"}', [])],
    ids=["record", "state", "log", "unknown"],
)
def test_one_message_of_any_type_among_noise_is_enough(line: bytes, messages: list[str]) -> None:
    assert types(b"hunter2\n" + line + b"\nhunter2") == ["UNREAD", *messages, "UNREAD"]


def test_an_input_of_blank_lines_holds_no_messages(caplog: pytest.LogCaptureFixture) -> None:
    assert read(BOM + b"\r\n \t\n\n") == []
    assert caplog.messages == []


def test_an_input_that_cannot_be_read_fails_the_sync() -> None:
    def lines() -> Iterator[bytes]:
        yield STATE + b"\n"
        raise OSError(errno.EBADF, "Bad file descriptor")

    messages = read_messages(lines())

    assert next(messages).type is Type.STATE
    with pytest.raises(InputError, match=r"^Could not read stdin: Bad file descriptor\. Check "):
        next(messages)


# What tells that a stream is complete


@pytest.mark.parametrize(
    ("stream_state", "has_content"),
    [('"stream_state":{"a":1}', True), ('"stream_state":{}', True), ('"stream_state":null', False)],
)
def test_of_a_streams_own_state_it_is_known_whose_it_is_and_whether_it_has_content(
    stream_state: str, has_content: bool
) -> None:
    line = (
        '{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":'
        f'{{"name":"users","namespace":"eu"}},{stream_state}}}}},"id":1e400}}'
    ).encode()
    (message,) = read(line)

    assert isinstance(message, StateLine)
    assert message.line == line
    assert message.state is not None
    assert message.state.type is AirbyteStateType.STREAM
    assert message.state.stream is not None
    assert message.state.stream.stream_descriptor == StreamDescriptor("users", "eu")
    assert (message.state.stream.stream_state is not None) is has_content
    if '"a"' in stream_state:
        assert vars(message.state.stream.stream_state) == {"a": 1}


def state_line(state: str) -> bytes:
    return f'{{"type":"STATE","state":{state}}}'.encode()


@pytest.mark.parametrize(
    "state",
    [
        '{"type":"GLOBAL","global":{"stream_states":[]}}',
        '{"type":"LEGACY","data":{}}',
        '{"type":"TOMORROW","sourceStats":7}',
        '{"type":["STREAM"],"stream":{"stream_descriptor":{"name":"a"}}}',
        '{"stream":{"stream_descriptor":{"name":"a"},"stream_state":null}}',
        '{"data":{}}',
    ],
)
def test_a_state_that_is_not_a_streams_own_says_nothing_of_a_stream(state: str) -> None:
    (message,) = read(state_line(state))
    assert isinstance(message, StateLine)
    assert message.state is None
    assert message.line == state_line(state)


@pytest.mark.parametrize(
    "state",
    [
        '{"type":"STREAM","stream":7}',
        '{"type":"STREAM","stream":{"stream_descriptor":{"name":"a"},"stream_state":7}}',
        '{"type":"STREAM","stream":{"stream_state":null}}',
        '{"type":"STREAM","stream":{"stream_descriptor":{"name":7},"stream_state":null}}',
        '{"type":"STREAM","stream":{"stream_descriptor":{"name":"a","namespace":7}}}',
        '{"type":"STREAM","sourceStats":{"recordCount":"many"}}',
        f'{{"type":"STREAM","sourceStats":{{"recordCount":{"9" * 5000}}}}}',
    ],
)
def test_a_streams_own_state_that_cannot_be_read_goes_back_and_is_unread(state: str) -> None:
    """It may be the one that says whether the stream is complete."""
    message, unread = read(state_line(state))
    assert isinstance(message, StateLine)
    assert message.state is None
    assert message.line == state_line(state)
    assert isinstance(unread, UnreadLine)


def test_a_state_with_statistics_is_read() -> None:
    """Their counts are whole numbers or not."""
    own = '"stream":{"stream_descriptor":{"name":"users"},"stream_state":{}}'
    for count in ("2", "2.0"):
        line = state_line(f'{{"type":"STREAM",{own},"sourceStats":{{"recordCount":{count}}}}}')
        (message,) = read(line)
        assert message.state is not None
        assert message.state.stream is not None


@pytest.mark.parametrize("value", ["STARTED", "RUNNING", "COMPLETE", "INCOMPLETE"])
@pytest.mark.parametrize("namespace", [None, "", "eu"])
def test_the_status_of_a_stream_is_read(value: str, namespace: str | None) -> None:
    status = {"stream_descriptor": {"name": "users", "namespace": namespace}, "status": value}
    trace = {"type": "STREAM_STATUS", "emitted_at": 1.5, "stream_status": status}
    (message,) = read(orjson.dumps({"type": "TRACE", "trace": trace}))

    assert message.type is Type.TRACE
    assert message.trace is not None
    assert message.trace.stream_status is not None
    assert message.trace.stream_status.status.value == value
    assert message.trace.stream_status.stream_descriptor == StreamDescriptor("users", namespace)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(
            rb'{"log":"{\u0022type\u0022:\u0022RECORD\u0022,\u0022record\u0022:{}}"}',
            id="escaped quotes",
        ),
        pytest.param(b'{"record":{"stream":"users","data":{}}}', id="no type"),
        pytest.param(b'{"type":["RECORD"],"record":{"stream":"users"}}', id="type in a list"),
    ],
)
def test_a_record_in_a_line_that_is_no_message_stops_the_sync(line: bytes) -> None:
    with pytest.raises(InputError, match=r"^Line 1 of the input is a malformed message: "):
        read(line)


def test_an_error_of_the_source_is_read() -> None:
    line = b'{"type":"TRACE","trace":{"type":"ERROR","emitted_at":5,"error":{"message":"No."}}}'
    (message,) = read(line)
    assert message.trace is not None
    assert message.trace.type is TraceType.ERROR


def test_an_estimate_of_the_source_is_read() -> None:
    estimate = '{"name":"users","type":"STREAM","row_estimate":7}'
    trace = f'{{"type":"ESTIMATE","emitted_at":5,"estimate":{estimate}}}'
    (message,) = read(f'{{"type":"TRACE","trace":{trace}}}'.encode())
    assert message.trace is not None
    assert message.trace.estimate is not None
    assert message.trace.estimate.row_estimate == 7


STATUS = '"type":"STREAM_STATUS","emitted_at":5,"stream_status":'


@pytest.mark.parametrize(
    "trace",
    [
        '"type":"ERROR"',
        '"type":"ERROR","emitted_at":5,"error":{"message":7}',
        STATUS + "7",
        STATUS + '{"status":"COMPLETE"}',
        STATUS + '{"stream_descriptor":{"name":"a"}}',
        STATUS + '{"stream_descriptor":{"name":"a"},"status":"X"}',
        STATUS + '{"stream_descriptor":[],"status":"COMPLETE"}',
    ],
)
def test_a_trace_of_an_end_that_cannot_be_read_is_unread(trace: str) -> None:
    """It may say that a stream, or the source, has failed."""
    assert types(f'{{"type":"TRACE","trace":{{{trace}}}}}'.encode()) == ["UNREAD"]


@pytest.mark.parametrize(
    "trace",
    ["null", "[]", '{"type":"ESTIMATE","estimate":7}', '{"type":"TOMORROW"}', '{"type":[]}'],
)
def test_any_other_trace_is_ignored(trace: str) -> None:
    assert read(f'{{"type":"TRACE","trace":{trace}}}'.encode()) == []


# The process's stdin


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A pipe in the place of stdin: the end to write to."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        yield write_end


def test_stdin_is_read_to_its_end(stdin: int) -> None:
    os.write(stdin, b"one\n\xfftwo")
    os.close(stdin)

    assert list(stdin_lines()) == [b"one\n", b"\xfftwo"]


def test_a_stdin_that_became_non_blocking_fails_the_sync(stdin: int) -> None:
    """To Python, "nothing yet" is its end, and the records that follow would be lost."""
    lines = stdin_lines()
    os.write(stdin, b"one\n")
    assert next(lines) == b"one\n"
    os.set_blocking(sys.stdin.fileno(), False)

    with pytest.raises(InputError, match=r"^Could not read stdin: another process made it non-bl"):
        next(lines)
    os.close(stdin)


def test_where_python_cannot_tell_whether_stdin_blocks_its_end_is_its_end(
    stdin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows, before Python 3.12."""
    monkeypatch.delattr(os, "get_blocking")
    os.write(stdin, b"one\n")
    os.close(stdin)

    assert list(stdin_lines()) == [b"one\n"]


def test_a_closed_stdin_fails_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(InputError, match=r"^Could not read stdin: it is closed\. Check "):
        next(stdin_lines())


# Writing


def status(message: str | None, status: Status = Status.FAILED) -> AirbyteMessage:
    return AirbyteMessage(
        type=Type.CONNECTION_STATUS,
        connectionStatus=AirbyteConnectionStatus(status=status, message=message),
    )


def test_a_message_is_written_as_one_whole_line_and_flushed_at_once() -> None:
    """A reader on the other end of the pipe sees it while stdin stays open."""
    (state,) = read(STATE)
    pipe = Pipe()

    write_message(state, pipe)
    write_message(state, pipe)

    assert pipe.calls == [STATE + b"\n", "flush", STATE + b"\n", "flush"]


@pytest.mark.parametrize("text", ["two\nlines", "é 😀", None], ids=["newline", "emoji", "null"])
def test_any_other_message_is_written_as_one_line_of_json(text: str | None) -> None:
    line = written(status(text))

    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert orjson.loads(line)["type"] == "CONNECTION_STATUS"
    assert orjson.loads(line)["connectionStatus"]["status"] == "FAILED"
    assert orjson.loads(line)["connectionStatus"].get("message") == text
