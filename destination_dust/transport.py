"""One exchange over HTTP: the session, proxies, certificates, limits. Sole user of `requests`.

An exchange comes to an `Answer`, whatever its status, or to a `Failure` when there was none.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader, ReadTimeoutError
from urllib3.util import Retry

from destination_dust import __version__
from destination_dust.config import is_loopback
from destination_dust.errors import DustConfigError, DustUnavailableError
from destination_dust.failures import SUCCESSES, Answer, Failure, Meaning

CONNECT_TIMEOUT_S = 10.0
# Dust embeds a document's text before it answers.
READ_TIMEOUT_S = 120.0

# A server that sends a byte now and then never runs into a timeout.
ANSWER_TIME_LIMIT_S = 600.0
ANSWER_SIZE_LIMIT_BYTES = 64 * 1024 * 1024

# What http.client raises for lengths that no response can have.
_ODD_LENGTHS = (ValueError, OverflowError, MemoryError)

_CHECK_NETWORK = "Check base_url, and the network and proxy settings of the machine this runs on."


class Transport:
    """Exchanges with one server, one at a time, over a connection that is kept alive.

    Raises DustConfigError when the environment's proxy or certificates cannot be used.
    """

    def __init__(
        self, base_url: str, api_key: str, *, read_timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        self.host = urlsplit(base_url).netloc
        self._base_url = _prepared_url(base_url)
        self._read_timeout_s = read_timeout_s
        self._adapter = _OneHostAdapter()
        self._session = _Session()
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)
        # Not in the session, which merges its headers for each request that it prepares, and puts
        # the password of an entry in ~/.netrc in place of the key.
        self._headers = {
            "User-Agent": f"destination-dust/{__version__}",
            "Accept": "application/json",
            "Authorization": f"Bearer {api_key}",
        }
        # What is the same for every request is worked out once: half of what `Session.request`
        # costs is to prepare headers and to look through the environment, each time.
        self._send_options = self._session.merge_environment_settings(
            base_url, proxies={}, stream=None, verify=None, cert=None
        )
        self._proxy = _proxy(base_url, self._send_options["proxies"])
        if base_url.startswith("https://"):
            _refuse_unusable_certificates(self._send_options["verify"])

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        time_limit_s: float = ANSWER_TIME_LIMIT_S,
    ) -> Answer | Failure:
        """Send a request with this path, which is percent-encoded, and return what came of it.

        The whole answer has to arrive within `time_limit_s` of the request, and within 64 MiB.
        """
        read_timeout_s = min(self._read_timeout_s, time_limit_s)
        self._adapter.send_timeout_s = read_timeout_s
        self._adapter.answer_until_s = time.monotonic() + time_limit_s
        try:
            response = self._session.send(
                self._request(method, path, body),
                timeout=(min(CONNECT_TIMEOUT_S, time_limit_s), read_timeout_s),
                **self._send_options,
            )
        except (OSError, HTTPError, *_ODD_LENGTHS) as error:
            return self._network_failure(error)
        return Answer(
            status=response.status_code,
            url=response.url,
            json=_json(response.content),
            location=response.headers.get("Location"),
            retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
            date_ms=_date_ms(response.headers.get("Date")),
        )

    def _request(self, method: str, path: str, body: bytes | None) -> requests.PreparedRequest:
        request: Any = requests.PreparedRequest()
        request.method = method
        request.url = self._base_url + path
        # A plain dict, which costs less than the case-insensitive mapping of requests: so
        # "Content-Length" is spelled as requests looks for it.
        request.headers = self._headers
        if body is not None:
            request.body = body
            request.headers = {
                **self._headers,
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
            }
        return cast("requests.PreparedRequest", request)

    def _network_failure(self, error: Exception) -> Failure:
        """Return what an exception of the HTTP client means. Its own text is for programmers."""
        causes = list(_causes(error))
        if (tunnel := _tunnel_status(causes)) is not None:
            return self._tunnel_failure(tunnel, error)
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
            return Failure(
                said=f"no request can be made for {self.host}",
                meaning=Meaning(
                    DustConfigError,
                    "Check base_url and the environment's proxy settings (HTTPS_PROXY).",
                ),
                # No cause: its text quotes URLs, and a proxy's has a password.
            )
        if _any_is(causes, ssl.SSLCertVerificationError):
            return Failure(
                said=f"the TLS certificate of {self.host} could not be verified",
                meaning=Meaning(
                    DustConfigError,
                    "Check base_url. Behind a proxy that opens TLS, set REQUESTS_CA_BUNDLE.",
                ),
                cause=error,
            )
        return Failure(
            said=self._what_broke(causes),
            meaning=Meaning(DustUnavailableError, _CHECK_NETWORK),
            cause=error,
        )

    def _tunnel_failure(self, status: int, error: Exception) -> Failure:
        """Return what it means that the proxy answered a CONNECT with this status."""
        if status == 407:
            advice = (
                "Put user name and password of the proxy into HTTPS_PROXY, as in "
                "http://user:password@proxy.example:3128."
            )
        else:
            advice = f"Have the proxy let {self.host} through, or add it to NO_PROXY."
        kind = DustConfigError if status < 500 else DustUnavailableError
        return Failure(
            said=f"the proxy {self._proxy} answered {status} when asked for {self.host}",
            meaning=Meaning(kind, advice),
            cause=error,
        )

    def _what_broke(self, causes: list[BaseException]) -> str:
        host = self.host
        # Only the proxy is looked up and connected to, where there is one.
        peer = f"the proxy {self._proxy}" if self._proxy else host
        path = f"{host} (through the proxy {self._proxy})" if self._proxy else host
        if _any_is(causes, socket.gaierror):
            return f"the host name of {peer} could not be resolved (DNS)"
        if _any_is(causes, requests.exceptions.ConnectTimeout):
            return f"{peer} could not be reached in time (timed out)"
        if _any_is(causes, ConnectionRefusedError):
            return f"{peer} refused the connection"
        if _any_is(causes, requests.exceptions.Timeout) or _any_is(causes, ReadTimeoutError):
            return f"{path} did not answer in time (timed out)"
        if _any_is(causes, requests.exceptions.ProxyError):
            return f"{peer} did not work"
        if _any_is(causes, requests.exceptions.SSLError):
            return f"no TLS connection to {path} could be made"
        if _any_is(causes, _AnswerTooLargeError):
            return f"{path} sent more than {ANSWER_SIZE_LIMIT_BYTES >> 20} MiB in one response"
        if _any_is(causes, DecodeError):
            return f"{path} sent a response whose compression is broken"
        if any(map(_is_no_http, causes)):
            return f"{path} sent a response that cannot be read as HTTP"
        return f"the connection to {path} broke"


class _Session(requests.Session):
    """A session for which a redirect is an answer.

    Followed, a redirected POST would become a GET: a 200, and nothing stored.
    """

    def resolve_redirects(self, *_answer: Any, **_options: Any) -> Iterator[Any]:
        return iter(())


class _OneHostAdapter(HTTPAdapter):
    """Does once, or not at all, what is the same for all requests to one host that sets no cookies.

    requests does it for each request, at about a third of a record's cost. The answers read here
    are bounded: see `_BoundedResponse`.
    """

    answer_until_s = 0.0
    send_timeout_s = READ_TIMEOUT_S
    _pool: Any = None

    def get_connection_with_tls_context(self, *request_and_settings: Any, **settings: Any) -> Any:
        get = super().get_connection_with_tls_context
        return self._one_pool(partial(get, *request_and_settings, **settings))

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        # What requests before 2.32 calls.
        return self._one_pool(partial(super().get_connection, url, proxies))

    def _one_pool(self, get: Callable[[], Any]) -> Any:
        if self._pool is None:
            pool = self._pool = get()
            plain = pool.ConnectionCls

            def connect(connection: Any) -> None:
                plain.connect(connection)
                # Until the response is awaited, urllib3 leaves it at the time there is to connect:
                # too little for a large document on a slow line.
                connection.sock.settimeout(self.send_timeout_s)

            response_class = staticmethod(partial(_BoundedResponse, self))
            bounded = {"connect": connect, "response_class": response_class}
            pool.ConnectionCls = type("BoundedConnection", (plain,), bounded)
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        if proxies:
            return super().request_url(request, proxies)
        # The URL without scheme and host.
        return "/" + str(request.url).split("/", 3)[3]

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        # With the body read here, where `content` finds it, there is no `raw`, in which requests
        # would look for cookies. What goes wrong with the body is urllib3's error, not requests'.
        # urllib3's headers are as case-insensitive as those of requests.
        response: Any = requests.Response()
        response.status_code = resp.status
        response.headers = resp.headers
        response.url = req.url
        response._content = _body(resp)
        return cast("requests.Response", response)


class _BoundedResponse(http.client.HTTPResponse):
    """A response that ends in time and size, from its first byte, and skips what comes before it.

    A server may announce its answer with any number of interim ones (102 Processing, 103 Early
    Hints), of which http.client knows 100 only.
    """

    def __init__(
        self, adapter: _OneHostAdapter, sock: socket.socket, *args: Any, **kw: Any
    ) -> None:
        super().__init__(sock, *args, **kw)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_BoundedReader(raw, sock, adapter.answer_until_s))

    def begin(self) -> None:
        super().begin()
        while 101 < self.status < 200:
            self.headers = self.msg = None  # type: ignore[assignment] # as before a response
            super().begin()
        if self.length is not None and self.length > ANSWER_SIZE_LIMIT_BYTES:
            raise _AnswerTooLargeError


class _BoundedReader(io.RawIOBase):
    """What a socket receives until a time (of `time.monotonic`), and up to the limit of size."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, until_s: float) -> None:
        self._raw = raw
        self._sock = sock
        self._until_s = until_s
        self._left_bytes = ANSWER_SIZE_LIMIT_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        timeout_s = self._sock.gettimeout()
        if timeout_s is None or timeout_s > left_s:
            self._sock.settimeout(left_s)
        received = cast("int", self._raw.readinto(buffer))
        self._left_bytes -= received
        if self._left_bytes < 0:
            raise _AnswerTooLargeError
        return received

    def close(self) -> None:
        self._raw.close()
        super().close()


