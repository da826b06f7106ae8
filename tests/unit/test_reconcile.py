"""One day of a bank against our books: every kind of difference, no false one, and what a fix does."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from paysync_cli.banks.base import BankProfile, Refused, Unavailable
from paysync_cli.errors import InputError, UsageError
from paysync_cli.payments.qr import Movement, PaidDay, Payment, Qr, UnreadablePayment
from paysync_cli.payments.status import Status
from paysync_cli.services.engine import OpenBank
from paysync_cli.services.reconcile import DayReconciled, Difference, Kind, ReconcileReport, Task, reconcile
from paysync_cli.store import alerts, history, ledger, qrs, reviews
from paysync_cli.store import banks as bank_rows
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database
from tests.books import add_qr, dump, new_database
from tests.core import RHYTHM, ScriptedBank, garbled

DAY = date(2031, 6, 13)
NOON = datetime(2031, 6, 13, 16, 0, tzinfo=UTC)
NOW = datetime(2031, 6, 14, 16, 0, tzinfo=UTC)
WHO = "ana@till"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def paid(transaction: str, amount: str = "100.50", qr: str = "QR1", **fields: Any) -> Payment:
    raw = json.dumps({"transactionId": transaction, "amount": amount, "qrId": qr})
    return replace(Payment(qr, transaction, Decimal(amount), "BOB", NOON, "Ana", raw), **fields)


def book(store: Database, qr: Qr, *payments: Payment, booked_at: datetime = NOON) -> None:
    with store.write() as tx:
        for payment in payments:
            movement = Movement(payment.bank_transaction_id, int(payment.amount * 100), payment.currency,
                                payment.paid_at, payment.payer)  # fmt: skip
            ledger.book(tx, [ledger.Booking(qr, movement, "check")], booked_at)


def lists(*payments: Payment, unreadable: tuple[UnreadablePayment, ...] = (), **fields: Any) -> PaidDay:
    return replace(PaidDay(payments, unreadable, NOW), **fields)


def bank_with(days: dict[date, PaidDay | Exception]) -> ScriptedBank:
    """A bank whose other days are empty."""
    return ScriptedBank(days=defaultdict(lists, days))


def compare(
    store: Database, bank: ScriptedBank, day: str = "yesterday", *, fix: bool = False, now: datetime = NOW, **task: Any
) -> DayReconciled:
    (one,) = run(store, {"sim": bank}, day, fix=fix, now=now, **task).days
    return one


def run(
    store: Database,
    banks: dict[str, Any],
    day: str = "yesterday",
    *,
    fix: bool = False,
    now: datetime = NOW,
    **task: Any,
) -> ReconcileReport:
    opened = {name: OpenBank(bank, "certification", RHYTHM) for name, bank in banks.items()}
    return asyncio.run(reconcile(store, opened, Task(day, fix, WHO, **task), Clock(now, now, 0.0), lambda: 0.0))


def kinds(day: DayReconciled) -> list[tuple[str, str, str]]:
    return sorted((one.kind.value, one.qr_id, one.transaction) for one in day.differences)


def balance(store: Database) -> dict[str, int]:
    with store.read() as tx:
        assert ledger.balances(tx) == ledger.sums(tx)
        return {one.currency: one.amount for one in ledger.balances(tx)}


# -- both sides


@pytest.mark.parametrize("status", ["pending", "processing", "active", "completed", "cancelled", "expired"])
def test_booked_on_both_sides_whatever_the_state_of_the_qr(any_store: Database, status: str) -> None:
    qr = add_qr(any_store, "QR1", status=status)
    book(any_store, qr, paid("t1"), paid("t2", "0.10"))
    bank = bank_with({DAY: lists(paid("t1"), paid("t2", "0.1"))})
    day = compare(any_store, bank)
    assert (day.matched, dict(day.totals), day.differences, day.differs) == (2, {"BOB": 10060}, [], False)
    assert (day.day, day.complete, day.whole, day.error) == (DAY, True, True, None)
    assert bank.listed == [DAY]


def test_nothing_on_either_side(store: Database) -> None:
    day = compare(store, bank_with({}))
    assert (day.matched, day.differs, day.complete) == (0, False, True)


def test_a_payment_that_is_listed_many_times_counts_once(store: Database) -> None:
    """Pages that come again bring nothing new, whatever side they are missing on."""
    qr = add_qr(store, "QR1")
    book(store, qr, paid("t1"))
    again = (
        paid("t1"),
        paid("t1", "100.500"),
        paid("t2"),
        paid("t2"),
        paid("t3", qr="NOBODY"),
        paid("t3", qr="NOBODY"),
    )
    element = garbled()
    day = compare(store, bank_with({DAY: lists(*again, unreadable=(element, element))}))
    assert day.matched == 1
    assert kinds(day) == [
        ("missing_here", "QR1", "t2"), ("unknown", "NOBODY", "t3"), ("unreadable", "QR1", "")
    ]  # fmt: skip


# -- every difference


def test_only_there(store: Database) -> None:
    add_qr(store, "QR1", status="expired")
    (one,) = compare(store, bank_with({DAY: lists(paid("t1"))})).differences
    assert one == Difference(
        Kind.MISSING_HERE, "QR1", "t1", Movement("t1", 10050, "BOB", NOON, "Ana"), status=Status.EXPIRED, news="t1"
    )


@pytest.mark.parametrize(
    ("amount", "currency"), [("100.51", "BOB"), ("100.50", "USD")], ids=["another amount", "another currency"]
)
def test_differing(store: Database, amount: str, currency: str) -> None:
    book(store, add_qr(store, "QR1", status="completed"), paid("t1"))
    day = compare(store, bank_with({DAY: lists(paid("t1", amount, currency=currency))}))
    (one,) = day.differences
    assert (one.kind, one.booked and one.booked.amount, one.listed and one.listed.currency) == (
        Kind.DIFFERING, 10050, currency
    )  # fmt: skip
    assert (day.matched, day.differs) == (0, True)


def test_a_list_that_contradicts_itself_matches_once_and_differs_once(store: Database) -> None:
    book(store, add_qr(store, "QR1"), paid("t1"))
    day = compare(store, bank_with({DAY: lists(paid("t1", "1.00"), paid("t1"))}))
    assert (day.matched, kinds(day)) == (1, [("differing", "QR1", "t1")])


def test_unknown_qrs_are_differences_unless_the_credential_is_shared(store: Database) -> None:
    add_qr(store, "QR1", bank="other")
    add_qr(store, "QR1", environment="production")
    bank = bank_with({DAY: lists(paid("t1"))})
    day = compare(store, bank)
    assert (kinds(day), day.differs) == ([("unknown", "QR1", "t1")], True)
    shared = compare(store, bank, foreign=frozenset({"sim"}))
    assert (shared.count(Kind.UNKNOWN), shared.differs) == (1, False)


@pytest.mark.parametrize(
    "payment", [paid("t1", "100.505"), paid(" "), paid("t1", currency="XXX")], ids=["digits", "no id", "currency"]
)
def test_what_cannot_be_booked_is_unreadable(store: Database, payment: Payment) -> None:
    add_qr(store, "QR1")
    day = compare(store, bank_with({DAY: lists(payment)}))
    assert [one.kind for one in day.differences] == [Kind.UNREADABLE]
    assert day.differences[0].problem in ("too_precise", "no_transaction_id", "unknown_currency")


def test_only_here(store: Database) -> None:
    qr = add_qr(store, "QR1", status="completed")
    book(store, qr, paid("t1"), paid("t2", "1.00"))
    day = compare(store, bank_with({DAY: lists(paid("t2", "1.00"))}))
    assert (day.matched, kinds(day)) == (1, [("missing_there", "QR1", "t1")])
    assert day.differences[0].booked == Movement("t1", 10050, "BOB", NOON, "Ana")


def test_movements_of_other_days_banks_and_environments_are_not_missing_there(store: Database) -> None:
    book(store, add_qr(store, "QR1"), paid("t1", paid_at=NOON - timedelta(days=1)), paid("t2", paid_at=NOW))
    book(store, add_qr(store, "QR2", bank="other"), paid("t3"))
    book(store, add_qr(store, "QR3", environment="production"), paid("t4"))
    assert compare(store, bank_with({})).differences == []


@pytest.mark.parametrize(
    ("paid_at", "day"),
    [("2031-06-14T02:30:00+00:00", "2031-06-13"), ("2031-06-14T04:00:00+00:00", "2031-06-14")],
    ids=["22:30 in Bolivia", "midnight"],
)
def test_what_is_only_here_is_missing_on_its_bolivian_day_and_on_no_other(
    store: Database, paid_at: str, day: str
) -> None:
    book(store, add_qr(store, "QR1"), paid("t1", paid_at=datetime.fromisoformat(paid_at)))
    for other in ("2031-06-12", "2031-06-13", "2031-06-14"):
        missing = compare(store, bank_with({}), other).count(Kind.MISSING_THERE)
        assert missing == (other == day), other


# -- no false differences


@pytest.mark.parametrize("other", [DAY - timedelta(days=1), DAY + timedelta(days=1)], ids=["before", "after"])
def test_near_midnight_the_neighbouring_lists_are_looked_at(store: Database, other: date) -> None:
    book(store, add_qr(store, "QR1"), paid("t1"), paid("t2", "1.00"))
    bank = bank_with({DAY: lists(paid("t2", "1.00")), other: lists(paid("t1"))})
    day = compare(store, bank)
    assert (day.differences, day.matched) == ([], 1)


def test_a_payment_listed_on_the_day_is_found_whatever_day_we_think_it_was(store: Database) -> None:
    moments = (NOON - timedelta(days=9), NOON + timedelta(days=1), None)
    qr = add_qr(store, "QR1")
    book(store, qr, *(paid(f"t{n}", paid_at=moment) for n, moment in enumerate(moments)), booked_at=NOW)
    bank = bank_with({DAY: lists(*(paid(f"t{n}") for n in range(3)))})
    assert (compare(store, bank).matched, compare(store, bank).differences) == (3, [])


def test_a_movement_without_a_moment_is_looked_for_back_to_its_issue(store: Database) -> None:
    """Booked on the day, paid long before: the bank tells only its list's day."""
    issued = NOON - timedelta(days=5)
    qr = add_qr(store, "QR1", registered_at=issued)
    book(store, qr, paid("t1", paid_at=None))
    early = bank_with({DAY - timedelta(days=4): lists(paid("t1"))})
    assert compare(store, early).differences == []
    nowhere = bank_with({})
    assert kinds(compare(store, nowhere)) == [("missing_there", "QR1", "t1")]
    assert min(nowhere.listed) == DAY - timedelta(days=6)


