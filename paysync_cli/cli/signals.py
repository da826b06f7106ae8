"""TERM and the own time-out as exceptions, so that a command ends through its `finally` blocks."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

INTERRUPTED, TERMINATED = 130, 143

_term_came = threading.Event()  # a process ends by it: it is never cleared

# The alarm comes again this often: a library that swallowed the first one, or a clean-up that hangs, ends anyway.
_REPEAT_S = 5.0
# Some C calls (name resolution) let no Python signal handler run; this long after the time-out a thread ends all.
_LAST_RESORT_S = 8.0


class Terminated(BaseException):
    """SIGTERM came. Not an Exception: no `except Exception` on the way may take it for a failed call."""


class DeadlineReached(BaseException):
    """The command's own `--timeout` is over. Not an Exception, like `Terminated`."""


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


def terminated(error: BaseException) -> bool:
    """Whether this error is TERM's doing, also where it took Ctrl-C's way through an event loop."""
    return isinstance(error, Terminated) or (isinstance(error, KeyboardInterrupt) and _term_came.is_set())


def _terminate(_number: int, _frame: FrameType | None) -> None:
    _term_came.set()
    if _in_event_loop() and callable(signal.getsignal(signal.SIGINT)):
        # An exception raised here would stay in whichever task runs now. For Ctrl-C the loop has a way of its own.
        signal.raise_signal(signal.SIGINT)
        return
    raise Terminated


def _in_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # not loaded: no loop, and no reason to load it
    return asyncio is not None and asyncio._get_running_loop() is not None


def _deadline(_number: int, _frame: FrameType | None) -> None:
    raise DeadlineReached
