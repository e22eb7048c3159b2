"""Servers that misbehave below what HTTP libraries expect: bytes on a socket, as a test says."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airbyte_cdk.models import Status

from destination_dust import destination, transport
from destination_dust.destination import DestinationDust
from destination_dust.errors import DustUnavailableError
from destination_dust.failures import Answer, Failure
from destination_dust.transport import Transport
from integration_tests import connector
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


def exchange(serve: Serve, *, time_limit_s: float = 10.0) -> Answer | Failure:
    with server(serve) as base_url:
        return Transport(base_url, "sk-1").exchange("GET", "/a", time_limit_s=time_limit_s)


def json_of(outcome: Answer | Failure) -> object:
    assert isinstance(outcome, Answer), outcome
    return outcome.json


def said_by(outcome: Answer | Failure) -> str:
    assert isinstance(outcome, Failure)
    assert outcome.can_pass
    return outcome.said.partition(" ")[2]


@pytest.mark.parametrize("interim", [100, 102, 103])
def test_interim_responses_are_skipped(interim: int) -> None:
    early = f"HTTP/1.1 {interim} Soon\r\nLink: </a>\r\n\r\n".encode() * 3
    with server(sends(early + OK)) as base_url:
        one = Transport(base_url, "sk-1")
        # The second one shows that nothing of the first is left on the connection.
        assert [json_of(one.exchange("GET", "/a")) for _ in range(2)] == [{"a": 1}] * 2


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(OK + b" " * 1000, id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, id="headers"),
        pytest.param(b"HTTP/1.1 103 Early\r\n\r\n" * 100, id="interim responses"),
    ],
)
def test_a_response_that_trickles_ends_at_the_time_limit(data: bytes) -> None:
    began_s = time.monotonic()
    data = data.replace(b"Content-Length: 7", b"Content-Length: 1000")
    outcome = exchange(trickles(data), time_limit_s=0.5)
    assert time.monotonic() - began_s < 2
    assert said_by(outcome) == "did not answer in time (timed out)"


def test_a_response_that_never_pauses_ends_at_the_time_limit() -> None:
    def serve(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"HTTP/1.1 103 Early\r\n\r\n" * 1000)

    began_s = time.monotonic()
    outcome = exchange(serve, time_limit_s=0.5)
    assert time.monotonic() - began_s < 2
    assert said_by(outcome) == "did not answer in time (timed out)"


def test_a_silence_after_the_headers_ends_at_the_time_limit() -> None:
    began_s = time.monotonic()
    outcome = exchange(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"), time_limit_s=0.5)
    assert time.monotonic() - began_s < 2
    assert said_by(outcome) == "did not answer in time (timed out)"


def test_a_time_limit_is_that_of_one_exchange_only() -> None:
    with server(sends(OK)) as base_url:
        one = Transport(base_url, "sk-1")
        assert json_of(one.exchange("GET", "/a", time_limit_s=0.2)) == {"a": 1}
        time.sleep(0.3)
        assert json_of(one.exchange("GET", "/a")) == {"a": 1}


def test_a_response_without_end_ends_at_the_size_limit() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 1024 * 1024)

    assert said_by(exchange(serve)) == "sent more than 64 MiB in one response"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param("Content-Length: 99999999999999999999", id="beyond 64 bits"),
        pytest.param("Content-Length: 999999999999", id="a terabyte"),
        pytest.param("Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFF", id="chunk"),
        pytest.param("Transfer-Encoding: chunked\r\n\r\n-5", id="negative chunk"),
    ],
)
@pytest.mark.parametrize("status", [200, 503])
def test_a_length_that_no_response_has_is_a_failure_like_another(head: str, status: int) -> None:
    outcome = exchange(sends(f"HTTP/1.1 {status} So\r\n{head}\r\n\r\n{{".encode()))
    assert isinstance(outcome, Failure) or outcome.status == 503


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
        time.sleep(1.0)
        left = len(body) - 70_000
        while left > 0:
            left -= len(connection.recv(1024 * 1024))
        connection.sendall(OK)

    with server(slowly) as base_url:
        outcome = Transport(base_url, "sk-1").exchange("POST", "/a", body)
    assert isinstance(outcome, Answer)


def test_a_compressed_response_is_read_and_a_broken_one_named() -> None:
    def compressed(body: bytes) -> bytes:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    assert json_of(exchange(sends(compressed(gzip.compress(b'{"a":1}'))))) == {"a": 1}
    broken = exchange(sends(compressed(b"no gzip")))
    assert said_by(broken) == "sent a response whose compression is broken"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n", id="too many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", id="long header"),
    ],
)
def test_a_response_that_is_no_http_is_named(data: bytes) -> None:
    assert said_by(exchange(sends(data))) == "sent a response that cannot be read as HTTP"


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], ids=["nothing", "half"]
)
def test_a_connection_that_ends_too_early_is_broken(data: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    outcome = exchange(serve)
    assert isinstance(outcome, Failure)
    assert outcome.said.startswith("the connection to 127.0.0.1:")
    assert outcome.said.endswith(" broke")


def test_what_a_server_sends_is_not_logged() -> None:
    """urllib3 quotes what stands among the headers and is none; it may be what was sent."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nX: 1\r\na secret\r\n\r\n")
        connection.shutdown(socket.SHUT_RDWR)

    with server(serve) as base_url:
        run = connector.check({**LocalDust().config, "base_url": base_url})
    assert "answered 401" in run.status["message"]
    assert b"a secret" not in run.stdout + run.stderr


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
    assert outcome.can_pass is (status == 503)


def test_a_proxy_that_never_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with server(lambda connection: time.sleep(5)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        outcome = Transport("https://dust.tt", "sk-1").exchange("GET", "/a", time_limit_s=0.3)
    assert isinstance(outcome, Failure)
    assert f"the proxy {proxy.removeprefix('http://')}" in outcome.said
    assert "(timed out)" in outcome.said


# A check, in front of which somebody waits

NO_END: list[Any] = [
    pytest.param(lambda connection: time.sleep(5), "did not answer in time", id="silence"),
    pytest.param(trickles(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000), "in time", id="trickle"),
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


@pytest.mark.parametrize(("serve", "said"), NO_END)
def test_a_check_ends_in_time_whatever_the_server_does(serve: Serve, said: str) -> None:
    """And says what the last request met."""
    with server(serve) as base_url:
        began_s = time.monotonic()
        status = DestinationDust(time_limit_s=1.5).check(
            logging.getLogger("airbyte"), {**LocalDust().config, "base_url": base_url}
        )
        assert time.monotonic() - began_s < 4
    assert status.status is Status.FAILED
    assert said in str(status.message)


def test_a_check_ends_in_time_also_where_no_timeout_reaches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in the look-up of a name, here in the wait before a retry."""
    monkeypatch.setattr(destination, "CHECK_TIME_LIMIT_S", 0.5)
    is_over = threading.Event()

    def hang(_wait_s: float) -> None:
        is_over.wait()
        raise DustUnavailableError("Nobody waits for the check any more.")

    with server(sends(b"HTTP/1.1 503 Not Now\r\nContent-Length: 0\r\n\r\n")) as base_url:
        status = DestinationDust(sleep=hang).check(
            logging.getLogger("airbyte"), {**LocalDust().config, "base_url": base_url}
        )
    is_over.set()
    assert status.status is Status.FAILED
    assert "The check did not end within 0.5 s" in str(status.message)
