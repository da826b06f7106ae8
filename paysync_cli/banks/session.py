"""A bank's access token, obtained so that a login can never become a loop.

Banks lock the user after a few failed logins. Therefore: one login at a time, a refused one is never repeated, one
that got no answer is repeated at most once a minute (the wait doubles up to 15 minutes), and a rejected token leads
to one new login, not two. The vault says where this holds: in one process, or in a whole installation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from paysync_cli.banks.base import (
    Discarded,
    KeptToken,
    Refused,
    Throttled,
    TokenVault,
    Unavailable,
    already_stopped,
)

FIRST_WAIT_S = 60.0
MAX_WAIT_S = 900.0
MAX_REFRESH_MARGIN_S = 120.0
UNSETTLED_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Token:
    """What a login brought: the token and how long it is good for."""

    text: str = field(repr=False)
    lifetime_s: float


class Session:
    """The token of one credential. `login` asks the bank once: it returns a Token or raises BankError."""

    def __init__(
        self, login: Callable[[], Awaitable[Token]], now: Callable[[], datetime], vault: TokenVault | None = None
    ) -> None:
        self._login = login
        self._now = now
        self._vault = vault or MemoryVault(now)
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """A token that should be valid; logs in when there is none or its end is near.

        Raises Refused (the credential was refused, now or earlier), Unavailable (the login got no readable answer),
        Throttled (too early for another login).
        """
        if (fresh := await self._fresh()) is not None:
            return fresh
        async with self._lock:
            if (fresh := await self._fresh()) is not None:
                return fresh
            return await self._renew()

    async def accepted(self, token: str) -> None:
        """The bank answered a call made with this token with anything but 401."""
        await self._vault.accept(token)

    async def rejected(self, token: str, *, again: bool) -> None:
        """The bank answered 401 to this token; `again` when it is the second one of the same call.

        Forgets the token if it is still the current one. Raises Refused when a token fresh from a login that
        followed a rejection is rejected too: another login would not mend it.
        """
        found = await self._vault.discard(token, again=again)
        if found is Discarded.GONE_ON_TRIAL or (again and found is Discarded.GONE):
            await self._refuse("HTTP 401 to a fresh token")
        if again:
            # Whoever had this token discarded it and decides what follows; this call had its one new token.
            raise Throttled("HTTP 401 to two tokens, and others are at it already", UNSETTLED_WAIT_S)

    async def _fresh(self) -> str | None:
        held = await self._vault.read()
        return held.text if held is not None and self._now() < held.refresh_at else None

    async def _renew(self) -> str:
        try:
            return await self._log_in()
        except (Unavailable, Throttled):
            # The early refresh failed; until the old token ends there is no hurry.
            held = await self._vault.read()
            if held is not None and self._now() < held.expires_at:
                return held.text
            raise

    async def _log_in(self) -> str:
        brought = await self._vault.begin_login()
        if brought is not None:
            return brought.text
        sent_at = self._now()
        try:
            token = await self._login()
        except Refused as refusal:
            await self._vault.stop(refusal.message)
            raise
        except Throttled as throttled:
            raise Throttled(throttled.message, await self._vault.unanswered(throttled)) from None
        except Unavailable as unavailable:
            await self._vault.unanswered(unavailable)
            raise
        except BaseException:
            await self._vault.abandon()
            raise
        return (await self._vault.keep(token.text, token.lifetime_s, sent_at)).text

    async def _refuse(self, reason: str) -> None:
        await self._vault.stop(reason)
        raise Refused(f"credential refused: {reason}")


class FixedCredential:
    """A credential without a login (API key, password, signing secret): its first refusal stops it for everybody."""

    def __init__(self, now: Callable[[], datetime], vault: TokenVault | None = None) -> None:
        self._vault = vault or MemoryVault(now)

    async def heed_stop(self) -> None:
        """To be called before each request. Raises Refused while the credential is stopped."""
        await self._vault.read()

    async def refused(self, why: str) -> Refused:
        """The bank refused it: stop it, and get the error to raise."""
        await self._vault.stop(why)
        return Refused(f"credential refused: {why}")


class MemoryVault:
    """A vault of one process: for commands without Redis, adapters of their own, and tests."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._held: KeptToken | None = None
        self._stopped: str | None = None
        self._failures = 0
        self._next_login_at: datetime | None = None
        self._after_rejection = False

    async def read(self) -> KeptToken | None:
        self._heed_stop()
        return self._held

    async def begin_login(self) -> KeptToken | None:
        self._heed_stop()
        now = self._now()
        if self._next_login_at is not None and now < self._next_login_at:
            raise too_early((self._next_login_at - now).total_seconds())
        # Counted before it is sent: a login that is cancelled half way may have reached the bank all the same.
        self._failures += 1
        self._next_login_at = now + timedelta(seconds=login_wait_s(self._failures))
        return None

    async def keep(self, text: str, lifetime_s: float, sent_at: datetime) -> KeptToken:
        self._failures, self._next_login_at = 0, None
        self._held = KeptToken(
            text,
            refresh_at=sent_at + timedelta(seconds=lifetime_s - refresh_margin_s(lifetime_s)),
            expires_at=sent_at + timedelta(seconds=lifetime_s),
            on_trial=self._after_rejection,
        )
        self._after_rejection = False
        return self._held

    async def unanswered(self, failure: Unavailable | Throttled) -> float:
        wait_s = login_wait_s(self._failures)
        if isinstance(failure, Throttled):
            wait_s = max(failure.retry_after_s or 0.0, wait_s)
            self._next_login_at = self._now() + timedelta(seconds=wait_s)
        return wait_s

    async def abandon(self) -> None:
        """The wait that `begin_login` set stays."""

    async def stop(self, reason: str) -> None:
        self._stopped, self._held = reason, None

    async def accept(self, text: str) -> None:
        if self._held is not None and self._held.text == text:
            self._held = replace(self._held, on_trial=False)

    async def discard(self, text: str, *, again: bool) -> Discarded:  # noqa: ARG002 - one process needs no lease
        self._heed_stop()
        held = self._held
        if held is None or held.text != text:
            return Discarded.UNKNOWN if held is None else Discarded.REPLACED
        self._held, self._after_rejection = None, True
        return Discarded.GONE_ON_TRIAL if held.on_trial else Discarded.GONE

    def _heed_stop(self) -> None:
        if self._stopped is not None:
            raise already_stopped(self._stopped)


def login_wait_s(failures: int) -> float:
    """How long nobody logs in after so many logins without an answer."""
    return min(FIRST_WAIT_S * 2.0 ** min(failures - 1, 10), MAX_WAIT_S)


def refresh_margin_s(lifetime_s: float) -> float:
    """How long before its end a token is renewed."""
    return min(MAX_REFRESH_MARGIN_S, lifetime_s / 5)


def too_early(wait_s: float) -> Throttled:
    """Why nobody may log in yet."""
    return Throttled(f"the last login got no answer; the next one in {wait_s:.0f} s", wait_s, asked=False)
