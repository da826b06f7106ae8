"""Registering QRs and planning their checks: what `enqueue`, `import` and the application do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from paysync_cli.language import _
from paysync_cli.payments.money import MoneyError, to_minor, to_text
from paysync_cli.payments.qr import Answer, Payment, Plan, Qr
from paysync_cli.payments.schedule import PRIORITY_OF, Rhythm, due_query_at, first_plan, quiet_status, spent_in_time
from paysync_cli.payments.status import BankStatus, PlanState, Priority, Status
from paysync_cli.services.sweep import NOBODYS_SEQ, payment_from_detail
from paysync_cli.services.sync import Asked, Judge, Recorded, record_in
from paysync_cli.services.telling import tell_news, tell_registered
from paysync_cli.store import banks as bank_rows
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.database import Database, Tx

CHUNK = 1_000  # requests in one transaction


class Outcome(StrEnum):
    """What became of one request; `conflict` changed nothing."""

    CREATED = "created"
    ALREADY_PLANNED = "already_planned"
    MOVED = "moved"
    CONFLICT = "conflict"
    FINAL = "final"
    UPDATED = "updated"


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

    `at` None means: a new QR at once, a known one stays as planned. `more_checks` grants budget, `update` lets what
    was said replace what is known of an open, unpaid QR (both audited as `who`).
    """

    at: datetime | None = None
    now: bool = False
    priority: Priority | None = None
    more_checks: int = 0
    who: str = ""
    update: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """The outcome of one request; `detail` says what differs for a conflict, what is new for an update."""

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
    call = _Call(bank, environment, rhythm, now, wish or Wish())
    items: list[Item] = []
    for chunk in _chunks(requests):
        with store.write() as tx:
            items += _enqueue_chunk(tx, chunk, call)
        call.tell()
    return EnqueueReport(tuple(items))


def preview(
    store: Database | None,
    requests: Sequence[Request],
    *,
    bank: str,
    environment: str,
    rhythm: Rhythm,
    now: datetime,
    wish: Wish | None = None,
) -> EnqueueReport:
    """What `enqueue` would do, by the same judgement, without writing. `store` None stands for an empty database."""
    call = _Call(bank, environment, rhythm, now, wish or Wish())
    items: list[Item] = []
    for chunk in _chunks(requests):
        known: dict[str, Qr] = {}
        if store is not None:
            with store.read() as tx:
                known = qrs.known(tx, bank, environment, [request.qr_id for request in chunk])
                call.look_for_money(tx, known)
        for request in chunk:
            qr = known.get(request.qr_id)
            if qr is None:
                qr = as_registered(call.new_qr(request))
                known[request.qr_id] = qr
                call.answered.add(request.qr_id)
                items.append(Item(request.qr_id, Outcome.CREATED, qr.plan.next_check_at))
            else:
                item, known[request.qr_id] = call.judge(qr, request)
                items.append(item)
    return EnqueueReport(tuple(items))


def as_registered(new: qrs.NewQr) -> Qr:
    """The row that a registration would make; it has no id yet."""
    fields = {name: getattr(new, name) for name in new.__dataclass_fields__}
    return Qr(id=0, **fields)


