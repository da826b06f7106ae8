"""The janitor: dispatched rows whose job is nowhere return to the plan; a job that took its worker down counts as a
failed attempt. Redis may be wiped at any moment: within seconds all is as it should be."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import PlanState
from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.names import JobName
from paysync_cli.services.sync import WORKER_LOST, Asked, Failure, Judge, Recorded, Witness, record_each
from paysync_cli.store import leases, qrs
from paysync_cli.store.alerts import AlertKind, raise_alert
from paysync_cli.store.database import Database, Tx, slices
from paysync_cli.store.leases import Lease

PATIENCE_S = 15.0  # after dispatch, before a missing job is believed to be lost (real seconds)
LOOK_AT_MOST = 5_000

LOST = "the worker that asked did not live to record the answer"

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
        rows = qrs.queued(tx, now - patience, LOOK_AT_MOST, after=now + patience)
    places = queue.whereabouts([_name(qr) for qr in rows]) if rows else {}
    return Orphans(
        absent=[qr for qr in rows if places[_name(qr)] == "absent"],
        lost=[qr for qr in rows if places[_name(qr)] in ("lost", "failed")],
    )


def recover(
    store: Database,
    queue: QueueClient,
    judge: Judge,
    *,
    patience: timedelta,
    lease: Lease | None = None,
    witness: Witness | None = None,
) -> JanitorReport:
    """Mend the orphans. With `lease`, change nothing once it is lost."""
    _forget_recorded(store, queue)
    orphans = find_orphans(store, queue, judge.now, patience)
    absent, lost = orphans.absent, orphans.lost
    if not absent and not lost:
        return JanitorReport(0, 0)
    with store.write() as tx:
        if lease is not None and not leases.still_held(tx, lease):
            return JanitorReport(0, 0)
        put_back = qrs.put_back(tx, [(qr.id, qr.plan.seq) for qr in absent], lease=lease)
        _alert(tx, [*(absent if put_back else ()), *lost], judge.now)
    if lost:
        # Before the record: a trace left behind would show the job as started for ever.
        queue.forget([_name(qr) for qr in lost])
    ended, unwritten = _record_lost(store, lost, judge, lease, witness)
    recorded = len(ended)
    given_up = [one for one in ended if one.how == "failed"]
    _show_given_up(queue, given_up)
    if put_back or recorded:
        log.warning(
            "%d checks were put back to the plan, %d were lost with their worker", put_back, recorded,
            extra={"event_name": "janitor", "put_back": put_back, "lost": recorded},
        )  # fmt: skip
    if unwritten is not None:
        raise unwritten  # after all that is due for the others: the next round finds only the rest
    return JanitorReport(put_back, recorded)


def _alert(tx: Tx, abandoned: Sequence[Qr], now: datetime) -> None:
    """It is mended; yet a worker died or Redis lost what it was given, and somebody should know."""
    for bank, n in sorted(Counter(qr.bank for qr in abandoned).items()):
        example = next(qr.qr_id for qr in abandoned if qr.bank == bank)
        raise_alert(tx, AlertKind.CHECKS_ABANDONED, bank, example, now, count=n)


def _forget_recorded(store: Database, queue: QueueClient) -> None:
    """Drop executions whose worker died after the record and before it could tell Redis: else they stay started.

    Their ids never come again, so it does not matter who drops them, nor when.
    """
    names = [name for page in queue.names_in("wip") for name in page]
    places = queue.whereabouts(names) if names else {}
    dead = [name for name in names if places[name] == "lost"]
    if not dead:
        return
    with store.read() as tx:
        rows = qrs.load(tx, (name.qr for name in dead))
    over = [name for name in dead if _is_over(name, rows.get(name.qr))]
    if over:
        queue.forget(over)


def _is_over(name: JobName, qr: Qr | None) -> bool:
    return qr is None or qr.plan.state is PlanState.DONE or qr.plan.seq != name.seq


def _record_lost(
    store: Database, lost: Sequence[Qr], judge: Judge, lease: Lease | None, witness: Witness | None
) -> tuple[list[Recorded], DatabaseUnavailable | None]:
    """Record the failed attempts of those rows that still wait for theirs; and why some could not be, if so."""
    asked = [Asked(qr.id, qr.plan.seq, judge.now, 0, failure=Failure("attempt", WORKER_LOST, LOST)) for qr in lost]
    ended: list[Recorded] = []
    unwritten: DatabaseUnavailable | None = None
    for some in slices(asked):
        for one in record_each(store, some, judge, lease=lease, witness=witness):
            if isinstance(one, DatabaseUnavailable):
                unwritten = one
            elif one.outcome == WORKER_LOST:
                ended.append(one)
    return ended, unwritten


def _show_given_up(queue: QueueClient, given_up: Sequence[Recorded]) -> None:
    """A check given up is a failed job, also when no worker lived to say so."""
    jobs = [(_name(one.before), one.before.plan.priority) for one in given_up if one.before is not None]
    if jobs:
        queue.fail(jobs, LOST)


def _name(qr: Qr) -> JobName:
    return JobName(qr.id, qr.plan.seq)
