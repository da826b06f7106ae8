"""What SQL keeps per bank: how far its day lists are read, and why it is asked less than the settings say, or not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, update

from paysync_cli.payments.status import PlanState
from paysync_cli.store import history
from paysync_cli.store.alerts import AlertKind, begin_state, end_state
from paysync_cli.store.database import Tx, insert_unless_there, rowcount, storable
from paysync_cli.store.leases import Lease, held_by
from paysync_cli.store.tables import banks, qrs

ERROR_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Swept:
    """`day`: the last bank day read complete, None before the first; `at`: when a sweep last ended, well or not.

    `ok_at`: when one last read every list it wanted; `error`: why the last one did not, None when it did.
    """

    day: date | None
    at: datetime | None
    ok_at: datetime | None = None
    error: str | None = None


def swept(tx: Tx, bank: str, environment: str) -> Swept:
    row = tx.execute(select(banks).where(_mine(bank, environment))).first()
    if row is None:
        return Swept(None, None)
    return _swept(row)


def _swept(row: Row[Any]) -> Swept:
    day = date.fromisoformat(row.swept_day) if row.swept_day else None
    return Swept(day, row.swept_at, row.sweep_ok_at, row.sweep_error)


def last_sweeps(tx: Tx) -> dict[str, Swept]:
    """Per bank its last sweep, in whichever environment; banks never swept are absent."""
    query = select(banks).where(banks.c.swept_at.is_not(None)).order_by(banks.c.swept_at)
    return {row.bank: _swept(row) for row in tx.execute(query)}


def record_sweep(
    tx: Tx, bank: str, environment: str, *, day: date | None, at: datetime, error: str | None = None,
    lease: Lease | None = None,
) -> None:  # fmt: skip
    """Remember a sweep and why it stopped; `day` (when not None) is the new high-water day and never falls back."""
    tx.execute(insert_unless_there(tx, banks).values(bank=bank, environment=environment))
    proof = [held_by(lease)] if lease is not None else []
    result: dict[str, Any] = {"sweep_error": None, "sweep_ok_at": at}
    if error is not None:
        result = {"sweep_error": storable(error, ERROR_LIMIT)}
    tx.execute(update(banks).where(_mine(bank, environment), *proof).values(swept_at=at, **result))
    if day is not None:
        settle_day(tx, bank, environment, day, lease=lease)


def settle_day(tx: Tx, bank: str, environment: str, day: date, *, lease: Lease | None = None) -> None:
    """All days up to this one are read complete. Never falls back."""
    proof = [held_by(lease)] if lease is not None else []
    higher = banks.c.swept_day.is_(None) | (banks.c.swept_day < day.isoformat())
    tx.execute(update(banks).where(_mine(bank, environment), higher, *proof).values(swept_day=day.isoformat()))


def _mine(bank: str, environment: str) -> ColumnElement[bool]:
    return (banks.c.bank == bank) & (banks.c.environment == environment)


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


@dataclass(frozen=True, slots=True)
class BankState:
    """What operators and the login guard said of a bank. `rate_per_s` and `concurrency` override the settings."""

    bank: str
    environment: str
    paused_at: datetime | None
    paused_until: datetime | None
    paused_by: str | None
    pause_reason: str | None
    stopped_at: datetime | None
    stop_reason: str | None
    rate_per_s: float | None
    concurrency: int | None

    def closed(self, now: datetime) -> str | None:
        """Why the bank may not be asked: `credential_stopped`, `paused`; None when it may."""
        if self.stopped_at is not None:
            return "credential_stopped"
        return "paused" if self.paused(now) else None

    def paused(self, now: datetime) -> bool:
        """Whether a person paused it and that still holds."""
        return self.paused_at is not None and (self.paused_until is None or now < self.paused_until)


def states(tx: Tx) -> list[BankState]:
    """Every bank that SQL knows something of, by name."""
    query = select(banks).order_by(banks.c.bank, banks.c.environment)
    return [
        BankState(
            bank=row.bank,
            environment=row.environment,
            paused_at=row.paused_at,
            paused_until=row.paused_until,
            paused_by=row.paused_by,
            pause_reason=row.pause_reason,
            stopped_at=row.stopped_at,
            stop_reason=row.stop_reason,
            rate_per_s=row.rate_per_s,
            concurrency=row.concurrency,
        )
        for row in tx.execute(query)
    ]


def change(tx: Tx, bank: str, environment: str, **values: object) -> None:
    """Set columns of the bank's row, which is made when there is none."""
    tx.execute(insert_unless_there(tx, banks).values(bank=bank, environment=environment))
    tx.execute(update(banks).where(_mine(bank, environment)).values(**values))


def state(tx: Tx, bank: str, environment: str) -> BankState | None:
    """One bank; None when SQL knows nothing of it."""
    return next((one for one in states(tx) if (one.bank, one.environment) == (bank, environment)), None)


def stop_credential(tx: Tx, bank: str, environment: str, reason: str, now: datetime) -> bool:
    """Stop the credential for all workers, with its alert; whether it was not stopped before.

    It stays stopped, whatever becomes of the settings, until `unlock`.
    """
    tx.execute(insert_unless_there(tx, banks).values(bank=bank, environment=environment))
    running = _mine(bank, environment) & banks.c.stopped_at.is_(None)
    if rowcount(tx.execute(update(banks).where(running).values(stopped_at=now, stop_reason=reason))) == 0:
        return False
    begin_state(tx, AlertKind.CREDENTIAL_STOPPED, bank, reason, now)
    return True


def unlock(tx: Tx, bank: str, environment: str, *, now: datetime, who: str, reason: str) -> BankState | None:
    """Let the workers log in again, audited; how it was before, None when the credential was not stopped."""
    before = state(tx, bank, environment)
    if before is None or before.stopped_at is None:
        return None
    stopped = _mine(bank, environment) & banks.c.stopped_at.is_not(None)
    if rowcount(tx.execute(update(banks).where(stopped).values(stopped_at=None, stop_reason=None))) == 0:
        return None
    end_state(tx, AlertKind.CREDENTIAL_STOPPED, bank, now)
    detail = {"stopped_at": before.stopped_at.isoformat(), "stop_reason": before.stop_reason}
    history.record_action(tx, at=now, who=who, action="unlock", what=bank, reason=reason, detail=detail)
    return before
