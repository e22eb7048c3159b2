"""What a line of the input may contain that is not an Airbyte message."""

from __future__ import annotations

import codecs
import re

_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
# What may be between the characters of a record in a JSON string, in a dict that Python printed, or
# in UTF-16.
_BETWEEN = b"\0\t \\"
_SINGLE_TO_DOUBLE_QUOTES = bytes.maketrans(b"'", b'"')

# UTF-32 comes first, because its little-endian BOM begins with that of UTF-16.
_BOMS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def holds_record(line: bytes) -> bool:
    """Return whether the line contains a RECORD, whatever is before or around it.

    Both the type and the field 'record' have to be there, because logs may mention one of them.
    """
    # As .NET writes a quote within a JSON string.
    text = _COLOUR.sub(b"", line).replace(rb"\u0022", b'"')
    # CSV doubles quotes.
    text = text.translate(_SINGLE_TO_DOUBLE_QUOTES, _BETWEEN).replace(b'""', b'"').upper()
    return b'"TYPE":"RECORD"' in text and b'"RECORD":' in text


def foreign_encoding(line: bytes) -> str | None:
    """Return "UTF-16" or "UTF-32" if the line has its BOM or its NULs, else None."""
    for bom, encoding in _BOMS.items():
        if line.startswith(bom):
            return encoding
    # Names and punctuation are ASCII in any data, so many bytes of UTF-16 are NULs.
    if line.count(0) * 4 < len(line):
        return None
    return "UTF-32" if b"\0\0\0" in line else "UTF-16"
