"""The figures of `stats` that Redis gives: read without a trace, by bank, and with few rights."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from rq.worker import BaseWorker

from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.embedded import Endpoint
from paysync_cli.queue.names import QUEUE_NAMES
from paysync_cli.services.purge import Wish, find_spent, purge
from paysync_cli.services.stats import Jobs, gather_stats
from paysync_cli.store.database import Database
from tests.books import NOW, add_qr, everything, link, new_database, push, spend
from tests.embedded import flush, private_server


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with private_server() as running:
        yield running


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[redis.Redis]:
    flush(endpoint)
    with redis.Redis.from_url(endpoint.url(reveal=True)) as plain:
        yield plain


@pytest.fixture
def queue(endpoint: Endpoint, client: redis.Redis) -> Iterator[QueueClient]:
    ours = QueueClient(link(endpoint.url(reveal=True)))
    yield ours
    ours.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def start(client: redis.Redis, job_id: str, queue: str = QUEUE_NAMES[0]) -> None:
    # Abandoned long ago: reading it RQ's way would move the job to the failed ones.
    client.zadd(f"rq:wip:{queue}", {f"{job_id}:e1": 5.0})


def fill(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    """Bank a: one due in SQL, two listed, one started, one done, one failed. Bank b: one listed, two failed."""
    add_qr(store, "a0", bank="a", at=NOW)
    a = [add_qr(store, f"a{n}", bank="a", at=NOW, state="queued") for n in range(1, 4)]
    b = add_qr(store, "b1", bank="b", at=NOW, state="queued")
    later = add_qr(store, "b2", bank="b", at=NOW + timedelta(hours=1))
    push(queue, "db", a[0], a[1], b)
    start(client, f"sync-{a[2].id}-0", QUEUE_NAMES[2])
    spend(client, "finished", QUEUE_NAMES[1], [(f"sync-{a[0].id}-7", 1.0)])
    spend(client, "failed", QUEUE_NAMES[0], [(f"sync-{a[1].id}-7", 1.0), (f"sync-{b.id}-7", 1.0)])
    spend(client, "failed", QUEUE_NAMES[2], [(f"sync-{later.id}-7", 1.0), ("stranger", 1.0)])


def test_jobs_are_counted_where_they_are(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    fill(store, queue, client)
    assert gather_stats(store, queue, now=NOW).jobs == Jobs(waiting=4, active=1, completed=1, failed=4, delayed=1)


def test_the_jobs_of_one_bank(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    fill(store, queue, client)
    a, b = (gather_stats(store, queue, now=NOW, bank=bank).jobs for bank in ("a", "b"))
    assert a == Jobs(waiting=3, active=1, completed=1, failed=1, delayed=0)
    assert b == Jobs(waiting=1, active=0, completed=0, failed=2, delayed=1)


def test_the_failed_of_a_bank_are_counted_over_all_pages(
    store: Database, queue: QueueClient, client: redis.Redis
) -> None:
    rows = {bank: add_qr(store, bank, bank=bank, status="completed").id for bank in ("a", "b")}
    for bank, n in (("a", 1203), ("b", 700)):
        spend(client, "failed", QUEUE_NAMES[1], [(f"sync-{rows[bank]}-{seq}", seq % 3) for seq in range(n)])
    jobs = gather_stats(store, queue, now=NOW, bank="a").jobs
    assert jobs is not None
    assert jobs.failed == 1203


def test_reading_leaves_no_trace(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    """RQ's own counting would clean registries whose entries are past their time; ours does not touch them."""
    fill(store, queue, client)
    before = everything(client)
    for bank in (None, "a"):
        gather_stats(store, queue, now=NOW, bank=bank)
    assert everything(client) == before


def register(client: redis.Redis, name: str, *, silent_s: float, left_s: float, **fields: str) -> None:
    beat = (datetime.now(UTC) - timedelta(seconds=silent_s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    client.sadd("rq:workers", f"rq:worker:{name}")
    client.hset(f"rq:worker:{name}", mapping={"last_heartbeat": beat, "state": "idle", **fields})
    client.pexpire(f"rq:worker:{name}", int(left_s * 1000))


def test_a_worker_is_alive_as_long_as_it_beats(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    register(client, "fresh", silent_s=5, left_s=85)
    register(client, "silent", silent_s=60, left_s=30)
    register(client, "stopped", silent_s=1, left_s=60, death="2031-06-14T16:00:00.000000Z")
    register(client, "stock-idle", silent_s=390, left_s=90)
    client.sadd("rq:workers", "rq:worker:gone")
    seen = {worker.name: worker.alive for worker in gather_stats(store, queue, now=NOW).workers}
    assert seen == {"fresh": True, "silent": False, "stopped": False, "stock-idle": True}


def test_a_worker_that_rq_registered_is_seen(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    worker: Any = BaseWorker(list(QUEUE_NAMES), name="w1", connection=client, worker_ttl=90)
    worker.register_birth()
    add_qr(store, "a", at=NOW)
    report = gather_stats(store, queue, now=NOW)
    assert [(seen.name, seen.alive, seen.running) for seen in report.workers] == [("w1", True, 0)]
    assert not report.nobody_works
    worker.register_death()
    assert gather_stats(store, queue, now=NOW).nobody_works


def test_the_server_tells_its_version_memory_and_policy(
    store: Database, queue: QueueClient, client: redis.Redis
) -> None:
    server = gather_stats(store, queue, now=NOW).server
    assert server is not None
    assert server["maxmemory_policy"] == "noeviction"
    assert server["used_memory"] > 0


def test_all_works_without_the_right_to_dangerous_commands_and_keys(
    store: Database, endpoint: Endpoint, client: redis.Redis
) -> None:
    full = QueueClient(link(endpoint.url(reveal=True)))
    fill(store, full, client)
    full.close()
    client.execute_command("ACL", "SETUSER", "few", "on", ">pw", "~*", "&*", "+@all", "-@dangerous", "-keys")
    url = endpoint.url(reveal=True)
    host, _at, rest = url.partition("@")
    few = QueueClient(link(f"{host.partition('://')[0]}://few:pw@{rest}"))
    try:
        for bank in (None, "a"):
            report = gather_stats(store, few, now=NOW, bank=bank)
            assert report.redis_error is None
            assert report.jobs is not None
            assert report.server == {}
        assert purge(store, few, find_spent(few, Wish(["failed"])), now=NOW, who="ana").removed == 4
    finally:
        few.close()
        client.execute_command("ACL", "DELUSER", "few")
