"""The promise between paysync and a bank: what an adapter offers and how it says that something went wrong.

An adapter translates the bank's words into ours and its failures into five errors; it never changes state,
never retries on its own, never reads a clock but the one it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from paysync_cli.banks.tls import Tls
from paysync_cli.payments.qr import Answer, Ask, PaidDay

if TYPE_CHECKING:
    from paysync_cli.banks.pool import HttpClient


PROTOCOL = 1  # grows when an adapter written for the version before could no longer work


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
    """The bank asks us to wait: neither an attempt nor a check. `retry_after_s` is None when it did not say.

    `asked` is False when nothing was sent, because it is not the moment for a login: that tells nothing of the bank.
    """

    outcome = "throttled"

    def __init__(self, message: str, retry_after_s: float | None = None, *, asked: bool = True) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.asked = asked


class Refused(BankError):
    """The credential was refused, now or earlier. Never retried: the bank locks the user after a few failures."""

    outcome = "refused"


STOPPED_WORDS = "credential stopped: "


def already_stopped(why: str) -> Refused:
    """The credential was refused earlier and is stopped: the bank was not asked. `why` is what it said then."""
    return Refused(STOPPED_WORDS + why)


class Unreadable(BankError):
    """An answer came and cannot be trusted: HTML, an error code, an unknown status. No change of state."""

    outcome = "unreadable"


class Unknown(BankError):
    """The bank does not know this QR."""

    outcome = "unknown"


@dataclass(frozen=True)
class BankProfile:
    """One `[banks.<name>]` block: what every bank has, validated, and what is the adapter's own to judge.

    `options` holds the adapter's own keys as text, secrets included; `tables` its sub-tables `[banks.<name>.<table>]`
    as TOML tells them (text, numbers, booleans, lists, tables).
    """

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
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    tls: Tls = field(default_factory=Tls)


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A bank's access token. `on_trial`: it was obtained because the one before was rejected, and nothing that was
    sent with it was accepted yet.
    """

    text: str = field(repr=False)
    refresh_at: datetime
    expires_at: datetime
    on_trial: bool


class Discarded(Enum):
    """What became of a rejected token."""

    GONE = "gone"  # it was the current one and is forgotten
    GONE_ON_TRIAL = "gone_on_trial"  # the same, and it was on trial
    REPLACED = "replaced"  # a newer one is there
    UNKNOWN = "unknown"  # none is there: somebody else was quicker


class TokenVault(Protocol):
    """Where the token of one credential is kept, and who may log in: alone in a process, or shared by many.

    Of all that share a vault one at a time logs in. While the credential is stopped `read`, `begin_login` and
    `discard` raise Refused.
    """

    async def read(self) -> KeptToken | None:
        """The current token, also one whose end is near; None when there is none."""
        ...

    async def begin_login(self) -> KeptToken | None:
        """Take the turn to log in (None), or get the token that another one brought meanwhile.

        The login counts as unanswered from now on, until `keep` says otherwise. Each turn must be ended with `keep`,
        `stop`, `unanswered` or `abandon`. Raises Throttled when it is too early for another login.
        """
        ...

    async def keep(self, text: str, lifetime_s: float, sent_at: datetime) -> KeptToken:
        """End the turn: the login, sent at `sent_at`, brought this token."""
        ...

    async def unanswered(self, failure: Unavailable | Throttled) -> float:
        """End the turn: no readable answer. The seconds until the next login may be tried."""
        ...

    async def abandon(self) -> None:
        """End the turn: nobody knows what became of the login."""
        ...

    async def stop(self, reason: str) -> None:
        """The credential was refused: nobody logs in with it until a person says so. Never raises."""
        ...

    async def accept(self, text: str) -> None:
        """The bank took a call with this token: it is no longer on trial."""
        ...

    async def discard(self, text: str, *, again: bool) -> Discarded:
        """The bank rejected this token: forget it, if it is still the current one.

        `again`: the caller had a token rejected before it in the same call. When the answer is GONE_ON_TRIAL, or GONE
        to `again`, nobody else gets a turn to log in before the caller called `stop`.
        """
        ...


@dataclass(frozen=True)
class BankTools:
    """What an adapter is handed: an HTTP client for `banks.http.exchange`, the clock, the vault of its token.

    Without a vault the token is kept in this process alone.
    """

    client: HttpClient
    now: Callable[[], datetime]
    vault: TokenVault | None = None


@runtime_checkable
class Bank(Protocol):
    """One bank. Built as `Adapter(profile, tools)`: that asks nothing, and raises SettingsError with one Fault for each
    thing that is wrong with the profile.

    The class may declare `protocol` (the version it was written for, PROTOCOL), `books_qr_amount = True`, and a
    static `lists_payments(profile) -> bool` where the profile decides whether the bank has `paid_on`.
    """

    profile: BankProfile

    async def check(self, ask: Ask) -> Answer:
        """Ask about one QR. Raises BankError."""
        ...


@runtime_checkable
class ListsPayments(Protocol):
    """A bank that lists what was paid on a day (the day of payment, in the bank's zone)."""

    profile: BankProfile

    async def paid_on(self, day: date) -> PaidDay:
        """All payments of that bank day, every page. Raises BankError."""
        ...


@runtime_checkable
class Pings(Protocol):
    """A bank with a harmless call that proves it is up."""

    async def ping(self) -> None:
        """Returns when the bank answers. Raises BankError."""
        ...
