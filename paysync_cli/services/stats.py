"""Is it moving? The figures of one screen: jobs, QRs, banks, workers. Reads only, changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from paysync_cli.errors import PaysyncError
from paysync_cli.payments.status import PlanState, Status
from paysync_cli.queue.client import QueueClient, WorkerSeen
from paysync_cli.queue.gate import BankGate, BreakerSeen
from paysync_cli.store import alert_messages, alerts, banks, history, leases, qrs
from paysync_cli.store.database import Database, Tx

if TYPE_CHECKING:
    from paysync_cli.services.gate import Limits

DAY = timedelta(hours=24)
RATE_WINDOW = timedelta(minutes=5)  # long enough that a quiet installation does not show zero

WAITING_STATES = (PlanState.PLANNED, PlanState.EXHAUSTED)


@dataclass(frozen=True, slots=True)
class BankFigures:
    """One bank's QRs. `due` counts rows whose moment has come, also those already in the queue.

    `closed` is why nobody may ask it now, as SQL says: its credential stopped, or a pause; None when it is open.
    `rate_per_s` is what holds now, None for a bank that is not configured here; `breaker` is None without Redis.
    """

    name: str
    statuses: Mapping[Status, int]
    states: Mapping[PlanState, int]
    waiting: int  # due and not dispatched yet
    oldest_due_s: float
    sweep: banks.Swept | None
    closed: banks.BankState | None = None
    rate_per_s: float | None = None
    breaker: BreakerSeen | None = None

    @property
    def last_sweep(self) -> datetime | None:
        """When a sweep last ended, well or not."""
        return None if self.sweep is None else self.sweep.at

    @property
    def open(self) -> int:
        return sum(n for status, n in self.statuses.items() if not status.final)

    @property
    def due(self) -> int:
        return self.waiting + self.states[PlanState.QUEUED]

    @property
    def delayed(self) -> int:
        """Rows whose time has not come."""
        return sum(self.states[state] for state in WAITING_STATES) - self.waiting


@dataclass(frozen=True, slots=True)
class CleanupSeen:
    """The last cleanup: when, how it ended, what it said."""

    at: datetime
    outcome: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Alerts that some address lacks, the first of them from `oldest_at`; `error` is why one failed lately."""

    count: int = 0
    oldest_at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """What SQL says, all of one moment. With a bank named, everything but leader and cleanup is that bank's."""

    banks: Sequence[BankFigures]
    checks_ok: int
    checks_failed: int
    checks_per_minute: float
    reviews_open: int
    leader: str | None
    last_cleanup: CleanupSeen | None
    alerts: Undelivered = field(default_factory=Undelivered)

    def total(self, status: Status) -> int:
        return sum(bank.statuses[status] for bank in self.banks)

    def in_state(self, state: PlanState) -> int:
        return sum(bank.states[state] for bank in self.banks)

    @property
    def due(self) -> int:
        return sum(bank.due for bank in self.banks)

    @property
    def oldest_due_s(self) -> float:
        return max((bank.oldest_due_s for bank in self.banks), default=0.0)

    @property
    def sweep_failed(self) -> bool:
        """Whether the last sweep of any bank stopped before its end."""
        return any(bank.sweep is not None and bank.sweep.error is not None for bank in self.banks)

    @property
    def last_sweep(self) -> datetime | None:
        """When the bank that waits longest for its next sweep had its last one."""
        return min((bank.last_sweep for bank in self.banks if bank.last_sweep is not None), default=None)


@dataclass(frozen=True, slots=True)
class Jobs:
    """Work between plan and record. Completed and failed are the jobs kept for people to look at."""

    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int


@dataclass(frozen=True, slots=True)
class StatsReport:
    """`jobs` is None when Redis is down: `redis_error` says how. `server` is None when no Redis was asked, and empty
    when an ACL keeps its figures from us. `strange`: a worker leads, and yet this Redis carries nothing of ours.
    """

    books: Books
    jobs: Jobs | None
    workers: Sequence[WorkerSeen]
    server: Mapping[str, Any] | None
    redis_error: PaysyncError | None
    where: Mapping[str, object]
    strange: bool = False

    @property
    def nobody_works(self) -> bool:
        """QRs are due, Redis was asked, and no worker is alive."""
        return self.redis_error is None and self.books.due > 0 and not any(worker.alive for worker in self.workers)


