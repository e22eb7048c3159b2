"""Servers that misbehave below what HTTP libraries expect: bytes on a socket, as a test says."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import FailureType, Status

from destination_dust import destination, transport
from destination_dust.destination import DestinationDust
from destination_dust.failures import Failure, Response
from destination_dust.transport import Transport
from integration_tests.connector import USERS, in_process, users_with_states
from integration_tests.local_dust import LocalDust

Serve = Callable[[socket.socket], None]

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}'


@contextmanager
def server(serve: Serve) -> Iterator[str]:
    """Yield the address of a server that treats each connection, after a request, in this way."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with connection:
                try:
                    while connection.recv(65536):
                        serve(connection)
                except OSError:
                    pass

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            # Closing alone does not wake the thread that accepts.
            listener.shutdown(socket.SHUT_RDWR)


def sends(data: bytes) -> Serve:
    return lambda connection: connection.sendall(data)


def trickles(data: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        for at in range(len(data)):
            connection.sendall(data[at : at + 1])
            time.sleep(0.05)

    return serve


def sends_and_closes(data: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    return serve


def exchange(serve: Serve, *, read_timeout_s: float = 10.0) -> Response | Failure:
    with server(serve) as base_url:
        return Transport(base_url, "sk-1").exchange("GET", "/a", read_timeout_s=read_timeout_s)


def json_of(outcome: Response | Failure) -> object:
    assert isinstance(outcome, Response), outcome
    return outcome.json


def said_by(outcome: Response | Failure) -> str:
    assert isinstance(outcome, Failure)
    assert outcome.is_retryable
    return outcome.said.partition(" ")[2]


def assert_broken(outcome: Response | Failure) -> None:
    assert isinstance(outcome, Failure)
    assert outcome.is_retryable
    assert outcome.said.startswith("the connection to 127.0.0.1:")
    assert outcome.said.endswith(" broke")


def test_interim_responses_are_skipped() -> None:
    with server(sends(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK)) as base_url:
        one = Transport(base_url, "sk-1")
        # The second one shows that nothing of the first is left on the connection.
        assert [json_of(one.exchange("GET", "/a")) for _ in range(2)] == [{"a": 1}] * 2


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"], ids=["at once", "midway"]
)
def test_a_silence_ends_at_the_read_timeout(data: bytes) -> None:
    outcome = exchange(sends(data), read_timeout_s=0.2)
    assert said_by(outcome) == "did not answer in time (timed out)"


def test_a_response_without_end_ends_at_the_size_limit() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 1024 * 1024)

    assert said_by(exchange(serve)) == "sent more than 64 MiB in one response"


@pytest.mark.parametrize("status", [200, 401, 503])
@pytest.mark.parametrize(
    "head",
    [
        pytest.param("Content-Length: 9", id="length"),
        pytest.param("Content-Length: 99999999999999999999", id="length beyond 64 bits"),
        pytest.param("Transfer-Encoding: chunked\r\n\r\n9", id="chunk"),
        pytest.param("Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFF", id="vast chunk"),
        pytest.param("Transfer-Encoding: chunked\r\n\r\nsoon", id="chunk without a length"),
    ],
)
def test_a_response_that_is_not_whole_is_a_retryable_failure(head: str, status: int) -> None:
    outcome = exchange(sends_and_closes(f"HTTP/1.1 {status} So\r\n{head}\r\n\r\n{{".encode()))
    assert_broken(outcome)


def test_what_a_few_bytes_grow_to_ends_at_the_size_limit() -> None:
    body = gzip.compress(b" " * 80 * 1024 * 1024)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    assert said_by(exchange(sends(head.encode() + body))) == "sent more than 64 MiB in one response"


def test_a_large_document_may_take_longer_to_send_than_to_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """urllib3 leaves the socket at the connection's timeout until the response is awaited."""
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT_S", 0.2)
    body = b"x" * 40_000_000

    def slowly(connection: socket.socket) -> None:
        time.sleep(0.5)
        left = len(body) - 70_000
        while left > 0:
            left -= len(connection.recv(1024 * 1024))
        connection.sendall(OK)

    with server(slowly) as base_url:
        outcome = Transport(base_url, "sk-1").exchange("POST", "/a", body)
    assert isinstance(outcome, Response)


def test_a_compressed_response_is_read_and_a_broken_one_named() -> None:
    def compressed(body: bytes) -> bytes:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    assert json_of(exchange(sends(compressed(gzip.compress(b'{"a":1}'))))) == {"a": 1}
    broken = exchange(sends(compressed(b"no gzip")))
    assert said_by(broken) == "sent a response that cannot be read as HTTP"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n", id="too many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", id="long header"),
    ],
)
def test_a_response_that_is_no_http_is_named(data: bytes) -> None:
    outcome = exchange(sends(data))
    assert said_by(outcome) == "sent a response that cannot be read as HTTP"
    assert isinstance(outcome, Failure)
    assert outcome.cause is None


UNREADABLE_REDIRECTS: list[Any] = [
    pytest.param("https://login.example/caf\xe9".encode("latin-1"), id="Latin-1"),
    pytest.param(b"https://[portal/login", id="no URL"),
]


