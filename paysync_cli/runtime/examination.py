"""The doctor's and the probe's rounds: each area with connections of its own, so that one that hangs blocks none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from paysync_cli.errors import NotFound, PaysyncError, RedisUnavailable
from paysync_cli.language import _
from paysync_cli.runtime.banks import adapter_faults, profile
from paysync_cli.runtime.work import Runtime
from paysync_cli.services import doctor
from paysync_cli.services.doctor import Area, Finding
from paysync_cli.settings import BankSettings, Settings

if TYPE_CHECKING:
    from paysync_cli.queue.client import QueueClient
    from paysync_cli.services.doctor.bank import DeskFacts
    from paysync_cli.services.health import HealthReport

Look = Callable[[Runtime], Sequence[Finding]]
Round = tuple[str, str, str, Look]  # area, what it is for people, what helps when it hangs


def examine(settings: Settings) -> list[Finding]:
    """Everything the doctor looks at."""
    return doctor.examine(areas(settings))


def probe(settings: Settings, *, worker: str | None, max_idle_s: float | None) -> HealthReport:
    """What `health` asks: Redis, database, a heartbeat; with `max_idle_s` also whether what is due gets done."""
    from paysync_cli.services.doctor import work
    from paysync_cli.services.health import HealthReport, judge_consuming, judge_heartbeat

    seen: list[work.WorkFacts] = []

    def look(runtime: Runtime) -> Sequence[Finding]:
        facts = work.gather(runtime.store, _queue(runtime), runtime.clock, runtime.database_id)
        seen.append(facts)
        if facts.foreign is not None:
            return work.judge(facts)
        found = [] if facts.workers is None else [judge_heartbeat(facts, worker)]
        return found if max_idle_s is None else [*found, judge_consuming(facts, max_idle_s)]

    rounds: list[Round] = [_REDIS, _DATABASE, (_WORK[0], _WORK[1], _WORK[2], look)]
    found = doctor.examine([_settled(area, settings) for area in rounds])
    mode = "ready" if max_idle_s is None else "deep"
    return HealthReport(mode, found, seen[0] if seen else None)


def missing_database(settings: Settings) -> NotFound | None:
    """The error of every command where there is no paysync database; None when there is one or it does not say."""
    runtime = Runtime(settings)
    try:
        runtime.store  # noqa: B018 - opening it is the point
    except NotFound as error:
        return error
    except PaysyncError:
        return None
    finally:
        runtime.close()
    return None


def areas(settings: Settings) -> list[Area]:
    """The rounds, in the order in which they are told."""
    rounds: list[Round] = [_REDIS, _DATABASE, _BOOKS, _WORK]
    for bank in settings.banks.values():
        rounds += [_line(bank), _desk(bank)]
    rounds.append(_ALERTS)
    return [*(_settled(area, settings) for area in rounds), *_without_banks(settings), _settings(settings)]


def _settled(area: Round, settings: Settings) -> Area:
    name, what, mend, look = area

    def run() -> Sequence[Finding]:
        runtime = Runtime(settings)
        try:
            return look(runtime)
        finally:
            runtime.close()

    return Area(name, what, run, mend)


def _redis(runtime: Runtime) -> Sequence[Finding]:
    from paysync_cli.queue.inspection import inspect
    from paysync_cli.queue.link import Link
    from paysync_cli.services.doctor import redis
    from paysync_cli.settings import mask_url

    url = runtime.settings.redis_url
    if url is not None:
        link = Link(url, mask_url(url))
    else:
        queue = runtime.queue_if_running()
        if queue is None:
            return [redis.not_running(str(runtime.settings.redis_folder))]
        link = queue.link
    return redis.judge(inspect(link, may_write=not runtime.settings.read_only))


def _database(runtime: Runtime) -> Sequence[Finding]:
    from paysync_cli.services.doctor import database
    from paysync_cli.store.inspection import inspect

    return database.judge(inspect(runtime.settings.database_url, may_write=not runtime.settings.read_only))


def _work(runtime: Runtime) -> Sequence[Finding]:
    from paysync_cli.services.doctor import work

    try:
        store = runtime.store
    except NotFound:
        return []  # the database's own round tells it
    return work.judge(work.gather(store, _queue(runtime), runtime.clock, runtime.database_id))


def _books(runtime: Runtime) -> Sequence[Finding]:
    from paysync_cli.services.doctor import books

    try:
        return books.judge(books.gather(runtime.store))
    except PaysyncError:
        return []  # the database's own round tells it


def _alerts(runtime: Runtime) -> Sequence[Finding]:
    """The database may be away: that is told elsewhere, here only the settings are looked at then."""
    from paysync_cli.runtime.alerts import alert_faults
    from paysync_cli.services.doctor import alerts as judging
    from paysync_cli.store import alert_messages, alerts

    settings = runtime.settings
    facts = judging.AlertFacts(datetime.now(UTC), len(settings.alert_urls), alert_faults(settings))
    try:
        with runtime.store.read() as tx:
            (waiting, oldest_at), failing = alerts.undelivered(tx), alert_messages.failing(tx)
        errors = [one.error for one in failing]
        facts = replace(facts, now=runtime.clock.now(), undelivered=waiting, oldest_at=oldest_at, errors=errors)
    except PaysyncError:
        pass
    return judging.judge(facts)


def _queue(runtime: Runtime) -> QueueClient | RedisUnavailable | None:
    """The queues, or why there are none: Redis' own round tells that."""
    try:
        return runtime.queue_if_running()
    except RedisUnavailable as error:
        return error


