"""TERM and the own time-out as exceptions, so that a command ends through its `finally` blocks."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

INTERRUPTED, TERMINATED = 130, 143

# The alarm comes again this often: a library that swallowed the first one, or a clean-up that hangs, ends anyway.
_REPEAT_S = 5.0
# Some C calls (name resolution) let no Python signal handler run; this long after the time-out a thread ends all.
_LAST_RESORT_S = 8.0


class Terminated(BaseException):
    """SIGTERM came. Not an Exception: no `except Exception` on the way may take it for a failed call."""


class DeadlineReached(BaseException):
    """The command's own `--timeout` is over. Not an Exception, like `Terminated`."""


def behind(error: BaseException) -> BaseException | None:
    """The signal that this error comes from, if one does.

    It strikes anywhere, also inside a library's import or clean-up, which may fail over it in words of its own.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, (KeyboardInterrupt, Terminated, DeadlineReached)):
        seen = seen.__cause__ or seen.__context__
    return seen


def listen_for_term() -> None:
    """Turn TERM into Terminated, unless whoever started us chose otherwise (nohup, a test)."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


class Deadline:
    """The one `--timeout` of a process, in seconds; its last resort is called when nothing else ended it."""

    def __init__(self, last_resort: Callable[[], None]) -> None:
        self._last_resort = last_resort
        self._thread: threading.Timer | None = None

    def start(self, after_s: float) -> None:
        signal.signal(signal.SIGALRM, _deadline)
        signal.setitimer(signal.ITIMER_REAL, after_s, _REPEAT_S)
        self._thread = threading.Timer(after_s + _LAST_RESORT_S, self._last_resort)
        self._thread.daemon = True
        self._thread.start()

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._thread is not None:
            self._thread.cancel()


def run(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` for a command: TERM and the time-out cancel the work and come out as their exceptions.

    An exception that a signal handler raises inside an event loop stays in whichever task runs just then.
    """
    import asyncio

    async def watched() -> T:
        _loop_work.cancel = _canceller(asyncio.get_running_loop(), asyncio.current_task())
        try:
            return await work
        finally:
            _loop_work.cancel = None

    _loop_work.reason = None
    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        if _loop_work.reason is not None:
            raise _loop_work.reason() from None
        raise


class _LoopWork:
    """What a signal finds of the work in the main thread's event loop."""

    cancel: Callable[[], object] | None = None
    reason: type[BaseException] | None = None


_loop_work = _LoopWork()


def _canceller(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any] | None) -> Callable[[], object]:
    assert task is not None
    return lambda: loop.call_soon_threadsafe(task.cancel)


def _end(reason: type[BaseException]) -> None:
    if _loop_work.cancel is None:
        raise reason
    _loop_work.reason = _loop_work.reason or reason
    _loop_work.cancel()


def _terminate(_number: int, _frame: FrameType | None) -> None:
    _end(Terminated)


def _deadline(_number: int, _frame: FrameType | None) -> None:
    _end(DeadlineReached)
