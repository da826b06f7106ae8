"""saq: asyncio, a blocking pop for each job."""

from __future__ import annotations

import time
from typing import Any

from common import APART_S, CHECKS, CONC, REDIS_URL, AioBank, count, in_chunks, main
from saq import Job, Queue

queue = Queue.from_url(REDIS_URL, name="bench")


async def startup(context: dict[str, Any]) -> None:
    context["bank"] = AioBank()


async def check(context: dict[str, Any], *, qr_id: str, n: int, due: float) -> None:
    started = time.time()
    await context["bank"].ask(qr_id)
    await count(queue.redis, due, started)
    if n < CHECKS:
        due = time.time() + APART_S
        await queue.enqueue(Job("check", kwargs={"qr_id": qr_id, "n": n + 1, "due": due}, scheduled=int(due)))


settings = {"queue": queue, "functions": [check], "concurrency": CONC, "startup": startup}


async def enqueue(n: int) -> None:
    now = time.time()
    await in_chunks(lambda qr: queue.enqueue(Job("check", kwargs={"qr_id": qr, "n": 1, "due": now})), n)
    await queue.disconnect()


if __name__ == "__main__":
    main(enqueue)
