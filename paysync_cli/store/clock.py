"""The clock that decides: the database's on PostgreSQL, the machine's on SQLite; `now` is handed down from here.

A server's clock is read now and then, and counted on in between by one that nobody sets: a host whose own clock is
wrong, or is put right meanwhile, decides nothing earlier or later than the others. The demo's database carries a
compressed clock, in which a second lasts only a fraction of one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from paysync_cli.store.database import Database, Tx
from paysync_cli.store.history import read_meta, write_meta
from paysync_cli.store.server_time import ServerTime

_KEY = "clock"


@dataclass(frozen=True, slots=True)
class Clock:
    """Maps the machine's time to the clock that decides: `shown + (machine - real) * speed`.

    With `server` that one's time is shown instead.
    """

    real: datetime
    shown: datetime
    speed: float = 1.0
    server: ServerTime | None = None

    def now(self) -> datetime:
        if self.server is not None:
            return self.server.now()
        return self.at(datetime.now(UTC))

    def at(self, machine: datetime) -> datetime:
        """What this clock shows when the machine's shows `machine`."""
        return self.shown + (machine - self.real) * self.speed

    def real_s(self, span: timedelta) -> float:
        """How many real seconds a span of this clock lasts."""
        return span.total_seconds() / self.speed

    def span(self, real_s: float) -> timedelta:
        """The span of this clock that lasts `real_s` real seconds."""
        return timedelta(seconds=real_s * self.speed)


def read(database: Database) -> Clock:
    """The clock of this database."""
    with database.read() as tx:
        kept = read_meta(tx, _KEY)
        server = ServerTime(tx) if kept is None and not database.is_sqlite else None
    if kept is not None:
        fields = json.loads(kept)
        return Clock(datetime.fromisoformat(fields["real"]), datetime.fromisoformat(fields["shown"]), fields["speed"])
    machine = datetime.now(UTC)
    database.server_time = server
    return Clock(machine, machine if server is None else server.now(), server=server)


def compress(tx: Tx, clock: Clock) -> None:
    """Give this database a clock of its own. Only the demo does."""
    fields = {"real": clock.real.isoformat(), "shown": clock.shown.isoformat(), "speed": clock.speed}
    write_meta(tx, _KEY, json.dumps(fields))
