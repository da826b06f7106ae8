"""One exchange over HTTP: every way it can go wrong has its error, and nothing is unbounded."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paysync_cli.banks.base import BankError, Throttled, Unavailable, Unreadable
from paysync_cli.banks.http import MAX_BODY, Reply, exchange, make_client, retry_after_s
from tests.simulated import START, Clock


class Streamed(httpx.AsyncByteStream):
    """A body that arrives in pieces, as from a socket; counts how many were taken."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            if isinstance(piece, Exception):
                raise piece
            yield piece


def get(
    respond: httpx.Response | Exception, url: str = "https://bank.test/a/b?secret=canary", **options: object
) -> Reply:
    def handler(_request: httpx.Request) -> httpx.Response:
        if isinstance(respond, Exception):
            raise respond
        return respond

    async def run() -> Reply:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
            headers = {"authorization": "Bearer canary"}
            return await exchange(client, "GET", url, now=Clock(), headers=headers, **options)  # type: ignore[arg-type]

    return asyncio.run(run())


def streamed(*pieces: bytes | Exception, status: int = 200, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, stream=Streamed(*pieces))


def test_whole_answer() -> None:
    reply = get(streamed(b'{"a":', b"1.10}", content_type="application/json"))
    assert (reply.where, reply.status, reply.content_type) == ("GET /a/b", 200, "application/json")
    assert reply.body == b'{"a":1.10}'
    assert str(reply.json()) == "{'a': Decimal('1.10')}"
    assert "1.10" not in repr(reply)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 408])
def test_no_answer_by_status_is_unavailable(status: int) -> None:
    with pytest.raises(Unavailable) as caught:
        get(streamed(b'{"responseCode":0}', status=status, content_type="application/json"))
    assert caught.value.message == f"GET /a/b: HTTP {status}, application/json"


@pytest.mark.parametrize("status", [300, 301, 302, 307, 399])
def test_redirects_are_not_followed(status: int) -> None:
    with pytest.raises(Unreadable):
        get(streamed(b"", status=status, location="https://elsewhere.test/"))


@pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 422])
def test_other_statuses_are_left_to_the_adapter(status: int) -> None:
    assert get(streamed(b"x", status=status)).status == status


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("canary"),
        httpx.ConnectTimeout("canary"),
        httpx.ReadTimeout("canary"),
        httpx.PoolTimeout("canary"),
        httpx.ReadError("canary"),
        httpx.RemoteProtocolError("canary"),
        httpx.ProxyError("canary"),
        httpx.UnsupportedProtocol("canary"),
        ConnectionResetError("canary"),
        EOFError("canary"),
        ValueError("canary"),
        RuntimeError("canary"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("in_body", [False, True])
def test_transport_errors_are_unavailable_and_say_nothing_of_the_request(error: Exception, in_body: bool) -> None:
    with pytest.raises(Unavailable) as caught:
        get(streamed(b'{"a', error) if in_body else error)
    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.message.startswith("GET /a/b: ")


def test_body_is_given_up_as_soon_as_it_is_too_long() -> None:
    stream = Streamed(*[b"x" * 1000] * 100)
    with pytest.raises(Unreadable, match="longer than 5000 bytes"):
        get(httpx.Response(200, stream=stream), max_body=5000)
    assert stream.taken == 6


def test_exactly_the_bound_is_fine() -> None:
    assert len(get(streamed(b"x" * 5000), max_body=5000).body) == 5000
    assert MAX_BODY == 4 * 1024 * 1024


def raw_deflate(body: bytes) -> bytes:
    return zlib.compress(body)


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", raw_deflate), ("GZIP", gzip.compress)]
)
def test_compressed_answers_are_read(encoding: str, pack: object) -> None:
    packed = pack(b'{"a":1}')  # type: ignore[operator]
    assert get(streamed(packed[:5], packed[5:], content_encoding=encoding)).json() == {"a": 1}


def test_compressed_bomb_is_bounded() -> None:
    with pytest.raises(Unreadable, match="longer than"):
        get(streamed(gzip.compress(b" " * 20_000_000), content_encoding="gzip"))


@pytest.mark.parametrize(
    ("body", "encoding", "error"),
    [
        (b"not gzip", "gzip", Unreadable),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "gzip", Unavailable),
        (b"x", "br", Unreadable),
        (b"x", "gzip, gzip", Unreadable),
    ],
)
def test_damaged_or_unknown_compression(body: bytes, encoding: str, error: type[BankError]) -> None:
    with pytest.raises(error):
        get(streamed(body, content_encoding=encoding))


