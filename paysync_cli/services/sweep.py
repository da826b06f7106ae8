"""The day-list sweep: one call tells everything that was paid on a bank day, through the same decision and the same
transaction as a single query. It books; it never ends a QR as expired or cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from paysync_cli.banks.base import BankError, ListsPayments, Refused
from paysync_cli.errors import UnavailableError
from paysync_cli.payments.decision import ReviewNews, fingerprint
from paysync_cli.payments.money import MoneyError, to_minor
from paysync_cli.payments.qr import Answer, Movement, PaidDay, Payment, Qr, UnreadablePayment
from paysync_cli.payments.status import BankStatus, ReviewReason
from paysync_cli.services.adapter_bugs import note_bug
from paysync_cli.services.engine import OpenBank
from paysync_cli.services.sync import Asked, Judge, Witness, record
from paysync_cli.store import banks as bank_rows
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.alerts import AlertKind, begin_state, end_state, raise_alert
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database
from paysync_cli.store.leases import Lease

FIRST_RUN_DAYS = 30
DAY_PATIENCE = timedelta(hours=24)  # after its end, until an incomplete day is alerted
GROUP = 300
LIST_TIMEOUT_S = 300.0  # a list may be long; a bank that never answers must not stop the sweep for ever
NOBODYS_SEQ = -1  # the list's news belongs to no planned check: the plan changes only where the status forces it

log = logging.getLogger("paysync.sweep")


@dataclass(frozen=True, slots=True)
class DaySwept:
    """One bank day. `complete`: read whole and written whole, by a request sent after the day's end."""

    day: date
    listed: int
    booked: int
    reviews: int
    complete: bool


@dataclass(frozen=True, slots=True)
class BankSwept:
    """What the sweep of one bank brought. `error`: why it stopped; the days before are done."""

    bank: str
    days: tuple[DaySwept, ...]
    error: str | None = None
    refused: bool = False
    lists: bool = True

    @property
    def booked(self) -> int:
        return sum(day.booked for day in self.days)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """All banks that were swept."""

    banks: tuple[BankSwept, ...]

    @property
    def failed(self) -> int:
        return sum(bank.error is not None for bank in self.banks)


async def sweep(
    store: Database,
    banks: Mapping[str, OpenBank],
    clock: Clock,
    luck: Callable[[], float],
    *,
    lease: Lease | None = None,
    witness: Witness | None = None,
) -> SweepReport:
    """Read every day list that is not read complete yet, up to today, bank by bank, and book what is new."""
    swept = [await _sweep_bank(store, name, bank, clock, luck, lease, witness) for name, bank in banks.items()]
    return SweepReport(tuple(swept))


async def _sweep_bank(
    store: Database,
    name: str,
    bank: OpenBank,
    clock: Clock,
    luck: Callable[[], float],
    lease: Lease | None,
    witness: Witness | None,
) -> BankSwept:
    if not isinstance(bank.bank, ListsPayments):
        return BankSwept(name, (), lists=False)
    zone, margin = bank.bank.profile.timezone, bank.rhythm.due_margin
    first, today, high_water = await asyncio.to_thread(
        _days_to_read, store, name, bank.environment, zone, clock.now()
    )  # fmt: skip
    done: list[DaySwept] = []
    unbroken = True
    error, refused = None, False
    for day in _days(first, today):
        paid, problem, refused = await read_list(bank.bank, day)
        if paid is None:
            error = problem
            break
        judge = Judge({name: bank.rhythm}, clock.now(), luck, source="list")
        try:
            one = await asyncio.to_thread(
                book_day, store, name, bank.environment, day, paid, judge, zone, margin, witness
            )
        except UnavailableError:
            raise
        except Exception as failure:  # one element that cannot be kept must not hide the days and banks behind it
            log.error("the list of %s cannot be written: %s", day, failure, exc_info=failure,
                      extra={"event_name": "sweep_error", "bank": name, "day": day.isoformat()})  # fmt: skip
            error, unbroken = f"{day}: cannot be written: {type(failure).__name__}", False
            continue
        done.append(one)
        unbroken = unbroken and one.complete
        high_water = day if unbroken else high_water
    await asyncio.to_thread(_remember, store, name, bank.environment, high_water, error, clock.now(), lease, zone)
    return BankSwept(name, tuple(done), error, refused)


