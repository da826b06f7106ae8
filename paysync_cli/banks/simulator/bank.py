"""The simulated bank itself: QRs, payments, users and tokens, and its answers in Baneco's format. No network here.

Nothing is ever scheduled: what has happened is computed from the plan and `now()` whenever somebody asks.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from urllib.parse import parse_qs

from paysync_cli.banks.simulator.fields import ZONE, Fields, ScenarioError
from paysync_cli.banks.simulator.scenario import (
    Credential,
    FaultPlan,
    PaymentPlan,
    QrPlan,
    Scenario,
    Wire,
    read_payment,
)
from paysync_cli.banks.wire import compact_json, parse_json
from paysync_cli.payments.money import MoneyError, to_minor, to_text

JSON = "application/json; charset=utf-8"
HTML_NOT_FOUND = b"<!DOCTYPE html><html><head><title>404 - File or directory not found.</title></head></html>"
TOKEN_LIFETIME_S = 1800.0
LOCK_AFTER = 5
MAX_TOKENS = 10_000

# One pixel; no phone needs to scan it.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass(frozen=True, slots=True)
class Out:
    """An answer on its way out."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A request, understood: `name` as in a fault's `on`; `subject` is the QR id, or the day of a list."""

    name: str
    method: str
    subject: str = ""
    query: str = ""
    bearer: str = ""
    body: bytes = b""


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
        self.reset()

    # -- what happens to it

    def reset(self) -> None:
        """An empty bank with the default credential."""
        self.credential = Credential()
        self.wire = Wire()
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

    def load(self, scenario: Scenario) -> None:
        """Add a scenario: settings and faults replace what they name, a QR replaces one of the same id."""
        self.unknown_qrs = scenario.unknown_qrs or self.unknown_qrs
        self.lock_after = self.lock_after if scenario.lock_after is None else scenario.lock_after
        self.credential = scenario.credential or self.credential
        self.wire = scenario.wire or self.wire
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

    def cancel(self, qr_id: str) -> None:
        """The QR is cancelled from now on, as if in the bank's own screens."""
        qr = self.qrs.get(qr_id) or self._open(qr_id)
        qr.cancelled_at = self.now()

    def _open(self, qr_id: str, amount: Decimal | None = None, currency: str = "BOB", multi: bool = False) -> SimQr:
        return self._add_qr(QrPlan(qr_id, amount, currency, multi, False, None, (), (), None))

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
        return payment

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

    # -- what it answers

    def answer(self, call: Call, override: FaultPlan | None = None) -> Out:
        """The answer to a call; `override` is a fault that only changes the status code of a QR."""
        if call.name == "login":
            return self._login(call)
        if call.name == "encrypt":
            return self._encrypt(call)
        if not self._is_valid(call.bearer):
            return Out(401, b"", headers=(("www-authenticate", "Bearer"),))
        if call.name == "status":
            return self._status(call.subject, override)
        if call.name == "paid":
            return self._paid(call.subject)
        return self._generate(call) if call.name == "generate" else self._cancel(call)

    def _login(self, call: Call) -> Out:
        if self.failed_logins >= self.lock_after:
            return _failure(1, "Usuario bloqueado", token="")
        asked = _object(call.body)
        secret = _decrypt(asked.get("password"), self.credential.aes_key)
        if asked.get("userName") != self.credential.username or secret != self.credential.password:
            self.failed_logins += 1
            return _failure(1, "Usuario o contraseña incorrectos", token="")
        self.failed_logins = 0
        return _json({"token": self._new_token(), "responseCode": 0, "message": ""})

    def _new_token(self) -> str:
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

    def _is_valid(self, token: str) -> bool:
        expires = self._tokens.get(token)
        return expires is not None and self.now() < expires

    def expire_tokens(self) -> None:
        """Every token given so far is rejected from now on."""
        self._tokens.clear()

    def _encrypt(self, call: Call) -> Out:
        query = parse_qs(call.query)
        text, aes_key = query.get("text", [""])[0], query.get("aesKey", [""])[0]
        if len(aes_key.encode()) != 32:
            return _failure(1, "Llave incorrecta")
        if call.subject == "encrypt":
            from paysync_cli.banks.baneco import encrypt

            return _json(encrypt(text, aes_key))
        plain = _decrypt(text, aes_key)
        return _failure(1, "Texto incorrecto") if plain is None else _json(plain)

    def _status(self, qr_id: str, override: FaultPlan | None) -> Out:
        qr = self.qrs.get(qr_id)
        if qr is None and override is None and self.wire == _PLAIN:
            return _UNKNOWN_QR if self.unknown_qrs == "unknown" else _UNPAID
        if qr is None and self.unknown_qrs == "unknown":
            return _UNKNOWN_QR
        qr = qr or SimQr(QrPlan(qr_id, None, "BOB", False, False, None, (), (), None))
        if qr.plan.unknown:
            return _UNKNOWN_QR
        now, wire = self.now(), qr.plan.wire or self.wire
        shown = [_element(p, wire) for p in qr.payments if p.plan.at <= now and _reached(p.plan.in_status_at, now)]
        answer: dict[str, object] = {wire.status_key: _code_of(qr, now)}
        if override is not None:
            answer = (
                {} if override.kind == "no_status" else {wire.status_key: 7 if override.code is None else override.code}
            )
        return _json(answer | _listed("payment", shown, wire) | _fine(wire))

    def _paid(self, day: str) -> Out:
        try:
            asked = datetime.strptime(day, "%Y%m%d").replace(tzinfo=ZONE).date()
        except ValueError:
            return _failure(1, "Fecha incorrecta")
        now = self.now()
        made = [p for p in self._days.get(asked, ()) if p.plan.at <= now and _reached(p.plan.in_list_at, now)]
        made.sort(key=lambda p: p.plan.at)
        elements = [_element(p, self.qrs[p.qr_id].plan.wire or self.wire) for p in made]
        return _json(_listed("paymentList", elements, self.wire) | _fine(self.wire))

    def _generate(self, call: Call) -> Out:
        asked = _object(call.body)
        if not asked.get("transactionId") or _decrypt(asked.get("accountCredit"), self.credential.aes_key) is None:
            return _failure(1, "Datos incorrectos")
        qr_id = f"{self.now().astimezone(ZONE):%y%m%d}{next(self._qr_numbers):014d}"
        fields = Fields({key: asked.get(key) for key in ("amount", "currency")}, "generateQR", self.now())
        try:
            amount, currency = fields.amount("amount"), fields.currency("currency", "BOB")
        except ScenarioError:
            return _failure(1, "Importe o moneda incorrectos")
        self._open(qr_id, amount, currency, multi=asked.get("singleUse") is False)
        return _json({"qrId": qr_id, "qrImage": PIXEL, "responseCode": 0, "message": ""})

    def _cancel(self, call: Call) -> Out:
        qr_id = _object(call.body).get("qrId")
        qr = self.qrs.get(qr_id) if isinstance(qr_id, str) else None
        code = None if qr is None else _code_of(qr, self.now())
        if qr is None or code == 9 or (code == 1 and not qr.plan.multi_use):
            # Already paid and already cancelled sound alike: only the status tells them apart.
            return _failure(403, "El QR no puede ser anulado")
        qr.cancelled_at = self.now()
        return _json({"responseCode": 0, "message": ""})


