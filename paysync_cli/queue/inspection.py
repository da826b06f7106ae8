"""What a Redis tells of itself to whoever asks for its health. Whatever an ACL hides stays None and is listed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paysync_cli.queue.names import PROBE_KEY

if TYPE_CHECKING:
    import redis

    from paysync_cli.queue.link import Link

CONNECT_S = 2.0
REPLY_S = 3.0
PROBE_MS = 1000


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """One look at a Redis. `trouble` is why nothing else is known: `down`, `login`, `stranger`; `cause` in its words.

    `write_error` is Redis' own refusal of a write (`readonly`, `oom`, `misconf`, `denied`, else the text).
    `hidden` are the commands that our user may not use. `clock_offset_s` is how far Redis' clock is ahead of ours.
    """

    where: str
    trouble: str | None = None
    cause: str = ""
    ping_ms: float | None = None
    flavour: str | None = None
    version: str | None = None
    role: str | None = None
    write_error: str | None = None
    clock_offset_s: float | None = None
    used_memory: int | None = None
    maxmemory: int | None = None
    policy: str | None = None
    evicted: int | None = None
    append_only: bool | None = None
    snapshots: bool | None = None
    persistence_error: str | None = None
    hidden: tuple[str, ...] = ()


def inspect(link: Link, *, may_write: bool = True) -> RedisFacts:
    """Ask within a few seconds. Raises nothing of Redis'; `may_write` allows a key that lives a second."""
    import redis

    from paysync_cli.queue.link import is_too_old, why

    try:
        try:
            return _look(link, may_write)
        except redis.ResponseError as error:
            if not is_too_old(error):
                raise
            return _look(link, may_write, protocol=2)  # which every server speaks: so that it can tell its version
    except (
        redis.AuthenticationError,
        redis.exceptions.AuthorizationError,
        redis.exceptions.NoPermissionError,
    ) as error:
        return RedisFacts(link.where, "login", why(error))
    except redis.InvalidResponse as error:
        return RedisFacts(link.where, "stranger", why(error))
    except redis.RedisError as error:
        return RedisFacts(link.where, "down", why(error))


def _look(link: Link, may_write: bool, **options: Any) -> RedisFacts:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = link.client(
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_S,
        socket_timeout=REPLY_S,
        decode_responses=True,
        **options,
    )
    try:
        return _Look(client).facts(link.where, may_write)
    finally:
        client.close()


class _Look:
    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._hidden: list[str] = []

    def facts(self, where: str, may_write: bool) -> RedisFacts:
        self._client.ping()  # connects and logs in
        started = time.monotonic()
        self._client.ping()
        ping_ms = (time.monotonic() - started) * 1000
        hello = _pairs(self._allowed("HELLO", self._hello))
        info: Mapping[str, Any] = self._allowed("INFO", self._client.info) or {}
        save = self._allowed("CONFIG", lambda: self._client.config_get("save"))
        return RedisFacts(
            where,
            ping_ms=ping_ms,
            flavour="valkey" if "valkey_version" in info else hello.get("server"),
            version=info.get("valkey_version") or info.get("redis_version") or hello.get("version"),
            role=hello.get("role") or info.get("role"),
            write_error=self._write_error() if may_write else None,
            clock_offset_s=self._clock_offset_s(),
            used_memory=info.get("used_memory"),
            maxmemory=info.get("maxmemory"),
            policy=info.get("maxmemory_policy"),
            evicted=info.get("evicted_keys"),
            append_only=bool(info["aof_enabled"]) if "aof_enabled" in info else None,
            snapshots=None if save is None else bool(save.get("save")),
            persistence_error=_persistence_error(info),
            hidden=tuple(name for name in self._hidden if name != "HELLO" or not info),
        )

    def _hello(self) -> Any:
        return self._client.execute_command("HELLO")  # type: ignore[no-untyped-call]

    def _allowed(self, name: str, ask: Callable[[], Any]) -> Any:
        """The answer, None when there is none for our user."""
        import redis

        try:
            return ask()
        except redis.ResponseError:  # NOPERM, or a server that does not know it (renamed, hosted)
            self._hidden.append(name)
            return None

    def _write_error(self) -> str | None:
        import redis

        from paysync_cli.queue.link import why

        try:
            self._client.set(PROBE_KEY, "1", px=PROBE_MS)  # it has an end, should we not come to remove it
            self._client.delete(PROBE_KEY)
        except redis.ReadOnlyError:
            return "readonly"
        except redis.exceptions.OutOfMemoryError:
            return "oom"
        except redis.exceptions.NoPermissionError:
            return "denied"
        except redis.ResponseError as error:
            return "misconf" if "MISCONF" in str(error) else why(error)
        return None

    def _clock_offset_s(self) -> float | None:
        before = time.time()
        told = self._allowed("TIME", self._client.time)
        after = time.time()
        return None if told is None else told[0] + told[1] / 1_000_000 - (before + after) / 2


def _pairs(answer: Any) -> dict[str, Any]:
    """HELLO answers with a map, in the older protocol with a flat list of it."""
    if isinstance(answer, Mapping):
        return dict(answer)
    return dict(zip(answer[::2], answer[1::2], strict=False)) if isinstance(answer, list) else {}


def _persistence_error(info: Mapping[str, Any]) -> str | None:
    for field in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"):
        if info.get(field, "ok") != "ok":
            return field
    return None
