"""Makers for tests of the core: a QR, what the bank says of it, a bank that says what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from paysync_cli.banks.base import BankProfile
from paysync_cli.payments.decision import Decision, decide
from paysync_cli.payments.money import to_minor
from paysync_cli.payments.qr import Answer, Ask, Movement, PaidDay, Payment, Plan, Qr, UnreadablePayment
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.payments.status import BankStatus, PlanState, Priority, Status

NOW = datetime(2031, 6, 14, 16, 0, tzinfo=UTC)
RHYTHM = Rhythm()
LA_PAZ = ZoneInfo("America/La_Paz")
T = TypeVar("T")
PROFILE = BankProfile(
    name="sim",
    adapter="scripted",
    base_url="http://bank.invalid/",
    environment="certification",
    timezone=LA_PAZ,
    currency="BOB",
    account="main",
    due_margin_s=120,
    rate_per_s=0,
    concurrency=1,
)
_PLAN = Plan(PlanState.PLANNED, NOW, Priority.LOW, seq=0, checks=0, max_checks=20, attempts=0)


def make_qr(status: str = "active", *, amount: int | None = 10000, due_at: datetime | None = None, **fields: Any) -> Qr:
    """A QR issued an hour ago; fields of the plan (`seq`, `checks`, `state`, ...) may be named like its own."""
    plan = replace(_PLAN, **{name: fields.pop(name) for name in list(fields) if name in Plan.__slots__})
    wanted = Status(status)
    if wanted.final:
        plan = replace(plan, state=PlanState.DONE, next_check_at=None)
    issued_at = fields.pop("issued_at", NOW - timedelta(hours=1))
    qr = Qr(
        id=1,
        bank="sim",
        environment="certification",
        qr_id="QR1",
        status=wanted,
        amount=amount,
        currency="BOB",
        account="main",
        multi_use=False,
        issued_at=issued_at,
        registered_at=issued_at,
        due_at=due_at,
        plan=plan,
    )
    return replace(qr, **fields)


def paid(transaction: str, amount: str = "100.00", currency: str = "BOB", **fields: Any) -> Payment:
    """A payment of QR1."""
    raw = f'{{"transactionId":"{transaction}","amount":{amount}}}'
    made = Payment("QR1", transaction, Decimal(amount), currency, fields.pop("paid_at", NOW), raw=raw)
    return replace(made, **fields)


def moved(payment: Payment) -> Movement:
    """What is booked for a payment."""
    minor = to_minor(payment.amount, payment.currency)
    return Movement(payment.bank_transaction_id, minor, payment.currency, payment.paid_at, payment.payer)


def garbled(raw: str = '{"transactionId":"t9"}', problem: str = "no_amount", qr_id: str = "QR1") -> UnreadablePayment:
    return UnreadablePayment(raw, problem, qr_id)


def says(status: str = "paid", *payments: Payment, sent_at: datetime = NOW, **fields: Any) -> Answer:
    """The bank's answer to a single query."""
    made = Answer(BankStatus(status), status, sent_at, payments)
    return replace(made, **fields)


def listed(*payments: Payment, unreadable: Sequence[UnreadablePayment] = ()) -> Answer:
    """What the day list says of a QR."""
    return Answer(BankStatus.PAID, "list", NOW, payments, tuple(unreadable), from_list=True)


def judge(qr: Qr, answer: Answer, *booked: Payment, **options: Any) -> Decision:
    """The decision about an answer, after these payments are booked."""
    now, rhythm = options.pop("now", NOW), options.pop("rhythm", RHYTHM)
    return decide(qr, [moved(payment) for payment in booked], answer, now=now, rhythm=rhythm, **options)


def reasons(decision: Decision) -> list[str]:
    return [review.reason.value for review in decision.reviews]


@dataclass
class ScriptedBank:
    """A bank in memory. `says` are the answers (or errors) per QR id, the last one for ever; `days` its day lists."""

    says: dict[str, list[Answer | Exception]] = field(default_factory=dict)
    days: dict[date, PaidDay | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    listed: list[date] = field(default_factory=list)
    profile: BankProfile = PROFILE

    async def check(self, ask: Ask) -> Answer:
        self.asked.append(ask.qr_id)
        script = self.says[ask.qr_id]
        return _told(script.pop(0) if len(script) > 1 else script[0])

    async def paid_on(self, day: date) -> PaidDay:
        self.listed.append(day)
        return _told(self.days[day])


def _told(said: T | Exception) -> T:
    if isinstance(said, Exception):
        raise said
    return said
