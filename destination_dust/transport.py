"""One exchange over HTTP: the session, its timeouts, what broke. Sole user of `requests`.

An exchange returns a `Response`, whatever its status, or a `Failure` when there was none.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
import requests
from requests import exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import ConnectTimeoutError, DecodeError, HTTPError, ReadTimeoutError

from destination_dust import __version__
from destination_dust.config import is_loopback
from destination_dust.errors import DustConfigError, DustUnavailableError, causes
from destination_dust.failures import Failure, Meaning, Response, tunnel_refused

CONNECT_TIMEOUT_S = 10.0
# Dust embeds a document's text before it responds.
READ_TIMEOUT_S = 300.0

_SLOW_LINE_BYTES_PER_S = 25_000
_MAX_RESPONSE_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024

_MAX_PATH = 255
_PROXY_URL = re.compile(
    r"(https?://)?(?P<user>[^\s/?#@\\]*@)?(?P<host>\[[0-9a-fA-F:.]+\]|[^\s/?#@\\:]+)"
    r"(?P<port>:\d{1,5})?/?"
)
# OpenSSL's codes: not yet valid, expired, another host name, another IP address.
_WRONG_TIME_OR_NAME = (9, 10, 62, 64)
_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


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
        self._proxy = _proxy_for(base_url, self._environment["proxies"])
        bundle = self._environment["verify"]
        self._bundle_variable: str | None = None
        if isinstance(bundle, str) and base_url.startswith("https://"):
            self._bundle_variable = _variable_naming(bundle)
            self._session.mount("https://", _BundleAdapter(bundle, self._bundle_variable))

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
    def _prepared(self) -> requests.PreparedRequest:
        return self._session.prepare_request(requests.Request("GET", self._base_url))

    def _request(self, method: str, path: str, body: bytes | None) -> requests.PreparedRequest:
        # A copy, since preparing each request would cost a fifth of a record's CPU.
        request = self._prepared.copy()
        request.method, request.url = method, self._base_url + path
        if body is not None:
            request.headers["Content-Type"] = "application/json"
            request.prepare_body(body, None)
        return request

    def _failure(self, error: Exception, *, is_upsert: bool) -> Failure:
        """Return what an exception means to a user. Its own text is for programmers."""
        chain = list(causes(error))
        if (status := _tunnel_status(chain)) is not None and self._proxy:
            return tunnel_refused(
                self._proxy.address, self.host, status, had_user=self._proxy.has_user
            )
        proxy = self._proxy and f"the proxy {self._proxy.address}"
        for cause in chain:
            if isinstance(cause, ssl.SSLCertVerificationError):
                is_of_proxy = _any_is(chain, (exceptions.ProxyError,))
                return self._unverified(cause, (is_of_proxy and proxy) or self.host)
        problem = next(each for each in NETWORK_PROBLEMS if each.is_in(chain))
        return Failure(
            said=problem.said.format(
                host=self.host,
                peer=proxy or self.host,
                path=f"{self.host} (through {proxy})" if proxy else self.host,
            ),
            meaning=_MAY_BE_STORED if is_upsert and problem is _NO_RESPONSE else problem.meaning,
            cause=None if _any_is(chain, _QUOTING) else error,
        )

    def _unverified(self, error: ssl.SSLCertVerificationError, peer: str) -> Failure:
        if error.verify_code in _WRONG_TIME_OR_NAME:
            advice = (
                "Check base_url and this machine's clock. Otherwise the certificate has to be "
                "corrected, on the server or on a proxy that intercepts TLS."
            )
        elif self._bundle_variable:
            advice = (
                f"Check base_url, and that {self._bundle_variable} names a PEM file with the "
                "certificate of the authority that signed this one."
            )
        else:
            advice = "Check base_url. Behind a proxy that intercepts TLS, set REQUESTS_CA_BUNDLE."
        reason = error.verify_message.rstrip(".")
        return Failure(
            said=f"the TLS certificate of {peer} could not be verified: {reason}",
            meaning=Meaning(DustConfigError, advice),
            cause=error,
        )


@dataclass(frozen=True)
class _Proxy:
    """A proxy's host and port, and whether its URL has a user and a password."""

    address: str
    has_user: bool


class _ApiKey(AuthBase):
    """Sends the key as the session's `auth`, because ~/.netrc would replace a plain header."""

    def __init__(self, api_key: str) -> None:
        self._header = f"Bearer {api_key}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


