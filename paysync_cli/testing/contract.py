"""What every bank adapter must keep to, as one suite: subclass `BankContract` with a name that pytest collects."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any, ClassVar, Protocol, TypeVar
from zoneinfo import ZoneInfo

import pytest

from paysync_cli.banks import http as bank_http
from paysync_cli.banks.base import (
    Bank,
    BankError,
    BankProfile,
    BankTools,
    ListsPayments,
    Pings,
    Refused,
    Throttled,
    Unavailable,
    Unknown,
    Unreadable,
)
from paysync_cli.banks.http import make_client
from paysync_cli.banks.notices import Notice, NoticeFate, NoticeReply, Notices
from paysync_cli.banks.session import MemoryVault
from paysync_cli.banks.wire import parse_json
from paysync_cli.payments.qr import Answer, Ask, PaidDay
from paysync_cli.payments.status import BankStatus
from paysync_cli.testing.hostile import HOSTILE, MB, whole
from paysync_cli.testing.spoilt import spoilt
from paysync_cli.testing.wiretap import Exchanged, Request, Serve, Wiretap

T = TypeVar("T")

START = datetime(2031, 6, 14, 16, 0, tzinfo=UTC)
QR = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5"
OTHER_QR = "Z1b2C3d4E5f6G7h8I9j0K1l2M3n4O5"
NO_PATIENCE_S = 1.0  # for an answer that never ends, instead of TOTAL_S
SLOW_MACHINE_S = 30.0
MAX_MEMORY = 64 * MB
MAX_MESSAGE = 400
SHOWN = frozenset(("username", "user", "merchant", "client_id", "scope", "token_url"))

# None of these says which QR was paid.
NO_NOTICES = (
    b"", b"null", b"[]", b"{}", b"<html>", b'"QR"', b"\xff\xfe", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[" * 100_000,
    b'{"a":' * 50_000,
)  # fmt: skip
ODD_IDS = [
    "a/b",
    "a%2Fb",
    "%41",
    "a?b=c",
    "a#b",
    "a+b",
    "ñandú",
    "a;b",
    "a:b@c",
    "..a",
    "€/..",
    "a b",
    "a\r\nX-Evil: 1",
]


both_clients = pytest.mark.parametrize("pooled", [False, True], ids=["httpx", "pooled"], indirect=True)


class Clock:
    """A clock that moves only when told."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **span: float) -> None:
        self.at += timedelta(**span)


class PracticeBank(Protocol):
    """A bank to practise with: a real HTTP server that speaks the adapter's wire format, in this process.

    It knows every QR that was issued, and takes `Clock` for its time. What a bank cannot do may be left out; say so
    in `BankContract.says`.
    """

    url: str

    def issue(self, qr_id: str, amount: str | None, currency: str) -> None:
        """From now on the bank knows this QR, unpaid."""
        ...

    def pay(self, qr_id: str, amount: str, currency: str) -> str:
        """Somebody pays it now; the bank's own id of the payment."""
        ...

    def cancel(self, qr_id: str) -> None:
        """It is cancelled at the bank from now on. Only for those that say `cancelled`."""
        ...

    def expire(self, qr_id: str) -> None:
        """It has expired at the bank. Only for those that say `expired`."""
        ...

    def expire_tokens(self) -> None:
        """Every token given so far gets 401 from now on. Only for those with `logs_in`."""
        ...


