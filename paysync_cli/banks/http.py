"""One request to a bank over HTTP, with every way it can go wrong translated into the adapters' errors.

Adapters build their client with `make_client` and ask with `exchange`; what they get back is a `Reply` whose status
the bank's own rules must judge (2xx and 4xx), and whose body is bounded and parsed without floats.
Messages name method, path, status, type and length: never a body, a header or a query string.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from paysync_cli.banks.base import BankError, Throttled, Unavailable, Unreadable
from paysync_cli.banks.wire import parse_json, printable
from paysync_cli.version import __version__

if TYPE_CHECKING:
    import httpx

CONNECT_S = 5.0
READ_S = 15.0  # between two pieces of an answer
POOL_S = 10.0  # waiting for a free connection
TOTAL_S = 30.0  # one exchange from first to last byte; a bank that drips bytes ends here
MAX_BODY = 4 * 1024 * 1024  # bytes of an answer, before and after decompression
MAX_RETRY_AFTER_S = 3600.0  # longer is asked again after an hour: one wrong header must not silence a bank for days

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


def make_client(*, concurrency: int = 20, over_aiohttp: bool = False) -> httpx.AsyncClient:
    """A pooled client for one bank: explicit time-outs, no redirects, at most `concurrency` connections.

    `over_aiohttp` sends through aiohttp, which costs a tenth of the CPU at many requests in flight (for workers);
    the default imports faster (for one question at a terminal). Close it with `aclose()`.
    """
    import httpx

    timeout = httpx.Timeout(connect=CONNECT_S, read=READ_S, write=READ_S, pool=POOL_S)
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency, keepalive_expiry=30)
    # Identity: answers are small, and a body that is not compressed cannot explode.
    headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": f"paysync/{__version__}"}
    if over_aiohttp:
        from httpx_aiohttp import HttpxAiohttpClient

        return HttpxAiohttpClient(timeout=timeout, limits=limits, headers=headers, follow_redirects=False)
    return httpx.AsyncClient(timeout=timeout, limits=limits, headers=headers, follow_redirects=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that arrived whole. `where` is method and path; `status` is 2xx or 4xx (never 408 or 429)."""

    where: str
    status: int
    content_type: str
    body: bytes = field(repr=False)

    def describe(self) -> str:
        """`GET /x: HTTP 200, text/html, 512 bytes`: all that may be said of an answer nobody understands."""
        return f"{self.where}: HTTP {self.status}, {self.content_type or 'no content type'}, {len(self.body)} bytes"

    def json(self) -> object:
        """The parsed body, numbers with a point as Decimal. Raises Unreadable when it is not JSON."""
        try:
            return parse_json(self.body)
        except ValueError:
            raise Unreadable(f"{self.describe()}: not JSON") from None


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    now: Callable[[], datetime],
    headers: Mapping[str, str] | None = None,
    json: object = None,
    max_body: int = MAX_BODY,
    total_s: float = TOTAL_S,
) -> Reply:
    """Send one request, once, and return its whole answer.

    Raises Throttled (429, with its Retry-After), Unavailable (time-out, connection or protocol error, truncated
    body, 408, 5xx) and Unreadable (a redirect, more than `max_body` bytes, an unknown content encoding).
    """
    request = client.build_request(method, url, headers=headers, json=json)
    where = f"{method} {printable(request.url.path, 160)}"
    try:
        async with asyncio.timeout(total_s):
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                _raise_for_status(response, where, now)
                body = await _read_body(response, where, max_body)
            finally:
                await response.aclose()
    except BankError:
        raise
    except Exception as error:
        # Deliberately all of them: the transports leak errors of three libraries, and none says more than
        # "no readable answer". Without its cause, because that one carries the request and its secrets.
        raise Unavailable(f"{where}: {_reason(error)}") from None
    return Reply(where, response.status_code, _content_type(response), body)


def _raise_for_status(response: httpx.Response, where: str, now: Callable[[], datetime]) -> None:
    status = response.status_code
    if status == 408 or status >= 500:
        raise Unavailable(f"{where}: HTTP {status}, {_content_type(response) or 'no content type'}")
    if status < 200 or 300 <= status < 400:
        raise Unreadable(f"{where}: HTTP {status}, a redirect, which is not followed")
    if status == 429:
        wait_s = retry_after_s(response.headers.get("retry-after"), now())
        asked = "without saying how long" if wait_s is None else f"for {wait_s:.0f} s"
        raise Throttled(f"{where}: HTTP 429, the bank asks to wait {asked}", wait_s)


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds to wait, from a Retry-After in seconds or as an HTTP date; None when absent or unreadable."""
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(text)
        until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
        return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
    except (ValueError, TypeError, OverflowError):
        return None


async def _read_body(response: httpx.Response, where: str, max_body: int) -> bytes:
    if response.is_stream_consumed:
        body = response.content  # a scripted transport hands over whole answers, decoded
        if len(body) > max_body:
            raise _too_long(response, where, max_body)
        return body
    raw = bytearray()
    async for chunk in response.aiter_raw():
        raw += chunk
        if len(raw) > max_body:
            raise _too_long(response, where, max_body)
    return _decompress(bytes(raw), response, where, max_body)


def _decompress(raw: bytes, response: httpx.Response, where: str, max_body: int) -> bytes:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if not raw or encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "deflate"):
        raise Unreadable(f"{where}: HTTP {response.status_code}, unknown content encoding")
    decompressor = zlib.decompressobj(wbits=47)  # gzip or zlib, told apart by their header
    try:
        body = decompressor.decompress(raw, max_body)
    except zlib.error:
        raise Unreadable(f"{where}: HTTP {response.status_code}, damaged {encoding} body") from None
    if decompressor.unconsumed_tail:
        raise _too_long(response, where, max_body)
    if not decompressor.eof:
        raise Unavailable(f"{where}: HTTP {response.status_code}, truncated {encoding} body")
    return body


def _too_long(response: httpx.Response, where: str, max_body: int) -> Unreadable:
    kind = _content_type(response) or "no content type"
    return Unreadable(f"{where}: HTTP {response.status_code}, {kind}, longer than {max_body} bytes")


def _content_type(response: httpx.Response) -> str:
    return printable(response.headers.get("content-type", ""), 80)


def _reason(error: BaseException) -> str:
    """Why no answer came, in a few words that hold nothing of the request."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate not accepted ({printable(cause.verify_message, 80)})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({printable(cause.reason or 'no reason given', 80)})"
        if isinstance(cause, socket.gaierror):
            return "host name not found"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
    name = type(error).__name__
    return "timed out" if name in ("TimeoutError", "ReadTimeout", "WriteTimeout", "PoolTimeout") else f"failed ({name})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    pending, seen = [error], set[int]()
    while pending:
        cause = pending.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        pending += [c for c in (cause.__cause__, cause.__context__, getattr(cause, "os_error", None)) if c is not None]
