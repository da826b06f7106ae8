"""One day of a bank against our books: what is on both sides, what only there, only here, and what differs.

The books are compared by transaction, whatever the state of a QR and whatever day we think it was: a payment near
midnight, or one whose moment the bank does not tell, is found on the day before or after.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum

from paysync_cli.banks.base import ListsPayments
from paysync_cli.errors import UsageError
from paysync_cli.language import _
from paysync_cli.payments.decision import fingerprint, name_of_unbookable, to_movement
from paysync_cli.payments.money import MoneyError, to_minor
from paysync_cli.payments.qr import Movement, PaidDay, Payment, Qr, UnreadablePayment
from paysync_cli.payments.status import Status
from paysync_cli.services.days import read_day, span_of
from paysync_cli.services.engine import OpenBank
from paysync_cli.services.sweep import book_day, count_as_read, read_list
from paysync_cli.services.sync import Judge
from paysync_cli.store import history, ledger, movements, qrs, reviews
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database
from paysync_cli.store.movements import Booked
from paysync_cli.store.reviews import Review

SOURCE = "reconcile"  # of a movement and of a transition; lives in the tables
LOOK_BACK_DAYS = 30  # for a movement whose moment the bank never told


class Kind(StrEnum):
    """How the two sides differ. The words are in JSON."""

    MISSING_HERE = "missing_here"  # the bank lists it for a QR of ours, and it is not booked
    MISSING_THERE = "missing_there"  # booked on that day, and no list of the bank has it
    DIFFERING = "differing"  # booked with another amount or currency
    UNKNOWN = "unknown"  # of a QR that is not registered
    UNREADABLE = "unreadable"  # an element of the list that cannot be booked


@dataclass(frozen=True, slots=True)
class Difference:
    """One payment that the two sides do not tell alike; `listed` and `booked` are the two, each None where absent.

    `problem` says why an element is unreadable, `review` what a person has before him about it.
    """

    kind: Kind
    qr_id: str
    transaction: str = ""
    listed: Movement | None = None
    booked: Movement | None = None
    status: Status | None = None
    problem: str | None = None
    news: str = ""
    review: Review | None = None


@dataclass(frozen=True, slots=True)
class DayReconciled:
    """One bank. `matched` payments are on both sides, `totals` their sums per currency in minor units.

    `whole`: every page of the list came; `complete`: and it was asked for after the day's end. `foreign`: payments of
    unknown QRs are other systems' and no difference. `booked` and `opened` are what a fix did. `error` says why
    nothing could be compared.
    """

    bank: str
    environment: str
    day: date
    matched: int = 0
    totals: Mapping[str, int] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    whole: bool = False
    complete: bool = False
    lists: bool = True
    foreign: bool = False
    booked: int = 0
    opened: int = 0
    error: str | None = None
    refused: bool = False

    def count(self, kind: Kind) -> int:
        return Counter(one.kind for one in self.differences)[kind]

    @property
    def differs(self) -> bool:
        """Whether anything is left that a person must know of."""
        return any(not (self.foreign and one.kind is Kind.UNKNOWN) for one in self.differences)


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """All banks that were compared."""

    days: Sequence[DayReconciled]

    @property
    def failed(self) -> Sequence[DayReconciled]:
        return [one for one in self.days if one.error is not None]


@dataclass(frozen=True, slots=True)
class Task:
    """What to compare: `day` as people write it, in each bank's zone. `foreign` are banks whose credential is shared
    with other systems. With `fix`, book what is missing here in the name of `who`."""

    day: str
    fix: bool
    who: str
    foreign: frozenset[str] = frozenset()


async def reconcile(
    store: Database, banks: Mapping[str, OpenBank], task: Task, clock: Clock, luck: Callable[[], float]
) -> ReconcileReport:
    """Compare the day, bank by bank.

    Raises InputError for a day that is none or has not begun, UsageError when no bank has a list by payment day.
    """
    now = clock.now()
    days = {name: read_day(task.day, bank.bank.profile.timezone, now) for name, bank in banks.items()}
    if not any(isinstance(bank.bank, ListsPayments) for bank in banks.values()):
        raise UsageError(
            _("{banks} has no list by payment day, so there is nothing to compare with.").format(
                banks=", ".join(banks)
            ),
            hint=_("`paysync check QR` asks about single QRs."),
            code="no_day_list",
        )
    return ReconcileReport(
        [await _reconcile_bank(store, name, bank, days[name], task, clock, luck) for name, bank in banks.items()]
    )


async def _reconcile_bank(
    store: Database, name: str, bank: OpenBank, day: date, task: Task, clock: Clock, luck: Callable[[], float]
) -> DayReconciled:
    report = DayReconciled(name, bank.environment, day, foreign=name in task.foreign)
    if not isinstance(bank.bank, ListsPayments):
        return replace(report, lists=False)
    zone = bank.bank.profile.timezone
    span = span_of(day, zone)
    # Before the list is asked for: what is booked while the bank answers may be newer than its list.
    ours = await asyncio.to_thread(_booked_on, store, name, bank.environment, span)
    read = await read_list(bank.bank, day)
    if read.paid is None:
        return replace(report, error=read.problem, refused=read.refused)
    paid = read.paid
    if task.fix:
        report = await asyncio.to_thread(_fix, store, report, bank, paid, Judge({name: bank.rhythm}, clock.now(), luck,
                                         source=SOURCE), task.who)  # fmt: skip
    absent = _without(ours, paid)
    search = _Search(bank.bank, day, clock.now().astimezone(zone).date())
    absent = await search.look_for(absent)
    if search.problem is not None:
        return replace(report, error=search.problem, refused=search.refused)
    whole = paid.complete and search.whole
    # A page that did not come may hold what seems to be missing.
    absent = absent if whole else []
    complete = whole and paid.sent_at >= span.end + bank.rhythm.due_margin
    compared = await asyncio.to_thread(_compare, store, report, paid, absent)
    return replace(compared, whole=whole, complete=complete)


def _booked_on(store: Database, bank: str, environment: str, span: movements.Span) -> Sequence[Booked]:
    with store.read() as tx:
        return movements.of_day(tx, bank, environment, span)


def _without(ours: Sequence[Booked], paid: PaidDay) -> list[Booked]:
    """What the list does not have."""
    listed = {(payment.qr_id, payment.bank_transaction_id) for payment in paid.payments}
    return [one for one in ours if (one.qr_id, one.bank_transaction_id) not in listed]


class _Search:
    """Looks for movements in the lists of other days. `problem` says why a list could not be read."""

    def __init__(self, bank: ListsPayments, day: date, today: date) -> None:
        self._bank, self._day, self._today = bank, day, today
        self.whole = True
        self.problem: str | None = None
        self.refused = False

    async def look_for(self, absent: list[Booked]) -> list[Booked]:
        """Those that no other day has either. The neighbours are asked first, more only where no moment is known."""
        for other in self._days():
            if not any(self._may_be_of(one, other) for one in absent):
                continue
            read = await read_list(self._bank, other)
            self.problem, self.refused = read.problem, read.refused
            if read.paid is None:
                return absent
            self.whole = self.whole and read.paid.complete
            absent = _without(absent, read.paid)
        return absent

    def _days(self) -> Iterator[date]:
        after = self._day + timedelta(days=1)
        if after <= self._today:
            yield after
        for back in range(1, LOOK_BACK_DAYS + 1):
            yield self._day - timedelta(days=back)

    def _may_be_of(self, one: Booked, other: date) -> bool:
        if abs(other - self._day) <= timedelta(days=1):
            return True
        # A day more than the issue's own: its moment may be of another zone or clock.
        return one.paid_at is None and other >= one.issued_at.date() - timedelta(days=1)


def _fix(
    store: Database, report: DayReconciled, bank: OpenBank, paid: PaidDay, judge: Judge, who: str
) -> DayReconciled:  # fmt: skip
    """Book what the list has and we lack, open reviews for what cannot be booked.

    Then the day is as good as swept: else one that the sweep cannot read stays its first for ever.
    """
    zone, margin = bank.bank.profile.timezone, bank.rhythm.due_margin
    done = book_day(store, report.bank, report.environment, report.day, paid, judge, zone, margin)
    if done.complete:
        count_as_read(store, report.bank, report.environment, report.day, zone, judge.now)
    if done.booked or done.reviews:
        with store.write() as tx:
            history.record_action(
                tx,
                at=judge.now,
                who=who,
                action="reconcile_fix",
                what=f"{report.bank}/{report.day}",
                detail={"environment": report.environment, "booked": done.booked, "reviews": done.reviews},
            )
    return replace(report, booked=done.booked, opened=done.reviews)


def _compare(store: Database, report: DayReconciled, paid: PaidDay, absent: Sequence[Booked]) -> DayReconciled:
    """Judge every payment of the list once, however often it stands there, against the books of this moment."""
    payments = list({_identity(payment): payment for payment in paid.payments}.values())
    elements = list({fingerprint(element.raw): element for element in paid.unreadable}.values())
    with store.read() as tx:
        ids = {payment.qr_id for payment in payments} | {element.qr_id or "" for element in elements}
        known = qrs.known(tx, report.bank, report.environment, ids)
        booked = ledger.of(tx, [qr.id for qr in known.values()])
        books = {
            (qr_id, movement.bank_transaction_id): movement
            for qr_id, qr in known.items()
            for movement in booked.get(qr.id, ())
        }
        differences, matched = _judge_all(payments, known, books)
        differences += [_unreadable(element, known) for element in elements]
        differences += [_only_here(one) for one in absent]
        seen = reviews.about(tx, report.bank, report.environment, {(one.qr_id, one.news) for one in differences})
    totals: dict[str, int] = defaultdict(int)
    for movement in matched:
        totals[movement.currency] += movement.amount
    with_reviews = [replace(one, review=_last(seen.get((one.qr_id, one.news)))) for one in differences]
    return replace(report, matched=len(matched), totals=dict(totals), differences=with_reviews)


def _identity(payment: Payment) -> tuple[str, str, object, str]:
    """Two elements that tell the same money are one payment; a different amount is news."""
    try:
        amount: object = to_minor(payment.amount, payment.currency)
    except MoneyError:
        amount = str(payment.amount)
    return payment.qr_id, payment.bank_transaction_id, amount, payment.currency


def _judge_all(
    payments: Sequence[Payment], known: Mapping[str, Qr], books: Mapping[tuple[str, str], Movement]
) -> tuple[list[Difference], list[Movement]]:
    differences: list[Difference] = []
    matched: list[Movement] = []
    for payment in payments:
        found = _judge(payment, known.get(payment.qr_id), books.get((payment.qr_id, payment.bank_transaction_id)))
        if isinstance(found, Movement):
            matched.append(found)
        else:
            differences.append(found)
    return differences, matched


def _judge(payment: Payment, qr: Qr | None, booked: Movement | None) -> Difference | Movement:
    """What is booked for the payment as it stands, else how the two sides differ."""
    transaction = payment.bank_transaction_id
    status = qr.status if qr is not None else None
    try:
        listed = to_movement(payment)
    except MoneyError as error:
        return Difference(
            Kind.UNREADABLE, payment.qr_id, transaction, status=status, problem=error.problem,
            news=name_of_unbookable(payment),
        )  # fmt: skip
    if booked is not None and (booked.amount, booked.currency) == (listed.amount, listed.currency):
        return booked
    kind = Kind.DIFFERING if booked is not None else Kind.UNKNOWN if qr is None else Kind.MISSING_HERE
    return Difference(kind, payment.qr_id, transaction, listed, booked, status, news=transaction)


def _unreadable(element: UnreadablePayment, known: Mapping[str, Qr]) -> Difference:
    qr = known.get(element.qr_id or "")
    status = qr.status if qr is not None else None
    news = fingerprint(element.raw)
    return Difference(Kind.UNREADABLE, element.qr_id or "", status=status, problem=element.problem, news=news)


def _only_here(one: Booked) -> Difference:
    movement = Movement(one.bank_transaction_id, one.amount, one.currency, one.paid_at, one.payer)
    return Difference(
        Kind.MISSING_THERE, one.qr_id, one.bank_transaction_id, booked=movement, status=Status(one.status),
        news=one.bank_transaction_id,
    )  # fmt: skip


def _last(found: Sequence[Review] | None) -> Review | None:
    """The review to look at: the newest open one, else the newest."""
    if not found:
        return None
    return next((one for one in reversed(found) if one.state == reviews.OPEN), found[-1])
