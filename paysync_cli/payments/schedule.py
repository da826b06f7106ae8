"""When to ask next. Pure: the moment and the luck of the jitter come in, a plan comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from paysync_cli.payments.qr import Plan, Qr
from paysync_cli.payments.status import PlanState, Priority, Status

PRIORITY_OF = {Status.PENDING: Priority.HIGH, Status.PROCESSING: Priority.MEDIUM, Status.ACTIVE: Priority.LOW}

EXHAUSTED_AT_THE_LATEST = timedelta(days=1)
UNANSWERED_AT_THE_LATEST = timedelta(days=1)  # of an ended QR that the bank gave notice of
NOTICES_TOGETHER = timedelta(seconds=10)  # a QR's notices within this are one check


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often to ask: everything the settings and the bank's profile say about it.

    `jitter` is the largest growth of a delay (0.1 = 10 %); `lists_by_payment_day` says that the bank's day list
    finds payments without single queries; `shared` that other systems use the credential too, so that payments of QRs
    unknown here are nothing special.
    """

    pending: timedelta = timedelta(minutes=2)
    processing: timedelta = timedelta(minutes=5)
    active: timedelta = timedelta(minutes=15)
    pending_window: timedelta = timedelta(minutes=10)
    due_margin: timedelta = timedelta(minutes=2)
    jitter: float = 0.1
    max_checks: int = 20
    attempts: int = 3
    backoff: timedelta = timedelta(seconds=2)
    lists_by_payment_day: bool = False
    shared: bool = False

    def delay(self, status: Status) -> timedelta:
        """From one check to the next, before the jitter."""
        return {Status.PENDING: self.pending, Status.PROCESSING: self.processing, Status.ACTIVE: self.active}[status]


def quiet_status(issued_at: datetime, now: datetime, rhythm: Rhythm) -> Status:
    """Unpaid and nothing seen: `pending` while the payer is expected any moment, else `active`."""
    return Status.PENDING if now - issued_at < rhythm.pending_window else Status.ACTIVE


def due_query_at(due_at: datetime | None, rhythm: Rhythm) -> datetime | None:
    """The moment from which an answer may end a QR as expired."""
    return None if due_at is None else due_at + rhythm.due_margin


def first_plan(status: Status, at: datetime, rhythm: Rhythm, priority: Priority | None = None) -> Plan:
    """The plan of a QR just registered: asked at `at`."""
    return Plan(
        state=PlanState.PLANNED,
        next_check_at=at,
        priority=priority or PRIORITY_OF[status],
        seq=0,
        checks=0,
        max_checks=rhythm.max_checks,
        attempts=0,
    )


def after_check(
    qr: Qr,
    status: Status,
    *,
    sent_at: datetime,
    now: datetime,
    rhythm: Rhythm,
    luck: float,
    booked: bool = False,
) -> Plan:
    """The plan after a check that got its answer (also 'no such QR').

    Costs one of the budget, unless it was free or the budget is spent already: else a person's grant would first pay
    for the checks that an exhausted QR got meanwhile.

    `status` is the QR's status after the decision, `sent_at` when the question was sent, `luck` in [0, 1) sets the
    jitter, `booked` says that money was booked: that gives a multi-use QR its budget back.
    """
    costs = not qr.plan.free and qr.plan.checks < qr.plan.max_checks
    checks = qr.plan.checks + costs
    if booked and qr.multi_use:
        checks = 0
    plan = replace(qr.plan, seq=qr.plan.seq + 1, checks=checks, attempts=0, free=False)
    return _resume(plan, qr, status, sent_at, now, rhythm, luck)


