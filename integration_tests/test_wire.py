"""Servers and proxies below HTTP libraries: bytes on a socket, as a test says."""

from __future__ import annotations

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
from airbyte_cdk.models import Status

from destination_dust import destination, transport
from destination_dust.destination import DestinationDust
from destination_dust.failures import Failure
from destination_dust.transport import Transport
from integration_tests.local_dust import LocalDust

Serve = Callable[[socket.socket], None]


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
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            # Closing alone does not wake the thread that accepts.
            listener.shutdown(socket.SHUT_RDWR)


def sends(data: bytes) -> Serve:
    return lambda connection: connection.sendall(data)


def sends_and_closes(data: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    return serve


def failed(base_url: str, *, read_timeout_s: float = 10.0) -> Failure:
    """Return what an exchange comes to that fails."""
    result = Transport(base_url, "sk-1").exchange("GET", "/a", read_timeout_s=read_timeout_s)
    assert isinstance(result, Failure)
    return result


def said_of(serve: Serve, *, read_timeout_s: float = 10.0) -> str:
    """Return what is said of an exchange with such a server, which may be tried again."""
    with server(serve) as host:
        failure = failed(f"http://{host}", read_timeout_s=read_timeout_s)
    assert failure.is_retryable
    return failure.said.replace(host, "HOST")


def check(host: str, **options: Any) -> tuple[Status, str]:
    """Return the status and the message of a check, whose requests time out after 0.2 s."""
    status = DestinationDust(read_timeout_s=0.2, **options).check(
        logging.getLogger("airbyte"), {**LocalDust().config, "base_url": f"http://{host}"}
    )
    return status.status, str(status.message)


# Responses


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"], ids=["at once", "midway"]
)
def test_a_silence_ends_at_the_read_timeout(data: bytes) -> None:
    said = said_of(sends(data), read_timeout_s=0.2)
    assert said == "HOST did not answer in time (timed out)"


def test_a_response_without_end_ends_at_the_size_limit() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 1024 * 1024)

    assert said_of(serve) == "HOST sent more than 64 MiB in one response"


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize(
    "head",
    [
        pytest.param("Content-Length: 9", id="length"),
        pytest.param("Content-Length: 99999999999999999999", id="length beyond 64 bits"),
        pytest.param("Transfer-Encoding: chunked\r\n\r\n9", id="chunk"),
        pytest.param("Transfer-Encoding: chunked\r\n\r\nsoon", id="chunk without a length"),
    ],
)
def test_a_response_that_is_not_whole_is_a_broken_connection(head: str, status: int) -> None:
    """Whatever its status."""
    data = f"HTTP/1.1 {status} So\r\n{head}\r\n\r\n{{".encode()
    assert said_of(sends_and_closes(data)) == "the connection to HOST broke"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", id="long header"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
            id="broken compression",
        ),
        pytest.param(
            b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: https://a/caf\xe9\r\n\r\n",
            id="redirect in Latin-1",
        ),
    ],
)
def test_a_response_that_is_not_http_is_named(data: bytes) -> None:
    assert said_of(sends(data)) == "HOST sent a response that cannot be read as HTTP"


def test_a_server_that_is_gone_is_named() -> None:
    assert failed("http://127.0.0.1:1").said == "127.0.0.1:1 refused the connection"


def test_what_a_server_sends_is_not_logged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    """urllib3 quotes malformed headers; they may be an echo of what was sent."""
    # What a command changes for its process is not to outlive the test.
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(logging.getLogger("urllib3"), "level", logging.NOTSET)
    config = tmp_path / "config.json"
    with server(sends_and_closes(b"HTTP/1.1 401 No\r\nX: 1\r\na secret\r\n\r\n")) as host:
        config.write_text(json.dumps({**LocalDust().config, "base_url": f"http://{host}"}))
        DestinationDust().run(["check", "--config", str(config)])
    printed = capsysbinary.readouterr()
    assert b"answered 401" in printed.out
    assert b"a secret" not in printed.out + printed.err
    assert "a secret" not in caplog.text


