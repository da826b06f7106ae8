"""Holding and releasing: what moves, what a worker may still do, what is written down."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from paysync_cli.errors import UsageError
from paysync_cli.payments.qr import PaidDay, Qr
from paysync_cli.payments.status import PlanState, Priority, Status
from paysync_cli.services import hold as holding
from paysync_cli.services.engine import OpenBank
from paysync_cli.services.hold import HoldReport, Outcome, Which
from paysync_cli.services.sweep import sweep
from paysync_cli.services.sync import Asked, Failure, Judge, record
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database
from tests.books import add_qr, dump, new_database
from tests.core import NOW, RHYTHM, ScriptedBank, paid, says

WHO, WHY = "ana@till", "disputed"
HOUR = timedelta(hours=1)
JUDGE = Judge({"sim": RHYTHM}, NOW, lambda: 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def hold(store: Database, *ids: str, **which: Any) -> HoldReport:
    return holding.hold(store, Which(ids or ("QR1",), **which), reason=WHY, who=WHO, now=NOW)


def release(store: Database, *ids: str) -> HoldReport:
    return holding.release(store, Which(ids or ("QR1",)), reason=None, who=WHO, now=NOW)


def row(store: Database, qr_id: str = "QR1") -> Qr:
    with store.read() as tx:
        (found,) = qrs.by_qr_id(tx, qr_id)
    return found


def story(store: Database, qr_id: str = "QR1") -> history.Story:
    qr = row(store, qr_id)
    with store.read() as tx:
        return history.story(tx, qr.id)


@pytest.mark.parametrize("state", ["planned", "exhausted", "queued"])
def test_every_open_plan_can_be_held(any_store: Database, state: str) -> None:
    before = add_qr(any_store, "QR1", state=state, at=NOW - HOUR, checks=20 if state == "exhausted" else 3)
    (item,) = hold(any_store).items
    assert (item.outcome, item.qr) == (Outcome.HELD, row(any_store))
    plan = row(any_store).plan
    assert (plan.state, plan.next_check_at, plan.seq, plan.checks) == (
        PlanState.HELD,
        NOW - HOUR,
        before.plan.seq,
        before.plan.checks,
    )
    (action,) = story(any_store).actions
    assert (action["who"], action["action"], action["object"], action["reason"], action["at"]) == (
        WHO, "hold", "sim/QR1", WHY, NOW
    )  # fmt: skip
    assert json.loads(action["detail"]) == {"before": state, "after": "held"}


def test_outcomes_again_change_nothing(store: Database) -> None:
    add_qr(store, "QR1")
    add_qr(store, "DONE", status="completed")
    hold(store)
    before = dump(store)
    report = hold(store, "QR1", "DONE", "QR1", "NOBODY")
    assert [item.outcome for item in report.items] == [Outcome.ALREADY_HELD, Outcome.FINAL, Outcome.NOT_FOUND]
    assert [error.code for error in report.missing] == ["no_qr"]
    assert dump(store) == before
    release(store)
    before = dump(store)
    report = release(store, "QR1", "DONE", "NOBODY")
    assert [item.outcome for item in report.items] == [Outcome.NOT_HELD, Outcome.FINAL, Outcome.NOT_FOUND]
    assert dump(store) == before


def test_some_are_held_though_others_are_not_known(store: Database) -> None:
    add_qr(store, "QR1")
    report = hold(store, "NOBODY", "QR1")
    assert [item.outcome for item in report.items] == [Outcome.NOT_FOUND, Outcome.HELD]
    assert row(store).plan.state is PlanState.HELD


def test_an_id_of_two_banks_must_be_told_apart(store: Database) -> None:
    add_qr(store, "QR2")
    add_qr(store, "QR1")
    add_qr(store, "QR1", bank="other")
    before = dump(store)
    with pytest.raises(UsageError, match="several QRs QR1"):
        hold(store, "QR2", "QR1")
    assert dump(store) == before
    assert hold(store, "QR1", bank="other").items[0].outcome is Outcome.HELD


@pytest.mark.parametrize(
    ("at", "expected"),
    [(NOW + HOUR, NOW + HOUR), (NOW - HOUR, NOW)],
    ids=["at its old moment", "at once when that has passed"],
)
def test_release_plans_it(any_store: Database, at: Any, expected: Any) -> None:
    add_qr(any_store, "QR1", at=at, checks=3, priority="medium")
    hold(any_store)
    assert release(any_store).items[0].outcome is Outcome.RELEASED
    plan = row(any_store).plan
    assert (plan.state, plan.next_check_at, plan.checks, plan.priority) == (
        PlanState.PLANNED,
        expected,
        3,
        Priority.MEDIUM,
    )
    assert [(action["action"], action["reason"]) for action in story(any_store).actions] == [
        ("hold", WHY),
        ("release", None),
    ]


def test_a_spent_plan_is_released_as_exhausted(store: Database) -> None:
    add_qr(store, "QR1", state="exhausted", checks=20, at=NOW + HOUR)
    hold(store)
    release(store)
    assert (row(store).plan.state, row(store).plan.next_check_at) == (PlanState.EXHAUSTED, NOW + HOUR)


# -- what others do meanwhile


def test_what_is_held_is_not_dispatched(store: Database) -> None:
    add_qr(store, "QR1", at=NOW)
    hold(store)
    with store.write() as tx:
        assert qrs.take_due(tx, "sim", "certification", Priority.LOW, NOW + HOUR, 10) == []
        assert qrs.next_due_at(tx, "sim", "certification") == {}
    release(store)
    with store.write() as tx:
        assert len(qrs.take_due(tx, "sim", "certification", Priority.LOW, NOW, 10)) == 1


def test_what_is_given_back_stays_held(store: Database) -> None:
    qr = add_qr(store, "QR1", state="queued")
    hold(store)
    with store.write() as tx:
        assert qrs.put_back(tx, [(qr.id, qr.plan.seq)]) == 0
    assert row(store).plan.state is PlanState.HELD


@pytest.mark.parametrize(
    "news",
    [
        {"answer": says("unpaid")},
        {"failure": Failure("attempt", "unavailable", "why")},
        {"failure": Failure("wait", "throttled", "why", 30.0)},
        {"failure": Failure("check", "unknown", "why")},
    ],
    ids=["unpaid", "failed", "throttled", "unknown"],
)
def test_a_check_under_way_ends_and_the_qr_stays_held(store: Database, news: dict[str, Any]) -> None:
    qr = add_qr(store, "QR1", state="queued")
    hold(store)
    record(store, [Asked(qr.id, qr.plan.seq, NOW, 7, **news)], JUDGE)
    plan = row(store).plan
    assert plan.state is PlanState.HELD
    assert plan.next_check_at is not None


def test_a_check_under_way_that_finds_money_books_it(store: Database) -> None:
    qr = add_qr(store, "QR1", state="queued", amount=10000)
    hold(store)
    record(store, [Asked(qr.id, qr.plan.seq, NOW, 7, says("paid", paid("t1")))], JUDGE)
    assert (row(store).status, row(store).plan.state) == (Status.COMPLETED, PlanState.DONE)
    assert [m["amount_minor"] for m in story(store).movements] == [10000]


def test_the_day_list_books_for_what_is_held(store: Database) -> None:
    add_qr(store, "QR1", amount=20000, status="pending")
    hold(store)
    bank = ScriptedBank(days={date(2031, 6, 14): PaidDay((paid("t1"),), (), NOW)})
    clock = Clock(NOW, NOW, 0.0)
    asyncio.run(sweep(store, {"sim": OpenBank(bank, "certification", RHYTHM)}, clock, lambda: 0.0))
    assert [m["amount_minor"] for m in story(store).movements] == [10000]
    assert (row(store).status, row(store).plan.state) == (Status.PROCESSING, PlanState.HELD)


def test_twenty_at_once_against_a_workers_record(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", state="queued", amount=20000)
    gate = Barrier(20)

    def one(number: int) -> str:
        gate.wait()
        if number % 2:
            answer = says("paid", paid("t1"))
            return record(any_store, [Asked(qr.id, qr.plan.seq, NOW, 7, answer)], JUDGE)[0].how
        return hold(any_store).items[0].outcome

    with ThreadPoolExecutor(20) as threads:
        ended = Counter(threads.map(one, range(20)))
    assert ended == {"finished": 1, "gone": 9, "held": 1, "already_held": 9}
    after = row(any_store)
    assert (after.status, after.plan.state, after.plan.seq) == (Status.PROCESSING, PlanState.HELD, qr.plan.seq + 1)
    assert len(story(any_store).actions) == 1
    with any_store.read() as tx:
        assert ledger.balances(tx) == ledger.sums(tx) == [ledger.Balance("sim", "certification", "main", "BOB", 10000)]
