"""The day-list sweep: every day read whole once, every payment booked once, nothing dropped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from paysync_cli.banks.base import Refused, Throttled, Unavailable, Unreadable
from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.payments.decision import fingerprint
from paysync_cli.payments.qr import PaidDay, Payment, Qr, UnreadablePayment
from paysync_cli.payments.status import PlanState, Status
from paysync_cli.services import sweep as sweeping
from paysync_cli.services.engine import OpenBank
from paysync_cli.services.register import Request, Wish, enqueue
from paysync_cli.services.sweep import BankSwept, payment_from_detail, payment_to_detail, sweep
from paysync_cli.services.worker import Sweeping
from paysync_cli.store import banks as bank_rows
from paysync_cli.store import history, leases, ledger, qrs
from paysync_cli.store.alerts import list_alerts
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database, Tx
from paysync_cli.store.tables import reviews
from tests.books import add_qr, dump
from tests.core import LA_PAZ, NOW, RHYTHM, ScriptedBank, garbled, paid

TODAY = date(2031, 6, 14)
ENVIRONMENT = "certification"


class Town:
    """A database, a bank with lists of every day, and the time of the bank's wall clock."""

    def __init__(self, store: Database) -> None:
        self.store = store
        self.bank = ScriptedBank()
        self.now = NOW

    def at(self, day: date, clock: str) -> None:
        """It is this time in the bank's zone; lists are read whole from now on."""
        self.now = datetime.combine(day, time.fromisoformat(clock), tzinfo=LA_PAZ).astimezone(UTC)

    def lists(self, day: date, *payments: Payment, unreadable: Sequence[UnreadablePayment] = (), **fields: Any) -> None:
        self.bank.days[day] = PaidDay(payments, tuple(unreadable), **{"sent_at": self.now} | fields)

    def sweep(self, **options: Any) -> BankSwept:
        """One sweep; days without a list are empty ones. Which days it read is in `bank.listed`."""
        self.bank.listed.clear()
        for day in (self.now.astimezone(LA_PAZ).date() - timedelta(days=n) for n in range(40)):
            known = self.bank.days.get(day)
            if known is None:
                self.lists(day)
            elif isinstance(known, PaidDay):
                self.bank.days[day] = replace(known, sent_at=self.now)
        clock = Clock(datetime.now(UTC), self.now, 1e-9)
        banks = {"sim": OpenBank(self.bank, ENVIRONMENT, RHYTHM)}
        (swept,) = asyncio.run(sweep(self.store, banks, clock, lambda: 0.0, **options)).banks
        return swept

    @property
    def read(self) -> list[str]:
        """The days that were asked for; in which order is a test of its own."""
        return sorted(day.isoformat() for day in self.bank.listed)

    @property
    def high_water(self) -> str | None:
        with self.store.read() as tx:
            day = bank_rows.swept(tx, "sim", ENVIRONMENT).day
        return day.isoformat() if day is not None else None

    def look(self, qr_id: str) -> Qr:
        with self.store.read() as tx:
            return qrs.known(tx, "sim", ENVIRONMENT, [qr_id])[qr_id]

    def reviews(self) -> list[tuple[str, str, str, str]]:
        with self.store.read() as tx:
            found = tx.execute(select(reviews)).all()
        return sorted((one.reason, one.qr_id, one.state, json.loads(one.detail).get("element", "")) for one in found)

    def balance(self) -> dict[str, int]:
        with self.store.read() as tx:
            assert ledger.balances(tx) == ledger.sums(tx)
            return {one.currency: one.amount for one in ledger.balances(tx)}

    def register(self, qr_id: str, **changes: Any) -> None:
        request = Request(qr_id, 10000, "BOB", "main", None, False, None)
        enqueue(
            self.store, [replace(request, **changes)], bank="sim", environment=ENVIRONMENT, rhythm=RHYTHM,
            now=self.now, wish=Wish(who="me"),
        )  # fmt: skip


@pytest.fixture
def town(any_store: Database) -> Town:
    return Town(any_store)


# -- which days are read


