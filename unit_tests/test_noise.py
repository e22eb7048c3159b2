from __future__ import annotations

import gzip
import time

import pytest

from destination_dust.noise import foreign_encoding, holds_record

RECORD = b'{"type":"RECORD","record":{"stream":"users","data":{"id":1},"emitted_at":5}}'


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"INFO " + RECORD, id="prefix"),
        pytest.param(b"INFO " + RECORD[:-20], id="truncated"),
        pytest.param(b'x {"record": {}, "type" :\t"RECORD"}', id="type-last"),
        pytest.param(b"x {'type': 'RECORD', 'record': {}}", id="single-quotes"),
        pytest.param(b'"' + RECORD.replace(b'"', b'""') + b'"', id="doubled-quotes"),
        pytest.param(RECORD.replace(b'"', rb"\\\""), id="escaped-quotes"),
        pytest.param(RECORD.replace(b'"', rb"\u0022"), id="quotes-by-their-number"),
        pytest.param(RECORD.replace(b"RECORD", b"Record"), id="other-case"),
        pytest.param(RECORD.replace(b":", b"\x1b[0m:\x1b[1;39m "), id="colours"),
        pytest.param(RECORD.decode().encode("utf-16-be"), id="utf-16"),
    ],
)
def test_a_record_is_found_whatever_is_around_it(line: bytes) -> None:
    assert holds_record(line)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"INFO read 5 RECORD messages", id="word"),
        pytest.param(b"INFO type: RECORD, record: 7", id="no-quotes"),
        pytest.param(b'INFO a "RECORD", its "type" and "record"', id="quoted-words"),
        pytest.param(b'INFO ignored "type": "RECORD"', id="type-only"),
        pytest.param(b'{"level": "INFO", "record": {"id": 1}}', id="field-only"),
        pytest.param(RECORD.replace(b"RECORD", b"RECORDS"), id="another-type"),
        pytest.param(RECORD.replace(b"record", b"records"), id="another-field"),
        pytest.param(RECORD.replace(b"RECORD", b"STATE"), id="state"),
    ],
)
def test_a_line_that_only_mentions_records_holds_none(line: bytes) -> None:
    assert not holds_record(line)


@pytest.mark.parametrize("unit", [b"\\", b'"type', b'"', b"'", b"\x1b[", b"\x1b[0", b"\0", b" "])
def test_a_long_line_is_searched_in_linear_time(unit: bytes) -> None:
    """Also where each byte could begin what is searched for.

    The steps are those of C code, which nothing counts. It takes milliseconds of CPU, and quadratic
    time would be a thousand times as long.
    """
    line = b"x" + unit * 50_000
    began_s = time.process_time()

    assert not holds_record(line)
    assert time.process_time() - began_s < 1


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-16", "UTF-16"),
        ("utf-32-le", "UTF-32"),
        ("utf-32-be", "UTF-32"),
        ("utf-32", "UTF-32"),
    ],
)
@pytest.mark.parametrize("text", ['{"type":"LOG"}', '{"type":"LOG","x":"\u65e5\u672c"}', "\r"])
def test_utf_16_and_utf_32_are_told_by_their_bom_or_nuls(
    text: str, encoding: str, name: str
) -> None:
    assert foreign_encoding(text.encode(encoding)) == name


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(RECORD, id="ascii"),
        pytest.param("日本 é 😀".encode(), id="utf-8"),
        pytest.param(b"\0\0\0\0" + RECORD, id="a-few-nuls"),
        pytest.param(gzip.compress(RECORD * 9, mtime=0), id="gzip"),
    ],
)
def test_other_lines_look_like_no_other_encoding(line: bytes) -> None:
    assert foreign_encoding(line) is None
