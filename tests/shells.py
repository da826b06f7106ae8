"""Real interactive shells on a pseudo-terminal: a line is typed, TAB is pressed, and the line that stands there then
is read back from the shell itself."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

SHELLS = ("bash", "zsh", "fish")
REQUIRED = "PAYSYNC_TESTS_REQUIRE_SHELLS"  # set where all of them have to be there
PATIENCE_S = 30
_MARK = "@ready@"
_TELL = b"\x18\x14"  # Ctrl-X Ctrl-T, bound to: write the line into the file $TOLD
_CLEAR = b"\x15"  # Ctrl-U

# What a shell reads first: a prompt to wait for, the two bindings, then the completions.
_SETUP = {
    "bash": [
        f"PS1='{_MARK}'", "bind 'set bell-style none'", "bind 'set completion-query-items 0'",
        "bind 'set page-completions off'", "bind 'set enable-bracketed-paste off'", "HISTFILE=",
        """__tell() { printf '%s' "$READLINE_LINE" > "$TOLD.new" && mv "$TOLD.new" "$TOLD"; }""",
        """bind -x '"\\C-x\\C-t": __tell'""",
    ],
    "zsh": [
        f"PS1='{_MARK}' RPS1= PROMPT_EOL_MARK=", "unset zle_bracketed_paste", "HISTFILE= LISTMAX=10000",
        "unsetopt BEEP",
        """__tell() { print -rn -- "$BUFFER" > "$TOLD.new" && mv "$TOLD.new" "$TOLD" }""",
        "zle -N __tell", "bindkey -e", "bindkey '^X^T' __tell", "autoload -Uz compinit && compinit -u -D",
    ],
    "fish": [
        f"function fish_prompt; printf '{_MARK}'; end", "set -g fish_greeting ''",
        "set -g fish_autosuggestion_enabled 0",
        "bind \\cx\\ct 'commandline > $TOLD.new; mv $TOLD.new $TOLD'", "bind \\cu kill-whole-line",
    ],
}  # fmt: skip
_START = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"], "fish": ["-i"]}


@dataclass
class Shell:
    """One running shell."""

    kind: str
    terminal: int
    told: Path
    shown: str = ""

    def complete(self, *pieces: str, tabs: int = 1) -> str:
        """The line after each piece was typed and TAB pressed; `shown` is what the terminal showed meanwhile."""
        self.told.unlink(missing_ok=True)
        self.shown = ""
        self._type(_CLEAR)
        for piece in pieces:
            self._type(piece.encode())
            for _tab in range(tabs):
                self._read(0.01)
                self._type(b"\t")
        self._type(_TELL)
        end = time.monotonic() + PATIENCE_S
        while not self.told.exists():
            assert time.monotonic() < end, self.shown
            self._read(0.01)
        if tabs > 1:
            self._read(0.2)  # what it listed may still be on its way through the terminal
        return self.told.read_text().removesuffix("\n")

    def run_completed(self, *pieces: str) -> None:
        """Run the line that stands there after each piece was typed and TAB pressed."""
        self.complete(*pieces)
        self.shown = ""
        self._type(b"\r")
        self.await_prompt()

    def run(self, line: str) -> None:
        """Run a command line as it is."""
        self.shown = ""
        self._type(_CLEAR + line.encode() + b"\r")
        self.await_prompt(line)

    def await_prompt(self, after: str = "") -> None:
        """Wait for the prompt that follows this text."""
        end = time.monotonic() + PATIENCE_S
        while _MARK not in self.shown[self.shown.find(after) + len(after) :] or after not in self.shown:
            assert time.monotonic() < end, self.shown
            self._read(0.02)

    def _type(self, text: bytes) -> None:
        os.write(self.terminal, text)

    def _read(self, wait_s: float) -> None:
        while select.select([self.terminal], [], [], wait_s)[0]:
            with contextlib.suppress(OSError):
                self.shown += os.read(self.terminal, 65536).decode("utf-8", "replace")
                continue
            break


@contextlib.contextmanager
def shell(kind: str, folder: Path, env: Mapping[str, str], setup: Sequence[str] = ()) -> Iterator[Shell]:
    """A shell of this kind with `folder` as its home and working folder; `setup` are its own lines, run first."""
    program = shutil.which(kind)
    if program is None and not os.environ.get(REQUIRED):
        pytest.skip(f"no {kind} here")
    assert program is not None, f"{kind} is not on PATH"
    told = folder / "told"
    start = folder / f"start.{kind}"
    start.write_text("\n".join((*_SETUP[kind], *setup)) + "\n")
    leader, follower = pty.openpty()
    # A terminal that knows nothing: no shell waits for its answers, none colours the line.
    surroundings = {"TERM": "dumb", "HOME": str(folder), "LC_ALL": "C.UTF-8", "TOLD": str(told),
                    "PATH": os.environ.get("PATH", "")} | dict(env)  # fmt: skip
    child = subprocess.Popen([program, *_START[kind]], env=surroundings, cwd=folder, stdin=follower, stdout=follower,
                             stderr=follower, start_new_session=True, preexec_fn=_own_terminal)  # fmt: skip
    os.close(follower)
    try:
        one = Shell(kind, leader, told)
        one._type(f". {start}\r".encode())
        one.await_prompt(f"start.{kind}")
        yield one
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(leader)


def _own_terminal() -> None:
    """Make the pseudo-terminal the child's controlling one, as a login does."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
