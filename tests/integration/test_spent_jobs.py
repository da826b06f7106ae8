"""Purge and retention against a real server: exactly what was meant goes, in small steps, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from paysync_cli.errors import RefusedError
from paysync_cli.queue.client import STEP, QueueClient
from paysync_cli.queue.embedded import Endpoint
from paysync_cli.queue.names import QUEUE_NAMES
from paysync_cli.services.cleanup import cleanup, preview_cleanup
from paysync_cli.services.purge import PurgeReport, Wish, find_spent, preview, purge
from paysync_cli.services.sync import Judge
from paysync_cli.store import history, qrs
from paysync_cli.store.database import Database
from tests.books import NOW, add_qr, dump, everything, link, new_database, push, spend, spent_ids
from tests.embedded import flush, private_server

DAY_S = 24 * 3600
TTL_S = {"finished": DAY_S, "failed": 7 * DAY_S}


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


def ended(client: redis.Redis, kind: str, ago_s: float) -> float:
    """The score of a job that ended so long ago."""
    seconds, micros = client.time()  # type: ignore[misc]
    return float(seconds) + micros / 1e6 - ago_s + TTL_S[kind]


def in_order(client: redis.Redis, kind: str) -> list[str]:
    """All spent jobs, the oldest first: by score, then queue, then id."""
    rows = [
        (score, place, job)
        for place, name in enumerate(QUEUE_NAMES)
        for job, score in client.zrange(f"rq:{kind}:{name}", 0, -1, withscores=True)  # type: ignore[union-attr]
    ]
    return [job.decode() for _score, _place, job in sorted(rows)]


def run(store: Database, queue: QueueClient, *kinds: str, **wish: Any) -> PurgeReport:
    return purge(store, queue, find_spent(queue, Wish(kinds, **wish)), now=NOW, who="ana")


@pytest.mark.parametrize("keep", [0, 1, 7, 29, 30, 31, 500])
@pytest.mark.parametrize("spread", [1, 3, 1000])
def test_keep_leaves_exactly_the_newest_over_all_queues(
    store: Database, queue: QueueClient, client: redis.Redis, keep: int, spread: int
) -> None:
    """With `spread` 1 all scores are equal, with 3 most are."""
    luck = random.Random(keep * 10_000 + spread)
    for place, name in enumerate(QUEUE_NAMES):
        jobs = [(f"sync-{luck.randrange(10**9)}-{place}", 2e9 + luck.randrange(spread) / 8) for _n in range(10)]
        spend(client, "failed", name, jobs)
    oldest_first = in_order(client, "failed")
    report = run(store, queue, "failed", keep=keep)
    left = oldest_first[max(0, 30 - keep) :]
    assert in_order(client, "failed") == left
    assert (report.matched, report.removed, report.kept) == (30 - len(left), 30 - len(left), len(left))
    assert sorted(key.decode() for key in client.keys("rq:job:*")) == sorted(f"rq:job:{job}" for job in left)


def test_endless_scores_are_the_newest(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    spend(client, "finished", QUEUE_NAMES[0], [("sync-1-1", float("inf")), ("sync-2-1", 5.0)])
    spend(client, "finished", QUEUE_NAMES[2], [("sync-3-1", float("inf")), ("sync-4-1", 7.0)])
    run(store, queue, "completed", keep=1)
    assert spent_ids(client, "finished") == ["sync-3-1"]
    run(store, queue, "completed")
    assert client.keys() == []


@pytest.mark.parametrize("kind", ["completed", "failed"])
def test_older_than_counts_from_the_end_of_the_job(
    store: Database, queue: QueueClient, client: redis.Redis, kind: str
) -> None:
    registry = {"completed": "finished", "failed": "failed"}[kind]
    for name, ago_s in (("old", 3700), ("older", 7200), ("young", 3500)):
        spend(client, registry, QUEUE_NAMES[1], [(name, ended(client, registry, ago_s))])
    assert run(store, queue, kind, older_than=timedelta(hours=1)).matched == 2
    assert spent_ids(client, registry) == ["young"]


def test_older_than_and_keep_both_protect(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    jobs = [(f"sync-{n}-1", ended(client, "failed", 3600 * n)) for n in range(10)]
    spend(client, "failed", QUEUE_NAMES[0], jobs)
    assert preview(find_spent(queue, Wish(["failed"], timedelta(hours=4.5), keep=8))).matched == 2
    assert preview(find_spent(queue, Wish(["failed"], timedelta(hours=7.5), keep=5))).matched == 2
    assert preview(find_spent(queue, Wish(["failed"], timedelta(hours=4.5), keep=2))).matched == 5


def test_everything_else_stays(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    add_qr(store, "a", status="completed")
    push(queue, "db", add_qr(store, "b", state="queued"))
    before = everything(client)
    spend(client, "failed", QUEUE_NAMES[0], [("sync-7-1", 1.0)])
    spend(client, "finished", QUEUE_NAMES[0], [("sync-8-1", 1.0)])
    finished = everything(client)
    run(store, queue, "failed")
    assert {key: value for key, value in finished.items() if b"sync-7-1" not in key and b"failed" not in key} == (
        everything(client)
    )
    run(store, queue, "completed")
    assert everything(client) == before


def test_a_dry_run_is_the_real_run_without_the_deed(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    for kind in ("finished", "failed"):
        for name in QUEUE_NAMES:
            spend(client, kind, name, [(f"sync-{n}-1", ended(client, kind, n * 60)) for n in range(20)])
    before, books = everything(client), dump(store)
    wish = Wish(["completed", "failed"], timedelta(minutes=5), keep=12)
    foretold = preview(find_spent(queue, wish))
    assert (everything(client), dump(store)) == (before, books)
    done = purge(store, queue, find_spent(queue, wish), now=NOW, who="ana")
    assert [(one.kind, one.matched, one.kept) for one in foretold.kinds] == [
        (one.kind, one.removed, one.kept) for one in done.kinds
    ]
    assert foretold.matched > 0
    assert (foretold.removed, foretold.dry_run, done.dry_run) == (0, True, False)


def test_ten_thousand_go_in_small_steps_while_others_are_answered(
    store: Database, queue: QueueClient, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name in enumerate(QUEUE_NAMES):
        spend(client, "failed", name, [(f"sync-{n}-{place}", 1e9 + n % 50) for n in range(3_400)])
    asked: list[int] = []
    honest = queue._drop_spent

    def watched(*, args: list[Any]) -> Any:
        asked.append(args[2])
        return honest(args=args)

    monkeypatch.setattr(queue, "_drop_spent", watched)
    steps: list[int] = []

    def step(n: int) -> None:
        steps.append(n)
        assert client.ping()

    report = purge(store, queue, find_spent(queue, Wish(["failed"], keep=200)), now=NOW, who="ana", progress=step)
    assert report.removed == sum(steps) == 10_000
    assert max(asked) <= STEP
    assert len(steps) == 10_000 / STEP
    assert len(spent_ids(client, "failed")) == 200


def test_a_purge_cut_short_is_written_down_and_the_next_one_finishes(
    store: Database, queue: QueueClient, client: redis.Redis
) -> None:
    spend(client, "failed", QUEUE_NAMES[0], [(f"sync-{n}-1", float(n)) for n in range(2 * STEP + 10)])

    def interrupt(_n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge(store, queue, find_spent(queue, Wish(["failed"])), now=NOW, who="ana", progress=interrupt)
    assert len(spent_ids(client, "failed")) == len(client.keys("rq:job:*")) == 2 * STEP + 10 - STEP
    assert run(store, queue, "failed").removed == 2 * STEP + 10 - STEP
    with store.read() as tx:
        details = [tuple(row) for row in tx.exec_driver_sql("SELECT who, action, detail FROM paysync_audit")]
    assert details == [("ana", "purge", '{"failed": 500}'), ("ana", "purge", '{"failed": 510}')]


def test_jobs_that_end_or_vanish_meanwhile_are_neither_taken_nor_awaited(
    store: Database, queue: QueueClient, client: redis.Redis
) -> None:
    jobs = [(f"sync-{n}-1", ended(client, "failed", 9000 - n)) for n in range(3 * STEP)]
    spend(client, "failed", QUEUE_NAMES[0], jobs)
    found = find_spent(queue, Wish(["failed"], keep=10))

    def meanwhile(_n: int) -> None:
        client.zrem(f"rq:failed:{QUEUE_NAMES[0]}", *[f"sync-{n}-1" for n in range(2 * STEP, 2 * STEP + 100)])
        spend(client, "failed", QUEUE_NAMES[1], [("sync-999999-1", ended(client, "failed", 0))])
        spend(client, "failed", QUEUE_NAMES[0], [("sync-1300-1", ended(client, "failed", 0))])  # failed again

    report = purge(store, queue, found, now=NOW, who="ana", progress=meanwhile)
    assert report.matched == 3 * STEP - 10
    assert report.removed == 3 * STEP - 10 - 100 - 1
    left = set(spent_ids(client, "failed"))
    assert left == {f"sync-{n}-1" for n in range(3 * STEP - 10, 3 * STEP)} | {"sync-999999-1", "sync-1300-1"}


def test_equal_scores_keep_their_place_when_others_remove_some_meanwhile(
    store: Database, queue: QueueClient, client: redis.Redis
) -> None:
    spend(client, "failed", QUEUE_NAMES[1], [(f"sync-{n}-1", 9e9) for n in range(10, 30)])
    found = find_spent(queue, Wish(["failed"], keep=5))
    client.zrem(f"rq:failed:{QUEUE_NAMES[1]}", "sync-11-1", "sync-12-1")
    assert purge(store, queue, found, now=NOW, who="ana").removed == 13
    assert spent_ids(client, "failed") == [f"sync-{n}-1" for n in range(25, 30)]


def test_nothing_spent_is_nothing_done(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    report = run(store, queue, "completed", "failed", keep=3)
    assert (report.matched, report.removed, report.kept) == (0, 0, 0)
    with store.read() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM paysync_audit").scalar() == 0
    assert client.keys() == []


def test_another_databases_redis_is_refused_by_reading_alone(queue: QueueClient, client: redis.Redis) -> None:
    queue.refuse_foreign("ours")
    assert client.keys() == []
    client.set("paysync:database", "theirs")
    with pytest.raises(RefusedError, match="theirs"):
        queue.refuse_foreign("ours")
    queue.refuse_foreign("theirs")


# -- retention by cleanup


def clean(store: Database, queue: QueueClient, **fields: Any) -> Any:
    options = {"older_than": timedelta(days=30), "keep_completed": 4, "keep_failed": 2} | fields
    report = preview_cleanup(store, queue, now=NOW, **options)
    done = cleanup(store, queue, now=NOW, judge=Judge({}, NOW, random.random), owner="ana", **options)
    for name in ("completed", "failed", "orphans"):
        assert getattr(report, name).matched == getattr(done, name).removed, name
    return done


def test_cleanup_keeps_the_newest_and_nothing_past_its_age(
    store: Database, queue: QueueClient, client: redis.Redis
) -> None:
    young = [(f"sync-{n}-1", ended(client, "finished", n)) for n in range(10)]
    spend(client, "finished", QUEUE_NAMES[0], young)
    old = [(f"sync-{n}-2", ended(client, "failed", n * DAY_S)) for n in (1, 6, 8, 9)]
    spend(client, "failed", QUEUE_NAMES[1], old)
    done = clean(store, queue)
    assert spent_ids(client, "finished") == ["sync-3-1", "sync-2-1", "sync-1-1", "sync-0-1"]
    assert spent_ids(client, "failed") == ["sync-6-2", "sync-1-2"]
    assert (done.completed.removed, done.failed.removed) == (6, 2)
    done = clean(store, queue, keep_completed=100, keep_failed=100)
    assert (done.completed.removed, done.failed.removed) == (0, 0)


def test_cleanup_takes_what_is_too_old_even_if_few(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    spend(client, "finished", QUEUE_NAMES[2], [("sync-1-1", ended(client, "finished", DAY_S + 5))])
    spend(client, "failed", QUEUE_NAMES[2], [("sync-2-1", ended(client, "failed", 7 * DAY_S + 5))])
    spend(client, "failed", QUEUE_NAMES[2], [("sync-3-1", ended(client, "failed", 7 * DAY_S - 60))])
    clean(store, queue, keep_completed=100, keep_failed=100)
    assert (spent_ids(client, "finished"), spent_ids(client, "failed")) == ([], ["sync-3-1"])


def test_cleanup_plans_again_what_was_lost(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    long_ago = NOW - timedelta(minutes=10)
    lost = add_qr(store, "lost", state="queued", at=long_ago, queued_at=long_ago)
    listed = add_qr(store, "listed", state="queued", at=long_ago, queued_at=long_ago)
    fresh = add_qr(store, "fresh", state="queued", at=NOW, queued_at=NOW)
    push(queue, "db", listed)
    assert clean(store, queue).orphans.removed == 1
    with store.read() as tx:
        states = {row.qr_id: row.plan.state.value for row in qrs.load(tx, [lost.id, listed.id, fresh.id]).values()}
        assert history.last_run(tx, "cleanup") is not None
    assert states == {"lost": "planned", "listed": "queued", "fresh": "queued"}