class _BundleAdapter(HTTPAdapter):
    """Verifies with the user's own certificates, as Python 3.12 and older do.

    Python 3.13 refuses certificates that are not strict RFC 5280, as those of many companies' TLS
    proxies are.
    """

    def __init__(self, bundle: str, variable: str) -> None:
        # Without VERIFY_X509_STRICT, which only ssl.create_default_context sets.
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Not with pathlib, which raises where the folder may not be read.
        is_folder = os.path.isdir(bundle)  # noqa: PTH112
        try:
            self._context.load_verify_locations(
                cafile=None if is_folder else bundle, capath=bundle if is_folder else None
            )
        except OSError as error:
            # Some put the certificates themselves there, with their private key.
            name = repr(bundle) if len(bundle) <= _MAX_PATH and "\n" not in bundle else "no file"
            raise DustConfigError(
                f"{variable} names {name}, from which no certificates can be read: it must be a "
                "PEM file. Correct it or unset it."
            ) from error
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have direct connections verified with the certificates."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Have connections to and through a proxy verified with the certificates."""
        return super().proxy_manager_for(
            proxy, ssl_context=self._context, proxy_ssl_context=self._context, **kwargs
        )


class _ResponseTooLargeError(OSError):
    pass


_NETWORK = Meaning(
    DustUnavailableError,
    "Check base_url, and the network and proxy settings of the machine this runs on.",
)
_MAY_BE_STORED = Meaning(
    DustUnavailableError,
    "The document may have been stored anyway: Dust embeds the text before it responds, and large "
    "documents take a while. Run the sync again; if it persists, leave the stream's large fields "
    "out in the connection's schema.",
)


@dataclass(frozen=True)
class Problem:
    """What one of these exceptions means to a user, even when it is the cause of another one.

    In the sentence, `{host}` is Dust's host, `{path}` is the host and the proxy on the way, and
    `{peer}` is what the connector connects to: the proxy if there is one, else the host. With
    `within`, it counts only where it has caused such an exception.
    """

    raised: tuple[type[BaseException], ...]
    said: str
    meaning: Meaning = _NETWORK
    within: type[BaseException] = Exception

    def is_in(self, chain: list[BaseException]) -> bool:
        """Return whether these exceptions and their causes show the problem."""
        return _any_is(chain, self.raised) and _any_is(chain, (self.within,))


_NO_RESPONSE = Problem(
    (exceptions.ReadTimeout, ReadTimeoutError), "{path} did not answer in time (timed out)"
)

# The first row that applies counts: the causes of a row's exceptions are often in later rows.
NETWORK_PROBLEMS = (
    Problem(
        (exceptions.InvalidURL,),
        "the address or the proxy setting for {host} is invalid",
        Meaning(DustConfigError, "Check base_url, and the proxy in HTTPS_PROXY or ALL_PROXY."),
    ),
    Problem(
        (ssl.SSLError,),
        "{peer} does not use TLS",
        Meaning(
            DustConfigError, "Begin the proxy's URL in HTTPS_PROXY with http://, not https://."
        ),
        within=exceptions.ProxyError,
    ),
    Problem((socket.gaierror,), "the host name {peer} could not be resolved (DNS)"),
    Problem((ConnectionRefusedError,), "{peer} refused the connection"),
    Problem(
        (exceptions.ConnectTimeout, ConnectTimeoutError),
        "{peer} could not be reached in time (timed out)",
    ),
    _NO_RESPONSE,
    Problem((TimeoutError,), "{path} did not accept the request in time (timed out)"),
    Problem((exceptions.ProxyError,), "{peer} did not work"),
    Problem((exceptions.SSLError,), "a TLS connection to {path} could not be established"),
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


def _proxy_for(base_url: str, proxies: Mapping[str, str]) -> _Proxy | None:
    """Return the proxy for `base_url`, or None where there is none.

    Raises DustConfigError when it cannot be used, or when the key would travel to it unencrypted.
    """
    base = urlsplit(base_url)
    url = proxies.get(base.scheme) or proxies.get("all")
    if not url:
        return None
    match = _PROXY_URL.fullmatch(url)
    # requests encodes user and password in Latin-1.
    if match is None or max(unquote(url)) > "\xff":
        raise DustConfigError(
            f"{base.scheme.upper()}_PROXY (or ALL_PROXY) is not the URL of a proxy, such as "
            "http://user:password@proxy.example:3128: correct it or unset it. SOCKS is not "
            "supported. In user and password, # is written %23, / is %2F, ? is %3F, @ is %40 and "
            "\\ is %5C."
        )
    if base.scheme == "http" and not is_loopback(match["host"]):
        raise DustConfigError(
            f"Through the environment's HTTP proxy the key would travel unencrypted: add "
            f"{base.hostname} to NO_PROXY."
        )
    return _Proxy(match["host"] + (match["port"] or ""), has_user=":" in (match["user"] or ""))


def _variable_naming(bundle: str) -> str:
    return next((name for name in _BUNDLE_VARIABLES if os.environ.get(name) == bundle), "")


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
