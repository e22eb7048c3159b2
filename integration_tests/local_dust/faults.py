"""What can go wrong between a client and Dust, on demand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    `status`, `headers` and `body` replace Dust's response, and `delay_s` delays any response. The
    connection ends as `ending` says: "reset" or "closed" without a response, "truncated" in the
    middle of it; a "trickled" response is sent byte by byte. With `after_work` Dust handles the
    request before it fails.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    ending: str | None = None
    after_work: bool = False

    @property
    def needs_dust(self) -> bool:
        """Return whether Dust handles the request."""
        return self.after_work or (self.status is None and self.ending not in ("reset", "closed"))


def random_faults(seed: int, share: float) -> Iterator[Fault | None]:
    """Yield endless faults for this share of the requests, the same ones for the same seed."""
    source = random.Random(seed)
    unavailable = b'{"error":{"type":"service_unavailable","message":"Down."}}'
    kinds = [
        Fault(status=503, body=unavailable),
        Fault(status=500, after_work=True),
        Fault(status=502, body=b"<html>Bad gateway</html>"),
        Fault(status=429, headers={"Retry-After": "1"}),
        Fault(status=200, body=b"<html>Sign in</html>"),
        Fault(status=200, body=b'{"document":{"document_id":"another"}}', after_work=True),
        Fault(ending="reset"),
        Fault(ending="reset", after_work=True),
        Fault(ending="closed"),
        Fault(ending="closed", after_work=True),
        Fault(ending="truncated"),
        Fault(delay_s=0.01),
    ]
    while True:
        yield source.choice(kinds) if source.random() < share else None


async def fail(
    request: web.Request, fault: Fault, response: web.StreamResponse | None
) -> web.StreamResponse:
    """Return what is sent instead of Dust's response, or end the connection."""
    if request.transport and fault.ending in ("reset", "closed"):
        if fault.ending == "reset":
            request.transport.abort()
        request.transport.close()
    if fault.status is not None:
        return web.Response(status=fault.status, headers=fault.headers, body=fault.body)
    if fault.ending in ("truncated", "trickled") and isinstance(response, web.Response):
        is_whole = fault.ending == "trickled"
        return await _send_in_parts(request, bytes(response.body), is_whole=is_whole)
    return response or web.Response()


async def _send_in_parts(
    request: web.Request, body: bytes, *, is_whole: bool
) -> web.StreamResponse:
    """Send a response byte by byte, or only its first half."""
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    await response.prepare(request)
    for at in range(len(body) if is_whole else len(body) // 2):
        await response.write(body[at : at + 1])
        await asyncio.sleep(0.001)
    if not is_whole and request.transport:
        request.transport.close()
    return response