def test_a_movement_with_its_moment_is_looked_for_only_on_the_neighbouring_days(store: Database) -> None:
    book(store, add_qr(store, "QR1", registered_at=NOON - timedelta(days=5)), paid("t1"))
    bank = bank_with({})
    assert kinds(compare(store, bank)) == [("missing_there", "QR1", "t1")]
    assert sorted(bank.listed) == [DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)]


def test_what_is_booked_while_the_bank_answers_is_not_missing_there(store: Database) -> None:
    qr = add_qr(store, "QR1")

    class Slow(ScriptedBank):
        async def paid_on(self, day: date) -> PaidDay:
            told = await super().paid_on(day)
            book(store, qr, paid("t1", paid_at=NOW))
            return told

    day = compare(store, Slow(days=defaultdict(lists)), "today")
    assert (day.differences, day.complete, day.whole) == ([], False, True)


@pytest.mark.parametrize(
    ("now", "today", "yesterday"),
    [
        ("2031-06-14T03:59:00+00:00", date(2031, 6, 13), date(2031, 6, 12)),
        ("2031-06-14T04:00:00+00:00", date(2031, 6, 14), date(2031, 6, 13)),
    ],
)
def test_the_day_is_the_banks_also_late_in_its_evening(store: Database, now: str, today: date, yesterday: date) -> None:
    bank, moment = bank_with({}), datetime.fromisoformat(now)
    assert compare(store, bank, "today", now=moment).day == today
    assert compare(store, bank, now=moment).day == yesterday
    assert bank.listed == [today, yesterday]


