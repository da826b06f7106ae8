"""The embedded Redis as commands see it: come, go, look, keep it on, switch it off."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paysync_cli.errors import PaysyncError, RedisUnavailable, RefusedError
from paysync_cli.language import _
from paysync_cli.queue.embedded.endpoint import Endpoint, read_endpoint
from paysync_cli.queue.embedded.folder import Folder, write_private
from paysync_cli.queue.embedded.locks import Lock, is_locked
from paysync_cli.queue.embedded.patience import Patience
from paysync_cli.queue.embedded.startup import Startup, look, signal_to_stop, silence, wait_until_gone
from paysync_cli.queue.embedded.wire import Pulse, ask_to_stop


@dataclass(frozen=True)
class EmbeddedStatus:
    """What is known of the server in one folder. `flavour`, `version`, `binary`: of the one that ran last."""

    state: str  # stopped, running, loading, cannot_write, not_answering
    running: bool
    pid: int | None
    socket: str | None
    url: str | None  # the password is masked
    flavour: str | None
    version: str | None
    binary: str | None
    folder: str
    log: str
    keep: bool  # it stays when the last paysync process leaves
    others_attached: bool | None  # None: this object is attached itself and cannot ask without letting go


_STATE = {
    Pulse.ALIVE: "running",
    Pulse.CANNOT_WRITE: "cannot_write",
    Pulse.LOADING: "loading",
    Pulse.STRANGER: "not_answering",
    Pulse.SILENT: "not_answering",
}


class EmbeddedRedis:
    """The server in `folder`, shared by every process of this user that names the same folder.

    Who attaches is counted by a file lock that the kernel drops when the process dies; a forked child is counted
    by itself. Several objects on one folder, in one process or many, do not disturb each other.
    `server` is the binary to run, None to find one; `deadline_s` bounds every wait but that for loading data.
    """

    def __init__(self, folder: Path, *, server: str | None = None, deadline_s: float = 10.0) -> None:
        self.folder = Folder(folder)
        self.deadline_s = deadline_s
        self._server = server
        self._users = Lock(self.folder.users_lock, for_children=True)
        self._guard = threading.RLock()
        _living.add(self)

    def attach(self) -> Endpoint:
        """Where the server answers; starts it when none runs. Again: looks, and starts it if it crashed.

        RefusedError for a folder of somebody else, SettingsError for a setting that cannot work,
        RedisUnavailable when there is no server or it does not answer.
        """
        _refuse_windows()
        with self._guard, self._in_words():
            self.folder.prepare()
            came = self._join()
            try:
                return look(self.folder).answer or Startup(self.folder, self._server, self.deadline_s).run()
            except BaseException:
                if came:
                    self._users.release()
                raise

    def attach_if_running(self) -> Endpoint | None:
        """Like `attach`, but None when no server runs: it never starts one."""
        with self._guard, self._in_words():
            if not self.folder.exists() or not is_locked(self.folder.server_lock):
                return None
            came = self._join()
            answer = None
            try:
                answer = self._answer_while_it_lives()
            finally:
                if came and answer is None:
                    self._users.release()
            return answer

    @property
    def has_run(self) -> bool:
        """Whether a server ever kept data in this folder."""
        return self.folder.exists() and self.folder.aof.exists()

    def leave(self) -> None:
        """Stop being counted; the last one out stops the server unless it is kept. Never fails.

        A server that cannot write to its disk is left alone: what it holds in memory would be lost.
        """
        with self._guard:
            if not self._users.held:
                return
            try:
                if self._alone() and not self.folder.keep.exists():
                    self._end_server(although_it_cannot_write=False)
            except (OSError, PaysyncError):
                pass  # it stays, and the next command attaches and cleans up
            finally:
                self._users.release()

    def status(self) -> EmbeddedStatus:
        """What there is. Starts nothing, attaches nothing, changes nothing."""
        with self._guard, self._in_words():
            self.folder.exists()
            sight = look(self.folder)
            last = read_endpoint(self.folder.endpoint)
            shown = last if sight.lives else None
            return EmbeddedStatus(
                state=_STATE[sight.pulse] if sight.lives else "stopped",
                running=sight.lives,
                pid=self.folder.running_pid() if sight.lives else None,
                socket=shown.socket if shown else None,
                url=shown.url() if shown else None,
                flavour=last.flavour if last else None,
                version=last.version if last else None,
                binary=last.binary if last else None,
                folder=str(self.folder.path),
                log=str(self.folder.log),
                keep=self.folder.keep.exists(),
                others_attached=self._others_attached(),
            )

    def endpoint(self) -> Endpoint | None:
        """Where the server answers, without being counted: for showing it. None when it does not run or answer."""
        with self._guard, self._in_words():
            self.folder.exists()
            return look(self.folder).answer

    def start(self) -> EmbeddedStatus:
        """Start the server when none runs and leave a mark, so that the last one out does not stop it."""
        with self._guard, self._in_words():
            was_attached = self._users.held
            self.attach()
            try:
                write_private(self.folder.keep, b"paysync redis start\n")
            finally:
                if not was_attached:
                    self.leave()
            return self.status()

    def stop(self, *, force: bool = False) -> EmbeddedStatus:
        """Remove the mark and stop the server; afterwards this object is not attached.

        RefusedError, and nothing changed, while others are attached or the server cannot write to its disk,
        unless `force`. No server: already so.
        """
        with self._guard, self._in_words():
            if not self.folder.exists():
                return self.status()
            was_attached = self._users.held
            try:
                self._stop(force=force)
            except RefusedError:
                if was_attached:
                    self._users.release()
                    self._join()
                raise
            finally:
                if self._users.held and not self._users.shared:
                    self._users.release()
            return self.status()

    def _join(self) -> bool:
        """Be counted. False when this object already is."""
        if self._users.held:
            return False
        patience = Patience(self.deadline_s)
        while not self._users.take(shared=True):
            if not patience.pause():
                raise RedisUnavailable(
                    _("another paysync process has been stopping the embedded Redis in {folder} for {s:g} s").format(
                        folder=self.folder.path, s=self.deadline_s
                    ),
                    hint=_("try again; if it stays so, look at its log {log}").format(log=self.folder.log),
                )
        return True

    def _answer_while_it_lives(self) -> Endpoint | None:
        patience = Patience(self.deadline_s)
        while (sight := look(self.folder)).lives:
            if sight.answer is not None:
                return sight.answer
            if sight.pulse is Pulse.LOADING:
                patience.renew()
            if not patience.pause():
                raise silence(self.folder, self.deadline_s)
        return None

    def _alone(self) -> bool:
        """Turn our place among the users into sole possession. False: others are there, and ours is given up."""
        if self._users.turn_exclusive():
            return True
        Patience(self.deadline_s).pause()  # a passing look at the lock (`status`) must not be taken for a user
        return self._users.take()

    def _others_attached(self) -> bool | None:
        if self._users.held:
            return None
        return is_locked(self.folder.users_lock, even_shared=True)

    def _stop(self, *, force: bool) -> None:
        alone = self._alone()
        if not alone and not force and is_locked(self.folder.server_lock):
            raise RefusedError(
                _("other paysync processes use the embedded Redis in {folder}").format(folder=self.folder.path),
                hint=_("end them first, or stop it all the same with --yes"),
            )
        with self._nobody_starting(needed=not alone):
            if not self._end_server(although_it_cannot_write=force):
                raise RefusedError(
                    _(
                        "the embedded Redis in {folder} cannot write to its disk, and what it has not written yet "
                        "would be lost"
                    ).format(folder=self.folder.path),
                    hint=_("make room on the disk, or stop it all the same with --yes"),
                )
            self.folder.keep.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _nobody_starting(self, *, needed: bool) -> Iterator[None]:
        """While others are attached, one of them may be starting the server right now."""
        starting = Lock(self.folder.start_lock)
        patience = Patience(self.deadline_s)
        while needed and not starting.take():
            if not patience.pause():
                raise silence(self.folder, self.deadline_s)
        try:
            yield
        finally:
            starting.release()

    def _end_server(self, *, although_it_cannot_write: bool) -> bool:
        """Stop the server and wait until it is gone. False: left alone, because it cannot write to its disk."""
        sight = look(self.folder)
        if not sight.lives:
            return True
        if sight.pulse is Pulse.CANNOT_WRITE and not although_it_cannot_write:
            return False
        can_be_asked = sight.endpoint is not None and sight.pulse not in (Pulse.SILENT, Pulse.STRANGER)
        if not (can_be_asked and sight.endpoint and ask_to_stop(sight.endpoint, self.deadline_s)):
            signal_to_stop(self.folder)
        if not wait_until_gone(self.folder, self.deadline_s):
            raise RedisUnavailable(
                _("the embedded Redis in {folder} (pid {pid}) does not stop").format(
                    folder=self.folder.path, pid=self.folder.running_pid() or "?"
                ),
                hint=_("look at its log {log}").format(log=self.folder.log),
            )
        return True

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RedisUnavailable(
                _("the embedded Redis in {folder} cannot be used: {reason}").format(
                    folder=self.folder.path, reason=error.strerror or error
                ),
                hint=_("set PAYSYNC_HOME to a folder on a local disk with room, or REDIS_URL to a Redis server"),
            ) from error


def _refuse_windows() -> None:
    if sys.platform == "win32":
        raise RedisUnavailable(
            _("the embedded Redis does not run on Windows"),
            hint=_("use WSL, or set REDIS_URL to a Redis server"),
        )


_living: weakref.WeakSet[EmbeddedRedis] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for one in _living:
        one._guard = threading.RLock()  # the inherited one may belong to a thread that does not exist here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
