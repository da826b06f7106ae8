"""From no answer to an answering server: never two on one folder, whoever is killed when."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from paysync_cli.errors import RedisUnavailable
from paysync_cli.language import _
from paysync_cli.queue.embedded.endpoint import Endpoint, read_endpoint
from paysync_cli.queue.embedded.folder import Folder
from paysync_cli.queue.embedded.launch import Launch, launch
from paysync_cli.queue.embedded.locks import Lock, is_locked
from paysync_cli.queue.embedded.patience import Patience
from paysync_cli.queue.embedded.pids import holds_open, is_running
from paysync_cli.queue.embedded.wire import Pulse, ask_to_stop, pulse

_LAUNCHES = 3
_DOUBT_S = 1.0
_PID_FILE_S = 0.5


@dataclass(frozen=True)
class Sight:
    """What can be seen of the server from outside."""

    lives: bool
    endpoint: Endpoint | None
    pulse: Pulse

    @property
    def answer(self) -> Endpoint | None:
        """The endpoint, when commands can be sent to it."""
        return self.endpoint if self.pulse.usable else None

    @property
    def out_of_reach(self) -> bool:
        """It lives, and nobody could ever reach it: its address or password is lost, or its socket file is gone."""
        if not self.lives:
            return False
        if self.endpoint is None or self.pulse is Pulse.STRANGER:
            return True
        return self.endpoint.socket is not None and not Path(self.endpoint.socket).is_socket()


def look(folder: Folder) -> Sight:
    """See whether a server lives (its lock is held: no pid is guessed) and what it answers."""
    lives = is_locked(folder.server_lock)
    endpoint = read_endpoint(folder.endpoint) if lives else None
    return Sight(lives, endpoint, pulse(endpoint) if endpoint else Pulse.SILENT)


def signal_to_stop(folder: Folder) -> None:
    """SIGTERM for a server that cannot be asked; only to a process that holds the server's lock."""
    pid = folder.running_pid()
    if pid is not None and holds_open(pid, folder.server_lock):
        os.kill(pid, signal.SIGTERM)


def silence(folder: Folder, seconds: float) -> RedisUnavailable:
    """The sentence for a server that lives and does not answer."""
    return RedisUnavailable(
        _("the embedded Redis in {folder} (pid {pid}) has not answered for {seconds:g} s").format(
            folder=folder.path, pid=folder.running_pid() or "?", seconds=seconds
        ),
        hint=_("look at its log {log}; `paysync redis stop --yes` stops it").format(log=folder.log),
    )


class Startup:
    """Brings the server up, or waits for the process that is doing it."""

    def __init__(self, folder: Folder, chosen: str | None, deadline_s: float) -> None:
        self.folder = folder
        self.chosen = chosen
        self.deadline_s = deadline_s
        self.patience = Patience(deadline_s)
        self.last: Launch | None = None
        self.launches = 0

    def run(self) -> Endpoint:
        """The endpoint of a server that answers. RedisUnavailable when there is none in the end."""
        starting = Lock(self.folder.start_lock)
        try:
            while not starting.take():
                if (answer := self._look().answer) is not None:
                    return answer
                self._pause()
            self.patience.renew()
            return self._start()
        finally:
            starting.release()

    def _start(self) -> Endpoint:
        """The only one in here, by start.lock. Launches when no server lives, and waits for the one that does."""
        doubt = Patience(min(_DOUBT_S, self.deadline_s / 2))
        while True:
            self._launch_unless_one_lives()
            sight = self._look()
            if sight.answer is not None:
                return sight.answer
            if not sight.out_of_reach:
                doubt.renew()
            elif doubt.over:
                signal_to_stop(self.folder)
                doubt.renew()
            self._pause()

    def _launch_unless_one_lives(self) -> None:
        lock = Lock(self.folder.server_lock)
        if not lock.take():
            return
        try:
            if self.last is not None:
                self._judge(self.last)
            self.last = launch(self.folder, lock, self.chosen, self.deadline_s)
            self.launches += 1
            self.patience.renew()
        finally:
            lock.hand_over()

    def _judge(self, last: Launch) -> None:
        """The lock of the server that we launched is free: it died, or it runs and did not keep the lock."""
        if last.exit_status == 0 and self._runs_without_lock():
            ask_to_stop(last.endpoint, self.deadline_s)
            raise RedisUnavailable(
                _("{path} does not keep the lock that it was given, so two servers could write the same data").format(
                    path=last.binary.path
                ),
                hint=_("let PAYSYNC_REDIS_SERVER name the server itself, not a program that starts it"),
            )
        if self.launches >= _LAUNCHES:
            raise last.failure()

    def _runs_without_lock(self) -> bool:
        """The pid file is new (the old one was removed), so its pid is the server's; give it time to be written."""
        patience = Patience(_PID_FILE_S)
        while (pid := self.folder.running_pid()) is None or is_running(pid):
            if not patience.pause():
                return pid is not None
        return False

    def _look(self) -> Sight:
        sight = look(self.folder)
        if sight.pulse is Pulse.LOADING:
            self.patience.renew()  # it reads its data, however much that is
        return sight

    def _pause(self) -> None:
        if not self.patience.pause():
            raise silence(self.folder, self.deadline_s)


def wait_until_gone(folder: Folder, seconds: float) -> bool:
    """True once no server lives."""
    patience = Patience(seconds)
    while is_locked(folder.server_lock):
        if not patience.pause():
            return False
    return True