async def read_list(bank: ListsPayments, day: date) -> tuple[PaidDay | None, str | None, bool]:
    """The list, or None with the reason and whether our credential was refused."""
    try:
        async with asyncio.timeout(LIST_TIMEOUT_S):
            return await bank.paid_on(day), None, False
    except TimeoutError:
        return None, f"no list of {day} within {LIST_TIMEOUT_S:.0f} s", False
    except BankError as error:
        return None, error.message, isinstance(error, Refused)
    except Exception as error:  # an adapter's bug must not keep the other banks from being swept
        return None, note_bug(bank.profile.name, error), False


def _days_to_read(
    store: Database, bank: str, environment: str, zone: ZoneInfo, now: datetime
) -> tuple[date, date, date | None]:
    """The first and the last day to read, and the day up to which all is settled already."""
    today = now.astimezone(zone).date()
    with store.read() as tx:
        known = bank_rows.swept(tx, bank, environment)
        if known.day is not None:
            return min(known.day + timedelta(days=1), today), today, known.day
        oldest = bank_rows.oldest_open_issue(tx, bank, environment)
    if oldest is None:
        return today, today, None
    # Remembered with the first run: else tomorrow's would be a first run again, and might find today's QRs all final.
    first = max(oldest.astimezone(zone).date(), today - timedelta(days=FIRST_RUN_DAYS))
    return first, today, first - timedelta(days=1)


def _days(first: date, last: date) -> Iterator[date]:
    day = first
    while day <= last:
        yield day
        day += timedelta(days=1)


def book_day(
    store: Database,
    bank: str,
    environment: str,
    day: date,
    paid: PaidDay,
    judge: Judge,
    zone: ZoneInfo,
    margin: timedelta,
    witness: Witness | None = None,
) -> DaySwept:
    """Book what this list brings, open the reviews of what cannot be booked. Nothing booked is altered."""
    by_qr: dict[str, list[Payment]] = defaultdict(list)
    for payment in paid.payments:
        by_qr[payment.qr_id].append(payment)
    unreadable: dict[str, list[UnreadablePayment]] = defaultdict(list)
    for element in paid.unreadable:
        unreadable[element.qr_id or ""].append(element)
    booked = reviews = unwritten = 0
    left = sorted({*by_qr, *unreadable})
    while left:
        strangers: list[str] = []
        for some in _groups(left):
            known, movements = _known(store, bank, environment, some)
            news = [
                Asked(qr.id, NOBODYS_SEQ, paid.sent_at, 0, answer)
                for qr_id, qr in known.items()
                if (answer := _news_of(by_qr[qr_id], unreadable[qr_id], movements.get(qr.id, ()), paid.sent_at))
            ]
            recorded = record(store, news, judge, witness=witness)
            booked += sum(len(one.booked) for one in recorded)
            reviews += sum(len(one.reviews) for one in recorded)
            unwritten += sum(one.how == "failed" for one in recorded)
            strangers += (qr_id for qr_id in some if qr_id not in known)
        left = []
        for some in _groups(strangers):
            told = {qr_id: (by_qr[qr_id], unreadable[qr_id]) for qr_id in some}
            opened, registered = _keep_strays(store, bank, environment, told, judge)
            reviews += opened
            left += sorted(registered)
    complete = paid.complete and not unwritten and paid.sent_at >= _end(day, zone) + margin
    return DaySwept(day, len(paid.payments), booked, reviews, complete)


def _groups(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + GROUP] for start in range(0, len(ids), GROUP))


def _known(
    store: Database, bank: str, environment: str, ids: Iterable[str]
) -> tuple[dict[str, Qr], dict[int, list[Movement]]]:
    with store.read() as tx:
        known = qrs.known(tx, bank, environment, ids)
        return known, ledger.of(tx, (qr.id for qr in known.values()))


