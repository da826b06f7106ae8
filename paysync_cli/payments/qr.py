"""What is known of a QR, what the bank answers about it, and what was booked for it: plain frozen values.

Every moment is an aware UTC datetime, every amount a whole number of the currency's minor unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from paysync_cli.payments.status import BankStatus, PlanState, Priority, Status


@dataclass(frozen=True, slots=True)
class Plan:
    """When a QR is asked next and what was used up.

    `free` marks a check that costs none of the `max_checks`; `priority` the queue of the next check.
    `attempts` counts the failed attempts of the check under way.
    """

    state: PlanState
    next_check_at: datetime | None
    priority: Priority
    seq: int
    checks: int
    max_checks: int
    attempts: int
    free: bool = False


@dataclass(frozen=True, slots=True)
class Qr:
    """One charge waited for. `id` is ours (SQL), `qr_id` the bank's; `amount` may be unknown.

    `notified_at` is the moment for which the bank's latest notice asked for a check.
    """

    id: int
    bank: str
    environment: str
    qr_id: str
    status: Status
    amount: int | None
    currency: str
    account: str
    multi_use: bool
    issued_at: datetime
    registered_at: datetime
    due_at: datetime | None
    plan: Plan
    version: int = 0
    details_missing_since: datetime | None = None
    notified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as the bank tells it, readable: id, amount, currency are all there.

    `qr_id` is the bank's id of the QR; `amount` is the Decimal of the raw text, in the currency's major unit;
    `raw` is the element as compact JSON (for reviews).
    """

    qr_id: str
    bank_transaction_id: str
    amount: Decimal
    currency: str
    paid_at: datetime | None
    payer: str | None = None
    raw: str = ""


@dataclass(frozen=True, slots=True)
class UnreadablePayment:
    """A payment element that lacks or garbles its id, amount or currency. Never booked, never dropped."""

    raw: str
    problem: str
    qr_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A readable answer of the bank about one QR; `bank_status` is the bank's own word, for the record.

    `from_list` marks what the day list says of the QR: it may bring money, but never ends a QR as expired.
    """

    status: BankStatus
    bank_status: str
    sent_at: datetime
    payments: tuple[Payment, ...] = ()
    unreadable: tuple[UnreadablePayment, ...] = ()
    from_list: bool = False


@dataclass(frozen=True, slots=True)
class Movement:
    """Money booked."""

    bank_transaction_id: str
    amount: int
    currency: str
    paid_at: datetime | None = None
    payer: str | None = None


@dataclass(frozen=True, slots=True)
class PaidDay:
    """The bank's list of what was paid on one bank day. `complete` is false when a page was missing."""

    payments: tuple[Payment, ...]
    unreadable: tuple[UnreadablePayment, ...]
    sent_at: datetime
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """The little an adapter needs to ask about a QR.

    `issued_at` finds it in a list by day of issue. `amount`, in the major unit, is there only for an adapter that
    declares `books_qr_amount`: nobody else may take the QR's own amount for one that was paid.
    """

    qr_id: str
    currency: str | None = None
    multi_use: bool = False
    issued_at: datetime | None = None
    amount: Decimal | None = None
