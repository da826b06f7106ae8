"""The line to Redis: every form of its address, and its failures in our words."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
import redis.asyncio
from redis.credentials import CredentialProvider

from paysync_cli.errors import RedisUnavailable
from paysync_cli.language import _

CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 5.0
_LIBRARY_WORDS = re.compile(r"^Error -?[0-9]+ (connecting to|while (reading|writing)) .*?\. ?")


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
        if sentinels := _parse_sentinels(self.url):
            from redis.sentinel import Sentinel

            group: Any = Sentinel(sentinels.hosts, sentinel_kwargs=sentinels.own, **(wanted | sentinels.leader))  # type: ignore[no-untyped-call]
            found: redis.Redis = group.master_for(sentinels.service, redis_class=redis.Redis)
            return found
        return redis.Redis.from_url(self.url, **wanted)

    def async_client(self, **options: Any) -> redis.asyncio.Redis:
        """The same for an event loop."""
        wanted = self._options(options)
        if sentinels := _parse_sentinels(self.url):
            from redis.asyncio.sentinel import Sentinel

            group: Any = Sentinel(sentinels.hosts, sentinel_kwargs=sentinels.own, **(wanted | sentinels.leader))  # type: ignore[no-untyped-call]
            found: redis.asyncio.Redis = group.master_for(sentinels.service, redis_class=redis.asyncio.Redis)
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
    sentence = _("Redis at {where} is not available: {cause}.")
    hint = _("Check that Redis runs and that REDIS_URL is right.")
    if isinstance(error.__cause__ or error.__context__, ssl.SSLCertVerificationError):
        hint = _("Name its authority's certificate in REDIS_URL: ?ssl_ca_certs=/path/to/ca.pem")
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
        case redis.ResponseError() if is_too_old(error):
            sentence = _("Redis at {where} is too old for paysync: {cause}.")
            hint = _("Upgrade the server; see: paysync doctor")
        case redis.InvalidResponse():
            sentence = _("What answers at {where} is not a Redis: {cause}.")
            hint = _("Check host and port in REDIS_URL.")
    return RedisUnavailable(sentence.format(where=where, cause=why(error)), hint=hint)


def is_too_old(error: Exception) -> bool:
    """Whether the server did not know how we greet it: Redis before 6 has no HELLO."""
    words = str(error).lower()
    return isinstance(error, redis.ResponseError) and "unknown command" in words and "hello" in words


def why(error: Exception) -> str:
    """Why Redis did not do it, in a few words: the system's or the server's, never those of the library around them."""
    for cause in (error, error.__cause__, error.__context__):
        match cause:
            case socket.gaierror():
                return _("its host name is not known")
            case redis.TimeoutError() | TimeoutError():
                return _("no answer in time")
            case redis.InvalidResponse():
                return _("it speaks another protocol")
            case ssl.SSLCertVerificationError():  # these have numbers that are not the system's
                return _("its certificate is not trusted: {reason}").format(reason=cause.verify_message)
            case ssl.SSLError():
                return _("TLS fails: {reason}").format(reason=(cause.reason or str(cause)).replace("_", " ").lower())
            case OSError(errno=int(number)):
                return os.strerror(number).lower()
    words = _LIBRARY_WORDS.sub("", " ".join(str(error).split()))
    return words.rstrip(".")[:300] or type(error).__name__


class _FreshPassword(CredentialProvider):
    """The embedded server gets a new password with each start: ask for it at each connection."""

    def __init__(self, password: Callable[[], str]) -> None:
        self._password = password

    def get_credentials(self) -> tuple[str]:
        return (self._password(),)

    async def get_credentials_async(self) -> tuple[str]:
        return self.get_credentials()


@dataclass(frozen=True, slots=True)
class _Sentinels:
    """Where the Sentinels are, and how they (`own`) and the server they name (`leader`) are spoken to."""

    hosts: list[tuple[str, int]]
    service: str
    own: dict[str, Any]
    leader: dict[str, Any]


def _parse_sentinels(url: str) -> _Sentinels | None:
    """`redis+sentinel://user:password@host:port,host:port/service/db?...`; None for every other form.

    Login, database and parameters are the server's, as in a plain URL; `sentinel_username` and `sentinel_password`
    are the Sentinels'. With `rediss+sentinel` all of them speak TLS, by the same certificates.
    """
    parts = urlsplit(url)
    if "sentinel" not in parts.scheme:
        return None
    from redis.connection import parse_url

    login, at, places = parts.netloc.rpartition("@")
    service, _slash, db = parts.path.strip("/").partition("/")
    given = parse_qsl(parts.query)
    query = urlencode([(name, value) for name, value in given if not name.startswith("sentinel_")])
    plain = parse_url(f"{parts.scheme.partition('+')[0]}://{login}{at}leader/{db or 0}?{query}")  # type: ignore[no-untyped-call]
    leader: dict[str, Any] = {name: value for name, value in plain.items() if name not in _OF_ONE_SERVER}
    line = {name: value for name, value in leader.items() if name.startswith(("socket_", "ssl_"))}
    if parts.scheme == "rediss+sentinel":
        leader["ssl"] = line["ssl"] = True
    timeouts = {"socket_connect_timeout": CONNECT_TIMEOUT_S, "socket_timeout": REPLY_TIMEOUT_S}
    own = {name.removeprefix("sentinel_"): value for name, value in given if name.startswith("sentinel_")}
    return _Sentinels([_host_and_port(place) for place in places.split(",")], service, timeouts | line | own, leader)


_OF_ONE_SERVER = ("host", "port", "connection_class")


def _host_and_port(place: str) -> tuple[str, int]:
    host, _colon, port = place.rpartition(":")
    return host.strip("[]"), int(port)
