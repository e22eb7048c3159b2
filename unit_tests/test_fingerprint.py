"""Whether what Dust lists is what an upsert would leave: only then are the fingerprints equal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from destination_dust.document import Document
from destination_dust.fingerprint import (
    document_hash,
    fingerprint_of,
    stored_timestamp_ms,
    would_leave,
)
from destination_dust.stream import Stream
from unit_tests.builders import EMITTED_AT_MS, USERS, document_of

USER = Document(
    stream=USERS,
    key=("1",),
    id="users-1",
    title="T",
    text='{"a":1}',
    source_url="https://e.com/x",
    timestamp_ms=EMITTED_AT_MS,
)


def listed(document: Document = USER, **changed: Any) -> dict[str, Any]:
    """Return the document as Dust's list shows it, with another time than the record's."""
    timestamp_ms = changed.get("timestamp", EMITTED_AT_MS - 86_400_000)
    return {
        "document_id": document.id,
        "title": "T",
        "tags": ["airbyte:stream:users", "title:T"],
        "source_url": "https://e.com/x",
        "mime_type": "application/json",
        "parents": [document.id],
        "timestamp": timestamp_ms,
        "hash": document_hash(document, timestamp_ms),
        **changed,
    }


def is_known(document: Document, in_list: dict[str, Any]) -> bool:
    fingerprint = fingerprint_of(in_list)
    return fingerprint is not None and would_leave(document, fingerprint)


@pytest.mark.parametrize(
    ("changed", "hash_"),
    [
        ({}, "e6f7c9adb31750336dead2257c0d35bd19770724ae478b97e49f322bce4b9428"),
        (
            {"id": "users-5", "title": "users-5"},
            "a51f1b4d3995636e082534c393359d6f3f22119682f66b2438264bd9060e08db",
        ),
        (
            {"id": "users-5", "text": ""},
            "a3750ef9cab5f762a31c45a3a3c86cfd2b5d20c43d135649bdd1367957d6bc53",
        ),
        (
            {"id": "users-6", "timestamp_ms": 1736365559},
            "45e7c7b49e1644204b6474c256dbb8d1b1ac61a3696e38d9c771b5d3f250f068",
        ),
        (
            {"id": "users-7", "text": "a\0b"},
            "28670f95d8c2cfb065727f81624d6b2360e8a11c0464a80fa36d895eb8e4c866",
        ),
    ],
    ids=["whole", "title is the id", "no text", "seconds", "NUL"],
)
def test_the_hash_is_the_one_that_dust_answers_with(changed: dict[str, Any], hash_: str) -> None:
    """Hashes of the reference exchanges."""
    document = replace(USER, **changed)
    assert document.timestamp_ms is not None
    assert document_hash(document, stored_timestamp_ms(document.timestamp_ms)) == hash_


def test_a_document_that_differs_in_its_timestamp_only_is_known() -> None:
    assert is_known(USER, listed())
    assert is_known(replace(USER, timestamp_ms=None), listed())


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"hash": "0" * 64}, id="another text"),
        pytest.param({"timestamp": 5, "hash": document_hash(USER, 6)}, id="another timestamp"),
        pytest.param({"title": "U"}, id="renamed"),
        pytest.param({"tags": ["title:T", "airbyte:stream:users"]}, id="tags in another order"),
        pytest.param({"tags": ["airbyte:stream:users", "title:T", "a"]}, id="another tag"),
        pytest.param({"tags": ["airbyte:stream:userstitle:T"]}, id="tags that join to the same"),
        pytest.param({"source_url": None}, id="no link"),
        pytest.param({"source_url": "https://e.com/y"}, id="another link"),
        pytest.param({"mime_type": "text/plain"}, id="another type"),
        pytest.param({"parents": ["users-1", "folder"]}, id="moved into a folder"),
        pytest.param({"parents": None}, id="no parents"),
        pytest.param({"hash": None}, id="no hash"),
        pytest.param({"timestamp": None}, id="no timestamp"),
    ],
)
def test_a_document_that_differs_in_anything_else_is_not_known(changed: dict[str, Any]) -> None:
    in_list = listed()
    assert not is_known(USER, {**in_list, **changed})


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("id", "users-2"),
        ("title", "U"),
        ("text", '{"a":2}'),
        ("source_url", ""),
        ("stream", Stream("users", "eu")),
    ],
)
def test_a_record_that_changed_is_not_known(name: str, changed: object) -> None:
    assert not is_known(replace(USER, **{name: changed}), listed())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("title", "stored"),
    [
        (" Ann ", "Ann"),
        ("\ufeffAnn\u2003", "Ann"),
        ("\u00a0Ann\u3000", "Ann"),
        ("\ufeff", "users-1"),
        ("A b", "A b"),
    ],
)
def test_a_title_is_stored_trimmed_as_javascript_does(title: str, stored: str) -> None:
    document = replace(USER, title=title)
    tags = ["airbyte:stream:users", f"title:{stored}"]
    assert is_known(document, listed(document, title=stored, tags=tags))


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("HTTPS://E.com", "https://e.com/"),
        ("https://e.com:443/a b?q=ä", "https://e.com/a%20b?q=%C3%A4"),
        ("", None),
    ],
)
def test_a_link_is_stored_as_a_browser_writes_it(sent: str, stored: str | None) -> None:
    assert is_known(replace(USER, source_url=sent), listed(source_url=stored))


def test_a_timestamp_in_seconds_is_stored_in_milliseconds() -> None:
    assert stored_timestamp_ms(10**10 - 1) == 10**13 - 1000
    assert stored_timestamp_ms(10**10) == 10**10


def test_a_fingerprint_takes_24_bytes_whatever_the_document() -> None:
    long = document_of(USERS, {"id": "x" * 500, "name": "n" * 500})
    fingerprint = fingerprint_of({**listed(long), "timestamp": -1})
    assert fingerprint is not None
    assert len(fingerprint) == 24
