"""What a line of the input that cannot be read as an Airbyte message may be hiding."""

from __future__ import annotations

import codecs
import re

_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
# What may stand between the characters of a record that is part of a JSON string, of a dict that
# Python printed, or of UTF-16.
_BETWEEN = b"\0\t \\"
_SINGLE_TO_DOUBLE_QUOTES = bytes.maketrans(b"'", b'"')

# UTF-32 first: in little endian its BOM begins with that of UTF-16.
_BOMS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def holds_record(line: bytes) -> bool:
    """Return whether there is a RECORD in the line, whatever stands before or around it.

    It takes both the type and the field 'record': logs may well mention one of them.
    """
    # .NET writes a quote within a JSON string so.
    text = _COLOUR.sub(b"", line).replace(rb"\u0022", b'"')
    # CSV doubles them.
    text = text.translate(_SINGLE_TO_DOUBLE_QUOTES, _BETWEEN).replace(b'""', b'"').upper()
    return b'"TYPE":"RECORD"' in text and b'"RECORD":' in text


def foreign_encoding(line: bytes) -> str | None:
    """Return "UTF-16" or "UTF-32" when the line looks like it by a BOM or its NULs, else None."""
    for bom, encoding in _BOMS.items():
        if line.startswith(bom):
            return encoding
    # Names and punctuation are ASCII whatever the data is in: half of UTF-16 or more is NULs.
    if line.count(0) * 4 < len(line):
        return None
    return "UTF-32" if b"\0\0\0" in line else "UTF-16"
