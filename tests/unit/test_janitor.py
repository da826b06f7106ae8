"""The janitor: what was dispatched and is nowhere goes back, what died with its worker is a failed attempt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from sqlalchemy import event

from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import PlanState
from paysync_cli.queue import scripts
from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.embedded import Endpoint
from paysync_cli.queue.names import PREFIX, QUEUE_NAMES, JobName
from paysync_cli.services import sync
from paysync_cli.services.dispatch import Scope, dispatch
from paysync_cli.services.janitor import PATIENCE_S, JanitorReport, find_orphans, recover
from paysync_cli.services.sync import Asked, Judge, record
from paysync_cli.store import history, leases, qrs
from paysync_cli.store.alerts import list_alerts
from paysync_cli.store.database import Database, Tx
from paysync_cli.store.leases import Lease
from tests.books import add_qr, link
from tests.core import NOW, RHYTHM, says
from tests.embedded import flush, private_server

PATIENCE = timedelta(seconds=PATIENCE_S)
LONG_AGO = NOW - timedelta(hours=1)
SCOPES = [Scope("sim", "certification")]
DATABASE = "a database"


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with private_server() as endpoint:
        yield endpoint


@pytest.fixture
def url(server: Endpoint) -> str:
    flush(server)
    return server.url(reveal=True)


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    made = redis.Redis.from_url(url)
    yield made
    made.close()


@pytest.fixture
def queue(url: str) -> Iterator[QueueClient]:
    made = QueueClient(link(url))
    yield made
    made.close()


@pytest.fixture
def store(sqlite_store: Database) -> Database:
    return sqlite_store


def sweep_up(store: Database, queue: QueueClient, *, now: datetime = NOW, lease: Lease | None = None) -> JanitorReport:
    return recover(store, queue, Judge({"sim": RHYTHM}, now, lambda: 0.0), patience=PATIENCE, lease=lease)


def dispatched(store: Database, queue: QueueClient, *rows: Qr, now: datetime = LONG_AGO) -> list[Qr]:
    """These rows as dispatch leaves them: queued, their jobs in the list."""
    assert dispatch(store, queue, DATABASE, SCOPES, now).moved == len(rows)
    return [look(store, qr) for qr in rows]


def claimed(client: redis.Redis, how_many: int, *, lease_s: int) -> int:
    """What a worker does when it takes jobs; then it dies."""
    arguments: list[Any] = [
        PREFIX,
        "worker",
        "now",
        lease_s,
        how_many,
        *QUEUE_NAMES,
        *(f"e{n}" for n in range(how_many)),
    ]
    return len(client.register_script(scripts.CLAIM)(args=arguments))


def look(store: Database, qr: Qr) -> Qr:
    with store.read() as tx:
        return qrs.load(tx, [qr.id])[qr.id]


def checks(store: Database, qr: Qr) -> list[str]:
    with store.read() as tx:
        return [check["outcome"] for check in history.story(tx, qr.id).checks]


def wait_until_past(client: redis.Redis, moment: int) -> None:
    """Until Redis' clock, which counts whole seconds, is past it."""
    while client.time()[0] <= moment:
        time.sleep(0.01)


# -- where a job may be


def test_a_job_that_is_nowhere_goes_back_at_no_cost(store: Database, queue: QueueClient) -> None:
    qr = add_qr(store, "QR1", state="queued", at=LONG_AGO, queued_at=LONG_AGO, attempts=1, checks=3, seq=5)
    assert sweep_up(store, queue) == JanitorReport(put_back=1, lost=0)
    assert look(store, qr).plan == replace(qr.plan, state=PlanState.PLANNED)
    assert checks(store, qr) == []
    sweep_up(store, queue)
    with store.read() as tx:
        (alert,) = list_alerts(tx)
    assert (alert.kind.value, alert.bank, alert.count, alert.detail) == ("checks_abandoned", "sim", 1, "QR1")


def test_a_job_in_its_list_is_left_alone_however_old(store: Database, queue: QueueClient) -> None:
    (qr,) = dispatched(store, queue, add_qr(store, "QR1", at=LONG_AGO))
    assert sweep_up(store, queue, now=NOW + timedelta(days=1)) == JanitorReport(0, 0)
    assert look(store, qr) == qr


