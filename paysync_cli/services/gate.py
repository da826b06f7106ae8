"""Passing the gate of a bank: who may ask now, who waits outside the worker's slots, whose bank is closed.

What is shared by all workers lies in Redis (`queue.gate`) and SQL (pause, credential stop, operators' limits); here it
is put together, read at most once a second, and asked for in groups.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import uuid4

from paysync_cli.banks.base import Bank, BankError, ListsPayments, Throttled, Unavailable
from paysync_cli.errors import DatabaseUnavailable, RedisUnavailable
from paysync_cli.payments.qr import Answer, Ask, PaidDay
from paysync_cli.queue.gate import BankGate, BreakerSeen, Kept, Left, Verdict, Wish, Word
from paysync_cli.services.batching import Batch
from paysync_cli.services.slots import Room
from paysync_cli.store import banks as bank_rows
from paysync_cli.store.alerts import AlertKind, begin_state
from paysync_cli.store.banks import BankState
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database

FRESH_S = 1.0
PASS_EVERY_S = 0.01
WAIT_AT_MOST_S = 10.0
RENEWALS = 3  # of a place within its lease: two may fail
GONE_AFTER = 0.9  # of a lease without renewal the question is cut off: before anybody else can have its place
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

    def under(self, state: BankState | None) -> Limits:
        """What holds: the operator's limits where there are some, else these."""
        if state is None:
            return self
        return Limits(self.environment, state.rate_per_s or self.rate_per_s, state.concurrency or self.concurrency)


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
        return self._limits[bank].under(self._states.get(bank))

    def _is_ours(self, state: BankState) -> bool:
        own = self._limits.get(state.bank)
        return own is not None and own.environment == state.environment


class Closed(Exception):
    """The bank may not be asked now. `wait_s` is None while nobody knows how long."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Stay:
    """Questions that are still under way and keep their places."""

    places: tuple[Kept, ...]


@dataclass(slots=True)
class Reaction:
    """How the bank took a question: `failed` without a readable answer, `hold_s` when it wants nobody for so long.

    While `failed` is None nothing is known: the question was cut off, or never reached the bank.
    """

    failed: bool | None = None
    hold_s: float = 0.0


class Question:
    """One question's stay inside the gate. It lasts no longer than its place is ours."""

    __slots__ = ("_gate", "_limit", "_reaction", "place")

    def __init__(self, gate: Gate, bank: str, token: str) -> None:
        self._gate, self.place = gate, Kept(bank, token)
        self._reaction = Reaction()

    async def __aenter__(self) -> Reaction:
        try:
            until = await self._gate.turn(self.place.bank, self.place.token)
        except Closed:
            raise
        except BaseException:  # cancelled: it may have got its place at this very moment
            await self._gate.give_up(self.place, self._reaction)
            raise
        self._limit = asyncio.timeout_at(until)
        await self._limit.__aenter__()
        self._gate.keep(self)
        return self._reaction

    async def __aexit__(self, *error: Any) -> None:
        try:
            await self._limit.__aexit__(*error)
        except TimeoutError:
            log.warning("a question to bank %s was cut off: its place could not be kept", self.place.bank,
                        extra={"event_name": "place_lost", "bank": self.place.bank})  # fmt: skip
            raise Closed("place_lost") from None
        finally:
            await self._gate.leave(self, self._reaction)

    def renewed(self, until: float | None) -> None:
        """The place is ours until then, by the loop's clock."""
        if not self._limit.expired():
            self._limit.reschedule(until)


