"""Turns lines on stdin into Airbyte messages, and messages into lines on stdout, losing nothing.

The CDK's own reader drops lines that it cannot parse, rounds long numbers and loses unknown fields
of a STATE. Its writer leaves lines in a buffer.
"""

from __future__ import annotations

import codecs
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson
from airbyte_cdk.models import (
    AirbyteMessage,
    AirbyteMessageSerializer,
    AirbyteRecordMessage,
    TraceType,
    Type,
)

from destination_dust import exact_json
from destination_dust.errors import InputError, StdoutError

logger = logging.getLogger("airbyte")

_BOM = b"\xef\xbb\xbf"
_WHITE_SPACE = b" \t\r\n"
# What may stand between the characters of a record: escapes of a JSON string, NULs of UTF-16.
_BETWEEN = b"\0\t \\"
_SINGLE_TO_DOUBLE_QUOTES = bytes.maketrans(b"'", b'"')
_INT64 = range(-(2**63), 2**63)
_RECORD = Type.RECORD.value
_STATE = Type.STATE.value
_TRACE = Type.TRACE.value
_TRACES = (TraceType.STREAM_STATUS.value, TraceType.ERROR.value)


@dataclass
class StateLine(AirbyteMessage):
    """A STATE with its original line, which is written back unchanged, with all its fields."""

    line: bytes = b""


@dataclass
class UnreadLine(AirbyteMessage):
    """A line of the input that could not be read: it may have held anything."""


def stdin_lines() -> Iterator[bytes]:
    """Yield the lines of the process's stdin.

    Raises InputError when it is closed, or may not have been read to its end.
    """
    if sys.stdin is None:
        raise _unreadable_stdin("it is closed")
    if sys.stdin.isatty():
        print("Reading Airbyte messages from stdin. Ctrl+D ends the input.", file=sys.stderr)
    yield from sys.stdin.buffer
    if not _is_blocking(sys.stdin.fileno()):
        raise _unreadable_stdin(
            "another process made it non-blocking during the sync, so it may not have been read to "
            "the end"
        )


def read_messages(stdin: Iterable[bytes]) -> Iterator[AirbyteMessage]:
    """Yield the messages of a stream of lines that matter to a destination.

    They are RECORDs, whose numbers are exact, STATEs, and the TRACEs that say how a stream or the
    source ended. Other messages are ignored. Lines that are not messages are ignored, too, with a
    warning.

    Raises InputError for a malformed message, with its line's number and never its content; for an
    input that has lines and not one message; and for one that cannot be read.
    """
    streams_with_files: set[str] = set()
    for number, line, content in _messages(stdin):
        if content is None:
            yield UnreadLine(type=Type.LOG)
            continue
        type_ = content["type"]
        if type_ == _RECORD:
            record = _record(content.get("record"), number)
            if _has_file(content["record"]) and record.stream not in streams_with_files:
                streams_with_files.add(record.stream)
                logger.warning(
                    "Stream %r has records with files: this destination stores the records' data, "
                    "but no files.",
                    record.stream,
                )
            yield AirbyteMessage(type=Type.RECORD, record=record)
        elif type_ == _STATE:
            yield from _state(content.get("state"), line, number)
        elif type_ == _TRACE:
            yield from _trace(content.get("trace"), line)
        elif type_.strip().upper() == _RECORD:
            raise _malformed(number, "its type must be written RECORD, in capitals")


def write_message(message: AirbyteMessage, stdout: BinaryIO) -> None:
    """Write the message as one line that a reader on the other end of a pipe sees at once.

    Raises StdoutError.
    """
    with writing_to_stdout():
        stdout.write(_line(message) + b"\n")
        stdout.flush()


@contextmanager
def writing_to_stdout() -> Iterator[None]:
    """Raise StdoutError where stdout cannot be written to."""
    try:
        yield
    except OSError as error:
        raise StdoutError(error.strerror) from error


def _line(message: AirbyteMessage) -> bytes:
    if isinstance(message, StateLine):
        return message.line
    return orjson.dumps(AirbyteMessageSerializer.dump(message))


