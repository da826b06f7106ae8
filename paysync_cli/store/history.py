"""What happened: checks, transitions, reviews, operators' actions, the last runs of recurring work, and a few facts
about the database itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Text, cast, delete, exists, func, insert, literal_column, or_, select, update

from paysync_cli.payments.decision import ReviewNews
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import FINAL, ReviewReason, Status
from paysync_cli.store.database import Tx, insert_into, insert_unless_there, inserted, rowcount
from paysync_cli.store.tables import audit, checks, meta, movements, qrs, reviews, runs, transitions

# Built once: putting a statement together costs more than running it.
_INSERT_CHECK, _INSERT_TRANSITION = insert(checks), insert(transitions)
_MINUTE, _MINUTE_CHARS = 'YYYY-MM-DD"T"HH24:MI', 16  # of a moment as PostgreSQL spells it; of SQLite's text
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
        tx.execute(_INSERT_CHECK, [_fields(record) for record in records])


def has_check(tx: Tx, record: CheckRecord) -> bool:
    """Whether this very record is in the history; another question of the same seq has another moment."""
    query = select(checks.c.id).where(
        checks.c.qr == record.qr,
        checks.c.seq == record.seq,
        checks.c.at == record.at,
        checks.c.attempt == record.attempt,
        checks.c.outcome == record.outcome,
        checks.c.duration_ms == record.duration_ms,
    )
    return tx.execute(query).first() is not None


def has_transition(tx: Tx, qr: int, at: datetime, new: str) -> bool:
    """Whether the QR took this status at this moment."""
    mine = (transitions.c.qr == qr, transitions.c.at == at, transitions.c.new == new)
    return tx.execute(select(transitions.c.id).where(*mine)).first() is not None


def record_transitions(tx: Tx, changes: Sequence[Transition]) -> None:
    if changes:
        rows = [
            _fields(change) | {"old": change.old and change.old.value, "new": change.new.value} for change in changes
        ]
        tx.execute(_INSERT_TRANSITION, rows)


def open_reviews(tx: Tx, qr: Qr, news: Sequence[ReviewNews], now: datetime) -> tuple[ReviewNews, ...]:
    """Open the reviews that were never opened and return them; the same news never opens or reopens one."""
    return tuple(
        one
        for one in news
        if _open_review(tx, bank=qr.bank, environment=qr.environment, qr_id=qr.qr_id, qr=qr.id, news=one, now=now)
    )


def open_stray_review(
    tx: Tx, *, bank: str, environment: str, qr_id: str, news: ReviewNews, now: datetime
) -> bool:  # fmt: skip
    """Open a review about a payment of a QR that is not registered here; whether it is new."""
    return _open_review(tx, bank=bank, environment=environment, qr_id=qr_id, qr=None, news=news, now=now)


def _open_review(
    tx: Tx, *, bank: str, environment: str, qr_id: str, qr: int | None, news: ReviewNews, now: datetime
) -> bool:  # fmt: skip
    statement = insert_unless_there(tx, reviews).values(
        bank=bank,
        environment=environment,
        qr_id=qr_id,
        qr=qr,
        reason=news.reason.value,
        news=news.news,
        state="open",
        detail=json.dumps(news.detail, ensure_ascii=False, sort_keys=True),
        opened_at=now,
    )
    return inserted(tx, statement)


@dataclass(frozen=True, slots=True)
class Stray:
    """A payment that came before its QR was registered, kept whole in its review."""

    review: int
    qr_id: str
    detail: dict[str, str]


def strays(tx: Tx, bank: str, environment: str, qr_ids: Sequence[str]) -> list[Stray]:
    """`unknown_qr` reviews of these QR ids that no row has taken yet, in the order in which they came.

    Also those that a person closed: that decides nothing about money that turns out to be ours.
    """
    query = select(reviews).where(
        reviews.c.bank == bank,
        reviews.c.environment == environment,
        reviews.c.reason == ReviewReason.UNKNOWN_QR.value,
        reviews.c.qr.is_(None),
        reviews.c.qr_id.in_(qr_ids),
    )
    return [Stray(row.id, row.qr_id, json.loads(row.detail)) for row in tx.execute(query.order_by(reviews.c.id))]


def close_stray(tx: Tx, stray: Stray, qr: int, now: datetime, who: str) -> None:
    """The QR of this payment was registered and the payment decided. What a person resolved stays his word."""
    mine = reviews.c.id == stray.review
    tx.execute(update(reviews).where(mine).values(qr=qr))
    values = {"state": "resolved", "resolved_at": now, "resolved_by": who, "resolution": "registered"}
    tx.execute(update(reviews).where(mine, reviews.c.state == "open").values(values))


def count_open_reviews(tx: Tx, bank: str | None = None) -> int:
    query = select(func.count()).select_from(reviews).where(reviews.c.state == "open")
    return tx.execute(query if bank is None else query.where(reviews.c.bank == bank)).scalar_one()


def open_reviews_by_reason(tx: Tx) -> dict[tuple[str, str], int]:
    """How many reviews are open, per bank and reason."""
    query = select(reviews.c.bank, reviews.c.reason, func.count()).where(reviews.c.state == "open")
    return {(row[0], row[1]): row[2] for row in tx.execute(query.group_by(reviews.c.bank, reviews.c.reason))}


def record_action(
    tx: Tx, *, at: datetime, who: str, action: str, what: str, qr: int | None = None,
    reason: str | None = None, detail: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Append an operator's action to the audit table: who, when, what, why."""
    record_actions(tx, [Action(at, who, action, what, qr, reason, detail)])