def test_the_first_run_reads_from_the_oldest_open_qr(town: Town) -> None:
    add_qr(town.store, "OLD", registered_at=NOW - timedelta(days=3))
    add_qr(town.store, "ENDED", status="expired", registered_at=NOW - timedelta(days=9))
    town.sweep()
    assert town.read == ["2031-06-11", "2031-06-12", "2031-06-13", "2031-06-14"]
    assert town.high_water == "2031-06-13"


def test_the_first_run_reads_at_most_thirty_days(town: Town) -> None:
    add_qr(town.store, "OLD", registered_at=NOW - timedelta(days=300))
    town.sweep()
    assert (town.read[0], len(town.read)) == ("2031-05-15", 31)


def test_without_an_open_qr_only_today_is_read(town: Town) -> None:
    town.sweep()
    assert town.read == ["2031-06-14"]


def test_today_is_read_by_every_sweep_and_yesterday_until_it_was_read_after_its_end(town: Town) -> None:
    add_qr(town.store, "QR1", registered_at=NOW)
    town.sweep()
    town.sweep()
    assert (town.read, town.high_water) == (["2031-06-14"], "2031-06-13")
    tomorrow = TODAY + timedelta(days=1)
    town.at(tomorrow, "00:01:59")
    town.sweep()
    assert (town.read, town.high_water) == (["2031-06-14", "2031-06-15"], "2031-06-13")
    town.at(tomorrow, "00:02:00")
    town.sweep()
    assert (town.read, town.high_water) == (["2031-06-14", "2031-06-15"], "2031-06-14")
    town.sweep()
    assert town.read == ["2031-06-15"]


def test_an_outage_over_midnight_leaves_no_hole(town: Town) -> None:
    add_qr(town.store, "QR1", amount=10000, registered_at=NOW)
    town.sweep()
    for day in (14, 15, 16):
        town.lists(date(2031, 6, day), paid(f"t{day}", "1.00"))
    town.at(date(2031, 6, 17), "09:00")
    town.sweep()
    assert town.read == ["2031-06-14", "2031-06-15", "2031-06-16", "2031-06-17"]
    assert town.balance() == {"BOB": 300}


def test_an_outage_over_midnight_leaves_no_hole_though_every_qr_has_ended(town: Town) -> None:
    """Late money of a QR that is final: the list is the only way by which it comes."""
    add_qr(town.store, "QR1", amount=10000, registered_at=NOW)
    town.sweep()
    with town.store.write() as tx:
        tx.exec_driver_sql("UPDATE paysync_qrs SET status = 'expired', plan_state = 'done', next_check_at = NULL")
    town.lists(TODAY, paid("t1"))
    town.at(TODAY + timedelta(days=1), "09:00")
    town.sweep()
    assert (town.balance(), town.look("QR1").status) == ({"BOB": 10000}, Status.COMPLETED)


@pytest.mark.parametrize("clock", ["20:00", "21:05", "23:59:59"])
def test_the_day_is_the_bank_s_when_it_is_tomorrow_in_utc(town: Town, clock: str) -> None:
    town.at(TODAY, clock)
    assert town.now.date() == TODAY + timedelta(days=1)
    town.sweep()
    assert town.read == ["2031-06-14"]
    assert town.high_water is None


def test_a_list_with_a_missing_page_is_booked_and_read_again(town: Town) -> None:
    add_qr(town.store, "QR1", amount=10000, registered_at=NOW - timedelta(days=2))
    town.lists(TODAY - timedelta(days=2), paid("t1", "1.00"), complete=False)
    swept = town.sweep()
    assert [day.complete for day in swept.days] == [False, True, False]
    assert (town.balance(), town.high_water) == ({"BOB": 100}, "2031-06-11")
    town.lists(TODAY - timedelta(days=2), paid("t1", "1.00"), paid("t2", "1.00"))
    town.sweep()
    assert (town.read[0], town.high_water, town.balance()) == ("2031-06-12", "2031-06-13", {"BOB": 200})


def test_today_is_read_before_all_others_and_they_from_the_oldest_on(town: Town) -> None:
    add_qr(town.store, "QR1", registered_at=NOW - timedelta(days=3))
    town.sweep()
    assert [day.day for day in town.bank.listed] == [14, 11, 12, 13]


