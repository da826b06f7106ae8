"""SIP's wire format (MC4): two API keys and a token, QRs by the merchant's alias, no amounts, no list."""

from __future__ import annotations

from paysync_cli.banks.simulator.bank import SimPayment, SimQr, SimulatedBank, State
from paysync_cli.banks.simulator.fields import ZONE, Fields, ScenarioError
from paysync_cli.banks.simulator.scenario import Credential, FaultPlan
from paysync_cli.banks.simulator.talk import UNAUTHORIZED, Asked, Call, Out, said

_CALLS = {
    "/autenticacion/v1/generarToken": "login",
    "/api/v1/estadoTransaccion": "status",
    "/api/v1/generaQr": "generate",
    "/api/v1/inhabilitarPago": "cancel",
}
_WORDS = {
    State.UNPAID: "PENDIENTE",
    State.PAID: "PAGADO",
    State.CANCELLED: "INHABILITADO",
    State.EXPIRED: "EXPIRADO",
}


class Sip:
    """Answers as the gateway does. The credential's AES key is cut in two: the keys of login and of the calls."""

    name = "sip"

    def understand(self, asked: Asked) -> Call | None:
        name = _CALLS.get(asked.path) if asked.method == "POST" else None
        if name is None:
            return None
        alias = "" if name == "login" else asked.object().get("alias")
        return Call(name, asked, "" if alias is None else str(alias))

    def settings(self, url: str, credential: Credential) -> dict[str, str]:
        return {
            "adapter": "sip",
            "base_url": url,
            "environment": "certification",
            "username": credential.username,
            "password": credential.password,
            "api_key": _login_key(credential),
            "service_key": _service_key(credential),
        }

    def refusal(self, fault: FaultPlan) -> Out:
        return _failure(fault.message or "Error", "9999" if fault.code is None else str(fault.code))

    def number_of(self, payment: SimPayment) -> str:
        return payment.id

    def notice(self, bank: SimulatedBank, payment: SimPayment) -> tuple[str, object]:  # noqa: ARG002 - as all of them
        told = {
            "alias": payment.qr_id,
            "numeroOrdenOriginante": payment.id,
            "monto": payment.plan.amount,
            "moneda": payment.plan.currency,
            "idQr": payment.qr_id,
        }
        return "", told

    def notice_taken(self, status: int, answer: dict[str, object]) -> bool:
        return status == 200 and answer.get("codigo") == "0000"

    def answer(self, bank: SimulatedBank, call: Call, override: FaultPlan | None = None) -> Out:
        if call.name == "login":
            return _login(bank, call.asked)
        if not bank.is_valid(call.asked.bearer()):
            return UNAUTHORIZED
        if call.asked.header(b"apikeyservicio") != _service_key(bank.credential):
            return _failure("apikeyServicio no válida", "NOK")
        if call.name == "status":
            return _status(bank, call.subject, override)
        return _generate(bank, call) if call.name == "generate" else _cancel(bank, call.subject)


def _login_key(credential: Credential) -> str:
    return credential.aes_key[:16]


def _service_key(credential: Credential) -> str:
    return credential.aes_key[16:]


def _login(bank: SimulatedBank, asked: Asked) -> Out:
    told, credential = asked.object(), bank.credential
    known = (told.get("username"), told.get("password")) == (credential.username, credential.password)
    if bank.login(known and asked.header(b"apikey") == _login_key(credential)) != "ok":
        return _failure("Usuario o contraseña incorrectos", "NOK")
    return said({"codigo": "OK", "mensaje": "Token generado", "objeto": {"token": bank.new_token()}})


def _status(bank: SimulatedBank, alias: str, override: FaultPlan | None) -> Out:
    qr = bank.find(alias)
    if qr is None:
        return _failure("No existe el alias")
    found: dict[str, object] = {"alias": alias}
    if override is None or override.kind != "no_status":
        forced = bank.forced_code(qr, override)
        found["estadoActual"] = _WORDS[bank.state_of(qr)] if forced is ... else "ERROR" if forced is None else forced
    return _fine(found | _paid(bank, qr))


def _paid(bank: SimulatedBank, qr: SimQr) -> dict[str, object]:
    """The payment that is told: the first one, of a multi-use QR the last one."""
    told = bank.told_in_status(qr)
    if not told:
        return dict.fromkeys(_PAYER_FIELDS)
    payment = told[-1] if qr.plan.multi_use else told[0]
    found: dict[str, object] = {
        "fechaProcesamiento": f"{payment.plan.at.astimezone(ZONE):%Y-%m-%dT%H:%M:%S}",
        "nombreCliente": payment.plan.payer,
        "cuentaCliente": "******1234",
        "documentoCliente": "0",
        "numeroOrdenOriginante": payment.id,
    }
    hidden = {"numeroOrdenOriginante"} if "transactionId" in payment.plan.without else set()
    return {key: value for key, value in found.items() if key not in hidden}


_PAYER_FIELDS = (
    "fechaProcesamiento", "nombreCliente", "cuentaCliente", "documentoCliente", "numeroOrdenOriginante",
)  # fmt: skip


def _generate(bank: SimulatedBank, call: Call) -> Out:
    told = call.asked.object()
    fields = Fields({"amount": told.get("monto"), "currency": told.get("moneda")}, "generaQr", bank.now())
    try:
        amount, currency = fields.amount("amount"), fields.currency("currency", "BOB")
    except ScenarioError:
        return _failure("Importe o moneda incorrectos")
    if not call.subject or call.subject in bank.qrs:
        return _failure("El alias falta o ya existe")
    bank.issue(amount, currency, qr_id=call.subject, multi=told.get("unicoUso") in (False, "false"))
    return _fine({"imagenQr": "", "idQr": call.subject, "fechaVencimiento": told.get("fechaVencimiento")})


def _cancel(bank: SimulatedBank, alias: str) -> Out:
    if not bank.may_be_cancelled(alias):
        return _failure("El QR no puede ser inhabilitado")
    bank.cancel(alias)
    return _fine({})


def _fine(found: dict[str, object]) -> Out:
    return said({"codigo": "0000", "mensaje": "OK", "objeto": found})


def _failure(message: str, code: str = "9999") -> Out:
    return said({"codigo": code, "mensaje": message, "objeto": None})
