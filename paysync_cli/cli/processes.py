"""`paysync worker --processes N`: the same worker in several processes, started, watched and stopped by this one."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from paysync_cli.cli.child_watch import ChildWatch
from paysync_cli.runtime.service_manager import NOBODY, ServiceManager

READY = b"ready\n"
LOOK_EVERY_S = 0.1
RESTART_MIN_S, RESTART_MAX_S = 1.0, 30.0
STEADY_S = 60.0  # a child that lived so long starts again without delay

log = logging.getLogger("paysync.worker")


@dataclass
class Child:
    """One worker process. `said` is what it wrote to standard output: its JSON document, if one was wanted."""

    number: int
    process: subprocess.Popen[bytes]
    started: float
    said: bytearray = field(default_factory=bytearray)
    ready: bool = False
    reader: threading.Thread | None = None

    def close(self) -> None:
        """Take the rest of what it wrote; it has ended."""
        if self.reader is not None:
            self.reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Processes:
    """N children with the command line of this process. One that dies is started again, one that was asked to end is
    not; signals are passed on.

    Each child has a session of its own, so that Ctrl-C at a terminal reaches it once, from here; it watches the pipe
    from this process and ends when that closes, however that happens.
    """

    def __init__(
        self, count: int, arguments: Sequence[str], *, restart: bool, manager: ServiceManager = NOBODY
    ) -> None:
        self._arguments = [*arguments, "--processes", "1", "--with-parent"]
        self._count, self._restart = count, restart
        self._children: dict[int, Child] = {}
        self._again_at: dict[int, float] = {}
        self._wait_s: dict[int, float] = {}
        self._stopping = False
        self._reopen: Callable[[int, FrameType | None], object] | int | None = None
        self._watch = ChildWatch(manager, count) if manager.address is not None else None
        self.statuses: list[int] = []
        self.documents: list[dict[str, Any]] = []

    def run(self) -> int:
        """Until all have ended; the first exit status that is not 0, or 0."""
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, self._pass_on)
        self._reopen = signal.getsignal(signal.SIGHUP)
        if callable(self._reopen):  # there is a log file, and each of us has it open
            signal.signal(signal.SIGHUP, self._pass_on_reopening)
        for number in range(self._count):
            self._start(number)
        while self._children or self._again_at:
            self._collect()
            self._start_again()
            if self._watch is not None:
                self._watch.look(self.started(), stopping=self._stopping)
            time.sleep(LOOK_EVERY_S)
        if self._watch is not None:
            self._watch.close()
        return next((status for status in self.statuses if status), 0)

    def started(self) -> dict[int, float]:
        """The pids of the children that run, each with the moment (monotonic) of its start. From any thread."""
        return {child.process.pid: child.started for child in list(self._children.values())}

    def _start(self, number: int) -> None:
        argv = [sys.executable, "-m", "paysync_cli", *self._arguments, "--number", str(number + 1)]
        watched = {} if self._watch is None else self._watch.environment
        process = subprocess.Popen(
            argv,
            env=os.environ | watched,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        child = Child(number, process, time.monotonic())
        child.reader = threading.Thread(target=_read, args=(child,), name=f"worker-{number}", daemon=True)
        child.reader.start()
        self._children[number] = child

    def _collect(self) -> None:
        for number, child in list(self._children.items()):
            status = child.process.poll()
            if status is None:
                continue
            del self._children[number]
            child.close()
            # A worker ends well only when it was asked to: by `worker-stop`, or by a signal of its own.
            if self._restart and not self._stopping and status != 0:
                self._plan_again(child, status)
                continue
            self.statuses.append(status if status >= 0 else 128 - status)
            if child.said:
                self.documents.append(json.loads(child.said))

    def _plan_again(self, child: Child, status: int) -> None:
        wait_s = self._wait_s.get(child.number, RESTART_MIN_S)
        if time.monotonic() - child.started > STEADY_S:
            wait_s = RESTART_MIN_S
        self._wait_s[child.number] = min(wait_s * 2, RESTART_MAX_S)
        self._again_at[child.number] = time.monotonic() + wait_s * (1 + random.random() / 2)
        log.error(
            "worker process %d (pid %d) ended with %d; starting it again in %.0f s",
            child.number, child.process.pid, status, wait_s,
            extra={"event_name": "worker_process_ended", "pid": child.process.pid, "exit_status": status},
        )  # fmt: skip

    def _start_again(self) -> None:
        if self._stopping:
            self._again_at.clear()
        for number, at in list(self._again_at.items()):
            if time.monotonic() >= at:
                del self._again_at[number]
                self._start(number)

    def _pass_on(self, number: int, _frame: object) -> None:
        self._stopping = True
        for child in self._children.values():
            if child.process.poll() is None:
                child.process.send_signal(number)

    def _pass_on_reopening(self, number: int, frame: FrameType | None) -> None:
        """Whoever is not ready may not heed the signal yet, and would end; it looks at the file as it writes."""
        if callable(self._reopen):
            self._reopen(number, frame)
        for child in self._children.values():
            if child.ready and child.process.poll() is None:
                child.process.send_signal(number)


def _read(child: Child) -> None:
    """Take what a child writes, so that it never waits for us."""
    stdout = child.process.stdout
    if stdout is None:
        return
    for line in stdout:
        if line == READY:
            child.ready = True
        else:
            child.said += line
