"""Tools to torment a shop: its leader, its Redis, its SQLite file; and what its books look like afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Any

import redis

from paysync_cli.payments.qr import Qr
from paysync_cli.queue.names import QUEUE_NAMES, queue_key, registry_key
from paysync_cli.runtime import Runtime
from paysync_cli.store import leases, qrs
from tests.embedded import running_servers
from tests.shop import Shop


@contextlib.contextmanager
def redis_of(town: Shop) -> Iterator[redis.Redis]:
    """The embedded Redis of the shop, started when it does not run."""
    with town.runtime() as runtime:
        client = redis.Redis.from_url(runtime.embedded.attach().url(reveal=True))  # type: ignore[union-attr]
        try:
            yield client
        finally:
            client.close()


def kill_redis(town: Shop, number: int = signal.SIGKILL) -> None:
    for pid in running_servers(town.home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def leader_of(runtime: Runtime) -> leases.Lease | None:
    """Whoever leads, or led last."""
    with runtime.store.read() as tx:
        return leases.current(tx, leases.LEADER)


def pid_of(owner: str) -> int:
    """The process that a worker's name tells of."""
    found = re.fullmatch(r".*-(\d+)-[0-9a-f]{6}", owner)
    assert found is not None, owner
    return int(found[1])


def rows_of(runtime: Runtime) -> list[Qr]:
    """Every QR of the database."""
    with runtime.store.read() as tx:
        found, _token = qrs.page(tx, qrs.Wanted(limit=100_000))
    return found


def started(client: redis.Redis) -> set[bytes]:
    """The executions that Redis takes for running."""
    return {member for name in QUEUE_NAMES for member in client.zrange(registry_key("wip", name), 0, -1)}


def listed(client: redis.Redis) -> list[str]:
    """The jobs that wait in the queues, in order."""
    return [job.decode() for name in QUEUE_NAMES for job in client.lrange(queue_key(name), 0, -1)]


def select(runtime: Runtime, query: str) -> list[tuple[Any, ...]]:
    """Rows of the database by plain SQL."""
    with runtime.store.read() as tx:
        return [tuple(row) for row in tx.exec_driver_sql(query)]


def assert_booked_once(runtime: Runtime) -> None:
    """No transaction of the bank stands twice in the books, whatever the QR."""
    booked = Counter(row[0] for row in select(runtime, "SELECT bank_transaction_id FROM paysync_movements"))
    assert not [transaction for transaction, times in booked.items() if times > 1]


@contextlib.contextmanager
def database_locked(town: Shop) -> Iterator[None]:
    """Hold SQLite's write lock, as a stuck process would."""
    connection = sqlite3.connect(town.home / "paysync.db", isolation_level=None, timeout=30)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()
