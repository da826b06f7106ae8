"""What the Python peers share: the same question to the same bank, the same count, one command line.

The runner gives REDIS_URL, BANK_URL, CONC (checks in flight) and CHECKS (checks of each QR, a second apart).
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

REDIS_URL = os.environ["REDIS_URL"]
BANK_URL = os.environ["BANK_URL"]
CONC = int(os.environ.get("CONC", "5"))
CHECKS = int(os.environ.get("CHECKS", "1"))
APART_S = 1.0


class AioBank:
    """The bank over aiohttp, the fastest client the peers' users would take."""

    def __init__(self) -> None:
        import aiohttp

        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def ask(self, qr_id: str) -> int:
        async with self._session.get(f"{BANK_URL}/qr/{qr_id}") as response:
            return int((await response.json())["statusQrCode"])


def count(redis: Any, due: float, started: float) -> Any:
    """The check happened. One Redis command; with several checks it keeps how late they were, in milliseconds."""
    if CHECKS > 1:
        return redis.rpush("bench:late", round((started - due) * 1000, 1))
    return redis.incr("bench:done")


def qr_ids(n: int) -> Iterator[str]:
    return (f"QR{i:08d}" for i in range(n))


async def in_chunks(put: Callable[[str], Awaitable[Any]], n: int, size: int = 200) -> None:
    ids = list(qr_ids(n))
    for start in range(0, n, size):
        await asyncio.gather(*map(put, ids[start : start + size]))


def main(enqueue: Callable[[int], Any]) -> None:
    """`<peer> enqueue --n N`: put N jobs in and print how long it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["enqueue"])
    parser.add_argument("--n", type=int, required=True)
    n = parser.parse_args().n

    async def run() -> None:
        started = time.perf_counter()
        result = enqueue(n)
        if inspect.isawaitable(result):
            await result
        print(json.dumps({"n": n, "seconds": time.perf_counter() - started}))

    asyncio.run(run())
