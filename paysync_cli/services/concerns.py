"""QRs that need a person, and why questions fail: few rows, read anew every few seconds. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import PlanState
from paysync_cli.services.stats import Books
from paysync_cli.store import history, qrs, reviews
from paysync_cli.store.database import Database, Tx

LATE = timedelta(minutes=1)  # what waits shorter than this is the daily business
AT_MOST = 20  # rows of one kind
CAUSES_SINCE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Concern:
    """One QR and why it is shown: `review`, `overdue`, `exhausted`, `held`.

    `since` is when that began, as far as it is known; `detail` is the review's reason. `status` is None for a QR that
    is not registered here.
    """

    qr_id: str
    bank: str
    environment: str
    code: str
    status: str | None
    since: datetime | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class CauseSeen:
    """Why questions failed within a day; `qr` is one of those that were asked about."""

    cause: history.Cause
    qr: Qr | None


def concerns(store: Database, books: Books, now: datetime) -> list[Concern]:
    """Open reviews, then what is overdue, exhausted, held; a few of each. Only what `books` counted is looked for."""
    with store.read() as tx:
        return [*_reviewed(tx, books), *_overdue(tx, books, now), *_in_state(tx, books, PlanState.EXHAUSTED),
                *_in_state(tx, books, PlanState.HELD)]  # fmt: skip


def causes(store: Database, now: datetime) -> Sequence[CauseSeen]:
    """The causes of a day's failed questions, the most frequent first."""
    with store.read() as tx:
        found = history.failures_by_cause(tx, now - CAUSES_SINCE, AT_MOST)
        rows = qrs.load(tx, {cause.qr for cause in found})
    return [CauseSeen(cause, rows.get(cause.qr)) for cause in found]


def _reviewed(tx: Tx, books: Books) -> Iterator[Concern]:
    if not books.reviews_open:
        return
    found, _next = reviews.page(tx, reviews.Wanted(state=reviews.OPEN, limit=AT_MOST))
    rows = qrs.load(tx, {one.qr for one in found if one.qr is not None})
    for one in found:
        row = None if one.qr is None else rows.get(one.qr)
        status = None if row is None else row.status.value
        yield Concern(one.qr_id, one.bank, one.environment, "review", status, one.opened_at, one.reason)


def _overdue(tx: Tx, books: Books, now: datetime) -> Iterator[Concern]:
    for bank in books.banks:
        if bank.oldest_due_s < LATE.total_seconds():
            continue
        wanted = qrs.Wanted(bank=bank.name, due_before=now - LATE, sort="next-check", limit=AT_MOST)
        yield from (_concern(qr, "overdue", qr.plan.next_check_at) for qr in qrs.page(tx, wanted)[0])


def _in_state(tx: Tx, books: Books, state: PlanState) -> Iterator[Concern]:
    for bank in books.banks:
        if bank.states[state]:
            wanted = qrs.Wanted(bank=bank.name, plan_state=state, sort="next-check", limit=AT_MOST)
            yield from (_concern(qr, state.value) for qr in qrs.page(tx, wanted)[0])


def _concern(qr: Qr, code: str, since: datetime | None = None) -> Concern:
    return Concern(qr.qr_id, qr.bank, qr.environment, code, qr.status.value, since)
