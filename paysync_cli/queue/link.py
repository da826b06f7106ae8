"""The line to Redis: every form of its address, and its failures in our words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.credentials import CredentialProvider

from paysync_cli.errors import RedisUnavailable
from paysync_cli.language import _

CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Link:
    """How to reach Redis. `revive` (embedded server only) starts it again; its password may be new then.

    `where` is the address for people, without the password.
    """

    url: str
    where: str
    password: Callable[[], str] | None = None
    revive: Callable[[], None] | None = None

    def client(self, **options: Any) -> redis.Redis:
        """A blocking client; nothing is sent before its first command."""
        wanted = self._options(options)
        if sentinel := _parse_sentinel(self.url):
            from redis.sentinel import Sentinel

            group: Any = Sentinel(sentinel.hosts, **sentinel.login, **wanted)  # type: ignore[no-untyped-call]
            found: redis.Redis = group.master_for(sentinel.service, redis_class=redis.Redis, db=sentinel.db)
            return found
        return redis.Redis.from_url(self.url, **wanted)

    def async_client(self, **options: Any) -> redis.asyncio.Redis:
        """The same for an event loop."""
        wanted = self._options(options)
        if sentinel := _parse_sentinel(self.url):
            from redis.asyncio.sentinel import Sentinel

            group: Any = Sentinel(sentinel.hosts, **sentinel.login, **wanted)  # type: ignore[no-untyped-call]
            found: redis.asyncio.Redis = group.master_for(
                sentinel.service, redis_class=redis.asyncio.Redis, db=sentinel.db
            )
            return found
        return redis.asyncio.Redis.from_url(self.url, **wanted)

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_timeout": REPLY_TIMEOUT_S,
            **options,
        }
        if self.password is not None:
            merged["credential_provider"] = _FreshPassword(self.password)
        return merged


def unavailable(where: str, error: Exception) -> RedisUnavailable:
    """A Redis failure as one sentence: what is wrong, and whether it answers at all."""
    cause = " ".join(str(error).split()) or type(error).__name__
    sentence = _("Redis at {where} is not available: {cause}.")
    hint = _("Check that Redis runs and that REDIS_URL is right.")
    match error:
        case redis.exceptions.NoPermissionError():
            sentence = _("Redis at {where} answers, but its user may not do what paysync needs: {cause}.")
            hint = _("Its ACL must allow the keys and channels rq:* and paysync:*.")
        case redis.AuthenticationError() | redis.exceptions.AuthorizationError():
            sentence = _("Redis at {where} answers, but refuses our login: {cause}.")
            hint = _("The password or user in REDIS_URL is not accepted.")
        case redis.ReadOnlyError():
            sentence = _("Redis at {where} answers, but takes no writes: {cause}.")
            hint = _("This Redis is a read-only replica; point REDIS_URL at the primary.")
        case redis.exceptions.OutOfMemoryError():
            sentence = _("Redis at {where} answers, but is full: {cause}.")
            hint = _("Redis is full; give it memory or run: paysync purge --all")
        case redis.InvalidResponse():
            sentence = _("What answers at {where} is not a Redis: {cause}.")
            hint = _("Check host and port in REDIS_URL.")
    return RedisUnavailable(sentence.format(where=where, cause=cause.rstrip(".")[:300]), hint=hint)


class _FreshPassword(CredentialProvider):
    """The embedded server gets a new password with each start: ask for it at each connection."""

    def __init__(self, password: Callable[[], str]) -> None:
        self._password = password

    def get_credentials(self) -> tuple[str]:
        return (self._password(),)

    async def get_credentials_async(self) -> tuple[str]:
        return self.get_credentials()


@dataclass(frozen=True, slots=True)
class _SentinelAddress:
    hosts: list[tuple[str, int]]
    service: str
    db: int
    login: dict[str, str]


def _parse_sentinel(url: str) -> _SentinelAddress | None:
    """`redis+sentinel://user:password@host:port,host:port/service/db`; None for every other form."""
    parts = urlsplit(url)
    if "sentinel" not in parts.scheme:
        return None
    credentials, _at, hosts = parts.netloc.rpartition("@")
    user, _colon, password = credentials.partition(":")
    login = {"username": unquote(user)} if user else {}
    if password:
        login["password"] = unquote(password)
    service, _slash, db = parts.path.strip("/").partition("/")
    addresses = [(host.rpartition(":")[0], int(host.rpartition(":")[2])) if ":" in host else (host, 26379)
                 for host in hosts.split(",")]  # fmt: skip
    return _SentinelAddress(addresses, service or "mymaster", int(db or 0), login)
