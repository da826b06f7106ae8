"""Redis: does it answer, take writes, keep what it is given, and agree about the time?"""

from __future__ import annotations

from collections.abc import Iterator

from paysync_cli.language import _
from paysync_cli.queue.inspection import RedisFacts
from paysync_cli.services.doctor.finding import Finding, fault, ok, warning

AREA = "redis"
OLDEST = {"redis": (6, 2), "valkey": (7, 2)}  # ZMSCORE, LPOP with a count
SLOW_PING_MS = 100.0
NEARLY_FULL = 0.9
OFFSET_S, BAD_OFFSET_S = 2.0, 30.0  # a lease lasts 30 s


def not_running(folder: str) -> Finding:
    """The embedded server: it comes with the first process that needs it."""
    text = _("The embedded Redis in {folder} does not run: no worker is at work.").format(folder=folder)
    return warning(AREA, "not_running", text, "paysync worker")


def judge(facts: RedisFacts) -> list[Finding]:
    """Everything that can be said of this Redis; one line when it cannot be reached."""
    if facts.trouble is not None:
        return [_unreachable(facts)]
    return [
        _latency(facts),
        *_version(facts),
        *_writing(facts),
        *_memory(facts),
        *_persistence(facts),
        *_clock(facts),
        *_hidden(facts),
    ]


def _unreachable(facts: RedisFacts) -> Finding:
    words = {"where": facts.where, "cause": facts.cause}
    match facts.trouble:
        case "login":
            text = _("Redis at {where} refuses our login: {cause}.").format(**words)
            return fault(AREA, "login_refused", text, _("Correct user and password in REDIS_URL: paysync config show"))
        case "stranger":
            text = _("What answers at {where} is not a Redis: {cause}.").format(**words)
            return fault(AREA, "not_redis", text, _("Correct host and port in REDIS_URL: paysync config show"))
        case _:
            text = _("Redis at {where} cannot be reached: {cause}.").format(**words)
            return fault(AREA, "unreachable", text, _("Start Redis, or correct REDIS_URL: paysync config show"))


def _latency(facts: RedisFacts) -> Finding:
    ms = facts.ping_ms or 0.0
    text = _("Redis at {where} answers in {ms:.1f} ms.").format(where=facts.where, ms=ms)
    if ms > SLOW_PING_MS:
        return warning(
            AREA, "slow", text, _("Move the workers nearer to Redis, or look at its load: redis-cli --latency")
        )
    return ok(AREA, "reachable", text)


def _version(facts: RedisFacts) -> Iterator[Finding]:
    if facts.version is None:
        return
    flavour = facts.flavour or "redis"
    needed = OLDEST.get(flavour, OLDEST["redis"])
    words = {"flavour": flavour.capitalize(), "version": facts.version, "needed": ".".join(map(str, needed))}
    if _numbers(facts.version) < needed:
        text = _("{flavour} {version} is too old: paysync needs {needed} or newer.").format(**words)
        yield fault(AREA, "old_version", text, _("Upgrade the server."))
    else:
        yield ok(AREA, "version", _("It is {flavour} {version}.").format(**words))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _writing(facts: RedisFacts) -> Iterator[Finding]:
    match facts.write_error:
        case None if facts.role in ("replica", "slave"):
            yield fault(AREA, "read_only_replica", _("This Redis is a replica."), _point_at_primary())
        case None:
            return
        case "readonly":
            text = _("This Redis is a read-only replica: no job can be queued.")
            yield fault(AREA, "read_only_replica", text, _point_at_primary())
        case "oom":
            text = _("Redis is full and refuses writes: no job can be queued.")
            yield fault(AREA, "full", text, _("Free memory with `paysync purge --all`, then raise maxmemory."))
        case "misconf":
            text = _("Redis refuses writes because it cannot save to its disk.")
            yield fault(AREA, "cannot_save", text, _("Free its disk and look at its log."))
        case "denied":
            text = _("Our Redis user may not write the keys paysync:*.")
            yield fault(
                AREA, "denied", text, _("Allow its ACL the keys and channels rq:* and paysync:*: ~rq:* ~paysync:*")
            )
        case other:
            text = _("Redis refuses writes: {cause}.").format(cause=other)
            yield fault(AREA, "write_refused", text, _("Look at its log."))