class _AnswerTooLargeError(OSError):
    pass


def _prepared_url(url: str) -> str:
    """Return a base URL as requests would send it, with a host in ASCII."""
    try:
        return str(requests.Request("GET", url).prepare().url).rstrip("/")
    except requests.exceptions.InvalidURL as error:
        raise DustConfigError("base_url names no host that a request can go to.") from error


def _proxy(base_url: str, proxies: Any) -> str | None:
    """Return host and port of the environment's proxy for the URL, without user and password."""
    url = select_proxy(base_url, proxies)
    if url is None:
        return None
    base = urlsplit(base_url)
    variable = f"{base.scheme.upper()}_PROXY"
    try:
        # As requests does with user and password.
        url.encode("latin-1")
        proxy = urlsplit(url if "://" in url else f"http://{url}")
        host, port = proxy.hostname, proxy.port
    except ValueError:
        host = None
    if not host:
        # Without a cause: a proxy's URL may hold a password.
        raise DustConfigError(
            f"{variable} (or ALL_PROXY) is not the URL of a proxy, such as "
            "http://proxy.example:3128: correct it or unset it."
        ) from None
    if base.scheme == "http" and not is_loopback(host):
        raise DustConfigError(
            f"Through the environment's HTTP proxy the key would travel unencrypted: add "
            f"{base.hostname} to NO_PROXY."
        )
    return host if port is None else f"{host}:{port}"


