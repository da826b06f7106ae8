"""Where the work of a request is done: on a few threads, never in the loop that answers the probes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from paysync_cli.errors import PaysyncError, UnavailableError
from paysync_cli.language import _
from paysync_cli.queue.client import QueueClient
from paysync_cli.runtime import Runtime

THREADS = 8

T = TypeVar("T")


class Desk:
    """The runtime of this process and the threads that use it."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._threads = ThreadPoolExecutor(THREADS, "serve")
        self._queue: QueueClient | None = None
        self._bell = threading.Lock()

    async def do(self, work: Callable[[], T], *, within_s: float) -> T:
        """The result of `work`. Raises UnavailableError when it is not there in time; what has begun goes on."""
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            raise UnavailableError(_("It was not done within {n:g} s.").format(n=within_s), code="too_slow") from None

    def wake_workers(self) -> PaysyncError | None:
        """Tell the workers that something is planned; why they could not be told. On one of the threads.

        An embedded server that does not run is no error and is not started: no worker runs there to be woken.
        """
        with self._bell:
            try:
                self._queue = self.runtime.queue_again(self._queue)
                if self._queue is not None:
                    self._queue.wake()
            except PaysyncError as error:
                return error
        return None

    def close(self) -> None:
        """Take nothing new; what has begun ends by its own time-outs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