def after_failed_attempt(
    qr: Qr, *, now: datetime, rhythm: Rhythm, luck: float, deadly: bool = False
) -> tuple[Plan, bool]:
    """The plan after an attempt that could not ask, and whether the job is given up.

    The second attempt waits the rhythm's `backoff`, each further one twice as long; after the last one the QR returns
    to its normal rhythm, no check used: what was asked for beside the budget (a notice, a person) stays asked for until
    there is an answer. Only a `deadly` attempt, one that its worker did not survive, costs a check when it is the last:
    else such a QR would kill workers for ever.
    """
    before, failed = _unanswered(qr), qr.plan.attempts + 1
    if failed < rhythm.attempts:
        at, due_query = now + rhythm.backoff * 2 ** (failed - 1), due_query_at(qr.due_at, rhythm)
        if due_query is not None and due_query > now:
            at = min(at, due_query)
        plan = replace(before, seq=before.seq + 1, attempts=failed, next_check_at=at)
        return replace(plan, state=open_state(plan, qr.status)), False
    plan = replace(before, seq=before.seq + 1, attempts=0)
    if deadly:
        plan = replace(plan, checks=plan.checks + (plan.checks < plan.max_checks), free=False)
    return _resume(plan, qr, qr.status, None, now, rhythm, luck), True


def after_wait(qr: Qr, until: datetime) -> Plan:
    """The plan when the bank asks us to wait: neither attempt nor check, the same question later."""
    plan = _unanswered(qr)
    return replace(plan, state=open_state(plan, qr.status), next_check_at=until)


def _unanswered(qr: Qr) -> Plan:
    """The plan of a question without an answer: a notice that came while it was under way still wants its check."""
    plan = qr.plan
    if qr.notified_at is None or plan.next_check_at is None or qr.notified_at < plan.next_check_at:
        return plan
    return replace(plan, free=True, priority=Priority.HIGH)


def after_notice(qr: Qr, now: datetime) -> tuple[Plan, datetime] | None:
    """The plan after the bank's notice that something happened to this QR, and the moment for which it asks.

    None when the notice changes nothing: the QR is held, or a notice of the last seconds has its check.
    Two payers of a multi-use QR may come as close: their second notice is asked about when those seconds are over. The
    check costs none of the budget. A row that is dispatched keeps its plan: the moment says that one more is wanted.
    A final QR is asked about once more: it may have been paid late or twice, and not every bank's list would tell.
    """
    if qr.plan.state is PlanState.HELD:
        return None
    at = now
    # One that lies further ahead is of a clock that has been put back since.
    if qr.notified_at is not None and -NOTICES_TOGETHER <= now - qr.notified_at < NOTICES_TOGETHER:
        if not qr.multi_use or now < qr.notified_at:
            return None
        at = qr.notified_at + NOTICES_TOGETHER
    if qr.plan.state is PlanState.QUEUED:
        return qr.plan, at
    return _as_noticed(qr.plan, at), at


def _as_noticed(plan: Plan, at: datetime) -> Plan:
    state = PlanState.PLANNED if plan.state is PlanState.DONE else plan.state
    earlier = min(plan.next_check_at or at, at)
    return replace(plan, state=state, next_check_at=earlier, free=True, priority=Priority.HIGH)


def without_check(qr: Qr, status: Status, *, now: datetime, rhythm: Rhythm, booked: bool = False) -> Plan:
    """The plan when news came from elsewhere (the day list, a lost race): only what the news forces changes.

    `booked` says that money was booked: that gives a multi-use QR its budget back, from wherever it came.
    """
    if status.final:
        return _ended_elsewhere(qr, status)
    plan = replace(qr.plan, checks=0) if booked and qr.multi_use else qr.plan
    if plan.checks >= plan.max_checks:
        return plan if status is qr.status else spent_in_time(plan, qr.due_at, status, now=now, rhythm=rhythm)
    if plan.state not in (PlanState.PLANNED, PlanState.EXHAUSTED):
        return plan
    if status is qr.status and plan.state is PlanState.PLANNED:
        return plan
    earlier = min(plan.next_check_at or now, now + rhythm.delay(status))
    return replace(plan, state=PlanState.PLANNED, next_check_at=earlier, priority=PRIORITY_OF[status])


