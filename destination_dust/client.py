"""The Dust API over HTTP: one session, its routes, its retries. Sole user of `requests`."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import quote, urlsplit

import orjson
import requests
from airbyte_cdk.models import StreamDescriptor
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import HTTPError, InvalidHeader, ReadTimeoutError
from urllib3.util import Retry

from destination_dust import __version__
from destination_dust.config import DustConfig, is_loopback
from destination_dust.document import Document
from destination_dust.errors import DustConfigError, DustUnavailableError
from destination_dust.failures import SUCCESSES, Answer, Failure, failure, no_dust_api
from destination_dust.pacing import DUST_WINDOW_S, Pacer
from destination_dust.retry import Retries

logger = logging.getLogger("airbyte")

CONNECT_TIMEOUT_S = 10
# Dust embeds a document's text before it answers.
READ_TIMEOUT_S = 120

# How servers write the route to a data source: with a hyphen or, as live Dust does, an underscore.
ROUTES = ("data-sources", "data_sources")


@dataclass
class Effort:
    """What it has taken to get requests through, also those that failed in the end."""

    retries: int = 0
    rate_limit_wait_s: float = 0.0


@dataclass(frozen=True)
class _Task:
    """A request, apart from its route. `succeeded` recognises Dust's answer by its JSON."""

    name: str
    method: str
    path: str
    succeeded: Callable[[Any], bool]
    body: bytes | None = None
    is_rate_limited: bool = False
    stream: StreamDescriptor | None = None


