"""The local Dust answers as Dust does, field for field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from integration_tests.exchanges import Answer, Exchange, read_exchanges
from integration_tests.local_dust import LocalDust, Options

EXCHANGES = list(read_exchanges())


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    """What one fresh local Dust answers to the requests of all exchanges, at their times."""
    now_ms = [0]
    with LocalDust(Options(now_ms=lambda: now_ms[0])) as dust:
        answers = {}
        for exchange in EXCHANGES:
            now_ms[0] = created_ms(exchange.answer.body)
            answers[exchange.name] = exchange.repeat(dust)
    return answers


def created_ms(body: Any) -> int:
    """Return when an upsert stored its document, 0 for any other answer."""
    document = body.get("document", {}) if isinstance(body, dict) else {}
    return document.get("created", 0)


def hashes(body: Any) -> Iterator[tuple[str | None, str]]:
    """Yield each hash in an answer, those of chunks too, with the id beside it."""
    if isinstance(body, dict):
        if "hash" in body:
            yield body.get("document_id"), body["hash"]
        body = list(body.values())
    if isinstance(body, list):
        for inner in body:
            yield from hashes(inner)


def shape(value: Any) -> Any:
    """Return the names of all fields with their JSON types; of a list, what its items look like."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        shapes = [shape(item) for item in value]
        return [one for at, one in enumerate(shapes) if one not in shapes[:at]]
    if isinstance(value, bool) or value is None:
        return type(value)
    return float if isinstance(value, int | float) else str


def codes(body: Any) -> tuple[Any, Any]:
    """Return the type of an error, and the code of the engine's."""
    error = body.get("error", {}) if isinstance(body, dict) else {}
    return error.get("type"), error.get("data_source_error", {}).get("code")


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_the_local_dust_answers_as_dust_does(
    answers: dict[str, Answer], exchange: Exchange
) -> None:
    """Status, content type, error and the shape of the body; ids, times and wordings may differ."""
    got, expected = answers[exchange.name], exchange.answer
    assert got.status == expected.status
    assert got.content_type == expected.content_type
    assert codes(got.body) == codes(expected.body)
    assert shape(got.body) == shape(expected.body)


# "list" asks for one of several documents with the same timestamp: either may come.
WITH_HASHES = [
    exchange
    for exchange in EXCHANGES
    if any(hashes(exchange.answer.body)) and exchange.name != "list"
]


@pytest.mark.parametrize("exchange", WITH_HASHES, ids=lambda exchange: exchange.name)
def test_the_local_dust_hashes_as_dust_does(answers: dict[str, Answer], exchange: Exchange) -> None:
    assert set(hashes(exchange.answer.body)) <= set(hashes(answers[exchange.name].body))


def test_the_exchanges_hold_each_kind_of_answer() -> None:
    assert len(EXCHANGES) == 45
    assert len(EXCHANGES) == len({exchange.name for exchange in EXCHANGES})
    assert {exchange.answer.status for exchange in EXCHANGES} == {200, 400, 401, 404, 500}