class BankContract:
    """The suite. A subclass says which adapter, how to reach its practice bank, and what that bank can say."""

    adapter: ClassVar[Any]  # the class, called with (profile, tools)
    logs_in: ClassVar[bool] = True  # False: a credential without a login (API key, password, signature)
    says: ClassVar[frozenset[str]] = frozenset(("cancelled",))  # of cancelled, expired, unknown_qr (as Unknown)
    currency: ClassVar[str] = "BOB"
    timezone: ClassVar[str] = "America/La_Paz"
    amounts: ClassVar[Sequence[str]] = ("0.10", "7", "12.30", "100.50", "1234567.89")
    odd_ids: ClassVar[Sequence[str]] = ODD_IDS
    many: ClassVar[int] = 250  # payments of one day, more than a page of the bank's list
    tables: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    # -- what a subclass tells

    def practice_bank(self, clock: Clock) -> AbstractContextManager[PracticeBank]:
        """A fresh bank that knows nothing, serving as long as the context lasts."""
        raise NotImplementedError

    def options(self, bank: PracticeBank, url: str) -> dict[str, str]:
        """The adapter's own keys, secrets included, to reach the bank at `url` (which leads to `bank.url`)."""
        raise NotImplementedError

    def is_login(self, request: Request) -> bool:  # noqa: ARG002 - for those who have one
        """Whether this request is a login."""
        return False

    # -- the set-up

    @pytest.fixture
    def pooled(self, request: pytest.FixtureRequest) -> bool:
        """Which client: a worker's, unless a test wants both."""
        return bool(getattr(request, "param", True))

    @pytest.fixture
    def desk(self, pooled: bool, caplog: pytest.LogCaptureFixture) -> Iterator[Desk]:
        caplog.set_level(logging.DEBUG)
        clock = Clock()
        with self.practice_bank(clock) as bank:
            bank.issue(QR, "100.50", self.currency)
            desk = Desk(self, bank, clock, pooled)
            yield desk
            told = [record.getMessage() for record in caplog.records if record.name.startswith("paysync")]
            desk.assert_no_secret(*told)

    # -- what the bank says

    def test_an_unpaid_qr(self, desk: Desk) -> None:
        answer = desk.check()
        assert (answer.status, answer.payments, answer.unreadable) == (BankStatus.UNPAID, (), ())
        assert answer.sent_at == desk.clock.at
        assert answer.bank_status

    @both_clients
    def test_a_paid_qr_tells_its_payment_and_tells_it_alike_again(self, desk: Desk) -> None:
        number = desk.bank.pay(QR, "100.50", self.currency)
        answer, again = desk.check(), desk.check()
        assert (answer.status, answer.unreadable) == (BankStatus.PAID, ())
        (payment,) = answer.payments
        assert (payment.qr_id, payment.bank_transaction_id) == (QR, number)
        assert (payment.amount, payment.currency) == (Decimal("100.50"), self.currency)
        assert payment.paid_at is None or payment.paid_at.utcoffset() == timedelta(0)
        assert payment.raw
        assert again.payments == answer.payments

    def test_what_is_paid_is_only_said_of_the_qr_that_was_paid(self, desk: Desk) -> None:
        desk.bank.issue(OTHER_QR, "100.50", self.currency)
        desk.bank.pay(OTHER_QR, "100.50", self.currency)
        assert desk.check().status is BankStatus.UNPAID
        assert desk.check(OTHER_QR).status is BankStatus.PAID

    def test_no_digit_of_an_amount_is_lost(self, desk: Desk) -> None:
        for number, amount in enumerate(self.amounts):
            qr_id = f"{QR[:-1]}{number}"
            desk.bank.issue(qr_id, amount, self.currency)
            desk.bank.pay(qr_id, amount, self.currency)
            assert [p.amount for p in desk.check(qr_id, amount).payments] == [Decimal(amount)]

    def test_a_cancelled_qr(self, desk: Desk) -> None:
        self._only_if("cancelled")
        desk.bank.cancel(QR)
        assert desk.check().status is BankStatus.CANCELLED

    def test_an_expired_qr(self, desk: Desk) -> None:
        self._only_if("expired")
        desk.bank.expire(QR)
        assert desk.check().status is BankStatus.EXPIRED

    def test_a_qr_that_the_bank_does_not_know_has_no_state(self, desk: Desk) -> None:
        error = desk.error("NoSuchQrNoSuchQrNoSuchQrNoSuch")
        wanted: tuple[type[BankError], ...] = (Unknown,) if "unknown_qr" in self.says else (Unknown, Unreadable)
        assert type(error) in wanted, error

    def test_the_list_of_a_day(self, desk: Desk) -> None:
        desk.only_if_it_lists()
        desk.bank.issue(OTHER_QR, "7", self.currency)
        numbers = [desk.bank.pay(QR, "100.50", self.currency), desk.bank.pay(OTHER_QR, "7", self.currency)]
        today = desk.today()
        listed = desk.paid_on(today)
        assert (listed.complete, listed.unreadable, listed.sent_at) == (True, (), desk.clock.at)
        assert [(p.qr_id, p.bank_transaction_id, p.amount, p.currency) for p in _in_order(listed)] == sorted(
            [
                (QR, numbers[0], Decimal("100.50"), self.currency),
                (OTHER_QR, numbers[1], Decimal(7), self.currency),
            ]
        )
        assert desk.paid_on(today - timedelta(days=1)).payments == ()

    def test_the_list_and_the_check_name_a_payment_alike(self, desk: Desk) -> None:
        desk.only_if_it_lists()
        desk.bank.pay(QR, "100.50", self.currency)
        named = [(p.bank_transaction_id, p.amount, p.currency) for p in desk.paid_on(desk.today()).payments]
        assert named == [(p.bank_transaction_id, p.amount, p.currency) for p in desk.check().payments]

    def test_a_day_is_the_banks_own_day(self, desk: Desk) -> None:
        desk.only_if_it_lists()
        zone = ZoneInfo(self.timezone)
        desk.clock.at = datetime(2031, 6, 14, 23, 30, tzinfo=zone).astimezone(UTC)
        desk.bank.pay(QR, "100.50", self.currency)
        desk.clock.forward(hours=2)
        assert [p.qr_id for p in desk.paid_on(date(2031, 6, 14)).payments] == [QR]
        assert desk.paid_on(date(2031, 6, 15)).payments == ()

    @both_clients
    def test_a_long_list_is_read_to_its_end(self, desk: Desk) -> None:
        desk.only_if_it_lists()
        for number in range(self.many):
            qr_id = f"{QR[:-4]}{number:04d}"
            desk.bank.issue(qr_id, "0.01", self.currency)
            desk.bank.pay(qr_id, "0.01", self.currency)
        listed = desk.paid_on(desk.today())
        assert listed.complete
        assert len({p.bank_transaction_id for p in listed.payments}) == len(listed.payments) == self.many
        assert sum(p.amount for p in listed.payments) == Decimal("0.01") * self.many

    def test_the_harmless_call(self, desk: Desk) -> None:
        async def ping(bank: Bank) -> None:
            if not isinstance(bank, Pings):
                pytest.skip("has no ping()")
            await bank.ping()

        desk.run(ping)
        desk.play_calls(lambda _request: whole(b"", status=503))
        with pytest.raises(Unavailable):
            desk.run(ping)

    # -- ids and addresses

    @both_clients
    def test_ids_arrive_as_they_are(self, desk: Desk) -> None:
        for qr_id in self.odd_ids:
            desk.bank.issue(qr_id, "7", self.currency)
            desk.bank.pay(qr_id, "7", self.currency)
            assert desk.check(qr_id, "7").status is BankStatus.PAID, qr_id
        for request in desk.requests:
            assert request.target.isascii()
            assert not {" ", "\r", "\n"} & set(request.target)
            assert "x-evil" not in request.headers
            assert "/../" not in f"{request.target.partition('?')[0]}/"

    @pytest.mark.parametrize("qr_id", ["", ".", ".."])
    def test_an_id_never_becomes_another_address(self, desk: Desk, qr_id: str) -> None:
        """Clients and servers fold `/qrs/..` into `/`: that would be another question."""
        with contextlib.suppress(BankError):
            assert desk.check(qr_id).status is BankStatus.UNPAID
        paths = [request.target.partition("?")[0] for request in desk.calls]
        assert not any(path.endswith(("/.", "/..")) for path in paths)

    # -- failures

    @both_clients
    @pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
    def test_a_failing_bank_is_unavailable_and_asked_once(self, desk: Desk, status: int) -> None:
        desk.play_calls(lambda _request: whole(b"<html>Error</html>", status=status, content_type="text/html"))
        assert type(desk.error()) is Unavailable
        assert len(desk.calls) == 1, "no adapter retries on its own"

    @both_clients
    @pytest.mark.parametrize(("header", "wait_s"), [("7", 7.0), ("+30", 30.0), (None, None), ("soon", None)])
    def test_a_bank_that_asks_to_wait_is_heeded(self, desk: Desk, header: str | None, wait_s: float | None) -> None:
        if header == "+30":
            header = format_datetime(desk.clock.at + timedelta(seconds=30), usegmt=True)
        headers = {} if header is None else {"retry_after": header}
        desk.play_calls(lambda _request: whole(b"{}", status=429, **headers))
        error = desk.error()
        assert isinstance(error, Throttled)
        assert (error.retry_after_s, error.asked) == (wait_s, True)
        assert len(desk.calls) == 1

    @both_clients
    @pytest.mark.parametrize("kind", HOSTILE)
    def test_a_hostile_answer_is_no_state(self, desk: Desk, kind: str) -> None:
        desk.bank.pay(QR, "100.50", self.currency)
        serve = HOSTILE[kind](desk.good_body())
        desk.play_calls(lambda _request: serve)
        with _bounded():
            error = desk.error(patience_s=NO_PATIENCE_S)
        assert type(error) in (Unavailable, Unreadable, Refused if kind.startswith("forbidden") else Unreadable), error
        desk.play_calls(lambda _request: None)
        assert desk.check().status is BankStatus.PAID

    @both_clients
    @pytest.mark.parametrize("kind", ["a body without end", "gzip bomb", "drops of a body", "HTML", "cut off", "{}"])
    def test_a_hostile_list_is_no_list(self, desk: Desk, kind: str) -> None:
        desk.only_if_it_lists()
        desk.bank.pay(QR, "100.50", self.currency)
        good = desk.good_body(lambda bank: _paid_on(bank, desk.today()))
        serve = whole(b'{"x": 1}') if kind == "{}" else HOSTILE[kind](good)
        desk.play_calls(lambda _request: serve)
        with _bounded(2 * MAX_MEMORY + 64 * MB), pytest.raises(BankError) as caught:
            desk.run(lambda bank: _paid_on(bank, desk.today()), patience_s=NO_PATIENCE_S)
        assert type(caught.value) in (Unavailable, Unreadable)

    def test_a_spoilt_answer_is_never_believed(self, desk: Desk) -> None:
        """Every field of a good answer in turn taken away or made junk: an error, or a payment that is true."""
        desk.bank.pay(QR, "100.50", self.currency)
        for place, found in desk.spoilt(lambda bank: bank.check(desk.ask_for(QR))):
            if isinstance(found, Answer):
                told = {(p.qr_id, p.amount, p.currency) for p in found.payments}
                assert found.status is BankStatus.PAID, place
                assert told <= {(QR, Decimal("100.50"), self.currency)}, place
                assert all(p.bank_transaction_id.strip() for p in found.payments), place

    def test_a_spoilt_list_is_never_believed(self, desk: Desk) -> None:
        desk.only_if_it_lists()
        desk.bank.pay(QR, "100.50", self.currency)
        today = desk.today()
        for place, found in desk.spoilt(lambda bank: _paid_on(bank, today)):
            if isinstance(found, PaidDay):
                assert {(p.amount, p.currency) for p in found.payments} <= {(Decimal("100.50"), self.currency)}, place
                assert all(p.qr_id and p.bank_transaction_id.strip() for p in found.payments), place

    # -- the credential

    def test_one_login_serves_many_questions(self, desk: Desk) -> None:
        async def ask(bank: Bank) -> list[Answer]:
            return await asyncio.gather(*(bank.check(desk.ask_for(QR)) for _ in range(20)))

        assert {answer.status for answer in desk.run(ask)} == {BankStatus.UNPAID}
        assert len(desk.logins) == (1 if self.logs_in else 0)

    def test_a_token_that_died_is_renewed_once(self, desk: Desk) -> None:
        self._only_with_login()

        async def ask(bank: Bank) -> list[Answer]:
            await bank.check(desk.ask_for(QR))
            desk.bank.expire_tokens()
            return await asyncio.gather(*(bank.check(desk.ask_for(QR)) for _ in range(20)))

        assert {answer.status for answer in desk.run(ask)} == {BankStatus.UNPAID}
        assert len(desk.logins) == 2

    def test_401_for_ever_stops_the_credential(self, desk: Desk) -> None:
        desk.play_calls(lambda _request: whole(b"", status=401))

        async def ask(bank: Bank) -> list[BankError]:
            return [await _error(bank, desk.ask_for(QR)) for _ in range(5)]

        found = desk.run(ask)
        assert {type(error) for error in found} == {Refused}, found
        assert len(desk.logins) <= 2, "a bank locks the user after a few logins"
        assert len(desk.calls) <= 2, "no storm of requests with a credential that is refused"

    def test_a_refused_login_is_tried_once(self, desk: Desk) -> None:
        self._only_with_login()
        desk.play_logins(lambda _request: whole(b"{}", status=401))

        async def ask(bank: Bank) -> list[BankError]:
            return [await _error(bank, desk.ask_for(QR)) for _ in range(5)]

        found = desk.run(ask)
        assert {type(error) for error in found} == {Refused}, found
        assert (len(desk.logins), desk.calls) == (1, [])

    @both_clients
    @pytest.mark.parametrize(
        "kind", ["HTML", "10 MB", "gzip bomb", "drops of a body", "headers without end", "hung up", "silence",
                 "server error with a good body", "redirect with a good body", "cut off"],
    )  # fmt: skip
    def test_a_login_without_a_readable_answer_is_no_refusal(self, desk: Desk, kind: str) -> None:
        """A gateway that plays tricks says nothing about the credential: it must not be stopped for it."""
        self._only_with_login()
        serve = HOSTILE[kind](desk.good_body(logins=True))
        desk.forget_requests()
        desk.play_logins(lambda _request: serve)

        async def ask(bank: Bank) -> list[BankError]:
            return [await _error(bank, desk.ask_for(QR)) for _ in range(3)]

        with _bounded():
            found = desk.run(ask, patience_s=NO_PATIENCE_S)
        assert [type(error) for error in found] == [Unavailable, Throttled, Throttled], found
        assert (len(desk.logins), desk.calls) == (1, [])

    def test_a_login_that_is_throttled_waits(self, desk: Desk) -> None:
        self._only_with_login()
        desk.play_logins(lambda _request: whole(b"{}", status=429, retry_after="90"))
        error = desk.error()
        assert isinstance(error, Throttled)
        assert (error.retry_after_s or 0.0) >= 90
        assert len(desk.logins) == 1

    @both_clients
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_gets_no_credential(self, desk: Desk, status: int) -> None:
        async def run(bank: Bank) -> list[Request]:
            elsewhere = Wiretap(desk.bank.url)
            async with elsewhere.open():
                lead = whole(b"", status=status, location=f"{elsewhere.url}/elsewhere")
                desk.play_calls(lambda _request: lead)
                assert type(await _error(bank, desk.ask_for(QR))) is Unreadable
            return elsewhere.requests

        assert desk.run(run) == []

    def test_no_secret_is_in_an_address(self, desk: Desk) -> None:
        desk.check()
        desk.assert_no_secret(*(request.target for request in desk.requests))

    # -- notices

    def test_what_is_no_notice_is_unreadable_and_every_fate_has_its_answer(self, desk: Desk) -> None:
        async def read(bank: Bank) -> tuple[list[bytes], list[NoticeReply]] | None:
            if not isinstance(bank, Notices):
                return None
            believed = [body for body in NO_NOTICES if _is_believed(bank, body)]
            return believed, [bank.notice_reply(fate) for fate in NoticeFate]

        found = desk.run(read)
        if found is None:
            pytest.skip("this bank sends no notices")
        believed, (taken, unreadable, again) = found
        assert believed == []
        assert 200 <= taken.status < 300
        assert again.status >= 500, "else no bank sends it again"
        assert unreadable.body != taken.body or unreadable.status != taken.status
        assert desk.requests == [], "a notice asks nobody anything"

    def _only_if(self, word: str) -> None:
        if word not in self.says:
            pytest.skip(f"this bank has no word for {word}")

    def _only_with_login(self) -> None:
        if not self.logs_in:
            pytest.skip("this bank has no login")


