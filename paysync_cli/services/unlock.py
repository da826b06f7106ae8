"""Letting the workers log in again after a person mended what the bank refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from paysync_cli.store import banks
from paysync_cli.store.database import Database


@dataclass(frozen=True, slots=True)
class UnlockReport:
    """`stopped_at` and `stop_reason` are of the stop that ended; None when there was none."""

    bank: str
    environment: str
    stopped_at: datetime | None
    stop_reason: str | None

    @property
    def was_stopped(self) -> bool:
        return self.stopped_at is not None


def unlock(store: Database, bank: str, environment: str, *, reason: str, who: str, now: datetime) -> UnlockReport:
    """End the stop of a credential, audited; nothing when it is not stopped.

    Nothing else ends a stop: a changed password alone does not, for the bank may have locked the user.
    """
    with store.write() as tx:
        before = banks.unlock(tx, bank, environment, now=now, who=who, reason=reason)
    if before is None:
        return UnlockReport(bank, environment, None, None)
    return UnlockReport(bank, environment, before.stopped_at, before.stop_reason)