@pytest.mark.parametrize("failure", [Unavailable("down"), Unreadable("HTML"), KeyError("paymentList")])
def test_a_day_that_cannot_be_read_hides_no_later_one(town: Town, failure: Exception) -> None:
    add_qr(town.store, "QR1", amount=10000, registered_at=NOW - timedelta(days=3))
    for day in (11, 13, 14):
        town.lists(date(2031, 6, day), paid(f"t{day}", "1.00"))
    town.bank.days[date(2031, 6, 12)] = failure
    swept = town.sweep()
    assert ((swept.error or "")[:12], swept.refused, [one.day.day for one in swept.days]) == (
        "2031-06-12: ",
        False,
        [11, 13, 14],
    )
    assert (town.balance(), town.high_water) == ({"BOB": 300}, "2031-06-11")
    del town.bank.days[date(2031, 6, 12)]
    assert town.sweep().error is None
    assert (town.balance(), town.high_water) == ({"BOB": 300}, "2031-06-13")


def test_what_is_paid_after_a_day_that_is_never_read_is_booked_on_its_day(town: Town) -> None:
    add_qr(town.store, "QR1", amount=10000, multi_use=True, registered_at=NOW - timedelta(days=3))
    town.bank.days[date(2031, 6, 12)] = Unreadable("HTML")
    for later in range(1, 9):
        town.at(TODAY + timedelta(days=later), "12:00")
        town.lists(TODAY + timedelta(days=later), paid(f"t{later}", "1.00"))
        assert town.sweep().booked == 1
    assert (town.balance(), town.high_water) == ({"BOB": 800}, "2031-06-11")


def test_a_run_of_days_without_an_answer_hides_no_later_one_while_today_s_list_comes(town: Town) -> None:
    add_qr(town.store, "QR1", amount=10000, registered_at=NOW - timedelta(days=6))
    for day in (8, 9, 10, 11, 12):
        town.bank.days[date(2031, 6, day)] = Unavailable("down")
    town.lists(date(2031, 6, 13), paid("t13"))
    town.sweep()
    assert town.balance() == {"BOB": 10000}


@pytest.mark.parametrize(
    ("failing", "asked"),
    [
        (Unavailable("down"), [14, 8]),  # dead: neither today nor the oldest
        (Throttled("later"), [14]),
        (Refused("locked"), [14]),
    ],
)
def test_a_bank_that_answers_for_no_day_is_not_asked_for_all(town: Town, failing: Exception, asked: list[int]) -> None:
    add_qr(town.store, "QR1", registered_at=NOW - timedelta(days=6))
    for day in range(8, 15):
        town.bank.days[date(2031, 6, day)] = failing
    town.sweep()
    assert [day.day for day in town.bank.listed] == asked


def test_a_bank_that_dies_on_the_way_is_asked_for_today_once_more_and_left_alone(town: Town) -> None:
    add_qr(town.store, "QR1", registered_at=NOW - timedelta(days=6))
    honest, answered = town.bank.paid_on, 0

    async def dying(day: date) -> PaidDay:
        nonlocal answered
        told = await honest(day)
        answered += 1
        if answered > 2:
            raise Unavailable("down")
        return told

    town.bank.paid_on = dying  # type: ignore[method-assign]
    town.sweep()
    assert [day.day for day in town.bank.listed] == [14, 8, 9, 10, 14]
    assert town.high_water == "2031-06-08"


def test_a_refusal_on_the_way_is_what_is_told(town: Town) -> None:
    add_qr(town.store, "QR1", registered_at=NOW - timedelta(days=6))
    town.bank.days[TODAY] = Unreadable("HTML")
    town.bank.days[date(2031, 6, 9)] = Refused("locked")
    swept = town.sweep()
    assert (swept.error, swept.refused, [day.day for day in town.bank.listed]) == ("locked", True, [14, 8, 9])