def _news_of(
    payments: Sequence[Payment],
    unreadable: Sequence[UnreadablePayment],
    movements: Sequence[Movement],
    sent_at: datetime,
) -> Answer | None:
    """What the list says of one QR, unless every payment of it is booked as it stands."""
    booked = {(m.bank_transaction_id, m.amount, m.currency) for m in movements}
    if not unreadable and all(_key(payment) in booked for payment in payments):
        return None
    return Answer(BankStatus.PAID, "list", sent_at, tuple(payments), tuple(unreadable), from_list=True)


def _key(payment: Payment) -> tuple[str, int, str] | None:
    try:
        return payment.bank_transaction_id, to_minor(payment.amount, payment.currency), payment.currency
    except MoneyError:
        return None


def _keep_strays(
    store: Database,
    bank: str,
    environment: str,
    strangers: Mapping[str, tuple[Sequence[Payment], Sequence[UnreadablePayment]]],
    judge: Judge,
) -> tuple[int, set[str]]:
    """Payments of QRs nobody registered are no movements: each is kept whole in its review.

    Returns how many reviews are new, and the QRs that were registered meanwhile: theirs must be booked.
    """
    opened: list[str] = []
    with store.write() as tx:
        bank_rows.lock_registration(tx, bank, environment)
        registered = set(qrs.known(tx, bank, environment, strangers))
        for qr_id, (payments, elements) in strangers.items():
            if qr_id not in registered:
                opened += (
                    qr_id for news in _stray_news(payments, elements)
                    if history.open_stray_review(
                        tx, bank=bank, environment=environment, qr_id=qr_id, news=news, now=judge.now
                    )
                )  # fmt: skip
        if opened and not judge.rhythm(bank).shared:
            raise_alert(tx, AlertKind.REVIEW_OPENED, bank, opened[0], judge.now, count=len(opened))
    return len(opened), registered


def _stray_news(payments: Sequence[Payment], elements: Sequence[UnreadablePayment]) -> Iterator[ReviewNews]:
    for payment in payments:
        yield ReviewNews(ReviewReason.UNKNOWN_QR, payment.bank_transaction_id, payment_to_detail(payment))
    for element in elements:
        detail = {"problem": element.problem, "element": element.raw}
        yield ReviewNews(ReviewReason.UNREADABLE_PAYMENT, fingerprint(element.raw), detail)


def payment_to_detail(payment: Payment) -> dict[str, str]:
    """A payment as its review keeps it: whole, so that it can be booked later."""
    return {
        "transaction": payment.bank_transaction_id,
        "amount": str(payment.amount),
        "currency": payment.currency,
        "paid_at": payment.paid_at.isoformat() if payment.paid_at else "",
        "payer": payment.payer or "",
        "element": payment.raw,
    }


def payment_from_detail(qr_id: str, detail: Mapping[str, str]) -> Payment:
    """The payment that `payment_to_detail` kept."""
    return Payment(
        qr_id=qr_id,
        bank_transaction_id=detail["transaction"],
        amount=Decimal(detail["amount"]),
        currency=detail["currency"],
        paid_at=datetime.fromisoformat(detail["paid_at"]) if detail["paid_at"] else None,
        payer=detail["payer"] or None,
        raw=detail["element"],
    )


def _end(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=zone)


def _remember(
    store: Database,
    bank: str,
    environment: str,
    day: date | None,
    error: str | None,
    now: datetime,
    lease: Lease | None,
    zone: ZoneInfo,
) -> None:
    """Keep the high-water day and how the sweep went.

    A day that is still not complete a day after its end is a person's business.
    """
    with store.write() as tx:
        bank_rows.record_sweep(tx, bank, environment, day=day, at=now, error=error, lease=lease)
        reached = bank_rows.swept(tx, bank, environment).day
        if reached is None:
            return
        missing = reached + timedelta(days=1)
        if now - _end(missing, zone) >= DAY_PATIENCE:
            begin_state(tx, AlertKind.DAY_INCOMPLETE, bank, missing.isoformat(), now)
        else:
            end_state(tx, AlertKind.DAY_INCOMPLETE, bank, now)
