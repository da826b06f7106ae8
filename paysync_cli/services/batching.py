"""Grouping: single requests from many tasks become few calls on one thread, which owns its connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")

GROUP_LIMIT = 300


class Batch(Generic[In, Out]):
    """Runs what is submitted together in groups: the first at once, further ones at most every `every_s`.

    So a lone item never waits, and under load the groups grow instead of their number. What arrives while a group
    is at work forms the next one. `work` takes a list and returns one result per item, in order: an exception among
    them is that item's, one that is raised reaches every item of the group. What was submitted is worked, also when
    nobody waits for it any more.
    """

    def __init__(
        self, work: Callable[[Sequence[In]], Sequence[Out | Exception]], name: str, *, every_s: float = 0.0
    ) -> None:
        self._work = work
        self._every_s = every_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._waiting: list[tuple[In, asyncio.Future[Out]]] = []
        self._runner: asyncio.Task[None] | None = None
        self._next_at = 0.0

    @property
    def groups_waiting(self) -> float:
        """How many full groups wait behind the one at work."""
        return len(self._waiting) / GROUP_LIMIT

    def submit(self, item: In) -> asyncio.Future[Out]:
        """The item's result, once its group was worked."""
        future: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return future

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(max(0.0, self._next_at - time.monotonic()))
            self._next_at = time.monotonic() + self._every_s
            group, self._waiting = self._waiting[:GROUP_LIMIT], self._waiting[GROUP_LIMIT:]
            try:
                results = await loop.run_in_executor(self._thread, self._work, [item for item, _future in group])
            except Exception as error:
                for _item, future in group:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_item, future), result in zip(group, results, strict=True):
                    if future.done():
                        continue
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
