"""Dispatch: rows whose moment has come go to the RQ queues, in batches, never more than the queues should hold.

The row is committed as `queued` first, then pushed: a crash between the two is mended by the janitor.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from paysync_cli.errors import PaysyncError
from paysync_cli.payments.status import Priority
from paysync_cli.queue.client import Pushed, QueueClient
from paysync_cli.queue.names import QUEUES, JobName
from paysync_cli.services.telling import Counts
from paysync_cli.store import qrs
from paysync_cli.store.database import Database

QUEUE_BOUND = 500  # jobs one queue holds at most; the rest waits in SQL

log = logging.getLogger("paysync.dispatch")


@dataclass(frozen=True, slots=True)
class Scope:
    """A bank whose rows may be dispatched now; rows of another environment are never asked with this credential.

    `allowance` is how many of its rows may be queued or running: what its limits can use in about two seconds.
    """

    bank: str
    environment: str
    allowance: int = 10_000


@dataclass(frozen=True, slots=True)
class DispatchReport:
    """What one round moved.

    `next_at` is the earliest moment that is not moved yet, None when nothing waits; `busy` how many banks have work.
    """

    moved: int
    next_at: datetime | None
    busy: int = 0


def dispatch(
    store: Database,
    queue: QueueClient,
    database_id: str,
    scopes: Sequence[Scope],
    now: datetime,
    counts: Counts | None = None,
) -> DispatchReport:
    """Move what is due. Raises RedisUnavailable or DatabaseUnavailable; rows already taken go back to the plan."""
    waiting, under_way = _look(store, scopes)
    due = [(scope, priority) for scope, priority, at in waiting if at <= now]
    busy = len({scope.bank for scope, _priority in due} | {bank for bank, n in under_way.items() if n})
    if not due:
        return DispatchReport(0, min((at for _scope, _priority, at in waiting), default=None), busy)
    taken = _take(store, due, queue.room(QUEUE_BOUND), now)
    _push(store, queue, database_id, taken)
    if counts is not None:
        counts.dispatched(taken)
    waiting, _under_way = _look(store, scopes)
    return DispatchReport(len(taken), min((at for _scope, _priority, at in waiting), default=None), busy)


def _look(store: Database, scopes: Sequence[Scope]) -> tuple[list[tuple[Scope, Priority, datetime]], dict[str, int]]:
    """The earliest moment per bank and priority, and how many rows of each bank are under way."""
    with store.read() as tx:
        waiting = [
            (scope, priority, at)
            for scope in scopes
            for priority, at in qrs.next_due_at(tx, scope.bank, scope.environment).items()
        ]
        return waiting, {scope.bank: qrs.count_queued(tx, scope.bank, scope.environment) for scope in scopes}


def _take(
    store: Database, due: Sequence[tuple[Scope, Priority]], room: dict[Priority, int], now: datetime
) -> list[qrs.Due]:
    """The longest due rows, the urgent queues first; banks share a queue's room evenly."""
    taken: list[qrs.Due] = []
    with store.write() as tx:
        left_to = {
            scope.bank: scope.allowance - qrs.count_queued(tx, scope.bank, scope.environment)
            for scope in {scope.bank: scope for scope, _priority in due}.values()
        }
        for priority in Priority:
            scopes = [scope for scope, of in due if of is priority]
            for left, scope in zip(range(len(scopes), 0, -1), scopes, strict=True):
                share = min(room[priority] // left, left_to[scope.bank])
                if share > 0:
                    rows = qrs.take_due(tx, scope.bank, scope.environment, priority, now, share)
                    room[priority] -= len(rows)
                    left_to[scope.bank] -= len(rows)
                    taken += rows
    return taken


def _push(store: Database, queue: QueueClient, database_id: str, taken: Sequence[qrs.Due]) -> None:
    jobs = [Pushed(JobName(due.id, due.seq), due.priority, due.qr_id) for due in taken]
    try:
        queue.push(database_id, jobs)
    except PaysyncError:  # Redis is away, or another database's
        with store.write() as tx:
            qrs.put_back(tx, [(due.id, due.seq) for due in taken])
        raise
    for due in taken if log.isEnabledFor(logging.INFO) else ():
        log.info(
            "%s: check added to the %s queue", due.qr_id, due.priority.value,
            extra={"event_name": "check_added", "qr_id": due.qr_id, "bank": due.bank, "seq": due.seq,
                   "job_id": JobName(due.id, due.seq).id, "queue": QUEUES[due.priority]},
        )  # fmt: skip
