"""One exchange over HTTP, faked at the wire. What needs a socket is in `integration_tests/`."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import requests.certs
import requests_mock
import urllib3

from destination_dust.errors import DustConfigError, DustError, DustUnavailableError
from destination_dust.failures import Failure, Meaning, Response
from destination_dust.transport import Transport

KEY = "sk-very-secret"
BASE_URL = "https://dust.tt"
PASSWORD = "a-proxys-password"
DATE, DATE_MS = "Wed, 08 Jan 2025 19:25:59 GMT", 1736364359000


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


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
    message = str(error.value.message)
    assert PASSWORD not in message
    return message


def failed(http: requests_mock.Mocker, error: Exception) -> Failure:
    """Return what an exchange comes to in which the HTTP client raises this error."""
    http.get(f"{BASE_URL}/a", exc=error)
    failure = Transport(BASE_URL, KEY).exchange("GET", "/a")
    assert isinstance(failure, Failure)
    assert PASSWORD not in repr(failure)
    return failure


def test_an_answer_is_an_answer_whatever_its_status(http: requests_mock.Mocker) -> None:
    headers = {"Retry-After": "7", "Date": DATE}
    http.get(f"{BASE_URL}/a", status_code=418, json={"a": 1}, headers=headers)
    assert Transport(BASE_URL, KEY).exchange("GET", "/a") == Response(
        status=418, url=f"{BASE_URL}/a", json={"a": 1}, retry_after_s=7, date_ms=DATE_MS
    )


@pytest.mark.parametrize(
    ("date", "date_ms"),
    [
        pytest.param(DATE, DATE_MS, id="usual"),
        pytest.param("Wed Jan  8 19:25:59 2025", DATE_MS, id="of old servers, without a zone"),
        pytest.param("Wed, 08 Jan 99999 19:25:59 GMT", None, id="beyond all calendars"),
        pytest.param("yesterday", None, id="no date"),
        pytest.param("", None, id="blank"),
    ],
)
@pytest.mark.usefixtures("far_from_utc")
def test_the_clock_of_a_server_is_read_from_its_response(
    http: requests_mock.Mocker, date: str, date_ms: int | None
) -> None:
    http.get(f"{BASE_URL}/a", headers={"Date": date})
    answer = Transport(BASE_URL, KEY).exchange("GET", "/a")
    assert isinstance(answer, Response)
    assert answer.date_ms == date_ms


@pytest.mark.parametrize(
    ("body", "timeout"),
    [
        pytest.param(None, (10, 300), id="none"),
        pytest.param(b"x" * 250_000, (10, 300), id="usual"),
        pytest.param(b"x" * 2_000_000, (80, 300), id="2 MB"),
    ],
)
def test_a_large_body_has_more_time_to_be_sent(
    http: requests_mock.Mocker, body: bytes | None, timeout: tuple[float, float]
) -> None:
    """Under the timeout of the connection, since it is that under which urllib3 sends."""
    http.post(f"{BASE_URL}/a")
    Transport(BASE_URL, KEY).exchange("POST", "/a", body)
    assert http.request_history[0].timeout == timeout


# The environment


def test_environment_proxies_and_ca_bundles_are_used(
    http: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", requests.certs.where())
    http.get(f"{BASE_URL}/a")
    Transport(BASE_URL, KEY).exchange("GET", "/a")
    assert http.request_history[0].proxies["https"] == "http://proxy.example:3128"
    assert http.request_history[0].verify == requests.certs.where()


def test_a_proxy_for_all_schemes_is_a_proxy_like_another(
    http: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    failure = failed(http, requests.exceptions.ConnectTimeout())
    assert failure.said == "the proxy proxy.example:3128 could not be reached in time (timed out)"


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "", "no certificate\n"], ids=["no file", "empty", "bad"])
def test_certificates_that_cannot_be_read_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, content: str | None
) -> None:
    bundle = tmp_path / "own-ca.pem"
    if content is not None:
        bundle.write_text(content, encoding="utf-8")
    monkeypatch.setenv(variable, str(bundle))
    assert refused() == (
        f"{variable} names {str(bundle)!r}, from which no certificates can be read: correct it or "
        "unset it."
    )
    Transport("http://127.0.0.1:1", KEY)


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param(f"-----BEGIN PRIVATE KEY-----\n{PASSWORD}\n", id="lines"),
        pytest.param("x" * 256 + PASSWORD, id="one long line"),
    ],
)
def test_certificates_in_place_of_their_file_are_not_printed(
    monkeypatch: pytest.MonkeyPatch, pem: str
) -> None:
    """A private key may be among them."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", pem)
    assert refused() == (
        "REQUESTS_CA_BUNDLE names no file, from which no certificates can be read: correct it or "
        "unset it."
    )


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{PASSWORD}@",
        f"http://me:{PASSWORD}@[::1",
        f"http://me:{PASSWORD}@proxy.example:port",
        f"http://me:{PASSWORD}\u20ac@proxy.example:3128",
        "http://",
    ],
)
def test_a_proxy_that_is_no_url_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    assert refused() == (
        "HTTPS_PROXY (or ALL_PROXY) is not the URL of a proxy, such as http://proxy.example:3128: "
        "correct it or unset it."
    )


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


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


