"""Finding: every way, every row once over all pages, and an index behind each way, however many QRs there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from paysync_cli.errors import InputError
from paysync_cli.services import finding
from paysync_cli.store import finding as rows
from paysync_cli.store.database import Database
from tests.books import add_qr, book, new_database


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def pages(store: Database, text: str, limit: int) -> list[list[tuple[str, str]]]:
    found, after = [], None
    while True:
        report = finding.find(store, text, limit=limit, after=after)
        found.append([(one.qr.qr_id, one.by) for one in report.items])
        if report.next is None:
            return found
        after = report.next


def test_each_way(any_store: Database) -> None:
    book(any_store, add_qr(any_store, "A_1", amount=5000, account="shop"), 777, transaction="TX-1")
    add_qr(any_store, "AB1", amount=777, account="A")
    add_qr(any_store, "a_2", amount=100, account="main")

    def found(text: str) -> list[tuple[str, str]]:
        (page,) = pages(any_store, text, 10)
        return page

    assert found("A") == [("AB1", "qr_id"), ("A_1", "qr_id")], "the account's row is there already"
    assert found("A_") == [("A_1", "qr_id")], "no character is a wildcard, and capitals count"
    assert found("%") == []
    assert found("TX") == [("A_1", "bank_transaction")]
    assert found("7.77") == [("AB1", "amount"), ("A_1", "paid")]
    assert found("50") == [("A_1", "amount")]
    assert found("main") == [("a_2", "account")]
    assert found("mai") == []


def test_an_amount_is_of_its_currency(store: Database) -> None:
    add_qr(store, "YEN", amount=777, currency="JPY")
    add_qr(store, "BOB", amount=77700, currency="BOB")
    add_qr(store, "CENTS", amount=777, currency="BOB")
    assert sorted(pages(store, "777", 10)[0]) == [("BOB", "amount"), ("YEN", "amount")]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_tell_every_row_of_a_way_once_in_one_order(any_store: Database, limit: int) -> None:
    for n in range(5):
        book(any_store, add_qr(any_store, f"QR{n}", amount=1000, account="main"), 300, transaction="QR-same")
    whole = [f"QR{n}" for n in range(5)]
    for text, order in (
        ("QR", whole),
        ("QR-", whole),
        ("10.00", whole[::-1]),
        ("3", whole[::-1]),
        ("main", whole[::-1]),
    ):
        found = [qr_id for page in pages(any_store, text, limit) for qr_id, by in page if text != "QR" or by == "qr_id"]
        assert found == order, text


def test_a_qr_with_many_movements_hides_no_other(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "STEP", 3)
    other = add_qr(store, "OTHER", amount=1)
    book(store, other, 500, transaction="first")
    often = add_qr(store, "OFTEN", amount=1, multi_use=True)
    for n in range(10):
        book(store, often, 500, transaction=f"t{n}")
    assert pages(store, "5.00", 5) == [[("OFTEN", "paid"), ("OTHER", "paid")]]


@pytest.mark.parametrize("token", ["", "x", "WyJmaW5kIiw5OSwxXQ", "WyJmaW5kIiwwLDEsMl0", "WyJmaW5kIiwwLCJhIiwtMV0"])
def test_a_foreign_token_is_refused(store: Database, token: str) -> None:
    with pytest.raises(InputError, match="not a page of this list"):
        finding.find(store, "QR", limit=5, after=token)


def test_no_way_scans_or_sorts(store: Database) -> None:
    add_qr(store, "QR1")
    statements: list[tuple[str, Any]] = []
    event.listen(store.engine, "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
    for after in (None, finding.find(store, "7.77", limit=1, after=None).next):
        finding.find(store, "7.77", limit=1, after=after)
    plans = []
    with store.read() as tx:
        for statement, values in [one for one in statements if one[0].startswith("SELECT paysync_qrs.id")]:
            plans += [row[-1] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert len(plans) >= 5
    assert not [line for line in plans if "SCAN" in line or "TEMP B-TREE" in line]