class DustClient:
    """The documents of one Dust data source.

    A server that does not know the first of the ROUTES is asked on the next, until one of them has
    succeeded; that one is kept.
    """

    def __init__(
        self,
        config: DustConfig,
        *,
        window_s: float = DUST_WINDOW_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        _refuse_to_cross_the_network_in_clear(config.base_url)
        self._host = urlsplit(config.base_url).netloc
        self._route: str | None = None
        self._pacer = Pacer(window_s, clock=clock)
        self._read_timeout_s = read_timeout_s
        self._sleep = sleep
        self._session = _Session()
        self._session.mount("https://", _OneHostAdapter())
        self._session.mount("http://", _OneHostAdapter())
        # Not in the session, which merges its headers for each request that it prepares, and puts
        # the password of an entry in ~/.netrc in place of the key.
        self._headers = {
            "User-Agent": f"destination-dust/{__version__}",
            "Accept": "application/json",
            "Authorization": f"Bearer {config.api_key}",
        }
        # What is the same for every request is worked out once: half of what `Session.request`
        # costs is to prepare headers and to look through the environment, each time.
        self._urls = {route: _prepared_url(_documents_url(config, route)) for route in ROUTES}
        self._send_options = self._session.merge_environment_settings(
            config.base_url, proxies={}, stream=None, verify=None, cert=None
        )

    def __enter__(self) -> DustClient:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._session.close()

    def check_connection(self) -> None:
        """List one document, to see that key, ids and URL are right.

        Raises DustError, with what to fix, when they are not.
        """
        self._perform(
            _Task(
                name="list the data source's documents",
                method="GET",
                path="?limit=1",
                succeeded=_lists_documents,
            ),
            Effort(),
        )

    def upsert_document(self, document: Document, effort: Effort | None = None) -> None:
        """Store the document, in place of one of the same id. What it takes is added to `effort`.

        When this returns, Dust has the document. Raises DustError when it may not have it.
        """
        self._perform(
            _Task(
                name=f"upsert document {document.id!r} of stream {document.stream.name!r}",
                method="POST",
                path=f"/{document.id}",
                succeeded=partial(_tells_of_storing, document.id),
                body=orjson.dumps(document.payload()),
                is_rate_limited=True,
                stream=document.stream.descriptor,
            ),
            effort or Effort(),
        )

    def _perform(self, task: _Task, effort: Effort) -> None:
        failed = self._try_routes(task, effort)
        if failed is not None:
            raise failed.error(task.name, task.stream)

    def _try_routes(self, task: _Task, effort: Effort) -> Failure | None:
        if self._route is not None:
            return self._try_repeatedly(task, self._route, effort)

        not_found: list[Answer] = []
        for route in ROUTES:
            failed = self._try_repeatedly(task, route, effort)
            if failed is None:
                self._keep(route)
                return None
            if failed.answer is None or failed.answer.status != 404:
                return failed
            not_found.append(failed.answer)
        # A 404 in Dust's own words means that the route is known, and something on it is not.
        from_dust = next((answer for answer in not_found if answer.envelope), None)
        return failure(from_dust) if from_dust else no_dust_api([a.url for a in not_found])

    def _keep(self, route: str) -> None:
        self._route = route
        if route != ROUTES[0]:
            logger.info("%s serves documents under /%s/: keeping to that.", self._host, route)

    def _try_repeatedly(self, task: _Task, route: str, effort: Effort) -> Failure | None:
        retries = Retries(self._pacer if task.is_rate_limited else None)
        while True:
            failed = self._try_in_turn(task, route, effort)
            if failed is None:
                return None
            wait_s = retries.wait_s(failed)
            if wait_s is None:
                return failed
            logger.warning(
                "Could not %s: %s Retry %d in %.1f s.",
                task.name,
                failed.sentence,
                retries.done,
                wait_s,
            )
            effort.retries += 1
            if failed.is_throttled:
                effort.rate_limit_wait_s += wait_s
            self._sleep(wait_s)

    def _try_in_turn(self, task: _Task, route: str, effort: Effort) -> Failure | None:
        """Try once; an upsert waits for its turn under the rate limit first."""
        if not task.is_rate_limited:
            return self._try_once(task, route)
        wait_s = self._pacer.wait_s()
        if wait_s > 0:
            effort.rate_limit_wait_s += wait_s
            self._sleep(wait_s)
        failed = self._try_once(task, route)
        if failed is None or not failed.is_throttled:
            # A failure may have taken a slot too: who knows how far the request got.
            self._pacer.count()
        return failed

    def _try_once(self, task: _Task, route: str) -> Failure | None:
        try:
            response = self._session.send(
                self._request(task, route),
                timeout=(CONNECT_TIMEOUT_S, self._read_timeout_s),
                **self._send_options,
            )
            json = _json(response.content)
        except (OSError, HTTPError) as error:
            return _network_failure(error, self._host)
        if response.status_code in SUCCESSES and task.succeeded(json):
            return None
        return failure(_answer(response, json))

    def _request(self, task: _Task, route: str) -> requests.PreparedRequest:
        request: Any = requests.PreparedRequest()
        request.method = task.method
        request.url = self._urls[route] + task.path
        # A plain dict, which costs less than the mapping of requests that is blind to case: so
        # "Content-Length" is spelled as requests looks for it.
        request.headers = self._headers
        if task.body is not None:
            request.body = task.body
            request.headers = {
                **self._headers,
                "Content-Type": "application/json",
                "Content-Length": str(len(task.body)),
            }
        return cast("requests.PreparedRequest", request)


class _Session(requests.Session):
    """A session for which a redirect is an answer.

    Followed, a redirected POST would become a GET: a 200, and nothing stored.
    """

    def resolve_redirects(self, *_answer: Any, **_options: Any) -> Iterator[Any]:
        return iter(())


class _OneHostAdapter(HTTPAdapter):
    """Does once, or not at all, what is the same for all requests to one host that sets no cookies.

    requests does it for each request, at about a third of a record's cost.
    """

    _pool: Any = None

    def get_connection_with_tls_context(self, *request_and_settings: Any, **settings: Any) -> Any:
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*request_and_settings, **settings)
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        if proxies:
            return super().request_url(request, proxies)
        # The URL without scheme and host.
        return "/" + str(request.url).split("/", 3)[3]

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        # With the body read here, where `content` finds it, there is no `raw`, in which requests
        # would look for cookies. What goes wrong with the body is urllib3's error, not requests'.
        # urllib3's headers are as blind to case as those of requests.
        response: Any = requests.Response()
        response.status_code = resp.status
        response.headers = resp.headers
        response.url = req.url
        response._content = _body(resp)
        return cast("requests.Response", response)


def _refuse_to_cross_the_network_in_clear(base_url: str) -> None:
    """Raise DustConfigError when an http:// request would leave this machine through a proxy."""
    if not base_url.startswith("http://"):
        return
    proxy = select_proxy(base_url, get_environ_proxies(base_url))
    if proxy is None:
        return
    try:
        proxy_host = urlsplit(proxy if "://" in proxy else f"//{proxy}").hostname
    except ValueError:
        # `from None`: a proxy's URL may hold a password.
        raise DustConfigError("HTTP_PROXY is not a URL: correct it or unset it.") from None
    if not is_loopback(proxy_host or ""):
        raise DustConfigError(
            "The environment's HTTP proxy would carry the key across the network in clear: add "
            f"{urlsplit(base_url).hostname} to NO_PROXY."
        )


