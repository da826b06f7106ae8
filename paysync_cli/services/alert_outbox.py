"""From what was raised to what is told: one message for many of a kind, the first at once, the next after a cool-down.

A state is told when it begins and when it is over. One that comes and goes within the cool-down is told once, with how
often it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from paysync_cli.store import alert_messages, alerts, leases
from paysync_cli.store.alert_messages import Event, NewMessage
from paysync_cli.store.alerts import STATES, Alert, AlertKind
from paysync_cli.store.database import Database
from paysync_cli.store.leases import Lease

AT_MOST = 1_000  # alerts in one round
# Only a person ends these, so they do not flutter: each time counts.
NEVER_WAITS = frozenset({AlertKind.CREDENTIAL_STOPPED})


def compose(store: Database, lease: Lease, now: datetime, cooldown: timedelta) -> int:
    """Put what is to be told into the outbox; how many messages. Raises DatabaseUnavailable."""
    with store.read() as tx:
        if not alerts.with_news(tx, 1):
            return 0
    with store.write() as tx:
        if not leases.still_held(tx, lease):
            return 0
        made = 0
        found = sorted(alerts.with_news(tx, AT_MOST), key=lambda one: (one.kind, one.bank, one.id))
        for (kind, bank), group in groupby(found, key=lambda one: (one.kind, one.bank)):
            last_at = alert_messages.last_told_at(tx, kind, bank)
            waits = last_at is not None and now - last_at < cooldown and kind not in NEVER_WAITS
            for new, rows in due(list(group), waits=waits):
                number = alert_messages.add(tx, new, now)
                alerts.told(tx, [one.id for one in rows], number)
                made += 1
    return made


def due(rows: Sequence[Alert], *, waits: bool) -> Iterator[tuple[NewMessage, Sequence[Alert]]]:
    """The messages that are due about the alerts of one kind and bank, each with the alerts it settles.

    `waits`: the cool-down is not over. An end is told at once to those who were told of the beginning.
    """
    if rows[0].kind not in STATES:
        if not waits:
            yield _together(rows, Event.RAISED), rows
        return
    over = [one for one in rows if one.message is not None and not one.standing]
    if over:
        yield _together(over, Event.RECOVERED), over
    fresh = [one for one in rows if one.message is None]
    if fresh and not waits:
        yield _together(fresh, Event.RAISED if fresh[-1].standing else Event.PASSED), fresh


def _together(rows: Sequence[Alert], event: Event) -> NewMessage:
    """One message of all of them."""
    newest = rows[-1]
    since = min(one.first_at for one in rows)
    return NewMessage(newest.kind, newest.bank, event, _count(rows, event), newest.detail, since, newest.recovered_at)


def _count(rows: Sequence[Alert], event: Event) -> int:
    """How many it is about: of a state its own figure when it came once and stood, else how often it came."""
    if rows[-1].kind not in STATES:
        return sum(one.count for one in rows)
    if len(rows) == 1 and event is not Event.PASSED:
        return rows[-1].count
    return len(rows)