def spent_in_time(plan: Plan, due_at: datetime | None, status: Status, *, now: datetime, rhythm: Rhythm) -> Plan:
    """The plan when its QR's status or due date changed: one whose budget is spent waits no longer than it now may.

    A plan that is dispatched is made anew by its own check.
    """
    if plan.checks < plan.max_checks or plan.next_check_at is None or plan.state is PlanState.QUEUED:
        return plan
    latest = _exhausted_moment(due_query_at(due_at, rhythm), status, now, rhythm)
    return replace(plan, next_check_at=min(plan.next_check_at, latest))


def open_state(plan: Plan, status: Status) -> PlanState:
    """The state of a plan that waits for its moment; held stays held, and nobody waits for more of a final QR."""
    if plan.state is PlanState.HELD:
        return PlanState.HELD
    return PlanState.EXHAUSTED if plan.checks >= plan.max_checks and not status.final else PlanState.PLANNED


def _ended_elsewhere(qr: Qr, status: Status) -> Plan:
    """Done, unless a notice still waits for its answer: what ended the QR may not be what the notice told of."""
    plan = _unanswered(qr)
    if qr.notified_at is None or not plan.free or plan.state in (PlanState.HELD, PlanState.DONE):
        return _done(qr.plan)
    return plan if plan.state is PlanState.QUEUED else replace(plan, state=open_state(plan, status))


def _done(plan: Plan) -> Plan:
    return replace(plan, state=PlanState.DONE, next_check_at=None, attempts=0, free=False)


def _resume(
    plan: Plan, qr: Qr, status: Status, sent_at: datetime | None, now: datetime, rhythm: Rhythm, luck: float
) -> Plan:
    if status.final:
        return _resume_final(plan, qr, sent_at, now, rhythm)
    state = open_state(plan, status)
    due_query = due_query_at(qr.due_at, rhythm)
    unasked_due = due_query is not None and (sent_at is None or sent_at < due_query)
    if state is PlanState.EXHAUSTED and not plan.free:
        at = _exhausted_moment(due_query if unasked_due else None, status, now, rhythm, answered=sent_at is not None)
    else:
        at = now + rhythm.delay(status) * (1 + rhythm.jitter * luck)
    # A failed due query (sent_at None, due moment past) waits its normal delay: it must not hammer the bank.
    if unasked_due and due_query is not None and (due_query > now or sent_at is not None):
        at = min(at, max(due_query, now))
    plan = replace(plan, state=state, next_check_at=at, priority=plan.priority if plan.free else PRIORITY_OF[status])
    if _crossed_by_notice(qr, sent_at):
        return _as_noticed(plan, max(qr.notified_at or now, now))
    return plan


def _resume_final(plan: Plan, qr: Qr, sent_at: datetime | None, now: datetime, rhythm: Rhythm) -> Plan:
    """Done; but a notice that this answer does not answer, or that got none yet, still wants its own.

    Without an answer it waits as long again as it has waited already, a day at most: no budget ends the asking, and
    nobody can hold a QR that has ended.
    """
    if _crossed_by_notice(qr, sent_at):
        return _as_noticed(_done(plan), max(qr.notified_at or now, now))
    if sent_at is None and plan.free:
        waited = now - (qr.notified_at or now)
        wait = max(rhythm.active, min(waited, UNANSWERED_AT_THE_LATEST))
        return replace(plan, state=PlanState.PLANNED, next_check_at=now + wait)
    return _done(plan)


def _crossed_by_notice(qr: Qr, sent_at: datetime | None) -> bool:
    """Whether a notice came while this answer was on its way."""
    return qr.notified_at is not None and sent_at is not None and sent_at < qr.notified_at


def _exhausted_moment(
    due_query: datetime | None, status: Status, now: datetime, rhythm: Rhythm, *, answered: bool = True
) -> datetime:
    daily = now + EXHAUSTED_AT_THE_LATEST
    if due_query is None or due_query <= now:
        return daily
    # Money that was seen and not booked is looked for daily: after a day without details a person must know.
    # Nor does a question without its answer wait for the due moment: there was a reason to ask.
    patient = rhythm.lists_by_payment_day and status is not Status.PROCESSING and answered
    return due_query if patient else min(daily, due_query)
