"""Passing the gate of a bank: who may ask now, who waits outside the worker's slots, whose bank is closed.

What is shared by all workers lies in Redis (`queue.gate`) and SQL (pause, credential stop, operators' limits); here it
is put together, read at most once a second, and asked for in groups.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import uuid4

from paysync_cli.banks.base import Bank, ListsPayments, Throttled, Unavailable
from paysync_cli.errors import RedisUnavailable
from paysync_cli.payments.qr import Answer, Ask, PaidDay
from paysync_cli.queue.gate import BankGate, BreakerSeen, Left, Verdict, Wish, Word
from paysync_cli.services.batching import Batch
from paysync_cli.store import banks as bank_rows
from paysync_cli.store.alerts import AlertKind, raise_alert
from paysync_cli.store.banks import BankState
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database

FRESH_S = 1.0
WAIT_AT_MOST_S = 10.0
ALLOWANCE_S = 2.0  # how much work of a bank may be dispatched ahead
REDIS_WAIT_S = 0.5
HOLD_WITHOUT_HINT_S = 30.0

log = logging.getLogger("paysync.gate")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings allow towards one bank: questions a second, and at the same time, over all workers."""

    environment: str
    rate_per_s: float
    concurrency: int


class Desk:
    """Which banks are closed and what their limits are: SQL's word, read at most once a second."""

    def __init__(self, store: Database, limits: Mapping[str, Limits], clock: Clock) -> None:
        self._store, self._limits, self._clock = store, limits, clock
        self._states: Mapping[str, BankState] = {}
        self._read_at = float("-inf")

    def refresh(self) -> None:
        """Read SQL again when what is known is older than a second."""
        if time.monotonic() - self._read_at < FRESH_S:
            return
        with self._store.read() as tx:
            rows = bank_rows.states(tx)
        self._states = {state.bank: state for state in rows if self._is_ours(state)}
        self._read_at = time.monotonic()

    def closed(self, bank: str) -> str | None:
        """Why nobody may ask this bank (`paused`, `credential_stopped`), None when it is open for questions."""
        state = self._states.get(bank)
        return None if state is None else state.closed(self._clock.now())

    def limits(self, bank: str) -> Limits:
        """The operator's limits where there are some, else the settings' ones."""
        own, state = self._limits[bank], self._states.get(bank)
        if state is None:
            return own
        return Limits(own.environment, state.rate_per_s or own.rate_per_s, state.concurrency or own.concurrency)

    def _is_ours(self, state: BankState) -> bool:
        own = self._limits.get(state.bank)
        return own is not None and own.environment == state.environment


class Closed(Exception):
    """The bank may not be asked now. `wait_s` is None while nobody knows how long."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


@dataclass(slots=True)
class Reaction:
    """How the bank took a question: `failed` without a readable answer, `hold_s` when it wants nobody for so long."""

    failed: bool = False
    hold_s: float = 0.0


class Gate:
    """The way to every bank for one process. Without a BankGate (no Redis at hand) only SQL's word counts."""

    def __init__(self, gate: BankGate | None, store: Database, desk: Desk, clock: Clock) -> None:
        self._gate, self._store, self.desk, self._clock = gate, store, desk, clock
        self._enter: Batch[Wish, Verdict] = Batch(self._enter_group, "paysync-gate")
        self._leave: Batch[Left, None] = Batch(self._leave_group, "paysync-gate")
        self.waiting = 0  # questions that wait for their turn, outside the slots
        self.when_parked: Callable[[], None] = _nothing

    @asynccontextmanager
    async def question(self, bank: str) -> AsyncIterator[Reaction]:
        """A place for one question. The body tells the Reaction when there was no readable answer, or a 429.

        Raises Closed when the bank is paused, stopped, broken, wants nobody now, or is too far behind.
        """
        token = uuid4().hex
        await self._turn(bank, token)
        reaction = Reaction()
        try:
            yield reaction
        finally:
            await asyncio.shield(self._leave.submit(Left(bank, token, reaction.failed, reaction.hold_s)))

    def closed(self, banks: Sequence[str]) -> dict[str, str]:
        """Why these banks may not be asked now, for those that may not. Blocks: reads SQL and Redis."""
        self.desk.refresh()
        reasons = {bank: reason for bank in banks if (reason := self.desk.closed(bank))}
        for bank, seen in self._breakers(banks).items():
            if seen.state != "closed":
                reasons.setdefault(bank, "breaker_open" if seen.state == "open" else "held")
        return reasons

    def allowances(self, banks: Sequence[str]) -> dict[str, int]:
        """How many questions of each bank may be dispatched ahead; a closed bank is absent. Blocks."""
        self.desk.refresh()
        found: dict[str, int] = {}
        for bank, seen in self._breakers(banks).items():
            if seen.state == "closed" and self.desk.closed(bank) is None:
                rate = min(self.desk.limits(bank).rate_per_s, seen.ramp_per_s or float("inf"))
                found[bank] = max(1, math.ceil(rate * ALLOWANCE_S))
        return found

    async def probe(self, bank: str, ping: Callable[[], Awaitable[object]]) -> bool:
        """Send the one probe of an open breaker, when it is time; whether one was sent."""
        token = uuid4().hex
        if self._gate is None or not await asyncio.to_thread(self._gate.may_probe, bank, token):
            return False
        failed = True
        try:
            failed = not await _answers(ping)
        finally:
            await asyncio.to_thread(self._gate.probed, bank, token, failed=failed)
        log.info("probe of bank %s: %s", bank, "no answer" if failed else "it answers again",
                 extra={"event_name": "breaker_probe", "bank": bank, "failed": failed})  # fmt: skip
        return True

    def close(self) -> None:
        self._enter.close()
        self._leave.close()

    async def _turn(self, bank: str, token: str) -> None:
        booked = False
        waited_s = 0.0
        while True:
            if reason := self.desk.closed(bank):
                raise Closed(reason)
            limits = self.desk.limits(bank)
            verdict = await self._ask_gate(Wish(bank, token, limits.rate_per_s, limits.concurrency, booked))
            if verdict.word is Word.GO:
                return
            if verdict.word is Word.OPEN:
                raise Closed("breaker_open", verdict.wait_s)
            waited_s += verdict.wait_s
            if verdict.word is Word.BEHIND or waited_s > WAIT_AT_MOST_S:
                raise Closed("rate", verdict.wait_s)
            booked = booked or verdict.word is Word.LATER
            await self._wait(verdict.wait_s)

    async def _ask_gate(self, wish: Wish) -> Verdict:
        while True:
            try:
                return await self._enter.submit(wish)
            except RedisUnavailable:
                await self._wait(REDIS_WAIT_S)

    async def _wait(self, seconds: float) -> None:
        self.waiting += 1
        self.when_parked()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.waiting -= 1

    def _enter_group(self, wishes: Sequence[Wish]) -> list[Verdict]:
        self.desk.refresh()
        return self._gate.enter(wishes) if self._gate is not None else [Verdict(Word.GO)] * len(wishes)

    def _leave_group(self, left: Sequence[Left]) -> list[None]:
        try:
            opened = self._gate.leave(left) if self._gate is not None else []
        except RedisUnavailable:
            opened = []  # the places end by themselves
        for bank in opened:
            self._tell_open(bank)
        return [None] * len(left)

    def _breakers(self, banks: Sequence[str]) -> Mapping[str, BreakerSeen]:
        return self._gate.look(banks) if self._gate is not None else {}

    def _tell_open(self, bank: str) -> None:
        log.error("bank %s does not answer: nobody asks it but probes until it does", bank,
                  extra={"event_name": "breaker_open", "bank": bank})  # fmt: skip
        now: datetime = self._clock.now()
        with self._store.write() as tx:
            raise_alert(tx, AlertKind.BREAKER_OPEN, bank, f"bank {bank} does not answer; only probes reach it", now)


