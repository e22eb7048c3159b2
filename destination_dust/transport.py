"""One exchange over HTTP: the session, its timeouts, what broke. Sole user of `requests`.

An exchange returns a `Response`, whatever its status, or a `Failure` when there was none.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from requests import exceptions
from requests.auth import AuthBase
from urllib3.exceptions import ConnectTimeoutError, DecodeError, HTTPError, ReadTimeoutError

from destination_dust import __version__
from destination_dust.environment import check_certificates, proxy_for
from destination_dust.errors import DustConfigError, DustUnavailableError, causes
from destination_dust.failures import Failure, Meaning, Response, tunnel_refused

CONNECT_TIMEOUT_S = 10.0
# Dust embeds a document's text before it responds.
READ_TIMEOUT_S = 300.0

_SLOW_LINE_BYTES_PER_S = 25_000
_MAX_RESPONSE_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024


class Transport:
    """Exchanges with one server, one at a time, over a connection that is kept alive.

    Raises DustConfigError when the environment's proxy or certificates cannot be used.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        self.host = urlsplit(base_url).netloc
        self._base_url = base_url
        self._session = requests.Session()
        self._session.auth = _ApiKey(api_key)
        self._session.headers["User-Agent"] = f"destination-dust/{__version__}"
        self._session.headers["Accept"] = "application/json"
        # Looked up once: for each request it would cost as much CPU as sending it.
        self._environment = self._session.merge_environment_settings(
            base_url, proxies={}, stream=True, verify=None, cert=None
        )
        self._proxy = proxy_for(base_url, self._environment["proxies"])
        if base_url.startswith("https://"):
            check_certificates(self._environment["verify"])

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> Response | Failure:
        """Send a request with a percent-encoded path; return the response, or why there is none."""
        try:
            with self._session.send(
                self._request(method, path, body),
                timeout=(_connect_timeout_s(body), read_timeout_s),
                # Followed, a redirected POST would become a GET: a 200, and nothing stored.
                allow_redirects=False,
                **self._environment,
            ) as response:
                content = _content(response)
        except (OSError, HTTPError, ValueError) as error:
            # ValueError: the target of a redirect is not text or not a URL.
            return self._failure(error, is_upsert=body is not None)
        return Response(
            status=response.status_code,
            url=response.url,
            json=_json(content),
            location=response.headers.get("Location"),
            retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
            date_ms=_date_ms(response.headers.get("Date")),
        )

    @cached_property
    def _any_request(self) -> requests.PreparedRequest:
        return self._session.prepare_request(requests.Request("GET", self._base_url))

    def _request(self, method: str, path: str, body: bytes | None) -> requests.PreparedRequest:
        # A copy, since preparing each request would cost a fifth of a record's CPU.
        request = self._any_request.copy()
        request.method, request.url = method, self._base_url + path
        if body is not None:
            request.headers["Content-Type"] = "application/json"
            request.prepare_body(body, None)
        return request

    def _failure(self, error: Exception, *, is_upsert: bool) -> Failure:
        """Return what an exception means to a user. Its own text is for programmers."""
        chain = list(causes(error))
        if (status := _tunnel_status(chain)) is not None:
            return tunnel_refused(str(self._proxy), self.host, status)
        proxy = self._proxy and f"the proxy {self._proxy}"
        problem = next(each for each in NETWORK_PROBLEMS if _any_is(chain, each.raised))
        return Failure(
            said=problem.said.format(
                host=self.host,
                peer=proxy or self.host,
                path=f"{self.host} (through {proxy})" if proxy else self.host,
            ),
            meaning=_MAY_BE_STORED if is_upsert and problem is _NO_RESPONSE else problem.meaning,
            cause=None if _any_is(chain, _QUOTING) else error,
        )


class _ApiKey(AuthBase):
    """Sends the key as the session's `auth`, because ~/.netrc would replace a plain header."""

    def __init__(self, api_key: str) -> None:
        self._header = f"Bearer {api_key}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


class _ResponseTooLargeError(OSError):
    pass


_NETWORK = Meaning(
    DustUnavailableError,
    "Check base_url, and the network and proxy settings of the machine this runs on.",
)
_MAY_BE_STORED = Meaning(
    DustUnavailableError,
    "The document may be stored all the same: Dust embeds the text before it answers, and large "
    "documents take long. Run the sync again; if this goes on, leave the stream's large fields out "
    "in the connection's schema.",
)