# -- lists that are not whole


def test_a_day_is_complete_only_by_a_list_asked_for_after_its_end(store: Database) -> None:
    end = datetime(2031, 6, 14, 4, 0, tzinfo=UTC)
    early, late = (bank_with({DAY: lists(sent_at=end + RHYTHM.due_margin + wait)})
                   for wait in (timedelta(seconds=-1), timedelta()))  # fmt: skip
    assert (compare(store, early).complete, compare(store, late).complete) == (False, True)


def test_without_a_page_nothing_is_called_missing_there(store: Database) -> None:
    book(store, add_qr(store, "QR1"), paid("t1"))
    day = compare(store, bank_with({DAY: lists(complete=False)}))
    assert (day.differences, day.whole, day.complete) == ([], False, False)
    day = compare(store, bank_with({DAY - timedelta(days=1): lists(complete=False)}))
    assert (day.differences, day.whole) == ([], False)


@pytest.mark.parametrize("error", [Unavailable("no answer"), Refused("login refused"), RuntimeError("bug")])
@pytest.mark.parametrize("day", [DAY, DAY - timedelta(days=1)], ids=["the day", "a neighbour"])
def test_a_bank_that_does_not_answer_is_an_error_and_no_difference(
    store: Database, error: Exception, day: date
) -> None:
    book(store, add_qr(store, "QR1"), paid("t1"))
    one = compare(store, bank_with({day: error}))
    assert (one.differences, one.matched, one.refused) == ((), 0, isinstance(error, Refused))
    assert one.error
    assert not one.complete


