"""The day-list sweep: one call tells everything that was paid on a bank day, through the same decision and the same
transaction as a single query. It books; it never ends a QR as expired or cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from paysync_cli.banks.base import BankError, ListsPayments, Refused, Throttled, Unavailable
from paysync_cli.errors import UnavailableError
from paysync_cli.payments.decision import ReviewNews, fingerprint
from paysync_cli.payments.money import MoneyError, to_minor
from paysync_cli.payments.qr import Answer, Movement, PaidDay, Payment, Qr, UnreadablePayment
from paysync_cli.payments.status import BankStatus, ReviewReason
from paysync_cli.services.adapter_bugs import note_bug
from paysync_cli.services.days import span_of
from paysync_cli.services.engine import OpenBank
from paysync_cli.services.storable import storable_day
from paysync_cli.services.sync import Asked, Judge, Witness, record
from paysync_cli.store import banks as bank_rows
from paysync_cli.store import history, leases, ledger, qrs
from paysync_cli.store.alerts import AlertKind, begin_state, end_state, raise_alert
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database, Tx
from paysync_cli.store.leases import Lease

FIRST_RUN_DAYS = 30
DAY_PATIENCE = timedelta(hours=24)  # after its end, until an incomplete day is alerted
GROUP = 300
SILENT_AT_MOST = 2  # lists in a row without an answer; then today's is asked for: is it the bank, or these days?
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
    """What the sweep of one bank brought. `error`: the first thing that went wrong; `days` are done."""

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
    """Read every day list that is not read complete yet, up to today, bank by bank, and book what is new.

    With `lease` nothing is asked or written once it is lost.
    """
    swept = [await _BankSweep(store, name, bank, clock, luck, lease, witness).run() for name, bank in banks.items()]
    return SweepReport(tuple(swept))


@dataclass(frozen=True, slots=True)
class ListRead:
    """The list of a day; without one why not, and which failure of the bank that was (None: our own, an adapter's)."""

    paid: PaidDay | None
    problem: str | None = None
    failure: type[BankError] | None = None

    @property
    def refused(self) -> bool:
        """Whether our credential was refused."""
        return self.failure is not None and issubclass(self.failure, Refused)

    @property
    def silent(self) -> bool:
        """Whether the bank did not answer."""
        return self.failure is not None and issubclass(self.failure, Unavailable)

    @property
    def stops(self) -> bool:
        """Whether the bank does not want to be asked now, for whatever day."""
        return self.failure is not None and issubclass(self.failure, (Refused, Throttled))


@dataclass
class _BankSweep:
    """The sweep of one bank on its way."""

    store: Database
    name: str
    bank: OpenBank
    clock: Clock
    luck: Callable[[], float]
    lease: Lease | None
    witness: Witness | None
    done: dict[date, DaySwept] = field(default_factory=dict)
    error: str | None = None
    refused: bool = False

    async def run(self) -> BankSwept:
        lists = self.bank.bank
        if not isinstance(lists, ListsPayments):
            return BankSwept(self.name, (), lists=False)
        zone = lists.profile.timezone
        first, today, high_water = await asyncio.to_thread(
            _days_to_read, self.store, self.name, self.bank.environment, zone, self.clock.now()
        )
        await self._read_all(lists, first, today)
        for day in _days(first, today):
            if day not in self.done or not self.done[day].complete:
                break
            high_water = day
        await asyncio.to_thread(
            _remember, self.store, self.name, self.bank.environment, high_water, self.error, self.clock.now(),
            self.lease, zone,
        )  # fmt: skip
        return BankSwept(self.name, tuple(self.done[day] for day in sorted(self.done)), self.error, self.refused)

    async def _read_all(self, lists: ListsPayments, first: date, today: date) -> None:
        """Today before all others: no old day may keep what is paid now from being seen, whatever is wrong with it.

        Nor may one old day hide another. A bank that answers neither for today nor for another day is dead, and not
        asked for the rest.
        """
        silent, alive = 0, True
        for day in (today, *(day for day in _days(first, today) if day != today)):
            read = await self._read(lists, day, today)
            if read is None or read.stops:
                return
            alive = alive and not (read.silent and day == today)
            silent = silent + 1 if read.silent else 0
            if silent == SILENT_AT_MOST:
                again = await self._read(lists, today, today) if alive else None
                if again is None or again.silent or again.stops:
                    return
                silent = 0

    async def _read(self, lists: ListsPayments, day: date, today: date) -> ListRead | None:
        """Read the list of a day and book it; None when another leads by now: the day is not asked for."""
        if not await asyncio.to_thread(_is_ours, self.store, self.lease):
            return None
        read = await read_list(lists, day)
        if self.error is None or read.refused:  # a refusal is what somebody must act on
            self.error, self.refused = read.problem, read.refused
            if self.error is not None and not read.stops and day != today:
                self.error = f"{day}: {self.error}"  # it is the day's, as far as we know: today's list came
        if read.paid is not None:
            await self._book(day, read.paid, lists.profile.timezone)
        return read

    async def _book(self, day: date, paid: PaidDay, zone: ZoneInfo) -> None:
        judge = Judge({self.name: self.bank.rhythm}, self.clock.now(), self.luck, source="list")
        try:
            self.done[day] = await asyncio.to_thread(
                book_day, self.store, self.name, self.bank.environment, day, paid, judge, zone,
                self.bank.rhythm.due_margin, self.witness, self.lease,
            )  # fmt: skip
        except UnavailableError:
            raise
        except Exception as failure:  # one element that cannot be kept must not hide the days and banks behind it
            log.error("the list of %s cannot be written: %s", day, failure, exc_info=failure,
                      extra={"event_name": "sweep_error", "bank": self.name, "day": day.isoformat()})  # fmt: skip
            self.error = self.error or f"{day}: cannot be written: {type(failure).__name__}"


def _is_ours(store: Database, lease: Lease | None) -> bool:
    if lease is None:
        return True
    with store.read() as tx:
        now = leases.current(tx, lease.name)
    return now is not None and (now.owner, now.fence) == (lease.owner, lease.fence)


async def read_list(bank: ListsPayments, day: date) -> ListRead:
    """Ask for the list of a day; whatever goes wrong comes back as a value."""
    try:
        async with asyncio.timeout(LIST_TIMEOUT_S):
            return ListRead(storable_day(await bank.paid_on(day)))
    except TimeoutError:
        return ListRead(None, f"no list of {day} within {LIST_TIMEOUT_S:.0f} s", Unavailable)
    except BankError as error:
        return ListRead(None, error.message, type(error))
    except Exception as error:  # an adapter's bug must not keep the other banks from being swept
        return ListRead(None, note_bug(bank.profile.name, error))


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
    lease: Lease | None = None,
) -> DaySwept:
    """Book what this list brings, open the reviews of what cannot be booked. Nothing booked is altered.

    With `lease` nothing is written once it is lost.
    """
    told = _by_qr(paid)
    booked = reviews = unwritten = 0
    left = sorted(told)
    while left:
        strangers: list[str] = []
        for some in _groups(left):
            known, movements = _known(store, bank, environment, some)
            news = [
                Asked(qr.id, NOBODYS_SEQ, paid.sent_at, 0, answer)
                for qr_id, qr in known.items()
                if (answer := _news_of(*told[qr_id], movements.get(qr.id, ()), paid.sent_at))
            ]
            recorded = record(store, news, judge, lease=lease, witness=witness)
            booked += sum(len(one.booked) for one in recorded)
            reviews += sum(len(one.reviews) for one in recorded)
            unwritten += sum(one.how == "failed" for one in recorded)
            strangers += (qr_id for qr_id in some if qr_id not in known)
        left = []
        for some in _groups(strangers):
            kept = _keep_patiently(store, bank, environment, {qr_id: told[qr_id] for qr_id in some}, judge, lease)
            reviews += kept.opened
            unwritten += kept.unwritten
            left += sorted(kept.registered)
    complete = paid.complete and not unwritten and paid.sent_at >= span_of(day, zone).end + margin
    return DaySwept(day, len(paid.payments), booked, reviews, complete)


