"""File locks (flock) that live as long as they should.

A flock belongs to an open file description: two objects of one process exclude each other like two processes,
the kernel drops the lock of a killed process, and a descriptor handed to a child carries the lock along.
The last is wanted for the server and unwanted after a fork, where a leaving parent would take the lock away
from its child: so a forked child gets locks of its own here, or none.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


class Lock:
    """One open file description of one lock file. The file is never deleted.

    A lock with `for_children` is a count of users: a forked child holds one of its own, taken before the fork,
    so that there is no moment in which the child is not counted. Any other lock stays with the parent.
    """

    def __init__(self, path: Path, *, for_children: bool = False) -> None:
        self.path = path
        self.for_children = for_children
        self.shared = False
        self._fd: int | None = None
        self._heir: int | None = None

    @property
    def held(self) -> bool:
        """True while this object has the lock."""
        return self._fd is not None

    def take(self, *, shared: bool = False) -> bool:
        """Take the lock, or say False at once because somebody else has it."""
        with _fork_guard:
            fd = _locked_fd(self.path, shared=shared)
            if fd is None:
                return False
            self._fd, self.shared = fd, shared
            _held.add(self)
            return True

    def turn_exclusive(self) -> bool:
        """Give the shared lock up and try for the exclusive one; False leaves this object without any lock.

        Two who do it at the same moment: both have given up before either tries, so one of them succeeds.
        """
        self.release()
        return self.take()

    def release(self) -> None:
        """Unlock. Said to the kernel, not only by closing: a child between fork and exec may hold a copy."""
        with _fork_guard:
            if self._fd is not None:
                with contextlib.suppress(OSError):
                    fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._close()

    def hand_over(self) -> None:
        """Close our copy without unlocking: the lock now lives as long as the child that inherited it."""
        with _fork_guard:
            self._close()

    def fileno(self) -> int:
        """The descriptor, to be inherited by a child."""
        assert self._fd is not None, "not locked"
        return self._fd

    def _close(self) -> None:
        _held.discard(self)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _before_fork(self) -> None:
        if self.for_children and self.shared:
            with contextlib.suppress(OSError):
                self._heir = _locked_fd(self.path, shared=True)

    def _after_fork_in_parent(self) -> None:
        if self._heir is not None:
            os.close(self._heir)
            self._heir = None

    def _after_fork_in_child(self) -> None:
        self._close()
        if self._heir is not None:
            self._fd, self._heir = self._heir, None
            _held.add(self)


def is_locked(path: Path, *, even_shared: bool = False) -> bool:
    """True while somebody holds the lock exclusively, or at all. The first question disturbs nobody who asks it."""
    try:
        fd = _locked_fd(path, shared=not even_shared, create=False)
    except FileNotFoundError:
        return False
    if fd is None:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)
    return False


def _locked_fd(path: Path, *, shared: bool, create: bool = True) -> int | None:
    fd = os.open(path, _FLAGS if create else _FLAGS & ~os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


_held: set[Lock] = set()
_fork_guard = threading.RLock()


def _before_fork() -> None:
    _fork_guard.acquire()
    for lock in _held:
        lock._before_fork()


def _after_fork_in_parent() -> None:
    for lock in _held:
        lock._after_fork_in_parent()
    _fork_guard.release()


def _after_fork_in_child() -> None:
    global _fork_guard  # noqa: PLW0603  the inherited one may count threads that do not exist here
    _fork_guard = threading.RLock()
    for lock in list(_held):
        lock._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
