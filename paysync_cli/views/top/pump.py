"""Reads again and again on a thread of its own, so that the screen never waits for a database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from paysync_cli.views.top.desk import Look

LEAST_GAP_S = 0.4  # a few looks a second at most, however fast somebody turns the pages
REST = 4  # a slow database is left alone for so many times as long as a look took


class Pump:
    """Calls `look` every `every_s` seconds, sooner when woken, and tells what came of it.

    The thread is a daemon: a database that does not answer must not keep the person from leaving.
    """

    def __init__(self, look: Callable[[], Look], tell: Callable[[Look | Exception], None], every_s: float) -> None:
        self._look, self._tell, self._every_s = look, tell, every_s
        self._woken = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="top", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Look again soon."""
        self._woken.set()

    def end(self) -> None:
        """No further look; one that is under way is not waited for."""
        self._ended = True
        self._woken.set()

    def _run(self) -> None:
        while not self._ended:
            self._woken.clear()
            began = time.monotonic()
            try:
                seen: Look | Exception = self._look()
            except Exception as error:  # told on the screen; an unexpected one ends the program there
                seen = error
            if self._ended:
                return
            self._tell(seen)
            took_s = time.monotonic() - began
            time.sleep(max(0.0, LEAST_GAP_S - took_s))
            self._woken.wait(max(self._every_s, REST * took_s))
