"""A line between an adapter and its practice bank that can be listened to, cut, and spoken into."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_UPSTREAM_PATIENCE_S = 60.0
_OWN_HEADERS = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"))


@dataclass(frozen=True, slots=True)
class Request:
    """What the adapter sent, as it was on the wire: `target` is path and query, header names are small letters."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One request that reached the bank, and the body of the answer."""

    request: Request
    status: int
    body: bytes


class Wiretap:
    """Passes requests on to `upstream`, unless `play` says otherwise for this one.

    `requests` are all that arrived, `exchanged` those that the bank answered.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self.requests: list[Request] = []
        self.exchanged: list[Exchanged] = []
        self.url = ""
        self._plays: Callable[[Request], Serve | None] = lambda _request: None
        self._rewrites: Callable[[Request, bytes], bytes] = lambda _request, body: body

    def play(self, choose: Callable[[Request], Serve | None]) -> None:
        """Who answers a request instead of the bank; None leaves it to the bank."""
        self._plays = choose

    def rewrite(self, change: Callable[[Request, bytes], bytes]) -> None:
        """How the body of the bank's answer is changed on its way."""
        self._rewrites = change

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Wiretap]:
        """Serve on a free port as long as this lasts."""
        server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{self._upstream.path}"
        try:
            yield self
        finally:
            server.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            self.requests.append(request)
            serve = self._plays(request) or self._relay(request)
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the adapter hung up: often that is the point
        finally:
            writer.close()

    def _relay(self, request: Request) -> Serve:
        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            status, headers, body = await asyncio.to_thread(_ask, self._upstream.netloc, request)
            self.exchanged.append(Exchanged(request, status, body))
            writer.write(response(self._rewrites(request, body), status=status, headers=headers))
            await writer.drain()

        return serve


def response(body: bytes, *, status: int = 200, reason: str = "OK", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 answer on the wire, after which the connection ends."""
    told = {"content-type": "application/json"} | dict(headers or {})
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in told.items())]
    lines += [f"content-length: {len(body)}", "connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _version = first.split(" ")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


def _ask(netloc: str, request: Request) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(netloc, timeout=_UPSTREAM_PATIENCE_S)
    try:
        connection.putrequest(request.method, request.target, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name not in _OWN_HEADERS:
                connection.putheader(name, value)
        connection.putheader("content-length", str(len(request.body)))
        connection.putheader("connection", "close")
        connection.endheaders(request.body)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders() if name.lower() not in _OWN_HEADERS}
        return answer.status, headers, answer.read()
    finally:
        connection.close()