def test_one_bank_of_two(store: Database) -> None:
    down, up = bank_with({DAY: Unavailable("no answer")}), bank_with({DAY: lists(paid("t1"))})
    report = run(store, {"down": down, "sim": up})
    assert [one.bank for one in report.failed] == ["down"]
    assert kinds(report.days[1]) == [("unknown", "QR1", "t1")]


class ListsNothing:
    """A bank that answers only about single QRs."""

    profile: BankProfile = ScriptedBank.profile

    async def check(self, ask: object) -> None: ...


def test_a_bank_without_a_list_by_payment_day(store: Database) -> None:
    with pytest.raises(UsageError, match="sim has no list by payment day") as refused:
        run(store, {"sim": ListsNothing()})
    assert refused.value.exit_status == 2
    first, second = run(store, {"mute": ListsNothing(), "sim": bank_with({})}).days
    assert (first.lists, second.lists) == (False, True)


@pytest.mark.parametrize("day", ["2031-06-15", "someday"])
def test_no_day_no_question(store: Database, day: str) -> None:
    bank = bank_with({})
    with pytest.raises(InputError):
        compare(store, bank, day)
    assert bank.listed == []


def test_looking_changes_nothing(store: Database) -> None:
    book(store, add_qr(store, "QR1"), paid("t1"))
    before = dump(store)
    compare(store, bank_with({DAY: lists(paid("t1", "9.99"), paid("t2"), paid("t3", qr="X"), unreadable=(garbled(),))}))
    assert dump(store) == before


# -- the fix


def everything(store: Database) -> ScriptedBank:
    """A day with one difference of every kind."""
    book(store, add_qr(store, "ONLY-HERE", status="completed"), paid("t1", qr="ONLY-HERE"))
    book(store, add_qr(store, "DIFFERS", status="completed"), paid("t2", qr="DIFFERS"))
    add_qr(store, "OPEN")
    add_qr(store, "LATE", status="expired")
    return bank_with({
        DAY: lists(
            paid("t2", "100.51", qr="DIFFERS"),
            paid("t3", qr="OPEN"),
            paid("t4", "40.00", qr="LATE"),
            paid("t5", qr="NOBODY"),
            unreadable=(garbled(qr_id="OPEN"),),
        )
    })  # fmt: skip


