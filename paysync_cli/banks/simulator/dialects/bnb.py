"""BNB's wire format: every call a POST, the token in `message`, a status without amount, the list by day of issue."""

from __future__ import annotations

from datetime import datetime

from paysync_cli.banks.simulator.bank import SimPayment, SimQr, SimulatedBank, State
from paysync_cli.banks.simulator.fields import ZONE, Fields, ScenarioError
from paysync_cli.banks.simulator.scenario import Credential, FaultPlan
from paysync_cli.banks.simulator.talk import UNAUTHORIZED, Asked, Call, Out, said

_SERVICE = "/QRSimple.API/api/v1/main/"
_CALLS = {
    "/ClientAuthentication.API/api/v1/auth/token": ("login", ""),
    f"{_SERVICE}getQRStatusAsync": ("status", "qrId"),
    f"{_SERVICE}getQRbyGenerationDateAsync": ("paid", "generationDate"),
    f"{_SERVICE}getQRWithImageAsync": ("generate", ""),
    f"{_SERVICE}CancelQRByIdAsync": ("cancel", "qrId"),
}
# There is no word for cancelled: such a QR goes on as not used.
_CODES = {State.UNPAID: 1, State.PAID: 2, State.EXPIRED: 3, State.CANCELLED: 1}


class Bnb:
    """Answers as BNB does."""

    name = "bnb"

    def understand(self, asked: Asked) -> Call | None:
        found = _CALLS.get(asked.path) if asked.method == "POST" else None
        if found is None:
            return None
        name, key = found
        subject = asked.object().get(key) if key else ""
        return Call(name, asked, "" if subject is None else str(subject))

    def settings(self, url: str, credential: Credential) -> dict[str, str]:
        return {
            "adapter": "bnb",
            "base_url": url,
            "environment": "certification",
            "account_id": credential.username,
            "authorization_id": credential.password,
        }

    def refusal(self, fault: FaultPlan) -> Out:
        wrong_login = fault.kind == "login_refused"
        return _failure(fault.message or ("Credenciales no válidas" if wrong_login else "Error interno"))

    def number_of(self, payment: SimPayment) -> str:
        return payment.id

    def notice(self, bank: SimulatedBank, payment: SimPayment) -> tuple[str, object]:  # noqa: ARG002 - as all of them
        plan = payment.plan
        told = {
            "QRId": payment.qr_id,
            "Gloss": plan.description,
            "sourceBankId": 1016,
            "originName": plan.payer,
            "VoucherId": payment.id,
            "TransactionDateTime": f"{plan.at.astimezone(ZONE):%Y-%m-%dT%H:%M:%S}",
            "additionalData": "",
            "amount": plan.amount,
            "currencyId": 2 if plan.currency == "USD" else 1,
        }
        return "", told

    def notice_taken(self, status: int, answer: dict[str, object]) -> bool:
        return status == 200 and answer.get("success") is True

    def answer(self, bank: SimulatedBank, call: Call, override: FaultPlan | None = None) -> Out:
        if call.name == "login":
            return _login(bank, call.asked)
        if not bank.is_valid(call.asked.bearer()):
            return UNAUTHORIZED
        if call.name == "status":
            return _status(bank, call.subject, override)
        if call.name == "paid":
            return _issued_on(bank, call.subject)
        return _generate(bank, call.asked) if call.name == "generate" else _cancel(bank, call.subject)


def _login(bank: SimulatedBank, asked: Asked) -> Out:
    told, credential = asked.object(), bank.credential
    known = (told.get("accountId"), told.get("authorizationId")) == (credential.username, credential.password)
    if bank.login(known) != "ok":
        return _failure("Credenciales no válidas")
    return said({"success": True, "message": bank.new_token()})


def _status(bank: SimulatedBank, qr_id: str, override: FaultPlan | None) -> Out:
    qr = bank.find(qr_id)
    if qr is None:
        return _failure("El QR no existe")
    answer: dict[str, object] = {"id": qr_id, "expirationDate": _date(qr.plan.expires_at), "voucherId": ""}
    if override is None or override.kind != "no_status":
        answer |= _coded(bank, qr, override)
    return said(answer | {"success": True, "message": ""})


