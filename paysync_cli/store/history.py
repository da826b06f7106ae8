"""What happened: checks, transitions, reviews, operators' actions, the last runs of recurring work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from paysync_cli.payments.decision import ReviewNews
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import FINAL, Status
from paysync_cli.store.database import Tx, insert_unless_there, rowcount
from paysync_cli.store.tables import audit, checks, meta, movements, qrs, reviews, runs, transitions

ANSWERED = ("unpaid", "in_process", "paid", "cancelled", "expired")


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """One question to the bank, answered or not. `outcome` is the bank's status in our words, or the failure."""

    qr: int
    seq: int
    attempt: int
    at: datetime
    outcome: str
    bank_status: str | None = None
    duration_ms: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of status; `old` is None at registration."""

    qr: int
    at: datetime
    old: Status | None
    new: Status
    cause: str
    seq: int


@dataclass(frozen=True, slots=True)
class Story:
    """Everything recorded about one QR, each part in order of time."""

    checks: list[Mapping[str, Any]]
    transitions: list[Mapping[str, Any]]
    movements: list[Mapping[str, Any]]
    reviews: list[Mapping[str, Any]]
    actions: list[Mapping[str, Any]]


def record_checks(tx: Tx, records: Sequence[CheckRecord]) -> None:
    if records:
        tx.execute(insert(checks), [_fields(record) for record in records])


def record_transitions(tx: Tx, changes: Sequence[Transition]) -> None:
    if changes:
        rows = [
            _fields(change) | {"old": change.old and change.old.value, "new": change.new.value} for change in changes
        ]
        tx.execute(insert(transitions), rows)


def open_reviews(tx: Tx, qr: Qr, news: Sequence[ReviewNews], now: datetime) -> int:
    """Open the reviews that were never opened; the same news never opens or reopens one. How many were new."""
    opened = 0
    for one in news:
        statement = insert_unless_there(tx, reviews).values(
            bank=qr.bank,
            environment=qr.environment,
            qr_id=qr.qr_id,
            qr=qr.id,
            reason=one.reason.value,
            news=one.news,
            state="open",
            detail=json.dumps(one.detail, ensure_ascii=False, sort_keys=True),
            opened_at=now,
        )
        opened += rowcount(tx.execute(statement))
    return opened


def count_open_reviews(tx: Tx) -> int:
    return tx.execute(select(func.count()).select_from(reviews).where(reviews.c.state == "open")).scalar_one()


def record_action(
    tx: Tx, *, at: datetime, who: str, action: str, what: str, qr: int | None = None,
    reason: str | None = None, detail: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Append an operator's action to the audit table: who, when, what, why."""
    tx.execute(
        insert(audit).values(
            at=at,
            who=who,
            action=action,
            object=what,
            qr=qr,
            reason=reason,
            detail=json.dumps(detail or {}, default=str),
        )
    )


def story(tx: Tx, qr: int) -> Story:
    """All that is recorded about one row."""

    def rows(table: Any, order: Any) -> list[Mapping[str, Any]]:
        return [dict(row._mapping) for row in tx.execute(select(table).where(table.c.qr == qr).order_by(order))]

    return Story(
        checks=rows(checks, checks.c.id),
        transitions=rows(transitions, transitions.c.id),
        movements=rows(movements, movements.c.id),
        reviews=rows(reviews, reviews.c.id),
        actions=rows(audit, audit.c.id),
    )


def count_checks(tx: Tx, since: datetime) -> tuple[int, int]:
    """Checks answered and questions that failed since this moment."""
    query = select(checks.c.outcome, func.count()).where(checks.c.at >= since).group_by(checks.c.outcome)
    counts: dict[str, int] = {row[0]: row[1] for row in tx.execute(query)}
    answered = sum(n for outcome, n in counts.items() if outcome in ANSWERED)
    return answered, sum(counts.values()) - answered


def spent_checks(tx: Tx, before: datetime) -> int:
    """How many rows `forget_checks` would remove."""
    return tx.execute(select(func.count()).select_from(checks).where(*_spent(before))).scalar_one()


def forget_checks(tx: Tx, before: datetime, limit: int) -> int:
    """Remove check records of final QRs older than this moment, at most `limit`; how many went."""
    some = select(checks.c.id).where(*_spent(before)).limit(limit).scalar_subquery()
    return rowcount(tx.execute(delete(checks).where(checks.c.id.in_(some))))


def record_run(tx: Tx, name: str, at: datetime, outcome: str, detail: Mapping[str, Any]) -> None:
    """Remember the last run of recurring work (cleanup, sweep)."""
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    values = {"at": at, "outcome": outcome, "detail": json.dumps(detail, default=str)}
    statement = dialect.insert(runs).values(name=name, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=[runs.c.name], set_=values))


def last_run(tx: Tx, name: str) -> tuple[datetime, str, dict[str, Any]] | None:
    """When it ran last, how it ended and what it said."""
    row = tx.execute(select(runs).where(runs.c.name == name)).first()
    return None if row is None else (row.at, row.outcome, json.loads(row.detail))


def read_meta(tx: Tx, key: str) -> str | None:
    """A fact about the database itself: `database_id`, `clock`."""
    return tx.execute(select(meta.c.value).where(meta.c.key == key)).scalar()


def write_meta(tx: Tx, key: str, value: str) -> None:
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(meta).values(key=key, value=value)
    tx.execute(statement.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": value}))


def _spent(before: datetime) -> tuple[Any, ...]:
    final = select(qrs.c.id).where(qrs.c.status.in_([status.value for status in FINAL]))
    return checks.c.at < before, checks.c.qr.in_(final.scalar_subquery())


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
