"""Registering on a real SQLite file: outcomes, what moves a plan, races, payments that came first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from paysync_cli.payments.decision import ReviewNews
from paysync_cli.payments.qr import Payment, Qr
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.payments.status import PlanState, Priority, ReviewReason, Status
from paysync_cli.services import register
from paysync_cli.services.register import EnqueueReport, Item, Outcome, Request, Wish
from paysync_cli.services.sweep import payment_to_detail
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.database import Database
from tests.books import NOW, add_qr, book, dump, new_database

RHYTHM = Rhythm()
IN_TEN = NOW + timedelta(minutes=10)
AN_HOUR_AGO, IN_AN_HOUR = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
WHO = "ana@till"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def request(qr_id: str = "QR1", **said: Any) -> Request:
    """A request; what is said explicitly is `given`."""
    given = frozenset("due" if name == "due_at" else name for name in said)
    return replace(Request(qr_id, None, "BOB", "main", None, False, None, given), **said)


def enqueue(store: Database, *requests: Request, **wish: Any) -> EnqueueReport:
    return register.enqueue(
        store, requests, bank="sim", environment="certification", rhythm=RHYTHM, now=NOW, wish=Wish(who=WHO, **wish)
    )


def outcome(store: Database, one: Request, **wish: Any) -> Item:
    (item,) = enqueue(store, one, **wish).items
    return item


def row(store: Database, qr_id: str = "QR1") -> Qr:
    with store.read() as tx:
        (found,) = qrs.by_qr_id(tx, qr_id)
    return found


def story(store: Database, qr_id: str = "QR1") -> history.Story:
    qr = row(store, qr_id)
    with store.read() as tx:
        return history.story(tx, qr.id)


# -- created


def test_a_new_qr_is_asked_at_once_at_high_priority(store: Database) -> None:
    assert outcome(store, request(amount=10050)) == Item("QR1", Outcome.CREATED, NOW)
    qr = row(store)
    assert (qr.status, qr.amount, qr.registered_at, qr.issued_at) == (Status.PENDING, 10050, NOW, NOW)
    assert (qr.plan.state, qr.plan.next_check_at, qr.plan.priority) == (PlanState.PLANNED, NOW, Priority.HIGH)
    (transition,) = story(store).transitions
    assert (transition["old"], transition["new"], transition["cause"]) == (None, "pending", "registered")


def test_a_qr_issued_long_ago_starts_quiet(store: Database) -> None:
    outcome(store, request(issued_at=NOW - timedelta(minutes=10)))
    assert (row(store).status, row(store).plan.priority) == (Status.ACTIVE, Priority.LOW)


def test_a_new_qr_takes_the_wish(store: Database) -> None:
    assert outcome(store, request(), at=IN_TEN, priority=Priority.LOW, more_checks=5).next_check_at == IN_TEN
    assert (row(store).plan.priority, row(store).plan.max_checks) == (Priority.LOW, 25)


def test_the_due_query_is_never_slept_through(store: Database) -> None:
    due = request("QR1", due_at=NOW + timedelta(minutes=3))
    assert outcome(store, due, at=IN_TEN).next_check_at == NOW + timedelta(minutes=5)
    past = request("QR2", due_at=NOW - timedelta(days=3))
    assert outcome(store, past, at=IN_TEN).next_check_at == NOW


# -- known


def test_the_same_again_changes_nothing(store: Database) -> None:
    one = request(amount=10050, account="main", due_at=IN_AN_HOUR)
    outcome(store, one)
    before = dump(store)
    assert outcome(store, one) == Item("QR1", Outcome.ALREADY_PLANNED, NOW)
    assert outcome(store, request()).outcome is Outcome.ALREADY_PLANNED
    assert dump(store) == before


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"amount": 10000}, "amount is 100.50 BOB, not 100.00 BOB"),
        # An amount is one of a currency, said or not: 100.50 of another one is not the same money.
        ({"amount": 10050, "currency": "USD"}, "amount is 100.50 BOB, not 100.50 USD; currency is BOB, not USD"),
        ({"currency": "USD"}, "currency is BOB, not USD"),
        ({"account": "other"}, "account is main, not other"),
        ({"due_at": IN_AN_HOUR}, "due is none, not 2031-06-14T17:00:00+00:00"),
        ({"multi_use": True}, "multi_use is false, not true"),
        ({"issued_at": AN_HOUR_AGO}, "issued_at is 2031-06-14T16:00:00+00:00, not 2031-06-14T15:00:00+00:00"),
    ],
)
def test_a_conflict_names_what_differs_and_changes_nothing(store: Database, said: dict[str, Any], detail: str) -> None:
    outcome(store, request(amount=10050))
    before = dump(store)
    assert outcome(store, request(**said), at=AN_HOUR_AGO, more_checks=3) == Item("QR1", Outcome.CONFLICT, NOW, detail)
    assert dump(store) == before


def test_an_amount_without_currency_is_not_that_of_another_currency(store: Database) -> None:
    outcome(store, request(amount=10050, currency="USD"))
    again = replace(request(amount=10050), given=frozenset({"amount"}))
    assert outcome(store, again).detail == "amount is 100.50 USD, not 100.50 BOB"


@pytest.mark.parametrize("status", ["completed", "cancelled", "expired"])
def test_a_final_qr_stays_final(store: Database, status: str) -> None:
    add_qr(store, "QR1", status=status)
    before = dump(store)
    wish = {"at": NOW, "more_checks": 3, "priority": Priority.HIGH}
    assert outcome(store, request(), **wish) == Item("QR1", Outcome.FINAL, None, status)
    assert dump(store) == before


@pytest.mark.parametrize("state", ["queued", "held"])
def test_a_qr_at_work_or_held_is_not_moved(store: Database, state: str) -> None:
    add_qr(store, "QR1", state=state, at=NOW)
    before = dump(store)
    assert outcome(store, request(), at=AN_HOUR_AGO).outcome is Outcome.ALREADY_PLANNED
    assert dump(store) == before


@pytest.mark.parametrize("state", ["queued", "held"])
def test_checks_are_granted_also_to_a_qr_at_work_or_held(store: Database, state: str) -> None:
    before = add_qr(store, "QR1", state=state, at=NOW, checks=19).plan
    assert outcome(store, request(), at=AN_HOUR_AGO, more_checks=3).outcome is Outcome.MOVED
    assert row(store).plan == replace(before, max_checks=23)
    assert [action["action"] for action in story(store).actions] == ["grant_checks"]


def test_an_earlier_moment_moves_the_check_and_makes_it_free(store: Database) -> None:
    add_qr(store, "QR1", at=IN_AN_HOUR, checks=4)
    assert outcome(store, request(), at=IN_TEN) == Item("QR1", Outcome.MOVED, IN_TEN)
    plan = row(store).plan
    assert (plan.next_check_at, plan.free, plan.checks, plan.max_checks) == (IN_TEN, True, 4, 20)
    assert story(store).actions == []


def test_a_later_moment_moves_nothing(store: Database) -> None:
    add_qr(store, "QR1", at=IN_TEN)
    before = dump(store)
    assert outcome(store, request(), at=IN_AN_HOUR).outcome is Outcome.ALREADY_PLANNED
    assert dump(store) == before


def test_a_priority_alone_moves_the_check_to_that_queue(store: Database) -> None:
    add_qr(store, "QR1", at=IN_TEN)
    assert outcome(store, request(), priority=Priority.HIGH) == Item("QR1", Outcome.MOVED, IN_TEN)
    assert (row(store).plan.priority, row(store).plan.free) == (Priority.HIGH, False)


def test_now_on_an_exhausted_plan_grants_one_check_and_is_audited(store: Database) -> None:
    add_qr(store, "QR1", state="exhausted", at=IN_AN_HOUR, checks=20)
    assert outcome(store, request(), at=NOW, now=True) == Item("QR1", Outcome.MOVED, NOW)
    plan = row(store).plan
    assert (plan.state, plan.next_check_at, plan.max_checks) == (PlanState.PLANNED, NOW, 21)
    (action,) = story(store).actions
    assert (action["who"], action["action"], action["object"]) == (WHO, "grant_checks", "sim/QR1")
    assert json.loads(action["detail"]) == {"before": 20, "after": 21}


def test_more_checks_wake_an_exhausted_plan(store: Database) -> None:
    add_qr(store, "QR1", state="exhausted", at=IN_AN_HOUR, checks=20)
    assert outcome(store, request(), more_checks=10) == Item("QR1", Outcome.MOVED, NOW)
    plan = row(store).plan
    assert (plan.state, plan.max_checks, plan.free) == (PlanState.PLANNED, 30, False)
    assert len(story(store).actions) == 1


def test_the_same_qr_of_another_bank_or_environment_is_another(store: Database) -> None:
    for bank, environment in (("sim", "production"), ("other", "certification")):
        register.enqueue(store, [request()], bank=bank, environment=environment, rhythm=RHYTHM, now=NOW)
    assert outcome(store, request()).outcome is Outcome.CREATED


# -- several at once


def test_twice_in_one_call_is_registered_once(store: Database) -> None:
    report = enqueue(
        store, request(amount=100), request(amount=100), request(amount=200), request("QR2"), more_checks=5
    )
    assert [item.outcome for item in report.items] == [
        Outcome.CREATED,
        Outcome.ALREADY_PLANNED,
        Outcome.CONFLICT,
        Outcome.CREATED,
    ]
    assert row(store).plan.max_checks == 25


def test_a_grant_holds_once_for_a_qr_named_twice(store: Database) -> None:
    add_qr(store, "QR1", at=IN_AN_HOUR)
    report = enqueue(store, request(), request(), more_checks=5)
    assert [item.outcome for item in report.items] == [Outcome.MOVED, Outcome.ALREADY_PLANNED]
    assert row(store).plan.max_checks == 25
    assert len(story(store).actions) == 1


def test_a_name_repeated_a_thousand_requests_later(store: Database) -> None:
    many = [request(f"QR{n}") for n in range(register.CHUNK)]
    report = enqueue(store, *many, many[0], request("LAST"), more_checks=5)
    assert Counter(item.outcome for item in report.items) == {
        Outcome.CREATED: register.CHUNK + 1,
        Outcome.ALREADY_PLANNED: 1,
    }
    assert row(store, "QR0").plan.max_checks == 25


def test_fifty_at_once_make_one_row(store: Database) -> None:
    gate = Barrier(50)

    def one(_number: int) -> Outcome:
        gate.wait()
        return outcome(store, request(amount=10050)).outcome

    with ThreadPoolExecutor(50) as threads:
        found = Counter(threads.map(one, range(50)))
    assert found == {Outcome.CREATED: 1, Outcome.ALREADY_PLANNED: 49}
    assert row(store).amount == 10050
    assert len(story(store).transitions) == 1


def test_a_chunk_goes_in_whole_or_not_at_all(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("power cut")

    before = dump(store)
    monkeypatch.setattr(history, "record_transitions", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        enqueue(store, request("QR1"), request("QR2"))
    assert dump(store) == before


# -- looking first


def test_a_preview_says_what_enqueue_does_and_writes_nothing(store: Database) -> None:
    add_qr(store, "OPEN", at=IN_AN_HOUR, amount=500)
    add_qr(store, "DONE", status="completed")
    requests = [request("NEW"), request("NEW", amount=5), request("OPEN"), request("OPEN", amount=1), request("DONE")]
    before = dump(store)
    wish = Wish(at=IN_TEN, who=WHO)
    looked = register.preview(
        store, requests, bank="sim", environment="certification", rhythm=RHYTHM, now=NOW, wish=wish
    )
    assert dump(store) == before
    assert looked == enqueue(store, *requests, at=IN_TEN)
    assert [item.outcome.value for item in looked.items] == ["created", "conflict", "moved", "conflict", "final"]


def test_without_a_database_everything_would_be_created() -> None:
    report = register.preview(None, [request("A"), request("B")], bank="sim", environment="x", rhythm=RHYTHM, now=NOW)
    assert report.count(Outcome.CREATED) == 2


# -- payments that came before their QR


def listed(store: Database, qr_id: str, transaction: str, amount: str, currency: str = "BOB") -> None:
    """What a sweep keeps of a payment for a QR nobody registered."""
    payment = Payment(qr_id, transaction, Decimal(amount), currency, AN_HOUR_AGO, "Ana")
    news = ReviewNews(ReviewReason.UNKNOWN_QR, transaction, payment_to_detail(payment))
    with store.write() as tx:
        history.open_stray_review(tx, bank="sim", environment="certification", qr_id=qr_id, news=news, now=AN_HOUR_AGO)


def test_a_payment_that_came_first_is_booked_by_the_registration(store: Database) -> None:
    listed(store, "QR1", "t1", "100.50")
    assert outcome(store, request(amount=10050)) == Item("QR1", Outcome.CREATED, None)
    assert row(store).status is Status.COMPLETED
    told = story(store)
    assert [(m["bank_transaction_id"], m["amount_minor"]) for m in told.movements] == [("t1", 10050)]
    (review,) = told.reviews
    assert (review["state"], review["resolved_by"], review["resolution"]) == ("resolved", WHO, "registered")
    with store.read() as tx:
        assert ledger.balances(tx) == ledger.sums(tx)
    before = dump(store)
    assert outcome(store, request(amount=10050)).outcome is Outcome.FINAL
    assert dump(store) == before


def test_a_payment_that_came_first_and_is_too_small_leaves_the_qr_open(store: Database) -> None:
    listed(store, "QR1", "t1", "40")
    assert outcome(store, request(amount=10050)).next_check_at is not None
    assert row(store).status is Status.PROCESSING
    assert {review["reason"]: review["state"] for review in story(store).reviews} == {
        "unknown_qr": "resolved",
        "amount_mismatch": "open",
    }


def test_both_payments_that_came_first_are_booked(store: Database) -> None:
    listed(store, "QR1", "t1", "60.50")
    listed(store, "QR1", "t2", "40")
    listed(store, "QR2", "t3", "1")
    outcome(store, request(amount=10050))
    assert row(store).status is Status.COMPLETED
    assert [m["amount_minor"] for m in story(store).movements] == [6050, 4000]
    with store.read() as tx:
        assert [stray.qr_id for stray in history.strays(tx, "sim", "certification", ["QR1", "QR2"])] == ["QR2"]


def test_a_payment_that_cannot_be_booked_stays_before_a_persons_eyes(store: Database) -> None:
    listed(store, "QR1", "t1", "100.505")
    outcome(store, request(amount=10050))
    assert story(store).movements == []
    with store.read() as tx:
        assert len(history.strays(tx, "sim", "certification", ["QR1"])) == 1


def test_money_already_booked_is_not_touched(store: Database) -> None:
    qr = add_qr(store, "QR1", amount=10050)
    book(store, qr, 5000)
    assert outcome(store, request(amount=10050)).outcome is Outcome.ALREADY_PLANNED
    assert len(story(store).movements) == 1