def test_a_day_still_incomplete_a_day_after_its_end_is_alerted_once_and_names_the_command(town: Town) -> None:
    add_qr(town.store, "QR1", amount=10000, registered_at=NOW - timedelta(days=1))
    yesterday = date(2031, 6, 13)
    town.bank.days[yesterday] = Unavailable("down")

    def told() -> list[tuple[str, str, bool]]:
        with town.store.read() as tx:
            return [(one.kind.value, one.detail, one.standing) for one in list_alerts(tx)]

    town.at(TODAY, "23:59")
    town.sweep()
    assert told() == []
    town.at(TODAY + timedelta(days=1), "00:01")
    town.sweep()
    town.sweep()
    assert told() == [("day_incomplete", "2031-06-13", True)]
    del town.bank.days[yesterday]
    town.sweep()
    town.sweep()
    assert told() == [("day_incomplete", "2031-06-13", False)]


def test_a_refused_credential_is_told_apart(town: Town) -> None:
    town.bank.days[TODAY] = Refused("locked")
    swept = town.sweep()
    assert (swept.error, swept.refused) == ("locked", True)


@pytest.mark.parametrize(
    ("bug", "said"), [("raises", "KeyError in test_sweep.py, line "), ("hangs", "no list of 2031-06-14")]
)
def test_one_bank_s_bug_does_not_keep_the_others_from_being_swept(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch, bug: str, said: str
) -> None:
    class Broken(ScriptedBank):
        async def paid_on(self, day: date) -> PaidDay:
            if bug == "hangs":
                await asyncio.Event().wait()
            raise KeyError("paymentList")

    monkeypatch.setattr(sweeping, "LIST_TIMEOUT_S", 0.01)
    healthy = ScriptedBank(days={TODAY: PaidDay((paid("t1"),), (), NOW)})
    add_qr(sqlite_store, "QR1", amount=10000, bank="healthy", registered_at=NOW)
    banks = {"sim": OpenBank(Broken(), ENVIRONMENT, RHYTHM), "healthy": OpenBank(healthy, ENVIRONMENT, RHYTHM)}
    clock = Clock(datetime.now(UTC), NOW, 1e-9)
    report = asyncio.run(sweep(sqlite_store, banks, clock, lambda: 0.0))
    assert (report.banks[0].error or "").startswith(said)
    assert (report.failed, report.banks[1].booked) == (1, 1)
    with sqlite_store.read() as tx:
        remembered = bank_rows.last_sweeps(tx)
    assert (remembered["sim"].ok_at, remembered["sim"].error) == (None, report.banks[0].error)
    assert (remembered["healthy"].ok_at, remembered["healthy"].error) == (remembered["healthy"].at, None)


def test_a_bank_without_lists_is_not_swept(sqlite_store: Database) -> None:
    class Plain:
        profile = ScriptedBank().profile

        async def check(self, _ask: object) -> Any:
            raise AssertionError

    banks = {"sim": OpenBank(Plain(), ENVIRONMENT, RHYTHM)}
    report = asyncio.run(sweep(sqlite_store, banks, Clock(NOW, NOW), lambda: 0.0))
    assert report.banks == (BankSwept("sim", (), lists=False),)


def lead(town: Town, owner: str) -> leases.Lease:
    """Take the lease, and let the next one take it at once."""
    with town.store.write() as tx:
        lease = leases.take(tx, leases.LEADER, owner, NOW, NOW)
    assert lease is not None
    return lease


def test_a_leader_that_lost_its_lease_neither_asks_nor_books_nor_remembers(town: Town) -> None:
    add_qr(town.store, "QR1", amount=10000, registered_at=NOW - timedelta(days=3))
    town.lists(TODAY, paid("t1"))
    stale = lead(town, "a")
    lead(town, "b")
    town.sweep(lease=stale)
    assert (town.read, town.balance(), town.high_water) == ([], {}, None)
    town.sweep(lease=lead(town, "c"))
    assert (town.balance(), town.high_water) == ({"BOB": 10000}, "2031-06-13")


def test_a_leader_that_loses_its_lease_while_the_bank_answers_writes_nothing(town: Town) -> None:
    add_qr(town.store, "QR1", amount=10000, registered_at=NOW - timedelta(days=3))
    town.lists(TODAY, paid("t1"), paid("t2", qr_id="NOBODY"))
    honest, lease = town.bank.paid_on, lead(town, "a")

    async def slow(day: date) -> PaidDay:
        lead(town, "b")
        return await honest(day)

    town.bank.paid_on = slow  # type: ignore[method-assign]
    town.sweep(lease=lease)
    assert (town.read, town.balance(), town.reviews(), town.high_water) == (["2031-06-14"], {}, [], None)


