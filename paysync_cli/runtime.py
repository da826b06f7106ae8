"""Puts the parts together from the settings: each is opened when first asked for, all are closed together."""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from paysync_cli.errors import NotFound, PaysyncError, RedisUnavailable, SettingsError, TryLater, UnavailableError
from paysync_cli.language import _
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.settings import BankSettings, Settings, mask_url

if TYPE_CHECKING:
    import httpx

    from paysync_cli.banks.base import Bank, BankProfile, TokenVault
    from paysync_cli.banks.seal import Seal
    from paysync_cli.queue.client import Link, QueueClient
    from paysync_cli.queue.embedded import EmbeddedRedis, Endpoint
    from paysync_cli.queue.gate import BankGate
    from paysync_cli.queue.vault import TokenShelf
    from paysync_cli.queue.worker import Chore
    from paysync_cli.services.bank_desk import Configured
    from paysync_cli.services.dispatch import Scope
    from paysync_cli.services.engine import Engine, OpenBank
    from paysync_cli.services.gate import Fair, Gate, Limits
    from paysync_cli.services.stopped import Stopped
    from paysync_cli.services.worker import Dispatching, Leading
    from paysync_cli.store.clock import Clock
    from paysync_cli.store.database import Database


log = logging.getLogger("paysync.runtime")


