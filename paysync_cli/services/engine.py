"""The duties of a worker: one check from its job to its written end, with everything around it grouped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from paysync_cli.banks.base import Bank
from paysync_cli.errors import DatabaseLocked, DatabaseUnavailable
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.payments.status import PlanState
from paysync_cli.queue.names import Ended, JobName
from paysync_cli.services.batching import GROUP_LIMIT, Batch
from paysync_cli.services.gate import Closed, Gate
from paysync_cli.services.slots import Fair, Room
from paysync_cli.services.stopped import Stopped
from paysync_cli.services.sync import Asked, Judge, Recorded, ask, record_each
from paysync_cli.services.telling import Counts, Teller, tell_attempt
from paysync_cli.store import qrs
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database

BUSY_WAIT_MIN_S, BUSY_WAIT_MAX_S = 0.1, 2.0
AWAY_TOLD_EVERY_S = 5.0  # that the database is away, however many checks wait for it
READ_EVERY_S = 0.005
WRITE_EVERY_S = 0.05  # nobody waits for a write: the slot is free before it. A group costs as much as 20 rows in it
WRITE_LATE_S = 10.0  # an answer that waits so long to be written: no more are asked for
AHEAD_S, AHEAD_AT_MOST = 0.05, 200  # checks made ready beside those in flight: what is asked in so many seconds
PLACE_AHEAD_S = 0.02  # a place takes so long to get: who has one waits no longer for a slot
PARKED_AT_MOST = 500  # jobs that wait for their bank beside those that hold a slot
PACE_OVER_S = 1.0

log = logging.getLogger("paysync.checks")


@dataclass(frozen=True)
class OpenBank:
    """A bank ready to be asked: its adapter, the environment its credential is for, how often to ask."""

    bank: Bank
    environment: str
    rhythm: Rhythm


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Due QRs of a bank that may not be asked: `reason` is credential_stopped, paused, breaker_open or held."""

    bank: str
    reason: str
    due: int


