"""What a parent of worker processes tells its service manager; a child that hangs is ended, to be started again."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Mapping

from paysync_cli.runtime.service_manager import Listening, ServiceManager

KILL_AFTER_S = 5.0  # a process that hangs too deep to say where (SIGABRT) is killed
LONGEST_LOOK_S = 1.0

log = logging.getLogger("paysync.worker")


class ChildWatch:
    """To its children the parent is what systemd is to the parent: they say the same words on a socket of its own.

    Only a child that has been ready is judged. A pause of the parent itself (a suspended machine) counts as one short
    look: it tells nothing about the children.
    """

    def __init__(self, manager: ServiceManager, count: int) -> None:
        self._manager, self._count = manager, count
        self._line = Listening()
        self._silent_s: dict[int, float] = {}  # of each child that is ready
        self._ended: set[int] = set()
        self._told: set[str] = set()  # READY=1, STOPPING=1: once each, as soon as the manager takes it
        self._looked_at = time.monotonic()
        self._told_at = 0.0

    @property
    def environment(self) -> dict[str, str]:
        """What a child must find in its environment."""
        return self._line.environment(self._manager.watchdog_s)

    def look(self, children: Mapping[int, float], *, stopping: bool) -> None:
        """Hear the children (by pid), end those that hang, tell the manager. Called several times a second."""
        now = time.monotonic()
        passed_s = min(now - self._looked_at, LONGEST_LOOK_S)
        self._looked_at = now
        self._silent_s = {pid: silent_s + passed_s for pid, silent_s in self._silent_s.items() if pid in children}
        for pid, words in self._line.heard():
            if pid in children and (pid in self._silent_s or "READY=1" in words):
                self._silent_s[pid] = 0.0
        if not stopping:
            self._end_silent()
        self._tell(now, stopping=stopping)

    def close(self) -> None:
        self._line.close()

    def _end_silent(self) -> None:
        limit_s = self._manager.watchdog_s
        for pid, silent_s in self._silent_s.items():
            if limit_s is None or silent_s <= limit_s:
                continue
            if pid not in self._ended:
                self._ended.add(pid)
                log.error(
                    "worker process %d hangs: no sign of life for %.0f s; ending it", pid, silent_s,
                    extra={"event_name": "worker_process_hangs", "pid": pid},
                )  # fmt: skip
                _send(pid, signal.SIGABRT)
            elif silent_s > limit_s + KILL_AFTER_S:
                _send(pid, signal.SIGKILL)
        self._ended &= set(self._silent_s)

    def _tell(self, now: float, *, stopping: bool) -> None:
        status = f"STATUS={len(self._silent_s)} of {self._count} worker processes work."
        if stopping:
            news, status = {"STOPPING=1"}, "STATUS=Stopping: finishes what is in flight."
        else:
            news = {"READY=1"} if len(self._silent_s) == self._count else set()
        news -= self._told
        if news or now - self._told_at >= self._manager.beat_every_s:
            self._told_at = now
            if self._manager.tell(*news, "WATCHDOG=1", status):
                self._told |= news


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
