"""A notice plans one urgent check that costs nothing, whatever state the QR is in; it never touches money or status."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from paysync_cli.payments.qr import Qr
from paysync_cli.payments.schedule import (
    NOTICES_TOGETHER,
    Rhythm,
    after_check,
    after_failed_attempt,
    after_notice,
    after_wait,
    without_check,
)
from paysync_cli.payments.status import PlanState, Priority, Status
from paysync_cli.services.notices import take_notice
from paysync_cli.services.sync import Asked, Judge, record
from paysync_cli.store import qrs
from paysync_cli.store.database import Database
from tests.books import add_qr, book, dump
from tests.core import NOW, RHYTHM, make_qr, says

LATER = NOW + timedelta(minutes=15)
SECOND = timedelta(seconds=1)


# -- the plan


@pytest.mark.parametrize(("state", "checks"), [(PlanState.PLANNED, 3), (PlanState.EXHAUSTED, 20)])
def test_it_is_asked_now_urgently_and_for_nothing(state: PlanState, checks: int) -> None:
    qr = make_qr(state=state, checks=checks, next_check_at=LATER)
    found = after_notice(qr, NOW)
    assert found is not None
    plan, at = found
    assert at == NOW
    assert plan == replace(qr.plan, next_check_at=NOW, free=True, priority=Priority.HIGH)
    noticed = replace(qr, plan=replace(plan, state=PlanState.QUEUED), notified_at=at)
    after = after_check(noticed, qr.status, sent_at=NOW + SECOND, now=NOW + SECOND, rhythm=RHYTHM, luck=0.0)
    assert (after.checks, after.state, after.free) == (checks, state, False)
    assert after.next_check_at is not None
    assert after.next_check_at > NOW + timedelta(minutes=1), "and then it goes on as it was"


def test_a_check_that_is_due_already_is_not_put_off() -> None:
    overdue = make_qr(next_check_at=NOW - timedelta(hours=1))
    found = after_notice(overdue, NOW)
    assert found is not None
    assert found[0].next_check_at == overdue.plan.next_check_at


FINAL = ["completed", "cancelled", "expired"]


def noticed_after_its_end(status: str, **more: Any) -> Qr:
    """An ended QR as the worker finds it that asks because of a notice."""
    qr = make_qr(status, **more)
    found = after_notice(qr, NOW)
    assert found is not None
    plan, at = found
    assert plan == replace(qr.plan, state=PlanState.PLANNED, next_check_at=NOW, free=True, priority=Priority.HIGH)
    return replace(qr, plan=replace(plan, state=PlanState.QUEUED), notified_at=at)


@pytest.mark.parametrize("status", FINAL)
def test_a_final_qr_is_asked_about_once_more(status: str) -> None:
    """It may have been paid late or twice."""
    qr = noticed_after_its_end(status, checks=20)
    plan = after_check(qr, qr.status, sent_at=NOW + SECOND, now=NOW + SECOND, rhythm=RHYTHM, luck=0.5)
    assert (plan.state, plan.next_check_at, plan.free, plan.checks) == (PlanState.DONE, None, False, 20)
    again = after_notice(replace(qr, plan=plan), NOW + 2 * SECOND)
    assert again is None, "one question for the notices of a few seconds"


@pytest.mark.parametrize("status", FINAL)
@pytest.mark.parametrize("checks", [3, 20])
def test_a_final_qrs_notice_waits_for_its_answer(status: str, checks: int) -> None:
    qr = noticed_after_its_end(status, checks=checks)
    waits = after_wait(qr, NOW + SECOND)
    assert (waits.state, waits.next_check_at, waits.free) == (PlanState.PLANNED, NOW + SECOND, True)
    moments = []
    for _attempt in range(RHYTHM.attempts):
        plan, given_up = after_failed_attempt(qr, now=NOW, rhythm=RHYTHM, luck=0.0)
        assert (plan.state, plan.free, plan.priority) == (PlanState.PLANNED, True, Priority.HIGH)
        moments.append(plan.next_check_at)
        qr = replace(qr, plan=replace(plan, state=PlanState.QUEUED))
    assert (given_up, plan.attempts) == (True, 0)
    assert moments == [NOW + 2 * SECOND, NOW + 4 * SECOND, NOW + timedelta(minutes=15)]


def test_a_final_qr_that_nobody_gets_an_answer_about_is_asked_ever_less() -> None:
    """Nobody can hold it, nor does it use up its checks."""
    qr = noticed_after_its_end("expired", attempts=RHYTHM.attempts - 1)
    hour = timedelta(hours=1)
    waits = {hour / 6: hour / 4, hour: hour, 5 * hour: 5 * hour, 90 * hour: 24 * hour, -hour: hour / 4}
    for age, wait in waits.items():
        plan, given_up = after_failed_attempt(qr, now=NOW + age, rhythm=RHYTHM, luck=0.0)
        assert (given_up, plan.next_check_at, plan.free) == (True, NOW + age + wait, True)


def test_a_final_qr_that_kills_its_workers_is_left_alone() -> None:
    qr = noticed_after_its_end("expired", attempts=RHYTHM.attempts - 1)
    plan, given_up = after_failed_attempt(qr, now=NOW, rhythm=RHYTHM, luck=0.0, deadly=True)
    assert (plan.state, plan.next_check_at, given_up) == (PlanState.DONE, None, True)


@pytest.mark.parametrize("state", [PlanState.PLANNED, PlanState.QUEUED, PlanState.EXHAUSTED, PlanState.HELD])
def test_other_news_end_the_qr_and_the_notice_is_still_asked_for(state: PlanState) -> None:
    """The list brought one payment, the notice may be of another one."""
    checks = 20 if state is PlanState.EXHAUSTED else 3
    free = state is not PlanState.QUEUED
    noticed = make_qr(state=state, checks=checks, next_check_at=NOW, notified_at=NOW, free=free)
    plan = without_check(noticed, Status.COMPLETED, now=NOW, rhythm=RHYTHM)
    if state is PlanState.HELD:
        assert plan.state is PlanState.DONE, "nobody asks about it while it is held, and nobody can release it"
        return
    assert (plan.state is PlanState.QUEUED) is (state is PlanState.QUEUED)
    assert (plan.next_check_at, plan.free, plan.seq) == (NOW, True, noticed.plan.seq)
    ended = replace(noticed, status=Status.COMPLETED, plan=plan)
    assert without_check(ended, Status.COMPLETED, now=NOW, rhythm=RHYTHM) == plan


def test_a_notice_that_has_its_answer_keeps_nothing_open() -> None:
    answered = make_qr(next_check_at=LATER, notified_at=NOW)
    assert without_check(answered, Status.COMPLETED, now=NOW, rhythm=RHYTHM).state is PlanState.DONE


def test_nobody_is_asked_while_it_is_held() -> None:
    assert after_notice(make_qr(state=PlanState.HELD), NOW) is None


def test_notices_that_come_together_are_one_check() -> None:
    qr = make_qr(next_check_at=LATER, notified_at=NOW)
    assert after_notice(qr, NOW + NOTICES_TOGETHER - SECOND) is None
    assert after_notice(qr, NOW + NOTICES_TOGETHER) is not None


@pytest.mark.parametrize("multi_use", [False, True])
def test_a_notice_is_heard_when_the_clock_was_put_back(multi_use: bool) -> None:
    """The latest one seems to lie ahead: of an ended QR this one would be lost until the clock has caught up."""
    qr = make_qr("expired", notified_at=NOW, multi_use=multi_use)
    found = after_notice(qr, NOW - timedelta(hours=1))
    assert found is not None
    plan, at = found
    assert (plan.state, plan.next_check_at, at) == (PlanState.PLANNED, at, NOW - timedelta(hours=1))
    ahead = replace(qr, notified_at=NOW + NOTICES_TOGETHER)
    assert after_notice(ahead, NOW) is None, "of a multi-use QR that check is planned"


def test_two_payers_of_one_qr_are_both_asked_about() -> None:
    """The second notice comes after the first one's answer: it waits until the seconds are over, and no third does."""
    qr = make_qr(next_check_at=LATER, notified_at=NOW, multi_use=True)
    found = after_notice(qr, NOW + 3 * SECOND)
    assert found is not None
    plan, at = found
    assert at == plan.next_check_at == NOW + NOTICES_TOGETHER
    again = replace(qr, plan=plan, notified_at=at)
    assert after_notice(again, NOW + 4 * SECOND) is None