def test_a_listed_job_without_its_hash_is_left_alone(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    (qr,) = dispatched(store, queue, add_qr(store, "QR1", at=LONG_AGO))
    client.delete(f"rq:job:{JobName(qr.id, 0).id}")
    assert sweep_up(store, queue) == JanitorReport(0, 0)


def test_a_started_job_is_left_alone(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    (qr,) = dispatched(store, queue, add_qr(store, "QR1", at=LONG_AGO))
    assert claimed(client, 1, lease_s=30) == 1
    assert sweep_up(store, queue) == JanitorReport(0, 0)
    assert look(store, qr) == qr


def test_an_execution_whose_lease_ran_out_is_a_failed_attempt(
    store: Database, queue: QueueClient, client: redis.Redis
) -> None:
    (qr,) = dispatched(store, queue, add_qr(store, "QR1", at=LONG_AGO, checks=3))
    claimed(client, 1, lease_s=0)
    wait_until_past(client, client.time()[0])
    assert sweep_up(store, queue) == JanitorReport(put_back=0, lost=1)
    plan = look(store, qr).plan
    assert (plan.state, plan.attempts, plan.checks, plan.seq) == (PlanState.PLANNED, 1, 3, 1)
    assert plan.next_check_at == NOW + timedelta(seconds=2)
    assert checks(store, qr) == ["worker_lost"]
    assert queue.job_counts().active == 0


def test_the_third_lost_execution_returns_the_qr_to_its_rhythm(
    store: Database, queue: QueueClient, client: redis.Redis
) -> None:
    (qr,) = dispatched(store, queue, add_qr(store, "QR1", at=LONG_AGO, attempts=2))
    claimed(client, 1, lease_s=0)
    wait_until_past(client, client.time()[0])
    sweep_up(store, queue)
    plan = look(store, qr).plan
    assert (plan.attempts, plan.checks, plan.next_check_at) == (0, 1, NOW + timedelta(minutes=15))


def test_a_check_given_up_is_a_failed_job_also_when_the_others_cannot_be_written(
    store: Database, queue: QueueClient, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that was split, and the database went away between its halves: the round says so, at its end."""
    rows = dispatched(store, queue, *(add_qr(store, f"QR{n}", at=LONG_AGO, attempts=2) for n in range(2)))
    claimed(client, 2, lease_s=0)
    wait_until_past(client, client.time()[0])
    real, tried = sync.record_in, list[int]()

    def poisonous_then_away(tx: Tx, some: Any, judge: Judge) -> Any:
        tried.append(len(some))
        if len(tried) == 1:
            raise ValueError("poison")
        if len(tried) == 3:
            raise DatabaseUnavailable("away")
        return real(tx, some, judge)

    with monkeypatch.context() as patched:
        patched.setattr(sync, "record_in", poisonous_then_away)
        with pytest.raises(DatabaseUnavailable):
            sweep_up(store, queue)
    assert queue.job_counts().failed == 1
    assert sorted(look(store, qr).plan.seq for qr in rows) == [0, 1]
    assert sweep_up(store, queue) == JanitorReport(put_back=1, lost=0)  # its job is gone: it costs nothing


def fail(client: redis.Redis, qr: Qr, reason: str) -> None:
    """What a stock worker does with a job that went wrong."""
    job = Job.fetch(JobName(qr.id, qr.plan.seq).id, connection=client, serializer=JSONSerializer())
    client.lrem(f"rq:queue:{job.origin}", 0, job.id)
    FailedJobRegistry(job.origin, connection=client, serializer=JSONSerializer()).add(job, ttl=600)
    Result.create_failure(job, 600, exc_string=reason)


def test_a_job_that_failed_without_a_record_is_a_failed_attempt(
    store: Database, queue: QueueClient, client: redis.Redis
) -> None:
    (qr,) = dispatched(store, queue, add_qr(store, "QR1", at=LONG_AGO))
    fail(client, qr, "Traceback ... MemoryError")
    assert sweep_up(store, queue) == JanitorReport(put_back=0, lost=1)
    assert (look(store, qr).plan.attempts, look(store, qr).plan.seq) == (1, 1)


def test_a_job_that_another_worker_could_not_read_costs_nothing(
    store: Database, queue: QueueClient, client: redis.Redis
) -> None:
    """A stock worker without `-S json` takes it for a pickle."""
    (qr,) = dispatched(store, queue, add_qr(store, "QR1", at=LONG_AGO))
    fail(client, qr, "Traceback ...\nrq.exceptions.DeserializationError: pickle")
    assert sweep_up(store, queue) == JanitorReport(put_back=1, lost=0)
    assert look(store, qr).plan == replace(qr.plan, state=PlanState.PLANNED)


# -- when nothing is lost


def test_a_row_dispatched_just_now_is_given_its_time(store: Database, queue: QueueClient) -> None:
    add_qr(store, "QR1", state="queued", at=LONG_AGO, queued_at=NOW - PATIENCE + timedelta(microseconds=1))
    add_qr(store, "QR2", state="queued", at=LONG_AGO, queued_at=NOW - PATIENCE)
    assert sweep_up(store, queue) == JanitorReport(put_back=1, lost=0)


def test_a_wiped_redis_is_restored(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    rows = dispatched(store, queue, *(add_qr(store, f"QR{n}", at=LONG_AGO) for n in range(50)))
    claimed(client, 20, lease_s=30)
    client.flushall()
    assert sweep_up(store, queue) == JanitorReport(put_back=50, lost=0)
    assert dispatch(store, queue, DATABASE, SCOPES, NOW).moved == 50
    assert queue.job_counts().waiting == 50
    assert {(look(store, qr).plan.seq, look(store, qr).plan.attempts) for qr in rows} == {(0, 0)}


def test_an_hour_s_backlog_causes_no_second_dispatch(store: Database, queue: QueueClient, client: redis.Redis) -> None:
    dispatched(store, queue, *(add_qr(store, f"QR{n}", at=LONG_AGO) for n in range(100)))
    for minute in range(60):
        now = LONG_AGO + timedelta(minutes=minute)
        assert sweep_up(store, queue, now=now) == JanitorReport(0, 0)
        assert dispatch(store, queue, DATABASE, SCOPES, now).moved == 0
    jobs = client.lrange("rq:queue:payment-sync-low", 0, -1)
    assert (len(jobs), len(set(jobs))) == (100, 100)


def test_a_check_recorded_while_the_janitor_looks_is_not_put_back(
    store: Database, queue: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    qr = add_qr(store, "QR1", state="queued", at=LONG_AGO, queued_at=LONG_AGO)
    honest = queue.whereabouts

    def slow(names: Any) -> Any:
        record(store, [Asked(qr.id, 0, NOW, 1, says("unpaid"))], Judge({"sim": RHYTHM}, NOW, lambda: 0.0))
        return honest(names)

    monkeypatch.setattr(queue, "whereabouts", slow)
    assert sweep_up(store, queue) == JanitorReport(0, 0)
    assert checks(store, qr) == ["unpaid"]
    assert look(store, qr).plan.next_check_at == NOW + timedelta(minutes=15)


def test_a_job_given_back_while_the_janitor_looks_is_not_lost(
    store: Database, queue: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    qr = add_qr(store, "QR1", state="queued", at=LONG_AGO, queued_at=LONG_AGO)

    def late(names: Any) -> Any:
        with store.write() as tx:
            qrs.put_back(tx, [(qr.id, 0)])
        return dict.fromkeys(names, "lost")

    monkeypatch.setattr(queue, "whereabouts", late)
    assert sweep_up(store, queue) == JanitorReport(0, 0)
    assert look(store, qr).plan == replace(qr.plan, state=PlanState.PLANNED)


# -- who may


def lease_of(store: Database, owner: str, now: datetime) -> Lease:
    with store.write() as tx:
        taken = leases.take(tx, leases.LEADER, owner, now, now + timedelta(seconds=30))
    assert taken is not None
    return taken


def test_a_leader_that_slept_past_its_lease_mends_nothing(
    store: Database, queue: QueueClient, client: redis.Redis
) -> None:
    (lost,) = dispatched(store, queue, add_qr(store, "LOST", at=LONG_AGO))
    claimed(client, 1, lease_s=0)
    wait_until_past(client, client.time()[0])
    absent = add_qr(store, "ABSENT", state="queued", at=LONG_AGO, queued_at=LONG_AGO)
    stale, leader = lease_of(store, "a", LONG_AGO), lease_of(store, "b", NOW)
    assert sweep_up(store, queue, lease=stale) == JanitorReport(0, 0)
    assert (look(store, lost), look(store, absent)) == (lost, absent)
    assert queue.job_counts().active == 1
    assert sweep_up(store, queue, lease=leader) == JanitorReport(put_back=1, lost=1)


def test_a_lease_lost_between_the_two_steps_stops_the_second(
    store: Database, queue: QueueClient, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lost,) = dispatched(store, queue, add_qr(store, "LOST", at=LONG_AGO))
    claimed(client, 1, lease_s=0)
    wait_until_past(client, client.time()[0])
    first, honest = lease_of(store, "a", LONG_AGO), queue.forget

    def slow(names: Any) -> None:
        lease_of(store, "b", NOW)
        honest(names)

    monkeypatch.setattr(queue, "forget", slow)
    assert sweep_up(store, queue, lease=first) == JanitorReport(0, 0)
    assert look(store, lost) == lost


def test_looking_changes_nothing(store: Database, queue: QueueClient) -> None:
    qr = add_qr(store, "QR1", state="queued", at=LONG_AGO, queued_at=LONG_AGO)
    found = find_orphans(store, queue, NOW, PATIENCE)
    assert ([one.qr_id for one in found.absent], found.lost) == (["QR1"], [])
    assert look(store, qr) == qr


def test_nothing_to_mend_writes_nothing(store: Database, queue: QueueClient) -> None:
    add_qr(store, "QR1")
    written: list[str] = []
    event.listen(store.engine, "commit", lambda _connection: written.append("commit"))
    assert sweep_up(store, queue) == JanitorReport(0, 0)
    assert written == []
