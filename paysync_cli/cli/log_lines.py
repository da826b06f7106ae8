"""Where log lines go: gathered for a moment and written together.

Each write lets go of the interpreter's lock, and a busy worker would spend half its time getting it back. What is
gathered leaves at once with a warning or worse, after each group of checks that was committed
(`services.telling.flush_logs`), and at the latest after GATHER_S.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import Protocol

GATHER_S = 0.05
LOOK_EVERY_S = 1.0
AT_MOST = 1_000  # lines gathered
WHOLE_BYTES = 4096  # of a pipe: what is written in one go never mixes with another process's lines


class Target(Protocol):
    """Where bytes go."""

    def write(self, lines: list[bytes]) -> None:
        """Write whole lines. Raises OSError."""

    def look(self) -> None:
        """Called every second or so."""


class Stream:
    """An open stream, such as standard error."""

    def __init__(self, number: int) -> None:
        self._number = number

    def write(self, lines: list[bytes]) -> None:
        together = b""
        for line in lines:
            if together and len(together) + len(line) > WHOLE_BYTES:
                _write_all(self._number, together)
                together = b""
            together += line
        _write_all(self._number, together)

    def look(self) -> None:
        """A stream stays what it is."""


class File:
    """A file that may be moved away (logrotate): the next lines go to a new one of its name. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = self._open()
        self._reopen = False

    def reopen_soon(self) -> None:
        """Open it anew within a second. Does nothing that a signal handler may not do."""
        self._reopen = True

    def write(self, lines: list[bytes]) -> None:
        if self._reopen or self._was_moved():
            self._open_again()
        _write_all(self._number, b"".join(lines))

    def look(self) -> None:
        if self._reopen:
            self._open_again()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _was_moved(self) -> bool:
        try:
            now = self._path.stat()
        except OSError:
            return True
        ours = os.fstat(self._number)
        return (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino)

    def _open_again(self) -> None:
        """A new file, or the old one while none can be made: better there than nowhere."""
        with contextlib.suppress(OSError):
            before, self._number = self._number, self._open()
            self._reopen = False
            os.close(before)


class Lines(logging.Handler):
    """Gathers lines for a target; `at_once` writes each as it comes, for whoever watches."""

    def __init__(self, target: Target, *, at_once: bool) -> None:
        super().__init__()
        self._target, self._at_once = target, at_once
        self._lines: list[bytes] = []
        self._some = threading.Event()
        threading.Thread(target=self._write_in_time, name="paysync-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append((self.format(record) + "\n").encode(errors="backslashreplace"))
        except Exception:
            self.handleError(record)
            return
        if self._at_once or record.levelno >= logging.WARNING or len(self._lines) >= AT_MOST:
            self.flush()
        elif len(self._lines) == 1:
            self._some.set()

    def flush(self) -> None:
        """Write what is gathered. A full disk loses these lines and nothing else."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                with contextlib.suppress(OSError):
                    self._target.write(lines)
        finally:
            self.release()

    def _write_in_time(self) -> None:
        while True:
            if self._some.wait(LOOK_EVERY_S):
                self._some.clear()
                time.sleep(GATHER_S)
                self.flush()
            self.acquire()
            try:
                self._target.look()
            finally:
                self.release()


def _write_all(number: int, text: bytes) -> None:
    while text:
        text = text[os.write(number, text) :]
