"""paysync on a terminal that a person watches and types at: a real process on a real pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.process import PAYSYNC, TIMEOUT_S, clean_environment

_SEQUENCE = re.compile(rb"\x1b\[[0-9;?<>=:]*[ -/]*[@-~]|\x1b[()][0-9A-B]|\x1b[=>78]")


@dataclass
class Screen:
    """The terminal's other end. `shown` is all that was written to it so far."""

    child: subprocess.Popen[bytes]
    leader: int
    shown: bytearray = field(default_factory=bytearray)

    def type(self, keys: str) -> None:
        os.write(self.leader, keys.encode())

    def until(self, words: str, since: int = 0) -> int:
        """Read until these words stand there, written after `since`; how much was written by then."""
        deadline = time.monotonic() + TIMEOUT_S
        while words not in self.text(since):
            assert time.monotonic() < deadline, f"{words!r} never came:\n{self.text(since)[-4000:]}"
            assert self._read(0.2) or self.child.poll() is None, f"ended:\n{self.text(since)[-4000:]}"
        return len(self.shown)

    def text(self, since: int = 0) -> str:
        """What was written after `since`, without the sequences that place and style it."""
        return _SEQUENCE.sub(b"", bytes(self.shown[since:])).decode("utf-8", "replace")

    def resize(self, columns: int, lines: int) -> None:
        set_size(self.leader, columns, lines)
        self.child.send_signal(signal.SIGWINCH)

    def end(self) -> int:
        """Read to the end; the exit status."""
        while self._read(TIMEOUT_S):
            pass
        return self.child.wait(TIMEOUT_S)

    def _read(self, seconds: float) -> bool:
        if not select.select([self.leader], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self.leader, 65536)
        except OSError:  # Linux's way of saying that nobody holds the other end
            return False
        self.shown += piece
        return bool(piece)


@contextlib.contextmanager
def on_screen(
    *args: str, env: Mapping[str, str], cwd: Path, columns: int = 80, lines: int = 24
) -> Iterator[Screen]:  # fmt: skip
    leader, follower = pty.openpty()
    set_size(follower, columns, lines)
    environment = clean_environment(cwd, {"TERM": "xterm-256color"} | dict(env))
    child = subprocess.Popen(
        [*PAYSYNC, *args], env=environment, cwd=cwd, stdin=follower, stdout=follower, stderr=follower,
        start_new_session=True, preexec_fn=_own_terminal,
    )  # fmt: skip
    os.close(follower)
    try:
        yield Screen(child, leader)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        os.close(leader)


def set_size(terminal: int, columns: int, lines: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C typed there is a signal
