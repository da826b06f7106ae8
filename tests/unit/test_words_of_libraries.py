"""What a library says of a failure never reaches people as it stands: real failures, in the system's own words."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import redis

from paysync_cli.banks.base import Unavailable
from paysync_cli.banks.http import exchange, make_client
from paysync_cli.errors import PaysyncError
from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.inspection import inspect
from paysync_cli.queue.link import Link, why
from paysync_cli.store.database import Database

LIBRARY = re.compile(r"Error -?\d+|Errno|connecting to|connection to server|FATAL|Protocol Error|b'|0x|\(.*Error\)")


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def of_redis(url: str) -> str:
    client = QueueClient(Link(url, "HERE"))
    with pytest.raises(PaysyncError) as raised:
        client.ping()
    client.close()
    assert inspect(Link(url, "HERE")).cause in raised.value.message
    return raised.value.message


def of_postgresql(url: str) -> str:
    with pytest.raises(PaysyncError) as raised:
        Database(url).version()
    return raised.value.message


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda: of_redis(f"redis://127.0.0.1:{closed_port()}/0"),
         "Redis at HERE is not available: connection refused."),
        (lambda: of_redis("redis://no-such-host.invalid:6379/0"),
         "Redis at HERE is not available: its host name is not known."),
        (lambda: of_redis("unix:///no/such/place.sock?db=0"),
         "Redis at HERE is not available: no such file or directory."),
    ],
)  # fmt: skip
def test_redis_is_away(ask: Callable[[], str], expected: str) -> None:
    assert ask() == expected


def test_redis_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Link(f"redis://127.0.0.1:{listener.getsockname()[1]}/0", "HERE").client(socket_timeout=0.05)
        with pytest.raises(redis.RedisError) as raised:
            client.ping()
        assert why(raised.value) == "no answer in time"
        client.close()


def test_postgresql_is_away() -> None:
    pytest.importorskip("psycopg")
    said = of_postgresql(f"postgresql+psycopg://u:secret@127.0.0.1:{closed_port()}/d")
    assert said.endswith(": Connection refused.")
    assert not LIBRARY.search(said)
    assert "secret" not in said


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
def test_a_bank_hangs_up(pooled: bool, said: bytes) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    async def ask() -> str:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        client = make_client(pooled=pooled)
        try:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/status"
            with pytest.raises(Unavailable) as raised:
                await exchange(client, "GET", url, now=lambda: datetime.now(UTC))
            return raised.value.message
        finally:
            await client.aclose()
            server.close()

    assert asyncio.run(ask()) == "GET /status: the connection broke"
