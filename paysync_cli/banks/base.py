"""The promise between paysync and a bank: what an adapter offers and how it says that something went wrong.

An adapter translates the bank's words into ours and its failures into five errors; it never changes state,
never retries on its own, never reads a clock but the one it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from paysync_cli.payments.qr import Answer, Ask, PaidDay

if TYPE_CHECKING:
    import httpx


class BankError(Exception):
    """Why a bank could not be asked. The message is for the operator: status, type, length, never the body."""

    outcome = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unavailable(BankError):
    """No readable answer: time-out, connection error, 5xx. Ask again later."""

    outcome = "unavailable"


class Throttled(BankError):
    """The bank asks us to wait: neither an attempt nor a check. `retry_after_s` is None when it did not say."""

    outcome = "throttled"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Refused(BankError):
    """The credential was refused. Never retried: the bank locks the user after a few failures."""

    outcome = "refused"


class Unreadable(BankError):
    """An answer came and cannot be trusted: HTML, an error code, an unknown status. No change of state."""

    outcome = "unreadable"


class Unknown(BankError):
    """The bank does not know this QR."""

    outcome = "unknown"


@dataclass(frozen=True)
class BankProfile:
    """One `[banks.<name>]` block, validated. `options` holds the adapter's own keys (secrets included)."""

    name: str
    adapter: str
    base_url: str
    environment: str
    timezone: ZoneInfo
    currency: str
    account: str
    due_margin_s: float
    rate_per_s: float
    concurrency: int
    options: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class BankTools:
    """What an adapter is handed: a pooled HTTP client and the clock."""

    client: httpx.AsyncClient
    now: Callable[[], datetime]


@runtime_checkable
class Bank(Protocol):
    """One bank. Built as `Adapter(profile, tools)`; the class may declare `books_qr_amount = True`."""

    profile: BankProfile

    async def check(self, ask: Ask) -> Answer:
        """Ask about one QR. Raises BankError."""
        ...


@runtime_checkable
class ListsPayments(Protocol):
    """A bank that lists what was paid on a day (the day of payment, in the bank's zone)."""

    async def paid_on(self, day: date) -> PaidDay:
        """All payments of that bank day, every page. Raises BankError."""
        ...


@runtime_checkable
class Pings(Protocol):
    """A bank with a harmless call that proves it is up."""

    async def ping(self) -> None:
        """Returns when the bank answers. Raises BankError."""
        ...
