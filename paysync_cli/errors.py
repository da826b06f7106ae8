"""Every error a person may meet, as a tree; each is a sentence, has a stable code and an exit status.

    PaysyncError               1   unexpected
    |- UsageError              2   wrong use
    |  |- SettingsError        2   bad configuration (may carry several faults)
    |  `- InputError           2   bad input lines (may carry several faults)
    |- PartlyDone              3   some items failed
    |- NotFound                4
    |- RefusedError            5   needs confirmation, read-only, or the state forbids it
    |- ConditionNotMet         6
    |- UnavailableError       69   Redis, database or bank
    |  |- RedisUnavailable
    |  |- DatabaseUnavailable
    |  |  `- DatabaseLocked      another session keeps a lock
    |  `- BankUnavailable
    |- TryLater               75   lock held, paused
    `- TimedOut              124

The adapters' own words (Unavailable, Throttled, Refused, Unreadable, Unknown) live in `banks.base`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: `code` is stable and English, `message` and `hint` are for people."""

    code: str
    message: str
    hint: str | None = None


class PaysyncError(Exception):
    """An error that becomes one sentence and an exit status."""

    code = "error"
    exit_status = 1

    def __init__(
        self, message: str, *, hint: str | None = None, code: str | None = None, faults: Sequence[Fault] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code
        self.faults = tuple(faults) or (Fault(self.code, message, hint),)


class UsageError(PaysyncError):
    code = "usage"
    exit_status = 2


class SettingsError(UsageError):
    code = "settings"


class InputError(UsageError):
    code = "invalid_input"


class PartlyDone(PaysyncError):
    code = "partly_done"
    exit_status = 3


class NotFound(PaysyncError):
    code = "not_found"
    exit_status = 4


class RefusedError(PaysyncError):
    code = "refused"
    exit_status = 5


class ConditionNotMet(PaysyncError):
    code = "condition_not_met"
    exit_status = 6


class UnavailableError(PaysyncError):
    code = "unavailable"
    exit_status = 69


class RedisUnavailable(UnavailableError):
    code = "redis_unavailable"


class DatabaseUnavailable(UnavailableError):
    code = "database_unavailable"


class DatabaseLocked(DatabaseUnavailable):
    """The database answers, but another session keeps what this transaction needs."""


class BankUnavailable(UnavailableError):
    code = "bank_unavailable"


class TryLater(PaysyncError):
    code = "try_later"
    exit_status = 75


class TimedOut(PaysyncError):
    code = "timed_out"
    exit_status = 124