BROKEN: list[Any] = [
    pytest.param(
        caused(requests.exceptions.ConnectionError(), socket.gaierror()),
        "the host name of dust.tt could not be resolved (DNS)",
        "the host name of the proxy proxy.example:3128 could not be resolved (DNS)",
        id="DNS",
    ),
    pytest.param(
        caused(requests.exceptions.ConnectionError(), ConnectionRefusedError()),
        "dust.tt refused the connection",
        "the proxy proxy.example:3128 refused the connection",
        id="refused",
    ),
    pytest.param(
        requests.exceptions.ConnectTimeout(),
        "dust.tt could not be reached in time (timed out)",
        "the proxy proxy.example:3128 could not be reached in time (timed out)",
        id="connect timeout",
    ),
    pytest.param(
        requests.exceptions.ReadTimeout(),
        "dust.tt did not answer in time (timed out)",
        "dust.tt (through the proxy proxy.example:3128) did not answer in time (timed out)",
        id="read timeout",
    ),
    pytest.param(
        caused(requests.exceptions.ConnectionError(), TimeoutError()),
        "dust.tt did not take the request in time (timed out)",
        "dust.tt (through the proxy proxy.example:3128) did not take the request in time (timed "
        "out)",
        id="send timeout",
    ),
    pytest.param(
        requests.exceptions.ProxyError(),
        "dust.tt did not work",
        "the proxy proxy.example:3128 did not work",
        id="proxy",
    ),
    pytest.param(
        requests.exceptions.SSLError(),
        "no TLS connection to dust.tt could be made",
        "no TLS connection to dust.tt (through the proxy proxy.example:3128) could be made",
        id="TLS",
    ),
    pytest.param(
        urllib3.exceptions.DecodeError(),
        "dust.tt sent a response that cannot be read as HTTP",
        "dust.tt (through the proxy proxy.example:3128) sent a response that cannot be read as "
        "HTTP",
        id="compression",
    ),
    pytest.param(
        caused(requests.exceptions.ConnectionError(), http.client.LineTooLong("header line")),
        "dust.tt sent a response that cannot be read as HTTP",
        "dust.tt (through the proxy proxy.example:3128) sent a response that cannot be read as "
        "HTTP",
        id="no HTTP",
    ),
    pytest.param(
        caused(requests.exceptions.ConnectionError(), http.client.RemoteDisconnected()),
        "the connection to dust.tt broke",
        "the connection to dust.tt (through the proxy proxy.example:3128) broke",
        id="broken",
    ),
]


@pytest.mark.parametrize(("error", "direct", "_proxied"), BROKEN)
def test_what_broke_is_told_in_a_users_words(
    http: requests_mock.Mocker, error: Exception, direct: str, _proxied: str
) -> None:
    failure = failed(http, error)
    assert failure.said == direct
    assert failure.is_retryable


