"""A Baneco adapter for tests: in front of the simulated bank over HTTP, or of scripted answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import httpx

from paysync_cli.banks.baneco import BanecoBank
from paysync_cli.banks.base import BankProfile, BankTools
from paysync_cli.banks.http import make_client

T = TypeVar("T")

LA_PAZ = ZoneInfo("America/La_Paz")
QR = "31061400000000000001"
PASSWORD, AES_KEY = "canary-password", "canary-aes-key-0123456789abcdef0"
OPTIONS = {"username": "shop", "password": PASSWORD, "aes_key": AES_KEY}
START = datetime(2031, 6, 14, 16, 0, tzinfo=UTC)  # noon in Bolivia


class Clock:
    """A clock that moves only when told."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **span: float) -> None:
        self.at += timedelta(**span)


def profile(base_url: str, options: dict[str, str] | None = None, **changes: object) -> BankProfile:
    fields: dict[str, object] = {
        "name": "baneco",
        "adapter": "baneco",
        "base_url": base_url,
        "environment": "certification",
        "timezone": LA_PAZ,
        "currency": "BOB",
        "account": "main",
        "due_margin_s": 120.0,
        "rate_per_s": 10.0,
        "concurrency": 20,
        "options": OPTIONS if options is None else options,
    }
    return BankProfile(**(fields | changes))  # type: ignore[arg-type]


@asynccontextmanager
async def adapter(
    base_url: str,
    options: dict[str, str],
    now: Callable[[], datetime],
    *,
    pooled: bool = False,
    wait_s: float = 20,
) -> AsyncIterator[BanecoBank]:
    """An adapter that really speaks HTTP to `base_url`; `wait_s` is its patience with a silent bank."""
    async with make_client(pooled=pooled) as client:
        client.timeout = httpx.Timeout(wait_s)
        yield BanecoBank(profile(base_url, options), BankTools(client, now))


def asked(
    simulator: object,
    use: Callable[[BanecoBank], Awaitable[T]],
    *,
    now: Callable[[], datetime],
    pooled: bool = False,
    wait_s: float = 20,
) -> T:
    """What `use(adapter)` returns against a RunningSimulator."""

    async def run() -> T:
        url, options = simulator.url, simulator.profile_options()  # type: ignore[attr-defined]
        async with adapter(url, options, now, pooled=pooled, wait_s=wait_s) as bank:
            return await use(bank)

    return asyncio.run(run())


class ScriptedBank:
    """Answers without a network: `login` and `call` make the response to a request; `logins` and `calls` count."""

    def __init__(
        self,
        call: Callable[[httpx.Request], httpx.Response],
        login: Callable[[httpx.Request], httpx.Response] | None = None,
    ) -> None:
        self._call = call
        self._login = login or (lambda _request: token_answer("token-1"))
        self.logins = 0
        self.calls: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)  # as any network: others get their turn
        if request.url.path.endswith("/authenticate"):
            self.logins += 1
            return self._login(request)
        self.calls.append(request)
        return self._call(request)

    def run(self, use: Callable[[BanecoBank], Awaitable[T]], now: Callable[[], datetime] | None = None) -> T:
        """What `use(adapter)` returns with these answers."""

        async def run() -> T:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
                tools = BankTools(client, now or Clock())
                return await use(BanecoBank(profile("https://bank.test/ApiGateway/"), tools))

        return asyncio.run(run())


def token_answer(token: str) -> httpx.Response:
    return answer({"token": token, "responseCode": 0, "message": ""})


def answer(body: object, status: int = 200) -> httpx.Response:
    return raw_answer(json.dumps(body).encode(), status)


def raw_answer(body: bytes, status: int = 200, content_type: str = "application/json") -> httpx.Response:
    return httpx.Response(status, content=body, headers={"content-type": content_type})


def payment(**changes: object) -> dict[str, object]:
    """A PaymentQR element as the bank sends it; a change to `...` leaves the field out."""
    element: dict[str, object] = {
        "qrId": QR,
        "transactionId": "900001",
        "paymentDate": "2031-06-14T00:00:00",
        "paymentTime": "21:05:11",
        "currency": "BOB",
        "amount": 12.5,
        "senderBankCode": "1016",
        "senderName": "ANA QUISPE",
        "senderDocumentId": "0",
        "senderAccount": "***",
        "description": "",
    }
    return {key: value for key, value in (element | changes).items() if value is not ...}


def status_answer(code: object, payments: object = None, **changes: object) -> httpx.Response:
    body = {"statusQrCode": code, "payment": payments, "responseCode": 0, "message": ""} | changes
    return answer({key: value for key, value in body.items() if value is not ...})
