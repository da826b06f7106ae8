"""The vault that all workers of an installation share: Redis carries the token and the turns, SQL the stop.

No login goes out before SQL was read: a stopped or paused bank is not logged in to, and neither is any while SQL does
not answer. SQL is read after the turn is taken, and a stop is written before the turn ends: nobody slips between.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4

from paysync_cli.banks.base import Discarded, KeptToken, Throttled, Unavailable, already_stopped
from paysync_cli.banks.seal import Seal
from paysync_cli.banks.session import FIRST_WAIT_S, MAX_WAIT_S, MemoryVault, refresh_margin_s, too_early
from paysync_cli.errors import DatabaseUnavailable, RedisUnavailable
from paysync_cli.queue.vault import ShelvedToken, TokenShelf, Turn
from paysync_cli.services.stopped import Stopped
from paysync_cli.store.alerts import AlertKind, raise_alert
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database

FRESH_S = 1.0
BUSY_WAIT_S = 10.0  # for somebody else's login; a bank takes about one
DECISION_WAIT_S = 30.0  # for somebody else's stop to be in the database
BUSY_POLL_S = 0.05
LONGEST_KEPT_S = 86_400.0  # what claims to last longer in Redis counts as damaged
LATER_S = 5.0

T = TypeVar("T")

log = logging.getLogger("paysync.credentials")


class SharedVault:
    """One credential's vault in one process. Implements `TokenVault`.

    Without a shelf, the token is kept in this process; stops hold for all the same. `waits` says what happens when
    Redis goes away: a worker waits for it, a foreground command goes on alone.
    """

    def __init__(
        self,
        bank: str,
        seal: Seal,
        shelf: TokenShelf | None,
        stopped: Stopped,
        store: Database,
        clock: Clock,
        *,
        waits: bool,
    ) -> None:
        self._bank, self._seal, self._shelf = bank, seal, shelf
        self._stopped, self._store, self._clock, self._waits = stopped, store, clock, waits
        self._alone: MemoryVault | None = MemoryVault(clock.now) if shelf is None else None
        self._held: KeptToken | None = None  # a copy, looked after once a second
        self._looked_at = float("-inf")
        self._rejected = ""  # the mark of the token that this process saw rejected last, until it sees another
        self._owner = uuid4().hex  # names this vault as the one whose turn it is
        self._not_before: datetime | None = None
        self._deciding = asyncio.Lock()
        self._decided_until = float("-inf")
        self._closed_until = float("-inf")
        self._closed_because: tuple[str, float | None] = ("", None)

    # -- the token ----------------------------------------------------------------------------------------------

    async def read(self) -> KeptToken | None:
        if time.monotonic() - self._looked_at >= FRESH_S:
            self._looked_at = time.monotonic()
            await self._look()
        self._heed_stop()
        return await self._alone.read() if self._alone is not None else self._held

    async def accept(self, text: str) -> None:
        if self._alone is not None:
            await self._alone.accept(text)
        elif self._held is not None and self._held.on_trial and self._held.text == text:
            self._held = replace(self._held, on_trial=False)
            await self._asked_of_redis(lambda shelf: shelf.accept(self._seal.mark(text)), None)

    async def discard(self, text: str, *, again: bool) -> Discarded:
        self._heed_stop()
        if self._alone is not None:
            return await self._alone.discard(text, again=again)
        held, mark = self._held, self._seal.mark(text)
        ours = held is not None and held.text == text
        on_trial = held is not None and held.on_trial
        self._rejected, self._looked_at = mark, float("-inf")
        if ours:
            self._held = None
        found = await self._asked_of_redis(lambda shelf: shelf.discard(self._owner, mark, again=again), "")
        if not found:  # Redis is away: our own copy is all there is to go by
            found = ("trial" if on_trial else "gone") if ours else "unknown"
        if again and found in ("replaced", "unknown"):
            await self._await_decision()
        return _DISCARDED[found]

    # -- logging in ---------------------------------------------------------------------------------------------

    async def begin_login(self) -> KeptToken | None:
        if time.monotonic() < self._closed_until:
            raise self._not_now(*self._closed_because)
        try:
            await asyncio.to_thread(self._heed_sql)
            return await self._begin()
        except Throttled as throttled:
            if not self._still_good():
                # Spares those who stand in line behind this one the same round trips and the same patience.
                wait_s = self._real_s(throttled.retry_after_s or 0.0)
                self._closed_until = time.monotonic() + min(FRESH_S, wait_s)
                self._closed_because = (throttled.message, throttled.retry_after_s)
            raise

    async def keep(self, text: str, lifetime_s: float, sent_at: datetime) -> KeptToken:
        self._not_before = None
        if self._alone is not None:
            return await self._alone.keep(text, lifetime_s, sent_at)
        lifetime_s = min(lifetime_s, LONGEST_KEPT_S)
        left_s = lifetime_s - (self._clock.now() - sent_at).total_seconds()
        token = ShelvedToken(
            self._seal.mark(text),
            self._seal.close(text),
            refresh_in_s=self._real_s(left_s - refresh_margin_s(lifetime_s)),
            expires_in_s=self._real_s(left_s),
            on_trial=bool(self._rejected),
        )
        self._rejected = ""
        without_redis: bool | None = token.on_trial
        on_trial = await self._asked_of_redis(lambda shelf: shelf.store(self._owner, token), without_redis)
        # None: the turn was lost to somebody else. This token is as good as theirs; read() finds theirs at once.
        self._held = self._kept(text, replace(token, on_trial=bool(on_trial)))
        self._looked_at = time.monotonic() if on_trial is not None else float("-inf")
        log.info("logged in to bank %s", self._bank, extra={"event_name": "logged_in", "bank": self._bank})
        return self._held

    async def unanswered(self, failure: Unavailable | Throttled) -> float:
        if isinstance(failure, Unavailable):
            await asyncio.to_thread(self._alert, failure.message)
        if self._alone is not None:
            return await self._alone.unanswered(failure)
        asked_s = (failure.retry_after_s or 0.0) if isinstance(failure, Throttled) else 0.0
        shared_s = await self._asked_of_redis(lambda shelf: shelf.fail(self._owner, asked_s), 0.0)
        wait_s = max(shared_s, asked_s, self._own_wait_s())
        self._not_before = self._clock.now() + timedelta(seconds=wait_s)
        return wait_s

    async def abandon(self) -> None:
        if self._alone is None:
            await self._asked_of_redis(lambda shelf: shelf.fail(self._owner), 0.0)

    async def stop(self, reason: str) -> None:
        self._stopped.note(self._bank, reason)
        self._held, self._not_before = None, None
        if self._alone is not None:
            self._alone = MemoryVault(self._clock.now)
        await asyncio.to_thread(self._write_stop)

    # -- the copy -----------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Bring the copy and the stops up to date. Without Redis the copy serves until its end."""
        await asyncio.to_thread(self._stopped.refresh)
        if self._alone is not None:
            return
        found = await self._asked_of_redis(lambda shelf: shelf.read(), None)
        if found is None:
            return
        shelved, rejected = found
        if shelved is not None:
            self._held = self._opened(shelved)
        elif self._held is not None and self._seal.mark(self._held.text) == rejected:
            self._held = None
        # Else Redis lost it, evicted or flushed: ours is as good as before.

    def _opened(self, shelved: ShelvedToken) -> KeptToken | None:
        """The token that lies there; None when nobody with this credential sealed it, or it is known as rejected."""
        if shelved.mark == self._rejected:
            return None
        text = self._seal.open(shelved.sealed)
        if text is None or self._seal.mark(text) != shelved.mark:
            return None
        self._rejected = ""
        return self._kept(text, shelved)

    def _kept(self, text: str, token: ShelvedToken) -> KeptToken:
        now, span = self._clock.now(), self._clock.span
        return KeptToken(text, now + span(token.refresh_in_s), now + span(token.expires_in_s), token.on_trial)

    # -- the turn -----------------------------------------------------------------------------------------------

    async def _begin(self) -> KeptToken | None:
        if (wait_s := self._own_wait_s()) > 0:
            raise too_early(wait_s)
        if self._alone is None and self._shelf is not None:
            try:
                return await self._take_turn(self._shelf)
            except RedisUnavailable as error:
                if self._waits:
                    raise self._not_now(f"nobody logs in without Redis: {error.message}") from None
                log.warning("%s", error.message, extra={"event_name": "vault_alone", "bank": self._bank})
                self._alone = MemoryVault(self._clock.now)
        return await self._alone.begin_login() if self._alone is not None else None

    async def _take_turn(self, shelf: TokenShelf) -> KeptToken | None:
        give_up_at = time.monotonic() + BUSY_WAIT_S
        while True:
            taken = await asyncio.to_thread(shelf.take, self._owner, FIRST_WAIT_S, MAX_WAIT_S)
            if taken.turn is Turn.GO:
                await self._heed_sql_again()
                self._not_before = self._clock.now() + timedelta(seconds=taken.wait_s)
                return None
            if taken.turn is Turn.WAIT:
                raise too_early(taken.wait_s)
            if taken.token is not None:
                if (kept := self._opened(taken.token)) is not None:
                    self._held, self._looked_at = kept, time.monotonic()
                    return kept
                await asyncio.to_thread(shelf.drop, taken.token.sealed)
            elif self._still_good() or time.monotonic() > give_up_at:
                raise self._not_now("another worker is logging in")
            await asyncio.sleep(BUSY_POLL_S)

    def _still_good(self) -> bool:
        return self._held is not None and self._clock.now() < self._held.expires_at

    def _own_wait_s(self) -> float:
        """What is left of the wait after an unanswered login of this process, whatever Redis remembers."""
        return (self._not_before - self._clock.now()).total_seconds() if self._not_before is not None else 0.0

    async def _heed_sql_again(self) -> None:
        """With the turn in hand: whoever had it before may have stopped the credential."""
        try:
            await asyncio.to_thread(self._heed_sql)
        except BaseException:
            await self._asked_of_redis(lambda shelf: shelf.give_back(self._owner), None)
            raise

    def _heed_sql(self) -> None:
        """Raise what SQL says against a login. Blocks."""
        try:
            state = self._stopped.look().get(self._bank)
        except DatabaseUnavailable as error:
            self._heed_stop()
            raise self._not_now(f"nobody logs in without the database's word: {error.message}") from None
        self._heed_stop()
        if state is not None and state.closed(self._clock.now()) is not None:
            raise self._not_now(f"bank {self._bank} is paused")  # a short wait: it may be resumed at any time

    def _not_now(self, message: str, wait_s: float | None = None) -> Throttled:
        return Throttled(message, self._shown_s(LATER_S) if wait_s is None else wait_s, asked=False)

    def _heed_stop(self) -> None:
        reason = self._stopped.reasons.get(self._bank)
        if reason is not None:
            raise already_stopped(reason)

    async def _await_decision(self) -> None:
        """Somebody else had the same token rejected and decides what follows; raises Refused once it is a stop."""
        async with self._deciding:
            self._heed_stop()
            if time.monotonic() < self._decided_until:  # whoever stood in line before has seen that there is none
                return
            give_up_at = time.monotonic() + DECISION_WAIT_S
            busy = True
            while busy and time.monotonic() < give_up_at:
                # In this order: the one who decides writes a stop before it ends its turn.
                busy = await self._asked_of_redis(lambda shelf: shelf.is_busy(), False)
                await asyncio.to_thread(self._heed_sql)
                await asyncio.sleep(BUSY_POLL_S if busy else 0)
            self._decided_until = time.monotonic() + FRESH_S

    async def _asked_of_redis(self, ask: Callable[[TokenShelf], T], otherwise: T) -> T:
        if self._shelf is None:
            return otherwise
        try:
            return await asyncio.to_thread(ask, self._shelf)
        except RedisUnavailable as error:
            log.debug("%s", error.message, extra={"event_name": "vault_without_redis", "bank": self._bank})
            return otherwise

    # -- for people ---------------------------------------------------------------------------------------------

    def _write_stop(self) -> None:
        written = self._stopped.write()
        if self._shelf is None:
            return
        try:
            if written:
                self._shelf.stop(self._owner)
            else:
                self._shelf.fail(self._owner, MAX_WAIT_S)  # the others wait as long as they can be made to
        except RedisUnavailable as error:
            log.debug("%s", error.message, extra={"event_name": "vault_without_redis", "bank": self._bank})

    def _alert(self, message: str) -> None:
        now = self._clock.now()
        text = f"no login at bank {self._bank}: {message}"
        log.error("%s", text, extra={"event_name": "login_unanswered", "bank": self._bank})
        try:
            with self._store.write() as tx:
                raise_alert(tx, AlertKind.BANK_UNAVAILABLE, self._bank, message, now)
        except DatabaseUnavailable as error:
            log.warning("%s", error.message, extra={"event_name": "database_unavailable"})

    def _real_s(self, shown_s: float) -> float:
        return self._clock.real_s(timedelta(seconds=shown_s))

    def _shown_s(self, real_s: float) -> float:
        return self._clock.span(real_s).total_seconds()


_DISCARDED = {
    "gone": Discarded.GONE,
    "trial": Discarded.GONE_ON_TRIAL,
    "replaced": Discarded.REPLACED,
    "unknown": Discarded.UNKNOWN,
}