def _lines(stdin: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank, with its number and without BOM and line ending."""
    try:
        for number, line in enumerate(stdin, start=1):
            # Any line may begin with a BOM: concatenated files each bring their own.
            line = line.removeprefix(_BOM).rstrip(b"\r\n")
            if line.strip(_WHITE_SPACE):
                yield number, line
    except OSError as error:
        raise _unreadable_stdin(str(error.strerror)) from error


def _messages(stdin: Iterable[bytes]) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    """Yield each line that is not blank as its number, the line and the message's content.

    The content is None where the line is not a message.
    """
    ignored = 0
    is_utf16 = False
    has_message = False
    for number, line in _lines(stdin):
        content = _parse(line, number)
        yield number, line, content
        if content is not None:
            has_message = True
            continue
        ignored += 1
        if ignored == 1:
            is_utf16 = _is_utf16(line)
            logger.warning("Line %d of the input is not an Airbyte message: ignored.", number)
    if ignored and not has_message:
        lines = "1 non-blank line" if ignored == 1 else f"{ignored} non-blank lines"
        hint = f" The input {_LOOKS_LIKE_UTF16}." if is_utf16 else ""
        raise InputError(
            f"The input contains no Airbyte message ({lines}).{hint} Check the source that wrote "
            "it."
        )
    if not (ignored or has_message):
        logger.info("The input contained no messages. (docker run passes stdin on only with -i.)")
    if ignored > 1:
        logger.warning("%d lines of the input were not Airbyte messages: ignored.", ignored)


def _parse(line: bytes, number: int) -> dict[str, Any] | None:
    """Return the content of the message on the line, or None when there is none."""
    if line.lstrip(_WHITE_SPACE).startswith(b"{"):
        try:
            content: dict[str, Any] = exact_json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise _unreadable(line, number, f"byte {error.start + 1} of it is not UTF-8") from None
        except ValueError as error:
            raise _unreadable(line, number, str(error)) from None
        if isinstance(content.get("type"), str):
            return content
        if isinstance(content.get("record"), dict) and "stream" in content["record"]:
            raise _malformed(number, "it is a RECORD without a type")
    if _holds_record(line):
        raise _unreadable(line, number, "the line contains other text besides a RECORD")
    return None


def _record(record: Any, number: int) -> AirbyteRecordMessage:
    if not isinstance(record, dict):
        raise _malformed(number, "it is a RECORD without a 'record' object")
    if not isinstance(record.get("stream"), str):
        raise _malformed(number, "it is a RECORD without the name of a stream")
    namespace = record.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        raise _malformed(number, "it is a RECORD with a namespace that is not a string")
    if not isinstance(record.get("data"), dict):
        raise _malformed(number, "it is a RECORD without a 'data' object")
    emitted_at = _int64(record.get("emitted_at"))
    if emitted_at is None:
        raise _malformed(number, "it is a RECORD without an integer 'emitted_at'")
    return AirbyteRecordMessage(
        stream=record["stream"],
        namespace=namespace,
        data=record["data"],
        emitted_at=emitted_at,
    )


def _has_file(record: dict[str, Any]) -> bool:
    # Older platforms send `file`, newer ones `file_reference`.
    return bool(record.get("file") or record.get("file_reference"))


def _state(state: Any, line: bytes, number: int) -> Iterator[AirbyteMessage]:
    """Yield the STATE, and an UnreadLine where the CDK cannot read it."""
    if not isinstance(state, dict):
        raise _malformed(number, "it is a STATE without a 'state' object")
    message = _as_the_cdk_reads(line)
    yield StateLine(type=Type.STATE, state=message.state, line=line)
    if message.state is None:
        yield message


def _trace(trace: Any, line: bytes) -> Iterator[AirbyteMessage]:
    """Yield the TRACE if it says how a stream or the source ended."""
    if isinstance(trace, dict) and trace.get("type") in _TRACES:
        yield _as_the_cdk_reads(line)


def _as_the_cdk_reads(line: bytes) -> AirbyteMessage:
    """Return the message on the line, or an UnreadLine where the CDK cannot represent its content.

    Its serializer takes plain numbers, not the exact ones of a RECORD.
    """
    try:
        return AirbyteMessageSerializer.load(json.loads(line))
    except ValueError:
        return UnreadLine(type=Type.LOG)


def _int64(value: Any) -> int | None:
    if not isinstance(value, exact_json.Number):
        return None
    try:
        number = int(value.literal)
    except ValueError:
        return None
    return number if number in _INT64 else None


def _holds_record(line: bytes) -> bool:
    """Return whether the line contains a RECORD, whatever is before or around it.

    Both the type and the field 'record' have to be there, because logs may mention one of them.
    """
    text = line.translate(_SINGLE_TO_DOUBLE_QUOTES, _BETWEEN).upper()
    return b'"TYPE":"RECORD"' in text and b'"RECORD":' in text


def _is_utf16(line: bytes) -> bool:
    """Return whether the line has a BOM of UTF-16, or NULs: names and punctuation are ASCII."""
    has_bom = line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return has_bom or line.count(0) * 4 > len(line)


_LOOKS_LIKE_UTF16 = "looks like UTF-16, but messages must be UTF-8"


def _unreadable(line: bytes, number: int, reason: str) -> InputError:
    return _malformed(number, f"it {_LOOKS_LIKE_UTF16}" if _is_utf16(line) else reason)


def _malformed(number: int, reason: str) -> InputError:
    return InputError(
        f"Line {number} of the input is a malformed message: {reason}. The sync stops here, so "
        "that no record is lost: check the source that wrote it."
    )


def _unreadable_stdin(reason: str) -> InputError:
    return InputError(
        f"Could not read stdin: {reason}. Check what the connector's stdin is connected to: it "
        "takes the messages of the source."
    )


def _is_blocking(descriptor: int) -> bool:
    """Return whether reads block; otherwise Python takes "no data yet" for the end."""
    try:
        return os.get_blocking(descriptor)
    except (AttributeError, OSError):
        # Windows has it since Python 3.12, and for pipes only.
        return True
