"""One request to a bank over HTTP, with every way it can go wrong translated into the adapters' errors.

Adapters build their client with `make_client` and ask with `exchange`; what they get back is a `Reply` whose status
the bank's own rules must judge (2xx and 4xx), and whose body is bounded and parsed without floats.
Messages name method, path, status, type and length: never a body, a header or a query string.
"""

from __future__ import annotations

import asyncio
import json as json_module
import re
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode

from paysync_cli.banks.base import BankError, Throttled, Unavailable, Unreadable
from paysync_cli.banks.pool import PooledClient
from paysync_cli.banks.tls import Tls, make_context
from paysync_cli.banks.wire import parse_json, printable
from paysync_cli.version import __version__

if TYPE_CHECKING:
    import aiohttp
    import httpx

    from paysync_cli.banks.pool import HttpClient

CONNECT_S = 5.0
READ_S = 15.0  # between two pieces of an answer
POOL_S = 10.0  # waiting for a free connection
TOTAL_S = 30.0  # one exchange from first to last byte; a bank that drips bytes ends here
MAX_BODY = 4 * 1024 * 1024  # bytes of an answer, before and after decompression
PLAIN_TLS = Tls()
MAX_RETRY_AFTER_S = 3600.0  # longer is asked again after an hour: one wrong header must not silence a bank for days

_BROKEN = (  # of httpx and aiohttp: cut while the request or its answer was under way
    "ClientOSError",
    "ClientPayloadError",
    "ConnectionResetError",
    "ReadError",
    "RemoteProtocolError",
    "ServerDisconnectedError",
    "WriteError",
)
_TIMEOUTS = (
    "TimeoutError", "ReadTimeout", "WriteTimeout", "PoolTimeout", "SocketTimeoutError", "ConnectionTimeoutError",
)  # fmt: skip
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


def make_client(*, concurrency: int = 20, pooled: bool = False, tls: Tls = PLAIN_TLS) -> HttpClient:
    """A client for one bank: explicit time-outs, no redirects, at most `concurrency` connections, certificates
    verified unless `tls` says otherwise. Raises SettingsError for certificate files that cannot be used.

    `pooled` is for workers, with many requests in flight (see `banks.pool`); the default is httpx, which starts
    faster: for one question at a terminal. Close it with `aclose()`.
    """
    import httpx

    # Identity: answers are small, and a body that is not compressed cannot explode.
    headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": f"paysync/{__version__}"}
    if pooled:
        return PooledClient(
            concurrency=concurrency,
            headers=headers,
            connect_s=CONNECT_S,
            read_s=READ_S,
            tls=make_context(tls),
        )
    timeout = httpx.Timeout(connect=CONNECT_S, read=READ_S, write=READ_S, pool=POOL_S)
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency, keepalive_expiry=30)
    return httpx.AsyncClient(
        timeout=timeout, limits=limits, headers=headers, verify=make_context(tls), follow_redirects=False
    )


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

    def json_object(self) -> dict[str, object]:
        """The same for a body that must be an object. Raises Unreadable."""
        answer = self.json()
        if not isinstance(answer, dict):
            raise Unreadable(f"{self.describe()}: JSON, but no object")
        return answer


async def exchange(
    client: HttpClient,
    method: str,
    url: str,
    *,
    now: Callable[[], datetime],
    headers: Mapping[str, str] | None = None,
    json: object = None,
    form: Mapping[str, str] | None = None,
    max_body: int = MAX_BODY,
    total_s: float | None = None,
) -> Reply:
    """Send one request, once, and return its whole answer within `total_s` (TOTAL_S).

    `form` goes out as application/x-www-form-urlencoded.

    Raises Throttled (429, with its Retry-After), Unavailable (time-out, connection or protocol error, truncated
    body, 408, 5xx) and Unreadable (a redirect, more than `max_body` bytes, an unknown content encoding).
    """
    content, content_type = _content(json, form)
    sent_headers = headers if content is None else {**(headers or {}), "content-type": content_type}
    where = f"{method} {printable(_path(url), 160)}"
    try:
        async with asyncio.timeout(TOTAL_S if total_s is None else total_s):
            answer = await _send(client, method, url, sent_headers, content)
            try:
                _raise_for_status(answer, where, now)
                body = await _read_body(answer, where, max_body)
            finally:
                await answer.close()
    except BankError:
        raise
    except Exception as error:
        # Deliberately all of them: the transports leak errors of three libraries, and none says more than
        # "no readable answer". Without its cause, because that one carries the request and its secrets.
        raise Unavailable(f"{where}: {_reason(error)}") from None
    return Reply(where, answer.status, answer.content_type, body)


class _Answer(Protocol):
    """The head of an answer, and the way to its body."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content_type(self) -> str: ...
    def whole(self) -> bytes | None:
        """The body, decoded, when it is there already."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives, encoded."""
        ...

    async def close(self) -> None: ...


