"""The adapter `http` for tests: a bank described in TOML, in front of scripted answers."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any, TypeVar

import httpx

from paysync_cli.banks.base import BankProfile, BankTools
from paysync_cli.banks.declared.bank import HttpBank
from paysync_cli.errors import Fault, SettingsError
from paysync_cli.payments.qr import Answer, Ask, PaidDay
from tests.simulated import Clock, profile

T = TypeVar("T")

DAY = date(2031, 6, 14)
QR = "QR-7"
BASE_URL = "https://bank.test/api"

# A bank that nobody wrote code for.
ANDES = """
[auth]
kind = "bearer"

[answer]
ok = "success"
message = "error.text"

[status]
path = "/qrs/{qr_id}"
value = "data.state"
words = { OPEN = "unpaid", BUSY = "in_process", PAID = "paid", VOID = "cancelled", OVER = "expired" }
payments = "data.payments"

[payment]
qr_id = "qr"
transaction_id = "id"
amount = "amount"
currency = "currency"
paid_at = "at"
payer = "payer.name"

[day_list]
by = "payment_day"
path = "/payments"
query = { day = "{day}" }
elements = "items"
"""
TOKEN = "canary-bearer-token"
OPTIONS = {"token": TOKEN}


def described(toml: str = ANDES, **tables: object) -> dict[str, Any]:
    """The tables of a bank, some of them changed: a table is merged, `...` takes one away, as it does a key."""
    found = tomllib.loads(toml)
    for name, changes in tables.items():
        if changes is ...:
            found.pop(name, None)
        elif isinstance(changes, dict):
            merged = found.get(name, {}) | changes
            found[name] = {key: value for key, value in merged.items() if value is not ...}
        else:
            found[name] = changes
    return found


def bank_profile(tables: dict[str, Any], options: dict[str, str] | None = None, **changes: object) -> BankProfile:
    wanted = {"name": "andes", "adapter": "http", "tables": tables} | changes
    return profile(BASE_URL, OPTIONS if options is None else options, **wanted)


def faults(tables: dict[str, Any], options: dict[str, str] | None = None, **changes: object) -> list[Fault]:
    """What is wrong with a description; empty when nothing is."""
    tools = BankTools(httpx.AsyncClient(transport=httpx.MockTransport(_never)), Clock())
    try:
        HttpBank(bank_profile(tables, options, **changes), tools)
    except SettingsError as error:
        return list(error.faults)
    return []


def _never(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"asked {request.url}")


class Scripted:
    """A bank whose answers are made by `respond`; `asked` holds the requests."""

    def __init__(
        self,
        respond: Callable[[httpx.Request], httpx.Response],
        tables: dict[str, Any] | None = None,
        options: dict[str, str] | None = None,
        clock: Clock | None = None,
        **changes: object,
    ) -> None:
        self._respond = respond
        self._profile = bank_profile(described() if tables is None else tables, options, **changes)
        self._clock = clock or Clock()
        self.asked: list[httpx.Request] = []

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._respond(request)

    def run(self, use: Callable[[HttpBank], Awaitable[T]]) -> T:
        async def run() -> T:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self._handle)) as client:
                return await use(HttpBank(self._profile, BankTools(client, self._clock)))

        return asyncio.run(run())

    def check(self, qr_id: str = QR) -> Answer:
        return self.run(lambda bank: bank.check(Ask(qr_id)))

    def paid_on(self, day: date = DAY) -> PaidDay:
        return self.run(lambda bank: bank.paid_on(day))


def body(text: str, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    """The same JSON text to whatever is asked."""
    return lambda _request: httpx.Response(status, content=text, headers={"content-type": "application/json"})
