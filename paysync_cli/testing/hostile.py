"""Answers that mean harm, made out of a good one: whoever believes them is fooled, whoever waits for their end waits
for ever."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable

from paysync_cli.testing.wiretap import Serve, response

MB = 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
DRIP_S = 0.05


def whole(body: bytes, *, status: int = 200, **headers: str) -> Serve:
    """This answer, at once; `content_encoding="gzip"` sets a header."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response(body, status=status, reason="Said", headers=told))
        await writer.drain()

    return serve


def endless(head: bytes, piece: bytes, pause_s: float = 0.0) -> Serve:
    """A beginning, and then the same piece for ever."""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return serve


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Takes the question and says nothing."""
    await reader.read()


async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes the line without a word."""
    writer.close()


def bomb(good: bytes, megabytes: int = 100) -> bytes:
    """The good answer with that much white space behind it, packed without ever being whole."""
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(good) + b"".join(packer.compress(b" " * MB) for _ in range(megabytes))
    return packed + packer.flush()


# Each makes a `Serve` of a good answer's body. Only the bounds of time and size, and distrust, tell these from it.
HOSTILE: dict[str, Callable[[bytes], Serve]] = {
    "10 MB": lambda good: whole(good + b" " * (10 * MB)),
    "a body without end": lambda _good: endless(
        HEAD + b"transfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"
    ),
    "gzip bomb": lambda good: whole(bomb(good), content_encoding="gzip"),
    "unknown encoding": lambda good: whole(good, content_encoding="br"),
    "not UTF-8": lambda good: whole(good.replace(b'"', b'"\xff\xfe', 1)),
    "headers without end": lambda _good: endless(HEAD, b"x-pad: " + b"x" * 1000 + b"\r\n"),
    "one header without end": lambda _good: endless(HEAD + b"x-pad: ", b"x" * 65536),
    "status line without end": lambda _good: endless(b"HTTP/1.1 200 ", b"O" * 65536),
    "drops of a header": lambda _good: endless(HEAD, b"x: y\r\n", DRIP_S),
    "drops of a body": lambda _good: endless(HEAD + b"content-length: 1000000\r\n\r\n", b" ", DRIP_S),
    "silence": lambda _good: silent,
    "hung up": lambda _good: hang_up,
    "no HTTP": lambda _good: endless(b"SSH-2.0-bank\r\n", b"", DRIP_S),
    "HTML": lambda _good: whole(b"<!DOCTYPE html><title>Mantenimiento</title>", content_type="text/html"),
    "nothing": lambda _good: whole(b""),
    "no content": lambda _good: whole(b"", status=204),
    "text": lambda _good: whole(b"OK", content_type="text/plain"),
    "nested": lambda _good: whole(b"[" * 100_000 + b"]" * 100_000),
    "a number of a million digits": lambda _good: whole(b'{"x": ' + b"9" * MB + b"}"),
    "a number out of bounds": lambda _good: whole(b'{"x": 1e999999999999999999999}'),
    "NaN": lambda _good: whole(b'{"x": NaN}'),
    "a list": lambda _good: whole(b"[]"),
    "null": lambda _good: whole(b"null"),
    "an empty object": lambda _good: whole(b"{}"),
    "a sentence": lambda _good: whole(b'"paid"'),
    "cut off": lambda good: whole(good[:-2]),
    "shorter than said": lambda good: endless(HEAD + b"content-length: 999999\r\n\r\n" + good, b"", DRIP_S),
    "forbidden, with a good body": lambda good: whole(good, status=403),
    "gone, with a good body": lambda good: whole(good, status=410),
    "server error with a good body": lambda good: whole(good, status=500),
    "redirect with a good body": lambda good: whole(good, status=302, location="/elsewhere"),
}
