"""A worker put together: its engine, its loops, the leader's work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from paysync_cli.errors import PaysyncError, RedisUnavailable
from paysync_cli.language import english
from paysync_cli.queue.stamp import EVERY_S, Stamp
from paysync_cli.runtime.banks import Banks
from paysync_cli.runtime.service_manager import NOBODY, ServiceManager

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from paysync_cli.queue.worker import Chore
    from paysync_cli.runtime.counters import Counters
    from paysync_cli.services.courier import Alerting
    from paysync_cli.services.dispatch import DispatchReport
    from paysync_cli.services.engine import Engine, LeftBehind, OpenBank
    from paysync_cli.services.gate import Gate
    from paysync_cli.services.slots import Fair
    from paysync_cli.services.stopped import Stopped
    from paysync_cli.services.worker import Dispatching, Leading


STOP_WITHIN_S = 10.0
FINISH_S = 5.0  # for alerts that are under way

log = logging.getLogger("paysync.runtime")


@dataclass(frozen=True, slots=True)
class WorkerRun:
    """How a worker's run went. `cut_short`: checks in flight were given back; `left`: due, but their bank is closed."""

    name: str
    checks: int
    stopped_by: str
    cut_short: bool
    left: tuple[LeftBehind, ...]


class Runtime(Banks):
    """Store, queue, banks and worker of one process; `close` closes whatever was opened.

    `counts` is where a worker counts what it does, None for nowhere; `observer` who reads the rest for `/metrics`. Both
    come from `runtime.metrics`.
    """

    counts: Counters | None = None
    observer: Collector | None = None

    async def run_worker(
        self,
        *,
        burst: bool,
        dispatching: bool,
        ready: Callable[[str], None],
        manager: ServiceManager = NOBODY,
    ) -> WorkerRun:
        """Run a worker until it is stopped or, with `burst`, until nothing is left that can be asked.

        `ready` is called with the worker's name once it is registered and about to take work; `manager` hears of its
        whole life.
        """
        from paysync_cli.queue.worker import ConcurrentWorker
        from paysync_cli.services.engine import Engine

        settings, stopped = self.settings, self.stopped
        banks = self.open_banks(many=True, waits=True)
        gate = self.gate()
        engine = Engine(
            self.store, banks, self.clock, stopped, gate, concurrency=settings.concurrency, counts=self.counts
        )
        name = worker_name()
        leading = self.leading(name)
        stamp = Stamp(settings.home, name)
        alerting = self._alerting(leading, banks)
        chores = [
            *self._chores(leading, banks, engine, stopped, gate, dispatching), _alerting(alerting), _stamping(stamp),
        ]  # fmt: skip
        worker = ConcurrentWorker(
            self.link,
            engine,
            grace_s=settings.shutdown_grace_s,
            keep_finished=settings.keep_completed,
            keep_failed=settings.keep_failed,
            chores=chores,
            name=name,
            concurrency=settings.concurrency,
        )
        ready(name)
        left: list[LeftBehind] = []
        telling = asyncio.create_task(manager.tell_of(worker), name="service manager")
        try:
            with english():
                await worker.run(burst)
            if burst:
                left = await asyncio.to_thread(engine.left_behind)
        finally:
            telling.cancel()
            stamp.remove()
            engine.close()
            await self.close_banks()
            await asyncio.to_thread(alerting.finish, FINISH_S)
            with contextlib.suppress(PaysyncError):
                leading.resign()
        return WorkerRun(name, worker.ended, worker.stopped_by, worker.cut_short, tuple(left))

    def _chores(
        self,
        leading: Leading,
        banks: Mapping[str, OpenBank],
        engine: Engine | None,
        stopped: Stopped,
        gate: Gate,
        dispatching: bool,
    ) -> list[Chore]:
        from paysync_cli.queue.worker import Chore
        from paysync_cli.services.gate import gated
        from paysync_cli.services.telling import Teller
        from paysync_cli.services.worker import Probing, Sweeping

        every = timedelta(seconds=self.settings.sync_interval_s)
        through_gate = {name: replace(bank, bank=gated(bank.bank, gate)) for name, bank in banks.items()}
        sweeping = Sweeping(self.store, through_gate, self.clock, stopped, leading, every, Teller(self.counts))
        probing = Probing(self.store, banks, gate, stopped)
        chores = [Chore("lead", leading.run), Chore("sweep", sweeping.run), Chore("probe", probing.run)]
        if dispatching and engine is not None:
            chores.append(Chore("dispatch", self.dispatching(stopped, gate, engine.fair).run, woken_by_news=True))
        return chores

    async def run_dispatcher(self) -> None:
        """Dispatch, lead and sweep without working, for stock workers; until TERM or INT. Errors are waited out."""
        banks, gate = self.open_banks(many=False, waits=True), self.gate()
        leading = self.leading(worker_name())
        alerting = self._alerting(leading, banks)
        chores = [*self._chores(leading, banks, None, self.stopped, gate, dispatching=False), _alerting(alerting)]
        dispatching = self.dispatching(self.stopped, gate)

        async def dispatch_and_listen() -> float:
            await asyncio.to_thread(self.queue.wait_for_news, await dispatching.run())
            return 0.0

        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        tasks = [asyncio.create_task(self._patiently(chore.name, chore.run)) for chore in chores]
        tasks.append(asyncio.create_task(self._patiently("dispatch", dispatch_and_listen)))
        try:
            with english():
                await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=STOP_WITHIN_S)
            gate.close()
            await self.close_banks()
            await asyncio.to_thread(alerting.finish, FINISH_S)
            with contextlib.suppress(PaysyncError):
                leading.resign()

    def dispatch_once(self) -> DispatchReport:
        """One round for cron: what got lost is brought back first, then what is due is moved."""
        leading = self.leading(worker_name())
        leading.round()
        gate = self.gate()
        try:
            return self.dispatching(self.stopped, gate).once()
        finally:
            gate.close()
            self._alerting(leading, {}).finish(FINISH_S)
            leading.resign()

    def _alerting(self, leading: Leading, banks: Mapping[str, OpenBank]) -> Alerting:
        from paysync_cli.runtime import alerts

        alerts.tell_if_deaf(self.settings)
        return alerts.alerting(self, leading, banks)

    async def _patiently(self, name: str, step: Callable[[], Awaitable[float]]) -> None:
        """Run a step again and again; no error ends it."""
        from paysync_cli.queue.worker import Trouble

        wait_s, trouble = 0.0, Trouble(0.0)
        while True:
            try:
                await asyncio.sleep(await step())
                wait_s, trouble = 0.0, Trouble(0.0)
            except Exception as error:
                if trouble.is_news(error, time.monotonic()):
                    log.warning("%s: %s", name, error, exc_info=None if isinstance(error, PaysyncError) else error,
                                extra={"event_name": "dispatch_error", "loop": name})  # fmt: skip
                wait_s = min(max(wait_s * 2, 0.2), 5.0)
                await asyncio.sleep(wait_s)
                if self.embedded is not None and isinstance(error, RedisUnavailable):
                    with contextlib.suppress(PaysyncError):
                        await asyncio.to_thread(self._revive)

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

        return Dispatching(
            self.store, self.queue, self.database_id, self.scopes, self.clock, stopped, gate, fair, self.counts
        )

    def leading(self, owner: str) -> Leading:
        """The leader's work: whoever gets the lease does it for all."""
        from paysync_cli.services.telling import Teller
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
            teller=Teller(self.counts),
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


def _alerting(alerting: Alerting) -> Chore:
    from paysync_cli.queue.worker import Chore

    async def run() -> float:
        return await asyncio.to_thread(alerting.round)

    return Chore("alerts", run)


def _stamping(stamp: Stamp) -> Chore:
    """The worker's sign of life, given by the loop that runs the checks: one that hangs gives none."""
    from paysync_cli.queue.worker import Chore

    async def run() -> float:
        await asyncio.to_thread(stamp.touch)
        return EVERY_S

    return Chore("stamp", run)


def worker_name() -> str:
    """A name for this process among all workers: host, pid and a random part (pids come again)."""
    return f"{socket.gethostname().split('.')[0]}-{os.getpid()}-{secrets.token_hex(3)}"
