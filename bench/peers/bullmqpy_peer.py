"""BullMQ's Python port."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bullmq import Queue, Worker
from common import APART_S, CHECKS, CONC, REDIS_URL, AioBank, count, main, qr_ids
from redis.asyncio import Redis

KEEP = {"removeOnComplete": {"count": 1000}}


async def work() -> None:
    bank, redis = AioBank(), Redis.from_url(REDIS_URL)
    queue = Queue("bench", {"connection": REDIS_URL})

    async def check(job: Any, _token: str) -> None:
        started, data = time.time(), job.data
        await bank.ask(data["qrId"])
        await count(redis, data["due"], started)
        if data["n"] < CHECKS:
            again = {"qrId": data["qrId"], "n": data["n"] + 1, "due": time.time() + APART_S}
            await queue.add("check", again, {**KEEP, "delay": int(APART_S * 1000)})

    await Worker("bench", check, {"connection": REDIS_URL, "concurrency": CONC, "autorun": False}).run()


async def enqueue(n: int) -> None:
    queue, now, ids = Queue("bench", {"connection": REDIS_URL}), time.time(), list(qr_ids(n))
    for start in range(0, n, 500):
        some = ids[start : start + 500]
        await queue.addBulk([{"name": "check", "data": {"qrId": qr, "n": 1, "due": now}, "opts": KEEP} for qr in some])
    await queue.close()


if __name__ == "__main__":
    import sys

    if sys.argv[1] == "worker":
        asyncio.run(work())
    else:
        main(enqueue)
