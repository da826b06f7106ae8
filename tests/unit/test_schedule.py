"""When to ask next: the ladder, the due moment, the budget, the two clocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paysync_cli.payments.qr import Plan, Qr
from paysync_cli.payments.schedule import (
    Rhythm,
    after_check,
    after_failed_attempt,
    after_wait,
    due_query_at,
    first_plan,
    open_state,
    quiet_status,
    spent_in_time,
    without_check,
)
from paysync_cli.payments.status import PlanState, Priority, Status
from tests.core import NOW, RHYTHM, make_qr

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MARGIN = RHYTHM.due_margin
LISTS = Rhythm(lists_by_payment_day=True)
OPEN = [status for status in Status if not status.final]
LUCK = st.floats(0, 1, exclude_max=True)


def checked(qr: Qr, status: str | None = None, **options: object) -> Plan:
    """The plan after a check answered now."""
    wanted = {"sent_at": NOW, "now": NOW, "rhythm": RHYTHM, "luck": 0.0} | options
    return after_check(qr, Status(status or qr.status), **wanted)  # type: ignore[arg-type]


def failed(qr: Qr, now: datetime = NOW, rhythm: Rhythm = RHYTHM) -> tuple[Plan, bool]:
    return after_failed_attempt(qr, now=now, rhythm=rhythm, luck=0.0)


def next_at(plan: Plan) -> datetime:
    assert plan.next_check_at is not None
    return plan.next_check_at


# -- the ladder


@pytest.mark.parametrize(
    ("status", "minutes", "priority"),
    [("pending", 2, Priority.HIGH), ("processing", 5, Priority.MEDIUM), ("active", 15, Priority.LOW)],
)
def test_the_ladder(status: str, minutes: int, priority: Priority) -> None:
    plan = checked(make_qr("pending", checks=3, attempts=2, seq=7), status)
    assert plan == Plan(PlanState.PLANNED, NOW + minutes * MINUTE, priority, seq=8, checks=4, max_checks=20, attempts=0)


@pytest.mark.parametrize("status", ["completed", "cancelled", "expired"])
def test_a_final_qr_has_no_plan(status: str) -> None:
    plan = checked(make_qr(checks=3, attempts=1, free=True), status)
    assert plan == Plan(PlanState.DONE, None, Priority.LOW, seq=1, checks=3, max_checks=20, attempts=0)


@given(st.sampled_from(OPEN), LUCK)
def test_jitter_only_makes_later_and_at_most_a_tenth(status: Status, luck: float) -> None:
    delay = RHYTHM.delay(status)
    assert NOW + delay <= next_at(checked(make_qr(), status.value, luck=luck)) <= NOW + delay * 1.1


def test_jitter_spreads() -> None:
    assert next_at(checked(make_qr(), luck=0.5)) == NOW + 15 * MINUTE * 1.05


def test_pending_lasts_as_long_as_its_window() -> None:
    window = RHYTHM.pending_window
    assert quiet_status(NOW - window + timedelta(microseconds=1), NOW, RHYTHM) is Status.PENDING
    assert quiet_status(NOW - window, NOW, RHYTHM) is Status.ACTIVE


def test_a_new_qr_starts_unused_in_its_status_s_queue() -> None:
    plan = first_plan(Status.PENDING, NOW, RHYTHM)
    assert plan == Plan(PlanState.PLANNED, NOW, Priority.HIGH, seq=0, checks=0, max_checks=20, attempts=0)
    assert first_plan(Status.ACTIVE, NOW, RHYTHM).priority is Priority.LOW
    assert first_plan(Status.ACTIVE, NOW, RHYTHM, Priority.MEDIUM).priority is Priority.MEDIUM


# -- the due moment


def test_the_next_check_is_never_later_than_the_due_query() -> None:
    due_at = NOW + 7 * MINUTE
    assert next_at(checked(make_qr(due_at=due_at))) == due_at + MARGIN


def test_an_answer_sent_before_the_due_query_and_read_after_it_is_asked_again_at_once() -> None:
    due_at = NOW - MARGIN - timedelta(seconds=1)
    plan = checked(make_qr(due_at=due_at), sent_at=NOW - timedelta(seconds=2))
    assert next_at(plan) == NOW


def test_a_due_query_that_did_not_end_the_qr_keeps_the_rhythm() -> None:
    due_at = NOW - MARGIN
    assert next_at(checked(make_qr(due_at=due_at), "processing")) == NOW + 5 * MINUTE


def test_a_failed_due_query_does_not_hammer_the_bank() -> None:
    plan, given_up = failed(make_qr(due_at=NOW - DAY, attempts=2))
    assert given_up
    assert next_at(plan) == NOW + 15 * MINUTE


def test_no_due_date_no_due_query() -> None:
    assert due_query_at(None, RHYTHM) is None
    assert due_query_at(NOW, RHYTHM) == NOW + MARGIN


SOME_TIME = st.timedeltas(timedelta(0), timedelta(days=40))
OPEN_QR = st.builds(
    make_qr,
    st.sampled_from(OPEN),
    due_at=st.just(NOW) | st.builds(lambda span: NOW + span, st.timedeltas(timedelta(days=-3), timedelta(days=40))),
    multi_use=st.booleans(),
    checks=st.integers(0, 30),
    attempts=st.integers(0, 2),
    free=st.booleans(),
    state=st.sampled_from([PlanState.QUEUED, PlanState.HELD]),
)


@given(OPEN_QR, st.sampled_from(OPEN), SOME_TIME, st.booleans(), st.booleans(), LUCK)
def test_while_open_the_plan_after_a_check_never_passes_the_due_query(
    qr: Qr, status: Status, took: timedelta, booked: bool, lists: bool, luck: float
) -> None:
    rhythm = replace(RHYTHM, lists_by_payment_day=lists)
    due_query = due_query_at(qr.due_at, rhythm)
    assert due_query is not None
    now = NOW + took
    plan = after_check(qr, status, sent_at=NOW, now=now, rhythm=rhythm, luck=luck, booked=booked)
    assert next_at(plan) >= now
    if due_query > NOW:
        assert next_at(plan) <= max(due_query, now)


@given(OPEN_QR, st.booleans(), LUCK)
def test_while_open_the_plan_after_a_failed_attempt_never_passes_the_due_query(
    qr: Qr, lists: bool, luck: float
) -> None:
    rhythm = replace(RHYTHM, lists_by_payment_day=lists)
    due_query = due_query_at(qr.due_at, rhythm)
    assert due_query is not None
    plan, _given_up = after_failed_attempt(qr, now=NOW, rhythm=rhythm, luck=luck)
    assert next_at(plan) >= NOW
    if due_query > NOW:
        assert next_at(plan) <= due_query


# -- the budget


def test_the_twentieth_check_spends_the_budget() -> None:
    assert checked(make_qr(checks=18)).state is PlanState.PLANNED
    assert checked(make_qr(checks=19)).state is PlanState.EXHAUSTED


def test_a_free_check_costs_nothing_and_only_once() -> None:
    plan = checked(make_qr(checks=4, free=True))
    assert (plan.checks, plan.free) == (4, False)


def test_a_check_of_an_exhausted_qr_costs_nothing() -> None:
    """Else five checks that a person grants would first pay for those that came daily meanwhile."""
    plan = checked(make_qr(checks=20))
    assert (plan.checks, plan.state) == (20, PlanState.EXHAUSTED)
    assert checked(make_qr(checks=20, max_checks=25)).checks == 21


def test_booked_money_gives_a_multi_use_qr_its_budget_back() -> None:
    plan = checked(make_qr(checks=20, multi_use=True), booked=True)
    assert (plan.checks, plan.state, next_at(plan)) == (0, PlanState.PLANNED, NOW + 15 * MINUTE)
    assert checked(make_qr(checks=20), booked=True).checks == 20


@pytest.mark.parametrize(
    ("due_at", "rhythm", "status", "at"),
    [
        pytest.param(None, RHYTHM, "active", NOW + DAY, id="no due date"),
        pytest.param(None, LISTS, "active", NOW + DAY, id="no due date, with a list"),
        pytest.param(NOW + 30 * DAY, RHYTHM, "active", NOW + DAY, id="no list"),
        pytest.param(NOW + MINUTE, RHYTHM, "active", NOW + MINUTE + MARGIN, id="no list, due soon"),
        pytest.param(NOW + 30 * DAY, LISTS, "active", NOW + 30 * DAY + MARGIN, id="a list: at the due query"),
        pytest.param(NOW + 30 * DAY, LISTS, "processing", NOW + DAY, id="a list, but money seen and not booked"),
        pytest.param(NOW - MARGIN, RHYTHM, "active", NOW + DAY, id="the due query did not end it"),
        pytest.param(NOW - MARGIN, LISTS, "active", NOW + DAY, id="the due query did not end it, with a list"),
    ],
)
def test_when_an_exhausted_qr_is_asked(due_at: datetime | None, rhythm: Rhythm, status: str, at: datetime) -> None:
    plan = checked(make_qr(due_at=due_at, checks=20), status, rhythm=rhythm, luck=0.9)
    assert (plan.state, next_at(plan)) == (PlanState.EXHAUSTED, at)


def test_an_exhausted_qr_whose_due_query_failed_is_asked_within_a_day() -> None:
    plan, _given_up = failed(make_qr(due_at=NOW - DAY, checks=20, attempts=2))
    assert (plan.state, next_at(plan)) == (PlanState.EXHAUSTED, NOW + DAY)


@given(OPEN_QR, st.sampled_from(OPEN), st.booleans(), st.booleans())
def test_an_open_qr_always_has_its_next_moment(qr: Qr, status: Status, dated: bool, lists: bool) -> None:
    rhythm, qr = replace(RHYTHM, lists_by_payment_day=lists), qr if dated else replace(qr, due_at=None)
    for plan in (checked(qr, status.value, rhythm=rhythm), failed(qr, rhythm=rhythm)[0]):
        assert plan.state in (PlanState.PLANNED, PlanState.EXHAUSTED, PlanState.HELD)
        assert next_at(plan) >= NOW
        if qr.due_at is None or not lists:
            assert next_at(plan) <= NOW + DAY


FAR = NOW + 60 * DAY
SPENT: dict[str, object] = {"due_at": FAR, "checks": 20, "next_check_at": FAR + MARGIN}


@pytest.mark.parametrize("state", [PlanState.EXHAUSTED, PlanState.HELD])
def test_money_that_the_list_saw_and_did_not_book_is_looked_for_daily_although_the_budget_is_spent(
    state: PlanState,
) -> None:
    qr = make_qr(state=state, **SPENT)
    plan = without_check(qr, Status.PROCESSING, now=NOW, rhythm=LISTS)
    assert plan == replace(qr.plan, next_check_at=NOW + DAY)
    assert without_check(qr, Status.ACTIVE, now=NOW, rhythm=LISTS) == qr.plan
    soon = replace(qr, plan=replace(qr.plan, next_check_at=NOW + MINUTE))
    assert without_check(soon, Status.PROCESSING, now=NOW, rhythm=LISTS) == soon.plan


@pytest.mark.parametrize("state", [PlanState.EXHAUSTED, PlanState.HELD])
def test_a_spent_budget_waits_for_no_due_moment_that_is_none_any_more(state: PlanState) -> None:
    plan = make_qr(state=state, **SPENT).plan

    def moment(due_at: datetime | None) -> datetime:
        return next_at(spent_in_time(plan, due_at, Status.ACTIVE, now=NOW, rhythm=LISTS))

    assert moment(None) == NOW + DAY
    assert moment(NOW + 3 * DAY) == NOW + 3 * DAY + MARGIN
    assert moment(FAR + DAY) == FAR + MARGIN
    for other in (replace(plan, checks=19), replace(plan, state=PlanState.QUEUED)):
        assert spent_in_time(other, None, Status.ACTIVE, now=NOW, rhythm=LISTS) == other


def test_an_exhausted_qr_that_could_not_be_asked_does_not_wait_for_the_list() -> None:
    plan, _given_up = failed(make_qr(state=PlanState.QUEUED, attempts=2, **SPENT), rhythm=LISTS)
    assert (plan.state, next_at(plan)) == (PlanState.EXHAUSTED, NOW + DAY)


@pytest.mark.parametrize("checks", [3, 20])
def test_a_check_that_was_asked_for_stays_asked_for_until_it_has_its_answer(checks: int) -> None:
    wished = make_qr(
        state=PlanState.QUEUED, priority=Priority.HIGH, attempts=2, free=True, **SPENT | {"checks": checks}
    )
    plan, given_up = failed(wished, rhythm=LISTS)
    assert given_up
    assert (next_at(plan), plan.free, plan.priority, plan.checks) == (NOW + 15 * MINUTE, True, Priority.HIGH, checks)
    answered = checked(replace(wished, plan=plan), rhythm=LISTS)
    assert (answered.free, answered.priority, answered.checks) == (False, Priority.LOW, checks)
    assert next_at(answered) == (NOW + 15 * MINUTE if checks < 20 else FAR + MARGIN)


# -- the two clocks


def test_attempts_wait_two_four_eight_seconds() -> None:
    rhythm = replace(RHYTHM, attempts=4)
    qr = make_qr(checks=5, free=True, seq=3)
    waits = []
    for _n in range(3):
        plan, given_up = failed(qr, rhythm=rhythm)
        assert not given_up
        assert (plan.checks, plan.free) == (5, True)
        waits.append((next_at(plan) - NOW).total_seconds())
        qr = replace(qr, plan=plan)
    assert waits == [2, 4, 8]
    assert (qr.plan.attempts, qr.plan.seq) == (3, 6)
    assert failed(qr, rhythm=rhythm)[1]


def test_the_wait_between_attempts_does_not_pass_the_due_query() -> None:
    second = timedelta(seconds=1)
    assert next_at(failed(make_qr(due_at=NOW + second - MARGIN))[0]) == NOW + second
    assert next_at(failed(make_qr(due_at=NOW - MARGIN))[0]) == NOW + 2 * second


@pytest.mark.parametrize(("attempts", "given_up"), [(0, False), (1, False), (2, True)])
def test_three_attempts_and_no_more(attempts: int, given_up: bool) -> None:
    assert failed(make_qr(attempts=attempts))[1] is given_up


def test_attempts_spent_means_the_normal_rhythm_and_no_check_used() -> None:
    plan, _given_up = failed(make_qr("pending", attempts=2, checks=5, seq=3))
    assert plan == Plan(PlanState.PLANNED, NOW + 2 * MINUTE, Priority.HIGH, seq=4, checks=5, max_checks=20, attempts=0)


def test_what_kills_its_worker_every_time_uses_up_its_budget_too() -> None:
    """Also a check that was asked for: without that, three workers would die of it every few minutes, for ever."""

    def killed(qr: Qr) -> Qr:
        for _n in range(3):
            plan, _given_up = after_failed_attempt(qr, now=NOW, rhythm=LISTS, luck=0.0, deadly=True)
            qr = replace(qr, plan=plan)
        return qr

    qr = killed(make_qr(due_at=FAR, checks=18, free=True))
    assert (qr.plan.state, qr.plan.checks, qr.plan.free) == (PlanState.PLANNED, 19, False)
    for _n in range(2):
        qr = killed(qr)
        assert (qr.plan.state, qr.plan.checks, next_at(qr.plan)) == (PlanState.EXHAUSTED, 20, NOW + DAY)


def test_a_wait_costs_neither_attempt_nor_check_and_keeps_the_seq() -> None:
    qr = make_qr(state=PlanState.QUEUED, attempts=1, checks=5, seq=3, free=True)
    plan = after_wait(qr, NOW + MINUTE)
    assert plan == replace(qr.plan, state=PlanState.PLANNED, next_check_at=NOW + MINUTE)
    assert after_wait(replace(qr, plan=replace(qr.plan, checks=20)), NOW).state is PlanState.EXHAUSTED


def test_held_stays_held() -> None:
    qr = make_qr(state=PlanState.HELD, checks=3)
    plans = [checked(qr), checked(replace(qr, plan=replace(qr.plan, checks=20))), failed(qr)[0]]
    plans += [failed(replace(qr, plan=replace(qr.plan, attempts=2)))[0], after_wait(qr, NOW + MINUTE)]
    plans += [without_check(qr, Status.PROCESSING, now=NOW, rhythm=RHYTHM)]
    assert {plan.state for plan in plans} == {PlanState.HELD}
    assert open_state(qr.plan, qr.status) is PlanState.HELD


# -- news from elsewhere


def elsewhere(qr: Qr, status: str, *, booked: bool = False) -> Plan:
    return without_check(qr, Status(status), now=NOW, rhythm=RHYTHM, booked=booked)


def test_news_from_elsewhere_that_changes_no_status_changes_no_plan() -> None:
    qr = make_qr(next_check_at=NOW + 9 * MINUTE, attempts=1, checks=4)
    assert elsewhere(qr, "active") == qr.plan


def test_news_from_elsewhere_only_ever_brings_the_next_check_forward() -> None:
    far, near = NOW + 9 * MINUTE, NOW + MINUTE
    plan = elsewhere(make_qr(next_check_at=far, seq=4), "processing")
    assert (plan.next_check_at, plan.priority, plan.seq) == (NOW + 5 * MINUTE, Priority.MEDIUM, 4)
    assert elsewhere(make_qr(next_check_at=near), "processing").next_check_at == near


@pytest.mark.parametrize("state", [PlanState.QUEUED, PlanState.HELD, PlanState.EXHAUSTED])
def test_news_from_elsewhere_leaves_other_plans_alone(state: PlanState) -> None:
    qr = make_qr(state=state, checks=20 if state is PlanState.EXHAUSTED else 0, next_check_at=NOW + DAY)
    assert elsewhere(qr, "processing") == qr.plan


def test_news_from_elsewhere_that_ends_the_qr_ends_the_plan() -> None:
    plan = elsewhere(make_qr(state=PlanState.QUEUED, attempts=1, seq=4, free=True), "completed")
    assert (plan.state, plan.next_check_at, plan.attempts, plan.free, plan.seq) == (PlanState.DONE, None, 0, False, 4)


def test_money_from_the_list_gives_a_multi_use_qr_its_budget_back_too() -> None:
    spent = make_qr(multi_use=True, state=PlanState.EXHAUSTED, checks=20, next_check_at=NOW + 30 * DAY)
    plan = elsewhere(spent, "active", booked=True)
    assert (plan.state, plan.checks, plan.next_check_at) == (PlanState.PLANNED, 0, NOW + 15 * MINUTE)
    under_way = make_qr(multi_use=True, state=PlanState.QUEUED, checks=20)
    assert elsewhere(under_way, "active", booked=True) == replace(under_way.plan, checks=0)
    once = make_qr(state=PlanState.EXHAUSTED, checks=20, next_check_at=NOW + DAY)
    assert elsewhere(once, "active", booked=True) == once.plan
