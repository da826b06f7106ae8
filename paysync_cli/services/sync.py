"""The heart: ask the bank about a QR, and write what it means in one transaction.

Every way to the books goes through `record`: the worker's checks, the foreground check, the day list.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from paysync_cli.banks.base import Bank, BankError, Refused, Throttled, Unavailable, Unknown, Unreadable
from paysync_cli.errors import DatabaseLocked, DatabaseUnavailable
from paysync_cli.payments.decision import Decision, ReviewNews, decide
from paysync_cli.payments.money import to_text
from paysync_cli.payments.qr import Answer, Ask, Movement, Plan, Qr
from paysync_cli.payments.schedule import Rhythm, after_check, after_failed_attempt, after_wait, without_check
from paysync_cli.payments.status import PlanState, ReviewReason, Status
from paysync_cli.services.adapter_bugs import note_bug
from paysync_cli.services.alerting import raise_for
from paysync_cli.services.storable import storable_answer
from paysync_cli.store import history, leases, ledger, qrs
from paysync_cli.store.database import Database, Tx, limit_lock_wait
from paysync_cli.store.leases import Lease

ASK_TIMEOUT_S = 90.0  # a login and a call, each bounded by its own time-outs
WAIT_WITHOUT_HINT_S = 30.0
WAIT_AFTER_REFUSAL_S = 60.0
WAIT_AT_MOST_S = 3600.0
ERROR_TEXT_LIMIT = 500
WORKER_LOST = "worker_lost"
LOCK_WAIT_S = 1.0  # for each part of a group that did not get its locks as a whole
OUR_ERROR = "error"  # not the bank's: an adapter's bug, a row that cannot be written

log = logging.getLogger("paysync.sync")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer.

    `kind` says what it costs: `attempt` (one of the check's), `check` (one of the budget), `wait` (nothing). `sent` is
    False when the bank was not asked at all.
    """

    kind: str
    outcome: str
    message: str
    wait_s: float = 0.0
    sent: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was put (or could not be), for one row and the seq it was meant for.

    `free` says that a person asked: it costs none of the budget.
    """

    qr: int
    seq: int
    at: datetime
    duration_ms: int
    answer: Answer | None = None
    failure: Failure | None = None
    free: bool = False

    @property
    def unanswered(self) -> bool | None:
        """Whether the bank gave no readable answer; None when this says nothing of the bank."""
        if self.failure is None:
            return False
        if not self.failure.sent or self.failure.outcome == OUR_ERROR:
            return None
        return self.failure.outcome == Unavailable.outcome


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a question. `how` says what the job ends as: `finished`, `gone` or `failed`.

    `plan` is None when nothing was written; `check` is the row of the check history, if there is one.
    """

    asked: Asked
    how: str
    outcome: str
    before: Qr | None = None
    status: Status | None = None
    plan: Plan | None = None
    booked: tuple[Movement, ...] = ()
    reviews: tuple[ReviewNews, ...] = ()
    reason: str = ""
    check: history.CheckRecord | None = None


@dataclass(frozen=True, slots=True)
class Judge:
    """What `record` needs to know beside the rows: each bank's rhythm, the moment, the luck of the jitter."""

    rhythms: Mapping[str, Rhythm]
    now: datetime
    luck: Callable[[], float]
    source: str = "check"

    def rhythm(self, bank: str) -> Rhythm:
        return self.rhythms.get(bank) or Rhythm()


class Witness(Protocol):
    """Who is told what `record` committed, each thing once (`services.telling`)."""

    def settled(self, tx: Tx, results: Sequence[Recorded]) -> list[Recorded]:
        """The results of a group that may be a repetition, judged once more in its transaction."""

    def unsure(self, results: Sequence[Recorded], judge: Judge) -> None:
        """The commit of these was sent and no answer came."""

    def tell(self, results: Sequence[Recorded], judge: Judge, took_s: float) -> None:
        """These are committed; their transaction lasted `took_s`."""