@dataclass(slots=True)
class _Call:
    """One call of `enqueue`. A wish holds once for each QR: `answered` are those it was applied to.

    `paid` are the known rows that money is booked for; `registered` and `adopted` what is to be logged once the chunk
    is committed: new QRs, and what the payments that came before them made of them.
    """

    bank: str
    environment: str
    rhythm: Rhythm
    now: datetime
    wish: Wish
    answered: set[str] = field(default_factory=set)
    paid: set[int] = field(default_factory=set)
    registered: list[str] = field(default_factory=list)
    adopted: list[Recorded] = field(default_factory=list)

    def tell(self) -> None:
        """Log what was committed; a review that this opened is said by the report, and is no line of its own."""
        tell_registered(self.registered, self.bank)
        for one in self.adopted:
            if one.before is not None:
                tell_news(replace(one, reviews=()), one.before, "list")
        self.registered.clear()
        self.adopted.clear()

    def look_for_money(self, tx: Tx, known: Mapping[str, Qr]) -> None:
        """Learn which of these rows money is booked for: only an update wants to know."""
        if self.wish.update:
            self.paid |= ledger.of(tx, [qr.id for qr in known.values()]).keys()

    def new_qr(self, request: Request) -> qrs.NewQr:
        return _new_qr(request, self.bank, self.environment, self.rhythm, self.now, self.wish)

    def judge(self, qr: Qr, request: Request) -> tuple[Item, Qr]:
        """The outcome for a QR that is known, and what its row shall be (itself when nothing changes)."""
        wish = Wish() if qr.qr_id in self.answered else self.wish
        self.answered.add(qr.qr_id)
        differs = _differences(qr, request)
        if differs:
            return self._update(qr, request, differs, wish) if wish.update else _conflict(qr, differs)
        if qr.status.final:
            return Item(qr.qr_id, Outcome.FINAL, None, qr.status.value), qr
        plan = _wished_plan(qr, self.now, wish)
        outcome = Outcome.ALREADY_PLANNED if plan == qr.plan else Outcome.MOVED
        return Item(qr.qr_id, outcome, plan.next_check_at), replace(qr, plan=plan)

    def _update(self, qr: Qr, request: Request, differs: Differences, wish: Wish) -> tuple[Item, Qr]:
        refusal = _refusal(qr, request, differs, paid=qr.id in self.paid)
        if refusal is not None:
            return _conflict(qr, differs, refusal)
        said = _as_said(qr, request)
        plan = _within_due(_wished_plan(said, self.now, wish), said, self.now, self.rhythm)
        old, new = _spoken(qr), _spoken(said)
        detail = "; ".join(
            _("{field} was {old}, is {new}").format(field=name, old=old[name] or _("none"), new=new[name] or _("none"))
            for name in old
            if old[name] != new[name]
        )
        return Item(qr.qr_id, Outcome.UPDATED, plan.next_check_at, detail), replace(said, plan=plan)


def _chunks(requests: Sequence[Request]) -> Iterable[Sequence[Request]]:
    return (requests[start : start + CHUNK] for start in range(0, len(requests), CHUNK))


def _enqueue_chunk(tx: Tx, requests: Sequence[Request], call: _Call) -> list[Item]:
    bank_rows.lock_registration(tx, call.bank, call.environment)
    ids = Counter(request.qr_id for request in requests)
    before = qrs.known(tx, call.bank, call.environment, ids, lock=True)
    new: dict[str, qrs.NewQr] = {}
    for request in requests:
        if request.qr_id not in before and request.qr_id not in new:
            new[request.qr_id] = call.new_qr(request)
    inserted = qrs.register(tx, list(new.values()))
    history.record_transitions(
        tx,
        [
            history.Transition(row, call.now, None, new[qr_id].status, "registered", 0)
            for qr_id, row in inserted.items()
        ],
    )
    call.registered += inserted
    adopted = _adopt_strays(tx, inserted, call)
    # Whoever was registered by somebody else between the two statements, or is named twice, is judged as known.
    again = [qr_id for qr_id, times in ids.items() if qr_id not in before and (qr_id not in inserted or times > 1)]
    known = before | qrs.known(tx, call.bank, call.environment, again, lock=True)
    call.look_for_money(tx, before)
    items = []
    for request in requests:
        if request.qr_id in inserted and request.qr_id not in call.answered:
            call.answered.add(request.qr_id)
            plan = adopted.get(request.qr_id, new[request.qr_id].plan)
            items.append(Item(request.qr_id, Outcome.CREATED, plan.next_check_at))
        else:
            items.append(_answer_known(tx, known, request, call))
    return items


