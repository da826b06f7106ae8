"""PostgreSQL's clock as this process knows it: read now and then, counted on in between by a clock that nobody sets."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

READ_EVERY_S = 60.0
TOLERANCE_S = 0.1  # closer than this a reading tells nothing new: it took a while itself


class ServerTime:
    """The server's time. Two clocks drift apart over weeks, and after a fail-over it is another server's."""

    def __init__(self, tx: Connection) -> None:
        shown, at, _took_s = _look(tx)
        self._base, self._read_at = (shown, at), at

    def now(self) -> datetime:
        return self._since(unset_s())

    def is_old(self) -> bool:
        """Whether it is time to read it again."""
        return unset_s() - self._read_at >= READ_EVERY_S

    def read(self, tx: Connection) -> None:
        """Set it right by the server of this transaction, if it is off."""
        shown, at, took_s = _look(tx)
        self._read_at = at
        if abs((shown - self._since(at)).total_seconds()) > TOLERANCE_S + took_s:
            self._base = (shown, at)

    def _since(self, moment_s: float) -> datetime:
        shown, at = self._base
        return shown + timedelta(seconds=moment_s - at)


def _look(tx: Connection) -> tuple[datetime, float, float]:
    """What the server shows, when that was on our own clock, and how long the question took."""
    before = unset_s()
    shown: datetime = tx.execute(select(func.clock_timestamp())).scalar_one()
    after = unset_s()
    return shown, after, after - before


def unset_s() -> float:
    """Seconds on a clock that is never set and does not stand still while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
