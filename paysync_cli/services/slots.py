"""Who takes part in a worker's slots: a fair share for each bank, and room for those who will have a slot soon."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Callable


class Fair:
    """While several banks have work, none holds more than half of the worker's slots."""

    def __init__(self, slots: int) -> None:
        self._half = max(1, slots // 2)
        self._held: dict[str, int] = defaultdict(int)
        self._queue: list[asyncio.Future[None]] = []
        self._contended = False
        self.waiting = 0  # questions that wait for their bank's share, outside the slots
        self.when_parked: Callable[[], None] = lambda: None

    def contend(self, contended: bool) -> None:
        """Say whether more than one bank has work now."""
        if contended is not self._contended:
            self._contended = contended
            self._look_again()

    def share(self, bank: str) -> Share:
        """A place among the bank's own, as `async with`."""
        return Share(self, bank)

    async def enter(self, bank: str) -> None:
        if not self._has_room(bank):
            self.waiting += 1
            self.when_parked()
            try:
                while not self._has_room(bank):
                    turn = asyncio.get_running_loop().create_future()
                    self._queue.append(turn)
                    await turn
            finally:
                self.waiting -= 1
        self._held[bank] += 1

    def leave(self, bank: str) -> None:
        self._held[bank] -= 1
        if self._queue:
            self._look_again()

    def _has_room(self, bank: str) -> bool:
        return not self._contended or self._held[bank] < self._half

    def _look_again(self) -> None:
        queue, self._queue = self._queue, []
        for turn in queue:
            if not turn.done():
                turn.set_result(None)


class Share:
    """One question's place among its bank's own."""

    __slots__ = ("_bank", "_fair")

    def __init__(self, fair: Fair, bank: str) -> None:
        self._fair, self._bank = fair, bank

    async def __aenter__(self) -> None:
        await self._fair.enter(self._bank)

    async def __aexit__(self, *_error: object) -> None:
        self._fair.leave(self._bank)


class Room:
    """Who may go for a place at a bank: as many as have a slot now or soon, first come, first served.

    A place that waits for its slot is one that no other worker can have.
    """

    def __init__(self, slots: float = math.inf, ahead: Callable[[], int] = lambda: 0) -> None:
        self._slots, self._ahead = slots, ahead
        self._inside = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        if not self._queue and self._inside < self._slots + self._ahead():
            self._inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave()  # it was let in at this very moment
            raise

    def leave(self) -> None:
        self._inside -= 1
        limit = self._slots + self._ahead()
        while self._queue and self._inside < limit:
            turn = self._queue.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)
