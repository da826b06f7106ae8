"""rq's own workers: one job at a time each, so a pool of them."""

from __future__ import annotations

import threading
import time

import requests
from common import BANK_URL, REDIS_URL, count, main, qr_ids
from redis import Redis
from rq import Queue

connection = Redis.from_url(REDIS_URL)
_local = threading.local()


def check(qr_id: str, due: float) -> None:
    started = time.time()
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    _local.session.get(f"{BANK_URL}/qr/{qr_id}").json()
    count(connection, due, started)


def enqueue(n: int) -> None:
    queue, now, ids = Queue("bench", connection=connection), time.time(), list(qr_ids(n))
    for start in range(0, n, 500):
        queue.enqueue_many([Queue.prepare_data("rq_peer.check", (qr, now)) for qr in ids[start : start + 500]])


if __name__ == "__main__":
    main(enqueue)
