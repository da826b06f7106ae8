"""A database and a Redis filled for tests: QRs in any state, checks, money, reviews, spent jobs."""

from __future__ import annotations

import base64
import sqlite3
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis

from paysync_cli.payments.decision import ReviewNews
from paysync_cli.payments.qr import Movement, Plan, Qr
from paysync_cli.payments.status import PlanState, Priority, ReviewReason, Status
from paysync_cli.queue.client import Pushed, QueueClient
from paysync_cli.queue.link import Link
from paysync_cli.queue.names import FAILED_TTL_S, QUEUE_NAMES, JobName
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.database import Database

NOW = datetime(2031, 6, 14, 16, 0, tzinfo=UTC)
HOSTILE = "\x1b[31m[red]Ana\u202e\n=cmd()"


def new_database(folder: Path) -> Database:
    """The SQLite database of a PAYSYNC_HOME, ready."""
    return Database(f"sqlite:///{folder / 'paysync.db'}", create=True).ready(upgrade=True)


def add_qr(store: Database, qr_id: str, **fields: Any) -> Qr:
    """Register a QR. `plan` fields: state, at (next check), seq, checks; the rest are columns."""
    status = Status(fields.get("status", "active"))
    state = PlanState(fields.get("state", "done" if status.final else "planned"))
    at = None if state is PlanState.DONE else fields.get("at", NOW)
    waiting = PlanState.PLANNED if state is PlanState.QUEUED else state
    plan = Plan(waiting, at, Priority(fields.get("priority", "low")), fields.get("seq", 0), fields.get("checks", 0), 20,
                fields.get("attempts", 0))  # fmt: skip
    bank, environment = fields.get("bank", "sim"), fields.get("environment", "certification")
    registered_at = fields.get("registered_at", NOW - timedelta(hours=1))
    new = qrs.NewQr(bank, environment, qr_id, status, fields.get("amount", 10050), fields.get("currency", "BOB"),
                    fields.get("account", "main"), fields.get("multi_use", False), registered_at, registered_at,
                    fields.get("due_at"), plan)  # fmt: skip
    with store.write() as tx:
        row = qrs.register(tx, [new])[qr_id]
        history.record_transitions(tx, [history.Transition(row, registered_at, None, status, "registered", 0)])
    if state is PlanState.QUEUED:
        with store.write() as tx:
            taken = qrs.take_due(tx, bank, environment, plan.priority, fields.get("queued_at", at), 10_000)
            qrs.put_back(tx, [(due.id, due.seq) for due in taken if due.id != row])
    with store.read() as tx:
        return qrs.load(tx, [row])[row]


def add_check(
    store: Database, qr: Qr, *, seq: int = 0, at: datetime = NOW, outcome: str = "unpaid", **fields: Any
) -> None:
    record = history.CheckRecord(qr.id, seq, fields.get("attempt", 1), at, outcome, fields.get("bank_status"),
                                 fields.get("duration_ms", 12), fields.get("error"))  # fmt: skip
    with store.write() as tx:
        history.record_checks(tx, [record])


def book(
    store: Database, qr: Qr, amount: int, *, transaction: str = "t1", currency: str = "BOB", payer: str = ""
) -> None:
    movement = Movement(transaction, amount, currency, NOW, payer or None)
    with store.write() as tx:
        ledger.book(tx, [ledger.Booking(qr, movement, "check")], NOW)


def open_review(store: Database, qr: Qr, reason: str = "overpaid", **detail: str) -> None:
    with store.write() as tx:
        history.open_reviews(tx, qr, [ReviewNews(ReviewReason(reason), "news", detail)], NOW)


def dump(store: Database) -> list[str]:
    """The whole SQLite database as SQL text."""
    connection = sqlite3.connect(f"file:{store.where}?mode=ro", uri=True)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def push(queue: QueueClient, database_id: str, *rows: Qr) -> None:
    queue.push(database_id, [Pushed(JobName(qr.id, qr.plan.seq), qr.plan.priority, qr.qr_id) for qr in rows])


def spend(client: redis.Redis, kind: str, queue: str, jobs: Iterable[tuple[str, float]]) -> None:
    """Put spent jobs into a registry (finished, failed), each with its score and all the keys RQ gives a job."""
    pipe = client.pipeline(transaction=False)
    for job_id, score in jobs:
        pipe.zadd(f"rq:{kind}:{queue}", {job_id: score})
        pipe.hset(f"rq:job:{job_id}", mapping={"status": kind, "origin": queue, "data": "[]"})
        pipe.xadd(f"rq:results:{job_id}", {"type": 1})
    pipe.execute()


def spent_ids(client: redis.Redis, kind: str) -> list[str]:
    """What the registries of this kind keep, queue by queue in RQ's order."""
    return [job.decode() for queue in QUEUE_NAMES for job in client.zrange(f"rq:{kind}:{queue}", 0, -1)]


def everything(client: redis.Redis) -> dict[bytes, bytes]:
    """Every key of Redis with its serialized value."""
    return {key: client.dump(key) for key in sorted(client.scan_iter(count=1000))}


def link(url: str) -> Link:
    return Link(url, "a test's Redis")


def fail_jobs(client: redis.Redis, jobs: Iterable[tuple[str, str, float]], queue: str = QUEUE_NAMES[2]) -> None:
    """Failed jobs as RQ keeps them: id, reason, and how many seconds ago it failed."""
    now = float(client.time()[0])  # type: ignore[index]
    pipe = client.pipeline(transaction=False)
    for job_id, reason, ago_s in jobs:
        packed = base64.b64encode(zlib.compress(reason.encode()))
        pipe.zadd(f"rq:failed:{queue}", {job_id: now + FAILED_TTL_S - ago_s})
        pipe.hset(f"rq:job:{job_id}", mapping={"status": "failed", "origin": queue, "data": "[]"})
        pipe.xadd(f"rq:results:{job_id}", {"type": 2, "worker_name": "w", "exc_string": packed})
    pipe.execute()
