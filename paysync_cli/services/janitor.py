"""The janitor: dispatched rows whose job is nowhere return to the plan; a job that took its worker down counts as a
failed attempt. Redis may be wiped at any moment: within seconds all is as it should be."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paysync_cli.payments.qr import Qr
from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.names import JobName
from paysync_cli.services.sync import Asked, Failure, Judge, record
from paysync_cli.store import qrs
from paysync_cli.store.database import Database
from paysync_cli.store.leases import Lease

PATIENCE_S = 15.0  # after dispatch, before a missing job is believed to be lost (real seconds)
LOOK_AT_MOST = 5_000

log = logging.getLogger("paysync.janitor")


@dataclass(frozen=True, slots=True)
class JanitorReport:
    """What was mended: rows put back at no cost, and executions that were lost with their worker."""

    put_back: int
    lost: int


@dataclass(frozen=True, slots=True)
class Orphans:
    """Dispatched rows that nobody works on: their job is nowhere, or its execution ended without a record."""

    absent: Sequence[Qr]
    lost: Sequence[Qr]


def find_orphans(store: Database, queue: QueueClient, now: datetime, patience: timedelta) -> Orphans:
    """Among the rows dispatched longer than `patience` ago. Changes nothing."""
    with store.read() as tx:
        rows = qrs.queued(tx, now - patience, LOOK_AT_MOST)
    places = queue.whereabouts([_name(qr) for qr in rows]) if rows else {}
    return Orphans(
        absent=[qr for qr in rows if places[_name(qr)] == "absent"],
        lost=[qr for qr in rows if places[_name(qr)] in ("lost", "failed")],
    )


def recover(
    store: Database, queue: QueueClient, judge: Judge, *, patience: timedelta, lease: Lease | None = None
) -> JanitorReport:
    """Mend the orphans. With `lease`, change nothing once it is lost."""
    orphans = find_orphans(store, queue, judge.now, patience)
    absent, lost = orphans.absent, orphans.lost
    if not absent and not lost:
        return JanitorReport(0, 0)
    with store.write() as tx:
        put_back = qrs.put_back(tx, [(qr.id, qr.plan.seq) for qr in absent], lease=lease)
    if lost:
        queue.forget([_name(qr) for qr in lost])
        _record_lost(store, lost, judge)
    if put_back or lost:
        log.warning(
            "%d checks were put back to the plan, %d were lost with their worker", put_back, len(lost),
            extra={"event_name": "janitor", "put_back": put_back, "lost": len(lost)},
        )  # fmt: skip
    return JanitorReport(put_back, len(lost))


def _record_lost(store: Database, lost: Sequence[Qr], judge: Judge) -> None:
    failure = Failure("attempt", "worker_lost", "the worker that asked did not live to record the answer")
    record(store, [Asked(qr.id, qr.plan.seq, judge.now, 0, failure=failure) for qr in lost], judge)


def _name(qr: Qr) -> JobName:
    return JobName(qr.id, qr.plan.seq)
