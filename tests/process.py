"""paysync as operators meet it: a real process with a clean environment, on pipes or on a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PAYSYNC = (sys.executable, "-m", "paysync_cli")
TIMEOUT_S = 60


@dataclass(frozen=True)
class Ended:
    """What a finished process left. On a terminal `out` holds both streams, as a person sees them."""

    status: int
    out: str
    err: str


def clean_environment(home: Path | None, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of ours or the caller's: PATH, UTF-8, a home that is nobody's, then `env`."""
    clean = {
        "PATH": os.environ.get("PATH", ""),
        "LC_ALL": "C.UTF-8",
        "PYTHONWARNINGS": "error",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if home is not None:
        clean["HOME"] = str(home)
    return clean | dict(env or {})


def run_paysync(
    *args: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    home: Path | None = None,
    program: Sequence[str] = PAYSYNC,
) -> Ended:
    """Run to the end on pipes. `home` (HOME) defaults to `cwd`, so that no test meets the developer's own settings."""
    done = subprocess.run(
        [*program, *args],
        env=clean_environment(home or cwd, env),
        cwd=cwd,
        input=stdin if stdin is not None else "",
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def start_paysync(
    *args: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    home: Path | None = None,
    program: Sequence[str] = PAYSYNC,
) -> subprocess.Popen[str]:
    """Start on pipes and return at once: for signals, and readers that leave. End it with `communicate`."""
    return subprocess.Popen(
        [*program, *args],
        env=clean_environment(home or cwd, env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def run_on_terminal(
    *args: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    typed: str = "",
    home: Path | None = None,
    program: Sequence[str] = PAYSYNC,
    columns: int = 120,
) -> Ended:
    """Run to the end with all three streams on a pseudo-terminal; `typed` is what the person types."""
    leader, follower = pty.openpty()
    _set_width(follower, columns)
    environment = clean_environment(home or cwd, {"TERM": "xterm-256color"} | dict(env or {}))
    child = subprocess.Popen(
        [*program, *args], env=environment, cwd=cwd, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    try:
        if typed:
            os.write(leader, typed.encode())
        shown = _read_to_end(leader)
        return Ended(child.wait(TIMEOUT_S), shown.replace("\r\n", "\n"), "")
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        os.close(leader)


def _read_to_end(leader: int) -> str:
    shown = bytearray()
    while select.select([leader], [], [], TIMEOUT_S)[0]:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux's way of saying that nobody holds the other end
            break
        if not piece:
            break
        shown += piece
    return shown.decode("utf-8", "replace")


def _set_width(terminal: int, columns: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
