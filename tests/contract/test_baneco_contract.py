"""The adapter and the simulated bank, over real HTTP and both transports: every spelling and every fault."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from paysync_cli.banks.baneco import BanecoBank
from paysync_cli.banks.base import BankError, Refused, Throttled, Unavailable, Unknown, Unreadable
from paysync_cli.banks.simulator import RunningSimulator
from paysync_cli.payments.qr import Answer, Ask, PaidDay
from paysync_cli.payments.status import BankStatus
from tests.simulated import START, Clock, adapter, asked

DAY = date(2031, 6, 14)


@pytest.fixture(params=[False, True], ids=["httpx", "aiohttp"])
def pooled(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sim(clock: Clock) -> Iterator[RunningSimulator]:
    with RunningSimulator(now=clock) as simulator:
        yield simulator


class Desk:
    """One adapter per question, in front of one simulated bank."""

    def __init__(self, sim: RunningSimulator, clock: Clock, pooled: bool) -> None:
        self.sim, self.clock, self.pooled = sim, clock, pooled

    def check(self, qr_id: str = "Q", wait_s: float = 20) -> Answer:
        return asked(self.sim, lambda b: b.check(Ask(qr_id)), now=self.clock, pooled=self.pooled, wait_s=wait_s)

    def paid_on(self, day: date = DAY) -> PaidDay:
        return asked(self.sim, lambda b: b.paid_on(day), now=self.clock, pooled=self.pooled)

    def error(self, qr_id: str = "Q", wait_s: float = 20) -> BankError:
        with pytest.raises(BankError) as caught:
            self.check(qr_id, wait_s)
        return caught.value


@pytest.fixture
def desk(sim: RunningSimulator, clock: Clock, pooled: bool) -> Desk:
    return Desk(sim, clock, pooled)


def test_life_of_a_qr(desk: Desk) -> None:
    assert desk.check() == Answer(BankStatus.UNPAID, "0", START)
    number = desk.sim.pay("Q", "100.50", "BOB", payer="ROSA CHOQUE")
    answer = desk.check()
    assert (answer.status, answer.bank_status) == (BankStatus.PAID, "1")
    (paid,) = answer.payments
    assert (paid.qr_id, paid.bank_transaction_id, paid.amount) == ("Q", number, Decimal("100.50"))
    assert (paid.currency, paid.paid_at, paid.payer) == ("BOB", START, "ROSA CHOQUE")
    assert desk.paid_on().payments == answer.payments
    desk.sim.cancel("R")
    assert desk.check("R").status is BankStatus.CANCELLED


@pytest.mark.parametrize("payment", ["array", "object"])
@pytest.mark.parametrize("status_key", ["statusQrCode", "statusQRCode"])
@pytest.mark.parametrize("amount", ["number", "text"])
def test_spellings_of_a_paid_qr(desk: Desk, payment: str, status_key: str, amount: str) -> None:
    desk.sim.load({"wire": {"payment": payment, "status_key": status_key, "amount": amount, "response_code": "text"}})
    desk.sim.pay("Q", "12.30")
    answer = desk.check()
    assert answer.status is BankStatus.PAID
    assert [str(p.amount) for p in answer.payments] == ["12.30"]
    assert [str(p.amount) for p in desk.paid_on().payments] == ["12.30"]


@pytest.mark.parametrize("empty", ["array", "null", "object", "missing"])
def test_spellings_of_nothing_paid(desk: Desk, empty: str) -> None:
    desk.sim.load({"wire": {"empty": empty}})
    assert desk.check() == Answer(BankStatus.UNPAID, "0", START)
    assert desk.paid_on() == PaidDay((), (), START)


@pytest.mark.parametrize("style", ["midnight", "bare", "zone"])
@pytest.mark.parametrize(("time", "second"), [("seconds", 11), ("minutes", 0)])
def test_an_evening_payment_belongs_to_the_bolivian_day(desk: Desk, style: str, time: str, second: int) -> None:
    """21:05 in Bolivia is already tomorrow in UTC."""
    desk.sim.load({"wire": {"date": style, "time": time}})
    desk.clock.at = datetime(2031, 6, 15, 1, 5, 11, tzinfo=UTC)
    desk.sim.pay("Q", "5")
    assert [p.paid_at for p in desk.paid_on(DAY).payments] == [datetime(2031, 6, 15, 1, 5, second, tzinfo=UTC)]
    assert desk.paid_on(date(2031, 6, 15)).payments == ()
    asked(desk.sim, lambda b: b.ping(), now=desk.clock, pooled=desk.pooled)
    assert desk.sim.requests()["recent"][-1]["subject"] == "20310614"


def test_a_time_of_day_that_is_missing_leaves_the_day(desk: Desk) -> None:
    desk.sim.load({"wire": {"time": "empty"}})
    desk.sim.pay("Q", "5")
    assert [p.paid_at for p in desk.check().payments] == [datetime(2031, 6, 14, 4, 0, tzinfo=UTC)]


def test_every_payment_of_a_multi_use_qr(desk: Desk) -> None:
    times = [{"at": f"-{n}m", "amount": f"{n}.5", "id": f"N{n}"} for n in range(1, 8)]
    desk.sim.load({"qr": [{"id": "Q", "multi_use": True, "payment": times}]})
    told = {(p.bank_transaction_id, p.amount) for p in desk.check().payments}
    assert told == {(f"N{n}", Decimal(f"{n}.5")) for n in range(1, 8)}
    desk.sim.cancel("Q")
    answer = desk.check()
    assert (answer.status, len(answer.payments)) == (BankStatus.CANCELLED, 7)


def test_paid_without_details_is_told_by_the_list_later(desk: Desk) -> None:
    desk.sim.load({"qr": [{"id": "Q", "payment": [{"amount": "9", "in_status": "never", "in_list": "+60s"}]}]})
    assert desk.check() == Answer(BankStatus.PAID, "1", START)
    assert desk.paid_on().payments == ()
    desk.clock.forward(seconds=60)
    assert [p.amount for p in desk.paid_on().payments] == [Decimal(9)]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ({"unreadable": True}, "no_transaction_id"),
        ({"without": ["amount"]}, "no_amount"),
        ({"without": ["currency"]}, "no_currency"),
        ({"element": {"amount": "12,50"}}, "no_amount"),
        ({"element": {"qrId": "another"}}, "other_qr"),
        ({"amount": "1.005"}, "too_precise"),
    ],
)
def test_payments_that_cannot_be_read_are_kept(desk: Desk, broken: dict[str, object], problem: str) -> None:
    desk.sim.load({"qr": [{"id": "Q", "payment": [{"amount": "3"} | broken]}]})
    answer = desk.check()
    assert (answer.status, answer.payments) == (BankStatus.PAID, ())
    assert [p.problem for p in answer.unreadable] == [problem]


def test_unknown_qr(desk: Desk) -> None:
    desk.sim.load({"qr": [{"id": "Q", "unknown": True}]})
    assert isinstance(desk.error(), Unknown)
    assert desk.check("R").status is BankStatus.UNPAID
    desk.sim.load({"unknown_qrs": "unknown"})
    assert isinstance(desk.error("R"), Unknown)


STATUS_FAULTS = [
    ({"kind": "html"}, Unreadable, "HTTP 200, text/html"),
    ({"kind": "error_code", "code": 99, "message": "Error interno"}, Unreadable, 'responseCode 99 ("Error interno")'),
    ({"kind": "forbidden"}, Unreadable, "HTTP 403"),
    ({"kind": "throttled", "retry_after": 7}, Throttled, "for 7 s"),
    ({"kind": "throttled", "retry_after": "date:+30s"}, Throttled, "for 30 s"),
    ({"kind": "throttled"}, Throttled, "without saying how long"),
    ({"kind": "server_error"}, Unavailable, "HTTP 500"),
    ({"kind": "server_error", "status": 503}, Unavailable, "HTTP 503"),
    ({"kind": "truncated"}, Unavailable, "GET /api/qrsimple/v2/statusQR/Q"),
    ({"kind": "down"}, Unavailable, "GET /api/qrsimple/v2/statusQR/Q"),
    ({"kind": "not_found"}, Unreadable, "HTTP 404, text/html"),
    ({"kind": "redirect"}, Unreadable, "HTTP 302"),
    ({"kind": "bad_utf8"}, Unreadable, "not JSON"),
    ({"kind": "huge"}, Unreadable, "longer than 4194304 bytes"),
    ({"kind": "gzip_bomb"}, Unreadable, "longer than 4194304 bytes"),
    ({"kind": "status_code"}, Unreadable, "unknown status code 7"),
    ({"kind": "status_code", "code": "PAGADO"}, Unreadable, "no readable status"),
    ({"kind": "no_status"}, Unreadable, "no status"),
    ({"kind": "body", "body": "OK", "content_type": "text/plain"}, Unreadable, "text/plain, 2 bytes"),
    ({"kind": "body", "body": "", "status": 204}, Unreadable, "HTTP 204"),
]


@pytest.mark.parametrize(
    ("fault", "error", "words"), STATUS_FAULTS, ids=lambda v: v.get("kind") if isinstance(v, dict) else ""
)
def test_faults_of_a_status_call(desk: Desk, fault: dict[str, object], error: type[BankError], words: str) -> None:
    desk.sim.load({"fault": [{**fault, "on": "status"}]})
    desk.sim.pay("Q", "1")
    caught = desk.error()
    assert type(caught) is error
    assert words in caught.message
    # aiohttp asks once more when a kept connection turns out to be closed: a GET, so harmless.
    calls = 2 if desk.pooled and fault["kind"] == "down" else 1
    assert desk.sim.requests()["calls"] == {"login": 1, "status": calls}, "no adapter retries on its own"
    desk.sim.load({"fault": []})
    assert desk.check().status is BankStatus.PAID


def test_silence_ends_at_the_time_out(desk: Desk) -> None:
    desk.sim.load({"fault": [{"kind": "hang", "on": "status"}]})
    caught = desk.error(wait_s=0.3)
    assert type(caught) is Unavailable
    assert "timed out" in caught.message


def test_a_slow_answer_is_an_answer(desk: Desk) -> None:
    desk.sim.load({"fault": [{"kind": "slow", "delay_ms": 50}]})
    assert desk.check().status is BankStatus.UNPAID


LOGIN_FAULTS = [
    ({"kind": "login_refused"}, Refused),
    ({"kind": "error_code", "on": "login"}, Refused),
    ({"kind": "unauthorized", "on": "login"}, Refused),
    ({"kind": "forbidden", "on": "login"}, Refused),
    ({"kind": "html", "on": "login"}, Unavailable),
    ({"kind": "not_found", "on": "login"}, Unavailable),
    ({"kind": "redirect", "on": "login"}, Unavailable),
    ({"kind": "server_error", "on": "login"}, Unavailable),
    ({"kind": "down", "on": "login"}, Unavailable),
    ({"kind": "truncated", "on": "login"}, Unavailable),
    ({"kind": "huge", "on": "login"}, Unavailable),
    ({"kind": "gzip_bomb", "on": "login"}, Unavailable),
    ({"kind": "hang", "on": "login"}, Unavailable),
    ({"kind": "throttled", "on": "login", "retry_after": 90}, Throttled),
]


@pytest.mark.parametrize(("fault", "error"), LOGIN_FAULTS, ids=lambda v: v["kind"] if isinstance(v, dict) else "")
def test_faults_of_a_login(desk: Desk, fault: dict[str, object], error: type[BankError]) -> None:
    desk.sim.load({"fault": [fault]})

    async def thrice(bank: BanecoBank) -> list[type[BankError]]:
        found = []
        for _ in range(3):
            with pytest.raises(BankError) as caught:
                await bank.check(Ask("Q"))
            found.append(type(caught.value))
        return found

    wait_s = 0.3 if fault["kind"] == "hang" else 20
    later = Refused if error is Refused else Throttled
    found = asked(desk.sim, thrice, now=desk.clock, pooled=desk.pooled, wait_s=wait_s)
    assert found == [error, later, later]
    assert desk.sim.requests()["calls"] == {"login": 1}


def test_wrong_password_is_tried_once_and_locks_nobody(desk: Desk) -> None:
    options = desk.sim.profile_options() | {"password": "wrong"}

    async def use() -> None:
        async with adapter(desk.sim.url, options, desk.clock, pooled=desk.pooled) as bank:
            for _ in range(10):
                with pytest.raises(Refused, match="Usuario o contraseña incorrectos"):
                    await bank.check(Ask("Q"))

    asyncio.run(use())
    assert desk.sim.requests()["calls"] == {"login": 1}
    assert desk.check().status is BankStatus.UNPAID


def test_wrong_key_is_refused(desk: Desk) -> None:
    options = desk.sim.profile_options() | {"aes_key": "x" * 32}

    async def use() -> None:
        async with adapter(desk.sim.url, options, desk.clock, pooled=desk.pooled) as bank:
            await bank.check(Ask("Q"))

    with pytest.raises(Refused):
        asyncio.run(use())


def test_wrong_spelling_of_the_base_path_is_no_state_and_no_refusal(desk: Desk) -> None:
    async def use(path: str) -> Answer:
        url = desk.sim.url + path
        async with adapter(url, desk.sim.profile_options(), desk.clock, pooled=desk.pooled) as bank:
            return await bank.check(Ask("Q"))

    assert asyncio.run(use("/ApiGateway/")).status is BankStatus.UNPAID
    with pytest.raises(Unavailable, match="HTTP 404, text/html"):
        asyncio.run(use("/apiGateway"))


def test_token_that_dies_is_renewed_once(desk: Desk) -> None:
    async def use(bank: BanecoBank) -> None:
        await bank.check(Ask("Q"))
        desk.sim.expire_tokens()
        for answer in await asyncio.gather(*(bank.check(Ask(f"Q{n}")) for n in range(50))):
            assert answer.status is BankStatus.UNPAID

    asked(desk.sim, use, now=desk.clock, pooled=desk.pooled)
    assert desk.sim.requests()["calls"]["login"] == 2


def test_tokens_are_renewed_before_their_end(desk: Desk) -> None:
    desk.sim.load({"token_lifetime": "10m"})

    async def use(bank: BanecoBank) -> None:
        for _ in range(20):
            await bank.check(Ask("Q"))
            desk.clock.forward(minutes=1)

    asked(desk.sim, use, now=desk.clock, pooled=desk.pooled)
    requests = desk.sim.requests()
    assert requests["calls"]["login"] == 3
    assert requests["outcomes"]["status"] == {"200": 20}, "no call met a dead token"


def test_401_for_ever_makes_two_logins(desk: Desk) -> None:
    desk.sim.load({"fault": [{"kind": "unauthorized", "on": "status"}]})

    async def use(bank: BanecoBank) -> None:
        async def ask() -> None:
            for _ in range(10):
                with pytest.raises(Refused):
                    await bank.check(Ask("Q"))

        await asyncio.gather(*(ask() for _ in range(5)))

    asked(desk.sim, use, now=desk.clock, pooled=desk.pooled)
    assert desk.sim.requests()["calls"]["login"] == 2


@pytest.mark.parametrize(
    "qr_id", ["a/b", "a%2Fb", "%41", "a?b=c", "a#b", "a+b", "ñandú", "a;b", "a:b@c", "..a", "€/.."]
)
def test_ids_arrive_as_they_are(desk: Desk, qr_id: str) -> None:
    desk.sim.pay(qr_id, "1")
    assert desk.check(qr_id).status is BankStatus.PAID
    assert desk.sim.requests()["qrs"] == {qr_id: 1}


def test_a_list_longer_than_any_status_answer_is_read(desk: Desk) -> None:
    note = "x" * 1000
    for n in range(4500):
        desk.sim.load({"qr": [{"id": f"Q{n}", "payment": [{"amount": "0.01", "description": note}]}]})
    listed = desk.paid_on()
    assert len({p.bank_transaction_id for p in listed.payments}) == 4500
    assert sum(p.amount for p in listed.payments) == Decimal("45.00")