def test_the_fix_books_what_is_listed_and_tells_what_is_left(any_store: Database) -> None:
    bank = everything(any_store)
    with any_store.read() as tx:
        before = ledger.of(tx, [1, 2])
    day = compare(any_store, bank, fix=True)
    assert (day.booked, day.opened, day.matched) == (2, 4, 2)
    assert kinds(day) == [
        ("differing", "DIFFERS", "t2"),
        ("missing_there", "ONLY-HERE", "t1"),
        ("unknown", "NOBODY", "t5"),
        ("unreadable", "OPEN", ""),
    ]
    assert {one.kind.value: one.review and one.review.reason for one in day.differences} == {
        "differing": "transaction_conflict",
        "missing_there": None,
        "unknown": "unknown_qr",
        "unreadable": "unreadable_payment",
    }
    assert balance(any_store) == {"BOB": 10050 * 3 + 4000}
    with any_store.read() as tx:
        assert ledger.of(tx, [1, 2]) == before
        known = qrs.known(tx, "sim", "certification", ["OPEN", "LATE"])
        told = history.story(tx, known["OPEN"].id)
        opened = sorted(one.reason for one in reviews.page(tx, reviews.Wanted())[0])
    assert (known["OPEN"].status, known["LATE"].status) == (Status.COMPLETED, Status.EXPIRED)
    assert [(m["source"], m["amount_minor"]) for m in told.movements] == [("reconcile", 10050)]
    assert told.transitions[-1]["cause"] == "reconcile"
    assert opened == ["late_payment", "transaction_conflict", "unknown_qr", "unreadable_payment"]


def test_the_fix_is_audited_once(store: Database) -> None:
    bank = everything(store)
    first = compare(store, bank, fix=True)
    after = dump(store)
    again = compare(store, bank, fix=True)
    assert dump(store) == after
    assert (again.booked, again.opened, kinds(again)) == (0, 0, kinds(first))
    with store.read() as tx:
        (row,) = tx.exec_driver_sql("SELECT who, action, object, detail FROM paysync_audit").all()
    assert row[:3] == (WHO, "reconcile_fix", "sim/2031-06-13")
    assert json.loads(row[3]) == {"environment": "certification", "booked": first.booked, "reviews": first.opened}


def swept_up_to(store: Database) -> date | None:
    with store.read() as tx:
        return bank_rows.swept(tx, "sim", "certification").day


def test_the_fix_of_a_whole_day_counts_as_read_when_it_is_the_one_that_the_sweep_lacks(any_store: Database) -> None:
    """A day whose list the sweep cannot read, or book, must not stay its first for ever."""

    def incomplete() -> list[str]:
        with any_store.read() as tx:
            return [one.detail for one in alerts.list_alerts(tx) if one.standing]

    bank, day_before, later = bank_with({}), DAY - timedelta(days=1), NOW + timedelta(days=3)
    with any_store.write() as tx:
        bank_rows.record_sweep(tx, "sim", "certification", day=day_before, at=NOW)
        alerts.begin_state(tx, alerts.AlertKind.DAY_INCOMPLETE, "sim", DAY.isoformat(), NOW)
    compare(any_store, bank, DAY.isoformat(), now=later)
    assert (swept_up_to(any_store), incomplete()) == (day_before, ["2031-06-13"]), "without --fix nothing changes"
    bank.days[DAY] = lists(complete=False)
    compare(any_store, bank, DAY.isoformat(), fix=True, now=later)
    bank.days[DAY] = Unavailable("down")
    compare(any_store, bank, DAY.isoformat(), fix=True, now=later)
    del bank.days[DAY]
    compare(any_store, bank, (DAY + timedelta(days=1)).isoformat(), fix=True, now=later)
    assert (swept_up_to(any_store), incomplete()) == (day_before, ["2031-06-13"]), "nor does half a day, or another"
    compare(any_store, bank, DAY.isoformat(), fix=True, now=later)
    assert (swept_up_to(any_store), incomplete()) == (DAY, ["2031-06-14"]), "and the next one is missing as long"


def test_the_fix_of_a_day_before_the_first_sweep_remembers_nothing(store: Database) -> None:
    compare(store, bank_with({}), DAY.isoformat(), fix=True)
    assert swept_up_to(store) is None


def test_the_same_transaction_of_another_qr_is_booked_and_shown(store: Database) -> None:
    book(store, add_qr(store, "QR1", status="completed"), paid("t1"))
    add_qr(store, "QR2")
    bank = bank_with({DAY: lists(paid("t1", qr="QR2"))})
    assert kinds(compare(store, bank)) == [("missing_here", "QR2", "t1"), ("missing_there", "QR1", "t1")]
    day = compare(store, bank, fix=True)
    assert (day.booked, kinds(day)) == (1, [("missing_there", "QR1", "t1")])
    with store.read() as tx:
        assert [one.reason for one in reviews.page(tx, reviews.Wanted())[0]] == ["transaction_conflict"]
