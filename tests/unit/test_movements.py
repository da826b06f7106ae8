"""What was booked: days in each bank's zone, totals, pages; balances beside the movements."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from paysync_cli.errors import InputError
from paysync_cli.payments.qr import Movement, Qr
from paysync_cli.services.accounts import Account, list_accounts
from paysync_cli.services.days import read_day, span_of
from paysync_cli.services.movements import list_movements, paid_on
from paysync_cli.store import ledger
from paysync_cli.store.database import Database
from paysync_cli.store.movements import Wanted
from tests.books import add_qr, new_database

LA_PAZ, TOKYO = ZoneInfo("America/La_Paz"), ZoneInfo("Asia/Tokyo")
EVENING = datetime(2031, 6, 15, 2, 30, tzinfo=UTC)  # 22:30 on the 14th in Bolivia


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def book(store: Database, qr: Qr, transaction: str, paid_at: datetime | None, booked_at: datetime = EVENING,
         amount: int = 100, currency: str = "BOB") -> None:  # fmt: skip
    with store.write() as tx:
        movement = Movement(transaction, amount, currency, paid_at, "Ana")
        ledger.book(tx, [ledger.Booking(qr, movement, "check")], booked_at)


def transactions(store: Database, wanted: Wanted) -> list[str]:
    return [one.bank_transaction_id for one in list_movements(store, wanted).items]


# -- days


@pytest.mark.parametrize(
    ("text", "expected"),
    [("today", date(2031, 6, 14)), ("yesterday", date(2031, 6, 13)), (" Today ", date(2031, 6, 14)),
     ("2031-06-14", date(2031, 6, 14)), ("2031-06-01", date(2031, 6, 1))],
)  # fmt: skip
def test_a_day_is_the_banks(text: str, expected: date) -> None:
    assert read_day(text, LA_PAZ, EVENING) == expected


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "14.06.2031", "20310614", "2031-02-30", "2031-6-1", "1999-12-31", "2031-06-14T00:00", "٢"]
)
def test_what_is_no_day_is_told(text: str) -> None:
    with pytest.raises(InputError, match="write 2026-12-31, today or yesterday"):
        read_day(text, LA_PAZ, EVENING)


def test_a_day_that_has_not_begun_at_the_bank_is_told() -> None:
    with pytest.raises(InputError, match="2031-06-15 has not begun: it is 2031-06-14 at the bank"):
        read_day("2031-06-15", LA_PAZ, EVENING)
    assert read_day("2031-06-15", TOKYO, EVENING) == date(2031, 6, 15)


def test_a_day_with_a_change_of_the_clock_is_as_long_as_it_is() -> None:
    span = span_of(date(2031, 3, 30), ZoneInfo("Europe/Berlin"))
    assert (span.end - span.start).total_seconds() == 23 * 3600


# -- movements


def test_a_day_is_of_payment_and_of_each_banks_zone(any_store: Database) -> None:
    bolivian, japanese = add_qr(any_store, "QR1"), add_qr(any_store, "QR2", bank="tokyo")
    gone = add_qr(any_store, "QR3", bank="gone")
    for qr in (bolivian, gone):
        book(any_store, qr, f"{qr.qr_id} first", at("2031-06-14T00:00:00-04:00"))
        book(any_store, qr, f"{qr.qr_id} last", at("2031-06-14T23:59:59.999999-04:00"))
        book(any_store, qr, f"{qr.qr_id} before", at("2031-06-13T23:59:59.999999-04:00"))
        book(any_store, qr, f"{qr.qr_id} after", at("2031-06-15T00:00:00-04:00"))
    book(any_store, japanese, "noon in Tokyo", at("2031-06-14T12:00:00+09:00"))
    book(any_store, japanese, "the 15th in Tokyo", at("2031-06-15T00:30:00+09:00"))
    day = paid_on("2031-06-14", {"sim": LA_PAZ, "tokyo": TOKYO}, EVENING)
    assert sorted(transactions(any_store, Wanted(day=day))) == [
        "QR1 first", "QR1 last", "QR3 first", "QR3 last", "noon in Tokyo"
    ]  # fmt: skip
    assert transactions(any_store, Wanted(day=day, bank="tokyo")) == ["noon in Tokyo"]


def test_without_a_moment_of_payment_the_booking_counts(store: Database) -> None:
    qr = add_qr(store, "QR1")
    book(store, qr, "t1", None, at("2031-06-14T23:30:00-04:00"))
    book(store, qr, "t2", None, at("2031-06-15T00:30:00-04:00"))
    day = paid_on("2031-06-14", {"sim": LA_PAZ}, EVENING)
    assert transactions(store, Wanted(day=day)) == ["t1"]


def test_since_looks_at_the_booking(store: Database) -> None:
    qr = add_qr(store, "QR1")
    book(store, qr, "late news", at("2031-06-01T12:00:00Z"), EVENING)
    book(store, qr, "old", at("2031-06-14T12:00:00Z"), at("2031-06-14T12:00:00Z"))
    assert transactions(store, Wanted(since=at("2031-06-15T00:00:00Z"))) == ["late news"]


def test_pages_are_the_list_and_every_page_has_the_whole_totals(any_store: Database) -> None:
    qr, other = add_qr(any_store, "QR1"), add_qr(any_store, "QR2", account="other")
    for n in range(5):
        book(any_store, qr, f"t{n}", EVENING, amount=10, currency="USD" if n == 3 else "BOB")
    book(any_store, other, "t9", EVENING)
    seen, token = [], None
    while True:
        page = list_movements(any_store, Wanted(account="main", limit=2, after=token))
        seen += [one.bank_transaction_id for one in page.items]
        assert [(total.currency, total.count, total.amount) for total in page.totals] == [
            ("BOB", 4, 40),
            ("USD", 1, 10),
        ]
        token = page.next
        if token is None:
            break
    assert seen == ["t4", "t3", "t2", "t1", "t0"]
    with pytest.raises(InputError, match="not a page of this list"):
        list_movements(any_store, Wanted(after="WyJyZXZpZXdzIiwgMV0"))


# -- accounts


def test_balances_stand_beside_the_sums(any_store: Database) -> None:
    book(any_store, add_qr(any_store, "QR1"), "t1", EVENING, amount=10)
    book(any_store, add_qr(any_store, "QR2"), "t2", EVENING, amount=20)
    book(any_store, add_qr(any_store, "QR3"), "t3", EVENING, amount=7, currency="USD")
    report = list_accounts(any_store)
    assert list(report.accounts) == [
        Account("sim", "certification", "main", "BOB", 30, 30),
        Account("sim", "certification", "main", "USD", 7, 7),
    ]
    assert list(report.differing) == []


@pytest.mark.parametrize(
    ("statement", "differing"),
    [
        ("UPDATE paysync_accounts SET balance_minor = 31", Account("sim", "certification", "main", "BOB", 31, 30)),
        ("DELETE FROM paysync_accounts", Account("sim", "certification", "main", "BOB", 0, 30)),
        (
            "INSERT INTO paysync_accounts VALUES"
            " ('sim', 'certification', 'ghost', 'BOB', 5, '2031-06-15T00:00:00.000000+00:00')",
            Account("sim", "certification", "ghost", "BOB", 5, 0),
        ),
    ],
)
def test_a_balance_that_somebody_changed_is_seen(store: Database, statement: str, differing: Account) -> None:
    book(store, add_qr(store, "QR1"), "t1", EVENING, amount=30)
    with store.write() as tx:
        tx.exec_driver_sql(statement)
    assert list(list_accounts(store).differing) == [differing]
