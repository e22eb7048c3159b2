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
from airbyte_cdk.models import AirbyteMessage, AirbyteRecordMessage, Type

from destination_dust.errors import InputError
from destination_dust.exact_json import Number
from destination_dust.protocol import (
    StateLine,
    UnreadLine,
    read_messages,
    stdin_lines,
    write_message,
)

BOM = codecs.BOM_UTF8
RECORD = b'{"type":"RECORD","record":{"stream":"users","data":{"id":1},"emitted_at":5}}'
STATE = b'{"type":"STATE","state":{"type":"STREAM"},"id":1}'


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
    stdout = io.BytesIO()
    write_message(message, stdout)
    return stdout.getvalue()


def with_record(**fields: Any) -> bytes:
    """Return a RECORD line with these fields changed, or left out where they are `...`."""
    record = {"stream": "users", "data": {"x": "hunter2"}, "emitted_at": 5, **fields}
    record = {name: value for name, value in record.items() if value is not ...}
    return orjson.dumps({"type": "RECORD", "record": record})


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return the levels and messages of the log."""
    return [(record.levelname, record.getMessage()) for record in caplog.records]


# Records


def test_a_record_is_read_with_every_digit_and_character() -> None:
    line = (
        rb'{"type":"RECORD","record":{"stream":"users","namespace":"eu","emitted_at":5,'
        rb'"data":{"n":18446744073709551616,"d":1.10,"s":"\ud800 \u00e9","b":[true,null]},'
        rb'"meta":{"changes":[{"field":"x","change":"OF_TOMORROW"}]},"tomorrow":{"a":1}}}'
    )

    numbers = {"n": Number("18446744073709551616"), "d": Number("1.10")}
    data = {**numbers, "s": "\ud800 é", "b": [True, None]}
    record = AirbyteRecordMessage(stream="users", namespace="eu", data=data, emitted_at=5)

    assert read(line) == [AirbyteMessage(type=Type.RECORD, record=record)]


@pytest.mark.parametrize(
    ("field", "value"),
    [("namespace", None), ("emitted_at", 2**63 - 1), ("emitted_at", -(2**63))],
    ids=["no-namespace", "largest", "least"],
)
def test_a_record_may_lack_a_namespace_and_have_any_time_of_64_bits(field: str, value: Any) -> None:
    (message,) = read(with_record(**{field: value}))

    assert getattr(message.record, field) == value


@pytest.mark.parametrize("field", ["file", "file_reference"])
def test_records_with_files_give_one_warning_for_each_stream(
    field: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Older platforms send `file`, newer ones `file_reference`."""
    file = {"source_file_url": "/staging/hunter2.pdf"}
    lines = [with_record(stream=name, data={}, **{field: file}) for name in ("a", "a", "b")]

    assert types(b"\n".join([*lines, with_record(**{field: None})])) == ["RECORD"] * 4
    warning = "records with files: this destination stores the records' data, but no files."
    assert logged(caplog) == [("WARNING", f"Stream '{name}' has {warning}") for name in ("a", "b")]


# States


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(STATE, id="id"),
        pytest.param(
            b'{"state":{"sourceStats":{"recordCount":2.0},"partition_id":"p","stream":{'
            b'"stream_state":null,"stream_descriptor":{"name":"users","namespace":null}},'
            b'"checkpoint_id":7,"destinationStats":null,"type":"STREAM"},"type":"STATE","x":[]}',
            id="unknown-fields-and-nulls",
        ),
        pytest.param(b'{"type":"STATE","state":{}}', id="empty"),
        pytest.param(b' { "state" :\t{ "b" : 1 } , "type" : "STATE" } \t', id="spacing"),
        pytest.param(rb'{"type":"ST\u0041TE","state":{"c":"\u00e9\/\ud800"}}', id="escapes"),
        pytest.param('{"type":"STATE","state":{"c":"é😀","c":2}}'.encode(), id="repeated-key"),
        pytest.param(
            b'{"type":"STATE","state":{"data":{"c":123456789012345678901234567890,"d":1.10}}}',
            id="legacy-with-digits",
        ),
    ],
)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""], ids=["lf", "crlf", "end-of-input"])
def test_a_state_goes_back_byte_for_byte(line: bytes, ending: bytes) -> None:
    (message,) = read(line + ending)

    assert message.type is Type.STATE
    assert written(message) == line + b"\n"


@pytest.mark.parametrize(
    "state",
    [
        pytest.param('{"type":"TOMORROW"}', id="unknown-type"),
        pytest.param('{"type":"STREAM","stream":{"stream_state":null}}', id="no-descriptor"),
        pytest.param('{"type":"LEGACY","data":' + "9" * 5000 + "}", id="number-too-long"),
    ],
)
def test_a_state_that_the_cdk_cannot_read_is_acknowledged_and_unread(state: str) -> None:
    """It may be the one that says whether the stream is complete."""
    line = f'{{"type":"STATE","state":{state}}}'.encode()
    message, unread = read(line)

    assert isinstance(message, StateLine)
    assert message.state is None
    assert written(message) == line + b"\n"
    assert isinstance(unread, UnreadLine)