class Runtime:
    """Store, queue and banks of one process. `create` lets a missing database be made."""

    def __init__(self, settings: Settings, *, create: bool = False) -> None:
        self.settings = settings
        self._create = create
        self._endpoint: Endpoint | None = None
        self._queues: list[QueueClient] = []
        self._clients: list[httpx.AsyncClient] = []
        self._foreground_gate: Gate | None = None

    # -- the database -------------------------------------------------------------------------------------------

    @cached_property
    def database(self) -> Database:
        """The database as it is, whatever its schema. Raises NotFound when there is none and none may be made."""
        from paysync_cli.store.database import Database

        try:
            return Database(self.settings.database_url, create=self._create)
        except NotFound as error:
            raise NotFound(
                _("{what} (user {user}, settings from {files}).").format(
                    what=error.message, user=_user(), files=self._settings_files()
                ),
                hint=_(
                    "`paysync enqueue`, `import`, `worker` and `demo` make one; PAYSYNC_HOME or DATABASE_URL say where."
                ),
                code=error.code,
            ) from None

    @cached_property
    def store(self) -> Database:
        """The database, ready to use: its schema is this version's."""
        return self.database.ready(upgrade=not self.settings.read_only)

    @cached_property
    def clock(self) -> Clock:
        from paysync_cli.store import clock

        return clock.read(self.store)

    @cached_property
    def database_id(self) -> str:
        """The UUID that says whose jobs a Redis carries."""
        from paysync_cli.store.history import read_meta

        with self.store.read() as tx:
            found = read_meta(tx, "database_id")
        if found is None:
            raise SettingsError(_("The database has no identity."), hint=_("Run: paysync db upgrade"))
        return found

    # -- Redis --------------------------------------------------------------------------------------------------

    @cached_property
    def embedded(self) -> EmbeddedRedis | None:
        """The embedded server of this home; None when REDIS_URL names another Redis."""
        if self.settings.redis_url is not None:
            return None
        from paysync_cli.queue.embedded import EmbeddedRedis

        server = self.settings.redis_server
        return EmbeddedRedis(self.settings.redis_folder, server=str(server) if server else None)

    @cached_property
    def link(self) -> Link:
        """How to reach Redis; starts the embedded server when it is ours and does not run."""
        from paysync_cli.queue.client import Link

        if self.settings.redis_url is not None:
            return Link(self.settings.redis_url, mask_url(self.settings.redis_url))
        self._revive()
        return self._embedded_link()

    @cached_property
    def queue(self) -> QueueClient:
        """The queues; the embedded server is started when needed."""
        return self._client(self.link)

    def queue_if_running(self) -> QueueClient | None:
        """The queues, or None when the embedded server simply does not run. Raises RedisUnavailable."""
        if self.embedded is None or "link" in self.__dict__:
            self.queue.ping()
            return self.queue
        self._endpoint = self.embedded.attach_if_running()
        return None if self._endpoint is None else self._client(self._embedded_link())

    def _client(self, link: Link) -> QueueClient:
        from paysync_cli.queue.client import QueueClient

        self._queues.append(QueueClient(link))
        return self._queues[-1]

    def _embedded_link(self) -> Link:
        from paysync_cli.queue.client import Link

        endpoint = self._endpoint
        assert endpoint is not None
        if endpoint.socket is None:
            url = f"redis://{endpoint.host}:{endpoint.port}/0"
        else:
            from urllib.parse import quote

            url = f"unix://{quote(endpoint.socket)}?db=0"
        return Link(url, endpoint.url(), password=self._password, revive=self._revive)

    def _revive(self) -> None:
        assert self.embedded is not None
        self._endpoint = self.embedded.attach()

    def _password(self) -> str:
        return self._endpoint.password if self._endpoint is not None else ""

    # -- banks --------------------------------------------------------------------------------------------------

    @property
    def bank_names(self) -> tuple[str, ...]:
        return tuple(self.settings.banks)

    def rhythm(self, bank: BankSettings) -> Rhythm:
        """How often QRs of this bank are asked."""
        from paysync_cli.banks.registry import lists_payments

        settings = self.settings
        return Rhythm(
            pending=timedelta(seconds=settings.delay_pending_s),
            processing=timedelta(seconds=settings.delay_processing_s),
            active=timedelta(seconds=settings.delay_active_s),
            pending_window=timedelta(seconds=settings.pending_window_s),
            due_margin=timedelta(seconds=bank.due_margin_s),
            jitter=settings.jitter,
            max_checks=settings.max_checks,
            attempts=settings.attempts,
            backoff=timedelta(seconds=settings.backoff_s),
            lists_by_payment_day=lists_payments(bank.adapter),
        )

    @cached_property
    def rhythms(self) -> Mapping[str, Rhythm]:
        """Every bank's rhythm, by its name."""
        return {name: self.rhythm(bank) for name, bank in self.settings.banks.items()}

    @property
    def scopes(self) -> list[Scope]:
        """The banks and environments whose QRs this installation asks about."""
        from paysync_cli.services.dispatch import Scope

        return [Scope(bank.name, bank.environment) for bank in self.settings.banks.values()]

    def require_banks(self) -> None:
        """Raise SettingsError when no bank is configured, naming the two ways out."""
        if not self.settings.banks:
            from paysync_cli.settings import select_bank

            select_bank(self.settings)

    @cached_property
    def stopped(self) -> Stopped:
        """Which banks' credentials are stopped, for all workers and for this process."""
        from paysync_cli.services.stopped import Stopped

        environments = {bank.name: bank.environment for bank in self.settings.banks.values()}
        return Stopped(self.store, environments, self.clock)

    def open_bank(self, bank: BankSettings, *, many: bool, waits: bool = False) -> OpenBank:
        """The bank, ready to be asked inside the running event loop; `many` chooses the transport for a worker.

        `waits`: never log in without Redis, wait for it; else Redis is used when it is at hand.
        """
        from paysync_cli.services.engine import OpenBank

        return OpenBank(self._adapter(bank, many, waits), bank.environment, self.rhythm(bank))

    def open_gated_bank(self, bank: BankSettings, *, many: bool) -> OpenBank:
        """The bank behind its gate, for callers that are no worker; Redis is used only when it is at hand."""
        from paysync_cli.services import gate

        opened = self.open_bank(bank, many=many)
        if self._foreground_gate is None:
            desk = gate.Desk(self.store, self.limits, self.clock)
            self._foreground_gate = gate.Gate(self.gate_if_running(), self.store, desk, self.clock)
        return replace(opened, bank=gate.gated(opened.bank, self._foreground_gate))

    def refuse_paused(self, bank: BankSettings) -> None:
        """Raise TryLater while this bank is paused: a person said that nobody asks it."""
        from paysync_cli.store import banks

        now = self.clock.now()
        with self.store.read() as tx:
            states = [one for one in banks.states(tx) if (one.bank, one.environment) == (bank.name, bank.environment)]
        for state in states:
            if state.closed(now) == "paused":
                until = _(" until {at}").format(at=state.paused_until.isoformat()) if state.paused_until else ""
                raise TryLater(
                    _("Bank {bank} is paused{until} by {who}.").format(
                        bank=bank.name, until=until, who=state.paused_by
                    ),
                    hint=_("Run: paysync resume {bank}").format(bank=bank.name),
                    code="paused",
                )

    def open_banks(self, *, many: bool, waits: bool = False) -> dict[str, OpenBank]:
        return {name: self.open_bank(bank, many=many, waits=waits) for name, bank in self.settings.banks.items()}

    async def close_banks(self) -> None:
        if self._foreground_gate is not None:
            self._foreground_gate.close()
        for client in self._clients:
            await client.aclose()
        self._clients.clear()

    def _adapter(self, bank: BankSettings, many: bool, waits: bool) -> Bank:
        from paysync_cli.banks import registry
        from paysync_cli.banks.base import BankTools
        from paysync_cli.banks.http import make_client

        client = make_client(concurrency=max(bank.concurrency, self.settings.concurrency), over_aiohttp=many)
        self._clients.append(client)
        one = profile(bank)
        return registry.build(one, BankTools(client, self.clock.now, self._vault(one, waits)))

    def _vault(self, bank: BankProfile, waits: bool) -> TokenVault:
        from paysync_cli.services.vault import SharedVault

        seal = self._seal(bank)
        queue = self.queue if waits else self._queue_at_hand
        shelf = None if queue is None else self._shelf(queue, bank, seal)
        return SharedVault(bank.name, seal, shelf, self.stopped, self.store, self.clock, waits=waits)

    def _seal(self, bank: BankProfile) -> Seal:
        from paysync_cli.banks.seal import Seal
        from paysync_cli.store.salt import vault_salt

        return Seal(bank, vault_salt(self.store))

    def _shelf(self, queue: QueueClient, bank: BankProfile, seal: Seal) -> TokenShelf:
        from paysync_cli.queue.vault import TokenShelf

        return TokenShelf(queue, bank.name, seal.fingerprint, self.clock.speed)

    @cached_property
    def _queue_at_hand(self) -> QueueClient | None:
        """The queues, None when Redis is not at hand; starts nothing."""
        try:
            return self.queue_if_running()
        except RedisUnavailable:
            return None

    def let_log_in(self, bank: BankSettings) -> None:
        """After an unlock: forget the waits and wake the workers. Without Redis they notice by themselves."""
        queue, one = self._queue_at_hand, profile(bank)
        if queue is not None:
            with contextlib.suppress(RedisUnavailable):
                self._shelf(queue, one, self._seal(one)).pardon()
                queue.wake()

    @property
    def configured_banks(self) -> list[Configured]:
        """Every bank of the settings, as far as people may see it."""
        return [self.configured(bank) for bank in self.settings.banks.values()]

    def configured(self, bank: BankSettings) -> Configured:
        """One bank of the settings, as far as people may see it."""
        from paysync_cli.services import bank_desk

        return bank_desk.Configured(bank.name, bank.adapter, mask_url(bank.base_url), self.limits[bank.name])

    def gate_if_running(self) -> BankGate | None:
        """The gates in Redis, for looking; None when Redis is not at hand."""
        from paysync_cli.queue.gate import BankGate

        try:
            queue = self.queue_if_running()
        except RedisUnavailable:
            return None
        return None if queue is None else BankGate(queue, self.clock.speed)

    # -- the worker ---------------------------------------------------------------------------------------------

    async def run_worker(self, *, burst: bool, dispatching: bool, ready: Callable[[str], None]) -> str | None:
        """Run a worker until it is stopped; the signal's name when that cut checks short, else None.

        `ready` is called with the worker's name once it is registered and about to take work.
        """
        from paysync_cli.queue.worker import ConcurrentWorker
        from paysync_cli.services.engine import Engine

        settings, stopped = self.settings, self.stopped
        banks = self.open_banks(many=True, waits=True)
        gate = self.gate()
        engine = Engine(self.store, banks, self.clock, stopped, gate, concurrency=settings.concurrency)
        name = worker_name()
        leading = self.leading(name)
        chores = self._chores(leading, banks, engine, stopped, gate, dispatching)
        worker = ConcurrentWorker(
            self.link,
            engine,
            concurrency=settings.concurrency,
            grace_s=settings.shutdown_grace_s,
            keep_finished=settings.keep_completed,
            keep_failed=settings.keep_failed,
            chores=chores,
            name=name,
        )
        ready(name)
        try:
            await worker.run(burst)
        finally:
            engine.close()
            await self.close_banks()
            with contextlib.suppress(PaysyncError):
                leading.resign()
        return worker.stopped_by if worker.cut_short else None

    def _chores(
        self,
        leading: Leading,
        banks: Mapping[str, OpenBank],
        engine: Engine,
        stopped: Stopped,
        gate: Gate,
        dispatching: bool,
    ) -> list[Chore]:
        from paysync_cli.queue.worker import Chore
        from paysync_cli.services.gate import gated
        from paysync_cli.services.worker import Probing, Sweeping

        every = timedelta(seconds=self.settings.sync_interval_s)
        through_gate = {name: replace(bank, bank=gated(bank.bank, gate)) for name, bank in banks.items()}
        sweeping = Sweeping(self.store, through_gate, self.clock, stopped, leading, every)
        probing = Probing(self.store, banks, gate, stopped)
        chores = [Chore("lead", leading.run), Chore("sweep", sweeping.run), Chore("probe", probing.run)]
        if dispatching:
            chores.append(Chore("dispatch", self.dispatching(stopped, gate, engine.fair).run, woken_by_news=True))
        return chores

    def dispatch_until_stopped(self, name: str, stopped: Stopped) -> None:
        """Dispatch and lead without working, for stock workers; ends by a signal. Errors are waited out."""
        dispatching, leading = self.dispatching(stopped, self.gate()), self.leading(name)
        lead_at, wait_s = 0.0, 0.0
        try:
            while True:
                try:
                    if time.monotonic() >= lead_at:
                        lead_at = time.monotonic() + leading.round()
                    wait_s = dispatching.round()
                    self.queue.wait_for_news(wait_s)
                except UnavailableError as error:
                    log.warning("%s", error.message, extra={"event_name": "dispatch_error"})
                    wait_s = min(max(wait_s * 2, 0.2), 5.0)
                    time.sleep(wait_s)
                    if self.embedded is not None:
                        with contextlib.suppress(PaysyncError):
                            self._revive()
        finally:
            with contextlib.suppress(PaysyncError):
                leading.resign()

    def warn_of_eviction(self) -> None:
        """Say so when Redis may throw away keys to make room: jobs would come late, though none is lost."""
        policy = self.queue.server().get("maxmemory_policy")
        if policy not in (None, "noeviction"):
            log.warning(
                "Redis at %s evicts keys when it is full (maxmemory-policy %s); set it to noeviction",
                self.queue.where,
                policy,
                extra={"event_name": "redis_evicts", "policy": policy},
            )

    def dispatching(self, stopped: Stopped, gate: Gate, fair: Fair | None = None) -> Dispatching:
        """Dispatch as recurring work."""
        from paysync_cli.services.worker import Dispatching

        return Dispatching(self.store, self.queue, self.database_id, self.scopes, self.clock, stopped, gate, fair)

    def gate(self) -> Gate:
        """The way to every bank, shared with all other processes on this Redis."""
        from paysync_cli.queue.gate import BankGate
        from paysync_cli.services import gate

        desk = gate.Desk(self.store, self.limits, self.clock)
        return gate.Gate(BankGate(self.queue, self.clock.speed), self.store, desk, self.clock)

    @property
    def limits(self) -> Mapping[str, Limits]:
        """What the settings allow towards each bank."""
        from paysync_cli.services import gate

        return {
            name: gate.Limits(bank.environment, bank.rate_per_s, bank.concurrency)
            for name, bank in self.settings.banks.items()
        }

    def leading(self, owner: str) -> Leading:
        """The leader's work: whoever gets the lease does it for all."""
        from paysync_cli.services.worker import Leading

        zones = [bank.timezone for bank in self.settings.banks.values()]
        return Leading(
            store=self.store,
            queue=self.queue,
            clock=self.clock,
            rhythms=self.rhythms,
            owner=owner,
            cleanup=self._daily_cleanup,
            cleanup_at=self.settings.cleanup_at,
            zone=zones[0] if zones else ZoneInfo("America/La_Paz"),
        )

    def _daily_cleanup(self, now: datetime) -> None:
        from paysync_cli.services.cleanup import CHECKS_KEPT, cleanup
        from paysync_cli.services.janitor import PATIENCE_S
        from paysync_cli.services.sync import Judge

        cleanup(
            self.store,
            self.queue,
            now=now,
            older_than=CHECKS_KEPT,
            keep_completed=self.settings.keep_completed,
            keep_failed=self.settings.keep_failed,
            judge=Judge(self.rhythms, now, random.random),
            owner=self.who,
            patience=self.clock.span(PATIENCE_S),
        )

    # -- for people ---------------------------------------------------------------------------------------------

    def where(self) -> dict[str, object]:
        """Which database, Redis and settings files this is about: no OK over an empty world."""
        if self.settings.redis_url is not None:
            redis = mask_url(self.settings.redis_url)
        else:
            redis = _("embedded in {folder}").format(folder=self.settings.redis_folder)
        return {
            "database": self.database.where,
            "redis": redis,
            "settings_files": [str(path) for path in self.settings.files],
        }

    @property
    def who(self) -> str:
        """Who acts, for the audit table."""
        return f"{_user()}@{socket.gethostname()}"

    def refuse_foreign_redis(self) -> None:
        """Raise RefusedError when Redis carries the jobs of another database."""
        self.queue.claim_database(self.database_id)

    def _settings_files(self) -> str:
        return ", ".join(str(path) for path in self.settings.files) or _("the environment and defaults")

    def close(self) -> None:
        if "stopped" in self.__dict__:
            self.stopped.close()
        for queue in self._queues:
            queue.close()
        if "database" in self.__dict__:
            self.database.close()
        embedded = self.__dict__.get("embedded")
        if embedded is not None:
            embedded.leave()


def worker_name() -> str:
    """A name for this process among all workers: host, pid and a random part (pids come again)."""
    return f"{socket.gethostname().split('.')[0]}-{os.getpid()}-{secrets.token_hex(3)}"


def profile(bank: BankSettings) -> BankProfile:
    """The bank's settings as its adapter gets them."""
    from paysync_cli.banks.base import BankProfile

    return BankProfile(
        name=bank.name,
        adapter=bank.adapter,
        base_url=bank.base_url,
        environment=bank.environment,
        timezone=bank.timezone,
        currency=bank.currency,
        account=bank.account,
        due_margin_s=bank.due_margin_s,
        rate_per_s=bank.rate_per_s,
        concurrency=bank.concurrency,
        options=dict(bank.options),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for this uid, as in some containers
        return str(os.getuid())
