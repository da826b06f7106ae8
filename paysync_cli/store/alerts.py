"""The outbox of alerts: written in the transaction that finds the trouble, delivered later and at least once.

Kinds live in the table and in `docs`: written once and frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from paysync_cli.store.database import Tx
from paysync_cli.store.tables import alerts

BUCKET_LIMIT = 128


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


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert; `count` is how often it came in its bucket."""

    id: int
    kind: AlertKind
    bank: str
    bucket: str
    count: int
    message: str
    first_at: datetime
    last_at: datetime
    delivered_at: datetime | None


def raise_alert(tx: Tx, kind: AlertKind, bank: str, message: str, now: datetime, *, bucket: str | None = None,
                count: int = 1) -> None:  # fmt: skip
    """Raise an alert, or count it in the one of the same bucket. Without `bucket`: one per bank and hour."""
    where = (bucket or hour(now))[:BUCKET_LIMIT]
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(alerts).values(
        kind=kind.value, bank=bank, bucket=where, count=count, message=message, first_at=now, last_at=now
    )
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=[alerts.c.kind, alerts.c.bank, alerts.c.bucket],
            set_={"count": alerts.c.count + count, "last_at": now, "message": message},
        )
    )


def hour(now: datetime) -> str:
    """The bucket of alerts that come in numbers."""
    return now.strftime("%Y-%m-%dT%H")


def list_alerts(tx: Tx, *, bank: str | None = None, limit: int = 100) -> list[Alert]:
    """Alerts, the newest first."""
    query = select(alerts).order_by(alerts.c.id.desc()).limit(limit)
    if bank is not None:
        query = query.where(alerts.c.bank == bank)
    return [
        Alert(
            id=row.id,
            kind=AlertKind(row.kind),
            bank=row.bank,
            bucket=row.bucket,
            count=row._mapping["count"],
            message=row.message,
            first_at=row.first_at,
            last_at=row.last_at,
            delivered_at=row.delivered_at,
        )
        for row in tx.execute(query)
    ]
