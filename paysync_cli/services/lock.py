"""One at a time, over all hosts: a lease in SQL for work in steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from uuid import uuid4

from paysync_cli.errors import DatabaseUnavailable, TryLater
from paysync_cli.store import leases
from paysync_cli.store.database import Database, Tx
from paysync_cli.store.leases import Lease

LEASE = timedelta(minutes=2)  # each step renews it; a killed holder blocks the next run no longer than this
RENEWED_AFTER = LEASE / 8


class Lock:
    """The lease called `name`. Each step renews it in its own transaction: whoever slept past it stops before it
    writes. `taken` is the error for whoever comes meanwhile, told the holder's name.

    Two runs of one person are two holders, so the owner gets a part that no other run has.
    """

    def __init__(
        self,
        store: Database,
        name: str,
        owner: str,
        now: datetime,
        taken: Callable[[str], TryLater],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store, self.name = store, name
        self._taken = taken
        self._began, self._timer, self._started = now, timer, timer()
        self._owner = f"{owner[:100]} {uuid4().hex[:12]}"
        self._renewed_at = now
        self.lease: Lease | None = None
        with self.step():
            pass

    def now(self) -> datetime:
        """The moment of the start plus what has passed since."""
        return self._began + timedelta(seconds=self._timer() - self._started)

    @contextmanager
    def step(self) -> Iterator[Tx]:
        """A writing transaction of the holder. Raises TryLater when somebody else holds the lock."""
        now = self.now()
        with self.store.write() as tx:
            self.lease = leases.take(tx, self.name, self._owner, now, now + LEASE)
            if self.lease is None:
                holder = leases.current(tx, self.name)
                raise self._taken(holder.owner if holder is not None else "?")
            yield tx
        self._renewed_at = now

    def keep(self) -> None:
        """Renew it, now and then: for many small steps that write elsewhere. Raises TryLater when it was lost."""
        if self.now() - self._renewed_at >= RENEWED_AFTER:
            with self.step():
                pass

    def open(self) -> None:
        """Let the next one in. Where the database does not answer, the lease runs out by itself."""
        if self.lease is not None:
            with suppress(DatabaseUnavailable), self.store.write() as tx:
                leases.give_up(tx, self.lease, self._began)