def _coded(bank: SimulatedBank, qr: SimQr, override: FaultPlan | None) -> dict[str, object]:
    forced = bank.forced_code(qr, override)
    code = _CODES[bank.state_of(qr)] if forced is ... else 4 if forced is None else forced
    spelling = (qr.plan.wire or bank.wire).bnb_status
    return {spelling.removesuffix("-text"): str(code) if spelling == "qrId-text" else code}


def _issued_on(bank: SimulatedBank, day: str) -> Out:
    try:
        asked = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=ZONE).date()
    except ValueError:
        return _failure("Fecha incorrecta")
    issued = [qr for qr in bank.qrs.values() if qr.plan.issued_at.astimezone(ZONE).date() == asked]
    rows = [row for qr in issued if not qr.plan.unknown for row in _rows(bank, qr)]
    return said({"dTOqrDetails": rows, "success": True, "message": ""})


def _rows(bank: SimulatedBank, qr: SimQr) -> list[dict[str, object]]:
    """One row, or one for each payment of a multi-use QR."""
    told = bank.told_in_list(qr.payments)
    shown: list[SimPayment | None] = list(told if qr.plan.multi_use else told[:1])
    return [_row(bank, qr, payment) for payment in shown or [None]]


def _row(bank: SimulatedBank, qr: SimQr, payment: SimPayment | None) -> dict[str, object]:
    plan, paid = qr.plan, payment.plan if payment is not None else None
    state = bank.state_of(qr)
    row: dict[str, object] = {
        "id": plan.id,
        "amount": paid.amount if paid is not None else plan.amount,
        "currency": paid.currency if paid is not None else plan.currency,
        "generationDate": _date(plan.issued_at),
        "expirationDate": _date(plan.expires_at),
        "statusId": _CODES[State.UNPAID if payment is None and state is State.PAID else state],
        "transactionDate": None if paid is None else f"{paid.at.astimezone(ZONE):%Y-%m-%dT%H:%M:%S}",
        "sourceBank": "" if paid is None else "1016",
        "gloss": "" if paid is None else paid.description,
        "destinationAccountNumber": "******1234",
        "notificationSuccess": False,
        "notificationResponse": "",
        "voucherId": None if payment is None else payment.id,
    }
    if paid is None:
        return row
    return {key: value for key, value in (row | _renamed(paid.element)).items() if key not in _without(paid.without)}


_NAMES = {"qrId": "id", "transactionId": "voucherId"}  # a scenario calls the fields as Baneco does


def _renamed(element: object) -> dict[str, object]:
    found = dict(element) if isinstance(element, dict) else {}
    return {_NAMES.get(key, key): value for key, value in found.items()}


def _without(keys: frozenset[str]) -> set[str]:
    return {_NAMES.get(key, key) for key in keys}


def _generate(bank: SimulatedBank, asked: Asked) -> Out:
    told = asked.object()
    fields = Fields({key: told.get(key) for key in ("amount", "currency")}, "getQRWithImageAsync", bank.now())
    try:
        amount, currency = fields.amount("amount"), fields.currency("currency", "BOB")
    except ScenarioError:
        return _failure("Importe o moneda incorrectos")
    qr_id = bank.issue(amount, currency, multi=told.get("singleUse") in (False, "false"))
    return said({"id": qr_id, "qr": "", "success": True, "message": ""})


def _cancel(bank: SimulatedBank, qr_id: str) -> Out:
    if not bank.may_be_cancelled(qr_id):
        return _failure("El QR no puede ser cancelado")
    bank.cancel(qr_id)
    return said({"success": True, "message": ""})


def _failure(message: str) -> Out:
    return said({"success": False, "message": message})


def _date(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone(ZONE):%Y-%m-%d}"