# Traces

STATUS = '"type":"STREAM_STATUS","emitted_at":5,"stream_status":'


@pytest.mark.parametrize(
    ("trace", "type_"),
    [
        (STATUS + '{"stream_descriptor":{"name":"users"},"status":"COMPLETE"}', "TRACE"),
        ('"type":"ERROR","emitted_at":5,"error":{"message":"No."}', "TRACE"),
        ('"type":"ERROR"', "UNREAD"),
        (STATUS + '{"status":"COMPLETE"}', "UNREAD"),
        (STATUS + '{"stream_descriptor":{"name":"a"},"status":"X"}', "UNREAD"),
    ],
    ids=["status", "error", "error-without-content", "status-without-stream", "unknown-status"],
)
def test_a_status_or_error_is_read_and_unread_where_the_cdk_cannot(trace: str, type_: str) -> None:
    """It may say that a stream, or the source, has failed."""
    assert types(f'{{"type":"TRACE","trace":{{{trace}}}}}'.encode()) == [type_]


# Lines


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\n\r\n \t\n" + RECORD + b"\r\n\n" + STATE + b"\n\n", id="blank-lines"),
        pytest.param(BOM + b"\r\n" + RECORD + b"\n" + STATE, id="bom-on-a-blank-line"),
        pytest.param(RECORD + b"\n" + BOM + STATE, id="bom-of-a-second-file"),
        pytest.param(b" \t" + RECORD + b"  \n" + STATE, id="white-space-around"),
    ],
)
def test_blank_lines_line_endings_and_a_bom_make_no_difference(
    text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(text) == [*read(RECORD), *read(STATE)]
    assert logged(caplog) == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"type":"LOG","log":{"level":"INFO","message":"hello"}}', id="log"),
        pytest.param(b'{"type":"OF_TOMORROW","tomorrow":[1]}', id="unknown"),
        pytest.param(b'{"type":"state","state":{}}', id="lower-case-state"),
        pytest.param(b'{"type":"TRACE","trace":null}', id="empty-trace"),
        pytest.param(b'{"type":"TRACE","trace":{"type":"ESTIMATE","estimate":7}}', id="estimate"),
        pytest.param(b'{"type":"TRACE","trace":{"type":[]}}', id="trace-of-no-type"),
    ],
)
def test_other_messages_are_ignored_without_a_warning(
    line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert types(line + b"\n" + STATE) == ["STATE"]
    assert logged(caplog) == []


STRAY_LINES = {
    "text": b"hunter2 says hello",
    "array": b"[1, 2]",
    "a-log-of-a-record": b'{"level": "INFO", "record": {"id": "hunter2"}}',
    "another-type": with_record().replace(b"RECORD", b"RECORDS").replace(b"{", b"INFO {", 1),
    "another-field": with_record().replace(b'"record"', b'"records"').replace(b"{", b"INFO {", 1),
    "not-utf8": b"\xff\xfe\x00hunter2",
    "object-without-type": b'{"hunter2": {"type": "RECORD"}}',
    "type-is-a-number": b'{"type": 5, "hunter2": 1}',
}


@pytest.mark.parametrize("line", STRAY_LINES.values(), ids=STRAY_LINES.keys())
def test_a_line_that_is_not_a_message_is_unread_with_a_warning(
    line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning gives the line's number and never its content."""
    assert types(STATE + b"\n\n" + line + b"\n" + RECORD) == ["STATE", "UNREAD", "RECORD"]
    assert logged(caplog) == [
        ("WARNING", "Line 3 of the input is not an Airbyte message: ignored.")
    ]


def test_many_lines_that_are_not_messages_give_one_warning_and_a_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    read_as = types(RECORD + b"\nhunter2" * 1600 + b"\n" + STATE)

    assert read_as == ["RECORD", *["UNREAD"] * 1600, "STATE"]
    assert logged(caplog) == [
        ("WARNING", "Line 2 of the input is not an Airbyte message: ignored."),
        ("WARNING", "1600 lines of the input were not Airbyte messages: ignored."),
    ]


NO_EMITTED_AT = "it is a RECORD without an integer 'emitted_at'"
OTHER_TEXT = "the line contains other text besides a RECORD"
UTF_16 = "it looks like UTF-16, but messages must be UTF-8"
IN_CAPITALS = "its type must be written RECORD, in capitals"
IN_A_STRING = orjson.dumps({"message": orjson.dumps(with_record().decode()).decode()})
MALFORMED = {
    "truncated": (with_record()[:-1], "it is not JSON at character "),
    "not-utf8": (b'{"type":"RECORD","x":"\xffhunter2"}', "byte 23 of it is not UTF-8"),
    "no-type": (b'{"record":{"stream":"users"}}', "it is a RECORD without a type"),
    "record": (b'{"type":"RECORD","record":["a"]}', "it is a RECORD without a 'record' object"),
    "no-stream": (with_record(stream=...), "it is a RECORD without the name of a stream"),
    "namespace": (with_record(namespace=5), "it is a RECORD with a namespace that is not a string"),
    "data": (with_record(data=["hunter2"]), "it is a RECORD without a 'data' object"),
    "no-emitted-at": (with_record(emitted_at=...), NO_EMITTED_AT),
    "decimal-emitted-at": (with_record(emitted_at=5.5), NO_EMITTED_AT),
    "emitted-at-too-large": (with_record(emitted_at=2**63), NO_EMITTED_AT),
    "state": (b'{"type":"STATE","state":["hunter2"]}', "it is a STATE without a 'state' object"),
    "truncated-after-a-prefix": (b"INFO " + with_record()[:-9], OTHER_TEXT),
    "lower-case-last": (b'INFO {"record": {}, "type" :\t"record"}', OTHER_TEXT),
    "single-quotes": (b"INFO %a" % json.loads(with_record()), OTHER_TEXT),
    "nul-bytes": (b"\0\0\0\0" + with_record(), OTHER_TEXT),
    "inside-an-object": (b'{"message":' + with_record() + b"}", OTHER_TEXT),
    "json-in-a-string-in-a-string": (IN_A_STRING, OTHER_TEXT),
    "lower-case-and-space": (with_record().replace(b"RECORD", b" Record "), IN_CAPITALS),
    "utf-16-le": (with_record().decode().encode("utf-16-le"), UTF_16),
    "utf-16-be": (with_record().decode().encode("utf-16-be"), UTF_16),
}


@pytest.mark.parametrize(("line", "reason"), MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("rest", [b"\n" + STATE, b""], ids=["in-the-middle", "at-the-end"])
def test_a_malformed_message_fails_the_sync(
    line: bytes, reason: str, rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What came before it is yielded; the error gives the line's number, never its content."""
    messages = read_messages(io.BytesIO(RECORD + b"\n\n" + line + rest))

    assert next(messages).type is Type.RECORD
    with pytest.raises(InputError) as failed:
        next(messages)

    start, _, end = str(failed.value).partition(reason)
    assert start == "Line 3 of the input is a malformed message: "
    assert end.lstrip("0123456789") == (
        ". The sync stops here, so that no record is lost: check the source that wrote it."
    )
    assert failed.value.failure_type.value == "system_error"
    assert "hunter2" not in "".join(traceback.format_exception(failed.value))
    assert logged(caplog) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"\nhunter2\n\n\nhunter2", "2 non-blank lines)"),
        (b"hunter2", "1 non-blank line)"),
        ("{}\r\n".encode("utf-16"), f"2 non-blank lines). The input{UTF_16[2:]}"),
        ("\r\n{}".encode("utf-16-be"), f"2 non-blank lines). The input{UTF_16[2:]}"),
    ],
    ids=["text", "one-line", "le-with-bom", "be-with-a-blank-line-first"],
)
def test_an_input_of_lines_without_one_message_fails_the_sync(text: bytes, lines: str) -> None:
    """It has another encoding, or is another program's output: its records would be lost."""
    with pytest.raises(InputError) as failed:
        read(text)

    assert str(failed.value) == (
        f"The input contains no Airbyte message ({lines}. Check the source that wrote it."
    )


def test_one_message_of_any_type_among_other_lines_is_enough() -> None:
    assert types(b'hunter2\n{"type":"NEW"}\nhunter2') == ["UNREAD", "UNREAD"]


@pytest.mark.parametrize("text", [b"", BOM + b"\r\n \t\n\n"], ids=["nothing", "blank-lines"])
def test_an_empty_input_is_logged(text: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    assert read(text) == []
    assert logged(caplog) == [
        ("INFO", "The input contained no messages. (docker run passes stdin on only with -i.)")
    ]


def test_an_input_that_cannot_be_read_fails_the_sync() -> None:
    def lines() -> Iterator[bytes]:
        yield STATE + b"\n"
        raise OSError(errno.EIO, "Input/output error")

    messages = read_messages(lines())

    assert next(messages).type is Type.STATE
    with pytest.raises(InputError, match=r"^Could not read stdin: Input/output error\. "):
        next(messages)


def test_a_stdin_that_became_non_blocking_fails_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python takes "no data yet" for its end, and the records that follow would be lost."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, encoding="utf-8") as stdin, os.fdopen(write_end, "wb", 0) as writer:
        monkeypatch.setattr(sys, "stdin", stdin)
        lines = stdin_lines()
        writer.write(b"one\n")
        assert next(lines) == b"one\n"
        os.set_blocking(read_end, False)
        with pytest.raises(InputError) as failed:
            next(lines)

    assert str(failed.value) == (
        "Could not read stdin: another process made it non-blocking during the sync, so it may not "
        "have been read to the end. Check what the connector's stdin is connected to: it takes the "
        "messages of the source."
    )