def test_a_notice_that_crosses_the_answer_is_not_lost() -> None:
    """The bank was asked, then the payer paid, then the bank gave notice, then its older answer arrived."""
    asked = make_qr(state=PlanState.QUEUED, checks=3)
    found = after_notice(asked, NOW)
    assert found is not None
    assert found[0] == asked.plan, "the job that is under way keeps its row"
    noticed = replace(asked, notified_at=found[1])
    older = after_check(noticed, Status.ACTIVE, sent_at=NOW - SECOND, now=NOW, rhythm=RHYTHM, luck=0.5)
    assert (older.next_check_at, older.free, older.priority, older.checks) == (NOW, True, Priority.HIGH, 4)
    newer = after_check(noticed, Status.ACTIVE, sent_at=NOW + SECOND, now=NOW, rhythm=RHYTHM, luck=0.5)
    assert newer.next_check_at is not None
    assert newer.next_check_at > NOW + timedelta(minutes=1)
    ended = after_check(noticed, Status.COMPLETED, sent_at=NOW - SECOND, now=NOW, rhythm=RHYTHM, luck=0.5)
    assert (ended.state, ended.next_check_at, ended.free) == (PlanState.PLANNED, NOW, True)
    told = after_check(noticed, Status.COMPLETED, sent_at=NOW + SECOND, now=NOW, rhythm=RHYTHM, luck=0.5)
    assert (told.state, told.next_check_at) == (PlanState.DONE, None)


