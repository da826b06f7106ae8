"""What a worker does beside its checks: dispatch, probes; as the leader the janitor, the sweep, the daily cleanup."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from time import monotonic
from zoneinfo import ZoneInfo

from paysync_cli.banks.base import Pings
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.queue.client import QueueClient
from paysync_cli.services.dispatch import DispatchReport, Scope, dispatch
from paysync_cli.services.engine import OpenBank
from paysync_cli.services.gate import Gate
from paysync_cli.services.janitor import PATIENCE_S, recover
from paysync_cli.services.slots import Fair
from paysync_cli.services.stopped import Stopped
from paysync_cli.services.sweep import BankSwept, sweep
from paysync_cli.services.sync import Judge, question
from paysync_cli.services.telling import Counts, Teller
from paysync_cli.store import history, leases, qrs
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database
from paysync_cli.store.leases import Lease

LONGEST_SLEEP_S = 1.0
CROWDED_SLEEP_S = 0.05
LEASE_S = 30.0
LEAD_EVERY_S = 10.0
SWEEP_REST = timedelta(minutes=1)

log = logging.getLogger("paysync.worker")


class Dispatching:
    """Moves due rows to the queues, sleeping until the next due moment, never longer than a second."""

    def __init__(
        self,
        store: Database,
        queue: QueueClient,
        database_id: str,
        scopes: Sequence[Scope],
        clock: Clock,
        stopped: Stopped,
        gate: Gate,
        fair: Fair | None = None,
        counts: Counts | None = None,
    ) -> None:
        self._store, self._queue, self._database_id = store, queue, database_id
        self._scopes, self._clock, self._stopped = scopes, clock, stopped
        self._gate, self._fair, self._counts = gate, fair, counts

    async def run(self) -> float:
        """One round; the seconds until the next one."""
        report = await asyncio.to_thread(self.once)
        if self._fair is not None:
            self._fair.contend(report.busy > 1)
        return self._wait_s(report)

    def once(self) -> DispatchReport:
        """What one round moves. Blocks."""
        self._stopped.refresh()
        allowed = self._gate.allowances([scope.bank for scope in self._scopes])
        scopes = [
            replace(scope, allowance=allowed[scope.bank])
            for scope in self._scopes
            if scope.bank in allowed and scope.bank not in self._stopped.reasons
        ]
        return dispatch(self._store, self._queue, self._database_id, scopes, self._clock.now(), self._counts)

    def _wait_s(self, report: DispatchReport) -> float:
        if report.next_at is None:
            return LONGEST_SLEEP_S
        wait_s = self._clock.real_s(report.next_at - self._clock.now())
        # What is due and found no room waits for the queues to drain, not for the clock.
        return min(wait_s, LONGEST_SLEEP_S) if wait_s > 0 else CROWDED_SLEEP_S


class Probing:
    """Sends the one probe to a bank whose breaker is open, when it is time."""

    def __init__(self, store: Database, banks: Mapping[str, OpenBank], gate: Gate, stopped: Stopped) -> None:
        self._store, self._banks, self._gate, self._stopped = store, banks, gate, stopped

    async def run(self) -> float:
        closed = await asyncio.to_thread(self._gate.closed, list(self._banks))
        for name, reason in closed.items():
            if reason == "breaker_open" and name not in self._stopped.reasons:
                await self._gate.probe(name, self._probe_of(name, self._banks[name]))
        return LONGEST_SLEEP_S

    def _probe_of(self, name: str, bank: OpenBank) -> Callable[[], Awaitable[object]]:
        """A harmless call, or a question about some open QR when the bank has none."""
        if isinstance(bank.bank, Pings):
            return bank.bank.ping

        async def ask_about_some_qr() -> None:
            qr = await asyncio.to_thread(self._some_qr, name, bank.environment)
            if qr is not None:  # only whether there is an answer matters: what it says, the QR's own check brings
                await bank.bank.check(question(bank.bank, qr))

        return ask_about_some_qr

    def _some_qr(self, bank: str, environment: str) -> Qr | None:
        """An open QR that this bank knows: those of its other environment are none of its business."""
        wanted = qrs.Wanted(open_only=True, bank=bank, environment=environment, sort="next-check", limit=1)
        with self._store.read() as tx:
            found, _token = qrs.page(tx, wanted)
        return found[0] if found else None


@dataclass
class Leading:
    """The work that one worker does for all: it holds a lease in SQL and proves it in each statement."""

    store: Database
    queue: QueueClient
    clock: Clock
    rhythms: Mapping[str, Rhythm]
    owner: str
    cleanup: Callable[[datetime], None]
    cleanup_at: time | None
    zone: ZoneInfo
    teller: Teller = field(default_factory=Teller)
    lease: Lease | None = None

    async def run(self) -> float:
        return await asyncio.to_thread(self.round)

    def round(self) -> float:
        """Take or renew the lease; the holder mends what was lost and cleans up once a day.

        Returns the seconds until the next round.
        """
        now = self.clock.now()
        with self.store.write() as tx:
            lease = leases.take(tx, leases.LEADER, self.owner, now, now + self.clock.span(LEASE_S))
        if lease is not None and self.lease is None:
            log.info("leading from now on", extra={"event_name": "leader", "worker": self.owner, "fence": lease.fence})
        self.lease = lease
        self.teller.settle(self.store)
        if lease is None:
            return LEAD_EVERY_S
        judge, patience = Judge(self.rhythms, now, random.random), self.clock.span(PATIENCE_S)
        recover(self.store, self.queue, judge, patience=patience, lease=lease, witness=self.teller)
        if self._cleanup_is_due(now):
            self.cleanup(now)
        return LEAD_EVERY_S

    def resign(self) -> None:
        """Let another worker lead at once."""
        if self.lease is not None:
            with self.store.write() as tx:
                leases.give_up(tx, self.lease, self.clock.now())

    def _cleanup_is_due(self, now: datetime) -> bool:
        """Whether the daily moment has come since the last cleanup, whoever ran that one."""
        if self.cleanup_at is None:
            return False
        with self.store.read() as tx:
            last = history.last_run(tx, "cleanup")
        return last is None or last[0] < last_moment(self.cleanup_at, self.zone, now)


@dataclass
class Sweeping:
    """The leader reads the banks' day lists every `every` and books what single checks have not seen."""

    store: Database
    banks: Mapping[str, OpenBank]
    clock: Clock
    stopped: Stopped
    leading: Leading
    every: timedelta
    teller: Teller = field(default_factory=Teller)
    _not_before: float = 0.0  # on the monotonic clock

    async def run(self) -> float:
        await asyncio.to_thread(self.teller.settle, self.store)
        if self.leading.lease is None:
            return LONGEST_SLEEP_S
        await self._rest()
        await asyncio.to_thread(self.stopped.refresh)
        banks = {name: bank for name, bank in self.banks.items() if name not in self.stopped.reasons}
        report = await sweep(
            self.store, banks, self.clock, random.random, lease=self.leading.lease, witness=self.teller
        )
        for bank in report.banks:
            if bank.refused:
                await asyncio.to_thread(self.stopped.heed, bank.bank, bank.error or "")
            self._tell(bank)
        return self.clock.real_s(self.every)

    async def _rest(self) -> None:
        """However the last sweep ended: lists of which nothing can be written are not asked for again at once."""
        await asyncio.sleep(max(0.0, self._not_before - monotonic()))
        self._not_before = monotonic() + self.clock.real_s(min(self.every, SWEEP_REST))

    def _tell(self, bank: BankSwept) -> None:
        if bank.error is not None:
            log.warning("sweep of bank %s: not all lists were read: %s", bank.bank, bank.error,
                        extra={"event_name": "sweep_failed", "bank": bank.bank})  # fmt: skip
        elif bank.lists:
            log.info("sweep of bank %s: %d days read, %d payments booked", bank.bank, len(bank.days), bank.booked,
                     extra={"event_name": "sweep", "bank": bank.bank, "booked": bank.booked,
                            "days": len(bank.days)})  # fmt: skip


def last_moment(at: time, zone: ZoneInfo, now: datetime) -> datetime:
    """The latest moment not after `now` at which the zone's clock showed `at`."""
    local = now.astimezone(zone)
    today = local.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    return today if today <= local else today - timedelta(days=1)