@dataclass(frozen=True, slots=True)
class Action:
    """An operator's action as it goes to the audit; `what` is the object, `qr` the row it is about."""

    at: datetime
    who: str
    action: str
    what: str
    qr: int | None = None
    reason: str | None = None
    detail: Mapping[str, Any] | None = None


def record_actions(tx: Tx, actions: Sequence[Action]) -> None:
    """Append many of them at once."""
    if actions:
        tx.execute(insert(audit), [_audit_values(action) for action in actions])


def asked_seqs(tx: Tx, qr: int) -> list[int]:
    """The seqs of all recorded checks of a row."""
    return list(tx.execute(select(checks.c.seq).where(checks.c.qr == qr)).scalars())


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


def count_checks(tx: Tx, since: datetime, bank: str | None = None) -> tuple[int, int]:
    """Checks answered and questions that failed since this moment."""
    query = select(checks.c.outcome, func.count()).where(checks.c.at >= since).group_by(checks.c.outcome)
    if bank is not None:
        query = query.join(qrs, qrs.c.id == checks.c.qr).where(qrs.c.bank == bank)
    counts: dict[str, int] = {row[0]: row[1] for row in tx.execute(query)}
    answered = sum(n for outcome, n in counts.items() if outcome in ANSWERED)
    return answered, sum(counts.values()) - answered


def last_check_at(tx: Tx) -> datetime | None:
    """When the last question was asked; None when none ever was."""
    found: datetime | None = tx.execute(select(func.max(checks.c.at))).scalar()
    return found


