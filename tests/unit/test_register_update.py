"""`--update`: what is said replaces what is known of an open, unpaid QR, and nothing else ever does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import PlanState, Status
from paysync_cli.services import register
from paysync_cli.services.register import Item, Outcome, Request, Wish
from paysync_cli.services.sync import Asked, Judge, record
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.database import Database
from tests.books import NOW, add_qr, book, dump, new_database
from tests.core import RHYTHM, paid, says

HOUR = timedelta(hours=1)
MARGIN = RHYTHM.due_margin
WHO = "ana@till"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def request(**said: Any) -> Request:
    """What is said is `given`; the rest are a bank's defaults."""
    given = frozenset("due" if name == "due_at" else name for name in said)
    return replace(Request("QR1", None, "BOB", "main", None, False, None, given), **said)


def update(store: Database, wanted: Request, **wish: Any) -> Item:
    report = register.enqueue(
        store, [wanted], bank="sim", environment="certification", rhythm=RHYTHM, now=NOW,
        wish=Wish(who=WHO, update=True, **wish),
    )  # fmt: skip
    return report.items[0]


def row(store: Database) -> Qr:
    with store.read() as tx:
        (found,) = qrs.by_qr_id(tx, "QR1")
    return found


def story(store: Database) -> history.Story:
    with store.read() as tx:
        return history.story(tx, row(store).id)


@pytest.mark.parametrize(
    ("said", "column", "value", "before", "after"),
    [
        ({"amount": 2000}, "amount", 2000, {"amount": "100.50 BOB"}, {"amount": "20.00 BOB"}),
        ({"account": "till"}, "account", "till", {"account": "main"}, {"account": "till"}),
        ({"multi_use": True}, "multi_use", True, {"multi_use": "false"}, {"multi_use": "true"}),
        (
            {"due_at": NOW + HOUR},
            "due_at",
            NOW + HOUR,
            {"due": None},
            {"due": "2031-06-14T17:00:00+00:00"},
        ),
        (
            {"currency": "USD"},
            "currency",
            "USD",
            {"amount": "100.50 BOB", "currency": "BOB"},
            {"amount": "100.50 USD", "currency": "USD"},
        ),
    ],
)
def test_each_field_is_updated_and_audited(
    any_store: Database, said: dict[str, Any], column: str, value: Any, before: Any, after: Any
) -> None:
    old = add_qr(any_store, "QR1", at=NOW + 10 * HOUR, amount=10050)
    item = update(any_store, request(**said))
    assert item.outcome is Outcome.UPDATED
    assert "was" in (item.detail or "")
    new = row(any_store)
    assert getattr(new, column) == value
    assert new.version == old.version + 1
    assert item.next_check_at == new.plan.next_check_at
    (action,) = story(any_store).actions
    assert (action["who"], action["action"], action["object"]) == (WHO, "update_qr", "sim/QR1")
    assert json.loads(action["detail"]) == {"before": before, "after": after}
    assert update(any_store, request(**said)).outcome is Outcome.ALREADY_PLANNED
    assert len(story(any_store).actions) == 1


def test_what_was_not_said_stays(store: Database) -> None:
    old = add_qr(store, "QR1", currency="USD", account="dollars", due_at=NOW + 99 * HOUR, multi_use=True)
    update(store, request(amount=500, currency="USD"))
    new = row(store)
    assert new == replace(old, amount=500, version=1)


@pytest.mark.parametrize("state", ["planned", "exhausted", "held"])
def test_an_earlier_due_moment_is_not_slept_through(store: Database, state: str) -> None:
    add_qr(store, "QR1", state=state, at=NOW + 10 * HOUR, checks=20 if state == "exhausted" else 0)
    update(store, request(due_at=NOW + HOUR))
    assert (row(store).plan.state, row(store).plan.next_check_at) == (PlanState(state), NOW + HOUR + MARGIN)
    update(store, request(due_at=NOW - HOUR))
    assert row(store).plan.next_check_at == NOW


def test_a_later_due_moment_keeps_the_plan(store: Database) -> None:
    add_qr(store, "QR1", at=NOW + HOUR, due_at=NOW + HOUR)
    assert update(store, request(due_at=NOW + 9 * HOUR)).next_check_at == NOW + HOUR


