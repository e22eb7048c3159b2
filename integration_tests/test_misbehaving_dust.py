"""A Dust that misbehaves: the sync goes on after a passing failure, and fails cleanly otherwise."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from airbyte_cdk.models import FailureType

from integration_tests.connector import USERS, state, users_with_states
from integration_tests.connector.in_process import sync
from integration_tests.local_dust import Fault, LocalDust, random_faults

LINES = users_with_states([1, 2, 3])
RECORDS = 150


def dusts(status: int, type_: str) -> Fault:
    """Return an error as Dust itself reports it."""
    body = {"error": {"type": type_, "message": "It said so."}}
    return Fault(status=status, body=json.dumps(body).encode())


def on_the_second_record(*faults: Fault | None) -> Iterator[Fault | None]:
    """Yield the faults after the unknown route and the first record."""
    return iter([None, None, *faults])


def requests_per_document(dust: LocalDust) -> Counter[str]:
    return Counter(request.path.rpartition("/")[2] for request in dust.requests[1:])


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=500, after_work=True), id="500 after the work"),
        pytest.param(Fault(status=502, body=b"<html>Bad gateway</html>"), id="502 HTML"),
        pytest.param(Fault(ending="reset"), id="reset before the work"),
        pytest.param(Fault(ending="reset", after_work=True), id="reset after the work"),
        pytest.param(Fault(ending="closed"), id="closed before the work"),
        pytest.param(Fault(ending="closed", after_work=True), id="closed after the work"),
        pytest.param(Fault(ending="truncated"), id="truncated"),
        pytest.param(Fault(status=200, body=b"<html>Sign in</html>"), id="200 HTML"),
        pytest.param(
            Fault(status=200, body=b'{"document":{"document_id":"users-9"}}'), id="200 another's"
        ),
    ],
)
def test_a_passing_fault_is_survived(dust: LocalDust, fault: Fault) -> None:
    """Three times in a row, and nothing is lost."""
    dust.faults = on_the_second_record(fault, fault, fault)
    done = sync(dust.config, USERS, LINES)
    assert (done.error, done.states) == (None, [state(1), state(2), state(3)])
    assert sorted(dust.documents) == ["users-1", "users-2", "users-3"]
    assert requests_per_document(dust) == {"users-1": 1, "users-2": 4, "users-3": 1}
    assert len(done.waits_s) >= 3


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=429, headers={"Retry-After": "7"}), id="Retry-After"),
        pytest.param(dusts(429, "rate_limit_error"), id="Dust's own"),
    ],
)
def test_a_rate_limit_is_waited_out(dust: LocalDust, fault: Fault) -> None:
    """Meanwhile, Dust's documents are listed once."""
    dust.faults = on_the_second_record(fault, None, fault, fault)
    done = sync(dust.config, USERS, LINES)
    assert (done.error, done.states) == (None, [state(1), state(2), state(3)])
    listed = {"documents?limit=2000": 1}
    assert requests_per_document(dust) == {"users-1": 1, "users-2": 4, **listed, "users-3": 1}


def test_a_dust_that_hangs_is_asked_again(dust: LocalDust) -> None:
    """On another connection: on the first one, the late response would be read as the next."""
    dust.faults = on_the_second_record(Fault(delay_s=5.0))
    done = sync(dust.config, USERS, LINES, read_timeout_s=0.5)
    assert done.error is None
    assert requests_per_document(dust) == {"users-1": 1, "users-2": 2, "users-3": 1}


def test_a_slow_answer_is_waited_for(dust: LocalDust) -> None:
    dust.faults = on_the_second_record(Fault(ending="trickled"))
    done = sync(dust.config, USERS, LINES)
    assert done.error is None
    assert requests_per_document(dust) == {"users-1": 1, "users-2": 1, "users-3": 1}


REDIRECT = {"Location": "https://login.example/"}


@pytest.mark.parametrize(
    ("fault", "failure_type", "said", "requests"),
    [
        (dusts(400, "invalid_request_error"), "system", "400 invalid_request_error", 1),
        (dusts(401, "invalid_api_key_error"), "config", "401 invalid_api_key_error", 1),
        (dusts(404, "data_source_not_found"), "config", "404 data_source_not_found", 1),
        (dusts(503, "service_unavailable"), "transient", "503 service_unavailable", 4),
        (Fault(status=302, headers=REDIRECT), "config", "(302) to https://login.example/", 1),
        (Fault(status=418), "system", "answered 418", 1),
        (Fault(status=200, body=b"<html>"), "transient", "200, but not as Dust does", 4),
        (Fault(ending="reset"), "transient", "broke", 4),
    ],
    ids=["400", "401", "404", "503", "302", "418", "200 HTML", "reset"],
)
def test_a_failure_that_lasts_ends_the_sync(
    dust: LocalDust, fault: Fault, failure_type: str, said: str, requests: int
) -> None:
    """No other request is sent, and no state follows."""
    dust.faults = itertools.chain([None, None], itertools.repeat(fault))
    done = sync(dust.config, USERS, LINES)
    assert done.states == [state(1)]
    assert requests_per_document(dust) == {"users-1": 1, "users-2": requests}
    assert done.error is not None
    error = done.error.as_airbyte_message().trace.error
    assert error.failure_type is FailureType(f"{failure_type}_error")
    assert error.stream_descriptor.name == "users"
    assert error.message.startswith("Could not upsert document 'users-2' of stream 'users': ")
    assert said in error.message


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_a_state_never_runs_ahead(dust: LocalDust, seed: int) -> None:
    """Success means that all is stored; every record before the last state is in any case."""
    dust.faults = random_faults(seed, share=0.1 + 0.05 * seed)
    done = sync(dust.config, USERS, users_with_states(range(RECORDS)))
    acknowledged = len(done.states)
    assert done.states == [state(id_) for id_ in range(acknowledged)]
    assert {f"users-{id_}" for id_ in range(acknowledged)} <= set(dust.documents)
    assert (done.error is None) is (acknowledged == RECORDS)
    if done.error is not None:
        assert len(dust.documents) <= acknowledged + 1
        assert re.search(rf"'users-{acknowledged}'", str(done.error.message))


def test_a_pause_longer_than_keep_alive_costs_no_retry() -> None:
    """The server closes an idle connection; the next upsert opens another."""

    def with_a_pause() -> Iterator[bytes]:
        yield from LINES[:4]
        time.sleep(0.5)
        yield from LINES[4:]

    with LocalDust(keepalive_s=0.1) as dust:
        done = sync(dust.config, USERS, with_a_pause())
        assert done.error is None
        assert done.waits_s == []
        assert requests_per_document(dust) == {"users-1": 1, "users-2": 1, "users-3": 1}
        assert len({request.connection for request in dust.requests}) >= 2
