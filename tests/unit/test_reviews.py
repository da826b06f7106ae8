"""A person decides a review: what moves, what never moves, what is written down, and who wins a race."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier

import pytest

from paysync_cli.errors import InputError, NotFound, RefusedError
from paysync_cli.payments.decision import ReviewNews
from paysync_cli.payments.qr import Payment, Qr
from paysync_cli.payments.status import PlanState, ReviewReason, Status
from paysync_cli.services import register
from paysync_cli.services.register import Request
from paysync_cli.services.reviews import ResolveReport, Verdict, list_reviews, resolve, show_review
from paysync_cli.services.sweep import payment_to_detail
from paysync_cli.services.sync import Asked, Judge, record
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.database import Database
from paysync_cli.store.reviews import Wanted
from tests.books import add_qr, book, dump, new_database, open_review
from tests.core import NOW, RHYTHM, paid, says

WHO, WHY = "ana@till", "the rest was paid in cash"
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def decide(store: Database, verdict: str, number: int = 1) -> ResolveReport:
    return resolve(store, number, Verdict(verdict), reason=WHY, who=WHO, now=LATER)


def row(store: Database, qr: Qr) -> Qr:
    with store.read() as tx:
        return qrs.load(tx, [qr.id])[qr.id]


def story(store: Database, qr: Qr) -> history.Story:
    with store.read() as tx:
        return history.story(tx, qr.id)


def reviewed(store: Database, status: str = "processing", **fields: object) -> Qr:
    """A QR with one open review."""
    qr = add_qr(store, "QR1", status=status, **fields)
    open_review(store, qr, "amount_mismatch", paid="50.00")
    return qr


@pytest.mark.parametrize("verdict", ["completed", "cancelled"])
@pytest.mark.parametrize("status", ["pending", "active", "processing", "expired", "cancelled"])
def test_the_qr_takes_the_status_and_books_nothing(any_store: Database, status: str, verdict: str) -> None:
    qr = reviewed(any_store, status)
    book(any_store, qr, 5000)
    report = decide(any_store, verdict)
    assert (report.already, report.before) == (False, Status(status))
    assert report.qr == row(any_store, qr)
    after = row(any_store, qr)
    assert (after.status, after.plan.state, after.plan.next_check_at) == (Status(verdict), PlanState.DONE, None)
    told = story(any_store, qr)
    assert [(m["bank_transaction_id"], m["amount_minor"]) for m in told.movements] == [("t1", 5000)]
    moves = [(one["old"], one["new"], one["cause"]) for one in told.transitions]
    stayed = status == verdict
    assert moves == [(None, status, "registered")] + ([] if stayed else [(status, verdict, "review")])
    assert after.version == qr.version + (not stayed)
    with any_store.read() as tx:
        assert ledger.balances(tx) == ledger.sums(tx)


def test_it_is_written_down_who_when_what_and_why(any_store: Database) -> None:
    qr = reviewed(any_store)
    decide(any_store, "completed")
    (action,) = story(any_store, qr).actions
    assert (action["who"], action["at"], action["action"], action["object"], action["reason"]) == (
        WHO,
        LATER,
        "resolve_review",
        "review/1",
        WHY,
    )
    assert json.loads(action["detail"]) == {
        "as": "completed",
        "qr_id": "QR1",
        "review_reason": "amount_mismatch",
        "status_before": "processing",
        "status_after": "completed",
    }
    (review,) = story(any_store, qr).reviews
    assert (review["state"], review["resolved_at"], review["resolved_by"], review["resolution"]) == (
        "resolved",
        LATER,
        WHO,
        "completed",
    )
    assert review["resolution_reason"] == WHY


@pytest.mark.parametrize("state", ["planned", "queued", "exhausted", "held"])
def test_keep_closes_the_review_and_nothing_else(store: Database, state: str) -> None:
    qr = reviewed(store, state=state, checks=20 if state == "exhausted" else 0)
    before = row(store, qr)
    report = decide(store, "keep")
    assert row(store, qr) == before == report.qr
    told = story(store, qr)
    assert [one["state"] for one in told.reviews] == ["resolved"]
    assert len(told.transitions) == 1
    assert len(told.actions) == 1


@pytest.mark.parametrize("state", ["planned", "queued", "exhausted", "held"])
def test_every_plan_ends_with_the_decision(store: Database, state: str) -> None:
    qr = reviewed(store, state=state, checks=20 if state == "exhausted" else 0)
    decide(store, "cancelled")
    assert row(store, qr).plan.state is PlanState.DONE


def test_completed_never_changes(any_store: Database) -> None:
    qr = reviewed(any_store, "completed")
    before = story(any_store, qr)
    with pytest.raises(RefusedError) as refused:
        decide(any_store, "cancelled")
    assert (refused.value.exit_status, refused.value.code) == (5, "forbidden_transition")
    assert "is completed and cannot become cancelled" in refused.value.message
    assert (row(any_store, qr), story(any_store, qr)) == (qr, before)
    assert decide(any_store, "completed").review.state == "resolved"
    assert len(story(any_store, qr).transitions) == 1


def test_the_second_decision_changes_nothing_and_tells_the_first(store: Database) -> None:
    reviewed(store)
    decide(store, "keep")
    before = dump(store)
    again = decide(store, "completed")
    assert (again.already, again.review.resolution, again.before) == (True, "keep", Status.PROCESSING)
    assert dump(store) == before


def test_the_second_decision_is_told_the_first_even_where_it_would_be_forbidden(store: Database) -> None:
    reviewed(store)
    decide(store, "completed")
    assert decide(store, "cancelled").already


def test_a_review_that_is_not_there(store: Database) -> None:
    for ask in (lambda: decide(store, "keep", 12), lambda: show_review(store, 12)):
        with pytest.raises(NotFound, match="There is no review 12"):
            ask()


# -- payments of QRs that nobody registered


def stray(store: Database) -> None:
    payment = Payment("QR1", "t1", Decimal("100.50"), "BOB", NOW, "Ana")
    news = ReviewNews(ReviewReason.UNKNOWN_QR, "t1", payment_to_detail(payment))
    with store.write() as tx:
        history.open_stray_review(tx, bank="sim", environment="certification", qr_id="QR1", news=news, now=NOW)


def enqueue(store: Database) -> None:
    request = Request("QR1", 10050, "BOB", "main", None, False, None)
    register.enqueue(store, [request], bank="sim", environment="certification", rhythm=RHYTHM, now=LATER)


def test_a_qr_that_is_not_registered_cannot_become_anything(store: Database) -> None:
    stray(store)
    before = dump(store)
    with pytest.raises(RefusedError, match="No QR QR1 of sim is registered") as refused:
        decide(store, "completed")
    assert "paysync enqueue" in (refused.value.hint or "")
    assert dump(store) == before
    assert decide(store, "keep").qr is None


def test_money_whose_review_a_person_closed_is_booked_when_its_qr_is_registered(any_store: Database) -> None:
    stray(any_store)
    decide(any_store, "keep")
    enqueue(any_store)
    with any_store.read() as tx:
        (qr,) = qrs.by_qr_id(tx, "QR1")
    told = story(any_store, qr)
    assert (qr.status, [m["amount_minor"] for m in told.movements]) == (Status.COMPLETED, [10050])
    (review,) = told.reviews
    assert (review["resolution"], review["resolved_by"], review["resolution_reason"]) == ("keep", WHO, WHY)


def test_a_review_from_before_the_registration_is_about_the_qr(store: Database) -> None:
    stray(store)
    qr = add_qr(store, "QR1")
    assert decide(store, "cancelled").qr == row(store, qr)
    assert row(store, qr).status is Status.CANCELLED
    assert [one["id"] for one in story(store, qr).reviews] == [1]


# -- races


def test_twenty_decide_one_wins(any_store: Database) -> None:
    qr = reviewed(any_store)
    gate = Barrier(20)

    def one(number: int) -> bool:
        gate.wait()
        return decide(any_store, ("completed", "keep")[number % 2]).already

    with ThreadPoolExecutor(20) as threads:
        assert Counter(threads.map(one, range(20))) == {False: 1, True: 19}
    told = story(any_store, qr)
    assert len(told.actions) == 1
    assert len(told.transitions) == 1 + (told.reviews[0]["resolution"] == "completed")


@pytest.mark.parametrize("verdict", ["completed", "cancelled"])
def test_a_decision_against_workers_that_book_at_the_same_moment(any_store: Database, verdict: str) -> None:
    """Whoever is first: the payment is booked once, and the status only moves forward."""
    qr = reviewed(any_store, amount=10000)
    answer = says("paid", paid("t1"))
    judge = Judge({"sim": RHYTHM}, LATER, lambda: 0.0)
    gate = Barrier(20)

    def one(number: int) -> str:
        gate.wait()
        if number % 2:
            (recorded,) = record(any_store, [Asked(qr.id, qr.plan.seq, NOW, 7, answer)], judge)
            return recorded.how
        try:
            return "already" if decide(any_store, verdict).already else "resolved"
        except RefusedError:
            return "refused"

    with ThreadPoolExecutor(20) as threads:
        ended = Counter(threads.map(one, range(20)))
    assert ended["finished"] == 1
    assert row(any_store, qr).status is Status.COMPLETED
    told = story(any_store, qr)
    assert [m["bank_transaction_id"] for m in told.movements] == ["t1"]
    with any_store.read() as tx:
        assert ledger.balances(tx) == ledger.sums(tx) == [ledger.Balance("sim", "certification", "main", "BOB", 10000)]
    for before, after in zip(told.transitions, told.transitions[1:], strict=False):
        assert before["new"] == after["old"]
    assert ended["resolved"] == len(told.actions) <= 1
    assert ended["resolved"] or ended["refused"] == 10
    assert told.reviews[0]["state"] == ("resolved" if ended["resolved"] else "open")


def test_a_late_answer_after_the_decision_still_books_its_money(store: Database) -> None:
    qr = reviewed(store, amount=10000)
    decide(store, "cancelled")
    judge = Judge({"sim": RHYTHM}, LATER, lambda: 0.0)
    record(store, [Asked(qr.id, qr.plan.seq, NOW, 7, says("paid", paid("t1", "40.00")))], judge)
    assert row(store, qr).status is Status.CANCELLED
    assert [m["amount_minor"] for m in story(store, qr).movements] == [4000]
    assert [one["reason"] for one in story(store, qr).reviews] == ["amount_mismatch", "late_payment"]


# -- looking


def fill(store: Database) -> None:
    for n, reason in enumerate(("overpaid", "late_payment", "overpaid", "double_payment", "overpaid")):
        qr = add_qr(store, f"QR{n}", bank="other" if n == 4 else "sim")
        open_review(store, qr, reason)
    decide(store, "keep", 3)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), [5, 4, 3, 2, 1]),
        (Wanted(state="open"), [5, 4, 2, 1]),
        (Wanted(state="resolved"), [3]),
        (Wanted(reason="overpaid"), [5, 3, 1]),
        (Wanted(bank="other"), [5]),
        (Wanted(state="open", reason="overpaid", bank="sim"), [1]),
    ],
)
def test_the_list_takes_what_is_wanted(store: Database, wanted: Wanted, expected: list[int]) -> None:
    fill(store)
    assert [one.id for one in list_reviews(store, wanted).items] == expected


def test_pages_are_the_list(store: Database) -> None:
    fill(store)
    seen, token = [], None
    while True:
        page = list_reviews(store, Wanted(limit=2, after=token))
        seen += [one.id for one in page.items]
        token = page.next
        if token is None:
            break
    assert seen == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("token", ["", "x", "!!", "W10", "WyJtb3ZlbWVudHMiLCAxXQ", "WyJyZXZpZXdzIiwgdHJ1ZV0"])
def test_a_foreign_token_is_refused(store: Database, token: str) -> None:
    with pytest.raises(InputError, match="not a page of this list"):
        list_reviews(store, Wanted(after=token))


def test_one_review_with_its_qr(store: Database) -> None:
    qr = reviewed(store)
    book(store, qr, 5000)
    report = show_review(store, 1)
    assert (report.review.reason, report.qr, report.paid) == ("amount_mismatch", row(store, qr), 5000)