@dataclass(frozen=True)
class Problem:
    """What one of these exceptions means to a user, also when it is the cause of another one.

    In the sentence, `{host}` is Dust's host, `{path}` is the host and the proxy on the way, and
    `{peer}` is what the connector connects to: the proxy if there is one, else the host.
    """

    raised: tuple[type[BaseException], ...]
    said: str
    meaning: Meaning = _NETWORK


_NO_RESPONSE = Problem(
    (exceptions.ReadTimeout, ReadTimeoutError), "{path} did not answer in time (timed out)"
)

# The first row that applies counts: the causes of a row's exceptions are often in later rows.
NETWORK_PROBLEMS = (
    Problem(
        (exceptions.InvalidURL, exceptions.InvalidSchema),
        "no request can be made for {host}",
        Meaning(
            DustConfigError,
            "Check base_url, and the proxy in HTTPS_PROXY or ALL_PROXY: it must look like "
            "http://proxy.example:3128, and SOCKS is not supported.",
        ),
    ),
    Problem(
        (ssl.SSLCertVerificationError,),
        "the TLS certificate of {host} could not be verified",
        Meaning(
            DustConfigError,
            "Check base_url. Behind a proxy that opens TLS, set REQUESTS_CA_BUNDLE.",
        ),
    ),
    Problem((socket.gaierror,), "the host name of {peer} could not be resolved (DNS)"),
    Problem((ConnectionRefusedError,), "{peer} refused the connection"),
    Problem(
        (exceptions.ConnectTimeout, ConnectTimeoutError),
        "{peer} could not be reached in time (timed out)",
    ),
    _NO_RESPONSE,
    Problem((TimeoutError,), "{path} did not take the request in time (timed out)"),
    Problem((exceptions.ProxyError,), "{peer} did not work"),
    Problem((exceptions.SSLError,), "no TLS connection to {path} could be made"),
    Problem((_ResponseTooLargeError,), "{path} sent more than 64 MiB in one response"),
    Problem(
        (http.client.RemoteDisconnected, http.client.IncompleteRead),
        "the connection to {path} broke",
    ),
    Problem(
        (http.client.HTTPException, DecodeError, ValueError),
        "{path} sent a response that cannot be read as HTTP",
    ),
    Problem((Exception,), "the connection to {path} broke"),
)

# Their texts must not reach a traceback: they may quote a URL with a proxy's password, or what a
# server or a proxy sent.
_QUOTING = (exceptions.ProxyError, http.client.HTTPException, ValueError)


def _connect_timeout_s(body: bytes | None) -> float:
    """Return the time to connect. urllib3 has the same time again to send the body."""
    return max(CONNECT_TIMEOUT_S, len(body or b"") / _SLOW_LINE_BYTES_PER_S)


def _content(response: requests.Response) -> bytearray:
    content = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        content += chunk
        if len(content) > _MAX_RESPONSE_BYTES:
            raise _ResponseTooLargeError
    return content


def _json(content: bytearray) -> Any:
    try:
        return orjson.loads(content)
    except ValueError:
        return None


def _retry_after_s(value: str | None) -> float | None:
    """Return how long a server asks to wait, in seconds or until a date."""
    if value and value.isdecimal():
        return float(value)
    date_ms = _date_ms(value)
    return None if date_ms is None else max(0.0, date_ms / 1000 - time.time())


def _date_ms(value: str | None) -> int | None:
    """Return an HTTP date as Unix time in ms, or None when it cannot be read."""
    try:
        date = parsedate_to_datetime(value or "").replace(tzinfo=timezone.utc)
        return int(date.timestamp()) * 1000
    except (ValueError, OverflowError):
        return None


def _tunnel_status(chain: list[BaseException]) -> int | None:
    """Return the status with which a proxy refused a CONNECT, from the text of http.client."""
    for cause in chain:
        if refusal := re.match(r"Tunnel connection failed: (\d{3})", str(cause)):
            return int(refusal[1])
    return None


def _any_is(chain: list[BaseException], types: tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(cause, types) for cause in chain)