def test_a_check_under_way_judges_by_the_new_amount(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", state="queued", amount=20000)
    assert update(any_store, request(amount=10000)).outcome is Outcome.UPDATED
    assert row(any_store).plan.state is PlanState.QUEUED
    record(any_store, [Asked(qr.id, qr.plan.seq, NOW, 7, says("paid", paid("t1")))],
           Judge({"sim": RHYTHM}, NOW, lambda: 0.0))  # fmt: skip
    assert (row(any_store).status, row(any_store).plan.seq) == (Status.COMPLETED, 1)


def test_a_wish_goes_with_it(store: Database) -> None:
    add_qr(store, "QR1", at=NOW + HOUR)
    item = update(store, request(amount=500), at=NOW, more_checks=3)
    assert (item.outcome, item.next_check_at) == (Outcome.UPDATED, NOW)
    assert (row(store).amount, row(store).plan.max_checks) == (500, 23)
    assert sorted(action["action"] for action in story(store).actions) == ["grant_checks", "update_qr"]


def test_a_qr_that_is_new_is_created_and_one_that_is_alike_stays(store: Database) -> None:
    assert update(store, request(amount=500)).outcome is Outcome.CREATED
    before = dump(store)
    assert update(store, request(amount=500)).outcome is Outcome.ALREADY_PLANNED
    assert dump(store) == before


@pytest.mark.parametrize(
    ("fields", "said", "remark"),
    [
        ({"status": "completed"}, {"amount": 1}, "it is completed already"),
        ({"status": "cancelled"}, {"amount": 1}, "it is cancelled already"),
        ({"status": "expired"}, {"due_at": NOW + HOUR}, "it is expired already"),
        ({"status": "processing"}, {"amount": 1}, "money has come for it already"),
        ({}, {"issued_at": NOW}, "issued_at is never updated"),
        ({"currency": "USD"}, {"amount": 1}, "its currency is another one: say --currency too"),
        ({"amount": 10050}, {"currency": "JPY"}, "its amount does not fit the new currency: say --amount too"),
    ],
)
def test_what_may_not_be_updated_is_a_conflict_that_says_why(
    store: Database, fields: dict[str, Any], said: dict[str, Any], remark: str
) -> None:
    add_qr(store, "QR1", **fields)
    before = dump(store)
    item = update(store, request(**said), at=NOW - HOUR)
    assert item.outcome is Outcome.CONFLICT
    assert (item.detail or "").endswith(f"; {remark}")
    assert dump(store) == before


def test_paid_qrs_are_never_updated(any_store: Database) -> None:
    """Also an open one that is paid in part, and a multi-use one."""
    qr = add_qr(any_store, "QR1", multi_use=True, amount=None)
    book(any_store, qr, 5000)
    item = update(any_store, request(account="till"))
    assert (item.outcome, item.detail) == (
        Outcome.CONFLICT,
        "account is main, not till; money has come for it already",
    )
    assert row(any_store) == qr


def test_the_figures_follow_into_another_currency(store: Database) -> None:
    add_qr(store, "QR1", amount=10000)
    update(store, request(currency="JPY"))
    assert (row(store).amount, row(store).currency) == (100, "JPY")
    update(store, request(currency="KWD"))
    assert (row(store).amount, row(store).currency) == (100000, "KWD")


def test_a_due_date_taken_away_is_waited_for_no_more(store: Database) -> None:
    """The bank lists its payments and the budget is spent: it was to be asked once more, when it is due."""
    due_at = NOW + timedelta(days=60)
    add_qr(store, "QR1", state="exhausted", checks=20, due_at=due_at, at=due_at)
    rhythm = replace(RHYTHM, lists_by_payment_day=True)
    register.enqueue(store, [request(due_at=None)], bank="sim", environment="certification", rhythm=rhythm, now=NOW,
                     wish=Wish(who=WHO, update=True))  # fmt: skip
    assert row(store).due_at is None
    assert row(store).plan.next_check_at == NOW + timedelta(days=1)


def test_the_second_of_two_in_one_call_is_judged_against_the_first(store: Database) -> None:
    add_qr(store, "QR1")
    report = register.enqueue(
        store, [request(amount=500), request(amount=500), request(amount=600)], bank="sim",
        environment="certification", rhythm=RHYTHM, now=NOW, wish=Wish(who=WHO, update=True),
    )  # fmt: skip
    assert [item.outcome.value for item in report.items] == ["updated", "already_planned", "conflict"]


def test_a_preview_says_the_same_and_writes_nothing(store: Database) -> None:
    add_qr(store, "QR1")
    before = dump(store)
    looked = register.preview(
        store, [request(amount=500)], bank="sim", environment="certification", rhythm=RHYTHM, now=NOW,
        wish=Wish(who=WHO, update=True),
    )  # fmt: skip
    assert dump(store) == before
    assert list(looked.items) == [update(store, request(amount=500))]


def test_updates_against_a_payment_at_the_same_moment(any_store: Database) -> None:
    """The account that is credited is the one that the QR names when the money is booked, and it stays."""
    qr = add_qr(any_store, "QR1", amount=20000)
    judge = Judge({"sim": RHYTHM}, NOW, lambda: 0.0)
    gate = Barrier(20)

    def one(number: int) -> str:
        gate.wait()
        if number % 2:
            return record(any_store, [Asked(qr.id, 0, NOW, 7, says("paid", paid("t1")))], judge)[0].how
        return update(any_store, request(account=f"till{number}")).outcome

    with ThreadPoolExecutor(20) as threads:
        ended = Counter(threads.map(one, range(20)))
    assert ended["finished"] == 1
    assert ended["updated"] + ended["conflict"] == 10
    assert len(story(any_store).actions) == ended["updated"]
    (movement,) = story(any_store).movements
    assert movement["account"] == row(any_store).account
    with any_store.read() as tx:
        assert ledger.balances(tx) == ledger.sums(tx)
