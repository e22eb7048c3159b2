"""Lines on stdin to Airbyte messages, Airbyte messages to lines on stdout, nothing lost.

The CDK's own reader drops lines that it cannot parse, rounds long numbers and loses the fields of a
STATE that it does not know; its writer leaves lines in a buffer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson
from airbyte_cdk.models import (
    AirbyteMessage,
    AirbyteMessageSerializer,
    AirbyteRecordMessage,
    Type,
)
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from destination_dust import exact_json
from destination_dust.errors import InputError

logger = logging.getLogger("airbyte")

_BOM = b"\xef\xbb\xbf"
_WHITE_SPACE = b" \t\r\n"
_INT64 = range(-(2**63), 2**63)


@dataclass
class StateLine(AirbyteMessage):
    """A STATE as the line it came in: only so does it go back with all its fields."""

    line: bytes = b""


def read_messages(lines: Iterable[bytes]) -> Iterator[AirbyteMessage]:
    """Yield the RECORD and STATE messages of a stream of lines; the numbers in records are exact.

    Other messages are passed over, and so, with a warning, are lines that are no messages at all.

    Raises InputError, with the line's number and never its content, for a line that begins like a
    message and is none.
    """
    strays = 0
    for number, line in enumerate(lines, start=1):
        # A BOM may begin any line: where files were concatenated, each brought its own.
        line = line.removeprefix(_BOM).rstrip(b"\r\n")
        if not line.strip(_WHITE_SPACE):
            continue
        content = _parse(line, number)
        if content is None or not isinstance(content.get("type"), str):
            strays += 1
            if strays == 1:
                logger.warning("Line %d of the input is no Airbyte message: passed over.", number)
        elif content["type"] == Type.RECORD.value:
            yield AirbyteMessage(type=Type.RECORD, record=_record(content.get("record"), number))
        elif content["type"] == Type.STATE.value:
            if not isinstance(content.get("state"), dict):
                raise _input_error(number, "it is a STATE without a 'state' object")
            yield StateLine(type=Type.STATE, line=line)
    if strays > 1:
        logger.warning("%d lines of the input were no Airbyte messages: passed over.", strays)


def write_message(message: AirbyteMessage, stdout: BinaryIO) -> None:
    """Write the message as one line that a reader on the other end of a pipe sees at once."""
    stdout.write(_line(message) + b"\n")
    stdout.flush()


def _line(message: AirbyteMessage) -> bytes:
    if isinstance(message, StateLine):
        return message.line
    status = message.connectionStatus
    if status is not None and status.message:
        # A failed validation quotes what the user entered, and older CDKs leave the key in it.
        status.message = filter_secrets(status.message)
    return orjson.dumps(AirbyteMessageSerializer.dump(message))


def _parse(line: bytes, number: int) -> dict[str, Any] | None:
    """Return the object on the line, or None when the line does not begin like one."""
    if not line.lstrip(_WHITE_SPACE).startswith(b"{"):
        return None
    try:
        content: dict[str, Any] = exact_json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _input_error(number, f"byte {error.start + 1} of it is not UTF-8") from None
    except ValueError as error:
        raise _input_error(number, str(error)) from None
    return content


def _record(record: Any, number: int) -> AirbyteRecordMessage:
    if not isinstance(record, dict):
        raise _input_error(number, "it is a RECORD without a 'record' object")
    if not isinstance(record.get("stream"), str):
        raise _input_error(number, "it is a RECORD without the name of a stream")
    if not isinstance(record.get("namespace"), str | None):
        raise _input_error(number, "it is a RECORD with a namespace that is no string")
    if not isinstance(record.get("data"), dict):
        raise _input_error(number, "it is a RECORD without a 'data' object")
    emitted_at = _int64(record.get("emitted_at"))
    if emitted_at is None:
        raise _input_error(number, "it is a RECORD without an integer 'emitted_at'")
    return AirbyteRecordMessage(
        stream=record["stream"],
        # As in the catalog, an empty namespace is none.
        namespace=record.get("namespace") or None,
        data=record["data"],
        emitted_at=emitted_at,
    )


def _int64(value: Any) -> int | None:
    if not isinstance(value, exact_json.Number):
        return None
    try:
        number = int(value.literal)
    except ValueError:
        return None
    return number if number in _INT64 else None


def _input_error(number: int, reason: str) -> InputError:
    return InputError(
        f"Line {number} of the input begins like an Airbyte message, but {reason}. The sync stops "
        "here, so that no record is lost: check the source that wrote it."
    )