def _documents_url(config: DustConfig, route: str) -> str:
    workspace, space, data_source = (
        quote(id_, safe="", errors="surrogatepass")
        for id_ in (config.workspace_id, config.space_id, config.data_source_id)
    )
    return f"{config.base_url}/api/v1/w/{workspace}/spaces/{space}/{route}/{data_source}/documents"


def _prepared_url(url: str) -> str:
    """Return the URL as requests would send it, with a host in ASCII."""
    try:
        return str(requests.Request("GET", url).prepare().url)
    except requests.exceptions.InvalidURL as error:
        raise DustConfigError("base_url names no host that a request can go to.") from error


def _lists_documents(json: Any) -> bool:
    return isinstance(json, dict) and isinstance(json.get("documents"), list)


def _tells_of_storing(document_id: str, json: Any) -> bool:
    """Tell whether an upsert's answer says that this document was stored.

    Dust names the document only in the whole answer. The light one, which the connector asks for,
    has the hash of what was stored and no id; the answer to an asynchronous upsert has the id only.

    Source: dust-tt/dust, `data_sources_documents_upsert` in `core/src/api/data_sources.rs`;
    `UpsertDocumentResponseSchema` and `CoreAPILightDocumentSchema` of `@dust-tt/client`.
    """
    stored = json.get("document") if isinstance(json, dict) else None
    if not isinstance(stored, dict):
        return False
    if stored.get("document_id") is not None:
        return bool(stored["document_id"] == document_id)
    return isinstance(stored.get("hash"), str)


def _body(response: Any) -> bytes:
    try:
        return bytes(response.read(decode_content=True))
    except HTTPError:
        if response.status in SUCCESSES:
            raise
        # The status of an error says enough.
        return b""


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None


def _answer(response: requests.Response, json: Any) -> Answer:
    return Answer(
        status=response.status_code,
        url=response.url,
        json=json,
        location=response.headers.get("Location"),
        retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
    )


def _retry_after_s(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return Retry().parse_retry_after(value)
    except (InvalidHeader, ValueError, OverflowError):
        return None


def _network_failure(error: Exception, host: str) -> Failure:
    """Return what an exception of the HTTP client means. Its own text is for programmers."""
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        # They are no `cause`, as they quote URLs: a proxy's has a password.
        return Failure(
            said=f"no request can be made for {host}",
            advice="Check base_url and the environment's proxy settings (HTTPS_PROXY).",
            kind=DustConfigError,
        )
    causes = list(_causes(error))
    if _any_is(causes, ssl.SSLCertVerificationError):
        return Failure(
            said=f"the TLS certificate of {host} could not be verified",
            advice="Check base_url. Behind a proxy that opens TLS, set REQUESTS_CA_BUNDLE.",
            kind=DustConfigError,
            cause=error,
        )
    if type(error) is OSError and error.errno is None:
        # What requests raises when it does not find its bundle of certificates.
        return Failure(
            said="the certificates to verify TLS with could not be read",
            advice="Check the file that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names, or unset it.",
            kind=DustConfigError,
            cause=error,
        )
    return Failure(
        said=_what_broke(causes, host),
        advice="Check base_url, and the network and proxy settings of the machine this runs on.",
        kind=DustUnavailableError,
        can_pass=True,
        cause=error,
    )


def _what_broke(causes: list[BaseException], host: str) -> str:
    if _any_is(causes, socket.gaierror):
        return f"the host name {host} could not be resolved (DNS)"
    if _any_is(causes, requests.exceptions.ProxyError):
        return f"the proxy to {host} did not work"
    if _any_is(causes, requests.exceptions.SSLError):
        return f"no TLS connection to {host} could be made"
    if _any_is(causes, requests.exceptions.ConnectTimeout):
        return f"{host} could not be reached in time (timed out)"
    if _any_is(causes, requests.exceptions.Timeout) or _any_is(causes, ReadTimeoutError):
        return f"{host} did not answer in time (timed out)"
    if _any_is(causes, ConnectionRefusedError):
        return f"{host} refused the connection"
    return f"the connection to {host} broke"


def _any_is(causes: list[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in causes)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
