"""Baneco's wire format: paths, login with an encrypted password, status, list of a day, issue and cancel."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote

from paysync_cli.banks.simulator.bank import SimPayment, SimQr, SimulatedBank, State
from paysync_cli.banks.simulator.fields import ZONE, Fields, ScenarioError
from paysync_cli.banks.simulator.scenario import Credential, FaultPlan, Wire
from paysync_cli.banks.simulator.talk import UNAUTHORIZED, Asked, Call, Out, said

GATEWAY = "/ApiGateway"  # the certification host's prefix; case matters, as it does there

_STATUS_PATHS = ("/api/qrsimple/v2/statusQR/", "/api/qrsimple/statusQR/")
_PAID_PATHS = ("/api/qrsimple/v2/paidQR/", "/api/qrsimple/paidQR/")
_FIXED_PATHS = {
    ("POST", "/api/authentication/authenticate"): ("login", ""),
    ("GET", "/api/authentication/encrypt"): ("encrypt", "encrypt"),
    ("GET", "/api/authentication/decrypt"): ("encrypt", "decrypt"),
    ("POST", "/api/qrsimple/generateQR"): ("generate", ""),
    ("DELETE", "/api/qrsimple/cancelQR"): ("cancel", ""),
}
_CODES = {State.UNPAID: 0, State.PAID: 1, State.CANCELLED: 9, State.EXPIRED: 0}  # an expired QR goes on as unpaid

# One pixel; no phone needs to scan it.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Baneco:
    """Answers as Baneco does."""

    name = "baneco"

    def understand(self, asked: Asked) -> Call | None:
        path = asked.path.removeprefix(GATEWAY)
        found = _FIXED_PATHS.get((asked.method, path))
        if found is None and asked.method == "GET":
            found = _by_prefix(path)
        return None if found is None else Call(found[0], asked, found[1])

    def settings(self, url: str, credential: Credential) -> dict[str, str]:
        return {
            "adapter": "baneco",
            "base_url": url,
            "environment": "certification",
            "username": credential.username,
            "password": credential.password,
            "aes_key": credential.aes_key,
        }

    def refusal(self, fault: FaultPlan) -> Out:
        wrong_login = fault.kind == "login_refused"
        message = fault.message or ("Usuario o contraseña incorrectos" if wrong_login else "Error interno")
        return said({"responseCode": 1 if fault.code is None else fault.code, "message": message})

    def number_of(self, payment: SimPayment) -> str:
        return payment.id

    def notice(self, bank: SimulatedBank, payment: SimPayment) -> tuple[str, object]:
        element = _element(payment, bank.qrs[payment.qr_id].plan.wire or bank.wire)
        return "/api/qrsimple/notifyPaymentQR", {"payment": element}

    def notice_taken(self, status: int, answer: dict[str, object]) -> bool:
        return status == 200 and answer.get("responseCode") == 0

    def answer(self, bank: SimulatedBank, call: Call, override: FaultPlan | None = None) -> Out:
        if call.name == "login":
            return _login(bank, call.asked)
        if call.name == "encrypt":
            return _encrypt(call)
        if not bank.is_valid(call.asked.bearer()):
            return UNAUTHORIZED
        if call.name == "status":
            return _status(bank, call.subject, override)
        if call.name == "paid":
            return _paid(bank, call.subject)
        return _generate(bank, call.asked) if call.name == "generate" else _cancel(bank, call.asked)


def _by_prefix(path: str) -> tuple[str, str] | None:
    for name, prefixes in (("status", _STATUS_PATHS), ("paid", _PAID_PATHS)):
        for prefix in prefixes:
            if path.startswith(prefix):
                return name, unquote(path[len(prefix) :])
    return None


def _login(bank: SimulatedBank, asked: Asked) -> Out:
    told, credential = asked.object(), bank.credential
    secret = _decrypt(told.get("password"), credential.aes_key)
    judged = bank.login(told.get("userName") == credential.username and secret == credential.password)
    if judged != "ok":
        message = "Usuario bloqueado" if judged == "locked" else "Usuario o contraseña incorrectos"
        return _failure(1, message, token="")
    return said({"token": bank.new_token(), "responseCode": 0, "message": ""})


def _encrypt(call: Call) -> Out:
    query = parse_qs(call.asked.query)
    text, aes_key = query.get("text", [""])[0], query.get("aesKey", [""])[0]
    if len(aes_key.encode()) != 32:
        return _failure(1, "Llave incorrecta")
    if call.subject == "encrypt":
        from paysync_cli.banks.baneco import encrypt

        return said(encrypt(text, aes_key))
    plain = _decrypt(text, aes_key)
    return _failure(1, "Texto incorrecto") if plain is None else said(plain)


def _status(bank: SimulatedBank, qr_id: str, override: FaultPlan | None) -> Out:
    if qr_id not in bank.qrs and override is None and bank.wire == _PLAIN:
        return _UNKNOWN_QR if bank.unknown_qrs == "unknown" else _UNPAID
    qr = bank.find(qr_id)
    if qr is None:
        return _UNKNOWN_QR
    wire = qr.plan.wire or bank.wire
    code = {} if override is not None and override.kind == "no_status" else {wire.status_key: _code(bank, qr, override)}
    shown = [_element(p, wire) for p in bank.told_in_status(qr)]
    return said(code | _listed("payment", shown, wire) | _fine(wire))


def _code(bank: SimulatedBank, qr: SimQr, override: FaultPlan | None) -> object:
    forced = bank.forced_code(qr, override)
    if forced is None:
        return 7
    return _CODES[bank.state_of(qr)] if forced is ... else forced


def _paid(bank: SimulatedBank, day: str) -> Out:
    try:
        asked = datetime.strptime(day, "%Y%m%d").replace(tzinfo=ZONE).date()
    except ValueError:
        return _failure(1, "Fecha incorrecta")
    elements = [_element(p, bank.qrs[p.qr_id].plan.wire or bank.wire) for p in bank.paid_on(asked)]
    return said(_listed("paymentList", elements, bank.wire) | _fine(bank.wire))


def _generate(bank: SimulatedBank, asked: Asked) -> Out:
    told = asked.object()
    if not told.get("transactionId") or _decrypt(told.get("accountCredit"), bank.credential.aes_key) is None:
        return _failure(1, "Datos incorrectos")
    fields = Fields({key: told.get(key) for key in ("amount", "currency")}, "generateQR", bank.now())
    try:
        amount, currency = fields.amount("amount"), fields.currency("currency", "BOB")
    except ScenarioError:
        return _failure(1, "Importe o moneda incorrectos")
    qr_id = bank.issue(amount, currency, multi=told.get("singleUse") is False)
    return said({"qrId": qr_id, "qrImage": PIXEL, "responseCode": 0, "message": ""})


def _cancel(bank: SimulatedBank, asked: Asked) -> Out:
    qr_id = asked.object().get("qrId")
    if not bank.may_be_cancelled(qr_id):
        # Already paid and already cancelled sound alike: only the status tells them apart.
        return _failure(403, "El QR no puede ser anulado")
    bank.cancel(str(qr_id))
    return said({"responseCode": 0, "message": ""})


def _failure(code: int, message: str, status: int = 200, **fields: object) -> Out:
    return said(fields | {"responseCode": code, "message": message}, status)


_PLAIN = Wire()
_UNPAID = said({"statusQrCode": 0, "payment": [], "responseCode": 0, "message": ""})
_UNKNOWN_QR = _failure(404, "El QR no existe", 404)


def _fine(wire: Wire) -> dict[str, object]:
    return {"responseCode": "0" if wire.response_code == "text" else 0, "message": ""}


def _listed(key: str, elements: list[object], wire: Wire) -> dict[str, object]:
    if not elements:
        nothing: dict[str, object] = {"array": [], "null": None, "object": {}}
        return {} if wire.empty == "missing" else {key: nothing[wire.empty]}
    return {key: elements[0] if wire.payment == "object" and len(elements) == 1 else elements}


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