# -- what is booked


def test_the_list_books_once_however_often_it_is_read(town: Town) -> None:
    add_qr(town.store, "QR1", amount=10000, registered_at=NOW)
    town.lists(TODAY, paid("t1"))
    first, again = town.sweep(), town.sweep()
    assert (first.booked, again.booked) == (1, 0)
    assert (town.look("QR1").status, town.balance()) == (Status.COMPLETED, {"BOB": 10000})
    assert town.look("QR1").plan.state is PlanState.DONE


def test_what_is_booked_already_writes_nothing(sqlite_store: Database) -> None:
    town = Town(sqlite_store)
    add_qr(sqlite_store, "QR1", amount=10000, registered_at=NOW)
    town.lists(TODAY, paid("t1", "1.00"))
    town.sweep()
    before = [line for line in dump(sqlite_store) if "paysync_banks" not in line]
    town.sweep()
    assert [line for line in dump(sqlite_store) if "paysync_banks" not in line] == before


def test_several_payments_of_one_qr_are_all_booked(town: Town) -> None:
    add_qr(town.store, "QR1", amount=10000, multi_use=True, registered_at=NOW)
    town.lists(TODAY, *(paid(f"t{n}", "1.00") for n in range(5)))
    assert (town.sweep().booked, town.balance()) == (5, {"BOB": 500})


def test_more_qrs_than_one_transaction_takes(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "GROUP", 3)
    for n in range(5):
        add_qr(town.store, f"QR{n}", amount=10000, registered_at=NOW)
    town.lists(TODAY, *(paid(f"t{n}", qr_id=f"QR{n}") for n in range(10)))
    swept = town.sweep()
    assert (swept.booked, swept.days[0].reviews, town.balance()) == (5, 5, {"BOB": 50000})


def test_one_transaction_under_two_qrs_of_the_list_is_a_review(town: Town) -> None:
    for qr_id in ("QR1", "QR2"):
        add_qr(town.store, qr_id, amount=10000, registered_at=NOW)
    town.lists(TODAY, paid("t1"), paid("t1", qr_id="QR2"))
    assert (town.sweep().booked, [review[0] for review in town.reviews()]) == (2, ["transaction_conflict"])


@pytest.mark.parametrize("status", ["active", "completed"])
def test_an_unreadable_element_of_a_known_qr_is_reviewed_once(town: Town, status: str) -> None:
    add_qr(town.store, "QR1", status=status, registered_at=NOW)
    town.lists(TODAY, unreadable=[garbled()])
    first, again = town.sweep(), town.sweep()
    assert (first.days[0].reviews, again.days[0].reviews) == (1, 0)
    assert town.reviews() == [("unreadable_payment", "QR1", "open", garbled().raw)]


def test_an_unreadable_element_that_has_its_review_counts_as_read(town: Town) -> None:
    add_qr(town.store, "QR1", registered_at=NOW - timedelta(days=1))
    town.lists(TODAY - timedelta(days=1), unreadable=[garbled()])
    town.sweep()
    assert town.high_water == "2031-06-13"


def test_an_unreadable_element_of_nobody_is_reviewed_too(town: Town) -> None:
    nobody = UnreadablePayment("[]", "not_an_object", None)
    town.lists(TODAY, unreadable=[nobody])
    assert town.sweep().days[0].reviews == 1
    assert town.reviews() == [("unreadable_payment", "", "open", "[]")]


def test_text_that_no_database_keeps_hides_nothing(town: Town) -> None:
    """Every kind of it: tests/unit/test_storable.py."""
    add_qr(town.store, "QR1", amount=10000, multi_use=True, registered_at=NOW)
    broken = [paid("t9", qr_id="NO\ud800BODY"), paid("t8", qr_id="N" * 5000), paid("t\0", qr_id="NOBODY")]
    payers = [paid("t1", payer="\ud800"), paid("t2", payer="A\0na"), paid("t3", qr_id="STRAY", payer="\ud800")]
    town.lists(TODAY, *broken, *payers, unreadable=[garbled("\ud800"), garbled("{}", "\0", "NO\0BODY")])
    swept = town.sweep()
    assert (swept.error, town.balance()) == (None, {"BOB": 20000})
    reviews = [review[:2] for review in town.reviews()]
    assert reviews == [
        ("unknown_qr", "STRAY"),
        *[("unreadable_payment", qr_id) for qr_id in ("", "", "", "NOBODY", "QR1")],
    ]


