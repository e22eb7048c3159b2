"""Reads and writes JSON without losing a digit.

The usual parsers turn long integers and decimals into doubles, which changes ids and amounts.
Here a number stays as it was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

MAX_NESTING = 500
"""How deep arrays and objects may nest: below what any supported Python can parse and write."""


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as it was written: `1.10` stays `1.10`, and `1e400` is not infinity."""

    literal: str


def loads(text: str) -> Any:
    r"""Return the value of a JSON text, with a `Number` for each number.

    Lone surrogates (`"\ud800"`) are kept. If a key is repeated, the last value counts.

    Raises ValueError when the text is not JSON (NaN and Infinity are not) or nests deeper than
    MAX_NESTING. The message says where, and never quotes the text.
    """
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        # `from None`: the decoder's error holds the whole text.
        raise ValueError(f"it is not JSON at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # Counting brackets is cheap, and enough for all but unusual texts.
    if text.count("[") + text.count("{") > MAX_NESTING and _nesting(value) > MAX_NESTING:
        raise ValueError(_TOO_DEEP)
    return value


def dumps(value: Any, *, sort_keys: bool = False) -> str:
    r"""Return a value, as `loads` returns it, as compact JSON.

    Each `Number` is written as it was read. Non-ASCII characters stay as they are. A lone surrogate
    becomes its `\udXXX` escape, so that the text can always be encoded as UTF-8.
    """
    return _written(value, "", sort_keys)


def dumps_indented(value: Any) -> str:
    """Return a value as JSON like `dumps`, but indented by two spaces for each level."""
    return _written(value, "\n", sort_keys=False)


_TOO_DEEP = f"it nests deeper than {MAX_NESTING} levels"


def _refuse_constant(_name: str) -> None:
    raise ValueError("it holds NaN or Infinity, which are not JSON")


_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _nesting(value: Any) -> int:
    depth = 0
    level = [value]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        level = [
            child for item in level for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


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