Told = Mapping[str, tuple[Sequence[Payment], Sequence[UnreadablePayment]]]
"""What the list tells of each QR: payments, and elements that cannot be read."""


def _by_qr(paid: PaidDay) -> Told:
    """What is told of no QR in particular stands under the empty id."""
    told: dict[str, tuple[list[Payment], list[UnreadablePayment]]] = defaultdict(lambda: ([], []))
    for payment in paid.payments:
        told[payment.qr_id][0].append(payment)
    for element in paid.unreadable:
        told[element.qr_id or ""][1].append(element)
    return told


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


@dataclass(frozen=True, slots=True)
class _Kept:
    """How many reviews are new, and the QRs that were registered meanwhile: theirs must be booked."""

    opened: int = 0
    registered: frozenset[str] = frozenset()
    unwritten: int = 0


def _keep_patiently(
    store: Database, bank: str, environment: str, strangers: Told, judge: Judge, lease: Lease | None
) -> _Kept:
    """As `_keep_strays`; one that cannot be written is found by halving, and hides no other."""
    try:
        return _keep_strays(store, bank, environment, strangers, judge, lease)
    except UnavailableError:
        raise
    except Exception as error:
        if len(strangers) == 1:
            log.error("a payment of an unknown QR cannot be kept: %s", error, exc_info=error,
                      extra={"event_name": "stray_unwritten", "bank": bank})  # fmt: skip
            return _Kept(unwritten=1)
    ids = list(strangers)
    middle = len(ids) // 2
    one, other = (
        _keep_patiently(store, bank, environment, {qr_id: strangers[qr_id] for qr_id in half}, judge, lease)
        for half in (ids[:middle], ids[middle:])
    )
    return _Kept(one.opened + other.opened, one.registered | other.registered, one.unwritten + other.unwritten)


