"""Where the server listens: a unix socket in its own folder, or the next best place.

A socket's path must be short. Only endpoint.json tells clients which place it became.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paysync_cli.errors import RefusedError
from paysync_cli.queue.embedded.folder import Folder, private_owner

LOOPBACK = "127.0.0.1"
LONGEST_SOCKET_PATH = 103 if sys.platform == "darwin" else 107  # bytes
TEMPORARY = Path("/tmp")  # noqa: S108  a folder of our own is made in it, and its owner checked


@dataclass(frozen=True)
class Address:
    """A unix socket, or a port on the loopback."""

    socket: Path | None
    port: int = 0


def choose_address(folder: Folder) -> Address:
    """The first place where a socket can be made; a free port on the loopback when there is none."""
    for path in _socket_paths(folder):
        if _fits(path) and _can_listen(path):
            return Address(path)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return Address(None, probe.getsockname()[1])


def _socket_paths(folder: Folder) -> Iterator[Path]:
    yield folder.socket
    import hashlib

    name = hashlib.sha256(os.fsencode(folder.path)).hexdigest()[:16] + ".sock"
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute() and _ours(runtime) and _made(runtime / "paysync"):
        yield runtime / "paysync" / name
    if _made(own := TEMPORARY / f"paysync-{os.geteuid()}"):
        yield own / name


def _fits(path: Path) -> bool:
    """Short enough for the kernel, and UTF-8, because the URL must be able to say it."""
    try:
        return len(str(path).encode()) <= LONGEST_SOCKET_PATH
    except UnicodeEncodeError:
        return False


def _can_listen(path: Path) -> bool:
    """Some file systems know no sockets. Called while no server lives: what lies there is a dead one's."""
    try:
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.bind(str(path))
        path.unlink()
    except OSError:
        return False
    return True


def _ours(path: Path) -> bool:
    try:
        return private_owner(path)
    except RefusedError:
        return False


def _made(path: Path) -> bool:
    """True when the folder is there, belongs to us and is closed to everybody else."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        if not _ours(path):
            return False
        path.chmod(0o700)
    except OSError:
        return False
    return True
