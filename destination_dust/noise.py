"""What a line of the input that cannot be read as an Airbyte message may be hiding."""

from __future__ import annotations

import codecs
import re

# What a terminal takes for colours and the like, also in the form of one character (C1).
_TERMINAL_CODE_OR_NUL = re.compile(rb"(?:\x1b\[|\xc2\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]+[0-~]|\0")
# How some libraries write a quote within a JSON string.
_ESCAPED_QUOTE = re.compile(rb"\\u0022", re.IGNORECASE)

# In any quotes, also escaped ones, as in JSON within a JSON string or in what Python prints of a
# dict. Each pattern begins with a single quote, or long runs of quotes would take quadratic time.
_RECORD_TYPE = re.compile(rb"""["']type[\\"']+\s*:\s*[\\"']+RECORD[\\"']""", re.IGNORECASE)
_RECORD_FIELD = re.compile(rb"""["']record[\\"']+\s*:""", re.IGNORECASE)

# UTF-32 first: in little endian its BOM begins with that of UTF-16.
_BOMS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def holds_record(line: bytes) -> bool:
    """Tell whether there is a RECORD in the line, whatever stands before, around or between it.

    It takes both the type and the field 'record': logs may well mention one of them.
    """
    text = _ESCAPED_QUOTE.sub(b'"', _TERMINAL_CODE_OR_NUL.sub(b"", line))
    return bool(_RECORD_TYPE.search(text) and _RECORD_FIELD.search(text))


def foreign_encoding(line: bytes) -> str | None:
    """Return "UTF-16" or "UTF-32" when the line looks like it by a BOM or its NULs, else None."""
    for bom, encoding in _BOMS.items():
        if line.startswith(bom):
            return encoding
    # Names and punctuation are ASCII whatever the data is in: half of UTF-16 or more is NULs.
    if line.count(0) * 4 < len(line):
        return None
    return "UTF-32" if b"\0\0\0" in line else "UTF-16"