def _keep_strays(
    store: Database, bank: str, environment: str, strangers: Told, judge: Judge, lease: Lease | None
) -> _Kept:
    """Payments of QRs nobody registered are no movements: each is kept whole in its review."""
    opened: list[str] = []
    with store.write() as tx:
        if lease is not None and not leases.still_held(tx, lease):
            return _Kept()
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
    return _Kept(len(opened), frozenset(registered))


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
        if lease is not None and not leases.still_held(tx, lease):
            return
        before = bank_rows.swept(tx, bank, environment).day
        bank_rows.record_sweep(tx, bank, environment, day=day, at=now, error=error, lease=lease)
        _judge_days(tx, bank, environment, before, zone, now)


def count_as_read(store: Database, bank: str, environment: str, day: date, zone: ZoneInfo, now: datetime) -> bool:
    """A person's fix read this day whole and wrote it whole: whether it was the one that the sweep lacks."""
    with store.write() as tx:
        before = bank_rows.swept(tx, bank, environment).day
        if before is None or day != before + timedelta(days=1):
            return False
        bank_rows.settle_day(tx, bank, environment, day)
        _judge_days(tx, bank, environment, before, zone, now)
        return True


def _judge_days(
    tx: Tx, bank: str, environment: str, before: date | None, zone: ZoneInfo, now: datetime
) -> None:  # fmt: skip
    """Alert the day that is still missing; `before` is how far the days were read before this transaction."""
    reached = bank_rows.swept(tx, bank, environment).day
    if reached is None:
        return
    missing = reached + timedelta(days=1)
    late = now - span_of(missing, zone).end >= DAY_PATIENCE
    if reached != before or not late:
        end_state(tx, AlertKind.DAY_INCOMPLETE, bank, now)
    if late:
        begin_state(tx, AlertKind.DAY_INCOMPLETE, bank, missing.isoformat(), now)
