"""A worker put together: its engine, its loops, the leader's work."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from paysync_cli.errors import PaysyncError, UnavailableError
from paysync_cli.runtime.banks import Banks

if TYPE_CHECKING:
    from paysync_cli.queue.worker import Chore
    from paysync_cli.services.engine import Engine, OpenBank
    from paysync_cli.services.gate import Fair, Gate
    from paysync_cli.services.stopped import Stopped
    from paysync_cli.services.worker import Dispatching, Leading


log = logging.getLogger("paysync.runtime")


class Runtime(Banks):
    """Store, queue, banks and worker of one process; `close` closes whatever was opened."""

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


def worker_name() -> str:
    """A name for this process among all workers: host, pid and a random part (pids come again)."""
    return f"{socket.gethostname().split('.')[0]}-{os.getpid()}-{secrets.token_hex(3)}"
