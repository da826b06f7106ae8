"""The doctor finds what paysync never does and others may: a completed QR without its money, a balance that is off."""

from __future__ import annotations

from sqlalchemy import text

from paysync_cli.payments.decision import ReviewNews
from paysync_cli.payments.status import ReviewReason, Status
from paysync_cli.services.doctor import Finding, books
from paysync_cli.services.reviews import CAUSE, Verdict, resolve
from paysync_cli.store import history
from paysync_cli.store.database import Database
from tests.books import NOW, add_qr, book


def findings(store: Database) -> dict[str, Finding]:
    return {one.code: one for one in books.judge(books.gather(store))}


def test_books_that_add_up(any_store: Database) -> None:
    assert {code: one.level for code, one in findings(any_store).items()} == {"add_up": "ok"}
    book(any_store, add_qr(any_store, "PAID", status="completed"), 10050)
    add_qr(any_store, "OPEN"), add_qr(any_store, "EXPIRED", status="expired")
    assert list(findings(any_store)) == ["add_up"]


def test_completed_qrs_without_money(any_store: Database) -> None:
    for n in range(5):
        add_qr(any_store, f"QR{n}", status="completed")
    book(any_store, add_qr(any_store, "PAID", status="completed"), 10050)
    found = findings(any_store)["completed_without_movement"]
    assert (found.level, found.text) == ("fault", "Completed QRs have no movement: QR0, QR1, QR2.")
    assert found.mend is not None
    assert "paysync show QR0" in found.mend


def test_what_a_person_decided_is_no_fault(any_store: Database) -> None:
    """Somebody saw the money where the bank does not tell of it."""
    qr = add_qr(any_store, "DECIDED")
    with any_store.write() as tx:
        history.open_reviews(tx, qr, [ReviewNews(ReviewReason.UNREADABLE_PAYMENT, "", {})], NOW)
    resolve(any_store, 1, Verdict.COMPLETED, reason="it is on the statement", who="ana", now=NOW)
    assert list(findings(any_store)) == ["add_up"]
    expired_by_hand = add_qr(any_store, "EXPIRED", status="completed")
    with any_store.write() as tx:
        moved = history.Transition(expired_by_hand.id, NOW, Status.ACTIVE, Status.EXPIRED, CAUSE, 0)
        history.record_transitions(tx, [moved])
    assert "EXPIRED." in findings(any_store)["completed_without_movement"].text


def test_a_balance_that_is_not_the_sum_of_its_movements(any_store: Database) -> None:
    book(any_store, add_qr(any_store, "PAID", status="completed"), 10050)
    with any_store.write() as tx:
        tx.execute(text("UPDATE paysync_accounts SET balance_minor = balance_minor + 1"))
    found = findings(any_store)["balance_differs"]
    assert (found.level, found.mend) == ("fault", "paysync accounts")
    assert "1 account" in found.text
