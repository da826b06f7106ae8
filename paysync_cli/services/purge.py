"""Purge: spent RQ jobs go, in small steps. Never a QR, a movement or a plan: those are in SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paysync_cli.errors import TryLater
from paysync_cli.language import _
from paysync_cli.queue.client import QueueClient, Spent
from paysync_cli.services.lock import LEASE, Lock
from paysync_cli.store import history
from paysync_cli.store.database import Database

NAME = "purge"  # of its lease
KINDS = {"completed": "finished", "failed": "failed"}  # our word -> RQ's registry


@dataclass(frozen=True, slots=True)
class Wish:
    """Which spent jobs shall go: of these kinds (`completed`, `failed`), ended longer ago than `older_than`, never the
    newest `keep` of a kind, counted over all three queues together.
    """

    kinds: Sequence[str]
    older_than: timedelta | None = None
    keep: int = 0


@dataclass(frozen=True, slots=True)
class KindCount:
    """What became of one kind: `matched` were meant, `removed` went."""

    kind: str
    matched: int
    removed: int
    kept: int


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What was meant and what went. A job that somebody else removed meanwhile is matched and not removed."""

    kinds: Sequence[KindCount]
    dry_run: bool

    @property
    def matched(self) -> int:
        return sum(one.matched for one in self.kinds)

    @property
    def removed(self) -> int:
        return sum(one.removed for one in self.kinds)

    @property
    def kept(self) -> int:
        return sum(one.kept for one in self.kinds)


def find_spent(queue: QueueClient, wish: Wish) -> list[Spent]:
    """What the wish means now, one entry a kind. The dry run shows it, the real run takes it."""
    age_s = None if wish.older_than is None else wish.older_than.total_seconds()
    return [queue.find_spent(KINDS[kind], keep=wish.keep, older_than_s=age_s) for kind in wish.kinds]


def preview(found: Sequence[Spent]) -> PurgeReport:
    """The report of a dry run."""
    return _report(found, [0] * len(found), dry_run=True)


def purge(
    store: Database,
    queue: QueueClient,
    found: Sequence[Spent],
    *,
    now: datetime,
    who: str,
    progress: Callable[[int], None] = lambda _n: None,
) -> PurgeReport:
    """Remove what was found, the oldest first, and write down who did it, also when it is cut short.

    `progress` is told the number of each step. Raises TryLater while another purge runs, RedisUnavailable,
    DatabaseUnavailable.
    """
    removed, lock = [0] * len(found), Lock(store, NAME, who, now, _locked)
    try:
        for at, spent in enumerate(found):
            for step in drop_spent(queue, spent):
                removed[at] += step
                progress(step)
                lock.keep()
    finally:
        report = _report(found, removed, dry_run=False)
        if report.removed:
            _audit(store, report, now, who)
        lock.open()
    return report


def _locked(owner: str) -> TryLater:
    minutes = LEASE // timedelta(minutes=1)
    return TryLater(
        _("Another purge is at work ({owner}).").format(owner=owner),
        hint=_("After a crash its lock is gone within {n} minutes.").format(n=minutes),
        code="locked",
    )


def drop_spent(queue: QueueClient, spent: Spent) -> Iterator[int]:
    """Remove step by step; yields how many each step removed."""
    left = spent.matched
    while left > 0:
        step = queue.drop_spent(spent, left)
        if step == 0:
            return
        yield step
        left -= step


def _report(found: Sequence[Spent], removed: Sequence[int], *, dry_run: bool) -> PurgeReport:
    words = {registry: kind for kind, registry in KINDS.items()}
    counts = [
        KindCount(words[spent.kind], spent.matched, went, spent.total - spent.matched)
        for spent, went in zip(found, removed, strict=True)
    ]
    return PurgeReport(counts, dry_run)


def _audit(store: Database, report: PurgeReport, now: datetime, who: str) -> None:
    detail = {one.kind: one.removed for one in report.kinds}
    with store.write() as tx:
        history.record_action(tx, at=now, who=who, action="purge", what="jobs", detail=detail)