class Engine:
    """Runs the checks of one worker process. Implements the worker's `Duties`."""

    def __init__(
        self,
        store: Database,
        banks: Mapping[str, OpenBank],
        clock: Clock,
        stopped: Stopped,
        gate: Gate,
        *,
        concurrency: int = 1,
        counts: Counts | None = None,
    ) -> None:
        self.fair = Fair(concurrency)
        self._gate = gate
        self._slots = asyncio.Semaphore(concurrency)
        self._store = store
        self._banks = banks
        self._clock = clock
        self._stopped = stopped
        self._rhythms = {name: bank.rhythm for name, bank in banks.items()}
        self._load = Batch(self._load_group, "paysync-read", every_s=READ_EVERY_S)
        self._write = Batch(self._write_group, "paysync-write", every_s=WRITE_EVERY_S)
        self._teller = Teller(counts)
        self._concurrency = concurrency
        self._pace = Pace()
        gate.room = Room(concurrency, lambda: round(self._pace.per_s() * PLACE_AHEAD_S))
        # Answers that another session's lock keeps from the books: the others do not wait with them.
        self._write_locked = Batch(self._write_group, "paysync-write-locked", every_s=WRITE_EVERY_S)
        self._writing: dict[object, float] = {}  # since when; the oldest first
        self._locked = 0
        self._told_late = False
        self._away_told_at = float("-inf")
        self._tell_wanted: Callable[[], None] = lambda: None

    def wanted(self, running: int) -> int:
        """How many jobs to take beside the running ones: what the slots lack, and a little more, because a job
        needs a while from Redis to its slot.

        Those that wait for their bank's turn hold no slot, nor do those whose answer is being written.
        """
        if self._write.groups_waiting >= 1 or self._locked >= GROUP_LIMIT or self._writes_are_late():
            return 0
        parked = self._gate.waiting + self.fair.waiting
        getting_there = running - len(self._writing) - self._locked - parked
        return max(0, min(self._concurrency + self._ahead() - getting_there, PARKED_AT_MOST - parked))

    def _writes_are_late(self) -> bool:
        """Whether an answer waits too long for the database: more of them would only be lost with this worker."""
        since = next(iter(self._writing.values()), None)
        late = since is not None and time.monotonic() - since > WRITE_LATE_S
        if late and not self._told_late:
            log.warning("an answer could not be written for %.0f s: no more jobs are taken until it is", WRITE_LATE_S,
                        extra={"event_name": "writes_late"})  # fmt: skip
        self._told_late = late
        return late

    def worth_taking(self) -> int:
        """How many must be wanted before a round trip for them pays; so few that no slot stands empty meanwhile."""
        return max(1, min((self._concurrency + self._ahead()) // 4, self._ahead()))

    def _ahead(self) -> int:
        return min(round(self._pace.per_s() * AHEAD_S), AHEAD_AT_MOST)

    async def check(self, name: JobName, queue: str) -> Ended:
        qr = await self._load_patiently(name.qr)
        if qr is None:
            log.error("job %s names a QR that is not in this database", name.id,
                      extra={"event_name": "job_unknown_row", "job_id": name.id, "queue": queue})  # fmt: skip
            return Ended("failed", f"no QR row {name.qr} in this database")
        if qr.plan.seq != name.seq or qr.plan.state is PlanState.DONE:
            return Ended("gone")
        bank = self._banks.get(qr.bank)
        if bank is None or bank.environment != qr.environment or qr.bank in self._stopped.reasons:
            await self._give_back_patiently(name)
            return Ended("gone")
        try:
            asked = await self._ask(bank, qr, queue)
        except Closed as closed:
            await self._give_back_unasked(name, qr, closed)
            return Ended("gone")
        if asked.failure is not None and asked.failure.outcome == "refused":
            # Nothing happened to the QR: it stays due as it was, for the day somebody unlocks the bank.
            await asyncio.to_thread(self._stopped.heed, qr.bank, asked.failure.message)
            await self._give_back_patiently(name)
            return Ended("gone")
        recorded = await self._write_patiently(asked)
        return Ended(recorded.how, recorded.reason)

    async def _ask(self, bank: OpenBank, qr: Qr, queue: str) -> Asked:
        """Ask, once the bank's gate lets us and a slot is free. Raises Closed."""
        async with self.fair.share(qr.bank), self._gate.question(qr.bank) as reaction, self._slots:
            tell_attempt(qr, bank.rhythm, queue)
            asked = await ask(bank.bank, qr, self._clock.now, time.monotonic)
            self._pace.count()
            reaction.failed = asked.unanswered
            if asked.failure is not None and asked.failure.outcome == "throttled":
                reaction.hold_s = asked.failure.wait_s
            return asked

    async def _give_back_unasked(self, name: JobName, qr: Qr, closed: Closed) -> None:
        """The row stays due while its bank is closed; one that is only too early for the rate gets its moment."""
        at = self._clock.now() + self._clock.span(closed.wait_s or 0.0) if closed.reason == "rate" else None
        await self._give_back_patiently(name, at)
        log.debug(
            "%s: not asked: %s", qr.qr_id, closed.reason,
            extra={"event_name": "check_not_asked", "qr_id": qr.qr_id, "bank": qr.bank, "seq": name.seq,
                   "job_id": name.id, "reason": closed.reason},
        )  # fmt: skip

    def tell_when_wanted(self, tell: Callable[[], None]) -> None:
        self._tell_wanted = self.fair.when_parked = self._gate.when_parked = tell

    async def give_back(self, names: Sequence[JobName]) -> None:
        rows = [(name.qr, name.seq) for name in names]
        if rows:
            await asyncio.to_thread(self._put_back, rows)

    async def done(self) -> bool:
        return await asyncio.to_thread(self._nothing_left)

    def close(self) -> None:
        self._gate.close()
        self._load.close()
        self._write.close()
        self._write_locked.close()
        with contextlib.suppress(DatabaseUnavailable):
            self._teller.settle(self._store)

    async def _load_patiently(self, row_id: int) -> Qr | None:
        """The row; a database that is away is waited for: the job keeps its lease, no attempt is used."""
        wait_s = BUSY_WAIT_MIN_S
        while True:
            try:
                return await self._load.submit(row_id)
            except DatabaseUnavailable as error:
                wait_s = await self._wait_for_database(error, wait_s)

    async def _write_patiently(self, asked: Asked) -> Recorded:
        one = object()
        self._writing[one] = time.monotonic()
        self._tell_wanted()
        try:
            return await self._write_until(self._write, asked)
        except DatabaseLocked:
            pass
        finally:
            del self._writing[one]
        self._locked += 1
        try:
            return await self._write_until(self._write_locked, asked)
        finally:
            self._locked -= 1

    async def _write_until(self, batch: Batch[Asked, Recorded], asked: Asked) -> Recorded:
        """Raises DatabaseLocked, unless this is the batch of those that wait for locks."""
        wait_s = BUSY_WAIT_MIN_S
        while True:
            try:
                return await batch.submit(asked)
            except DatabaseUnavailable as error:
                if isinstance(error, DatabaseLocked) and batch is self._write:
                    raise
                wait_s = await self._wait_for_database(error, wait_s)

    async def _give_back_patiently(self, name: JobName, at: datetime | None = None) -> None:
        wait_s = BUSY_WAIT_MIN_S
        while True:
            try:
                await asyncio.to_thread(self._put_back, [(name.qr, name.seq)], at)
                return
            except DatabaseUnavailable as error:
                wait_s = await self._wait_for_database(error, wait_s)

    async def _wait_for_database(self, error: DatabaseUnavailable, wait_s: float) -> float:
        """Every check in flight comes here; one of them speaks for all."""
        now = time.monotonic()
        if now - self._away_told_at >= AWAY_TOLD_EVERY_S:
            self._away_told_at = now
            log.warning("%s", error.message, extra={"event_name": "database_unavailable"})
        await asyncio.sleep(wait_s * (1 + random.random() / 2))
        return min(wait_s * 2, BUSY_WAIT_MAX_S)

    def _load_group(self, ids: Sequence[int]) -> list[Qr | None]:
        self._stopped.refresh()
        with self._store.read() as tx:
            rows = qrs.load(tx, ids)
        return [rows.get(row_id) for row_id in ids]

    def _write_group(self, group: Sequence[Asked]) -> list[Recorded | DatabaseUnavailable]:
        judge = Judge(self._rhythms, self._clock.now(), random.random)
        return record_each(self._store, group, judge, witness=self._teller)

    def _put_back(self, rows: Sequence[tuple[int, int]], at: datetime | None = None) -> None:
        with self._store.write() as tx:
            qrs.put_back(tx, rows, at=at)

    def left_behind(self) -> list[LeftBehind]:
        """What is due and cannot be asked now, because its bank is closed. Blocks: reads SQL and Redis."""
        closed = self._closed()
        with self._store.read() as tx:
            due = qrs.count_due(tx, self._clock.now())
        return [LeftBehind(bank, reason, due[bank]) for bank, reason in sorted(closed.items()) if due.get(bank)]

    def _closed(self) -> dict[str, str]:
        return self._gate.closed(list(self._banks)) | dict.fromkeys(self._stopped.reasons, "credential_stopped")

    def _nothing_left(self) -> bool:
        now = self._clock.now()
        closed = self._closed()
        with self._store.read() as tx:
            for name, bank in self._banks.items():
                # A bank that only asked us to wait is waited for: that is short, and its QRs are due.
                if closed.get(name, "held") != "held":
                    continue
                if qrs.next_due_at(tx, name, bank.environment, ripe=now):
                    return False
                if qrs.check_under_way(tx, name, bank.environment):
                    return False
        return True


class Pace:
    """How many questions a second were answered lately."""

    def __init__(self) -> None:
        self._since, self._count, self._per_s = time.monotonic(), 0, 0.0

    def count(self) -> None:
        self._count += 1

    def per_s(self) -> float:
        """The figure of the last whole second or so; while the first one runs, of what there is."""
        span_s = time.monotonic() - self._since
        if span_s >= PACE_OVER_S:
            self._per_s, self._since, self._count = self._count / span_s, self._since + span_s, 0
        return max(self._per_s, self._count / max(span_s, 0.1))
