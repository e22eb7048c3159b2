"""One exchange over HTTP, faked at the wire. What needs a socket is in `integration_tests/`."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from requests import exceptions
from requests_mock import Mocker

from destination_dust.errors import DustConfigError, DustUnavailableError
from destination_dust.failures import Failure, Meaning, Response
from destination_dust.transport import Transport

KEY = "sk-very-secret"
BASE_URL = "https://dust.tt"
URL = f"{BASE_URL}/a"
PASSWORD = "a-proxys-password"
PROXY = "the proxy proxy.example:3128"
DATE, DATE_MS = "Wed, 08 Jan 2025 19:25:59 GMT", 1736364359000


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().endswith(("_PROXY", "_CA_BUNDLE")):
            monkeypatch.delenv(name)


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as environment:
        environment.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def refused(base_url: str = BASE_URL) -> str:
    """Return why no transport can be made."""
    with pytest.raises(DustConfigError) as error:
        Transport(base_url, KEY)
    return str(error.value.message)


def response_with(http: Mocker, header: str, value: str) -> Response:
    http.get(URL, headers={header: value})
    response = Transport(BASE_URL, KEY).exchange("GET", "/a")
    assert isinstance(response, Response)
    return response


def failed(http: Mocker, error: type[Exception] | Exception, method: str = "GET") -> Failure:
    """Return what an exchange comes to in which the HTTP client raises this error."""
    http.register_uri(method, URL, exc=error)
    failure = Transport(BASE_URL, KEY).exchange(method, "/a", b"{}" if method == "POST" else None)
    assert isinstance(failure, Failure)
    assert PASSWORD not in repr(failure)
    return failure


# Responses


def test_a_response_is_returned_whatever_its_status(http: Mocker) -> None:
    http.get(URL, status_code=418, json={"a": 1}, headers={"Retry-After": "7", "Date": DATE})
    assert Transport(BASE_URL, KEY).exchange("GET", "/a") == Response(
        status=418, url=URL, json={"a": 1}, retry_after_s=7, date_ms=DATE_MS
    )


@pytest.mark.parametrize(
    ("date", "date_ms"),
    [
        ("Wed Jan  8 19:25:59 2025", DATE_MS),
        ("Wed, 08 Jan 99999 19:25:59 GMT", None),
        ("yesterday", None),
    ],
    ids=["without a zone", "beyond all calendars", "text"],
)
@pytest.mark.usefixtures("far_from_utc")
def test_the_clock_of_a_server_is_read_from_its_response(
    http: Mocker, date: str, date_ms: int | None
) -> None:
    assert response_with(http, "Date", date).date_ms == date_ms


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("9" * 5000, float("inf")),
        (formatdate(time.time() + 10_000, usegmt=True), 10_000),
        (DATE, 0),
        ("-5", None),
        ("soon", None),
    ],
    ids=["seconds", "beyond a double", "date", "past date", "negative", "text"],
)
def test_how_long_a_server_asks_to_wait(http: Mocker, header: str, seconds: float | None) -> None:
    found = response_with(http, "Retry-After", header).retry_after_s
    assert found == (seconds if seconds is None else pytest.approx(seconds, abs=600))


@pytest.mark.parametrize(
    ("size", "connect_timeout_s"), [(250_000, 10), (2_000_000, 80)], ids=["usual", "2 MB"]
)
def test_a_large_body_has_more_time_to_be_sent(
    http: Mocker, size: int, connect_timeout_s: float
) -> None:
    """urllib3 sends it under the timeout of the connection."""
    http.post(URL)
    Transport(BASE_URL, KEY).exchange("POST", "/a", b"x" * size)
    assert http.request_history[0].timeout == (connect_timeout_s, 300)


# Certificates


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "", "no certificate\n"], ids=["no file", "empty", "bad"])
def test_a_file_without_certificates_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, content: str | None
) -> None:
    bundle = tmp_path / "company.pem"
    if content is not None:
        bundle.write_text(content, encoding="utf-8")
    monkeypatch.setenv(variable, str(bundle))
    assert refused() == (
        f"{variable} names {str(bundle)!r}, from which no certificates can be read: it must be a "
        "PEM file. Correct it or unset it."
    )
    # Without TLS it does not matter.
    Transport("http://127.0.0.1:1", KEY)


@pytest.mark.parametrize("text", [f"-----BEGIN-----\n{PASSWORD}\n", "x" * 256 + PASSWORD], ids=len)
def test_certificates_in_place_of_their_file_are_not_printed(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A private key may be among them."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", text)
    assert refused().startswith("REQUESTS_CA_BUNDLE names no file, from which no certificates can")


# Proxies


@pytest.mark.parametrize(
    "url",
    [
        *(f"http://me:{PASSWORD}{character}x@proxy.example:3128" for character in "#/?\\@ \t"),
        f"http://me:{PASSWORD}\u20ac@proxy.example:3128",
        f"http://me:{PASSWORD}@proxy.example:port",
        f"http://me:{PASSWORD}@[::1",
        f"http://me:{PASSWORD}@",
        f"socks5://me:{PASSWORD}@proxy.example",
        "http://",
    ],
    ids=lambda url: ascii(url.replace(PASSWORD, "")),
)
def test_what_is_not_the_url_of_a_proxy_is_refused_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    assert refused() == (
        "HTTPS_PROXY (or ALL_PROXY) is not the URL of a proxy, such as "
        "http://user:password@proxy.example:3128: correct it or unset it. SOCKS is not supported. "
        "In user and password, # is written %23, / is %2F, ? is %3F, @ is %40 and \\ is %5C."
    )


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (f"http://a%5Cme:{PASSWORD}%23%C3%A9@proxy.example:3128/", "proxy.example:3128"),
        (f"https://me:@{PASSWORD}.example", f"{PASSWORD}.example"),
        ("http://[::1]:3128", "[::1]:3128"),
        ("proxy.example:3128", "proxy.example:3128"),
    ],
    ids=["percent-encoded", "no password", "IPv6", "no scheme"],
)
def test_the_url_of_a_proxy_is_understood(
    http: Mocker, monkeypatch: pytest.MonkeyPatch, url: str, address: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    http.get(URL, exc=exceptions.ProxyError)
    failure = Transport(BASE_URL, KEY).exchange("GET", "/a")
    assert isinstance(failure, Failure)
    assert failure.said == f"the proxy {address} did not work"


def test_no_proxy_carries_the_key_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    """http:// is for this machine only: through a proxy elsewhere the key would leave it."""
    local = "http://localhost:8899"
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    assert refused(local) == (
        "Through the environment's HTTP proxy the key would travel unencrypted: add localhost to "
        "NO_PROXY."
    )
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    Transport(local, KEY)


