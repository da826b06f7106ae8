"""taskiq over Redis streams, without a result backend."""

from __future__ import annotations

import time

from common import REDIS_URL, AioBank, count, in_chunks, main
from redis.asyncio import Redis
from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(REDIS_URL, consumer_id="0")


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def startup(state: TaskiqState) -> None:
    state.bank, state.redis = AioBank(), Redis.from_url(REDIS_URL)


@broker.task(task_name="check")
async def check(qr_id: str, due: float) -> None:
    started = time.time()
    await broker.state.bank.ask(qr_id)
    await count(broker.state.redis, due, started)


async def enqueue(n: int) -> None:
    now = time.time()
    await broker.startup()
    await in_chunks(lambda qr: check.kiq(qr, now), n)
    await broker.shutdown()


if __name__ == "__main__":
    main(enqueue)
