"""Queues, workers, leader: does what is due get done?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from paysync_cli.errors import RedisUnavailable
from paysync_cli.language import _, ngettext
from paysync_cli.queue.client import QueueClient, WorkerSeen
from paysync_cli.services.doctor.finding import Finding, fault, ok, warning
from paysync_cli.services.janitor import PATIENCE_S, find_orphans
from paysync_cli.store import banks, history, leases, qrs
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database

AREA = "work"
LATE_S, VERY_LATE_S = 120.0, 600.0


@dataclass(frozen=True, slots=True)
class WorkFacts:
    """What is due and who does it. Banks that nobody may ask now are left out of `due` and `oldest_due_s`.

    `workers`, `waiting`, `abandoned` are None when no Redis could be asked; `foreign` is the other database whose jobs
    this Redis carries. `idle_s` is how long ago the last check ended, None when there was none.
    """

    due: int
    oldest_due_s: float
    leader: str | None
    idle_s: float | None
    workers: Sequence[WorkerSeen] | None = None
    waiting: int | None = None
    abandoned: int | None = None
    foreign: str | None = None

    @property
    def alive(self) -> int:
        return sum(worker.alive for worker in self.workers or ())


def gather(store: Database, queue: QueueClient | RedisUnavailable | None, clock: Clock, database_id: str) -> WorkFacts:
    """Reads only. `queue` is None when the embedded Redis does not run, or the error that it gave.

    Raises DatabaseUnavailable.
    """
    now = clock.now()
    books = _books(store, clock, now)
    if queue is None:
        return replace(books, workers=(), waiting=0, abandoned=0)
    if isinstance(queue, RedisUnavailable):
        return books
    try:
        owner = queue.owner()
        orphans = find_orphans(store, queue, now, clock.span(PATIENCE_S))
        return replace(
            books,
            workers=queue.workers(gone=True),
            waiting=queue.job_counts().waiting,
            abandoned=len(orphans.absent) + len(orphans.lost),
            foreign=owner if owner not in (None, database_id) else None,
        )
    except RedisUnavailable:
        return books


def _books(store: Database, clock: Clock, now: datetime) -> WorkFacts:
    with store.read() as tx:
        closed = {state.bank for state in banks.states(tx) if state.closed(now)}
        due, oldest = qrs.count_due(tx, now), qrs.oldest_due_at(tx, now)
        leader, last = leases.holder(tx, leases.LEADER, now), history.last_check_at(tx)
    oldest_s = [clock.real_s(now - at) for bank, at in oldest.items() if bank not in closed]
    return WorkFacts(
        due=sum(n for bank, n in due.items() if bank not in closed),
        oldest_due_s=max(oldest_s, default=0.0),
        leader=leader,
        idle_s=None if last is None else max(0.0, clock.real_s(now - last)),
    )


def judge(facts: WorkFacts) -> list[Finding]:
    """Workers first: without one nothing else moves."""
    if facts.foreign is not None:
        text = _("This Redis carries the jobs of another paysync database ({owner}).").format(owner=facts.foreign)
        return [
            fault(AREA, "foreign_redis", text, _("Give each database its own Redis or database number in REDIS_URL."))
        ]
    return [*_workers(facts), *_leader(facts), *_abandoned(facts), _queue(facts)]


def _workers(facts: WorkFacts) -> Iterator[Finding]:
    for worker in facts.workers or ():
        if worker.killed and worker.condition == "stale":
            text = _("Worker {name} was killed: process {pid} of this host is gone, its last beat was {n:.0f} s ago.")
            words = {"name": worker.name, "pid": worker.pid, "n": worker.heartbeat_age_s or 0}
            yield warning(AREA, "worker_killed", text.format(**words), _("Start one again: paysync worker"))
        elif worker.condition == "stale":
            text = _("Worker {name} has been silent for {n:.0f} s: it died or hangs (pid {pid} on {host}).").format(
                name=worker.name, n=worker.heartbeat_age_s or 0, pid=worker.pid, host=worker.hostname
            )
            # Its number may be somebody else's by now.
            mend = _("On its host: ps -fp {pid}; when that is a paysync worker: kill -9 {pid}").format(pid=worker.pid)
            yield warning(AREA, "stale_worker", text, mend)
    if facts.workers is None:
        return
    if facts.alive:
        text = ngettext("{n} worker is alive; its last beat was {age:.0f} s ago.",
                        "{n} workers are alive; the oldest of their last beats was {age:.0f} s ago.",
                        facts.alive)  # fmt: skip
        age = max(worker.heartbeat_age_s or 0 for worker in facts.workers if worker.alive)
        yield ok(AREA, "workers", text.format(n=facts.alive, age=age))
    else:
        yield fault(AREA, "no_worker", _("No worker is alive: nothing is checked."), "paysync worker")


def _leader(facts: WorkFacts) -> Iterator[Finding]:
    if facts.leader is not None:
        yield ok(AREA, "leader", _("{name} leads.").format(name=facts.leader))
    elif facts.alive:
        text = _("Nobody leads: what gets lost is not mended, and no day list is read.")
        yield fault(
            AREA, "no_leader", text, _("paysync worker (stock rq workers need one `paysync dispatch` beside them)")
        )


def _abandoned(facts: WorkFacts) -> Iterator[Finding]:
    if facts.abandoned:
        text = ngettext("{n} dispatched check is with nobody: its worker or its job is gone.",
                        "{n} dispatched checks are with nobody: their workers or jobs are gone.",
                        facts.abandoned).format(n=facts.abandoned)  # fmt: skip
        yield warning(
            AREA, "abandoned", text, _("A leading worker brings them back; without one: paysync dispatch --once")
        )


def _queue(facts: WorkFacts) -> Finding:
    due = ngettext("{n} check is due, the oldest for {age}", "{n} checks are due, the oldest for {age}", facts.due)
    due = due.format(n=facts.due, age=_span(facts.oldest_due_s)) if facts.due else _("Nothing is due")
    text = f"{due}." if facts.waiting is None else _("{due}; {n} wait in Redis.").format(due=due, n=facts.waiting)
    if facts.oldest_due_s < LATE_S:
        return ok(AREA, "queue", text)
    make = fault if facts.oldest_due_s >= VERY_LATE_S else warning
    mend = _("More checks in flight: paysync worker --concurrency 50") if facts.alive else "paysync worker"
    return make(AREA, "queue_growing", text, mend)


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds))) if seconds >= 60 else f"{seconds:.0f} s"
