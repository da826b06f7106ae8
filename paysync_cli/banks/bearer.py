"""Calls that carry a token from a login, as most banks want them: how to log in is the adapter's, when is not."""

from __future__ import annotations

import base64
import binascii
import json as json_module
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from paysync_cli.banks.base import BankTools, Refused, Unavailable, Unreadable
from paysync_cli.banks.http import MAX_BODY, Reply, exchange
from paysync_cli.banks.session import Session, Token

LONGEST_LIFETIME_S = 86400.0

_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")


@dataclass(frozen=True, slots=True)
class Called:
    """A reply that is no 401, when it was asked for, and the token it was asked with."""

    reply: Reply
    sent_at: datetime
    token: str = field(repr=False)


class BearerCalls:
    """The calls of one credential. `log_in` asks for a token once; it returns it or raises BankError."""

    def __init__(self, tools: BankTools, log_in: Callable[[], Awaitable[Token]]) -> None:
        self._tools = tools
        self._session = Session(log_in, tools.now, tools.vault)

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        max_body: int = MAX_BODY,
    ) -> Called:
        """Send a request with the token; at most one new login, and one more try, for a 401. Raises BankError."""
        for again in (False, True):
            token = await self._session.token()
            sent_at = self._tools.now()
            reply = await exchange(
                self._tools.client,
                method,
                url,
                now=self._tools.now,
                headers={**(headers or {}), "authorization": f"Bearer {token}"},
                json=json,
                max_body=max_body,
            )
            if reply.status != 401:
                await self._session.accepted(token)
                break
            await self._session.rejected(token, again=again)
        return Called(reply, sent_at, token)


async def login_answer(asking: Awaitable[Reply]) -> tuple[Reply, dict[str, object]]:
    """The reply to a login and its JSON object, empty when it is something else.

    Raises Refused for 401 and 403, Unavailable for what nobody can read: HTML or a redirect says nothing about the
    credential, a gateway spoke and not the bank.
    """
    try:
        reply = await asking
        if reply.status in (401, 403):
            raise Refused(f"{reply.describe()}: login refused")
        answer = reply.json()
    except Unreadable as unreadable:
        raise Unavailable(unreadable.message) from None
    return reply, answer if isinstance(answer, dict) else {}


def basic_pair(user: str, password: str) -> str:
    """Both as basic authentication sends them: as secret as they are, and to be hidden where a bank echoes it."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def token_text(value: object) -> str | None:
    """A token that can be sent in a header; None for everything else."""
    return value if isinstance(value, str) and _TOKEN.fullmatch(value) else None


def jwt_lifetime_s(token: str, sent_at: datetime, default_s: float) -> float:
    """How long a JWT is good for, counted from `sent_at`; `default_s` when it does not say or says nonsense.

    With both `iat` and `exp` their difference is an upper bound, so that a wrong clock here cannot prolong it.
    """
    claims = _claims(token)
    expires, issued = _epoch(claims.get("exp")), _epoch(claims.get("iat"))
    if expires is None:
        return default_s
    spans = [expires - sent_at.timestamp()]
    if issued is not None:
        spans.append(expires - issued)
    return min((s for s in spans if 0 < s <= LONGEST_LIFETIME_S), default=default_s)


def _epoch(value: object) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**11
    return float(value) if usable else None  # type: ignore[arg-type]


def _claims(token: str) -> dict[str, object]:
    """The middle part of a JWT, unverified: it only tells when to log in again."""
    try:
        part = token.split(".")[1]
        claims = json_module.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, binascii.Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
