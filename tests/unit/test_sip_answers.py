"""SIP's traps: errors with HTTP 200, two keys, no amounts: the QR's own is booked, under the gateway's order number."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import httpx
import pytest

from paysync_cli.banks.base import BankTools, Refused, Unreadable
from paysync_cli.banks.sip import LOGIN, SipBank
from paysync_cli.errors import SettingsError
from paysync_cli.payments.qr import Answer, Ask, Payment, Qr
from paysync_cli.payments.status import BankStatus
from paysync_cli.services.sync import question
from tests.core import make_qr
from tests.simulated import START, Clock, profile, raw_answer

ALIAS = "ORDER-2031-0001"
OPTIONS = {
    "username": "shop",
    "password": "canary-password",
    "api_key": "canary-login-key",
    "service_key": "canary-key",
}
ASK = Ask(ALIAS, currency="BOB", amount=Decimal("100.50"))
PAID = {
    "estadoActual": "PAGADO", "fechaProcesamiento": "2031-06-14T12:01:02", "nombreCliente": "ANA QUISPE",
    "cuentaCliente": "***", "documentoCliente": "0", "numeroOrdenOriginante": "5551234",
}  # fmt: skip


def fine(found: object) -> dict[str, object]:
    return {"codigo": "0000", "mensaje": "OK", "objeto": found}


class Scripted:
    def __init__(self, answer: object, login: object = None) -> None:
        self.answer = answer
        self.login = login or {"codigo": "OK", "mensaje": "", "objeto": {"token": "token-1"}}
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return raw_answer(json.dumps(self.login if request.url.path == LOGIN else self.answer).encode())

    def check(self, ask: Ask = ASK) -> Answer:
        async def run() -> Answer:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
                wanted = profile("https://sip.test:8443", OPTIONS, name="sip", adapter="sip")
                return await SipBank(wanted, BankTools(client, Clock())).check(ask)

        return asyncio.run(run())


def test_login_and_question_carry_their_own_keys() -> None:
    bank = Scripted(fine({"estadoActual": "PENDIENTE"}))
    assert bank.check() == Answer(BankStatus.UNPAID, "PENDIENTE", START)
    login, question_ = bank.asked
    assert (login.method, login.headers["apikey"]) == ("POST", "canary-login-key")
    assert json.loads(login.content) == {"username": "shop", "password": "canary-password"}
    assert (question_.method, question_.headers["apikeyservicio"]) == ("POST", "canary-key")
    assert question_.headers["authorization"] == "Bearer token-1"
    assert json.loads(question_.content) == {"alias": ALIAS}


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("PENDIENTE", BankStatus.UNPAID),
        ("INHABILITADO", BankStatus.CANCELLED),
        ("EXPIRADO", BankStatus.EXPIRED),
        ("pagado ", BankStatus.PAID),
    ],
)
def test_words(word: str, status: BankStatus) -> None:
    assert Scripted(fine({"estadoActual": word})).check().status is status


@pytest.mark.parametrize("word", ["ERROR", "PAGADA", "", None, 1, ["PAGADO"]])
def test_other_words_are_no_state(word: object) -> None:
    with pytest.raises(Unreadable, match="no readable status"):
        Scripted(fine({"estadoActual": word})).check()


def test_the_qrs_amount_is_booked_under_the_order_number() -> None:
    (paid,) = Scripted(fine(PAID)).check().payments
    assert isinstance(paid, Payment)
    assert (paid.bank_transaction_id, paid.amount, paid.currency, paid.payer) == (
        "5551234", Decimal("100.50"), "BOB", "ANA QUISPE",
    )  # fmt: skip
    assert paid.paid_at is not None
    assert paid.paid_at.isoformat() == "2031-06-14T16:01:02+00:00"


@pytest.mark.parametrize("missing", [None, ""])
def test_without_an_order_number_nothing_is_booked(missing: object) -> None:
    assert Scripted(fine(PAID | {"numeroOrdenOriginante": missing})).check() == Answer(BankStatus.PAID, "PAGADO", START)


def test_without_an_amount_of_our_own_nothing_is_booked() -> None:
    answer = Scripted(fine(PAID)).check(Ask(ALIAS, currency="BOB"))
    assert (answer.status, answer.payments, [one.problem for one in answer.unreadable]) == (
        BankStatus.PAID, (), ["no_amount"],
    )  # fmt: skip


def test_an_amount_that_contradicts_ours_is_not_booked() -> None:
    answer = Scripted(fine(PAID | {"monto": 99.5})).check()
    assert ([one.problem for one in answer.unreadable], answer.payments) == (["other_amount"], ())
    assert len(Scripted(fine(PAID | {"monto": 100.5})).check().payments) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"codigo": "9999", "mensaje": "No existe", "objeto": PAID},
        {"codigo": "NOK", "mensaje": "Error", "objeto": PAID},
        {"codigo": 0, "objeto": PAID},
        {"objeto": PAID},
        {"codigo": "0000", "objeto": [PAID]},
        {"codigo": "0000"},
    ],
)
def test_an_error_with_http_200_is_no_state(answer: object) -> None:
    with pytest.raises(Unreadable):
        Scripted(answer).check()


def test_an_answer_about_another_alias_is_refused() -> None:
    with pytest.raises(Unreadable, match="speaks of another QR"):
        Scripted(fine(PAID | {"alias": "ANOTHER"})).check()


@pytest.mark.parametrize(
    "login",
    [
        {"codigo": "9999", "mensaje": "Usuario incorrecto: canary-password", "objeto": None},
        {"codigo": "NOK", "objeto": {"token": "token-1"}},
        {"codigo": "OK", "objeto": {"token": ""}},
        {"codigo": "OK", "objeto": "token-1"},
        {"objeto": {"token": "token-1"}},
    ],
)
def test_a_login_that_brings_no_token_is_refused(login: object) -> None:
    bank = Scripted(fine(PAID), login)
    with pytest.raises(Refused) as caught:
        bank.check()
    assert "canary" not in caught.value.message
    assert len(bank.asked) == 1


def test_only_such_an_adapter_is_told_the_amount() -> None:
    """No other adapter may take the QR's own amount for one that was paid."""

    class Other:
        books_qr_amount = False

    class Silent:
        books_qr_amount = True

    qr: Qr = make_qr(amount=10050, currency="BOB")
    assert question(Silent(), qr).amount == Decimal("100.50")  # type: ignore[arg-type]
    assert question(Other(), qr).amount is None  # type: ignore[arg-type]
    assert question(object(), qr).amount is None  # type: ignore[arg-type]
    assert question(Silent(), make_qr(amount=None)).amount is None  # type: ignore[arg-type]


def test_every_key_that_is_missing_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        SipBank(profile("ftp://sip.test", {}, name="sip"), BankTools(httpx.AsyncClient(), Clock()))
    told = [fault.message for fault in caught.value.faults]
    assert told == [
        "[banks.sip] base_url must be an http or https address",
        *(f"[banks.sip] {key} is missing" for key in ("username", "password", "api_key", "service_key")),
    ]


@pytest.mark.parametrize("key", ["api_key", "service_key"])
@pytest.mark.parametrize("value", ["canary\nkey", "canary-ñ"])
def test_a_key_that_no_header_can_carry_is_told_before_it_is_sent(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{key} holds characters that cannot be sent") as caught:
        SipBank(profile("https://sip.test", OPTIONS | {key: value}), BankTools(httpx.AsyncClient(), Clock()))
    assert "canary" not in caught.value.message
