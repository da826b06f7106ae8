"""The outbox: messages about alerts, and to which addresses each was delivered.

Only the leader writes and claims messages, with the proof of its lease. A claim keeps a message from being sent twice
by a leader that was asleep; it ends by itself, so that nothing is lost with whoever made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, and_, delete, exists, func, or_, select, update

from paysync_cli.store.alerts import AlertKind
from paysync_cli.store.database import Tx, insert_into, rowcount, slices, storable
from paysync_cli.store.tables import alert_channels, alert_deliveries, alert_messages, alerts

ERROR_LIMIT = 300

# A newer version beside this one may write kinds that nobody here has words for: it sends them itself.
_OPEN = and_(alert_messages.c.delivered_at.is_(None), alert_messages.c.kind.in_([kind.value for kind in AlertKind]))


class Event(StrEnum):
    """What a message tells: that it is so (for events: how often), that it is over, or that it was so for a while."""

    RAISED = "raised"
    RECOVERED = "recovered"
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class NewMessage:
    """`until` is when it was over, None while it lasts and for events."""

    kind: AlertKind
    bank: str
    event: Event
    count: int
    detail: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Message(NewMessage):
    """One that is in the outbox."""

    id: int = 0


@dataclass(frozen=True, slots=True)
class Failing:
    """An address that failed lately, by its key."""

    channel: str
    failures: int
    next_try_at: datetime
    error: str


def add(tx: Tx, new: NewMessage, now: datetime) -> int:
    """Put it into the outbox; its number."""
    statement = alert_messages.insert().values(
        kind=new.kind.value, bank=new.bank, event=new.event.value, count=new.count, detail=new.detail,
        since_at=new.since, until_at=new.until, at=now,
    )  # fmt: skip
    number: int = tx.execute(statement.returning(alert_messages.c.id)).scalar_one()
    return number


def last_told_at(tx: Tx, kind: AlertKind, bank: str) -> datetime | None:
    """When this was last told to be so."""
    mine = (alert_messages.c.kind == kind.value) & (alert_messages.c.bank == bank)
    at = func.max(alert_messages.c.at, type_=alert_messages.c.at.type)
    found: datetime | None = tx.execute(
        select(at).where(mine, alert_messages.c.event != Event.RECOVERED.value)
    ).scalar()
    return found


def claim(tx: Tx, channel: str, now: datetime, until: datetime, limit: int) -> list[Message]:
    """The next messages for this address, the oldest first, which nobody else sends there before `until`.

    Nothing while the address waits after a failure.
    """
    waits = select(alert_channels.c.channel).where(
        alert_channels.c.channel == channel, alert_channels.c.next_try_at > now
    )
    if tx.execute(waits).first() is not None:
        return []
    taken = and_(
        alert_deliveries.c.message == alert_messages.c.id,
        alert_deliveries.c.channel == channel,
        or_(alert_deliveries.c.delivered_at.is_not(None), alert_deliveries.c.claimed_until > now),
    )
    query = select(alert_messages).where(_OPEN, ~exists().where(taken))
    found = [_message(row) for row in tx.execute(query.order_by(alert_messages.c.id).limit(limit))]
    for one in found:
        _upsert(tx, alert_deliveries, ["message", "channel"], message=one.id, channel=channel, claimed_until=until)
    return found


def anything_for(tx: Tx, channels: Sequence[str], now: datetime) -> list[str]:
    """The addresses for which `claim` would find something, so far as one look tells."""
    waiting = set(tx.execute(select(alert_channels.c.channel).where(alert_channels.c.next_try_at > now)).scalars())
    wanted = [channel for channel in channels if channel not in waiting]
    total = tx.execute(select(func.count()).where(_OPEN)).scalar_one()
    if not total or not wanted:
        return []
    over = or_(alert_deliveries.c.delivered_at.is_not(None), alert_deliveries.c.claimed_until > now)
    query = (
        select(alert_deliveries.c.channel, func.count())
        .join(alert_messages, alert_messages.c.id == alert_deliveries.c.message)
        .where(_OPEN, over)
        .group_by(alert_deliveries.c.channel)
    )
    done: dict[str, int] = {row[0]: row[1] for row in tx.execute(query)}
    return [channel for channel in wanted if done.get(channel, 0) < total]


def delivered(tx: Tx, message: int, channel: str, channels: Iterable[str], now: datetime) -> None:
    """This address has it. Once all of `channels` have it, the message is done with."""
    mine = (alert_deliveries.c.message == message) & (alert_deliveries.c.channel == channel)
    tx.execute(update(alert_deliveries).where(mine).values(delivered_at=now))
    tx.execute(delete(alert_channels).where(alert_channels.c.channel == channel))
    settle(tx, [message], channels, now)


def settle(tx: Tx, messages: Sequence[int], channels: Iterable[str], now: datetime) -> None:
    """Mark those as delivered that every one of `channels` has."""
    wanted = set(channels)
    for message in messages:
        query = select(alert_deliveries.c.channel).where(
            alert_deliveries.c.message == message, alert_deliveries.c.delivered_at.is_not(None)
        )
        if wanted <= set(tx.execute(query).scalars()):
            open_ = (alert_messages.c.id == message) & alert_messages.c.delivered_at.is_(None)
            tx.execute(update(alert_messages).where(open_).values(delivered_at=now))
            tx.execute(update(alerts).where(alerts.c.message == message).values(delivered_at=now))


def undelivered_ids(tx: Tx, limit: int) -> list[int]:
    """The messages that some address lacks, the oldest first."""
    query = select(alert_messages.c.id).where(alert_messages.c.delivered_at.is_(None)).order_by(alert_messages.c.id)
    return list(tx.execute(query.limit(limit)).scalars())


def give_back(tx: Tx, messages: Sequence[int], channel: str, now: datetime) -> None:
    """What was claimed and surely not sent may be claimed at once."""
    mine = (alert_deliveries.c.channel == channel) & alert_deliveries.c.message.in_(messages)
    tx.execute(
        update(alert_deliveries).where(mine, alert_deliveries.c.delivered_at.is_(None)).values(claimed_until=now)
    )


def failed(tx: Tx, channel: str, error: str, now: datetime, wait: Sequence[timedelta]) -> int:
    """The address failed: it waits `wait[n]` after the n-th failure in a row. Returns how many those are."""
    kept = tx.execute(select(alert_channels.c.failures).where(alert_channels.c.channel == channel)).scalar() or 0
    failures = kept + 1
    at = now + wait[min(kept, len(wait) - 1)]
    text = storable(error, ERROR_LIMIT)
    _upsert(tx, alert_channels, ["channel"], channel=channel, failures=failures, next_try_at=at, error=text)
    return failures


def failing(tx: Tx) -> list[Failing]:
    """Addresses that failed lately."""
    query = select(alert_channels).order_by(alert_channels.c.channel)
    return [Failing(row.channel, row.failures, row.next_try_at, row.error) for row in tx.execute(query)]


def forgettable(tx: Tx, before: datetime) -> int:
    """How many alerts are past their time."""
    return int(tx.execute(select(func.count()).select_from(alerts).where(*_over(before))).scalar_one())


def forget(tx: Tx, before: datetime, limit: int) -> int:
    """Remove alerts that ended before this moment, at most `limit`, and messages as old; how many alerts went."""
    old = select(alert_messages.c.id).where(alert_messages.c.at < before).order_by(alert_messages.c.id).limit(limit)
    messages = list(tx.execute(old).scalars())
    for some in slices(messages):
        tx.execute(delete(alert_deliveries).where(alert_deliveries.c.message.in_(some)))
        tx.execute(delete(alert_messages).where(alert_messages.c.id.in_(some)))
    gone = select(alerts.c.id).where(*_over(before)).order_by(alerts.c.last_at).limit(limit)
    return rowcount(tx.execute(delete(alerts).where(alerts.c.id.in_(gone))))


def _over(before: datetime) -> tuple[Any, ...]:
    """A state counts from its end; one that stands stays. Nothing that came so long ago still helps anybody."""
    return ~alerts.c.standing, func.coalesce(alerts.c.recovered_at, alerts.c.last_at) < before


def _message(row: Row[Any]) -> Message:
    return Message(
        AlertKind(row.kind), row.bank, Event(row.event), row._mapping["count"], row.detail, row.since_at, row.until_at,
        row.id,
    )  # fmt: skip


def _upsert(tx: Tx, table: Any, key: list[str], **values: object) -> None:
    changed = {name: value for name, value in values.items() if name not in key}
    tx.execute(insert_into(tx, table).values(**values).on_conflict_do_update(index_elements=key, set_=changed))