def _point_at_primary() -> str:
    return _("Point REDIS_URL at the primary: paysync config show")


def _memory(facts: RedisFacts) -> Iterator[Finding]:
    if facts.policy not in (None, "noeviction"):
        text = _("When Redis is full it throws keys away (maxmemory-policy {policy}): checks would come late.")
        yield warning(
            AREA,
            "evicting_policy",
            text.format(policy=facts.policy),
            "redis-cli CONFIG SET maxmemory-policy noeviction",
        )
    if facts.evicted:
        text = _("Redis has thrown {n} keys away to make room.").format(n=facts.evicted)
        yield warning(AREA, "evicted", text, _("Raise maxmemory; set maxmemory-policy noeviction."))
    if facts.used_memory is None:
        return
    used = _mebibytes(facts.used_memory)
    if not facts.maxmemory:
        yield ok(AREA, "memory", _("It uses {used} MiB, with no limit.").format(used=used))
        return
    text = _("It uses {used} of {most} MiB.").format(used=used, most=_mebibytes(facts.maxmemory))
    if facts.used_memory >= NEARLY_FULL * facts.maxmemory:
        yield warning(AREA, "nearly_full", text, _("Free memory with `paysync purge --all`, or raise maxmemory."))
    else:
        yield ok(AREA, "memory", text)


def _mebibytes(size: int) -> str:
    return f"{size / 1024 / 1024:.1f}"


def _persistence(facts: RedisFacts) -> Iterator[Finding]:
    if facts.persistence_error is not None:
        text = _("Redis could not write its data to the disk ({field}).").format(field=facts.persistence_error)
        yield fault(AREA, "persistence_failing", text, _("Free its disk and look at its log."))
    elif facts.append_only:
        yield ok(AREA, "persistence", _("It keeps its data (append-only file)."))
    elif facts.snapshots:
        yield ok(AREA, "persistence", _("It keeps its data (snapshots)."))
    elif facts.append_only is False and facts.snapshots is False:
        text = _(
            "Redis keeps nothing over a restart; the plan is in the database and comes back, job history does not."
        )
        yield warning(AREA, "no_persistence", text, "redis-cli CONFIG SET appendonly yes")


def _clock(facts: RedisFacts) -> Iterator[Finding]:
    if facts.clock_offset_s is None:
        return
    off = abs(facts.clock_offset_s)
    if off < OFFSET_S:
        yield ok(AREA, "clock", _("Its clock agrees with ours within {n:.1f} s.").format(n=max(off, 0.1)))
        return
    text = (
        _("The clock of Redis is {n:.0f} s ahead of this machine's.")
        if facts.clock_offset_s > 0
        else _("The clock of Redis is {n:.0f} s behind this machine's.")
    ).format(n=off)
    make = fault if off >= BAD_OFFSET_S else warning
    yield make(AREA, "clock_offset", text, _("Synchronise the clocks of both machines: timedatectl set-ntp true"))


def _hidden(facts: RedisFacts) -> Iterator[Finding]:
    if not facts.hidden:
        return
    unseen = {
        "INFO": _("memory, eviction policy, evicted keys, persistence"),
        "CONFIG": _("snapshots"),
        "HELLO": _("version and role"),
        "TIME": _("the clock"),
    }
    words = {"commands": ", ".join(facts.hidden), "unseen": ", ".join(unseen[name] for name in facts.hidden)}
    text = _("Our Redis user may not use {commands}, so nothing is said about: {unseen}.").format(**words)
    yield ok(AREA, "not_seen", text)