class _Gated:
    """A bank asked through its gate, for callers without slots: the foreground check, the day list, reconcile.

    A closed gate is `Throttled`: nothing was asked, nothing is used up.
    """

    def __init__(self, bank: Bank, gate: Gate) -> None:
        self.profile = bank.profile
        self._bank: Any = bank
        self._gate = gate

    async def check(self, ask: Ask) -> Answer:
        answer: Answer = await self._through(lambda: self._bank.check(ask))
        return answer

    async def _through(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with self._gate.question(self.profile.name) as reaction:
                try:
                    return await call()
                except Unavailable:
                    reaction.failed = True
                    raise
                except Throttled as throttled:
                    reaction.hold_s = throttled.retry_after_s or HOLD_WITHOUT_HINT_S
                    raise
        except Closed as closed:
            raise Throttled(f"not asked: {closed.reason.replace('_', ' ')}", closed.wait_s) from None


class _GatedLister(_Gated):
    async def paid_on(self, day: date) -> PaidDay:
        listed: PaidDay = await self._through(lambda: self._bank.paid_on(day))
        return listed


def gated(bank: Bank, gate: Gate) -> Bank:
    """The bank behind its gate, with a day list when it has one."""
    return _GatedLister(bank, gate) if isinstance(bank, ListsPayments) else _Gated(bank, gate)


async def _answers(ping: Callable[[], Awaitable[object]]) -> bool:
    try:
        await ping()
    except Unavailable:
        return False
    except Throttled as throttled:
        return throttled.asked  # too early for a login: nobody knows yet
    except Exception:  # any other word is an answer: the line is up
        return True
    return True


class Fair:
    """While several banks have work, none holds more than half of the worker's slots."""

    def __init__(self, slots: int) -> None:
        self._half = max(1, slots // 2)
        self._held: dict[str, int] = defaultdict(int)
        self._changed = asyncio.Condition()
        self._contended = False
        self.waiting = 0  # questions that wait for their bank's share, outside the slots
        self.when_parked: Callable[[], None] = _nothing

    async def contend(self, contended: bool) -> None:
        """Say whether more than one bank has work now."""
        if contended is not self._contended:
            async with self._changed:
                self._contended = contended
                self._changed.notify_all()

    @asynccontextmanager
    async def share(self, bank: str) -> AsyncIterator[None]:
        """A place among the bank's own."""
        async with self._changed:
            self.waiting += 1
            self.when_parked()
            try:
                await self._changed.wait_for(lambda: not self._contended or self._held[bank] < self._half)
            finally:
                self.waiting -= 1
            self._held[bank] += 1
        try:
            yield
        finally:
            async with self._changed:
                self._held[bank] -= 1
                self._changed.notify_all()


def _nothing() -> None:
    """Nobody wants to know."""
