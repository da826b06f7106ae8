"""What a person must hear of: written in the transaction that finds the trouble, told later and at least once.

Two sorts. *Events* come in numbers: one row per kind, bank and hour, with a count. *States* last: one row from when it
begins until it is over, and never two of a kind and bank at a time. Kinds live in the table and in `docs/alerts.md`:
written once and frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, func, select, update

from paysync_cli.store.database import Tx, insert_into, insert_unless_there, inserted, rowcount, storable
from paysync_cli.store.tables import alert_messages, alerts

BUCKET_LIMIT = 128
DETAIL_LIMIT = 500
EVERYWHERE = ""
"""The bank of an alert that is about the whole installation."""


class AlertKind(StrEnum):
    """What a person is alerted to."""

    CREDENTIAL_STOPPED = "credential_stopped"
    BREAKER_OPEN = "breaker_open"
    BANK_UNAVAILABLE = "bank_unavailable"
    BANK_UNREADABLE = "bank_unreadable"
    PLAN_EXHAUSTED = "plan_exhausted"
    DUE_QUERY_FAILED = "due_query_failed"
    REVIEW_OPENED = "review_opened"
    DAY_INCOMPLETE = "day_incomplete"
    JOB_GIVEN_UP = "job_given_up"
    BACKLOG_LATE = "backlog_late"
    NOT_CONSUMING = "not_consuming"
    NO_WORKER = "no_worker"
    REDIS_EVICTS = "redis_evicts"
    SWEEP_LATE = "sweep_late"
    CLEANUP_LATE = "cleanup_late"
    CHECKS_ABANDONED = "checks_abandoned"


STATES = frozenset({
    AlertKind.CREDENTIAL_STOPPED, AlertKind.BREAKER_OPEN, AlertKind.DAY_INCOMPLETE, AlertKind.BACKLOG_LATE,
    AlertKind.NOT_CONSUMING, AlertKind.NO_WORKER, AlertKind.REDIS_EVICTS, AlertKind.SWEEP_LATE, AlertKind.CLEANUP_LATE,
})  # fmt: skip
"""The kinds that last until they are over, and then are told to be over."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert; `count` is how often it came in its bucket. `detail` is what only this case knows, as it came in."""

    id: int
    kind: AlertKind
    bank: str
    bucket: str
    count: int
    detail: str
    first_at: datetime
    last_at: datetime
    standing: bool
    recovered_at: datetime | None
    message: int | None
    delivered_at: datetime | None


def raise_alert(tx: Tx, kind: AlertKind, bank: str, detail: str, now: datetime, *, bucket: str | None = None,
                count: int = 1) -> None:  # fmt: skip
    """Raise an event, or count it in the one of the same bucket. Without `bucket`: one per bank and hour."""
    kept = storable(detail, DETAIL_LIMIT)
    statement = insert_into(tx, alerts).values(
        kind=kind.value, bank=bank, bucket=(bucket or hour(now))[:BUCKET_LIMIT], count=count, detail=kept,
        first_at=now, last_at=now, standing=False, news=True,
    )  # fmt: skip
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=[alerts.c.kind, alerts.c.bank, alerts.c.bucket],
            set_={"count": alerts.c.count + count, "last_at": now, "detail": kept, "news": True},
        )
    )


def begin_state(tx: Tx, kind: AlertKind, bank: str, detail: str, now: datetime, *, since: datetime | None = None,
                count: int = 1) -> bool:  # fmt: skip
    """A state that lasts: whether it is new. One that stands already is left as it is."""
    statement = insert_unless_there(tx, alerts).values(
        kind=kind.value, bank=bank, bucket=now.isoformat(), count=count, detail=storable(detail, DETAIL_LIMIT),
        first_at=since or now, last_at=now, standing=True, news=True,
    )  # fmt: skip
    return inserted(tx, statement)


def end_state(tx: Tx, kind: AlertKind, bank: str, now: datetime) -> bool:
    """The state is over: whether it stood."""
    mine = (alerts.c.kind == kind.value) & (alerts.c.bank == bank) & alerts.c.standing
    return rowcount(tx.execute(update(alerts).where(mine).values(standing=False, recovered_at=now, news=True))) > 0


def standing(tx: Tx) -> set[tuple[AlertKind, str]]:
    """The states that last: kind and bank."""
    query = select(alerts.c.kind, alerts.c.bank).where(alerts.c.standing, _known())
    return {(AlertKind(kind), bank) for kind, bank in tx.execute(query)}


def with_news(tx: Tx, limit: int) -> list[Alert]:
    """Alerts of which something is to be told, the oldest first."""
    query = select(alerts).where(alerts.c.news, _known()).order_by(alerts.c.id).limit(limit)
    return [_alert(row) for row in tx.execute(query)]


def told(tx: Tx, ids: list[int], message: int) -> None:
    """All that is known of these alerts is in this message."""
    tx.execute(update(alerts).where(alerts.c.id.in_(ids)).values(news=False, message=message))


def undelivered(tx: Tx) -> tuple[int, datetime | None]:
    """How many messages wait to be delivered, and when the first of them was written."""
    oldest = func.min(alert_messages.c.at, type_=alert_messages.c.at.type)
    found = tx.execute(select(func.count(), oldest).where(alert_messages.c.delivered_at.is_(None))).one()
    return found[0], found[1]


def hour(now: datetime) -> str:
    """The bucket of alerts that come in numbers."""
    return now.strftime("%Y-%m-%dT%H")


def list_alerts(
    tx: Tx, *, bank: str | None = None, since: datetime | None = None, open_only: bool = False, limit: int = 100
) -> list[Alert]:
    """Alerts, the newest first. `open_only`: states that last, and what was delivered nowhere yet."""
    query = select(alerts).where(_known()).order_by(alerts.c.id.desc()).limit(limit)
    if bank is not None:
        query = query.where(alerts.c.bank == bank)
    if since is not None:
        query = query.where(alerts.c.last_at >= since)
    if open_only:
        query = query.where(alerts.c.standing | alerts.c.delivered_at.is_(None))
    return [_alert(row) for row in tx.execute(query)]


def _known() -> Any:
    """A newer version beside this one may write kinds that nobody here has words for: it tells them itself."""
    return alerts.c.kind.in_([kind.value for kind in AlertKind])


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        id=row.id,
        kind=AlertKind(row.kind),
        bank=row.bank,
        bucket=row.bucket,
        count=row._mapping["count"],
        detail=row.detail,
        first_at=row.first_at,
        last_at=row.last_at,
        standing=row.standing,
        recovered_at=row.recovered_at,
        message=row.message,
        delivered_at=row.delivered_at,
    )
