"""PIX's wire format (Brazil's standard, API 2.9): OAuth2, immediate charges, the list of what was settled, problems."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import parse_qs, unquote

from paysync_cli.banks.simulator.bank import SimPayment, SimQr, SimulatedBank, State
from paysync_cli.banks.simulator.fields import Fields, ScenarioError
from paysync_cli.banks.simulator.scenario import Credential, FaultPlan
from paysync_cli.banks.simulator.talk import UNAUTHORIZED, Asked, Call, Out, said
from paysync_cli.banks.wire import moment

LOGIN = "/oauth/token"
API = "/pix/v2"
ERRORS = "https://pix.bcb.gov.br/api/v2/error/"
PROBLEM = "application/problem+json"
MAX_PAGE = 1000
NO_END_S = 30 * 86_400  # of a charge that never expires here: the standard has no such thing

_CODES = {
    State.UNPAID: "ATIVA",
    State.EXPIRED: "ATIVA",  # the status of the record: an expired charge stays so for ever
    State.PAID: "CONCLUIDA",
    State.CANCELLED: "REMOVIDA_PELO_USUARIO_RECEBEDOR",
}
_END_TO_END_ID = re.compile(r"[a-zA-Z0-9]{32}", re.ASCII)
_TXID = re.compile(r"[a-zA-Z0-9]{26,35}", re.ASCII)


class Pix:
    """Answers as a payment provider that keeps to the standard."""

    name = "pix"

    def understand(self, asked: Asked) -> Call | None:
        if (asked.method, asked.path) == ("POST", LOGIN):
            return Call("login", asked)
        if (asked.method, asked.path) == ("GET", f"{API}/pix"):
            return Call("paid", asked, _first(asked.query, "inicio"))
        if asked.path.startswith(f"{API}/cob/"):
            name = {"GET": "status", "PUT": "generate", "PATCH": "cancel"}.get(asked.method)
            return None if name is None else Call(name, asked, unquote(asked.path.removeprefix(f"{API}/cob/")))
        return None

    def settings(self, url: str, credential: Credential) -> dict[str, str]:
        return {
            "adapter": "pix",
            "base_url": url + API,
            "environment": "certification",
            "timezone": "America/Sao_Paulo",
            "currency": "BRL",
            "token_url": url + LOGIN,
            "client_id": credential.username,
            "client_secret": credential.password,
        }

    def refusal(self, fault: FaultPlan) -> Out:
        if fault.kind == "login_refused":
            return said({"error": "invalid_client", "error_description": fault.message or "Invalid client"}, 400)
        return _problem("RequisicaoInvalida", 400, fault.message or "Requisição inválida.")

    def number_of(self, payment: SimPayment) -> str:
        return end_to_end_id(payment)

    def notice(self, bank: SimulatedBank, payment: SimPayment) -> tuple[str, object]:  # noqa: ARG002 - as all of them
        return "/pix", {"pix": [_element(payment)]}

    def notice_taken(self, status: int, answer: dict[str, object]) -> bool:  # noqa: ARG002 - as all of them
        return status == 200

    def answer(self, bank: SimulatedBank, call: Call, override: FaultPlan | None = None) -> Out:
        if call.name == "login":
            return _login(bank, call.asked)
        if not bank.is_valid(call.asked.bearer()):
            return UNAUTHORIZED
        if call.name == "status":
            return _charge(bank, call.subject, override)
        if call.name == "paid":
            return _settled(bank, call.asked.query)
        return _put(bank, call) if call.name == "generate" else _patch(bank, call)


def _login(bank: SimulatedBank, asked: Asked) -> Out:
    form = parse_qs(asked.body.decode("latin-1"))
    scheme, _space, pair = asked.header(b"authorization").partition(" ")
    if scheme == "Basic":
        shown = base64.b64decode(pair + "===").decode("utf-8", "replace").partition(":")[::2]
    else:
        shown = (form.get("client_id", [""])[0], form.get("client_secret", [""])[0])
    known = shown == (bank.credential.username, bank.credential.password)
    if form.get("grant_type") != ["client_credentials"]:
        return said({"error": "unsupported_grant_type"}, 400)
    if bank.login(known) != "ok":
        return said({"error": "invalid_client", "error_description": "Invalid client"}, 401)
    lifetime_s = int(bank.token_lifetime_s)
    scope = form.get("scope", [""])[0]
    token = {"access_token": bank.new_token(), "token_type": "Bearer", "expires_in": lifetime_s, "scope": scope}
    return said(token)


def _charge(bank: SimulatedBank, txid: str, override: FaultPlan | None = None, status: int = 200) -> Out:
    qr = bank.find(txid)
    if qr is None:
        return _problem("CobNaoEncontrado", 404, "Cobrança não encontrada para o txid informado.")
    created, location = _time(qr.plan.issued_at), f"pix.example.com/qr/{txid}"
    charge: dict[str, object] = {
        "calendario": {"criacao": created, "expiracao": _expiry_s(qr)},
        "txid": txid,
        "revisao": 0,
        "loc": {"id": 1, "txid": txid, "location": location, "tipoCob": "cob", "criacao": created},
        "location": location,
        "valor": {"original": _amount(qr.plan.amount or Decimal(0)), "modalidadeAlteracao": 0},
        "chave": "7d9f0335-8dcc-4054-9bf9-0dbd61d36906",
    }
    if override is None or override.kind != "no_status":
        forced = bank.forced_code(qr, override)
        charge["status"] = _CODES[bank.state_of(qr)] if forced is ... else "SUSPENSA" if forced is None else forced
    settled = bank.told_in_status(qr)
    return said(charge | ({"pix": [_element(one) for one in settled]} if settled else {}), status)


def _expiry_s(qr: SimQr) -> int:
    if qr.plan.expires_at is None:
        return NO_END_S
    return max(1, int((qr.plan.expires_at - qr.plan.issued_at).total_seconds()))


def _settled(bank: SimulatedBank, query: str) -> Out:
    start, end = (moment(_first(query, key), UTC) for key in ("inicio", "fim"))
    page, size = _whole(query, "paginaAtual", 0), _whole(query, "itensPorPagina", 100)
    if start is None or end is None or end < start or page is None or size is None or not 1 <= size <= MAX_PAGE:
        return _problem("PixConsultaInvalida", 400, "Os parâmetros de consulta à lista de pix não são válidos.")
    found = bank.paid_between(start, end)
    shown = found[page * size : (page + 1) * size]
    paging = {
        "paginaAtual": page,
        "itensPorPagina": size,
        "quantidadeDePaginas": max(1, -(-len(found) // size)),
        "quantidadeTotalDeItens": len(found),
    }
    parameters = {"inicio": _time(start), "fim": _time(end), "paginacao": paging}
    return said({"parametros": parameters, "pix": [_element(one) for one in shown]})


def _element(payment: SimPayment) -> dict[str, object]:
    plan = payment.plan
    element: dict[str, object] = {
        "endToEndId": end_to_end_id(payment),
        "txid": payment.qr_id,
        "valor": _amount(plan.amount),
        "horario": _time(plan.at),
        "chave": "7d9f0335-8dcc-4054-9bf9-0dbd61d36906",
        "infoPagador": plan.description,
    }
    if plan.returned is not None:
        element["devolucoes"] = [
            {
                "id": f"D{payment.id}",
                "rtrId": "D" + end_to_end_id(payment)[1:],
                "valor": _amount(plan.returned),
                "horario": {"solicitacao": _time(plan.at), "liquidacao": _time(plan.at)},
                "status": "DEVOLVIDO",
            }
        ]
    element |= {_NAMES.get(key, key): value for key, value in plan.element.items()}
    return {key: value for key, value in element.items() if key not in {_NAMES.get(one, one) for one in plan.without}}


_NAMES = {"qrId": "txid", "transactionId": "endToEndId", "amount": "valor"}  # a scenario calls them as Baneco does


def end_to_end_id(payment: SimPayment) -> str:
    """The payment's number in the form of the standard: E, the payer's bank, the minute, and what tells it apart."""
    if _END_TO_END_ID.fullmatch(payment.id):
        return payment.id
    return f"E99999999{payment.plan.at.astimezone(UTC):%Y%m%d%H%M}{payment.id:0>11.11}"


def _put(bank: SimulatedBank, call: Call) -> Out:
    told = call.asked.object()
    value, calendar = told.get("valor"), told.get("calendario")
    fields = Fields({"amount": value.get("original") if isinstance(value, dict) else None}, "cob", bank.now())
    try:
        amount = fields.amount("amount")
    except ScenarioError:
        amount = None
    if amount is None or not _TXID.fullmatch(call.subject):
        return _problem("CobOperacaoInvalida", 400, "A cobrança não respeita o schema.")
    bank.issue(amount, "BRL", qr_id=call.subject)
    seconds = calendar.get("expiracao", 86_400) if isinstance(calendar, dict) else 86_400
    if isinstance(seconds, int):
        bank.let_expire(call.subject, bank.now() + timedelta(seconds=seconds))
    return _charge(bank, call.subject, status=201)


def _patch(bank: SimulatedBank, call: Call) -> Out:
    if bank.find(call.subject) is None:
        return _problem("CobNaoEncontrado", 404, "Cobrança não encontrada para o txid informado.")
    removes = call.asked.object().get("status") == "REMOVIDA_PELO_USUARIO_RECEBEDOR"
    if not removes or not bank.may_be_cancelled(call.subject):
        return _problem("CobOperacaoInvalida", 400, "A cobrança não pode ser removida.")
    bank.cancel(call.subject)
    return _charge(bank, call.subject)


def _problem(name: str, status: int, detail: str) -> Out:
    told = {"type": f"{ERRORS}{name}", "title": name, "status": status, "detail": detail}
    return said(told, status, PROBLEM)


def _first(query: str, key: str) -> str:
    return parse_qs(query).get(key, [""])[0]


def _whole(query: str, key: str, default: int) -> int | None:
    text = _first(query, f"paginacao.{key}")
    return default if not text else int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None


def _amount(amount: Decimal) -> str:
    return f"{amount:.2f}" if amount == round(amount, 2) else str(amount)


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