def test_empty_body_needs_no_decompression() -> None:
    assert get(streamed(b"", status=401, content_encoding="gzip")).body == b""


def test_dripping_answer_ends_at_the_total_time_out() -> None:
    class Dripping(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(0)
                yield b""

    with pytest.raises(Unavailable, match="timed out"):
        get(httpx.Response(200, stream=Dripping()), total_s=0.05)


def test_cancellation_is_not_swallowed() -> None:
    class Silent(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

    async def run() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Silent()))
        async with httpx.AsyncClient(transport=transport) as client:
            task = asyncio.create_task(exchange(client, "GET", "https://bank.test/", now=Clock()))
            await asyncio.sleep(0.01)
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("99999999", 3600),
        ("Sat, 14 Jun 2031 16:00:30 GMT", 30),
        ("Sat, 14 Jun 2031 12:00:30 -0400", 30),
        ("Sat, 14 Jun 2031 15:00:00 GMT", 0),
        ("Sat, 14 Jun 2099 16:00:30 GMT", 3600),
        ("", None),
        (None, None),
        ("-5", None),
        ("1.5", None),
        ("nan", None),
        ("soon", None),
        ("٣", None),
        ("Sat, 99 Jun 2031 16:00:30 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, START) == seconds


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60))
def test_any_retry_after_is_none_or_bounded(header: str) -> None:
    wait_s = retry_after_s(header, datetime(2031, 1, 1, tzinfo=UTC) + timedelta(0))
    assert wait_s is None or 0 <= wait_s <= 3600


@pytest.mark.parametrize(("header", "seconds"), [("5", 5), ("Sat, 14 Jun 2031 16:00:30 GMT", 30), ("x", None)])
def test_429_is_a_wait(header: str, seconds: float | None) -> None:
    with pytest.raises(Throttled) as caught:
        get(streamed(b"<html>", status=429, retry_after=header))
    assert caught.value.retry_after_s == seconds


def test_messages_never_hold_query_or_control_characters() -> None:
    with pytest.raises(Unavailable) as caught:
        get(httpx.ReadTimeout("x"), "https://bank.test/a%1b[31m%0ab?key=canary#canary")
    assert "canary" not in caught.value.message
    assert caught.value.message.isprintable()


class Counter:
    """A server that redirects with a cookie, slowly, and counts who is there at once."""

    def __init__(self) -> None:
        self.here = self.most = 0
        self.heads: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.here += 1
        self.most = max(self.most, self.here)
        while head := await reader.read(4096):
            self.heads.append(head.decode().lower())
            await asyncio.sleep(0.02)
            writer.write(b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n")
        self.here -= 1
        writer.close()


@pytest.mark.parametrize("pooled", [False, True])
def test_client_has_limits_and_follows_nothing(pooled: bool) -> None:
    async def run() -> None:
        counter = Counter()
        async with (
            await asyncio.start_server(counter, "127.0.0.1", 0) as server,
            make_client(concurrency=3, pooled=pooled) as client,
        ):
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
            asked = [exchange(client, "GET", url, now=Clock()) for _n in range(12)]
            assert all(isinstance(one, Unreadable) for one in await asyncio.gather(*asked, return_exceptions=True))
        assert (counter.most, len(counter.heads)) == (3, 12)
        for head in counter.heads:
            assert head.startswith("get /x ")
            assert "accept-encoding: identity" in head
            assert "cookie" not in head

    asyncio.run(run())


@pytest.mark.parametrize("pooled", [False, True])
def test_nobody_listens(pooled: bool, unused_port: int) -> None:
    async def run() -> None:
        async with make_client(pooled=pooled) as client:
            await exchange(client, "GET", f"http://127.0.0.1:{unused_port}/x", now=Clock())

    with pytest.raises(Unavailable, match="GET /x: connection refused"):
        asyncio.run(run())


@pytest.mark.parametrize("pooled", [False, True])
def test_no_such_host(pooled: bool) -> None:
    async def run() -> None:
        async with make_client(pooled=pooled) as client:
            await exchange(client, "GET", "http://no-such-host.invalid/x", now=Clock())

    with pytest.raises(Unavailable, match="GET /x: host name not found"):
        asyncio.run(run())


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