def gather_stats(
    store: Database,
    queue: QueueClient | PaysyncError | None,
    *,
    now: datetime,
    configured: Iterable[str] = (),
    bank: str | None = None,
    where: Mapping[str, object] | None = None,
    limits: Mapping[str, Limits] | None = None,
) -> StatsReport:
    """The figures of all banks or of one.

    `queue` is None when the embedded Redis simply does not run (then nothing is in it), or the error that it gave.
    `configured` are the banks to show even without QRs, `limits` what the settings allow towards them.
    Raises DatabaseUnavailable.
    """
    with store.read() as tx:
        books = _books(tx, now, configured, bank, limits or {})
    report = StatsReport(books, _resting(books), (), None, None, where or {})
    if isinstance(queue, PaysyncError):
        return replace(report, jobs=None, redis_error=queue)
    if queue is None:
        return report
    try:
        jobs = _jobs(store, queue, books, bank)
        workers, server, strange = queue.workers(), queue.server(), books.leader is not None and queue.owner() is None
        books = _with_breakers(books, queue)
        return replace(report, books=books, jobs=jobs, workers=workers, server=server, strange=strange)
    except PaysyncError as error:
        return replace(report, jobs=None, redis_error=error)


def _books(tx: Tx, now: datetime, configured: Iterable[str], bank: str | None, limits: Mapping[str, Limits]) -> Books:
    ok, failed = history.count_checks(tx, now - DAY, bank)
    run = history.last_run(tx, "cleanup")
    return Books(
        banks=_banks(tx, now, configured, bank, limits),
        checks_ok=ok,
        checks_failed=failed,
        checks_per_minute=sum(history.count_checks(tx, now - RATE_WINDOW, bank)) / (RATE_WINDOW / timedelta(minutes=1)),
        reviews_open=history.count_open_reviews(tx, bank),
        leader=leases.holder(tx, leases.LEADER, now),
        last_cleanup=CleanupSeen(*run) if run is not None else None,
        alerts=_undelivered(tx),
    )


def _undelivered(tx: Tx) -> Undelivered:
    failing = alert_messages.failing(tx)
    return Undelivered(*alerts.undelivered(tx), failing[0].error if failing else None)


def _banks(
    tx: Tx, now: datetime, configured: Iterable[str], bank: str | None, limits: Mapping[str, Limits]
) -> list[BankFigures]:
    rows = qrs.overview(tx)
    waiting, oldest, swept = qrs.count_due(tx, now), qrs.oldest_due_at(tx, now), banks.last_sweeps(tx)
    states = banks.states(tx)
    closed = {state.bank: state for state in states if state.closed(now)}
    own = {(state.bank, state.environment): state for state in states}
    rates = {name: its.under(own.get((name, its.environment))).rate_per_s for name, its in limits.items()}
    names = {name for name, _state, _status, _n in rows} | set(configured) | set(closed)
    return [
        BankFigures(
            name,
            _by(Status, ((status, n) for of, _state, status, n in rows if of == name)),
            _by(PlanState, ((state, n) for of, state, _status, n in rows if of == name)),
            waiting.get(name, 0),
            (now - oldest[name]).total_seconds() if name in oldest else 0.0,
            swept.get(name),
            closed.get(name),
            rates.get(name),
        )
        for name in sorted(names if bank is None else names & {bank})
    ]


def _with_breakers(books: Books, queue: QueueClient) -> Books:
    names = [bank.name for bank in books.banks]
    breakers = BankGate(queue).look(names) if names else {}
    return replace(books, banks=[replace(bank, breaker=breakers.get(bank.name)) for bank in books.banks])


def _by(words: Any, counts: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    """Every word of the enumeration with its count."""
    sums: Counter[Any] = Counter()
    for word, n in counts:
        sums[word] += n
    return {word: sums[word] for word in words}


def _resting(books: Books) -> Jobs:
    """The jobs when no Redis runs: what was dispatched waits like the rest."""
    return Jobs(books.due, 0, 0, 0, sum(bank.delayed for bank in books.banks))


def _jobs(store: Database, queue: QueueClient, books: Books, bank: str | None) -> Jobs:
    waiting, delayed = (sum(getattr(one, name) for one in books.banks) for name in ("waiting", "delayed"))
    if bank is None:
        counts = queue.job_counts()
        return Jobs(waiting + counts.waiting, counts.active, counts.completed, counts.failed, delayed)
    listed, active, completed, failed = (
        _count_of_bank(store, queue, place, bank) for place in ("queue", "wip", "finished", "failed")
    )
    return Jobs(waiting + listed, active, completed, failed, delayed)


def _count_of_bank(store: Database, queue: QueueClient, place: str, bank: str) -> int:
    """How many of the jobs in this place are about a QR of the bank: the row that a job names says so."""
    found = 0
    for names in queue.names_in(place):
        rows = [name.qr for name in names]
        with store.read() as tx:
            bank_of = qrs.banks_of(tx, rows)
        found += sum(bank_of.get(row) == bank for row in rows)
    return found
