"""The QR rows: registering, loading, planning, listing.

A job in Redis names a row by its `id` and the `seq` it was dispatched with; every write here says which of the two
it relies on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, case, func, literal_column, or_, select, tuple_, update

from paysync_cli.errors import InputError
from paysync_cli.language import _
from paysync_cli.payments.qr import Plan, Qr
from paysync_cli.payments.status import FINAL, PlanState, Priority, Status
from paysync_cli.store.database import Tx, insert_unless_there, rowcount, slices
from paysync_cli.store.leases import Lease, held_by
from paysync_cli.store.tables import qrs
from paysync_cli.store.tokens import packed, unpacked

_PRIORITIES = list(Priority)
_STATUSES = {status.value: status for status in Status}
_PLAN_STATES = {state.value: state for state in PlanState}
# Spelled out as the partial indexes are: with bound values SQLite cannot know that they apply.
_WAITING = qrs.c.plan_state.in_([literal_column(f"'{state}'") for state in (PlanState.PLANNED, PlanState.EXHAUSTED)])
_QUEUED = qrs.c.plan_state == literal_column(f"'{PlanState.QUEUED}'")
_OF_BANK = (qrs.c.bank == bindparam("of_bank"), qrs.c.environment == bindparam("of_environment"))
_OF_QUEUE = (*_OF_BANK, qrs.c.priority == bindparam("of_priority"))
_SPENT = (qrs.c.checks >= qrs.c.max_checks) & qrs.c.status.not_in([status.value for status in FINAL])
_OPEN_STATE = case((_SPENT, PlanState.EXHAUSTED.value), else_=PlanState.PLANNED.value)


@dataclass(frozen=True, slots=True)
class NewQr:
    """A QR to register; the fields of `Qr` without what the database gives."""

    bank: str
    environment: str
    qr_id: str
    status: Status
    amount: int | None
    currency: str
    account: str
    multi_use: bool
    issued_at: datetime
    registered_at: datetime
    due_at: datetime | None
    plan: Plan


@dataclass(frozen=True, slots=True)
class Due:
    """A row just marked `queued`: what the push to Redis needs."""

    bank: str
    id: int
    seq: int
    qr_id: str
    priority: Priority


@dataclass(frozen=True, slots=True)
class Change:
    """What a decision makes of a row. `qr` is the row as it was read (and locked)."""

    qr: Qr
    status: Status
    plan: Plan
    details_missing_since: datetime | None
    money: bool

    @property
    def counts_as_change(self) -> bool:
        """Whether the compare-and-set version rises: status, money; planning alone does not."""
        return self.money or self.status is not self.qr.status


def load(tx: Tx, ids: Iterable[int], *, lock: bool = False) -> dict[int, Qr]:
    """The rows by id. With `lock` nobody else changes them until the transaction ends (SQLite: it already cannot)."""
    found: dict[int, Qr] = {}
    query = _by_ids(lock)
    for some in slices(sorted(set(ids))):
        for row in tx.execute(query, {"ids": some}):
            found[row[0]] = from_row(row)
    return found


@lru_cache
def _by_ids(lock: bool) -> Any:
    """Built once: putting a statement together costs more than running it."""
    query = select(qrs).where(qrs.c.id.in_(bindparam("ids", expanding=True))).order_by(qrs.c.id)
    return query.with_for_update() if lock else query


def by_qr_id(tx: Tx, qr_id: str, bank: str | None = None) -> list[Qr]:
    """Every row with this bank QR id, in all banks and environments unless one bank is named."""
    query = select(qrs).where(qrs.c.qr_id == qr_id)
    if bank is not None:
        query = query.where(qrs.c.bank == bank)
    return [from_row(row) for row in tx.execute(query.order_by(qrs.c.id))]


def alike(tx: Tx, start: str, bank: str | None, limit: int) -> list[str]:
    """The bank's QR ids that begin so, in order, each once."""
    begins = (qrs.c.qr_id >= start, qrs.c.qr_id < start + "\U0010ffff")  # a range of the index, which LIKE is not
    query = select(qrs.c.qr_id).where(*begins).distinct()
    if bank is not None:
        query = query.where(qrs.c.bank == bank)
    return list(tx.execute(query.order_by(qrs.c.qr_id).limit(limit)).scalars())