def _adopt_strays(tx: Tx, inserted: Mapping[str, int], call: _Call) -> dict[str, Plan]:
    """Decide the payments that the bank listed before their QR was registered; the plans that changed by it.

    A review is closed only when its payment is booked: what cannot be booked stays before a person's eyes.
    """
    strays = history.strays(tx, call.bank, call.environment, list(inserted)) if inserted else []
    if not strays:
        return {}
    payments: dict[str, list[Payment]] = defaultdict(list)
    for stray in strays:
        payments[stray.qr_id].append(payment_from_detail(stray.qr_id, stray.detail))
    news = [
        Asked(inserted[qr_id], NOBODYS_SEQ, call.now, 0,
              Answer(BankStatus.PAID, "list", call.now, tuple(paid), from_list=True))
        for qr_id, paid in payments.items()
    ]  # fmt: skip
    # News that belongs to no planned check is never jittered.
    recorded = record_in(tx, news, Judge({call.bank: call.rhythm}, call.now, lambda: 0.0, source="list"))
    call.adopted += recorded
    booked = {(one.asked.qr, movement.bank_transaction_id) for one in recorded for movement in one.booked}
    for stray in strays:
        row = inserted[stray.qr_id]
        if (row, stray.detail["transaction"]) in booked:
            history.close_stray(tx, stray, row, call.now, call.wish.who)
    plans = {one.asked.qr: one.plan for one in recorded if one.plan is not None}
    return {qr_id: plans[row] for qr_id, row in inserted.items() if row in plans}


def _answer_known(tx: Tx, known: dict[str, Qr], request: Request, call: _Call) -> Item:
    """Judge a known QR, write what it became and, for a grant or an update, who decided it."""
    qr = known[request.qr_id]
    item, after = call.judge(qr, request)
    if after == qr:
        return item
    columns = _changed_columns(qr, after)
    if not qrs.replan(tx, qr, after.plan, extra=columns):
        return Item(qr.qr_id, Outcome.ALREADY_PLANNED, qr.plan.next_check_at)
    known[request.qr_id] = replace(after, version=qr.version + bool(columns))
    _audit(tx, qr, after, call)
    return item


def _changed_columns(before: Qr, after: Qr) -> dict[str, object]:
    """The columns that an update changed."""
    pairs = {
        "amount_minor": (before.amount, after.amount),
        "currency": (before.currency, after.currency),
        "account": (before.account, after.account),
        "due_at": (before.due_at, after.due_at),
        "multi_use": (before.multi_use, after.multi_use),
    }
    return {column: new for column, (old, new) in pairs.items() if old != new}


def _audit(tx: Tx, before: Qr, after: Qr, call: _Call) -> None:
    """Who granted checks, who changed what the QR is about."""

    def record(action: str, detail: Mapping[str, object]) -> None:
        what = f"{before.bank}/{before.qr_id}"
        history.record_action(
            tx, at=call.now, who=call.wish.who, action=action, what=what, qr=before.id, detail=detail
        )  # fmt: skip

    if after.plan.max_checks != before.plan.max_checks:
        record("grant_checks", {"before": before.plan.max_checks, "after": after.plan.max_checks})
    old, new = _spoken(before), _spoken(after)
    changed = [name for name in old if old[name] != new[name]]
    if changed:
        record("update_qr", {"before": {name: old[name] or None for name in changed},
                             "after": {name: new[name] or None for name in changed}})  # fmt: skip


def _new_qr(request: Request, bank: str, environment: str, rhythm: Rhythm, now: datetime, wish: Wish) -> qrs.NewQr:
    issued_at = request.issued_at or now
    status = quiet_status(issued_at, now, rhythm)
    at, due_query = wish.at or now, due_query_at(request.due_at, rhythm)
    if due_query is not None:
        at = min(at, max(due_query, now))  # the due moment is never slept through, whatever was wished
    plan = first_plan(status, at, rhythm, wish.priority)
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


