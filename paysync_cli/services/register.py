"""Registering QRs and planning their checks: what `enqueue`, `import` and the application do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from paysync_cli.payments.money import to_text
from paysync_cli.payments.qr import Plan, Qr
from paysync_cli.payments.schedule import PRIORITY_OF, Rhythm, first_plan, quiet_status
from paysync_cli.payments.status import PlanState, Priority
from paysync_cli.store import history, qrs
from paysync_cli.store.database import Database, Tx

CHUNK = 1_000  # requests in one transaction


class Outcome(StrEnum):
    """What became of one request; `conflict` changed nothing."""

    CREATED = "created"
    ALREADY_PLANNED = "already_planned"
    MOVED = "moved"
    CONFLICT = "conflict"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Request:
    """One QR to register, validated. `given` names the fields that were said explicitly: only those can conflict."""

    qr_id: str
    amount: int | None
    currency: str
    account: str
    due_at: datetime | None
    multi_use: bool
    issued_at: datetime | None
    given: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wish:
    """When and how to ask, the same for all requests of a call.

    `at` None means: a new QR at once, a known one stays as planned. `more_checks` grants budget (audited as `who`).
    """

    at: datetime | None = None
    now: bool = False
    priority: Priority | None = None
    more_checks: int = 0
    who: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """The outcome of one request; `detail` says what differs for a conflict."""

    qr_id: str
    outcome: Outcome
    next_check_at: datetime | None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class EnqueueReport:
    """All outcomes, in the order of the requests."""

    items: tuple[Item, ...]

    def count(self, outcome: Outcome) -> int:
        return Counter(item.outcome for item in self.items)[outcome]


def enqueue(
    store: Database,
    requests: Sequence[Request],
    *,
    bank: str,
    environment: str,
    rhythm: Rhythm,
    now: datetime,
    wish: Wish | None = None,
) -> EnqueueReport:
    """Register what is not known yet and plan its check; each thousand is one transaction.

    The same `qr_id` twice in one call is registered once; the second is judged against the first.
    """
    wish = wish or Wish()
    items: list[Item] = []
    for start in range(0, len(requests), CHUNK):
        with store.write() as tx:
            items += _enqueue_chunk(tx, requests[start : start + CHUNK], bank, environment, rhythm, now, wish)
    return EnqueueReport(tuple(items))


def _enqueue_chunk(
    tx: Tx,
    requests: Sequence[Request],
    bank: str,
    environment: str,
    rhythm: Rhythm,
    now: datetime,
    wish: Wish,
) -> list[Item]:
    ids = [request.qr_id for request in requests]
    before = qrs.known(tx, bank, environment, ids, lock=True)
    fresh = {request.qr_id: request for request in reversed(requests) if request.qr_id not in before}
    new = [_new_qr(request, bank, environment, rhythm, now, wish) for request in reversed(fresh.values())]
    inserted = qrs.register(tx, new)
    history.record_transitions(
        tx,
        [
            history.Transition(inserted[one.qr_id], now, None, one.status, "registered", 0)
            for one in new
            if one.qr_id in inserted
        ],
    )
    # Whoever was registered by somebody else between the two statements is judged as known.
    after = qrs.known(tx, bank, environment, [one for one in ids if one not in inserted], lock=True)
    created = {one.qr_id: one for one in new if one.qr_id in inserted}
    items = []
    for request in requests:
        if request.qr_id in created:
            plan = created[request.qr_id].plan
            items.append(Item(request.qr_id, Outcome.CREATED, plan.next_check_at))
            after |= qrs.known(tx, bank, environment, [request.qr_id]) if ids.count(request.qr_id) > 1 else {}
            created.pop(request.qr_id)
        else:
            items.append(_judge_known(tx, after[request.qr_id], request, now, wish))
    return items


def _new_qr(request: Request, bank: str, environment: str, rhythm: Rhythm, now: datetime, wish: Wish) -> qrs.NewQr:
    issued_at = request.issued_at or now
    status = quiet_status(issued_at, now, rhythm)
    plan = first_plan(status, wish.at or now, rhythm, wish.priority)
    return qrs.NewQr(
        bank=bank,
        environment=environment,
        qr_id=request.qr_id,
        status=status,
        amount=request.amount,
        currency=request.currency,
        account=request.account,
        multi_use=request.multi_use,
        issued_at=issued_at,
        registered_at=now,
        due_at=request.due_at,
        plan=replace(plan, max_checks=plan.max_checks + wish.more_checks),
    )


def _judge_known(tx: Tx, qr: Qr, request: Request, now: datetime, wish: Wish) -> Item:
    differs = _differences(qr, request)
    if differs:
        return Item(qr.qr_id, Outcome.CONFLICT, qr.plan.next_check_at, differs)
    if qr.status.final:
        return Item(qr.qr_id, Outcome.FINAL, None, qr.status.value)
    plan = _wished_plan(qr, now, wish)
    if plan == qr.plan or not qrs.replan(tx, qr, plan):
        return Item(qr.qr_id, Outcome.ALREADY_PLANNED, qr.plan.next_check_at)
    if plan.max_checks != qr.plan.max_checks:
        granted = {"before": qr.plan.max_checks, "after": plan.max_checks}
        history.record_action(
            tx, at=now, who=wish.who, action="grant_checks", what=f"{qr.bank}/{qr.qr_id}", qr=qr.id, detail=granted
        )
    return Item(qr.qr_id, Outcome.MOVED, plan.next_check_at)


def _wished_plan(qr: Qr, now: datetime, wish: Wish) -> Plan:
    """The plan a person asks for: only ever earlier, only while the QR waits for its moment."""
    plan = qr.plan
    if plan.state not in (PlanState.PLANNED, PlanState.EXHAUSTED) or plan.next_check_at is None:
        return plan
    exhausted = plan.state is PlanState.EXHAUSTED
    grant = wish.more_checks or (1 if exhausted and wish.now else 0)
    at = wish.at or (now if exhausted and grant else None)
    if grant:
        plan = replace(plan, max_checks=plan.max_checks + grant, state=PlanState.PLANNED)
    if at is not None and at < (plan.next_check_at or at):
        # Asked for by a person: costs none of the budget, unless the budget was just raised for it.
        plan = replace(plan, next_check_at=at, free=not grant, priority=PRIORITY_OF[qr.status])
    if wish.priority is not None:
        plan = replace(plan, priority=wish.priority)
    return plan


def _differences(qr: Qr, request: Request) -> str | None:
    pairs = {
        "amount": (_amount(qr.amount, qr.currency), _amount(request.amount, request.currency)),
        "currency": (qr.currency, request.currency),
        "account": (qr.account, request.account),
        "due": (_moment(qr.due_at), _moment(request.due_at)),
        "multi_use": (qr.multi_use, request.multi_use),
        "issued_at": (_moment(qr.issued_at), _moment(request.issued_at)),
    }
    differs = [f"{name} {old} here, {new} asked" for name, (old, new) in pairs.items()
               if name in request.given and old != new]  # fmt: skip
    return "; ".join(differs) or None


def _amount(minor: int | None, currency: str) -> str:
    return "-" if minor is None else to_text(minor, currency)


def _moment(at: datetime | None) -> str:
    return "-" if at is None else at.isoformat(timespec="seconds")
