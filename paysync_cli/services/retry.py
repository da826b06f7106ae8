"""Retrying failed jobs: their QRs are asked now, through the plan in SQL, and the failed jobs go.

A job is never put back into a queue: its seq is of a check that was given up, and the plan decides when a QR is asked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from paysync_cli.errors import NotFound
from paysync_cli.payments.qr import Plan, Qr
from paysync_cli.payments.schedule import PRIORITY_OF
from paysync_cli.payments.status import PlanState, Priority
from paysync_cli.queue.failed import FailedJob, FailedJobs, Place
from paysync_cli.queue.names import JobName
from paysync_cli.services.failed import Filter, count_matching, error_line, matching, row_of
from paysync_cli.services.inspect import look_for
from paysync_cli.store import history, qrs
from paysync_cli.store.database import Database

KEPT_ITEMS = 1_000  # of a bulk retry: those that were not simply retried


class Outcome(StrEnum):
    """What became of one failed job. The job stays where the outcome is `held`, `no_row` or `not_found`."""

    RETRIED = "retried"  # its QR is asked now
    UNDER_WAY = "under_way"  # its QR is queued or due already
    FINAL = "final"  # nothing is asked any more
    HELD = "held"
    VANISHED = "vanished"  # somebody else removed it meanwhile
    NO_ROW = "no_row"  # it names no QR of this database
    NOT_FAILED = "not_failed"  # the QR that was named has no failed job
    NOT_FOUND = "not_found"  # nobody knows the QR that was named


CLEARED = (Outcome.RETRIED, Outcome.UNDER_WAY, Outcome.FINAL)
TROUBLE = (Outcome.HELD, Outcome.VANISHED, Outcome.NO_ROW, Outcome.NOT_FOUND)


@dataclass(frozen=True, slots=True)
class Item:
    """One failed job, or one QR that was named and has none. `qr` is its row as it is now."""

    qr_id: str | None
    outcome: Outcome
    qr: Qr | None = None
    job_id: str | None = None
    error: str | None = None
    missing: NotFound | None = None


@dataclass(slots=True)
class RetryReport:
    """All that was done; `cut` counts the items that are not listed. `matched` are the failed jobs that were meant."""

    matched: int
    dry_run: bool
    items: list[Item] = field(default_factory=list)
    counts: Counter[Outcome] = field(default_factory=Counter)
    cut: int = 0

    def add(self, items: Iterable[Item], *, whole: bool) -> None:
        """Count the items; list all, or only those that need a person's eye, and not without end."""
        for item in items:
            self.counts[item.outcome] += 1
            if whole:
                self.items.append(item)
            elif item.outcome in TROUBLE:
                if len(self.items) < KEPT_ITEMS:
                    self.items.append(item)
                else:
                    self.cut += 1

    @property
    def trouble(self) -> int:
        return sum(self.counts[outcome] for outcome in TROUBLE)


@dataclass(frozen=True, slots=True)
class Deed:
    """Who retries, and when."""

    who: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Which:
    """The QRs that were named: `bank` where several have the same id."""

    qr_ids: Sequence[str]
    bank: str | None = None


@dataclass(frozen=True, slots=True)
class Meant:
    """What a bulk retry means: the failed jobs that match, from the newest one at this moment (`top`) on."""

    wanted: Filter
    top: FailedJob | None
    matched: int


# -- named QRs


def retry_named(store: Database, failed: FailedJobs, which: Which, deed: Deed, *, dry_run: bool = False) -> RetryReport:
    """Ask about these QRs now where they have failed jobs. Raises UsageError as `find_one`; then nothing is changed."""
    known: dict[str, Qr | NotFound] = {}
    jobs: dict[int, list[JobName]] = {}
    with store.read() as tx:
        for qr_id in dict.fromkeys(which.qr_ids):
            known[qr_id] = found = look_for(tx, qr_id, which.bank)
            if isinstance(found, Qr):
                jobs[found.id] = [JobName(found.id, seq) for seq in {found.plan.seq, *history.asked_seqs(tx, found.id)}]
    kept = failed.named([name for names in jobs.values() for name in names])
    report = RetryReport(len(kept), dry_run)
    done = _retry(store, failed, kept, deed, dry_run=dry_run)
    for qr_id, found in known.items():
        if isinstance(found, NotFound):
            report.add([Item(qr_id, Outcome.NOT_FOUND, missing=found)], whole=True)
            continue
        mine = [item for item in done if item.qr is not None and item.qr.id == found.id]
        report.add(mine or [Item(qr_id, Outcome.NOT_FAILED, found)], whole=True)
    return report


# -- all


def find_meant(store: Database, failed: FailedJobs, wanted: Filter, *, total: int) -> Meant:
    """What a bulk retry would take now; `total` is how many failed jobs there are."""
    newest = failed.page(limit=1)
    if not newest:
        return Meant(wanted, None, 0)
    matched = total if not wanted else count_matching(store, failed, wanted)
    return Meant(wanted, newest[0], matched)


