"""The simulated bank itself: QRs, payments, users and tokens. No network here, and no wire format: `dialects` speak.

Nothing is ever scheduled: what has happened is computed from the plan and `now()` whenever somebody asks.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from heapq import heappop, heappush
from itertools import count

from paysync_cli.banks.simulator.fields import ZONE
from paysync_cli.banks.simulator.scenario import (
    Credential,
    FaultPlan,
    NotifyPlan,
    PaymentPlan,
    QrPlan,
    Scenario,
    Wire,
    read_payment,
)
from paysync_cli.banks.simulator.talk import Call
from paysync_cli.payments.money import MoneyError, to_minor, to_text

TOKEN_LIFETIME_S = 1800.0
LOCK_AFTER = 5
MAX_TOKENS = 10_000
MAX_LISTED = 1_000_000


class State(Enum):
    """Where a QR stands at the bank."""

    UNPAID = "unpaid"
    PAID = "paid"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(slots=True)
class SimPayment:
    qr_id: str
    id: str
    plan: PaymentPlan


@dataclass(slots=True)
class SimQr:
    plan: QrPlan
    payments: list[SimPayment] = field(default_factory=list)
    cancelled_at: datetime | None = None


@dataclass(slots=True)
class Fault:
    """A fault with its counters."""

    plan: FaultPlan
    matched: int = 0
    used: int = 0

    def strikes(self, call: str, qr_id: str, now: datetime) -> bool:
        plan = self.plan
        if plan.on not in ("all", call) or (plan.qr is not None and plan.qr != qr_id):
            return False
        if (plan.from_at is not None and now < plan.from_at) or (plan.until_at is not None and now >= plan.until_at):
            return False
        if plan.count is not None and self.used >= plan.count:
            return False
        self.matched += 1
        if self.matched % plan.every:
            return False
        self.used += 1
        return True


class SimulatedBank:
    """All that the simulated bank knows. Used from one thread only."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self._turns = count()
        self.reset()

    # -- what happens to it

    def reset(self) -> None:
        """An empty bank with the default credential."""
        self.started_at = self.now()
        self.credential = Credential()
        self.wire = Wire()
        self.notify: NotifyPlan | None = None
        self.unknown_qrs = "unpaid"
        self.token_lifetime_s = TOKEN_LIFETIME_S
        self.lock_after = LOCK_AFTER
        self.failed_logins = 0
        self.qrs: dict[str, SimQr] = {}
        self.faults: list[Fault] = []
        self._days: dict[date, list[SimPayment]] = defaultdict(list)
        self._tokens: dict[str, datetime] = {}
        self._signing_key = secrets.token_bytes(32)
        self._payment_numbers = count(900_001)
        self._qr_numbers = count(1)
        self._taken: set[str] = set()
        self._to_notify: list[tuple[datetime, int, SimPayment]] = []

    def load(self, scenario: Scenario) -> None:
        """Add a scenario: settings and faults replace what they name, a QR replaces one of the same id."""
        self.unknown_qrs = scenario.unknown_qrs or self.unknown_qrs
        self.lock_after = self.lock_after if scenario.lock_after is None else scenario.lock_after
        self.credential = scenario.credential or self.credential
        self.wire = scenario.wire or self.wire
        self.notify = scenario.notify or self.notify
        if scenario.token_lifetime_s is not None:
            self.token_lifetime_s = scenario.token_lifetime_s
        if scenario.faults is not None:
            self.faults = [Fault(plan) for plan in scenario.faults]
        for plan in scenario.qrs:
            self._add_qr(plan)

    def pay(self, qr_id: str, found: object) -> SimPayment:
        """A payment now, or whenever `found` (the keys of a scenario's payment) says. Raises ScenarioError."""
        qr = self.qrs.get(qr_id)
        amount, currency = (qr.plan.amount, qr.plan.currency) if qr is not None else (None, "BOB")
        plan = read_payment(found, self.now(), amount, currency, f'payment of "{qr_id}"')
        return self._add_payment(qr or self._open(qr_id), plan)

    def expire(self, qr_id: str) -> None:
        """The QR has expired, for the banks that say so."""
        self.let_expire(qr_id, self.now())

    def let_expire(self, qr_id: str, at: datetime) -> None:
        """The QR expires then."""
        qr = self.qrs.get(qr_id) or self._open(qr_id)
        qr.plan = replace(qr.plan, expires_at=at)

    def cancel(self, qr_id: str) -> None:
        """The QR is cancelled from now on, as if in the bank's own screens."""
        qr = self.qrs.get(qr_id) or self._open(qr_id)
        qr.cancelled_at = self.now()

    def _open(self, qr_id: str, amount: Decimal | None = None, currency: str = "BOB", multi: bool = False) -> SimQr:
        return self._add_qr(QrPlan(qr_id, amount, currency, multi, False, None, (), (), None, self.now(), None))

    def _add_qr(self, plan: QrPlan) -> SimQr:
        self._forget(plan.id)
        qr = self.qrs[plan.id] = SimQr(plan, cancelled_at=plan.cancelled_at)
        for payment in plan.payments:
            self._add_payment(qr, payment)
        return qr

    def _forget(self, qr_id: str) -> None:
        old = self.qrs.pop(qr_id, None)
        for payment in old.payments if old is not None else ():
            self._days[_day_of(payment)].remove(payment)

    def _add_payment(self, qr: SimQr, plan: PaymentPlan) -> SimPayment:
        number = plan.id or next(n for n in map(str, self._payment_numbers) if n not in self._taken)
        self._taken.add(number)
        payment = SimPayment(qr.plan.id, number, plan)
        qr.payments.append(payment)
        self._days[_day_of(payment)].append(payment)
        heappush(self._to_notify, (plan.at, next(self._turns), payment))
        return payment

    def to_notify(self) -> list[SimPayment]:
        """The payments that have happened since this was asked before; those that a scenario took back are left out."""
        now, found = self.now(), []
        while self._to_notify and self._to_notify[0][0] <= now:
            _at, _turn, payment = heappop(self._to_notify)
            qr = self.qrs.get(payment.qr_id)
            if qr is not None and any(one is payment for one in qr.payments):
                found.append(payment)
        return found

    # -- what it tells those who script it

    def ledger(self) -> dict[str, object]:
        """Every payment made until now, and totals per currency.

        `{"as_of", "payments": [{"id", "qr", "amount", "currency", "paid_at", "readable"}], "totals": {"BOB": "190.50"},
        "readable_totals": {...}, "cancelled": [ids]}`. Amounts are text; `readable` is false for a payment whose
        element lacks or garbles what a booking needs.
        """
        now = self.now()
        made = [p for qr in self.qrs.values() for p in qr.payments if p.plan.at <= now]
        made.sort(key=lambda p: (p.plan.at, p.id))
        return {
            "as_of": _utc(now),
            "payments": [_ledger_line(p) for p in made],
            "totals": _totals(made),
            "readable_totals": _totals([p for p in made if p.plan.readable]),
            "cancelled": sorted(i for i, qr in self.qrs.items() if qr.cancelled_at and qr.cancelled_at <= now),
        }

    def fault_for(self, call: Call) -> tuple[int, FaultPlan | None]:
        """The delay in ms and the first other fault that strikes this call; counts them as used."""
        if not self.faults:
            return 0, None
        now, delay_ms = self.now(), 0
        for fault in self.faults:
            if fault.strikes(call.name, call.subject, now):
                if fault.plan.kind != "slow":
                    return delay_ms, fault.plan
                delay_ms += fault.plan.delay_ms
        return delay_ms, None

    # -- what those who speak for it need

    def login(self, known: bool) -> str:
        """Judge a login whose credential is `known`, or not: `ok`, `wrong` or `locked`."""
        if self.failed_logins >= self.lock_after:
            return "locked"
        self.failed_logins = 0 if known else self.failed_logins + 1
        return "ok" if known else "wrong"

    def new_token(self) -> str:
        """A token that is good from now on."""
        now = self.now()
        expires = now + timedelta(seconds=self.token_lifetime_s)
        claims = {
            "usr": self.credential.username,
            "nbf": int(now.timestamp()),
            "exp": int(expires.timestamp()),
            "iat": int(now.timestamp()),
            "iss": "simulator",
            "aud": "simulator",
            "jti": secrets.token_hex(8),
        }
        signed = f"{_JWT_HEADER}.{_base64url(json.dumps(claims).encode())}"
        token = f"{signed}.{_base64url(hmac.digest(self._signing_key, signed.encode(), 'sha256'))}"
        if len(self._tokens) >= MAX_TOKENS:
            self._tokens = {t: until for t, until in self._tokens.items() if until > now}
        self._tokens[token] = expires
        return token

    def is_valid(self, token: str) -> bool:
        """Whether this token was given and is still good."""
        expires = self._tokens.get(token)
        return expires is not None and self.now() < expires

    def expire_tokens(self) -> None:
        """Every token given so far is rejected from now on."""
        self._tokens.clear()

    def find(self, qr_id: str) -> SimQr | None:
        """The QR, as the bank knows it; None when it does not."""
        qr = self.qrs.get(qr_id)
        if qr is None and self.unknown_qrs != "unknown":
            return SimQr(_unlisted(qr_id, self.started_at))
        return None if qr is None or qr.plan.unknown else qr

    def told_in_status(self, qr: SimQr) -> list[SimPayment]:
        """The payments that a question about the QR may tell by now."""
        now = self.now()
        return [p for p in qr.payments if p.plan.at <= now and _reached(p.plan.in_status_at, now)]

    def told_in_list(self, payments: Iterable[SimPayment]) -> list[SimPayment]:
        """Those of them that a list may tell by now, the oldest first."""
        now = self.now()
        told = [p for p in payments if p.plan.at <= now and _reached(p.plan.in_list_at, now)]
        return sorted(told, key=lambda p: p.plan.at)

    def paid_on(self, day: date) -> list[SimPayment]:
        """What a list of the payments of a Bolivian day tells by now."""
        return self.told_in_list(self._days.get(day, ()))

    def paid_between(self, start: datetime, end: datetime) -> list[SimPayment]:
        """What a list of the payments of a span, ends included, tells by now."""
        day, last = start.astimezone(ZONE).date(), end.astimezone(ZONE).date()
        found: list[SimPayment] = []
        while day <= last and len(found) < MAX_LISTED:
            found += [p for p in self._days.get(day, ()) if start <= p.plan.at <= end]
            day += timedelta(days=1)
        return self.told_in_list(found)

    def state_of(self, qr: SimQr) -> State:
        """Where the QR stands now, whatever the wire can say of it."""
        now = self.now()
        paid = any(p.plan.at <= now for p in qr.payments)
        cancelled = qr.cancelled_at is not None and qr.cancelled_at <= now
        if cancelled and (qr.plan.multi_use or not paid):
            return State.CANCELLED
        if paid:
            return State.PAID
        expired = qr.plan.expires_at is not None and qr.plan.expires_at <= now
        return State.EXPIRED if expired else State.UNPAID

    def forced_code(self, qr: SimQr, override: FaultPlan | None) -> object:
        """The status code that a fault or the scenario wants whatever happened; `...` when none does."""
        if override is not None and override.kind == "status_code":
            return override.code
        forced = [code for at, code in qr.plan.codes if at <= self.now()]
        return forced[-1] if forced else ...

    def issue(self, amount: Decimal | None, currency: str, *, qr_id: str | None = None, multi: bool = False) -> str:
        """A new QR; its id."""
        qr_id = qr_id or f"{self.now().astimezone(ZONE):%y%m%d}{next(self._qr_numbers):014d}"
        self._open(qr_id, amount, currency, multi)
        return qr_id

    def may_be_cancelled(self, qr_id: object) -> bool:
        """Whether this is a QR that can still be cancelled."""
        qr = self.qrs.get(qr_id) if isinstance(qr_id, str) else None
        if qr is None:
            return False
        state = self.state_of(qr)
        return state is not State.CANCELLED and (state is not State.PAID or qr.plan.multi_use)


_JWT_HEADER = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"  # {"alg":"HS256","typ":"JWT"}


def _unlisted(qr_id: str, issued_at: datetime) -> QrPlan:
    return QrPlan(qr_id, None, "BOB", False, False, None, (), (), None, issued_at, None)


def _reached(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now


def _day_of(payment: SimPayment) -> date:
    return payment.plan.at.astimezone(ZONE).date()


def _ledger_line(payment: SimPayment) -> dict[str, object]:
    plan = payment.plan
    return {
        "id": payment.id,
        "qr": payment.qr_id,
        "amount": _amount_text(plan.amount, plan.currency),
        "currency": plan.currency,
        "paid_at": _utc(plan.at),
        "readable": plan.readable,
    }


def _totals(payments: list[SimPayment]) -> dict[str, str]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for payment in payments:
        sums[payment.plan.currency] += payment.plan.amount
    return {currency: _amount_text(total, currency) for currency, total in sorted(sums.items())}


def _amount_text(amount: Decimal, currency: str) -> str:
    try:
        return to_text(to_minor(amount, currency), currency)
    except MoneyError:
        return str(amount)  # more digits than the currency has: somebody wants to see that refused


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