# What a broken exchange means


def caused_by(cause: Exception) -> Exception:
    error = exceptions.ConnectionError()
    error.__cause__ = cause
    return error


BROKEN: list[tuple[str, Exception, str]] = [
    ("DNS", caused_by(socket.gaierror()), "the host name {peer} could not be resolved (DNS)"),
    ("refused", caused_by(ConnectionRefusedError()), "{peer} refused the connection"),
    ("connect", exceptions.ConnectTimeout(), "{peer} could not be reached in time (timed out)"),
    ("read", exceptions.ReadTimeout(), "{path} did not answer in time (timed out)"),
    ("send", caused_by(TimeoutError()), "{path} did not accept the request in time (timed out)"),
    ("proxy", exceptions.ProxyError(), "{peer} did not work"),
    ("TLS", exceptions.SSLError(), "a TLS connection to {path} could not be established"),
    ("header", exceptions.InvalidHeader(), "{path} sent a response that cannot be read as HTTP"),
    ("closed", caused_by(http.client.RemoteDisconnected()), "the connection to {path} broke"),
]


@pytest.mark.parametrize(
    ("error", "said"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_what_broke_is_retryable_and_named_with_the_proxy_if_that_may_be_to_blame(
    http: Mocker, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    directly = failed(http, error)
    assert directly.said == said.format(peer="dust.tt", path="dust.tt")
    assert directly.is_retryable
    monkeypatch.setenv("ALL_PROXY", f"http://me:{PASSWORD}@proxy.example:3128")
    through_proxy = failed(http, error)
    assert through_proxy.said == said.format(peer=PROXY, path=f"dust.tt (through {PROXY})")


def test_a_document_may_have_been_stored_although_no_response_came(http: Mocker) -> None:
    """The server was reached, so base_url is right."""
    assert failed(http, exceptions.ReadTimeout, "POST").meaning == Meaning(
        DustUnavailableError,
        "The document may have been stored anyway: Dust embeds the text before it responds, and "
        "large documents take a while. Run the sync again; if it persists, leave the stream's "
        "large fields out in the connection's schema.",
    )


@pytest.mark.parametrize(
    ("error", "method"),
    [(exceptions.ReadTimeout, "GET"), (exceptions.ConnectTimeout, "POST")],
    ids=["a list", "not connected"],
)
def test_otherwise_the_network_is_to_be_checked(
    http: Mocker, error: type[Exception], method: str
) -> None:
    assert failed(http, error, method).meaning.advice == (
        "Check base_url, and the network and proxy settings of the machine this runs on."
    )


def test_what_the_system_said_is_kept_for_the_log(http: Mocker) -> None:
    error = caused_by(OSError("No route to host"))
    assert failed(http, error).cause is error


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ProxyError(PASSWORD),
        ValueError(PASSWORD),
        caused_by(http.client.BadStatusLine(PASSWORD)),
    ],
    ids=["proxy", "redirect", "status line"],
)
def test_what_a_server_or_a_proxy_said_is_not_kept_for_the_log(
    http: Mocker, error: Exception
) -> None:
    """It may echo credentials."""
    assert failed(http, error).cause is None