# Proxies


@contextmanager
def proxy(env: pytest.MonkeyPatch, serve: Serve, user: str = "") -> Iterator[str]:
    """Let requests go through such a proxy, and yield its address."""
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        env.delenv(name, raising=False)
    with server(serve) as address:
        env.setenv("HTTPS_PROXY", f"http://{user}{address}")
        yield address


ASKED = "answered {} when asked for dust.tt"
REFUSED = "refused the user name and password in HTTPS_PROXY ({})"
LET_THROUGH = (
    "Have the proxy let dust.tt through, or add it to NO_PROXY (names separated by commas, "
    "without *)."
)
ADD_USER = (
    "Add the proxy's user name and password to HTTPS_PROXY, as in "
    "http://user:password@proxy.example:3128."
)
ONLY_BASIC = (
    "Check them. Only Basic authentication is supported: ask who runs the proxy for it, or for a "
    "way around the proxy."
)


@pytest.mark.parametrize(
    ("status", "user", "said", "advice"),
    [
        (403, "", ASKED, LET_THROUGH),
        (407, "", ASKED, ADD_USER),
        (407, "ann:hidden@", REFUSED, ONLY_BASIC),
        (503, "", ASKED, "Try again later; if it persists, ask who runs the proxy."),
    ],
    ids=["403", "407", "407 with user", "503"],
)
def test_what_a_proxy_answers_to_connect_is_reported_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, status: int, user: str, said: str, advice: str
) -> None:
    response = f"HTTP/1.1 {status} hidden\r\nContent-Length: 0\r\n\r\n".encode()
    with proxy(monkeypatch, sends(response), user) as address:
        failure = failed("https://dust.tt")
    assert failure.said == f"the proxy {address} {said.format(status)}"
    assert failure.is_retryable is (status == 503)
    assert failure.meaning.advice == advice
    assert "hidden" not in repr(failure)


def test_a_proxy_that_never_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT_S", 0.2)
    with proxy(monkeypatch, sends(b"")) as address:
        failure = failed("https://dust.tt")
    assert failure.is_retryable
    assert f"the proxy {address}" in failure.said
    assert "(timed out)" in failure.said


# A check, while somebody waits


@pytest.mark.parametrize(
    ("response", "said"),
    [
        pytest.param("", "did not answer in time", id="silence"),
        pytest.param("429 Slow\r\nRetry-After: 300", "answered 429", id="come back later"),
        pytest.param("503 Not Now\r\nRetry-After: 1", "answered 503", id="come back soon"),
    ],
)
def test_a_check_says_what_its_last_request_met(response: str, said: str) -> None:
    data = f"HTTP/1.1 {response}\r\nContent-Length: 0\r\n\r\n".encode() if response else b""
    waits_s: list[float] = []
    with server(sends(data)) as host:
        status, message = check(host, sleep=waits_s.append)
    assert status is Status.FAILED
    assert said in message
    assert sum(waits_s) < 5


def test_a_check_ends_in_time_where_no_timeout_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the look-up of a name, here for a response that comes byte by byte."""

    def trickles(connection: socket.socket) -> None:
        for byte in b"HTTP/1.1" * 5:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    monkeypatch.setattr(destination, "CHECK_TIME_LIMIT_S", 0.2)
    earlier = threading.enumerate()
    with server(trickles) as host:
        status, message = check(host, sleep=lambda _: None, clock=lambda: 0.0)
    assert status is Status.FAILED
    assert message == (
        "The check did not end in time: the server, or the look-up of its name, takes too long. "
        "Check base_url, and the network and proxy settings of the machine this runs on."
    )
    # What goes on of the check would meet the HTTP that later tests fake.
    for thread in set(threading.enumerate()).difference(earlier):
        thread.join()
