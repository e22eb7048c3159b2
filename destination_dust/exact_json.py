"""Reads and writes JSON without losing a digit.

The usual parsers turn long integers and decimals into doubles, which changes ids and amounts.
Here a number stays as it was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as it was written: `1.10` stays `1.10`, and `1e400` is not infinity."""

    literal: str


def loads(text: str) -> Any:
    r"""Return the value of a JSON text, with a `Number` for each number.

    Lone surrogates (`"\ud800"`) are kept. If a key is repeated, the last value counts.

    Raises ValueError when the text is not JSON (NaN and Infinity are not) or nests too deeply to be
    parsed. The message says where, and never quotes the text.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        # `from None`: the decoder's error holds the whole text.
        raise ValueError(f"it is not JSON at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def dumps(value: Any, *, sort_keys: bool = False) -> str:
    r"""Return a value, as `loads` returns it, as compact JSON.

    Each `Number` is written as it was read. Non-ASCII characters stay as they are. A lone surrogate
    becomes its `\udXXX` escape, so that the text can always be encoded as UTF-8. Raises
    RecursionError when the value nests too deeply to be written.
    """
    return _written(value, "", sort_keys)


def dumps_indented(value: Any) -> str:
    """Return a value as JSON like `dumps`, but indented by two spaces for each level."""
    return _written(value, "\n", sort_keys=False)


_MAX_PLAIN_CHARACTERS = 255
# An exponent of more digits stays as it was written.
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,1000}))?")


def with_plain_numbers(value: Any) -> Any:
    """Return a value, as `loads` returns it, with one form for all spellings of a number.

    That form has no exponent and no zeros that mean nothing: 7000 for `7E+3` and `7000.0`. Where it
    would have more than 255 characters, it is digits and exponent: `1e999999999`.
    """
    if isinstance(value, Number):
        return Number(_plain(value.literal))
    if isinstance(value, dict):
        return {name: with_plain_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_plain_numbers(item) for item in value]
    return value


def _plain(literal: str) -> str:
    # On the text alone: a double or a Decimal context rounds, and an int of this size may not fit
    # into memory.
    match = _NUMBER.fullmatch(literal)
    if match is None:
        return literal
    sign, whole, fraction, exponent_text = match.groups("")
    digits = (whole + fraction).lstrip("0")
    exponent = int(exponent_text or 0) - len(fraction) + len(digits)
    digits = digits.rstrip("0")
    exponent -= len(digits)
    if not digits:
        return "0"
    length = len(sign) + max(len(digits) + max(exponent, exponent < 0), 2 - exponent)
    if length > _MAX_PLAIN_CHARACTERS:
        return f"{sign}{digits}e{exponent}"
    if exponent >= 0:
        return sign + digits + "0" * exponent
    padded = digits.zfill(1 - exponent)
    return f"{sign}{padded[:exponent]}.{padded[exponent:]}"


def _refuse_constant(_name: str) -> None:
    raise ValueError("it holds NaN or Infinity, which are not JSON")


_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _written(value: Any, newline: str, sort_keys: bool) -> str:
    chunks: list[str] = []
    _write(value, chunks.append, newline, sort_keys)
    return "".join(chunks).encode("utf-8", "backslashreplace").decode("utf-8")


def _write(value: Any, write: Callable[[str], None], newline: str, sort_keys: bool) -> None:
    """Pass the value's JSON to `write`, piece by piece.

    `newline` is a line break with the indentation of the value, or empty for compact JSON.
    """
    if isinstance(value, Number):
        write(value.literal)
        return
    if not isinstance(value, (dict, list)) or not value:
        write(_ENCODER.encode(value))
        return

    items: Iterable[tuple[str, Any]]
    if isinstance(value, dict):
        colon = ": " if newline else ":"
        pairs = sorted(value.items()) if sort_keys else value.items()
        items = ((_ENCODER.encode(key) + colon, item) for key, item in pairs)
        opening, closing = "{}"
    else:
        items = (("", item) for item in value)
        opening, closing = "[]"
    inner = newline and newline + "  "
    separator = opening + inner
    for label, item in items:
        write(separator + label)
        _write(item, write, inner, sort_keys)
        separator = "," + inner
    write(newline + closing)
