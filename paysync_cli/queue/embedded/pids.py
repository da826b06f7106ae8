"""Who a pid is, before anybody sends it a signal: pids are reused."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc/self/fd")


def is_running(pid: int) -> bool:
    """True while the process works. One that has ended keeps its pid until it is reaped, but no open files."""
    try:
        if _PROC.is_dir():
            return any(Path(f"/proc/{pid}/fd").iterdir())
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def holds_open(pid: int, path: Path) -> bool:
    """True when the process has the file open. Where the system cannot tell: when it is a server of this user."""
    if not _PROC.is_dir():
        return _is_our_server(pid)
    try:
        wanted = path.stat()
        opened = [file.stat() for file in Path(f"/proc/{pid}/fd").iterdir() if file.exists()]
        return any(os.path.samestat(wanted, file) for file in opened)
    except OSError:
        return False


def _is_our_server(pid: int) -> bool:
    import subprocess

    try:
        answer = subprocess.run(
            ["ps", "-o", "uid=", "-o", "comm=", "-p", str(pid)],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    owner, __, name = answer.stdout.strip().partition(" ")
    return owner == str(os.geteuid()) and any(word in name for word in ("valkey", "redis"))
