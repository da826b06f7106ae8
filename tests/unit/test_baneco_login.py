"""The credential is worth more than any answer: Baneco locks the user after a few failed logins."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import UTC, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from paysync_cli.banks.baneco import BanecoBank, encrypt, validate_options
from paysync_cli.banks.base import BankError, BankTools, Refused, Throttled, Unavailable
from paysync_cli.banks.bearer import jwt_lifetime_s
from paysync_cli.banks.session import Session, Token
from paysync_cli.errors import SettingsError
from paysync_cli.payments.qr import Ask
from paysync_cli.payments.status import BankStatus
from tests.simulated import (
    AES_KEY,
    OPTIONS,
    PASSWORD,
    QR,
    START,
    Clock,
    ScriptedBank,
    answer,
    profile,
    raw_answer,
    status_answer,
    token_answer,
)

Respond = Callable[[httpx.Request], httpx.Response]


def jwt(**claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2lnbmF0dXJl"


def unpaid(_request: httpx.Request) -> httpx.Response:
    return status_answer(0)


def unauthorized(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(401)


def numbered_tokens() -> Respond:
    numbers = iter(range(1, 1000))
    return lambda _request: token_answer(f"token-{next(numbers)}")


def bearer(request: httpx.Request) -> str:
    return request.headers["authorization"]


async def outcomes(bank: BanecoBank, times: int) -> list[str]:
    """What `times` checks, one after another, end in."""
    found = []
    for _ in range(times):
        try:
            found.append((await bank.check(Ask(QR))).bank_status)
        except BankError as error:
            found.append(error.outcome)
    return found


def decrypt(secret: str) -> str:
    raw = base64.b64decode(secret)
    decryptor = Cipher(algorithms.AES(AES_KEY.encode()), modes.CBC(raw[:16])).decryptor()
    padded = decryptor.update(raw[16:]) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    return (unpadder.update(padded) + unpadder.finalize()).decode()


def test_login_sends_the_user_and_the_encrypted_password() -> None:
    seen: list[httpx.Request] = []

    def login(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return token_answer("token-1")

    scripted = ScriptedBank(unpaid, login)
    scripted.run(lambda bank: bank.check(Ask(QR)))
    body = json.loads(seen[0].content)
    assert (seen[0].method, seen[0].url.path) == ("POST", "/ApiGateway/api/authentication/authenticate")
    assert set(body) == {"userName", "password"}
    assert (body["userName"], decrypt(body["password"])) == ("shop", PASSWORD)
    assert bearer(scripted.calls[0]) == "Bearer token-1"


def test_encryption_differs_each_time_and_keeps_any_text() -> None:
    for text in ("", "x" * 15, "x" * 16, "x" * 17, "contraseña €"):
        one, other = encrypt(text, AES_KEY), encrypt(text, AES_KEY)
        assert one != other
        assert decrypt(one) == decrypt(other) == text


def test_one_login_serves_many_checks() -> None:
    scripted = ScriptedBank(unpaid)
    assert scripted.run(lambda bank: outcomes(bank, 20)) == ["0"] * 20
    assert scripted.logins == 1


def test_parallel_checks_share_one_login() -> None:
    scripted = ScriptedBank(unpaid)

    async def many(bank: BanecoBank) -> int:
        return len(await asyncio.gather(*(bank.check(Ask(QR)) for _ in range(50))))

    assert scripted.run(many) == 50
    assert scripted.logins == 1


def test_fifty_checks_with_a_dead_token_make_one_login() -> None:
    dead = {"Bearer token-1"}
    scripted = ScriptedBank(lambda r: httpx.Response(401) if bearer(r) in dead else status_answer(0), numbered_tokens())

    async def many(bank: BanecoBank) -> list[str]:
        dead.clear()
        await bank.check(Ask(QR))
        dead.add("Bearer token-1")
        return [a.bank_status for a in await asyncio.gather(*(bank.check(Ask(QR)) for _ in range(50)))]

    assert scripted.run(many) == ["0"] * 50
    assert scripted.logins == 2


def test_a_late_401_does_not_throw_away_the_token_that_came_after() -> None:
    late = asyncio.Event()

    class Slow(ScriptedBank):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            if bearer_or_none(request) == "Bearer token-1" and request.url.path.endswith("slow"):
                await late.wait()
            return await super().__call__(request)

    def call(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401) if bearer(request) == "Bearer token-1" and used else status_answer(0)

    def bearer_or_none(request: httpx.Request) -> str | None:
        return request.headers.get("authorization")

    used: list[bool] = []
    scripted = Slow(call, numbered_tokens())

    async def use(bank: BanecoBank) -> None:
        await bank.check(Ask(QR))
        used.append(True)
        slow = asyncio.create_task(bank.check(Ask("slow")))
        while scripted.logins != 2:
            await bank.check(Ask(QR))
        late.set()
        await slow

    scripted.run(use)
    assert scripted.logins == 2


@pytest.mark.parametrize("workers", [1, 5, 50])
def test_401_for_ever_makes_at_most_two_logins(workers: int) -> None:
    scripted = ScriptedBank(unauthorized, numbered_tokens())

    async def many(bank: BanecoBank) -> set[str]:
        ends = await asyncio.gather(*(outcomes(bank, 20) for _ in range(workers)))
        return {outcome for end in ends for outcome in end}

    assert scripted.run(many) == {"refused"}
    assert scripted.logins <= 2
    assert len(scripted.calls) <= 2 * workers


def test_401_once_is_mended_by_one_login() -> None:
    scripted = ScriptedBank(
        lambda r: httpx.Response(401) if bearer(r) == "Bearer token-1" else status_answer(0), numbered_tokens()
    )
    assert scripted.run(lambda bank: outcomes(bank, 5)) == ["0"] * 5
    assert scripted.logins == 2
    assert len(scripted.calls) == 6


def test_401_to_some_calls_only_still_ends() -> None:
    def call(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401) if request.url.path.endswith("bad") else status_answer(0)

    scripted = ScriptedBank(call, numbered_tokens())

    async def use(bank: BanecoBank) -> None:
        await bank.check(Ask("good"))
        with pytest.raises(Refused):
            await bank.check(Ask("bad"))
        with pytest.raises(Refused):
            await bank.check(Ask("good"))

    scripted.run(use)
    assert scripted.logins == 2


def test_tokens_that_die_early_are_renewed_each_time() -> None:
    """A renewed token that was accepted is an ordinary one: its death, hours later, is no refusal."""
    good = ["Bearer token-1"]
    scripted = ScriptedBank(
        lambda r: status_answer(0) if bearer(r) == good[0] else httpx.Response(401), numbered_tokens()
    )

    async def use(bank: BanecoBank) -> None:
        for n in range(1, 6):
            good[0] = f"Bearer token-{n}"
            assert await outcomes(bank, 3) == ["0"] * 3

    scripted.run(use)
    assert scripted.logins == 5


def test_one_call_never_logs_in_twice_even_if_others_are_accepted_meanwhile() -> None:
    async def login() -> Token:
        nonlocal logins
        logins += 1
        return Token(f"token-{logins}", 1800)

    async def use() -> None:
        session = Session(login, Clock())
        first = await session.token()
        await session.rejected(first, again=False)
        second = await session.token()
        await session.accepted(second)  # by another call
        with pytest.raises(Refused):
            await session.rejected(second, again=True)
        with pytest.raises(Refused):
            await session.token()

    logins = 0
    asyncio.run(use())
    assert logins == 2


REFUSALS = [
    answer({"token": "", "responseCode": 1, "message": "Usuario o contraseña incorrectos"}),
    answer({"responseCode": 0, "message": ""}),
    answer({"token": None, "responseCode": 0}),
    answer({"token": 5, "responseCode": 0}),
    answer({"token": "token", "responseCode": 7}),
    answer({"token": "token", "responseCode": "x"}),
    answer({"token": "bad\r\ntoken", "responseCode": 0}),
    answer({"token": "to ken", "responseCode": 0}),
    answer({"message": "no"}),
    answer("text"),
    answer([]),
    answer(None),
    answer({"message": "bad request"}, 400),
    answer({"token": "token", "responseCode": 0}, 400),
    raw_answer(b"", 401),
    raw_answer(b"", 403),
    raw_answer(b"<html>", 403, "text/html"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=range(len(REFUSALS)))
def test_a_readable_login_answer_without_token_stops_the_credential(refusal: httpx.Response) -> None:
    clock = Clock()
    scripted = ScriptedBank(unpaid, lambda _: refusal)

    async def use(bank: BanecoBank) -> list[str]:
        found = await outcomes(bank, 3)
        clock.forward(days=30)
        with pytest.raises(Refused):
            await bank.ping()
        return found

    assert scripted.run(use, clock) == ["refused"] * 3
    assert (scripted.logins, scripted.calls) == (1, [])


def test_parallel_checks_at_a_refused_login_make_one_login() -> None:
    scripted = ScriptedBank(unpaid, lambda _: answer({"responseCode": 1}))

    async def many(bank: BanecoBank) -> set[str]:
        return {outcome for end in await asyncio.gather(*(outcomes(bank, 2) for _ in range(50))) for outcome in end}

    assert scripted.run(many) == {"refused"}
    assert scripted.logins == 1


OUTAGES: list[Respond] = [
    lambda _: raw_answer(b"<html>", 200, "text/html"),
    lambda _: raw_answer(b"", 200),
    lambda _: raw_answer(b"\xff", 200),
    lambda _: httpx.Response(302, headers={"location": "/login"}),
    lambda _: raw_answer(b'{"responseCode":1}', 500),
    lambda _: raw_answer(b"<html>", 503, "text/html"),
    lambda _: raw_answer(b"<html>", 404, "text/html"),
]


@pytest.mark.parametrize("outage", OUTAGES, ids=range(len(OUTAGES)))
def test_no_readable_login_answer_is_an_outage_and_stops_nothing(outage: Respond) -> None:
    clock, down = Clock(), [True]
    scripted = ScriptedBank(unpaid, lambda request: outage(request) if down else token_answer("token"))

    async def use(bank: BanecoBank) -> None:
        assert await outcomes(bank, 3) == ["unavailable", "throttled", "throttled"]
        down.clear()
        clock.forward(seconds=61)
        assert await outcomes(bank, 3) == ["0"] * 3

    scripted.run(use, clock)
    assert scripted.logins == 2


def test_connection_errors_and_time_outs_at_login_are_an_outage() -> None:
    for error in (httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), OSError("odd"), ValueError("odder")):

        def fail(_request: httpx.Request, error: Exception = error) -> httpx.Response:
            raise error

        assert ScriptedBank(unpaid, fail).run(lambda bank: outcomes(bank, 2)) == ["unavailable", "throttled"]


def test_logins_during_an_outage_come_a_minute_apart_and_ever_slower() -> None:
    clock = Clock()
    scripted = ScriptedBank(unpaid, lambda _: httpx.Response(503))

    async def use(bank: BanecoBank) -> list[int]:
        moments = []
        for second in range(3600):
            clock.at = START + timedelta(seconds=second)
            before = scripted.logins
            with pytest.raises(BankError) as caught:
                await bank.check(Ask(QR))
            if scripted.logins > before:
                moments.append(second)
            else:
                assert isinstance(caught.value, Throttled)
                assert caught.value.retry_after_s is not None
                assert 0 < caught.value.retry_after_s <= 900
        return moments

    assert scripted.run(use, clock) == [0, 60, 180, 420, 900, 1800, 2700]


def test_an_outage_and_fifty_parallel_checks_make_one_login() -> None:
    scripted = ScriptedBank(unpaid, lambda _: httpx.Response(503))

    async def many(bank: BanecoBank) -> set[str]:
        return {o for end in await asyncio.gather(*(outcomes(bank, 3) for _ in range(50))) for o in end}

    assert scripted.run(many) == {"unavailable", "throttled"}
    assert scripted.logins == 1


def test_a_login_cut_short_counts_as_one_without_answer() -> None:
    async def hang(bank: BanecoBank) -> list[str]:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bank.check(Ask(QR)), 0.01)
        return await outcomes(bank, 1)

    class Hanging(ScriptedBank):
        async def __call__(self, request: httpx.Request) -> httpx.Response:
            self.logins += 1
            await asyncio.Event().wait()
            raise AssertionError

    scripted = Hanging(unpaid)
    assert scripted.run(hang) == ["throttled"]
    assert scripted.logins == 1


def test_429_at_login_waits_at_least_a_minute_or_what_the_bank_says() -> None:
    for header, wait_s in (("5", 60), ("600", 600), ("", 60)):
        clock = Clock()
        scripted = ScriptedBank(unpaid, lambda _, h=header: httpx.Response(429, headers={"retry-after": h}))

        async def use(bank: BanecoBank, clock: Clock = clock, wait_s: int = wait_s) -> None:
            with pytest.raises(Throttled) as caught:
                await bank.check(Ask(QR))
            assert caught.value.retry_after_s == wait_s
            clock.forward(seconds=wait_s - 1)
            await outcomes(bank, 1)

        scripted.run(use, clock)
        assert scripted.logins == 1


def test_a_jwt_is_renewed_before_it_ends() -> None:
    clock = Clock()

    def login(_request: httpx.Request) -> httpx.Response:
        now = int(clock.at.timestamp())
        return token_answer(jwt(iat=now, exp=now + 600, jti=scripted.logins))

    scripted = ScriptedBank(unpaid, login)

    async def use(bank: BanecoBank) -> None:
        await bank.check(Ask(QR))
        clock.forward(seconds=479)
        await bank.check(Ask(QR))
        assert scripted.logins == 1
        clock.forward(seconds=2)  # two minutes before the end
        await bank.check(Ask(QR))
        assert scripted.logins == 2

    scripted.run(use, clock)


def test_while_renewal_fails_the_old_token_serves_until_its_end() -> None:
    clock, down = Clock(), list[bool]()

    def login(_request: httpx.Request) -> httpx.Response:
        now = int(clock.at.timestamp())
        return httpx.Response(503) if down else token_answer(jwt(iat=now, exp=now + 600))

    scripted = ScriptedBank(unpaid, login)

    async def use(bank: BanecoBank) -> None:
        await bank.check(Ask(QR))
        down.append(True)
        clock.forward(seconds=500)
        assert await outcomes(bank, 3) == ["0"] * 3
        assert scripted.logins == 2  # tried once, then waits its minute
        clock.forward(seconds=101)
        assert await outcomes(bank, 2) == ["unavailable", "throttled"]

    scripted.run(use, clock)


NOW_S = START.timestamp()


@pytest.mark.parametrize(
    ("claims", "lifetime"),
    [
        ({"iat": NOW_S, "exp": NOW_S + 1800}, 1800),
        ({"exp": NOW_S + 900}, 900),
        ({"iat": NOW_S - 1200, "exp": NOW_S + 600}, 600),  # handed out late
        ({"iat": NOW_S + 86400 * 3, "exp": NOW_S + 86400 * 3 + 600}, 600),  # our clock is days behind
        ({"iat": NOW_S - 7200, "exp": NOW_S - 5400}, 1800),  # our clock is hours ahead
        ({}, 1800),
        ({"exp": "soon"}, 1800),
        ({"exp": None, "iat": None}, 1800),
        ({"exp": True}, 1800),
        ({"exp": 10**400}, 1800),
        ({"exp": float("inf")}, 1800),
        ({"exp": float("nan")}, 1800),
        ({"exp": NOW_S, "iat": NOW_S}, 1800),
    ],
)
def test_lifetime_of_a_token(claims: dict[str, object], lifetime: float) -> None:
    assert jwt_lifetime_s(jwt(**claims), START, 1800) == lifetime


@pytest.mark.parametrize(
    "token", ["opaque", "a.b.c", "..", "a.Ww==.c", "a.W10.c", "a.\u00f1.c", "a." + "W" * 5000 + ".c"]
)
def test_lifetime_of_what_is_no_jwt(token: str) -> None:
    assert jwt_lifetime_s(token, START, 1800) == 1800


def test_sent_at_is_after_the_login_and_before_the_answer() -> None:
    clock = Clock()

    def login(_request: httpx.Request) -> httpx.Response:
        clock.forward(seconds=7)
        return token_answer("token")

    def call(_request: httpx.Request) -> httpx.Response:
        clock.forward(seconds=5)
        return status_answer(0)

    found = ScriptedBank(call, login).run(lambda bank: bank.check(Ask(QR)), clock)
    assert found.sent_at == START + timedelta(seconds=7)
    assert found.sent_at.tzinfo is UTC
    assert found.status is BankStatus.UNPAID


def test_no_secret_in_any_message_or_repr() -> None:
    token, seen = "canary-token", list[str]()

    def echo(request: httpx.Request) -> httpx.Response:
        """A bank that repeats all it was told, in every field people may see."""
        told = f"{request.content.decode()} {request.headers.get('authorization', '')} {PASSWORD} {AES_KEY}"
        if b'"password"' in request.content:
            seen.append(json.loads(request.content)["password"])
            told += f" {seen[-1]}"
        return answer({"responseCode": 9, "message": told})

    def fail(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"cannot reach with {PASSWORD} {token}")

    def everything(error: BaseException) -> str:
        return f"{error} {error!r} {error.args} {vars(error)} {error.__cause__!r}"

    async def provoke(bank: BanecoBank) -> str:
        told = f"{bank!r} {bank.profile!r} {vars(bank)}"
        for _ in range(2):
            try:
                await bank.check(Ask(QR))
            except BankError as error:
                told += everything(error)
        return told

    scripts = [
        ScriptedBank(unpaid, echo),
        ScriptedBank(unpaid, fail),
        ScriptedBank(echo, lambda _: token_answer(token)),
        ScriptedBank(fail, lambda _: token_answer(token)),
        ScriptedBank(unauthorized, lambda _: token_answer(token)),
    ]
    for scripted in scripts:
        told = scripted.run(provoke)
        for secret in (PASSWORD, AES_KEY, token, *seen):
            assert secret not in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"username": ""}, "username is missing"),
        ({"password": ""}, "password is missing"),
        ({"aes_key": ""}, "aes_key is missing"),
        ({"aes_key": "x" * 31}, "it has 31"),
        ({"aes_key": "x" * 33}, "it has 33"),
        ({"aes_key": "canary" * 11}, "it has 66"),
        ({"aes_key": "ñ" * 32}, "ASCII"),
        ({"aes_key": "ñ" * 16}, "it has 16"),
    ],
)
def test_options_are_judged_in_a_sentence_that_shows_none(changes: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        validate_options(profile("https://bank.test", OPTIONS | changes))
    assert words in caught.value.message
    assert "[banks.baneco]" in caught.value.message
    assert "canary" not in caught.value.message


@pytest.mark.parametrize(
    "base_url",
    ["", "bank.test", "ftp://bank.test", "https://", "https://u:canary@bank.test", "https://bank.test/?x=canary"],
)
def test_address_is_judged_too(base_url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        validate_options(profile(base_url))
    assert "base_url" in caught.value.message
    assert "canary" not in caught.value.message


def test_all_faults_are_told_at_once_and_before_anything_is_sent() -> None:
    async def build() -> None:
        async with httpx.AsyncClient() as client:
            BanecoBank(profile("ftp://x", {}), BankTools(client, Clock()))

    with pytest.raises(SettingsError) as caught:
        asyncio.run(build())
    assert len(caught.value.faults) == 4


def test_an_outage_is_not_a_refusal() -> None:
    scripted = ScriptedBank(lambda _: httpx.Response(503))

    async def use(bank: BanecoBank) -> None:
        for _ in range(5):
            with pytest.raises(Unavailable):
                await bank.check(Ask(QR))

    scripted.run(use)
    assert scripted.logins == 1
