"""Which outcomes a person must hear of: rows of the alert outbox, written in the transaction that found the trouble.

One alert per kind, bank and hour, with a count; delivering them is somebody else's work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from paysync_cli.payments.decision import ReviewNews
from paysync_cli.payments.qr import Plan, Qr
from paysync_cli.payments.schedule import Rhythm, due_query_at
from paysync_cli.payments.status import PlanState
from paysync_cli.store.alerts import AlertKind, hour, raise_alert
from paysync_cli.store.database import Tx

DUE_QUERY_WITHIN = timedelta(minutes=10)  # a bank that puts off a due query for longer is told of


class Outcome(Protocol):
    """What of a recorded question matters here (`services.sync.Recorded`)."""

    @property
    def how(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def before(self) -> Qr | None: ...
    @property
    def plan(self) -> Plan | None: ...
    @property
    def reviews(self) -> Sequence[ReviewNews]: ...


def raise_for(tx: Tx, recorded: Iterable[Outcome], rhythm_of: Callable[[str], Rhythm], now: datetime) -> None:
    """Raise what these outcomes call for, each kind once per bank and hour with a count."""
    counts: Counter[tuple[AlertKind, str]] = Counter()
    details: dict[tuple[AlertKind, str], str] = {}
    for one in recorded:
        for kind, bank in _found(one, rhythm_of, now):
            counts[kind, bank] += 1
            details.setdefault((kind, bank), one.before.qr_id if one.before is not None else "")
    for (kind, bank), n in sorted(counts.items()):
        raise_alert(tx, kind, bank, details[kind, bank], now, bucket=hour(now), count=n)


def _found(one: Outcome, rhythm_of: Callable[[str], Rhythm], now: datetime) -> Iterator[tuple[AlertKind, str]]:
    qr, plan = one.before, one.plan
    if qr is None or plan is None:
        return
    rhythm = rhythm_of(qr.bank)
    for _review in one.reviews:
        yield AlertKind.REVIEW_OPENED, qr.bank
    if _just_exhausted(one) and not rhythm.lists_by_payment_day:
        yield AlertKind.PLAN_EXHAUSTED, qr.bank
    if one.outcome == "unreadable":
        yield AlertKind.BANK_UNREADABLE, qr.bank
    if one.how == "failed":
        yield AlertKind.JOB_GIVEN_UP, qr.bank
        if _past_due_query(qr, rhythm, now):
            yield AlertKind.DUE_QUERY_FAILED, qr.bank
    elif _put_off_too_long(qr, plan, rhythm):
        yield AlertKind.DUE_QUERY_FAILED, qr.bank


def _just_exhausted(one: Outcome) -> bool:
    if one.before is None or one.plan is None or one.plan.state is not PlanState.EXHAUSTED:
        return False
    return one.before.plan.checks < one.before.plan.max_checks


def _put_off_too_long(qr: Qr, plan: Plan, rhythm: Rhythm) -> bool:
    """Whether this very wait carries the due query past the time that it may take: a QR is told of once, not for each
    of the bank's requests to wait. Only a wait keeps the seq and moves the moment back.
    """
    due_query, before, after = due_query_at(qr.due_at, rhythm), qr.plan.next_check_at, plan.next_check_at
    if qr.status.final or due_query is None or before is None or after is None or plan.seq != qr.plan.seq:
        return False
    return before < due_query + DUE_QUERY_WITHIN <= after


def _past_due_query(qr: Qr, rhythm: Rhythm, now: datetime) -> bool:
    """Of a QR that has ended no due query is left that could fail: it is asked about because of a notice."""
    moment = due_query_at(qr.due_at, rhythm)
    return moment is not None and moment <= now and not qr.status.final