def _is_believed(bank: Notices, body: bytes) -> bool:
    try:
        bank.noticed(Notice("", {}, body))
    except Unreadable:
        return False
    return True


@dataclass
class Desk:
    """One bank to practise with, and adapters that ask it, each fresh, on a line that is listened to."""

    contract: BankContract
    bank: PracticeBank
    clock: Clock
    pooled: bool
    requests: list[Request] = field(default_factory=list)
    exchanged: list[Exchanged] = field(default_factory=list)
    _plays: Callable[[Request], Serve | None] = lambda _request: None
    _secrets: set[str] = field(default_factory=set)

    @property
    def logins(self) -> list[Request]:
        """What arrived of logins."""
        return [request for request in self.requests if self.contract.is_login(request)]

    @property
    def calls(self) -> list[Request]:
        """What arrived of everything else."""
        return [request for request in self.requests if not self.contract.is_login(request)]

    def play_calls(self, choose: Callable[[Request], Serve | None]) -> None:
        """Who answers everything but logins instead of the bank."""
        self._plays = lambda request: None if self.contract.is_login(request) else choose(request)

    def play_logins(self, choose: Callable[[Request], Serve | None]) -> None:
        """Who answers logins instead of the bank."""
        self._plays = lambda request: choose(request) if self.contract.is_login(request) else None

    def forget_requests(self) -> None:
        self.requests, self.exchanged = [], []

    def ask_for(self, qr_id: str, amount: str = "100.50") -> Ask:
        """The question about a QR, with the amount for those who may book it."""
        books = bool(getattr(self.contract.adapter, "books_qr_amount", False))
        return Ask(
            qr_id,
            currency=self.contract.currency,
            issued_at=START,
            amount=Decimal(amount) if books else None,
        )

    def today(self) -> date:
        return self.clock().astimezone(ZoneInfo(self.contract.timezone)).date()

    def check(self, qr_id: str = QR, amount: str = "100.50") -> Answer:
        return self.run(lambda bank: bank.check(self.ask_for(qr_id, amount)))

    def paid_on(self, day: date) -> PaidDay:
        return self.run(lambda bank: _paid_on(bank, day))

    def error(self, qr_id: str = QR, *, patience_s: float | None = None) -> BankError:
        """What the check fails with; nothing secret is in it."""
        return self.run(lambda bank: _error(bank, self.ask_for(qr_id)), patience_s=patience_s)

    def only_if_it_lists(self) -> None:
        async def look(bank: Bank) -> bool:
            return isinstance(bank, ListsPayments)

        if not self.run(look):
            pytest.skip("has no paid_on()")

    def good_body(self, use: Callable[[Bank], Awaitable[object]] | None = None, *, logins: bool = False) -> bytes:
        """The body of the first good answer to a check, or to what `use` asks; or that of its login."""
        self.exchanged = []
        self.run(use or (lambda bank: bank.check(self.ask_for(QR))))
        found = [one.body for one in self.exchanged if self.contract.is_login(one.request) is logins]
        self.forget_requests()
        return found[0]

    def spoilt(self, use: Callable[[Bank], Awaitable[T]]) -> list[tuple[str, T | BankError]]:
        """What comes of a call for every field of every answer, spoilt in each way; with the name of the place."""

        async def run(line: _Line) -> list[tuple[str, T | BankError]]:
            await use(line.adapter())
            answers = [one for one in self.exchanged if not self.contract.is_login(one.request)]
            found: list[tuple[str, T | BankError]] = []
            for one in answers:
                path = _path(one.request)
                for place, body in spoilt(parse_json(one.body)):
                    line.tap.rewrite(_rewriting(path, body))
                    try:
                        found.append((f"{path} {place}", await use(line.adapter())))
                    except BankError as error:
                        self.assert_sayable(error)
                        found.append((f"{path} {place}", error))
            return found

        self.forget_requests()
        return self._on_a_line(run)

    def run(self, use: Callable[[Bank], Awaitable[T]], *, patience_s: float | None = None) -> T:
        """What `use` returns for a fresh adapter that asks the bank; `patience_s` bounds each request."""

        async def run(line: _Line) -> T:
            with _patience(patience_s):
                return await use(line.adapter())

        try:
            return self._on_a_line(run)
        except BankError as error:
            self.assert_sayable(error)
            raise

    def _on_a_line(self, use: Callable[[_Line], Awaitable[T]]) -> T:
        async def run() -> T:
            tap = Wiretap(self.bank.url)
            tap.play(lambda request: self._plays(request))  # noqa: PLW0108 - `use` may change it
            tap.requests, tap.exchanged = self.requests, self.exchanged
            async with tap.open(), make_client(pooled=self.pooled) as client:
                tools = BankTools(client, self.clock, MemoryVault(self.clock))
                profile = self._profile(tap.url)
                self._secrets |= {value for key, value in profile.options.items() if key not in SHOWN}
                return await use(_Line(tap, lambda: type(self.contract).adapter(profile, tools)))

        return asyncio.run(run())

    def assert_sayable(self, error: BankError) -> None:
        """A message is short and tells nothing secret."""
        assert 0 < len(error.message) <= MAX_MESSAGE, error.message
        self.assert_no_secret(error.message)

    def assert_no_secret(self, *texts: str) -> None:
        bearers = {request.headers.get("authorization", "").rpartition(" ")[2] for request in self.requests}
        for text in texts:
            for secret in self._secrets | bearers:
                assert len(secret) < 6 or secret not in text

    def _profile(self, url: str) -> BankProfile:
        contract = self.contract
        return BankProfile(
            name="practice",
            adapter="practice",
            base_url=url,
            environment="certification",
            timezone=ZoneInfo(contract.timezone),
            currency=contract.currency,
            account="main",
            due_margin_s=120.0,
            rate_per_s=10.0,
            concurrency=20,
            options=contract.options(self.bank, url),
            tables=contract.tables,
        )