def _line(bank: BankSettings) -> Round:
    def look(_runtime: Runtime) -> Sequence[Finding]:
        from paysync_cli.banks.inspection import inspect
        from paysync_cli.services.doctor import bank as judging

        facts = inspect(bank.base_url, profile(bank).tls)
        return judging.judge_line(bank.name, facts, datetime.now(UTC))

    what = _("The line to bank {bank}").format(bank=bank.name)
    return f"bank {bank.name}", what, _("Check the network and base_url: paysync config show"), look


def _desk(bank: BankSettings) -> Round:
    def look(runtime: Runtime) -> Sequence[Finding]:
        from paysync_cli.services.doctor import bank as judging

        return judging.judge_desk(_desk_facts(runtime, bank))

    return f"bank {bank.name}", _("What is known of bank {bank}").format(bank=bank.name), "paysync doctor", look


def _desk_facts(runtime: Runtime, bank: BankSettings) -> DeskFacts:
    """Redis or the database may be away: that is told elsewhere, here nothing is said then."""
    from paysync_cli.services.doctor.bank import DeskFacts
    from paysync_cli.store import banks

    broken = adapter_faults([bank])[bank.name]
    now, state, breaker, token_s = datetime.now(UTC), None, None, None
    try:
        now = runtime.clock.now()
        with runtime.store.read() as tx:
            state = banks.state(tx, bank.name, bank.environment)
        gate = runtime.gate_if_running()
        if gate is not None:
            token_s = None if broken else runtime.token_good_for_s(bank)
            breaker = gate.look([bank.name])[bank.name]
    except PaysyncError:
        pass
    return DeskFacts(bank.name, now, tuple(broken), state, breaker, token_s)


def _without_banks(settings: Settings) -> list[Area]:
    from paysync_cli.services.doctor import bank

    return [] if settings.banks else [Area("banks", _("The banks"), lambda: [bank.no_bank()], "paysync config show")]


def _settings(settings: Settings) -> Area:
    def look() -> Sequence[Finding]:
        from paysync_cli.services.doctor import settings as judging
        from paysync_cli.settings.inspection import inspect

        return judging.judge(inspect(settings))

    return Area("settings", _("The settings"), look, "paysync config check")


_REDIS = ("redis", _("Redis"), _("Look at the Redis server; where it is: paysync config show"), _redis)
_DATABASE = (
    "database",
    _("The database"),
    _("Look at the database server; where it is: paysync config show"),
    _database,
)
_BOOKS = ("books", _("The books"), _("Ask again when the database has less to do: paysync doctor"), _books)
_ALERTS = ("alerts", _("Alerts"), "paysync config check", _alerts)
_WORK = ("work", _("Queues and workers"), _("Mend Redis and the database first."), _work)
