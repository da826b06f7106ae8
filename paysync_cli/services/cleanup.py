"""Cleanup: what is past its time goes. Repeatable; one at a time; what cron runs and the leader once a day.

Four parts: check records of final QRs older than a span, alerts that are long over, spent RQ jobs beyond their number
or age, and dispatched rows whose job is nowhere. Never a QR, a movement, a review or a transition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from paysync_cli.errors import RedisUnavailable, TryLater
from paysync_cli.language import _
from paysync_cli.queue.client import SPENT_TTL_S, QueueClient, Spent
from paysync_cli.services.janitor import PATIENCE_S, find_orphans, recover
from paysync_cli.services.lock import LEASE, Lock
from paysync_cli.services.purge import KINDS, drop_spent
from paysync_cli.services.sync import Judge
from paysync_cli.store import alert_messages, history, leases
from paysync_cli.store.database import Database

NAME = "cleanup"  # of the lease and of the recorded run
CHECKS_KEPT = timedelta(days=30)
ALERTS_KEPT = timedelta(days=30)  # after they were over
STEP = 500  # check records in one transaction: a worker's writes wait milliseconds
PATIENCE = timedelta(seconds=PATIENCE_S)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many were past their time, and how many went. `removed` is 0 in a dry run."""

    matched: int
    removed: int = 0


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """What a cleanup did, or with `dry_run` would do. The parts in Redis are None when it was not available.

    `orphans.removed` are rows that are planned again.
    """

    checks: Tally
    completed: Tally | None
    failed: Tally | None
    orphans: Tally | None
    dry_run: bool
    redis_error: RedisUnavailable | None = None
    alerts: Tally = Tally(0)

    @property
    def outcome(self) -> str:
        return "ok" if self.redis_error is None else "partial"


@dataclass(frozen=True, slots=True)
class LastCleanup:
    """The last run that ended, and who runs one now."""

    at: datetime | None
    outcome: str | None
    detail: Mapping[str, Any]
    running: str | None


def preview_cleanup(
    store: Database,
    queue: QueueClient | RedisUnavailable | None,
    *,
    now: datetime,
    older_than: timedelta,
    keep_completed: int,
    keep_failed: int,
    patience: timedelta = PATIENCE,
) -> CleanupReport:
    """What `cleanup` would do now, by the same questions; changes nothing and needs no lock."""
    with store.read() as tx:
        checks = Tally(history.spent_checks(tx, now - older_than))
        told = Tally(alert_messages.forgettable(tx, now - ALERTS_KEPT))
    if not isinstance(queue, QueueClient):
        return CleanupReport(checks, None, None, None, dry_run=True, redis_error=queue, alerts=told)
    try:
        completed = Tally(_past_their_time(queue, "completed", keep_completed).matched)
        failed = Tally(_past_their_time(queue, "failed", keep_failed).matched)
        orphans = find_orphans(store, queue, now, patience)
    except RedisUnavailable as error:
        return CleanupReport(checks, None, None, None, dry_run=True, redis_error=error, alerts=told)
    lost = Tally(len(orphans.absent) + len(orphans.lost))
    return CleanupReport(checks, completed, failed, lost, dry_run=True, alerts=told)


def cleanup(
    store: Database,
    queue: QueueClient | RedisUnavailable | None,
    *,
    now: datetime,
    older_than: timedelta,
    keep_completed: int,
    keep_failed: int,
    judge: Judge,
    owner: str,
    progress: Callable[[int], None] = lambda _n: None,
    patience: timedelta = PATIENCE,
    timer: Callable[[], float] = time.monotonic,
) -> CleanupReport:
    """Clean up and record the run; `progress` is told the number of each step.

    Redis down (`queue` the error it gave, or it fails on the way) leaves its parts undone and the report says so;
    None means that there is no Redis to clean. Raises TryLater while another cleanup runs, DatabaseUnavailable.
    """
    lock = Lock(store, NAME, owner, now, _locked, timer)
    try:
        checks = _forget_checks(lock, now - older_than, progress)
        told = _forget_alerts(lock, now - ALERTS_KEPT, progress)
        report = _clean_redis(lock, queue, checks, (keep_completed, keep_failed), judge, patience, progress)
        report = replace(report, alerts=told)
        with lock.step() as tx:
            history.record_run(tx, NAME, lock.now(), report.outcome, _detail(report))
    finally:
        lock.open()
    return report


def last_cleanup(store: Database, now: datetime) -> LastCleanup:
    """The last run that ended, and whoever runs one now."""
    with store.read() as tx:
        run, running = history.last_run(tx, NAME), leases.holder(tx, NAME, now)
    at, outcome, detail = run or (None, None, {})
    return LastCleanup(at, outcome, detail, running)


def _locked(owner: str) -> TryLater:
    minutes = LEASE // timedelta(minutes=1)
    return TryLater(
        _("Another cleanup is at work ({owner}).").format(owner=owner),
        hint=_("After a crash its lock is gone within {n} minutes. --skip-if-locked exits 0.").format(n=minutes),
        code="locked",
    )


def _forget_checks(lock: Lock, before: datetime, progress: Callable[[int], None]) -> Tally:
    removed, after = 0, None
    while True:
        with lock.step() as tx:
            step, after = history.forget_checks(tx, before, STEP, after)
        removed += step
        progress(step)
        if after is None:
            return Tally(removed, removed)


def _forget_alerts(lock: Lock, before: datetime, progress: Callable[[int], None]) -> Tally:
    removed, step = 0, STEP
    while step >= STEP:
        with lock.step() as tx:
            step = alert_messages.forget(tx, before, STEP)
        removed += step
        if step:
            progress(step)
    return Tally(removed, removed)


def _clean_redis(
    lock: Lock,
    queue: QueueClient | RedisUnavailable | None,
    checks: Tally,
    keep: tuple[int, int],
    judge: Judge,
    patience: timedelta,
    progress: Callable[[int], None],
) -> CleanupReport:
    if not isinstance(queue, QueueClient):
        return CleanupReport(checks, None, None, None, dry_run=False, redis_error=queue)
    try:
        completed, failed = (_retain(lock, queue, kind, n, progress) for kind, n in zip(KINDS, keep, strict=True))
        mended = recover(lock.store, queue, judge, patience=patience, lease=lock.lease)
    except RedisUnavailable as error:
        return CleanupReport(checks, None, None, None, dry_run=False, redis_error=error)
    orphans = mended.put_back + mended.lost
    return CleanupReport(checks, completed, failed, Tally(orphans, orphans), dry_run=False)


def _retain(lock: Lock, queue: QueueClient, kind: str, keep: int, progress: Callable[[int], None]) -> Tally:
    spent, removed = _past_their_time(queue, kind, keep), 0
    for step in drop_spent(queue, spent):
        removed += step
        progress(step)
        lock.keep()
    return Tally(spent.matched, removed)


def _past_their_time(queue: QueueClient, kind: str, keep: int) -> Spent:
    """Beyond their number or beyond their age: both are the oldest of one order, so the larger share has both."""
    registry = KINDS[kind]
    too_many = queue.find_spent(registry, keep=keep)
    too_old = queue.find_spent(registry, older_than_s=SPENT_TTL_S[registry])
    return max(too_many, too_old, key=lambda spent: spent.matched)


def _detail(report: CleanupReport) -> dict[str, int | None]:
    parts = {name: getattr(report, name) for name in ("checks", "completed", "failed", "orphans", "alerts")}
    return {name: None if tally is None else tally.removed for name, tally in parts.items()}