def redirects(location: bytes) -> Serve:
    return sends(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")


@pytest.mark.parametrize("location", UNREADABLE_REDIRECTS)
def test_a_redirect_to_what_is_no_address_fails_a_check_in_words(location: bytes) -> None:
    with server(redirects(location)) as base_url:
        status = in_process.check({**LocalDust().config, "base_url": base_url})
    assert status.status is Status.FAILED
    assert status.message == (
        f"Could not list the data source's documents: {base_url.removeprefix('http://')} sent a "
        "response that cannot be read as HTTP. Check base_url, and the network and proxy settings "
        "of the machine this runs on."
    )


def test_a_redirect_that_only_some_versions_of_python_can_read_fails_a_check_in_words() -> None:
    with server(redirects(b"https://[portal]/login")) as base_url:
        status = in_process.check({**LocalDust().config, "base_url": base_url})
    host = base_url.removeprefix("http://")
    said, _, _ = (
        str(status.message)
        .removeprefix(f"Could not list the data source's documents: {host} ")
        .partition(". ")
    )
    assert said in (
        "redirects (302) to https://[portal]/login",
        "sent a response that cannot be read as HTTP",
    )


@pytest.mark.parametrize("location", UNREADABLE_REDIRECTS)
def test_a_redirect_to_what_is_no_address_fails_an_upsert_in_words(location: bytes) -> None:
    with server(redirects(location)) as base_url:
        config = {**LocalDust().config, "base_url": base_url}
        done = in_process.sync(config, USERS, users_with_states([1]))
    assert done.states == []
    assert done.error is not None
    assert done.error.failure_type is FailureType.transient_error
    assert done.error.message == (
        "Could not upsert document 'users-1' of stream 'users': "
        f"{base_url.removeprefix('http://')} sent a response that cannot be read as HTTP. Check "
        "base_url, and the network and proxy settings of the machine this runs on."
    )


def test_a_connection_that_ends_before_the_response_is_broken() -> None:
    assert_broken(exchange(sends_and_closes(b"")))


def test_what_a_server_sends_is_not_logged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    """urllib3 quotes what stands among the headers and is none; it may be what was sent."""
    # What a command changes for its process is not to outlive the test.
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(logging.getLogger("urllib3"), "level", logging.NOTSET)
    data = b"HTTP/1.1 401 Unauthorized\r\nX: 1\r\na secret\r\n\r\n"
    config_path = tmp_path / "config.json"
    with server(sends_and_closes(data)) as base_url:
        config_path.write_text(json.dumps({**LocalDust().config, "base_url": base_url}))
        DestinationDust().run(["check", "--config", str(config_path)])
    printed = capsysbinary.readouterr()
    assert b"answered 401" in printed.out
    assert b"a secret" not in printed.out + printed.err
    assert "a secret" not in caplog.text


@pytest.mark.parametrize("status", [403, 407, 503])
def test_what_a_proxy_answers_to_a_connect_is_reported(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    refusal = f"HTTP/1.1 {status} Said So\r\nContent-Length: 0\r\n\r\n".encode()
    with server(sends(refusal)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        outcome = Transport("https://dust.tt", "sk-1").exchange("GET", "/a")
    assert isinstance(outcome, Failure)
    address = proxy.removeprefix("http://")
    assert outcome.said == f"the proxy {address} answered {status} when asked for dust.tt"
    assert outcome.cause is None
    assert outcome.is_retryable is (status == 503)


def test_a_proxy_that_never_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT_S", 0.2)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with server(lambda connection: time.sleep(5)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        outcome = Transport("https://dust.tt", "sk-1").exchange("GET", "/a")
    assert isinstance(outcome, Failure)
    assert f"the proxy {proxy.removeprefix('http://')}" in outcome.said
    assert "(timed out)" in outcome.said


# A check, in front of which somebody waits

GIVES_UP: list[Any] = [
    pytest.param(sends(b""), "did not answer in time", id="silence"),
    pytest.param(
        sends(b"HTTP/1.1 429 Slow\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n"),
        "answered 429",
        id="come back later",
    ),
    pytest.param(
        sends(b"HTTP/1.1 503 Not Now\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"),
        "answered 503",
        id="come back soon",
    ),
]


@pytest.mark.parametrize(("serve", "said"), GIVES_UP)
def test_a_check_says_what_its_last_request_met(serve: Serve, said: str) -> None:
    waits_s: list[float] = []
    with server(serve) as base_url:
        status = DestinationDust(sleep=waits_s.append, read_timeout_s=0.2).check(
            logging.getLogger("airbyte"), {**LocalDust().config, "base_url": base_url}
        )
    assert status.status is Status.FAILED
    assert said in str(status.message)
    assert sum(waits_s) < 5


def test_a_check_ends_in_time_also_where_no_timeout_reaches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in the look-up of a name, here in a response that comes byte by byte."""
    monkeypatch.setattr(destination, "CHECK_TIME_LIMIT_S", 0.2)
    earlier = threading.enumerate()
    with server(trickles(b"HTTP/1.1")) as base_url:
        status = DestinationDust(sleep=lambda _: None, read_timeout_s=0.2).check(
            logging.getLogger("airbyte"), {**LocalDust().config, "base_url": base_url}
        )
    assert status.status is Status.FAILED
    assert "The check did not end within 0.2 s" in str(status.message)
    # What goes on of the check would meet the HTTP that later tests fake.
    for thread in set(threading.enumerate()).difference(earlier):
        thread.join()