def _refuse_unusable_certificates(bundle: Any) -> None:
    """Raise DustConfigError when the environment names certificates that cannot be loaded.

    Met in a request, they look like a fault of the connection.
    """
    if not isinstance(bundle, str):
        return
    path = Path(bundle)
    try:
        if not path.is_dir():
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        variable = next((name for name in names if os.environ.get(name) == bundle), names[0])
        raise DustConfigError(
            f"{variable} names {bundle!r}, from which no certificates can be read: correct it or "
            "unset it."
        ) from error


def _body(response: Any) -> bytes:
    try:
        return _decoded(response.read(decode_content=False), response.headers)
    except (HTTPError, _AnswerTooLargeError):
        if response.status in SUCCESSES:
            raise
        # The status of an error says enough.
        return b""


def _decoded(body: bytes, headers: Any) -> bytes:
    """Return the body without the compression that no request has asked for.

    Unlike in urllib3, what a few bytes may grow to is bounded.
    """
    if not body or headers.get("Content-Encoding", "identity") == "identity":
        return body
    try:
        # gzip or deflate, as its first bytes tell.
        decoded = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(
            body, ANSWER_SIZE_LIMIT_BYTES + 1
        )
    except zlib.error as error:
        raise DecodeError from error
    if len(decoded) > ANSWER_SIZE_LIMIT_BYTES:
        raise _AnswerTooLargeError
    return decoded


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None


def _retry_after_s(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return Retry().parse_retry_after(value)
    except (InvalidHeader, ValueError, OverflowError):
        return None


def _date_ms(value: str | None) -> int | None:
    """Return the time of a Date header in ms of the server's clock: it has whole seconds."""
    try:
        return int(parsedate_to_datetime(value or "").timestamp()) * 1000
    except (ValueError, TypeError):
        return None


def _tunnel_status(causes: list[BaseException]) -> int | None:
    """Return the status with which a proxy refused a CONNECT: http.client tells it in words."""
    for cause in causes:
        if refusal := re.match(r"Tunnel connection failed: (\d{3})", str(cause)):
            return int(refusal[1])
    return None


def _is_no_http(cause: BaseException) -> bool:
    return isinstance(cause, (http.client.HTTPException, *_ODD_LENGTHS)) and not isinstance(
        # What http.client raises when a connection ends too early, and what requests does.
        cause,
        http.client.RemoteDisconnected | http.client.IncompleteRead | OSError,
    )


def _any_is(causes: list[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in causes)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