def test_a_row_that_cannot_be_written_keeps_the_day_open(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    add_qr(town.store, "QR1", amount=10000, registered_at=NOW - timedelta(days=1))
    add_qr(town.store, "QR2", amount=10000, registered_at=NOW - timedelta(days=1))
    honest = ledger.book

    def choosy(tx: Tx, bookings: Sequence[ledger.Booking], now: datetime) -> None:
        if any(booking.movement.bank_transaction_id == "t1" for booking in bookings):
            raise ValueError("not this one")
        honest(tx, bookings, now)

    monkeypatch.setattr(ledger, "book", choosy)
    town.lists(TODAY - timedelta(days=1), paid("t1"), paid("t2", qr_id="QR2"))
    assert not town.sweep().days[0].complete
    assert (town.balance(), town.high_water) == ({"BOB": 10000}, "2031-06-12")
    monkeypatch.undo()
    town.sweep()
    assert (town.balance(), town.high_water) == ({"BOB": 20000}, "2031-06-13")


def test_a_stranger_that_cannot_be_kept_hides_no_other_and_no_other_day(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_qr(town.store, "QR1", amount=10000, multi_use=True, registered_at=NOW - timedelta(days=1))
    honest = history.open_stray_review

    def choosy(tx: Tx, *, qr_id: str, **fields: Any) -> bool:
        if qr_id == "NOBODY":
            raise ValueError("not this one")
        return honest(tx, qr_id=qr_id, **fields)

    monkeypatch.setattr(history, "open_stray_review", choosy)
    strangers = [paid(f"s{n}", qr_id=f"STRAY{n}") for n in range(4)]
    town.lists(TODAY - timedelta(days=1), paid("t9", qr_id="NOBODY"), paid("t1", "1.00"), *strangers)
    town.lists(TODAY, paid("t2", "1.00"))
    town.sweep()
    assert (town.balance(), town.high_water) == ({"BOB": 200}, "2031-06-12")
    assert [review[1] for review in town.reviews()] == ["STRAY0", "STRAY1", "STRAY2", "STRAY3"]
    monkeypatch.undo()
    town.sweep()
    assert town.high_water == "2031-06-13"
    assert "NOBODY" in [review[1] for review in town.reviews()]


def test_a_database_that_cannot_be_reached_for_strangers_is_not_halved(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def away(*_: object) -> None:
        nonlocal calls
        calls += 1
        raise DatabaseUnavailable("away")

    town.lists(TODAY, *(paid(f"s{n}", qr_id=f"STRAY{n}") for n in range(4)))
    monkeypatch.setattr(sweeping, "_keep_strays", away)
    with pytest.raises(DatabaseUnavailable):
        town.sweep()
    assert calls == 1


# -- payments of QRs that are not registered


def test_a_payment_of_an_unknown_qr_is_kept_whole_and_is_no_movement(town: Town) -> None:
    payment = paid("t1", "12.50", "USD", payer="Ana", paid_at=NOW)
    town.lists(TODAY, payment)
    assert town.sweep().days[0].reviews == 1
    assert town.balance() == {}
    with town.store.read() as tx:
        (stray,) = history.strays(tx, "sim", ENVIRONMENT, ["QR1"])
    assert payment_from_detail("QR1", stray.detail) == payment
    town.sweep()
    assert len(town.reviews()) == 1


@pytest.mark.parametrize(("shared", "told"), [(False, [("review_opened", 2)]), (True, [])])
def test_payments_of_unknown_qrs_are_alerted_unless_others_share_the_credential(
    town: Town, monkeypatch: pytest.MonkeyPatch, shared: bool, told: list[tuple[str, int]]
) -> None:
    monkeypatch.setitem(globals(), "RHYTHM", replace(RHYTHM, shared=shared))
    town.lists(TODAY, paid("t1"), paid("t2", qr_id="QR2"))
    for _again in range(2):
        town.sweep()
    assert len(town.reviews()) == 2
    with town.store.read() as tx:
        assert [(one.kind.value, one.count) for one in list_alerts(tx)] == told


@pytest.mark.parametrize(
    "payment",
    [paid("t1"), paid("t1", "1E+2", paid_at=None, payer=None), paid("t1", "0.0001", "CLF", payer="ñandú 😀")],
)
def test_a_kept_payment_comes_back_as_it_was(payment: Payment) -> None:
    kept = payment_from_detail("QR1", payment_to_detail(payment))
    assert kept == payment
    assert str(kept.amount) == str(payment.amount)


def test_it_is_booked_when_its_qr_is_registered_and_the_review_closed(town: Town) -> None:
    town.lists(TODAY, paid("t1"), paid("t2", "1.00"))
    town.sweep()
    town.register("QR1")
    qr = town.look("QR1")
    assert (qr.status, qr.plan.state, town.balance()) == (Status.COMPLETED, PlanState.DONE, {"BOB": 10100})
    kept = paid("t1").raw, paid("t2", "1.00").raw
    assert [review for review in town.reviews() if review[0] == "unknown_qr"] == [
        ("unknown_qr", "QR1", "resolved", raw) for raw in sorted(kept)
    ]
    assert (town.sweep().booked, town.balance()) == (0, {"BOB": 10100})


def test_a_payment_of_a_qr_in_another_environment_is_unknown(town: Town) -> None:
    add_qr(town.store, "QR1", amount=10000, environment="production", registered_at=NOW)
    town.lists(TODAY, paid("t1"))
    assert (town.sweep().booked, town.reviews()[0][0]) == (0, "unknown_qr")


def test_a_qr_registered_between_the_list_and_the_review_is_booked(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, left = sweeping._known, ["QR1"]

    def slow(*args: Any) -> Any:
        found = honest(*args)
        if left:
            town.register(left.pop())
        return found

    monkeypatch.setattr(sweeping, "_known", slow)
    town.lists(TODAY, paid("t1"), paid("t2", qr_id="QR2"))
    swept = town.sweep()
    assert (swept.booked, town.look("QR1").status, town.balance()) == (1, Status.COMPLETED, {"BOB": 10000})
    assert [review[:2] for review in town.reviews()] == [("unknown_qr", "QR2")]


def test_the_hash_names_an_element_that_has_no_id() -> None:
    assert fingerprint("{}") == fingerprint("{}") != fingerprint("[]")


# -- the leader's round


def rounds(town: Town, speed: float) -> Sweeping:
    """The sweep of a leader, by a clock of this speed."""
    banks = {"sim": OpenBank(town.bank, ENVIRONMENT, RHYTHM)}
    leading: Any = SimpleNamespace(lease=lead(town, "us"))
    stopped: Any = SimpleNamespace(reasons={}, refresh=lambda: None)
    clock = Clock(datetime.now(UTC), town.now, speed)
    return Sweeping(town.store, banks, clock, stopped, leading, timedelta(minutes=5))


def test_a_database_that_takes_no_writes_does_not_hammer_the_bank(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("read only")

    town = Town(sqlite_store)
    town.lists(TODAY)
    monkeypatch.setattr(bank_rows, "record_sweep", broken)

    async def three_times(sweeping: Sweeping) -> None:
        for _again in range(3):
            with pytest.raises(DatabaseUnavailable):
                await sweeping.run()

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(three_times(rounds(town, 1e-6)), 1.0))
    assert town.read == ["2031-06-14"]
    asyncio.run(three_times(rounds(town, 1e3)))  # a minute is over in a moment
    assert town.read == ["2031-06-14"] * 4


def test_a_sweep_that_ended_well_waits_its_interval_and_no_longer(sqlite_store: Database) -> None:
    town = Town(sqlite_store)
    town.lists(TODAY)
    sweeping = rounds(town, 300.0)
    assert asyncio.run(sweeping.run()) == 1.0
    assert town.read == ["2031-06-14"]
