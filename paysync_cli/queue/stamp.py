"""A worker's own sign of life on its host: a file that it touches every few seconds and keeps locked while it lives.

Neither Redis nor the database has a part in it, so that `paysync health --live` blames a worker only for itself. A
worker that was killed lets go of its lock: what it leaves behind is nobody's, and the next worker clears it away.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVERY_S = 5.0
SILENT_S = 30.0
FOLDER = "workers"


@dataclass(frozen=True, slots=True)
class Stamped:
    """A worker that lives on this host, and how long ago it stamped."""

    name: str
    pid: int
    age_s: float

    @property
    def fresh(self) -> bool:
        return self.age_s <= SILENT_S


class Stamp:
    """The worker's side. `touch` raises nothing: a full disk must not end a worker."""

    def __init__(self, home: Path, name: str) -> None:
        self._path = home / FOLDER / f"{name}.json"
        self._name = name
        self._file: int | None = None

    def touch(self) -> None:
        with suppress(OSError):
            if self._file is None or not self._path.exists():
                self.remove()
                self._file = self._create()
            os.utime(self._file)

    def remove(self) -> None:
        """The worker ends."""
        if self._file is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _create(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self._path.parent.glob("*.json"):
            if _read(path) is not None and not _is_held(path):
                path.unlink(missing_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        written = {"name": self._name, "pid": os.getpid(), "host": socket.gethostname()}
        os.write(file, json.dumps(written).encode())
        return file


def living(home: Path) -> list[Stamped]:
    """The workers of this home that live on this host, by name."""
    found = []
    for path in sorted((home / FOLDER).glob("*.json")):
        written = _read(path)
        if written is None or not _is_held(path):
            continue
        with suppress(OSError):
            age_s = max(0.0, time.time() - path.stat().st_mtime)
            found.append(Stamped(str(written["name"]), int(written["pid"]), age_s))
    return found


def killed(home: Path) -> frozenset[str]:
    """The workers of this home and host that left without a word: their stamp is there, and nobody holds it."""
    written = {path: _read(path) for path in (home / FOLDER).glob("*.json")}
    return frozenset(
        str(one["name"])
        for path, one in written.items()
        # Looked for last: one that leaves in this moment takes its stamp with it.
        if one is not None and not _is_held(path) and path.exists()
    )


def _read(path: Path) -> dict[str, Any] | None:
    """What a worker of this host wrote; None for anything else: another host's lock cannot be seen from here."""
    try:
        written: dict[str, Any] = json.loads(path.read_text())
        return written if written["host"] == socket.gethostname() and int(written["pid"]) > 0 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_held(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