@pytest.mark.parametrize(("error", "_direct", "proxied"), BROKEN)
def test_a_proxy_is_named_where_it_may_be_to_blame(
    http: requests_mock.Mocker,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    _direct: str,
    proxied: str,
) -> None:
    """It is all that is looked up and connected to. Its password is not shown."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@proxy.example:3128")
    assert failed(http, error).said == proxied


def test_a_timed_out_upsert_may_be_stored_all_the_same(http: requests_mock.Mocker) -> None:
    """And base_url is right: the server was reached."""
    http.post(f"{BASE_URL}/a", exc=requests.exceptions.ReadTimeout)
    failure = Transport(BASE_URL, KEY).exchange("POST", "/a", b"{}")
    assert isinstance(failure, Failure)
    assert failure.said == "dust.tt did not answer in time (timed out)"
    assert failure.meaning == Meaning(
        DustUnavailableError,
        "The document may be stored all the same: Dust embeds the text before it answers, and "
        "large documents take long. Run the sync again; if this goes on, leave the stream's large "
        "fields out in the connection's schema.",
    )


@pytest.mark.parametrize(
    "error", [requests.exceptions.ConnectTimeout, requests.exceptions.ConnectionError]
)
def test_an_upsert_that_was_not_sent_does_not_say_that_it_may_be_stored(
    http: requests_mock.Mocker, error: type[Exception]
) -> None:
    http.post(f"{BASE_URL}/a", exc=error)
    failure = Transport(BASE_URL, KEY).exchange("POST", "/a", b"{}")
    assert isinstance(failure, Failure)
    assert failure.meaning.advice.startswith("Check base_url, and the network and proxy settings")


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.SSLError("EOF occurred in violation of protocol"),
        caused(requests.exceptions.ConnectionError(), OSError("No route to host")),
    ],
    ids=["TLS", "network"],
)
def test_what_the_system_said_of_a_failure_is_kept_for_the_log(
    http: requests_mock.Mocker, error: Exception
) -> None:
    assert failed(http, error).cause is error


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(requests.exceptions.InvalidProxyURL(PASSWORD), id="proxy setting"),
        pytest.param(
            caused(
                requests.exceptions.ProxyError(),
                OSError(f"Tunnel connection failed: 407 {PASSWORD}"),
            ),
            id="refused by a proxy",
        ),
        pytest.param(requests.exceptions.ProxyError(PASSWORD), id="broken proxy"),
        pytest.param(
            caused(requests.exceptions.ConnectionError(), http.client.BadStatusLine(PASSWORD)),
            id="no HTTP",
        ),
        pytest.param(ValueError(PASSWORD), id="redirect"),
        pytest.param(
            caused(
                requests.exceptions.ChunkedEncodingError(PASSWORD),
                http.client.IncompleteRead(PASSWORD.encode()),
            ),
            id="broken chunks",
        ),
    ],
)
def test_what_a_server_or_a_proxy_said_is_not_kept_for_the_log(
    http: requests_mock.Mocker, error: Exception
) -> None:
    """It may echo credentials."""
    assert failed(http, error).cause is None


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (407, DustConfigError, "Put user name and password of the proxy into HTTPS_PROXY"),
        (403, DustConfigError, "Have the proxy let dust.tt through, or add it to NO_PROXY."),
        (502, DustUnavailableError, "Try again later; if this goes on, ask who runs the proxy."),
    ],
)
def test_the_refusal_of_a_proxy_keeps_its_status(
    http: requests_mock.Mocker,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    kind: type[DustError],
    advice: str,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    refusal = OSError(f"Tunnel connection failed: {status} Some Reason")
    failure = failed(http, caused(requests.exceptions.ProxyError(), refusal))
    assert failure.said == (
        f"the proxy proxy.example:3128 answered {status} when asked for dust.tt"
    )
    assert failure.meaning.kind is kind
    assert advice in failure.meaning.advice


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            caused(requests.exceptions.SSLError(), ssl.SSLCertVerificationError()),
            "the TLS certificate of dust.tt could not be verified",
            id="certificate",
        ),
        pytest.param(
            requests.exceptions.InvalidProxyURL(f"http://me:{PASSWORD}@proxy"),
            "no request can be made for dust.tt",
            id="proxy setting",
        ),
        pytest.param(
            requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support."),
            "no request can be made for dust.tt",
            id="SOCKS",
        ),
    ],
)
def test_what_the_user_can_fix_is_not_tried_again(
    http: requests_mock.Mocker, error: Exception, said: str
) -> None:
    failure = failed(http, error)
    assert failure.said == said
    assert failure.meaning.kind is DustConfigError


def test_a_proxy_that_cannot_be_used_is_shown_as_it_must_look(http: requests_mock.Mocker) -> None:
    failure = failed(http, requests.exceptions.InvalidSchema())
    assert failure.meaning.advice == (
        "Check base_url, and the proxy in HTTPS_PROXY or ALL_PROXY: it must look like "
        "http://proxy.example:3128, and SOCKS is not supported."
    )


@pytest.mark.parametrize("host", [".example.com", "*.example.com"])
def test_a_host_that_no_request_can_go_to_is_a_wrong_setting(host: str) -> None:
    failure = Transport(f"https://{host}", KEY).exchange("GET", "/a")
    assert isinstance(failure, Failure)
    assert failure.said == f"no request can be made for {host}"
    assert failure.meaning.kind is DustConfigError