def has_bank(tx: Tx, bank: str) -> bool:
    """Whether any row is of this bank."""
    return tx.execute(select(qrs.c.id).where(qrs.c.bank == bank).limit(1)).first() is not None


def banks_of(tx: Tx, ids: Iterable[int]) -> dict[int, str]:
    """The bank of each of these rows."""
    return _column_of(tx, qrs.c.bank, ids)


def qr_ids_of(tx: Tx, ids: Iterable[int]) -> dict[int, str]:
    """The bank's QR id of each of these rows."""
    return _column_of(tx, qrs.c.qr_id, ids)


def _column_of(tx: Tx, column: Any, ids: Iterable[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for some in slices(sorted(set(ids))):
        found |= {row[0]: row[1] for row in tx.execute(select(qrs.c.id, column).where(qrs.c.id.in_(some)))}
    return found


def known(tx: Tx, bank: str, environment: str, qr_ids: Iterable[str], *, lock: bool = False) -> dict[str, Qr]:
    """The rows of one bank and environment by the bank's QR id."""
    found: dict[str, Qr] = {}
    for some in slices(sorted(set(qr_ids))):
        query = (
            select(qrs)
            .where(qrs.c.bank == bank, qrs.c.environment == environment, qrs.c.qr_id.in_(some))
            .order_by(qrs.c.id)
        )
        found |= {row.qr_id: from_row(row) for row in tx.execute(query.with_for_update() if lock else query)}
    return found


def register(tx: Tx, new: Sequence[NewQr]) -> dict[str, int]:
    """Insert the rows that are not there yet; the ids of those that were inserted, by the bank's QR id.

    All must be of one bank and environment and differ in `qr_id`.
    """
    if not new:
        return {}
    # One short statement for many rows: a long VALUES list would be compiled anew for every slice.
    statement = insert_unless_there(tx, qrs).returning(qrs.c.id, qrs.c.qr_id)
    return {row.qr_id: row.id for row in tx.execute(statement, [_new_values(one) for one in new])}


def write(tx: Tx, changes: Sequence[Change]) -> None:
    """Write decided rows, each compared with what was read. Raises RuntimeError when a row changed meanwhile."""
    if not changes:
        return
    values = [_changed_values(change) for change in changes]
    if rowcount(tx.execute(_update_decided(), values)) != len(changes):
        raise RuntimeError("a locked row changed under its transaction")


def replan(tx: Tx, qr: Qr, plan: Plan, *, extra: Mapping[str, Any] | None = None) -> bool:
    """Give an open row another plan, unless a check was recorded or its plan state changed since it was read.

    `extra` are columns that an operator changed (amount, due_at, ...): then the version rises.
    """
    values = _plan_values(plan) | dict(extra or {})
    if extra:
        values["version"] = qrs.c.version + 1
    statement = update(qrs).where(
        qrs.c.id == qr.id,
        qrs.c.seq == qr.plan.seq,
        qrs.c.version == qr.version,
        qrs.c.plan_state == qr.plan.state.value,
    )
    return rowcount(tx.execute(statement.values(values))) == 1


def note_notice(tx: Tx, qr: Qr, plan: Plan, at: datetime) -> None:
    """Keep for which moment a notice asked for a check, and the plan that it makes. `qr` is locked by the caller."""
    tx.execute(update(qrs).where(qrs.c.id == qr.id).values({"notified_at": at, **_plan_values(plan)}))


def take_due(tx: Tx, bank: str, environment: str, priority: Priority, now: datetime, limit: int) -> list[Due]:
    """Mark the longest due rows of one bank and priority as queued, at most `limit`; several may do so at once.

    The rows are chosen in a CTE: a plain subquery may be run again and again by PostgreSQL, and take more than that.
    """
    values = {
        "of_bank": bank, "of_environment": environment, "of_priority": priority.rank, "now": now, "at_most": limit,
    }  # fmt: skip
    rows = sorted(tx.execute(_take_due(), values), key=lambda row: row.next_check_at)
    return [Due(bank, row.id, row.seq, row.qr_id, priority) for row in rows]


@lru_cache
def _take_due() -> Any:
    due = (
        select(qrs.c.id)
        .where(*_OF_QUEUE, _WAITING, qrs.c.next_check_at <= bindparam("now"))
        .order_by(qrs.c.next_check_at)
        .limit(bindparam("at_most"))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    return (
        update(qrs)
        .where(qrs.c.id.in_(select(due.c.id)))
        .values(plan_state=PlanState.QUEUED.value, queued_at=bindparam("now"))
        .returning(qrs.c.id, qrs.c.seq, qrs.c.qr_id, qrs.c.next_check_at)
    )


def next_due_at(tx: Tx, bank: str, environment: str, *, ripe: datetime | None = None) -> dict[Priority, datetime]:
    """Per priority the earliest moment a waiting row of this bank wants to be asked; with `ripe` only what is due."""
    found: dict[Priority, datetime] = {}
    for priority in Priority:
        values = {"of_bank": bank, "of_environment": environment, "of_priority": priority.rank}
        at = tx.execute(_next_due_at(), values).scalar()
        if at is not None and (ripe is None or at <= ripe):
            found[priority] = at
    return found


@lru_cache
def _next_due_at() -> Any:
    return select(func.min(qrs.c.next_check_at, type_=qrs.c.next_check_at.type)).where(*_OF_QUEUE, _WAITING)


def first_waiting(tx: Tx, bank: str, environment: str, limit: int) -> list[tuple[int, int, datetime]]:
    """(row, seq, moment) of the waiting rows of this bank that want to be asked first, `limit` of each priority."""
    columns = (qrs.c.id, qrs.c.seq, qrs.c.next_check_at)
    found: list[tuple[int, int, datetime]] = []
    for priority in Priority:
        values = {"of_bank": bank, "of_environment": environment, "of_priority": priority.rank}
        query = select(*columns).where(*_OF_QUEUE, _WAITING).order_by(qrs.c.next_check_at).limit(limit)
        found += [(row[0], row[1], row[2]) for row in tx.execute(query, values)]
    return found


def queued(tx: Tx, before: datetime, limit: int, *, after: datetime | None = None) -> list[Qr]:
    """Rows dispatched before this moment and not recorded since, the oldest first.

    Also those dispatched later than `after`: by a clock that was ahead and has been put back.
    """
    dispatched = qrs.c.queued_at <= before
    if after is not None:
        dispatched |= qrs.c.queued_at > after
    query = select(qrs).where(_QUEUED, dispatched)
    return [from_row(row) for row in tx.execute(query.order_by(qrs.c.queued_at).limit(limit))]


def count_queued(tx: Tx, bank: str, environment: str) -> int:
    """How many rows of this bank are dispatched and not recorded yet."""
    return int(tx.execute(_count_queued(), {"of_bank": bank, "of_environment": environment}).scalar_one())


@lru_cache
def _count_queued() -> Any:
    return select(func.count()).select_from(qrs).where(*_OF_BANK, _QUEUED)


def put_back(tx: Tx, rows: Iterable[tuple[int, int]], *, at: datetime | None = None, lease: Lease | None = None) -> int:
    """Return queued rows, each given as (id, seq), to the plan; how many still were queued with that seq.

    `at` postpones them (a wait); `lease` makes the statement void when the leader's lease is lost.
    """
    values: dict[str, Any] = {"plan_state": _OPEN_STATE}
    if at is not None:
        values["next_check_at"] = at
    changed = 0
    for some in slices(sorted(rows)):
        statement = update(qrs).where(tuple_(qrs.c.id, qrs.c.seq).in_(some), _QUEUED)
        if lease is not None:
            statement = statement.where(held_by(lease))
        changed += rowcount(tx.execute(statement.values(values)))
    return changed


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows a list shows. `after` is the token of the page before."""

    status: Status | None = None
    open_only: bool = False
    bank: str | None = None
    due_before: datetime | None = None
    plan_state: PlanState | None = None
    since: datetime | None = None
    sort: str = "registered"
    limit: int = 50
    after: str | None = None
    environment: str | None = None


SORTS = ("registered", "next-check", "due", "qr")


def page(tx: Tx, wanted: Wanted) -> tuple[list[Qr], str | None]:
    """One page of rows and the token of the next page, None at the end. Raises InputError on a foreign token.

    Rows without the moment they are sorted by (final ones have no next check, some no due date) come last.
    """
    column, descending = _sort_column(wanted.sort)
    query = _filtered(select(qrs), wanted)
    if wanted.after is not None:
        query = query.where(_behind(column, descending, *_parse_token(wanted.after, wanted.sort)))
    without_it_last = (column.is_(None),) if column.nullable else ()
    query = query.order_by(*without_it_last, column.desc() if descending else column.asc(), qrs.c.id)
    rows = list(tx.execute(query.limit(wanted.limit + 1)))
    more = len(rows) > wanted.limit
    rows = rows[: wanted.limit]
    return [from_row(row) for row in rows], _token(rows[-1], wanted.sort) if more else None


def overview(tx: Tx) -> list[tuple[str, PlanState, Status, int]]:
    """How many rows there are per bank, plan state and status."""
    query = select(qrs.c.bank, qrs.c.plan_state, qrs.c.status, func.count()).group_by(
        qrs.c.bank, qrs.c.plan_state, qrs.c.status
    )
    return [(bank, PlanState(state), Status(status), n) for bank, state, status, n in tx.execute(query)]


def count_due(tx: Tx, now: datetime) -> dict[str, int]:
    """Per bank the rows whose moment has come and that are not dispatched yet."""
    query = select(qrs.c.bank, func.count()).where(_WAITING, qrs.c.next_check_at <= now).group_by(qrs.c.bank)
    return {row[0]: row[1] for row in tx.execute(query)}


def oldest_due_at(tx: Tx, now: datetime) -> dict[str, datetime]:
    """Per bank the longest overdue moment among waiting and queued rows; banks without any are absent."""
    found: dict[str, datetime] = {}
    for condition in (_WAITING, _QUEUED):
        query = select(qrs.c.bank, func.min(qrs.c.next_check_at, type_=qrs.c.next_check_at.type)).where(
            condition, qrs.c.next_check_at <= now
        )
        for bank, at in tx.execute(query.group_by(qrs.c.bank)):
            found[bank] = min(at, found.get(bank, at))
    return found


def longest_due_at(tx: Tx, bank: str, environment: str, now: datetime) -> datetime | None:
    """The longest overdue moment of one bank; None when nothing is due. As cheap with millions of rows: it looks at the
    ends of an index and at what is dispatched.
    """
    waiting = next_due_at(tx, bank, environment, ripe=now).values()
    dispatched = select(func.min(qrs.c.next_check_at, type_=qrs.c.next_check_at.type)).where(
        _QUEUED, qrs.c.bank == bank, qrs.c.environment == environment, qrs.c.next_check_at <= now
    )
    return min((at for at in (*waiting, tx.execute(dispatched).scalar()) if at is not None), default=None)


def check_under_way(tx: Tx, bank: str, environment: str) -> bool:
    """Whether a row of this bank is queued, or a failed attempt of it waits for the next one."""
    query = select(qrs.c.id).where(
        qrs.c.bank == bank,
        qrs.c.environment == environment,
        or_(_QUEUED, and_(_WAITING, qrs.c.attempts > 0)),
    )
    return tx.execute(query.limit(1)).first() is not None


def from_row(row: Row[Any] | tuple[Any, ...]) -> Qr:
    """A row of the table, its columns in the table's order, as the core's value."""
    (
        row_id, bank, environment, qr_id, status, amount, currency, account, multi_use,
        issued_at, registered_at, due_at,
        plan_state, next_check_at, priority, seq, checks, max_checks, attempts, free,
        _queued_at, missing_since, notified_at, version,
    ) = tuple(row)  # fmt: skip
    return Qr(
        id=row_id,
        bank=bank,
        environment=environment,
        qr_id=qr_id,
        status=_STATUSES[status],
        amount=amount,
        currency=currency,
        account=account,
        multi_use=multi_use,
        issued_at=issued_at,
        registered_at=registered_at,
        due_at=due_at,
        plan=Plan(
            state=_PLAN_STATES[plan_state],
            next_check_at=next_check_at,
            priority=_PRIORITIES[priority],
            seq=seq,
            checks=checks,
            max_checks=max_checks,
            attempts=attempts,
            free=free,
        ),
        version=version,
        details_missing_since=missing_since,
        notified_at=notified_at,
    )


def _plan_values(plan: Plan) -> dict[str, Any]:
    return {
        "plan_state": plan.state.value,
        "next_check_at": plan.next_check_at,
        "priority": plan.priority.rank,
        "seq": plan.seq,
        "checks": plan.checks,
        "max_checks": plan.max_checks,
        "attempts": plan.attempts,
        "free": plan.free,
    }


def _new_values(new: NewQr) -> dict[str, Any]:
    return {
        "bank": new.bank,
        "environment": new.environment,
        "qr_id": new.qr_id,
        "status": new.status.value,
        "amount_minor": new.amount,
        "currency": new.currency,
        "account": new.account,
        "multi_use": new.multi_use,
        "issued_at": new.issued_at,
        "registered_at": new.registered_at,
        "due_at": new.due_at,
        "version": 0,
        **_plan_values(new.plan),
    }


def _changed_values(change: Change) -> dict[str, Any]:
    return {
        "row_id": change.qr.id,
        "row_seq": change.qr.plan.seq,
        "row_version": change.qr.version,
        "version": change.qr.version + change.counts_as_change,
        "status": change.status.value,
        "details_missing_since": change.details_missing_since,
        **_plan_values(change.plan),
    }


@lru_cache
def _update_decided() -> Any:
    names = ("version", "status", "details_missing_since", *_PLAN_COLUMNS)
    return (
        update(qrs)
        .where(
            qrs.c.id == bindparam("row_id"),
            qrs.c.seq == bindparam("row_seq"),
            qrs.c.version == bindparam("row_version"),
        )
        .values({name: bindparam(name) for name in names})
    )


_PLAN_COLUMNS = ("plan_state", "next_check_at", "priority", "seq", "checks", "max_checks", "attempts", "free")


def _filtered(query: Select[Any], wanted: Wanted) -> Select[Any]:
    if wanted.status is not None:
        query = query.where(qrs.c.status == wanted.status.value)
    if wanted.open_only:
        query = query.where(qrs.c.plan_state != PlanState.DONE.value)
    if wanted.bank is not None:
        query = query.where(qrs.c.bank == wanted.bank)
    if wanted.environment is not None:
        query = query.where(qrs.c.environment == wanted.environment)
    if wanted.plan_state is not None:
        query = query.where(qrs.c.plan_state == wanted.plan_state.value)
    if wanted.due_before is not None:
        waiting = or_(_WAITING, _QUEUED)
        query = query.where(waiting, qrs.c.next_check_at <= wanted.due_before)
    if wanted.since is not None:
        query = query.where(qrs.c.registered_at >= wanted.since)
    return query


def _sort_column(sort: str) -> tuple[Any, bool]:
    return {
        "registered": (qrs.c.registered_at, True),
        "next-check": (qrs.c.next_check_at, False),
        "due": (qrs.c.due_at, False),
        "qr": (qrs.c.qr_id, False),
    }[sort]


def _token(row: Row[Any], sort: str) -> str:
    value = row._mapping[_sort_column(sort)[0].name]
    text = value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
    return packed([sort, text, row.id])


def _parse_token(token: str, sort: str) -> tuple[Any, int]:
    try:
        made_for, text, row_id = unpacked(token)
        if made_for != sort or not isinstance(row_id, int) or not 0 <= row_id < 2**63:
            raise ValueError(token)
        value = _token_value(text, sort)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise InputError(
            _("--after {token} is not a page of this list.").format(token=token),
            hint=_("Take the token that the page before printed, with the same --sort."),
        ) from None
    return value, row_id


def _token_value(text: object, sort: str) -> Any:
    if text is None and _sort_column(sort)[0].nullable:
        return None
    if not isinstance(text, str):
        raise TypeError(text)
    return text if sort == "qr" else datetime.fromisoformat(text).astimezone(UTC)


def _behind(column: Any, descending: bool, value: Any, row_id: int) -> Any:
    """The rows that come after this one in the list's order."""
    later = qrs.c.id > row_id
    if value is None:
        return and_(column.is_(None), later)
    step = (column < value) if descending else (column > value)
    behind = or_(step, and_(column == value, later))
    return or_(behind, column.is_(None)) if column.nullable else behind
