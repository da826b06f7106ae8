"""How the adapter `http` shows a credential, and that a refused one leads to no second try."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from paysync_cli.banks.base import BankError, Refused, Throttled, Unavailable
from paysync_cli.banks.declared.bank import HttpBank
from paysync_cli.payments.qr import Ask
from paysync_cli.payments.status import BankStatus
from tests.declared import QR, Scripted, described
from tests.simulated import Clock

OPEN = {"success": True, "data": {"state": "OPEN"}}
CLIENT = {"client_id": "shop", "client_secret": "canary-client-secret"}
USER = {"username": "shop", "password": "canary-password", "api_key": "canary-api-key"}
OAUTH2 = {"kind": "oauth2", "token_url": "/oauth/token", "scope": "qr.read pix.read"}
LOGIN = {
    "kind": "login", "path": "/auth", "json": {"user": "{username}", "password": "{password}"}, "find": "message",
    "lifetime_s": 600,
}  # fmt: skip


class Bank(Scripted):
    """A bank with a login: `grant` answers it, `open_to` are the tokens that the other calls accept."""

    def __init__(
        self, auth: dict[str, object], options: dict[str, str], grant: Callable[[int], httpx.Response], **more: Any
    ) -> None:
        self.logins: list[httpx.Request] = []
        self.open_to: set[str] | None = None
        self._grant = grant
        clock = more.pop("clock", None)
        super().__init__(self._answer, described(auth={"kind": ...} | auth, **more), options, clock)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path in ("/api/oauth/token", "/api/auth"):
            self.logins.append(request)
            return self._grant(len(self.logins))
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.open_to is not None and token not in self.open_to:
            return httpx.Response(401)
        return httpx.Response(200, json=OPEN)

    @property
    def calls(self) -> int:
        return len(self.asked) - len(self.logins)


def token(n: int, **more: object) -> httpx.Response:
    return httpx.Response(200, json={"access_token": f"tok-{n}", "token_type": "Bearer", "expires_in": 3600} | more)


def one_error(bank: Scripted) -> BankError:
    with pytest.raises(BankError) as caught:
        bank.check()
    return caught.value


# -- what is sent


@pytest.mark.parametrize(
    ("auth", "options", "header", "value"),
    [
        ({"kind": "basic"}, {"username": "ana", "password": "p:ñ"}, "authorization",
         "Basic " + base64.b64encode("ana:p:ñ".encode()).decode()),
        ({"kind": "bearer"}, {"token": "abc"}, "authorization", "Bearer abc"),
        ({"kind": "api_key", "header": "X-Api-Key"}, {"api_key": "abc"}, "x-api-key", "abc"),
        ({"kind": "api_key", "header": "Authorization", "prefix": "Key "}, {"api_key": "k"}, "authorization", "Key k"),
        ({"kind": "none"}, {}, "authorization", None),
    ],
)  # fmt: skip
def test_a_fixed_credential(auth: dict[str, object], options: dict[str, str], header: str, value: str | None) -> None:
    bank = Bank(auth, options, token)
    bank.check()
    assert bank.asked[0].headers.get(header) == value
    assert bank.logins == []


def test_an_api_key_in_the_query() -> None:
    bank = Bank({"kind": "api_key", "query": "apikey"}, {"api_key": "a&b"}, token, status={"query": {"v": "2"}})
    bank.check()
    assert dict(bank.asked[0].url.params) == {"v": "2", "apikey": "a&b"}
    failing = Scripted(lambda _: httpx.Response(500), described(auth={"kind": "api_key", "query": "apikey"}), USER)
    assert "canary" not in one_error(failing).message


def test_client_credentials() -> None:
    bank = Bank(OAUTH2, CLIENT, token)
    assert bank.check().status is BankStatus.UNPAID
    (login,) = bank.logins
    assert (login.method, str(login.url)) == ("POST", "https://bank.test/api/oauth/token")
    assert parse_qs(login.content.decode()) == {"grant_type": ["client_credentials"], "scope": ["qr.read pix.read"]}
    expected = base64.b64encode(b"shop:canary-client-secret").decode()
    assert login.headers["authorization"] == f"Basic {expected}"
    assert bank.asked[1].headers["authorization"] == "Bearer tok-1"


def test_client_credentials_in_the_body() -> None:
    bank = Bank(OAUTH2 | {"send": "body"}, CLIENT, token)
    bank.check()
    sent = parse_qs(bank.logins[0].content.decode())
    assert (sent["client_id"], sent["client_secret"]) == (["shop"], ["canary-client-secret"])
    assert "authorization" not in bank.logins[0].headers


def test_a_token_from_another_place() -> None:
    bank = Bank(OAUTH2 | {"token_url": "https://login.test/api/oauth/token"}, CLIENT, token)
    bank.check()
    assert bank.logins[0].url.host == "login.test"


def test_a_login_with_the_banks_own_words() -> None:
    grant = lambda n: httpx.Response(200, json={"success": True, "message": f"tok-{n}"})  # noqa: E731
    bank = Bank(LOGIN, USER, grant, headers={"apikeyServicio": "{api_key}"})
    bank.check()
    assert json.loads(bank.logins[0].content) == {"user": "shop", "password": "canary-password"}
    assert [request.headers["apikeyservicio"] for request in bank.asked] == ["canary-api-key"] * 2
    assert bank.asked[1].headers["authorization"] == "Bearer tok-1"


def test_the_token_may_go_into_another_header() -> None:
    grant = lambda n: httpx.Response(200, json={"success": True, "message": f"tok-{n}"})  # noqa: E731
    bank = Bank(LOGIN | {"header": "X-Session"}, USER, grant)
    bank.check()
    assert bank.asked[1].headers["x-session"] == "tok-1"
    assert "authorization" not in bank.asked[1].headers


# -- how long it holds


@pytest.mark.parametrize(
    ("told", "minutes"),
    [(3600, 58), ("3600", 58), (..., 28), (None, 28), ("x", 28), (-5, 28), (0, 28), (10**9, 28), (True, 28), (600, 8)],
)
def test_a_token_is_renewed_before_its_end(told: object, minutes: int) -> None:
    clock = Clock()
    answer = {"access_token": "t"} | ({} if told is ... else {"expires_in": told})
    bank = Bank(OAUTH2, CLIENT, lambda _n: httpx.Response(200, json=answer), clock=clock)

    async def use(one: HttpBank) -> list[int]:
        counts = []
        for step in (0, minutes - 1, 2):
            clock.forward(minutes=step)
            await one.check(Ask(QR))
            counts.append(len(bank.logins))
        return counts

    assert bank.run(use) == [1, 1, 2]


def test_a_token_that_dies_is_renewed_once_for_all() -> None:
    bank = Bank(OAUTH2, CLIENT, token)

    async def use(one: HttpBank) -> None:
        await one.check(Ask(QR))
        bank.open_to = {"tok-2"}
        await one.check(Ask(QR))

    bank.run(use)
    assert len(bank.logins) == 2


def test_a_fresh_token_that_is_refused_stops_the_credential() -> None:
    bank = Bank(OAUTH2, CLIENT, token)
    bank.open_to = set()

    async def use(one: HttpBank) -> None:
        for _ in range(5):
            with pytest.raises(Refused):
                await one.check(Ask(QR))

    bank.run(use)
    assert (len(bank.logins), bank.calls) == (2, 2)


@pytest.mark.parametrize("refused", [[401], [403], [401, 403]])
def test_which_statuses_are_a_refusal(refused: list[int]) -> None:
    bank = Scripted(lambda _: httpx.Response(403, json=OPEN), described(auth={"refused": refused}))
    assert (type(one_error(bank)) is Refused) is (403 in refused)


# -- logins that bring none

REFUSALS = [
    (httpx.Response(401), Refused),
    (httpx.Response(403, content="<html>"), Refused),
    (httpx.Response(400, json={"error": "invalid_client", "error_description": "unknown client"}), Refused),
    (httpx.Response(200, json={"error": "invalid_scope"}), Refused),
    (httpx.Response(200, json={"access_token": "bad token"}), Refused),
    (httpx.Response(200, json={"access_token": ""}), Refused),
    (httpx.Response(200, json={"access_token": 5}), Refused),
    (httpx.Response(200, json={"access_token": "t", "token_type": "mac"}), Refused),
    (httpx.Response(200, json=[]), Refused),
    (httpx.Response(200, content="null"), Refused),
    (httpx.Response(400, json={"access_token": "t"}), Refused),
    (httpx.Response(200, content="<html>"), Unavailable),
    (httpx.Response(404, content="<html>"), Unavailable),
    (httpx.Response(302, headers={"location": "https://evil.test/"}), Unavailable),
    (httpx.Response(500), Unavailable),
    (httpx.Response(429, headers={"retry-after": "90"}), Throttled),
]


@pytest.mark.parametrize(("answer", "error"), REFUSALS)
def test_a_login_without_a_token_is_not_repeated(answer: httpx.Response, error: type[BankError]) -> None:
    bank = Bank(OAUTH2, CLIENT, lambda _n: answer)

    async def thrice(one: HttpBank) -> list[type[BankError]]:
        found = []
        for _ in range(3):
            with pytest.raises(BankError) as caught:
                await one.check(Ask(QR))
            assert "canary" not in caught.value.message
            found.append(type(caught.value))
        return found

    later = Refused if error is Refused else Throttled
    assert bank.run(thrice) == [error, later, later]
    assert (len(bank.logins), bank.calls) == (1, 0)


def test_why_it_was_refused_is_told_without_the_secret() -> None:
    words = {"error": "invalid_client", "error_description": "secret canary-client-secret\n is wrong"}
    error = one_error(Bank(OAUTH2, CLIENT, lambda _n: httpx.Response(400, json=words)))
    assert error.message.endswith('login refused ("invalid_client: secret *** is wrong")')
    pair = base64.b64encode(f"{CLIENT['client_id']}:{CLIENT['client_secret']}".encode()).decode()
    words = {"error_description": f"not accepted: Basic {pair}"}
    error = one_error(Bank(OAUTH2, CLIENT, lambda _n: httpx.Response(400, json=words)))
    assert error.message.endswith('login refused ("not accepted: Basic ***")')
    own = {"success": False, "error": {"text": "canary-password no"}, "message": "tok"}
    error = one_error(Bank(LOGIN, USER, lambda _n: httpx.Response(200, json=own)))
    assert error.message.endswith('login refused ("*** no")')


def test_a_login_that_is_not_fine_brings_no_token() -> None:
    error = one_error(Bank(LOGIN, USER, lambda _n: httpx.Response(200, json={"success": False, "message": "tok-1"})))
    assert type(error) is Refused
