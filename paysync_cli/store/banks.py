"""What SQL keeps per bank: how far its day lists are read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select, update

from paysync_cli.payments.status import PlanState
from paysync_cli.store.database import Tx, insert_unless_there
from paysync_cli.store.leases import Lease, held_by
from paysync_cli.store.tables import banks, qrs


@dataclass(frozen=True, slots=True)
class Swept:
    """`day`: the last bank day read complete, None before the first; `at`: when a sweep last ended."""

    day: date | None
    at: datetime | None


def swept(tx: Tx, bank: str, environment: str) -> Swept:
    row = tx.execute(select(banks).where(banks.c.bank == bank, banks.c.environment == environment)).first()
    if row is None:
        return Swept(None, None)
    return Swept(date.fromisoformat(row.swept_day) if row.swept_day else None, row.swept_at)


def record_sweep(
    tx: Tx, bank: str, environment: str, *, day: date | None, at: datetime, lease: Lease | None = None
) -> None:  # fmt: skip
    """Remember a sweep; `day` (when not None) is the new high-water day and never falls back."""
    tx.execute(insert_unless_there(tx, banks).values(bank=bank, environment=environment))
    mine = (banks.c.bank == bank) & (banks.c.environment == environment)
    proof = [held_by(lease)] if lease is not None else []
    tx.execute(update(banks).where(mine, *proof).values(swept_at=at))
    if day is not None:
        higher = banks.c.swept_day.is_(None) | (banks.c.swept_day < day.isoformat())
        tx.execute(update(banks).where(mine, higher, *proof).values(swept_day=day.isoformat()))


def lock_registration(tx: Tx, bank: str, environment: str) -> None:
    """Let registering QRs and keeping payments of unregistered ones take turns, until the transaction ends.

    SQLite has one writer at a time as it is.
    """
    if tx.dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"paysync {bank} {environment}"))))


def oldest_open_issue(tx: Tx, bank: str, environment: str) -> datetime | None:
    """When the oldest QR that is still open was issued."""
    query = select(func.min(qrs.c.issued_at, type_=qrs.c.issued_at.type)).where(
        qrs.c.bank == bank, qrs.c.environment == environment, qrs.c.plan_state != PlanState.DONE.value
    )
    return tx.execute(query).scalar()
