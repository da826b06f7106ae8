"""PIX's traps: a status of the record, payments of any amount, returns, patterns without anchors, pages."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import httpx
import pytest

from paysync_cli.banks.base import (
    BankError,
    BankProfile,
    BankTools,
    Refused,
    Throttled,
    Unavailable,
    Unknown,
    Unreadable,
)
from paysync_cli.banks.pix import PAGE, PixBank, read_payment
from paysync_cli.banks.tls import Tls
from paysync_cli.errors import SettingsError
from paysync_cli.payments.qr import Answer, Ask, PaidDay, Payment, UnreadablePayment
from paysync_cli.payments.status import BankStatus
from tests.simulated import START, Clock, profile, raw_answer

T = TypeVar("T")

TXID = "aaaaaaaaaaaaaaaaaaaaaaaaaa0001"
E2E = "E99999999203106141600abcdefghijk"
OPTIONS = {"client_id": "shop", "client_secret": "canary-secret", "token_url": "https://auth.test/token"}
PAIR = base64.b64encode(b"shop:canary-secret").decode()
DAY = date(2031, 6, 14)
PROBLEM = "application/problem+json"


def pix_profile(options: dict[str, str] | None = None, **changes: object) -> BankProfile:
    wanted: dict[str, object] = {
        "name": "pix", "adapter": "pix", "currency": "BRL", "timezone": ZoneInfo("America/Sao_Paulo"),
    }  # fmt: skip
    return profile("https://pix.test/v2", OPTIONS if options is None else options, **wanted | changes)


def charge(**changes: object) -> dict[str, object]:
    found: dict[str, object] = {
        "calendario": {"criacao": "2031-06-14T15:30:00.35Z", "expiracao": 3600},
        "txid": TXID,
        "revisao": 0,
        "status": "ATIVA",
        "valor": {"original": "100.00"},
        "chave": "key",
    } | changes
    return {key: value for key, value in found.items() if value is not ...}


def pix(**changes: object) -> dict[str, object]:
    found = {"endToEndId": E2E, "txid": TXID, "valor": "100.00", "horario": "2031-06-14T16:00:00.00Z"} | changes
    return {key: value for key, value in found.items() if value is not ...}


def page(elements: list[object], number: int, pages: int | None) -> dict[str, object]:
    paging = {"paginaAtual": number, "itensPorPagina": PAGE, "quantidadeDePaginas": pages}
    return {"parametros": {"paginacao": {k: v for k, v in paging.items() if v is not None}}, "pix": elements}


class Scripted:
    """A provider whose answers `respond` makes: a JSON value, or a whole response."""

    def __init__(
        self, respond: Callable[[httpx.Request], object], options: dict[str, str] | None = None, login: object = None
    ) -> None:
        self._respond, self._options = respond, options
        self._login = (
            login if login is not None else {"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600}
        )
        self.asked: list[httpx.Request] = []
        self.logins: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.test":
            self.logins.append(request)
            return (
                self._login if isinstance(self._login, httpx.Response) else raw_answer(json.dumps(self._login).encode())
            )
        self.asked.append(request)
        told = self._respond(request)
        return told if isinstance(told, httpx.Response) else raw_answer(json.dumps(told).encode())

    def run(self, use: Callable[[PixBank], Awaitable[T]], clock: Clock | None = None) -> T:
        async def run() -> T:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
                return await use(PixBank(pix_profile(self._options), BankTools(client, clock or Clock())))

        return asyncio.run(run())


def check(told: object, clock: Clock | None = None) -> Answer:
    return Scripted(lambda _request: told).run(lambda bank: bank.check(Ask(TXID)), clock)


def problem(name: str, status: int, content_type: str = PROBLEM) -> httpx.Response:
    told = {"type": f"https://pix.bcb.gov.br/api/v2/error/{name}", "title": "T", "status": status, "detail": "D"}
    return raw_answer(json.dumps(told).encode(), status, content_type)


# -- one charge


def test_the_official_sample_nets_what_was_returned() -> None:
    """100.00 asked, 110.00 paid, 10.00 returned."""
    returned = {"id": "d1", "rtrId": "D1", "valor": "10.00", "status": "DEVOLVIDO", "horario": {}}
    answer = check(charge(status="CONCLUIDA", pix=[pix(valor="110.00", devolucoes=[returned])]))
    assert (answer.status, [p.amount for p in answer.payments]) == (BankStatus.PAID, [Decimal("100.00")])
    assert [(p.bank_transaction_id, p.currency, p.paid_at) for p in answer.payments] == [(E2E, "BRL", START)]


@pytest.mark.parametrize(
    ("returns", "left"),
    [
        ([{"valor": "10.00", "status": "EM_PROCESSAMENTO"}], "100.00"),
        ([{"valor": "10.00", "status": "NAO_REALIZADO"}], "100.00"),
        ([{"valor": "10.00", "status": "DEVOLVIDO"}, {"valor": "0.01", "status": "DEVOLVIDO"}], "89.99"),
        ({"valor": "10.00", "status": "DEVOLVIDO"}, "90.00"),
        ([], "100.00"),
        (None, "100.00"),
    ],
)
def test_only_what_arrived_back_is_subtracted(returns: object, left: str) -> None:
    found = read_payment(pix(devolucoes=returns))
    assert isinstance(found, Payment)
    assert found.amount == Decimal(left)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"devolucoes": [{"valor": "100.00", "status": "DEVOLVIDO"}]}, "returned"),
        ({"devolucoes": [{"valor": "101.00", "status": "DEVOLVIDO"}]}, "not_positive"),
        ({"devolucoes": [{"valor": "ten", "status": "DEVOLVIDO"}]}, "unreadable_return"),
        ({"devolucoes": [{"valor": "10.00", "status": "?"}]}, "unreadable_return"),
        ({"devolucoes": "10.00"}, "unreadable_return"),
        ({"devolucoes": [None]}, "unreadable_return"),
        ({"valor": "100"}, "no_amount"),
        ({"valor": "100.0"}, "no_amount"),
        ({"valor": "R$100.00"}, "no_amount"),
        ({"valor": "100.00\n"}, "no_amount"),
        ({"valor": "-1.00"}, "no_amount"),
        ({"valor": 100.0}, "no_amount"),
        ({"valor": "0.00"}, "not_positive"),
        ({"endToEndId": "E1"}, "no_transaction_id"),
        ({"endToEndId": E2E + "xx"}, "no_transaction_id"),
        ({"endToEndId": f" {E2E}"}, "no_transaction_id"),
        ({"endToEndId": ...}, "no_transaction_id"),
        ({"txid": "bbbb"}, "other_qr"),
    ],
)
def test_what_cannot_be_booked_is_kept(changes: dict[str, object], what: str) -> None:
    found = read_payment(pix(**changes), TXID)
    assert isinstance(found, UnreadablePayment)
    assert found.problem == what


def test_a_payment_inside_its_charge_needs_no_txid() -> None:
    answer = check(charge(status="CONCLUIDA", pix=[pix(txid=...)]))
    assert [p.qr_id for p in answer.payments] == [TXID]


def test_several_payments_of_one_charge() -> None:
    other = E2E[:-1] + "z"
    answer = check(charge(status="CONCLUIDA", pix=[pix(valor="40.00"), pix(valor="60.00", endToEndId=other)]))
    assert sum(p.amount for p in answer.payments) == Decimal("100.00")


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("CONCLUIDA", BankStatus.PAID),
        ("REMOVIDA_PELO_USUARIO_RECEBEDOR", BankStatus.CANCELLED),
        ("REMOVIDA_PELO_PSP", BankStatus.CANCELLED),
        ("REMOVIDO_PELO_PSP", BankStatus.CANCELLED),
        ("REMOVIDO_PELO_USUARIO_RECEBEDOR", BankStatus.CANCELLED),
    ],
)
def test_words(word: str, status: BankStatus) -> None:
    answer = check(charge(status=word))
    assert (answer.status, answer.bank_status) == (status, word)


@pytest.mark.parametrize("word", ["EXPIRADA", "concluida", "", None, 1, ...])
def test_other_words_are_no_state(word: object) -> None:
    with pytest.raises(Unreadable, match="no readable status"):
        check(charge(status=word))


@pytest.mark.parametrize(
    ("after_s", "status"), [(3599, "unpaid"), (3600, "unpaid"), (3719, "unpaid"), (3721, "expired")]
)
def test_the_end_of_a_charge_is_computed_with_a_margin(after_s: int, status: str) -> None:
    clock = Clock(START - timedelta(minutes=30) + timedelta(seconds=after_s))
    assert check(charge(), clock).status == BankStatus(status)


@pytest.mark.parametrize(
    ("calendar", "status"),
    [
        ({"criacao": "2031-06-13T15:00:00Z"}, "expired"),  # a day, when nothing is said
        ({"criacao": "2031-06-13T17:00:00Z"}, "unpaid"),
        ({"criacao": "2031-06-14T12:00:00Z", "expiracao": "3600"}, "expired"),  # as text, as in the file's examples
        ({"criacao": "2031-06-14T09:00:00-03:00", "expiracao": 3600}, "expired"),
        ({"criacao": "yesterday", "expiracao": 1}, "unpaid"),
        ({"criacao": "2031-06-14T12:00:00Z", "expiracao": True}, "unpaid"),
        ({"criacao": "2031-06-14T12:00:00Z", "expiracao": -5}, "unpaid"),
        (None, "unpaid"),
    ],
)
def test_a_calendar_that_cannot_be_read_ends_nothing(calendar: object, status: str) -> None:
    assert check(charge(calendario=calendar)).status == BankStatus(status)


def test_the_answer_must_be_about_the_qr() -> None:
    with pytest.raises(Unreadable, match="speaks of another QR"):
        check(charge(txid="b" * 30))
    with pytest.raises(Unreadable, match="speaks of another QR"):
        check(charge(pix=[pix(txid="b" * 30)]))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem("CobNaoEncontrado", 404), Unknown),
        (problem("CobNaoEncontrado", 404, "application/json"), Unknown),
        (raw_answer(b"<html>", 404, "text/html"), Unreadable),
        (raw_answer(b"{}", 404), Unreadable),
        (problem("AcessoNegado", 403), Unreadable),
        (problem("RequisicaoInvalida", 400), Unreadable),
        (problem("PermanentementeRemovido", 410), Unreadable),
        (problem("ServicoIndisponivel", 503), Unavailable),
        (problem("IndisponibilidadePorTempoEsgotado", 504), Unavailable),
        (httpx.Response(429, headers={"retry-after": "30"}), Throttled),
    ],
)
def test_problems(answer: httpx.Response, error: type[BankError]) -> None:
    with pytest.raises(error) as caught:
        check(answer)
    assert type(caught.value) is error
    if answer.status_code in (400, 403, 410):
        assert '("T: D")' in caught.value.message


# -- the list


def listed(answers: Callable[[int], object], day: date = DAY) -> tuple[PaidDay, Scripted]:
    bank = Scripted(lambda request: answers(int(parse_qs(request.url.query.decode())["paginacao.paginaAtual"][0])))
    return bank.run(lambda adapter: adapter.paid_on(day), Clock(START + timedelta(days=1))), bank


def numbered(n: int) -> dict[str, object]:
    return pix(endToEndId=f"E{n:031d}")


def test_the_window_is_the_providers_day_in_utc_and_pages_start_at_zero() -> None:
    _day, bank = listed(lambda number: page([], number, 1))
    (request,) = bank.asked
    assert parse_qs(urlsplit(str(request.url)).query) == {
        "inicio": ["2031-06-14T03:00:00Z"],
        "fim": ["2031-06-15T03:00:00Z"],
        "txIdPresente": ["true"],
        "paginacao.paginaAtual": ["0"],
        "paginacao.itensPorPagina": ["100"],
    }


def test_a_day_that_is_not_over_asks_no_future() -> None:
    bank = Scripted(lambda _request: page([], 0, 1))
    bank.run(lambda adapter: adapter.paid_on(DAY), Clock(START))
    assert parse_qs(urlsplit(str(bank.asked[0].url)).query)["fim"] == ["2031-06-14T16:00:01Z"]


def test_every_page_is_read_although_the_provider_cuts_them() -> None:
    day, bank = listed(lambda number: page([numbered(number * 2), numbered(number * 2 + 1)], number, 4))
    assert (len(bank.asked), len(day.payments), day.complete) == (4, 8, True)


def test_without_a_count_of_pages_the_end_is_a_page_that_brings_nothing() -> None:
    day, bank = listed(lambda number: page([numbered(number)] if number < 3 else [], number, None))
    assert (len(bank.asked), len(day.payments), day.complete) == (4, 3, True)


@pytest.mark.parametrize("pages", [None, 3])
@pytest.mark.parametrize("elements", [[numbered(1), numbered(2)], [pix(txid=...)], ["junk"]])
def test_a_provider_that_always_sends_the_same_page_has_not_told_the_day(
    elements: list[object], pages: int | None
) -> None:
    """Whatever stands on it: the pages that never came may hold money."""
    day, bank = listed(lambda number: page(elements, number, pages))
    assert (len(bank.asked), day.complete) == (2, False)


def test_pages_that_go_round_in_a_circle_are_not_the_day() -> None:
    day, bank = listed(lambda number: page([numbered(number % 3)], number, None))
    assert (len(bank.asked), len(day.payments), day.complete) == (4, 3, False)


def test_pages_that_overlap_are_read_to_the_end() -> None:
    day, _bank = listed(lambda number: page([numbered(number), numbered(number + 1)], number, 3))
    assert (len(day.payments), day.complete) == (4, True)


def test_a_page_without_a_charge_is_not_the_end() -> None:
    pages: list[list[object]] = [[numbered(1)], [pix(txid=...)], [numbered(2)], []]
    day, _bank = listed(lambda number: page(pages[number], number, None))
    assert (len(day.payments), day.complete) == (2, True)


def test_one_id_under_two_charges_or_with_two_amounts_is_told_whole() -> None:
    told = [pix(), pix(txid="b" * 26), pix(valor="99.00"), pix()]
    day, _bank = listed(lambda number: page(list(told), number, 1))
    assert [(one.qr_id, str(one.amount)) for one in day.payments] == [
        (TXID, "100.00"), ("b" * 26, "100.00"), (TXID, "99.00"),
    ]  # fmt: skip


def test_another_page_than_asked_makes_the_day_incomplete() -> None:
    day, bank = listed(lambda _number: page([numbered(1)], 0, 3))
    assert (len(bank.asked), len(day.payments), day.complete) == (2, 1, False)


@pytest.mark.parametrize(
    "broken", [raw_answer(b"", 503), raw_answer(b"", 429), raw_answer(b"<html>"), {"cobs": []}, {"pix": None}]
)
def test_a_later_page_that_fails_makes_the_day_incomplete(broken: object) -> None:
    day, _bank = listed(lambda number: page([numbered(1)], 0, 2) if number == 0 else broken)
    assert (len(day.payments), day.complete) == (1, False)
    with pytest.raises(BankError):
        listed(lambda _number: broken)


def test_transfers_without_a_charge_are_no_qrs() -> None:
    elements: list[object] = [numbered(1), pix(txid=...), pix(txid=""), "junk"]
    day, _bank = listed(lambda _number: page(elements, 0, 1))
    assert (len(day.payments), [one.problem for one in day.unreadable]) == (1, ["not_an_object"])


# -- the credential


@pytest.mark.parametrize("how", ["basic", "body"])
def test_the_client_is_shown_as_the_provider_wants(how: str) -> None:
    bank = Scripted(lambda _request: charge(), OPTIONS | {"token_auth": how, "scope": "cob.read"})
    bank.run(lambda adapter: adapter.check(Ask(TXID)))
    (login,) = bank.logins
    form = parse_qs(login.content.decode())
    assert (form["grant_type"], form["scope"]) == (["client_credentials"], ["cob.read"])
    assert login.headers.get("authorization") == (f"Basic {PAIR}" if how == "basic" else None)
    assert ("client_secret" in form) is (how == "body")


@pytest.mark.parametrize(
    "login",
    [
        raw_answer(b'{"error": "invalid_client", "error_description": "canary-secret is wrong"}', 400),
        raw_answer(b'{"error": "invalid_client"}', 401),
        raw_answer(json.dumps({"error_description": f"not accepted: Basic {PAIR}"}).encode(), 400),
        {"access_token": "token-1", "token_type": "mac"},
        {"access_token": "", "token_type": "Bearer"},
        {"token": "token-1"},
        [],
    ],
)
def test_a_login_that_brings_no_token_is_refused(login: object) -> None:
    bank = Scripted(lambda _request: charge(), login=login)
    with pytest.raises(Refused) as caught:
        bank.run(lambda adapter: adapter.check(Ask(TXID)))
    assert "canary" not in caught.value.message
    assert PAIR not in caught.value.message
    assert len(bank.logins) == 1


@pytest.mark.parametrize(
    ("options", "changes", "told"),
    [
        ({"token_url": "http://auth.test"}, {}, "token_url must be https"),
        ({"token_url": "/token"}, {}, "token_url must be an http or https address"),
        ({"token_url": "https://auth.test:99999/"}, {}, "token_url must be an http or https address"),
        ({"token_url": "https://[::1/"}, {}, "token_url must be an http or https address"),
        ({"token_auth": "jwt"}, {}, "token_auth must be basic or body"),
        ({"client_secret": ""}, {}, "client_secret is missing"),
        ({}, {"currency": "BOB"}, "currency must be BRL"),
        ({}, {"timezone": ZoneInfo("America/La_Paz")}, "timezone must be the provider's"),
        ({}, {"environment": "production"}, "client_cert is missing"),
    ],
)
def test_settings_that_cannot_be_right(options: dict[str, str], changes: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        PixBank(pix_profile(OPTIONS | options, **changes), BankTools(httpx.AsyncClient(), Clock()))
    assert "canary" not in caught.value.message


def test_production_with_a_certificate_is_fine(tmp_path) -> None:
    wanted = pix_profile(environment="production", tls=Tls(client_cert=tmp_path / "x.pem"))
    PixBank(wanted, BankTools(httpx.AsyncClient(), Clock()))