def test_a_bank_that_cannot_be_asked_is_asked_again_as_ever() -> None:
    noticed = make_qr(state=PlanState.QUEUED, notified_at=NOW, free=True)
    plan, given_up = after_failed_attempt(noticed, now=NOW, rhythm=RHYTHM, luck=0.0)
    assert (plan.next_check_at, plan.free, given_up) == (NOW + RHYTHM.backoff, True, False)


def test_a_notice_that_crosses_a_question_without_an_answer_is_not_lost() -> None:
    """It came while the last attempt was under way, of a QR that nobody would ask for two months."""
    far = NOW + timedelta(days=60)
    lists = Rhythm(lists_by_payment_day=True)
    asked = make_qr(state=PlanState.QUEUED, checks=20, attempts=2, due_at=far, next_check_at=NOW - SECOND)
    noticed = replace(asked, notified_at=NOW)
    plan, given_up = after_failed_attempt(noticed, now=NOW, rhythm=lists, luck=0.0)
    assert given_up
    assert (plan.next_check_at, plan.free, plan.priority) == (NOW + timedelta(minutes=15), True, Priority.HIGH)
    waits = after_wait(noticed, NOW + SECOND)
    assert (waits.next_check_at, waits.free, waits.priority) == (NOW + SECOND, True, Priority.HIGH)
    old = replace(asked, notified_at=NOW - timedelta(hours=1))
    assert not after_failed_attempt(old, now=NOW, rhythm=lists, luck=0.0)[0].free
    assert not after_wait(old, NOW).free


# -- the books


def take(store: Database, *ids: str, at: timedelta = timedelta(0)) -> tuple[tuple[str, ...], ...]:
    report = take_notice(store, ids, bank="sim", environment="certification", now=NOW + at)
    return report.asked, report.quiet, report.unknown


