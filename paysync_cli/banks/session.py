"""A bank's access token, obtained so that a login can never become a loop.

Banks lock the user after a few failed logins. Therefore: one login at a time, a refused one is never repeated, one
that got no answer is repeated at most once a minute (the wait doubles up to 15 minutes), and a rejected token leads
to one new login, not two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from paysync_cli.banks.base import Refused, Throttled, Unavailable

FIRST_WAIT_S = 60.0
MAX_WAIT_S = 900.0
MAX_REFRESH_MARGIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Token:
    """What a login brought: the token and how long it is good for."""

    text: str = field(repr=False)
    lifetime_s: float


@dataclass(slots=True)
class _Held:
    text: str = field(repr=False)
    refresh_at: datetime
    expires_at: datetime
    on_trial: bool  # obtained because the one before was rejected, and not yet accepted by any answer


class Session:
    """The token of one credential. `login` asks the bank once: it returns a Token or raises BankError."""

    def __init__(self, login: Callable[[], Awaitable[Token]], now: Callable[[], datetime]) -> None:
        self._login = login
        self._now = now
        self._lock = asyncio.Lock()
        self._held: _Held | None = None
        self._refused: str | None = None
        self._failures = 0
        self._next_login_at: datetime | None = None
        self._after_rejection = False

    async def token(self) -> str:
        """A token that should be valid; logs in when there is none or its end is near.

        Raises Refused (the credential was refused, now or earlier), Unavailable (the login got no readable answer),
        Throttled (too early for another login).
        """
        self._stop_if_refused()
        if (fresh := self._fresh()) is not None:
            return fresh
        async with self._lock:
            self._stop_if_refused()
            if (fresh := self._fresh()) is not None:
                return fresh
            return await self._renew()

    def accepted(self, token: str) -> None:
        """The bank answered a call made with this token with anything but 401."""
        if self._held is not None and self._held.text == token:
            self._held.on_trial = False

    def rejected(self, token: str, *, again: bool) -> None:
        """The bank answered 401 to this token; `again` when it is the second one of the same call.

        Forgets the token if it is still the current one. Raises Refused when a token fresh from a login that
        followed a rejection is rejected too: another login would not mend it.
        """
        self._stop_if_refused()
        current = self._held is not None and self._held.text == token
        if again or (current and self._held is not None and self._held.on_trial):
            self._held = None
            self._refused = "HTTP 401 to a fresh token"
            self._stop_if_refused()
        if current:
            self._held = None
            self._after_rejection = True

    def _stop_if_refused(self) -> None:
        if self._refused is not None:
            raise Refused(f"credential refused: {self._refused}")

    def _fresh(self) -> str | None:
        held = self._held
        return held.text if held is not None and self._now() < held.refresh_at else None

    async def _renew(self) -> str:
        try:
            return await self._log_in()
        except (Unavailable, Throttled):
            # The early refresh failed; until the old token ends there is no hurry.
            if self._held is not None and self._now() < self._held.expires_at:
                return self._held.text
            raise

    async def _log_in(self) -> str:
        started_at = self._now()
        self._wait_for_next_login(started_at)
        # Counted before it is sent: a login that is cancelled half way may have reached the bank all the same.
        self._failures += 1
        self._next_login_at = started_at + timedelta(seconds=self._wait_s())
        try:
            token = await self._login()
        except Refused as refusal:
            self._refused, self._held = refusal.message, None
            raise
        except Throttled as throttled:
            wait_s = max(throttled.retry_after_s or 0.0, self._wait_s())
            self._next_login_at = started_at + timedelta(seconds=wait_s)
            raise Throttled(throttled.message, wait_s) from None
        self._failures, self._next_login_at = 0, None
        self._hold(token, started_at)
        return token.text

    def _wait_for_next_login(self, now: datetime) -> None:
        if self._next_login_at is None:
            return
        remaining_s = (self._next_login_at - now).total_seconds()
        if remaining_s > 0:
            raise Throttled(f"the last login got no answer; the next one in {remaining_s:.0f} s", remaining_s)

    def _wait_s(self) -> float:
        return min(FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 10), MAX_WAIT_S)

    def _hold(self, token: Token, obtained_at: datetime) -> None:
        margin_s = min(MAX_REFRESH_MARGIN_S, token.lifetime_s / 5)
        self._held = _Held(
            token.text,
            refresh_at=obtained_at + timedelta(seconds=token.lifetime_s - margin_s),
            expires_at=obtained_at + timedelta(seconds=token.lifetime_s),
            on_trial=self._after_rejection,
        )
        self._after_rejection = False