def checks_by_minute(tx: Tx, until: datetime, minutes: int) -> list[int]:
    """How many questions were asked in each of the last whole `minutes` before this moment, the oldest first."""
    end = until.astimezone(UTC).replace(second=0, microsecond=0)
    starts = [end - timedelta(minutes=n) for n in range(minutes, 0, -1)]
    sqlite_text = func.substr(cast(checks.c.at, Text), 1, _MINUTE_CHARS)
    minute = sqlite_text if tx.dialect.name == "sqlite" else func.to_char(func.timezone("UTC", checks.c.at), _MINUTE)
    query = select(minute, func.count()).where(checks.c.at >= starts[0], checks.c.at < end).group_by(minute)
    counts: dict[str, int] = {row[0]: row[1] for row in tx.execute(query)}
    return [counts.get(f"{start:%Y-%m-%dT%H:%M}", 0) for start in starts]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why questions failed at one bank, how often, and of which QR the last one was."""

    bank: str
    outcome: str
    error: str | None
    times: int
    last_at: datetime
    qr: int


def failures_by_cause(tx: Tx, since: datetime, limit: int) -> list[Cause]:
    """The causes of the questions that failed since this moment, the most frequent first, at most `limit`.

    An error that names its QR, as one with the address asked does, is one cause and not as many as there are QRs.
    """
    times, last = func.count(), func.max(checks.c.at, type_=checks.c.at.type)
    gap = literal_column("'…'", Text)  # no parameter: PostgreSQL takes two of them for two expressions
    error = func.replace(checks.c.error, qrs.c.qr_id, gap)
    query = (
        select(qrs.c.bank, checks.c.outcome, error, times, last, func.max(checks.c.qr))
        .join(qrs, qrs.c.id == checks.c.qr)
        .where(checks.c.at >= since, checks.c.outcome.not_in(ANSWERED))
        .group_by(qrs.c.bank, checks.c.outcome, error)
        .order_by(times.desc(), last.desc())
    )
    return [Cause(*row) for row in tx.execute(query.limit(limit))]


def spent_checks(tx: Tx, before: datetime) -> int:
    """How many rows `forget_checks` would remove in all."""
    return tx.execute(select(func.count()).select_from(checks).where(*_spent(before))).scalar_one()


def forget_checks(
    tx: Tx, before: datetime, limit: int, after: tuple[datetime, int] | None = None
) -> tuple[int, tuple[datetime, int] | None]:
    """Remove check records of final QRs older than this moment, the oldest first, at most `limit`.

    How many went, and where the next step goes on (`after`), None when nothing is left. Going on from there spares
    every step to read again the old records that stay.
    """
    query = select(checks.c.at, checks.c.id).where(*_spent(before)).order_by(checks.c.at, checks.c.id).limit(limit)
    if after is not None:
        at, row_id = after
        query = query.where(checks.c.at >= at, or_(checks.c.at > at, checks.c.id > row_id))
    rows = list(tx.execute(query))
    if not rows:
        return 0, None
    removed = rowcount(tx.execute(delete(checks).where(checks.c.id.in_([row.id for row in rows]))))
    return removed, (rows[-1].at, rows[-1].id) if len(rows) == limit else None


def record_run(tx: Tx, name: str, at: datetime, outcome: str, detail: Mapping[str, Any]) -> None:
    """Remember the last run of recurring work (cleanup, sweep)."""
    values = {"at": at, "outcome": outcome, "detail": json.dumps(detail, default=str)}
    statement = insert_into(tx, runs).values(name=name, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=[runs.c.name], set_=values))


def last_run(tx: Tx, name: str) -> tuple[datetime, str, dict[str, Any]] | None:
    """When it ran last, how it ended and what it said."""
    row = tx.execute(select(runs).where(runs.c.name == name)).first()
    return None if row is None else (row.at, row.outcome, json.loads(row.detail))


def read_meta(tx: Tx, key: str) -> str | None:
    """A fact about the database itself: `database_id`, `clock`."""
    return tx.execute(select(meta.c.value).where(meta.c.key == key)).scalar()


def write_meta(tx: Tx, key: str, value: str) -> None:
    statement = insert_into(tx, meta).values(key=key, value=value)
    tx.execute(statement.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": value}))


def _audit_values(action: Action) -> dict[str, Any]:
    return {
        "at": action.at,
        "who": action.who,
        "action": action.action,
        "object": action.what,
        "qr": action.qr,
        "reason": action.reason,
        "detail": json.dumps(action.detail or {}, default=str),
    }


def _spent(before: datetime) -> tuple[Any, ...]:
    final = exists().where(qrs.c.id == checks.c.qr, qrs.c.status.in_([status.value for status in FINAL]))
    return checks.c.at < before, final


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