def test_a_notice_changes_the_plan_alone(any_store: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    open_, done = add_qr(any_store, "OPEN", at=LATER), add_qr(any_store, "DONE", status="expired")
    held = add_qr(any_store, "HELD", state="held")
    book(any_store, open_, 5)
    took = take(any_store, "OPEN", "DONE", "HELD", "NOBODYS", "OPEN")
    assert took == (("OPEN", "DONE"), ("HELD",), ("NOBODYS",))
    with any_store.read() as tx:
        after = qrs.load(tx, [open_.id, done.id, held.id])
    plan = replace(open_.plan, next_check_at=NOW, free=True, priority=Priority.HIGH)
    assert after[open_.id] == replace(open_, plan=plan, notified_at=NOW)
    plan = replace(done.plan, state=PlanState.PLANNED, next_check_at=NOW, free=True, priority=Priority.HIGH)
    assert after[done.id] == replace(done, plan=plan, notified_at=NOW)
    assert after[held.id] == held
    assert [(one.event_name, one.qr_id) for one in caplog.records if hasattr(one, "event_name")] == [  # type: ignore[attr-defined]
        ("notice", "OPEN"), ("notice", "DONE"), ("notice_unknown_qr", "NOBODYS"),
    ]  # fmt: skip
    assert take(any_store, "OPEN", "DONE", at=9 * SECOND) == ((), ("OPEN", "DONE"), ())


def test_a_dispatched_ended_qr_goes_back_to_its_plan(any_store: Database) -> None:
    """Also one whose checks are used up: exhausted is who waits for more of them."""
    spent = add_qr(any_store, "SPENT", status="expired", checks=20)
    assert take(any_store, "SPENT")[0] == ("SPENT",)
    with any_store.write() as tx:
        (due,) = qrs.take_due(tx, "sim", "certification", Priority.HIGH, NOW, 10)
    assert due.id == spent.id
    with any_store.write() as tx:
        assert qrs.put_back(tx, [(due.id, due.seq)]) == 1
        assert qrs.load(tx, [spent.id])[spent.id].plan.state is PlanState.PLANNED


def test_other_banks_and_environments_are_other_qrs(any_store: Database) -> None:
    elsewhere = [
        add_qr(any_store, "A", bank="moon", at=LATER),
        add_qr(any_store, "A", environment="production", at=LATER),
    ]
    assert take(any_store, "A") == ((), (), ("A",))
    with any_store.read() as tx:
        assert list(qrs.load(tx, [qr.id for qr in elsewhere]).values()) == elsewhere


def test_unknown_qrs_write_nothing(sqlite_store: Database) -> None:
    add_qr(sqlite_store, "A")
    before = dump(sqlite_store)
    take(sqlite_store, "B", "C")
    assert dump(sqlite_store) == before


def test_a_noticed_row_is_dispatched_and_recorded_with_its_notice(any_store: Database) -> None:
    """Through the real statements: taken by the urgent queue, answered, and asked once more for a crossing notice."""
    qr = add_qr(any_store, "A", at=LATER, checks=20, state="exhausted")
    take(any_store, "A")
    with any_store.write() as tx:
        (due,) = qrs.take_due(tx, "sim", "certification", Priority.HIGH, NOW, 10)
    take(any_store, "A", at=NOTICES_TOGETHER)
    crossing = Asked(due.id, due.seq, NOW, 5, says("unpaid", sent_at=NOW + SECOND))
    judge = Judge({"sim": RHYTHM}, NOW + NOTICES_TOGETHER, lambda: 0.0)
    (recorded,) = record(any_store, [crossing], judge)
    assert recorded.plan is not None
    assert (recorded.plan.next_check_at, recorded.plan.free, recorded.plan.checks) == (
        NOW + NOTICES_TOGETHER, True, 20,
    )  # fmt: skip
    with any_store.read() as tx:
        assert qrs.load(tx, [qr.id])[qr.id].notified_at == NOW + NOTICES_TOGETHER
