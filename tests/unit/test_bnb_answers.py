"""BNB's traps: a token in `message`, a status in one of two fields, amounts only in the list of the day of issue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import httpx
import pytest

from paysync_cli.banks.base import BankTools, Refused, Unreadable
from paysync_cli.banks.bnb import ISSUED, LOGIN, STATUS, BnbBank
from paysync_cli.payments.qr import Answer, Ask
from paysync_cli.payments.status import BankStatus
from tests.simulated import LA_PAZ, START, Clock, profile, raw_answer

T = TypeVar("T")

QR = "21031017016700001234"
OPTIONS = {"account_id": "canary-account", "authorization_id": "canary-authorization"}
ROW = {
    "id": QR, "amount": 150.5, "currency": "BOB", "statusId": 2, "voucherId": 778899,
    "transactionDate": "2031-06-14T12:01:02", "sourceBank": "1016", "gloss": "",
}  # fmt: skip


class Scripted:
    """BNB with one answer to a question about a QR, and one list for each day of issue."""

    def __init__(self, status: object = None, days: dict[str, object] | None = None, login: object = None) -> None:
        self.status = {"statusId": 2, "success": True, "message": ""} if status is None else status
        self.days = days or {}
        self.login = {"success": True, "message": "token-1"} if login is None else login
        self.asked: list[tuple[str, Any]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        body = json.loads(request.content)
        self.asked.append((request.url.path, body))
        if request.url.path == LOGIN:
            return raw_answer(json.dumps(self.login).encode())
        if request.url.path == STATUS:
            return raw_answer(json.dumps(self.status).encode())
        day = self.days.get(body["generationDate"], {"dTOqrDetails": [], "success": True, "message": ""})
        return raw_answer(json.dumps(day).encode())

    def days_asked(self) -> list[str]:
        return [body["generationDate"] for path, body in self.asked if path == ISSUED]

    def run(self, use: Callable[[BnbBank], Awaitable[T]], clock: Clock | None = None) -> T:
        async def run() -> T:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
                wanted = profile("http://bank.test", OPTIONS, name="bnb", adapter="bnb")
                return await use(BnbBank(wanted, BankTools(client, clock or Clock())))

        return asyncio.run(run())

    def check(self, ask: Ask | None = None) -> Answer:
        return self.run(lambda bank: bank.check(ask or Ask(QR, issued_at=START)))


def listed(*rows: object) -> dict[str, object]:
    return {"dTOqrDetails": list(rows), "success": True, "message": ""}


def test_every_call_is_a_post_that_names_the_qr() -> None:
    bank = Scripted({"id": QR, "statusId": 1, "success": True, "message": ""})
    assert bank.check().status is BankStatus.UNPAID
    assert bank.asked == [
        (LOGIN, {"accountId": "canary-account", "authorizationId": "canary-authorization"}),
        (STATUS, {"qrId": QR}),
    ]


def test_a_paid_qr_is_looked_up_under_its_day_of_issue() -> None:
    bank = Scripted(days={"2031-06-07": listed(ROW)})
    answer = bank.check(Ask(QR, issued_at=START - timedelta(days=7)))
    (paid,) = answer.payments
    assert (paid.amount, paid.currency, paid.bank_transaction_id) == (Decimal("150.5"), "BOB", "778899")
    assert paid.paid_at is not None
    assert paid.paid_at.astimezone(LA_PAZ).replace(tzinfo=None) == datetime(2031, 6, 14, 12, 1, 2)  # noqa: DTZ001
    assert bank.days_asked() == ["2031-06-07"]


def test_the_day_is_bolivias_not_utcs() -> None:
    """21:05 in Bolivia is tomorrow in UTC."""
    bank = Scripted(days={"2031-06-14": listed(ROW)})
    assert bank.check(Ask(QR, issued_at=START.replace(day=15, hour=1))).payments
    assert bank.days_asked() == ["2031-06-14"]


def test_a_qr_registered_after_midnight_is_found_on_the_day_before() -> None:
    bank = Scripted(days={"2031-06-13": listed(ROW)})
    assert bank.check(Ask(QR, issued_at=START)).payments
    assert bank.days_asked() == ["2031-06-14", "2031-06-13"]


def test_paid_without_details_is_paid_and_nothing_is_made_up() -> None:
    assert Scripted().check() == Answer(BankStatus.PAID, "2", START)
    late = ROW | {"statusId": 1, "voucherId": None}
    assert Scripted(days={"2031-06-14": listed(late)}).check() == Answer(BankStatus.PAID, "2", START)


@pytest.mark.parametrize(
    "day", [{"success": True}, {"success": False, "message": "x"}, listed(ROW) | {"dTOqrDetails": {}}, "x", None]
)
def test_a_list_that_cannot_be_read_leaves_it_paid_without_details(day: object) -> None:
    assert Scripted(days={"2031-06-14": day}).check() == Answer(BankStatus.PAID, "2", START)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"voucherId": None}, "no_transaction_id"),
        ({"voucherId": ""}, "no_transaction_id"),
        ({"amount": "150,50"}, "no_amount"),
        ({"amount": 1.005}, "too_precise"),
        ({"amount": 0}, "not_positive"),
        ({"currency": None}, "no_currency"),
        ({"currency": "Bs"}, "unknown_currency"),
    ],
)
def test_rows_that_cannot_be_booked_are_kept(change: dict[str, object], problem: str) -> None:
    answer = Scripted(days={"2031-06-14": listed(ROW | change)}).check()
    assert (answer.status, answer.payments) == (BankStatus.PAID, ())
    assert [one.problem for one in answer.unreadable] == [problem]


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"statusId": 1}, BankStatus.UNPAID),
        ({"statusId": "3"}, BankStatus.EXPIRED),
        ({"qrId": 1}, BankStatus.UNPAID),
        ({"qrId": "3"}, BankStatus.EXPIRED),
        ({"statusId": 1, "qrId": 3}, BankStatus.UNPAID),
    ],
)
def test_the_status_is_in_one_of_two_fields(told: dict[str, object], status: BankStatus) -> None:
    assert Scripted(told | {"success": True, "message": ""}).check().status is status


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"statusId": 4}, "4 \\(error\\)"),
        ({"statusId": 5}, "unknown"),
        ({"statusId": None}, "none"),
        ({"statusId": True}, "unknown"),
        ({}, "none"),
        ({"qrId": QR}, "the id of the QR in its place"),
    ],
)
def test_no_state_is_guessed(told: dict[str, object], words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        Scripted(told | {"success": True, "message": ""}).check()


@pytest.mark.parametrize("success", [False, "true", 1, None, {}])
def test_an_answer_without_success_is_no_answer(success: object) -> None:
    with pytest.raises(Unreadable, match="no success"):
        Scripted({"statusId": 1, "success": success, "message": ""}).check()


def test_an_id_that_looks_like_a_status_is_no_status() -> None:
    """A QR called 2 whose answer echoes its id where older versions have the status: paid must not be read from it."""
    with pytest.raises(Unreadable):
        Scripted({"qrId": "2", "success": True}).check(Ask("2", issued_at=START))


def test_an_answer_about_another_qr_is_refused() -> None:
    with pytest.raises(Unreadable, match="speaks of another QR"):
        Scripted({"id": "another", "statusId": 1, "success": True, "message": ""}).check()


def test_a_hundred_paid_qrs_of_a_day_want_one_list() -> None:
    ids = [f"Q{n}" for n in range(100)]
    bank = Scripted(days={"2031-06-14": listed(*(ROW | {"id": one, "voucherId": f"V{one}"} for one in ids))})

    class Ticking(Clock):
        def __call__(self) -> datetime:
            self.at += timedelta(milliseconds=1)
            return self.at

    async def ask(adapter: BnbBank) -> list[Answer]:
        return await asyncio.gather(*(adapter.check(Ask(one, issued_at=START)) for one in ids))

    answers = bank.run(ask, Ticking())
    assert [a.payments[0].bank_transaction_id for a in answers] == [f"V{one}" for one in ids]
    assert len(bank.days_asked()) == 1


def test_a_list_from_before_the_payment_is_not_enough() -> None:
    bank = Scripted(days={"2031-06-14": listed()})
    clock = Clock()

    async def twice(adapter: BnbBank) -> tuple[Answer, Answer]:
        before = await adapter.check(Ask(QR, issued_at=START))
        clock.forward(seconds=60)
        bank.days["2031-06-14"] = listed(ROW)
        return before, await adapter.check(Ask(QR, issued_at=START))

    before, after = bank.run(twice, clock)
    assert (before.payments, len(after.payments)) == ((), 1)


def test_a_list_of_a_while_ago_is_not_the_last_word_on_a_paid_qr() -> None:
    """It may have been paid again since: a notice of the bank has it asked about anew."""
    bank = Scripted(days={"2031-06-14": listed(ROW)})
    clock = Clock()

    async def later(adapter: BnbBank) -> list[int]:
        told = []
        for seconds in (0, 5, 120):
            clock.forward(seconds=seconds)
            told.append(len((await adapter.check(Ask(QR, issued_at=START))).payments))
            bank.days["2031-06-14"] = listed(ROW, ROW | {"voucherId": "another"})
        return told

    assert bank.run(later, clock) == [1, 1, 2]
    assert len(bank.days_asked()) == 2


def test_a_multi_use_qr_is_always_looked_up_anew() -> None:
    bank = Scripted(days={"2031-06-14": listed(ROW)})
    clock = Clock()

    async def twice(adapter: BnbBank) -> Answer:
        await adapter.check(Ask(QR, multi_use=True, issued_at=START))
        clock.forward(seconds=60)
        bank.days["2031-06-14"] = listed(ROW, ROW | {"voucherId": "another"})
        return await adapter.check(Ask(QR, multi_use=True, issued_at=START))

    assert len(bank.run(twice, clock).payments) == 2


@pytest.mark.parametrize(
    "login",
    [
        {"success": False, "message": "Debe actualizar sus credenciales"},
        {"success": False, "message": "token-1"},
        {"success": "true", "message": "token-1"},
        {"success": True, "message": "not a token"},
        {"success": True, "message": None},
        {},
    ],
)
def test_a_login_that_brings_no_token_is_refused(login: object) -> None:
    bank = Scripted(login=login)
    with pytest.raises(Refused) as caught:
        bank.check()
    assert "canary" not in caught.value.message
    assert [path for path, _body in bank.asked] == [LOGIN]


def test_the_demand_to_change_the_credential_is_told() -> None:
    with pytest.raises(Refused, match="Debe actualizar sus credenciales"):
        Scripted(login={"success": False, "message": "Debe actualizar sus credenciales"}).check()