def question(bank: Bank, qr: Qr) -> Ask:
    """What the adapter is told of a QR: its amount only where the bank tells none and the QR's is booked."""
    books = qr.amount is not None and getattr(bank, "books_qr_amount", False) is True
    amount = Decimal(to_text(qr.amount, qr.currency)) if books and qr.amount is not None else None
    return Ask(qr.qr_id, qr.currency, qr.multi_use, qr.issued_at, amount)


async def ask(bank: Bank, qr: Qr, clock: Callable[[], datetime], timer: Callable[[], float]) -> Asked:
    """Put one question; every failure comes back as a value, never as an exception."""
    at, started = clock(), timer()
    answer, failure = None, None
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            answer = _about(qr, storable_answer(await bank.check(question(bank, qr))))
    except TimeoutError:
        failure = Failure("attempt", Unavailable.outcome, f"no answer within {ASK_TIMEOUT_S:.0f} s")
    except BankError as error:
        failure = _failure(error)
    except (Exception, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise  # whoever asks is being stopped
        # An adapter's bug (a cancellation of its own too) must not end the worker, nor look like an answer.
        failure = Failure("attempt", OUR_ERROR, note_bug(qr.bank, error))
    return Asked(qr.id, qr.plan.seq, at, round((timer() - started) * 1000), answer, failure)


def _about(qr: Qr, answer: Answer) -> Answer:
    """The answer, if all its money is this QR's (an adapter may name none). Raises Unreadable: something is mixed up,
    and to book it here is as wrong as to drop it.
    """
    if any(payment.qr_id not in ("", qr.qr_id) for payment in answer.payments):
        raise Unreadable("the answer tells of a payment of another QR")
    return answer


def record(
    store: Database, group: Sequence[Asked], judge: Judge, *, lease: Lease | None = None, witness: Witness | None = None
) -> list[Recorded]:
    """Write a group of questions in one transaction; the results are in the group's order.

    A row that makes the transaction fail is found by halving and recorded alone as a failed attempt. With `lease`
    nothing is written once it is lost.
    Raises DatabaseUnavailable when something of it cannot be written now: the caller repeats the group, no attempt is
    used. Who needs to know what became of the others takes `record_each`.
    """
    results = []
    for result in record_each(store, group, judge, lease=lease, witness=witness):
        if isinstance(result, DatabaseUnavailable):
            raise result
        results.append(result)
    return results


def record_each(
    store: Database, group: Sequence[Asked], judge: Judge, *, lease: Lease | None = None, witness: Witness | None = None
) -> list[Recorded | DatabaseUnavailable]:
    """As `record`, with an error in the place of what cannot be written now.

    What another session keeps locked is found by halving too, so that only this waits for it.
    """
    return _in_parts(_Scribe(store, judge, lease, witness), group)


@dataclass(frozen=True, slots=True)
class _Scribe:
    """Where a group is written, by whose judgement, and who is told."""

    store: Database
    judge: Judge
    lease: Lease | None
    witness: Witness | None


def _in_parts(
    scribe: _Scribe, group: Sequence[Asked], lock_wait_s: float | None = None
) -> list[Recorded | DatabaseUnavailable]:
    if not group:
        return []
    try:
        return [*_commit(scribe, group, lock_wait_s)]
    except DatabaseLocked as locked:
        if len(group) == 1:
            return [locked]
        lock_wait_s = LOCK_WAIT_S
    except DatabaseUnavailable as away:
        return [away] * len(group)
    except Exception as error:
        if len(group) == 1:
            return [_record_poison(scribe, group[0], error, lock_wait_s)]
    middle = len(group) // 2
    first = _in_parts(scribe, group[:middle], lock_wait_s)
    last = first[-1]
    if isinstance(last, DatabaseUnavailable) and not isinstance(last, DatabaseLocked):
        return first + [last] * (len(group) - middle)  # it went away meanwhile: one time-out is enough
    return first + _in_parts(scribe, group[middle:], lock_wait_s)


def _commit(scribe: _Scribe, group: Sequence[Asked], lock_wait_s: float | None) -> list[Recorded]:
    """The group in one transaction, and its witness told afterwards."""
    judge, witness = scribe.judge, scribe.witness
    started, results = time.monotonic(), None
    try:
        with scribe.store.write() as tx:
            if lock_wait_s is not None:
                limit_lock_wait(tx, lock_wait_s)
            if scribe.lease is not None and not leases.still_held(tx, scribe.lease):
                return [Recorded(asked, "gone", "stale") for asked in group]
            results = record_in(tx, group, judge)
            if witness is not None:
                results = witness.settled(tx, results)
    except DatabaseUnavailable:
        if witness is not None and results is not None:
            witness.unsure(results, judge)
        raise
    if witness is not None:
        witness.tell(results, judge, time.monotonic() - started)
    return results


def _failure(error: BankError) -> Failure:
    message = error.message[:ERROR_TEXT_LIMIT]
    if isinstance(error, Throttled):
        wanted = WAIT_WITHOUT_HINT_S if error.retry_after_s is None else error.retry_after_s
        return Failure("wait", error.outcome, message, min(max(wanted, 1.0), WAIT_AT_MOST_S), error.asked)
    if isinstance(error, Refused):
        return Failure("wait", error.outcome, message, WAIT_AFTER_REFUSAL_S)
    return Failure("check" if isinstance(error, Unknown) else "attempt", error.outcome, message)


def _record_poison(
    scribe: _Scribe, asked: Asked, error: Exception, lock_wait_s: float | None
) -> Recorded | DatabaseUnavailable:
    log.error("row %s cannot be written: %s", asked.qr, error, exc_info=error,
              extra={"event_name": "poison_row", "row": asked.qr, "seq": asked.seq})  # fmt: skip
    failure = Failure("attempt", OUR_ERROR, f"cannot be written: {type(error).__name__}")
    lost = Recorded(asked, "failed", failure.outcome, reason=failure.message)
    try:
        unleased = replace(scribe, lease=None)
        (recorded,) = _commit(unleased, [replace(asked, answer=None, failure=failure)], lock_wait_s)
    except DatabaseUnavailable as away:
        return away
    except Exception as worse:  # not even that: the others of the group must not suffer for it
        log.error("nor can its failure: %s", worse,
                  extra={"event_name": "poison_row", "row": asked.qr, "seq": asked.seq})  # fmt: skip
        return lost
    # News that no attempt stands for (the day list, a late answer) would end in silence: nobody asks again for it.
    return lost if recorded.outcome == "stale" else recorded


Owners = dict[tuple[str, str, str], set[int]]
"""For (bank, environment, the bank's transaction id) the rows it is booked for."""


@dataclass(slots=True)
class _Sheet:
    """What one transaction will write, gathered row by row."""

    changes: list[qrs.Change]
    checks: list[history.CheckRecord]
    transitions: list[history.Transition]
    bookings: list[ledger.Booking]
    reviews: list[tuple[Qr, tuple[ReviewNews, ...]]]
    owners: Owners  # written or about to be


def record_in(tx: Tx, group: Sequence[Asked], judge: Judge) -> list[Recorded]:
    """`record` inside a transaction of the caller's."""
    rows = qrs.load(tx, (asked.qr for asked in group), lock=True)
    booked = ledger.of(tx, rows)
    sheet = _Sheet([], [], [], [], [], _owners(tx, _new_transactions(rows, booked, group)))
    repeated = len({asked.qr for asked in group}) < len(group)
    results = []
    for asked in group:
        qr = rows.get(asked.qr)
        if qr is None:
            results.append(Recorded(asked, "failed", "unknown_row", reason=f"no QR row {asked.qr} in this database"))
            continue
        movements = booked.setdefault(qr.id, [])
        result = _judge_one(qr, movements, asked, judge, sheet)
        results.append(result)
        if repeated and result.status is not None and result.plan is not None:
            movements += result.booked
            rows[qr.id] = _as_written(qr, sheet)
    opened = _write(tx, sheet, judge.now)
    results = [_with_reviews(result, opened) if result.reviews else result for result in results]
    raise_for(tx, results, judge.rhythm, judge.now)
    return results


def _with_reviews(result: Recorded, opened: set[tuple[int, ReviewReason, str]]) -> Recorded:
    """The result with those of its reviews that were really new."""
    new = tuple(news for news in result.reviews if (result.asked.qr, news.reason, news.news) in opened)
    return replace(result, reviews=new)


def _as_written(qr: Qr, sheet: _Sheet) -> Qr:
    """The row as the next question of the same group finds it."""
    change = sheet.changes[-1] if sheet.changes and sheet.changes[-1].qr is qr else None
    if change is None:
        return qr
    return replace(
        qr,
        status=change.status,
        plan=change.plan,
        version=qr.version + change.counts_as_change,
        details_missing_since=change.details_missing_since,
    )


def _judge_one(qr: Qr, movements: Sequence[Movement], asked: Asked, judge: Judge, sheet: _Sheet) -> Recorded:
    if asked.answer is not None:
        return _judge_answer(qr, movements, asked, asked.answer, judge, sheet)
    if asked.failure is None or asked.seq != qr.plan.seq or qr.plan.state is PlanState.DONE:
        return Recorded(asked, "gone", "stale", qr)
    if asked.failure.outcome == WORKER_LOST and qr.plan.state is not PlanState.QUEUED:
        return Recorded(asked, "gone", "stale", qr)  # given back meanwhile: nothing was lost
    return _judge_failure(qr, asked, asked.failure, judge, sheet)


def _judge_answer(
    qr: Qr, movements: Sequence[Movement], asked: Asked, answer: Answer, judge: Judge, sheet: _Sheet
) -> Recorded:
    rhythm, ours = judge.rhythm(qr.bank), asked.seq == qr.plan.seq
    elsewhere = _seen_elsewhere(qr, answer, sheet.owners)
    decision = decide(qr, movements, answer, now=judge.now, rhythm=rhythm, seen_elsewhere=elsewhere)
    # A late answer counts only for its money. The list's word is never late: its reviews come from nowhere else.
    if not (ours or decision.book or (answer.from_list and _is_news(qr, decision))):
        return Recorded(asked, "gone", "stale", qr)
    if ours:
        plan = after_check(
            _freed(qr) if asked.free else qr,
            decision.status,
            sent_at=answer.sent_at,
            now=judge.now,
            rhythm=rhythm,
            luck=judge.luck(),
            booked=bool(decision.book),
        )
        check = _check_record(qr, asked, answer.status.value, answer.bank_status)
        sheet.checks.append(check)
    else:
        check = None
        plan = without_check(qr, decision.status, now=judge.now, rhythm=rhythm, booked=bool(decision.book))
    _enter(sheet, qr, decision, plan, judge)
    return Recorded(
        asked, "finished", answer.status.value, qr, decision.status, plan, decision.book, decision.reviews, check=check
    )


def _judge_failure(qr: Qr, asked: Asked, failure: Failure, judge: Judge, sheet: _Sheet) -> Recorded:
    rhythm = judge.rhythm(qr.bank)
    if failure.kind == "wait":
        plan = after_wait(qr, judge.now + timedelta(seconds=failure.wait_s))
        _enter(sheet, qr, _unchanged(qr), plan, judge)
        return Recorded(asked, "gone", failure.outcome, qr, qr.status, plan, reason=failure.message)
    check = _check_record(qr, asked, failure.outcome, None, failure.message)
    sheet.checks.append(check)
    if failure.kind == "check":
        plan = after_check(qr, qr.status, sent_at=asked.at, now=judge.now, rhythm=rhythm, luck=judge.luck())
        decision = _not_found(qr, plan, failure)
        _enter(sheet, qr, decision, plan, judge)
        return Recorded(
            asked, "finished", failure.outcome, qr, qr.status, plan, reviews=decision.reviews, reason=failure.message,
            check=check,
        )  # fmt: skip
    deadly = failure.outcome == WORKER_LOST
    plan, given_up = after_failed_attempt(qr, now=judge.now, rhythm=rhythm, luck=judge.luck(), deadly=deadly)
    _enter(sheet, qr, _unchanged(qr), plan, judge)
    how = "failed" if given_up else "gone"
    return Recorded(asked, how, failure.outcome, qr, qr.status, plan, reason=failure.message, check=check)


def _not_found(qr: Qr, plan: Plan, failure: Failure) -> Decision:
    """'No such QR' for a QR we know ends nothing; once the budget is spent a person must look."""
    if plan.state is not PlanState.EXHAUSTED:
        return _unchanged(qr)
    news = ReviewNews(ReviewReason.UNKNOWN_QR, "not_found", {"bank_says": failure.message})
    return replace(_unchanged(qr), reviews=(news,))


def _is_news(qr: Qr, decision: Decision) -> bool:
    return bool(decision.reviews) or decision.status is not qr.status


def _freed(qr: Qr) -> Qr:
    return replace(qr, plan=replace(qr.plan, free=True))


def _unchanged(qr: Qr) -> Decision:
    return Decision(qr.status, details_missing_since=qr.details_missing_since)


def _enter(sheet: _Sheet, qr: Qr, decision: Decision, plan: Plan, judge: Judge) -> None:
    sheet.changes.append(qrs.Change(qr, decision.status, plan, decision.details_missing_since, bool(decision.book)))
    sheet.bookings += [ledger.Booking(qr, movement, judge.source) for movement in decision.book]
    for movement in decision.book:
        sheet.owners.setdefault((qr.bank, qr.environment, movement.bank_transaction_id), set()).add(qr.id)
    if decision.reviews:
        sheet.reviews.append((qr, decision.reviews))
    if decision.status is not qr.status:
        sheet.transitions.append(
            history.Transition(qr.id, judge.now, qr.status, decision.status, judge.source, plan.seq)
        )


def _write(tx: Tx, sheet: _Sheet, now: datetime) -> set[tuple[int, ReviewReason, str]]:
    """Write the sheet; the reviews that were new."""
    qrs.write(tx, sheet.changes)
    ledger.book(tx, sheet.bookings, now)
    history.record_checks(tx, sheet.checks)
    history.record_transitions(tx, sheet.transitions)
    return {
        (qr.id, review.reason, review.news)
        for qr, news in sheet.reviews
        for review in history.open_reviews(tx, qr, news, now)
    }


def _check_record(
    qr: Qr, asked: Asked, outcome: str, bank_status: str | None, error: str | None = None
) -> history.CheckRecord:
    return history.CheckRecord(
        qr=qr.id,
        seq=qr.plan.seq,
        attempt=qr.plan.attempts + 1,
        at=asked.answer.sent_at if asked.answer else asked.at,
        outcome=outcome,
        bank_status=bank_status,
        duration_ms=asked.duration_ms,
        error=error,
    )


def _new_transactions(
    rows: Mapping[int, Qr], booked: Mapping[int, Sequence[Movement]], group: Sequence[Asked]
) -> dict[tuple[str, str], set[str]]:
    """By bank and environment the transactions that the answers tell of and that are not booked for their QR yet."""
    told: dict[tuple[str, str], set[str]] = defaultdict(set)
    for asked in group:
        if asked.answer is None or not asked.answer.payments or asked.qr not in rows:
            continue
        qr = rows[asked.qr]
        known = {movement.bank_transaction_id for movement in booked.get(qr.id, ())}
        told[qr.bank, qr.environment] |= {one.bank_transaction_id for one in asked.answer.payments} - known
    return told


def _owners(tx: Tx, told: Mapping[tuple[str, str], set[str]]) -> Owners:
    """Who has these transactions. They are ours until the end: else two who book one id at once see neither other."""
    found: Owners = {}
    for (bank, environment), transactions in sorted(told.items()):
        ledger.lock_transactions(tx, bank, environment, transactions)
        for transaction, owners in ledger.owners(tx, bank, environment, transactions).items():
            found[bank, environment, transaction] = owners
    return found


def _seen_elsewhere(qr: Qr, answer: Answer, owners: Owners) -> frozenset[str]:
    told = {payment.bank_transaction_id for payment in answer.payments}
    return frozenset(one for one in told if owners.get((qr.bank, qr.environment, one), set()) - {qr.id})
