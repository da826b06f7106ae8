"""Leases in SQL: who leads. A holder that was asleep past its lease changes nothing, because each of its statements
carries the proof."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, case, exists, select, update

from paysync_cli.store.database import Tx, insert_unless_there, inserted
from paysync_cli.store.tables import leases

LEADER = "leader"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease held: `fence` rises with every new holder."""

    name: str
    owner: str
    fence: int
    until: datetime


def take(tx: Tx, name: str, owner: str, now: datetime, until: datetime) -> Lease | None:
    """Take or renew the lease; None while another owner holds it.

    One that ends later than any lease taken about now was given by a clock that has been put back since: it is over.
    """
    over = (leases.c.until <= now) | (leases.c.until > until + (until - now))
    statement = (
        update(leases)
        .where(leases.c.name == name, (leases.c.owner == owner) | over)
        .values(owner=owner, until=until, fence=leases.c.fence + case((leases.c.owner == owner, 0), else_=1))
        .returning(leases.c.fence)
    )
    fence = tx.execute(statement).scalar()
    if fence is None and current(tx, name) is None:
        created = insert_unless_there(tx, leases).values(name=name, owner=owner, until=until, fence=1)
        fence = 1 if inserted(tx, created) else None
    return None if fence is None else Lease(name, owner, fence, until)


def give_up(tx: Tx, lease: Lease, now: datetime) -> None:
    """Let the next one lead at once."""
    tx.execute(update(leases).where(*_same(lease)).values(until=now))


def current(tx: Tx, name: str) -> Lease | None:
    """Whoever has it now or had it last."""
    row = tx.execute(select(leases).where(leases.c.name == name)).first()
    return None if row is None else Lease(row.name, row.owner, row.fence, row.until)


def holder(tx: Tx, name: str, now: datetime) -> str | None:
    """Who has it now."""
    lease = current(tx, name)
    return lease.owner if lease is not None and lease.until > now else None


def still_held(tx: Tx, lease: Lease) -> bool:
    """Whether nobody took it over; nobody does before this transaction ends."""
    return tx.execute(select(leases.c.fence).where(*_same(lease)).with_for_update()).first() is not None


def held_by(lease: Lease) -> ColumnElement[bool]:
    """The proof that a statement of the holder carries."""
    return exists().where(*_same(lease))


def _same(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    """The row, as long as nobody took the lease over."""
    return (leases.c.name == lease.name, leases.c.owner == lease.owner, leases.c.fence == lease.fence)