def _wished_plan(qr: Qr, now: datetime, wish: Wish) -> Plan:
    """The plan a person asks for: only ever earlier, only while the QR waits for its moment.

    Checks are granted in every state: to one that is under way or held too, without touching its moment.
    """
    plan = qr.plan
    if plan.state in (PlanState.QUEUED, PlanState.HELD) and wish.more_checks:
        return replace(plan, max_checks=plan.max_checks + wish.more_checks)
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


def _within_due(plan: Plan, qr: Qr, now: datetime, rhythm: Rhythm) -> Plan:
    """The plan with the due moment not slept through, and no due moment waited for that is none any more.

    One that is dispatched is planned anew by its own check.
    """
    plan = spent_in_time(plan, qr.due_at, qr.status, now=now, rhythm=rhythm)
    due_query = due_query_at(qr.due_at, rhythm)
    if due_query is None or plan.next_check_at is None or plan.state is PlanState.QUEUED:
        return plan
    return replace(plan, next_check_at=min(plan.next_check_at, max(due_query, now)))


Differences = Mapping[str, tuple[str, str]]
"""For each field that was said and is known otherwise: what is known, and what was said."""


def _differences(qr: Qr, request: Request) -> Differences:
    """What differs among the fields that were said; an amount counts in its currency, said or not."""
    known, said = _spoken(qr), _spoken(request)
    return {name: (known[name], said[name]) for name in known if name in request.given and known[name] != said[name]}


def _conflict(qr: Qr, differs: Differences, remark: str | None = None) -> tuple[Item, Qr]:
    sentences = [
        _("{field} is {old}, not {new}").format(field=name, old=old or _("none"), new=new or _("none"))
        for name, (old, new) in differs.items()
    ]
    detail = "; ".join([*sentences, remark] if remark is not None else sentences)
    return Item(qr.qr_id, Outcome.CONFLICT, qr.plan.next_check_at, detail), qr


def _refusal(qr: Qr, request: Request, differs: Differences, *, paid: bool) -> str | None:
    """Why an update may not be done; None when it may."""
    if qr.status.final:
        return _("it is {status} already").format(status=qr.status.value)
    if paid or qr.status is Status.PROCESSING:
        return _("money has come for it already")
    if "issued_at" in differs:
        return _("issued_at is never updated")
    if "amount" in differs and "currency" not in request.given and qr.currency != request.currency:
        return _("its currency is another one: say --currency too")
    if "currency" in differs and "amount" not in request.given and _in_currency(qr, request.currency) is None:
        return _("its amount does not fit the new currency: say --amount too")
    return None


def _as_said(qr: Qr, request: Request) -> Qr:
    """The row with everything that was said; an amount that was not keeps its figures in a new currency."""
    given = request.given
    currency = request.currency if "currency" in given else qr.currency
    kept = None if qr.amount is None else _in_currency(qr, currency)
    return replace(
        qr,
        amount=request.amount if "amount" in given else kept,
        currency=currency,
        account=request.account if "account" in given else qr.account,
        due_at=request.due_at if "due" in given else qr.due_at,
        multi_use=request.multi_use if "multi_use" in given else qr.multi_use,
    )


def _in_currency(qr: Qr, currency: str) -> int | None:
    """The QR's figures as minor units of this currency, 0 for any amount; None when it has fewer digits."""
    if qr.amount is None:
        return 0
    try:
        return to_minor(Decimal(to_text(qr.amount, qr.currency)), currency)
    except MoneyError:
        return None


def _spoken(one: Qr | Request) -> dict[str, str]:
    """What a QR is about, as people read it, by the names of the fields of a request; empty for nothing."""
    return {
        "amount": _amount(one.amount, one.currency),
        "currency": one.currency,
        "account": one.account,
        "due": _moment(one.due_at),
        "multi_use": str(one.multi_use).lower(),
        "issued_at": _moment(one.issued_at),
    }


def _amount(minor: int | None, currency: str) -> str:
    return "" if minor is None else f"{to_text(minor, currency)} {currency}"


def _moment(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="seconds")