def preview(
    store: Database, failed: FailedJobs, meant: Meant, deed: Deed, *, dry_run: bool = True
) -> RetryReport:  # fmt: skip
    """What the bulk retry would do, by the same walk and the same judgement, without writing."""
    report = RetryReport(0, dry_run)
    for page in _pages(store, failed, meant):
        report.matched += len(page)
        report.add(_retry(store, failed, page, deed, dry_run=True), whole=False)
    return report


def retry_all(
    store: Database,
    failed: FailedJobs,
    meant: Meant,
    deed: Deed,
    *,
    clock: Callable[[], datetime],
    progress: Callable[[int], None] = lambda _n: None,
) -> RetryReport:
    """Retry what is meant, the newest first, each step in one transaction. What fails meanwhile is left alone.

    A job that vanished since it was counted is counted as such: it is not there to be retried.
    """
    report = RetryReport(meant.matched, dry_run=False)
    met = 0
    for page in _pages(store, failed, meant):
        met += len(page)
        report.add(_retry(store, failed, page, replace(deed, now=clock()), dry_run=False), whole=False)
        progress(len(page))
    report.counts[Outcome.VANISHED] += max(0, meant.matched - met)
    return report


def _pages(store: Database, failed: FailedJobs, meant: Meant) -> Iterable[list[FailedJob]]:
    if meant.top is None:
        return
    # The place just above the top: the job itself belongs to what is meant.
    above = Place(meant.top.place.score, meant.top.place.queue, meant.top.place.id + "\0")
    yield from matching(store, failed, meant.wanted, above)


# -- one step


def _retry(
    store: Database, failed: FailedJobs, jobs: Sequence[FailedJob], deed: Deed, *, dry_run: bool
) -> list[Item]:  # fmt: skip
    """Plan the QRs of these jobs, commit, then remove the jobs: cut in between, they are retried once more, no harm."""
    ids = {job.name.qr for job in jobs if job.name is not None}
    if dry_run:
        with store.read() as tx:
            return _judge(jobs, qrs.load(tx, ids), deed.now, {})
    with store.write() as tx:
        rows, plans = qrs.load(tx, ids, lock=True), dict[int, Plan]()
        items = _judge(jobs, rows, deed.now, plans)
        for row, plan in plans.items():
            if not qrs.replan(tx, rows[row], plan):
                raise RuntimeError("a locked row changed under its transaction")
        of_row: dict[int, list[FailedJob]] = defaultdict(list)
        for job in jobs:
            if job.name is not None:
                of_row[job.name.qr].append(job)
        actions = [_action(rows[row], of_row[row], deed) for row in plans]
        history.record_actions(tx, actions + _cleared_only(items, plans, deed))
    done = {item.job_id for item in items if item.outcome in CLEARED}
    failed.drop([job for job in jobs if job.id in done])
    return items


def _judge(jobs: Sequence[FailedJob], rows: Mapping[int, Qr], now: datetime, plans: dict[int, Plan]) -> list[Item]:
    """The outcome of each job; `plans` gets the new plan of each row that needs one."""
    items = []
    for job in jobs:
        qr = row_of(job, rows)
        if qr is None:
            items.append(Item(None, Outcome.NO_ROW, None, job.id, job.reason))
            continue
        outcome = _outcome(qr, now, plans)
        after = qr
        if outcome is Outcome.RETRIED:
            plans[qr.id] = _asked_now(qr, now)
        if qr.id in plans:
            after = replace(qr, plan=plans[qr.id])
        items.append(Item(qr.qr_id, outcome, after, job.id, job.reason))
    return items


def _outcome(qr: Qr, now: datetime, planned: Collection[int]) -> Outcome:
    plan = qr.plan
    if plan.state is PlanState.DONE:
        return Outcome.FINAL
    if plan.state is PlanState.HELD:
        return Outcome.HELD
    due = plan.next_check_at is not None and plan.next_check_at <= now
    if plan.state is PlanState.QUEUED or due or qr.id in planned:
        return Outcome.UNDER_WAY
    return Outcome.RETRIED


def _asked_now(qr: Qr, now: datetime) -> Plan:
    """Asked for by a person: costs none of the budget, and is asked although the budget may be used up."""
    return replace(qr.plan, next_check_at=now, free=True, priority=PRIORITY_OF.get(qr.status, Priority.HIGH))


def _cleared_only(items: Sequence[Item], plans: Collection[int], deed: Deed) -> list[history.Action]:
    """One row for the jobs of this step that go although their QRs need no new question."""
    jobs = [
        item.job_id for item in items if item.outcome in CLEARED and item.qr is not None and item.qr.id not in plans
    ]
    if not jobs:
        return []
    return [
        history.Action(deed.now, deed.who, "retry", "failed jobs", None, None, {"cleared": len(jobs), "jobs": jobs})
    ]


def _action(qr: Qr, jobs: Sequence[FailedJob], deed: Deed) -> history.Action:
    detail = {"jobs": [job.id for job in jobs], "error": error_line(jobs[0].reason), "before": qr.plan.next_check_at}
    return history.Action(deed.now, deed.who, "retry", f"{qr.bank}/{qr.qr_id}", qr.id, None, detail)