def _json(value: object, status: int = 200) -> Out:
    return Out(status, compact_json(value, limit=1 << 30).encode())


def _failure(code: int, message: str, status: int = 200, **fields: object) -> Out:
    return _json(fields | {"responseCode": code, "message": message}, status)


_PLAIN = Wire()
_JWT_HEADER = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"  # {"alg":"HS256","typ":"JWT"}
_UNPAID = _json({"statusQrCode": 0, "payment": [], "responseCode": 0, "message": ""})
_UNKNOWN_QR = _failure(404, "El QR no existe", 404)


def _object(body: bytes) -> dict[str, object]:
    try:
        found = parse_json(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _fine(wire: Wire) -> dict[str, object]:
    return {"responseCode": "0" if wire.response_code == "text" else 0, "message": ""}


def _listed(key: str, elements: list[object], wire: Wire) -> dict[str, object]:
    if not elements:
        nothing: dict[str, object] = {"array": [], "null": None, "object": {}}
        return {} if wire.empty == "missing" else {key: nothing[wire.empty]}
    return {key: elements[0] if wire.payment == "object" and len(elements) == 1 else elements}


def _code_of(qr: SimQr, now: datetime) -> object:
    forced = [code for at, code in qr.plan.codes if at <= now]
    if forced:
        return forced[-1]
    paid = any(p.plan.at <= now for p in qr.payments)
    cancelled = qr.cancelled_at is not None and qr.cancelled_at <= now
    if cancelled and (qr.plan.multi_use or not paid):
        return 9
    return 1 if paid else 0


def _element(payment: SimPayment, wire: Wire) -> object:
    plan, local = payment.plan, payment.plan.at.astimezone(ZONE)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    dates = {
        "midnight": f"{local:%Y-%m-%d}T00:00:00",
        "bare": f"{local:%Y-%m-%d}",
        "zone": f"{midnight.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    times = {"seconds": f"{local:%H:%M:%S}", "minutes": f"{local:%H:%M}", "empty": ""}
    element: dict[str, object] = {
        "qrId": payment.qr_id,
        "transactionId": payment.id,
        "paymentDate": dates[wire.date],
        "paymentTime": times[wire.time],
        "currency": plan.currency,
        "amount": str(plan.amount) if wire.amount == "text" else plan.amount,
        "senderBankCode": "1016",
        "senderName": plan.payer,
        "senderDocumentId": "0",
        "senderAccount": "******1234",
        "description": plan.description,
        "branchCode": "",
    }
    return {key: value for key, value in (element | dict(plan.element)).items() if key not in plan.without}


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


def _decrypt(secret: object, aes_key: str) -> str | None:
    """The plain text, None when it is not a secret made with this key."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    try:
        raw = base64.b64decode(secret, validate=True) if isinstance(secret, str) else b""
        decryptor = Cipher(algorithms.AES(aes_key.encode()), modes.CBC(raw[:16])).decryptor()
        padded = decryptor.update(raw[16:]) + decryptor.finalize()
        unpadder = PKCS7(128).unpadder()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError:
        return None