@dataclass(frozen=True)
class _Line:
    """A line to the bank, and how to make an adapter at its end; all of them share one token."""

    tap: Wiretap
    adapter: Callable[[], Bank]


async def _paid_on(bank: Bank, day: date) -> PaidDay:
    assert isinstance(bank, ListsPayments)
    return await bank.paid_on(day)


async def _error(bank: Bank, ask: Ask) -> BankError:
    """The error of a check; anything but a BankError, or an answer, fails the test."""
    with pytest.raises(BankError) as caught:
        await bank.check(ask)
    return caught.value


def _in_order(listed: PaidDay) -> list[Any]:
    return sorted(listed.payments, key=lambda payment: (payment.qr_id, payment.bank_transaction_id))


@contextlib.contextmanager
def _patience(seconds: float | None) -> Iterator[None]:
    before = bank_http.TOTAL_S
    bank_http.TOTAL_S = before if seconds is None else seconds
    try:
        yield
    finally:
        bank_http.TOTAL_S = before


@contextlib.contextmanager
def _bounded(memory: int = MAX_MEMORY) -> Iterator[None]:
    """What is done inside ends soon, and never holds more than so many bytes at once."""
    tracemalloc.start()
    started = time.monotonic()
    try:
        yield
        spent_s, (_now, peak) = time.monotonic() - started, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert spent_s < SLOW_MACHINE_S
    assert peak < memory


def _path(request: Request) -> str:
    return f"{request.method} {request.target.partition('?')[0]}"


def _rewriting(path: str, body: bytes) -> Callable[[Request, bytes], bytes]:
    return lambda request, good: body if _path(request) == path else good