class Gate:
    """The way to every bank for one process. Without a BankGate (no Redis at hand) only SQL's word counts."""

    def __init__(self, gate: BankGate | None, store: Database, desk: Desk, clock: Clock) -> None:
        self._gate, self._store, self.desk, self._clock = gate, store, desk, clock
        self._through: Batch[Wish | Stay | Left, Verdict | None] = Batch(
            self._through_group, "paysync-gate", every_s=PASS_EVERY_S
        )
        self._name, self._questions = uuid4().hex, 0
        self.room = Room()
        self._inside: set[Question] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._untold: list[str] = []  # banks whose breaker opened, and SQL does not know it yet
        self.waiting = 0  # questions that wait for their turn, outside the slots
        self.when_parked: Callable[[], None] = lambda: None

    def question(self, bank: str) -> Question:
        """A place for one question, as `async with`. The body tells the Reaction whether there was a readable answer,
        or a 429.

        Entering raises Closed when the bank is paused, stopped, broken, wants nobody now, or is too far behind; so does
        leaving, when the question was cut off because its place could not be kept (Redis away).
        """
        self._questions += 1
        return Question(self, bank, f"{self._name}-{self._questions}")

    def keep(self, question: Question) -> None:
        """Renew this question's place until it leaves."""
        self._inside.add(question)
        if self._gate is not None and (self._keeper is None or self._keeper.done()):
            self._keeper = asyncio.create_task(self._keep_places(self._gate.lease_s))

    async def leave(self, question: Question, reaction: Reaction) -> None:
        """The question is over: its place is free, and the bank's breaker knows how it went."""
        self._inside.discard(question)
        self.room.leave()
        await self.give_up(question.place, reaction)

    async def give_up(self, place: Kept, reaction: Reaction) -> None:
        """The place is nobody's any more, also when it is given only now, or when this wait is cancelled."""
        await self._through.submit(Left(place.bank, place.token, reaction.failed, reaction.hold_s))

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
        self._through.close()

    async def turn(self, bank: str, token: str) -> float | None:
        """Wait for this bank's turn. Returns until when the place is ours by the loop's clock, None: for ever.

        Raises Closed.
        """
        booked = False
        waited_s = 0.0
        while True:
            verdict, asked_at = await self._ask_for_place(bank, token, booked)
            if verdict.word is Word.GO:
                return self._ours_until(asked_at)
            if verdict.word is Word.OPEN:
                raise Closed("breaker_open", verdict.wait_s)
            waited_s += verdict.wait_s
            if verdict.word is Word.BEHIND or waited_s > WAIT_AT_MOST_S:
                raise Closed("rate", verdict.wait_s)
            booked = booked or verdict.word is Word.LATER
            await self._wait(verdict.wait_s)

    async def _ask_for_place(self, bank: str, token: str, booked: bool) -> tuple[Verdict, float]:
        """The verdict, once there is room for whoever gets a place. Only who got one keeps the room, too."""
        await self.room.enter()
        word = None
        try:
            limits = self.desk.limits(bank)
            verdict, asked_at = await self._ask_gate(Wish(bank, token, limits.rate_per_s, limits.concurrency, booked))
            word = verdict.word
            return verdict, asked_at
        finally:
            if word is not Word.GO:
                self.room.leave()

    async def _ask_gate(self, wish: Wish) -> tuple[Verdict, float]:
        """The verdict, and when it was asked for: a lease is counted from before it was given."""
        while True:
            asked_at = asyncio.get_running_loop().time()
            verdict = await self._through.submit(wish)
            if verdict is not None:
                return verdict, asked_at
            if reason := self.desk.closed(wish.bank):
                raise Closed(reason)
            await self._wait(REDIS_WAIT_S)

    async def _keep_places(self, lease_s: float) -> None:
        """While there are questions inside, renew their places. Redis away: they are cut off in time by themselves."""
        wait_s = lease_s / RENEWALS
        while self._inside:
            await asyncio.sleep(wait_s)
            inside, asked_at = list(self._inside), asyncio.get_running_loop().time()
            kept = await self._through.submit(Stay(tuple(one.place for one in inside)))
            wait_s = lease_s / RENEWALS if kept is not None else REDIS_WAIT_S
            for question in self._inside.intersection(inside) if kept is not None else ():  # some left meanwhile
                question.renewed(self._ours_until(asked_at))

    def _ours_until(self, asked_at: float) -> float | None:
        return asked_at + GONE_AFTER * self._gate.lease_s if self._gate is not None else None

    async def _wait(self, seconds: float) -> None:
        self.waiting += 1
        self.when_parked()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.waiting -= 1

    def _through_group(self, group: Sequence[Wish | Stay | Left]) -> list[Verdict | None]:
        """The verdicts of those who wish to enter or stay, None while Redis is away; who leaves needs no answer.

        None also for the wishes at a bank that SQL says is closed, and for all of them without SQL's word.
        """
        shut = self._shut({one.bank for one in group if isinstance(one, Wish)})
        if self._gate is None:
            return [None if isinstance(one, Wish) and one.bank in shut else Verdict(Word.GO) for one in group]
        kept = [place for one in group if isinstance(one, Stay) for place in one.places]
        left = [one for one in group if isinstance(one, Left)]
        over = {one.token for one in left}  # whoever was cancelled meanwhile must get no place behind its leaving
        wishes = [one for one in group if isinstance(one, Wish) and one.bank not in shut and one.token not in over]
        try:
            opened, verdicts = self._gate.through(kept, left, wishes)
        except RedisUnavailable:
            return [None] * len(group)  # the places of those who left end by themselves
        self._untold += opened
        self._tell_open()
        answers = dict(zip((wish.token for wish in wishes), verdicts, strict=True))
        return [answers.get(one.token) if isinstance(one, Wish) else Verdict(Word.GO) for one in group]

    def _shut(self, banks: set[str]) -> set[str]:
        """Those of these banks that nobody may ask now, by SQL's word."""
        try:
            self.desk.refresh()
        except DatabaseUnavailable as error:
            log.warning("%s", error.message, extra={"event_name": "database_unavailable"})
            return banks
        return {bank for bank in banks if self.desk.closed(bank)}

    def _breakers(self, banks: Sequence[str]) -> Mapping[str, BreakerSeen]:
        return self._gate.look(banks) if self._gate is not None else {}

    def _tell_open(self) -> None:
        """Raise the alerts of the breakers that opened; while SQL is away they are kept for the next group."""
        while self._untold:
            bank = self._untold[0]
            now: datetime = self._clock.now()
            try:
                with self._store.write() as tx:
                    begin_state(tx, AlertKind.BREAKER_OPEN, bank, "", now)
            except DatabaseUnavailable:
                return
            self._untold.pop(0)
            log.error("bank %s does not answer: nobody asks it but probes until it does", bank,
                      extra={"event_name": "breaker_open", "bank": bank})  # fmt: skip


class _Gated:
    """A bank asked through its gate, for callers without slots: the foreground check, the day list, reconcile.

    A closed gate is `Throttled`: nothing was asked, nothing is used up.
    """

    def __init__(self, bank: Bank, gate: Gate) -> None:
        self.profile = bank.profile
        self.books_qr_amount = getattr(bank, "books_qr_amount", False)
        self._bank: Any = bank
        self._gate = gate

    async def check(self, ask: Ask) -> Answer:
        answer: Answer = await self._through(lambda: self._bank.check(ask))
        return answer

    async def _through(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with self._gate.question(self.profile.name) as reaction:
                try:
                    answer = await call()
                except Unavailable:
                    reaction.failed = True
                    raise
                except Throttled as throttled:
                    reaction.hold_s = throttled.retry_after_s or HOLD_WITHOUT_HINT_S
                    reaction.failed = False if throttled.asked else None
                    raise
                except BankError:
                    reaction.failed = False
                    raise
                reaction.failed = False
                return answer
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