class _HttpxAnswer:
    def __init__(self, response: httpx.Response) -> None:
        self.status, self.headers, self._response = response.status_code, response.headers, response

    @property
    def content_type(self) -> str:
        return printable(self.headers.get("content-type", ""), 80)

    def whole(self) -> bytes | None:
        return self._response.content if self._response.is_stream_consumed else None  # from a scripted transport

    def pieces(self) -> AsyncIterator[bytes]:
        return self._response.aiter_raw()

    async def close(self) -> None:
        await self._response.aclose()


class _PoolAnswer:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status, self.headers, self._response = response.status, response.headers, response

    @property
    def content_type(self) -> str:
        return printable(self.headers.get("content-type", ""), 80)

    def whole(self) -> bytes | None:
        body = self._response.content
        return body.read_nowait() if body.is_eof() and "content-encoding" not in self.headers else None

    def pieces(self) -> AsyncIterator[bytes]:
        return self._response.content.iter_any()

    async def close(self) -> None:
        self._response.release()


async def _send(
    client: HttpClient, method: str, url: str, headers: Mapping[str, str] | None, content: bytes | None
) -> _Answer:
    if isinstance(client, PooledClient):
        return _PoolAnswer(await client.send(method, url, headers, content))
    request = client.build_request(method, url, headers=headers, content=content)
    return _HttpxAnswer(await client.send(request, stream=True, follow_redirects=False))


def _path(url: str) -> str:
    """The path of an address, without its query. By hand: `urlsplit` costs each question ten times as much."""
    address = url.partition("?")[0].partition("#")[0]
    _host, slash, path = address.partition("://")[2].partition("/")
    return slash + path


def _content(json: object, form: Mapping[str, str] | None) -> tuple[bytes | None, str]:
    """The body to send and its type."""
    if form is not None:
        return urlencode(form).encode(), "application/x-www-form-urlencoded"
    if json is not None:
        text = json_module.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode(), "application/json"
    return None, ""


def _raise_for_status(answer: _Answer, where: str, now: Callable[[], datetime]) -> None:
    status = answer.status
    if status == 408 or status >= 500:
        raise Unavailable(f"{where}: HTTP {status}, {answer.content_type or 'no content type'}")
    if status < 200 or 300 <= status < 400:
        raise Unreadable(f"{where}: HTTP {status}, a redirect, which is not followed")
    if status == 429:
        wait_s = retry_after_s(answer.headers.get("retry-after"), now())
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


async def _read_body(answer: _Answer, where: str, max_body: int) -> bytes:
    body = answer.whole()
    if body is not None:
        if len(body) > max_body:
            raise _too_long(answer, where, max_body)
        return body
    raw = bytearray()
    async for piece in answer.pieces():
        raw += piece
        if len(raw) > max_body:
            raise _too_long(answer, where, max_body)
    return _decompress(bytes(raw), answer, where, max_body)


def _decompress(raw: bytes, answer: _Answer, where: str, max_body: int) -> bytes:
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if not raw or encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "deflate"):
        raise Unreadable(f"{where}: HTTP {answer.status}, unknown content encoding")
    decompressor = zlib.decompressobj(wbits=47)  # gzip or zlib, told apart by their header
    try:
        body = decompressor.decompress(raw, max_body)
    except zlib.error:
        raise Unreadable(f"{where}: HTTP {answer.status}, damaged {encoding} body") from None
    if decompressor.unconsumed_tail:
        raise _too_long(answer, where, max_body)
    if not decompressor.eof:
        raise Unavailable(f"{where}: HTTP {answer.status}, truncated {encoding} body")
    return body


def _too_long(answer: _Answer, where: str, max_body: int) -> Unreadable:
    kind = answer.content_type or "no content type"
    return Unreadable(f"{where}: HTTP {answer.status}, {kind}, longer than {max_body} bytes")


def _reason(error: BaseException) -> str:
    """Why no answer came, in a few words that hold nothing of the request."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and hasattr(cause, "reason"):  # aiohttp's own error has none of the fields
            if isinstance(cause, ssl.SSLCertVerificationError):
                return f"certificate not accepted ({printable(cause.verify_message, 80)})"
            return f"TLS failed ({printable(cause.reason or 'no reason given', 80)})"
        if isinstance(cause, socket.gaierror):
            return "host name not found"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
    name = type(error).__name__
    if name in _TIMEOUTS:
        return "timed out"
    return "the connection broke" if name in _BROKEN else f"failed ({name})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    pending, seen = [error], set[int]()
    while pending:
        cause = pending.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = (getattr(cause, name, None) for name in ("__cause__", "__context__", "os_error", "certificate_error"))
        pending += [one for one in inner if isinstance(one, BaseException)]
