"""Which QR is meant, and its whole story."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from paysync_cli.errors import NotFound, UsageError
from paysync_cli.services.inspect import find_one, inspect
from paysync_cli.store import history
from paysync_cli.store.database import Database
from tests.books import NOW, add_check, add_qr, book, new_database, open_review


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def test_the_story_is_that_qrs_alone_and_in_order(store: Database) -> None:
    qr, other = add_qr(store, "QR1"), add_qr(store, "QR2")
    for n in range(3):
        add_check(store, qr, seq=n, at=NOW + timedelta(minutes=n), outcome=("unpaid", "unavailable", "paid")[n])
        add_check(store, other, seq=n)
    book(store, qr, 10050, transaction="t1")
    book(store, qr, 7, transaction="t2", currency="USD")
    book(store, other, 5, transaction="t3")
    open_review(store, qr, "double_payment")
    with store.write() as tx:
        history.record_action(tx, at=NOW, who="ana", action="hold", what="sim/QR1", qr=qr.id, reason="call")

    report = inspect(store, None, "QR1")

    assert report.paid == 10050
    assert [row["outcome"] for row in report.story.checks] == ["unpaid", "unavailable", "paid"]
    assert [row["bank_transaction_id"] for row in report.story.movements] == ["t1", "t2"]
    assert [row["reason"] for row in report.story.reviews] == ["double_payment"]
    assert [row["new"] for row in report.story.transitions] == ["active"]
    assert [row["who"] for row in report.story.actions] == ["ana"]
    assert report.job is None


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("3106140", "3106140001 or 3106140002"),  # cut
        ("3106140009", "3106140001 or 3106140002"),  # the last digit is wrong
        ("3106140001X", "3106140001"),  # one too many
        ("310614999999", "3106140001 or 3106140002"),  # the first half is right
    ],
)
def test_a_slip_is_answered_with_ids_that_begin_alike(store: Database, asked: str, meant: str) -> None:
    for name in ("3106140001", "3106140002", "ZZ"):
        add_qr(store, name)
    with pytest.raises(NotFound) as caught:
        find_one(store, asked)
    assert caught.value.exit_status == 4
    assert caught.value.hint == f"Did you mean {meant}?"


def test_nothing_alike_leads_to_the_list(store: Database) -> None:
    add_qr(store, "ZZ")
    with pytest.raises(NotFound) as caught:
        find_one(store, "Q")
    assert caught.value.hint is not None
    assert "paysync list" in caught.value.hint


def test_at_most_three_suggestions(store: Database) -> None:
    for n in range(9):
        add_qr(store, f"QR{n}")
    with pytest.raises(NotFound) as caught:
        find_one(store, "QR")
    assert caught.value.hint == "Did you mean QR0 or QR1 or QR2?"


def test_one_id_in_two_banks_needs_the_bank(store: Database) -> None:
    add_qr(store, "QR1", bank="a")
    add_qr(store, "QR1", bank="b")
    with pytest.raises(UsageError) as caught:
        find_one(store, "QR1")
    assert caught.value.exit_status == 2
    assert "a (certification), b (certification)" in caught.value.message
    assert "--bank" in (caught.value.hint or "")
    assert find_one(store, "QR1", "b").bank == "b"
    with pytest.raises(NotFound):
        find_one(store, "QR1", "c")


def test_one_id_in_two_environments_needs_the_environment(store: Database) -> None:
    add_qr(store, "QR1", environment="certification")
    add_qr(store, "QR1", environment="production")
    with pytest.raises(UsageError) as caught:
        find_one(store, "QR1", "sim")
    assert "--environment" in (caught.value.hint or "")
    assert find_one(store, "QR1", environment="production").environment == "production"


@pytest.mark.parametrize(("qr_id", "bank"), [("a\0b", None), ("QR1", "\0")])
def test_a_nul_byte_is_no_id_on_any_database(any_store: Database, qr_id: str, bank: str | None) -> None:
    """It comes in the address of `GET /qrs/{id}`; PostgreSQL refuses the whole question."""
    add_qr(any_store, "QR1")
    with pytest.raises(NotFound):
        find_one(any_store, qr_id, bank)
