"""A private PostgreSQL for tests, on a unix socket in a folder of its own; skipped where there is none to start."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest


@contextlib.contextmanager
def private_postgres() -> Iterator[str]:
    """The libpq URL of an empty database. Stopped and removed at the end."""
    pytest.importorskip("psycopg")
    initdb, pg_ctl = shutil.which("initdb"), shutil.which("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL server here")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    data = folder / "data"
    become = _become_nobody(folder)
    try:
        _run([*become, initdb, "-D", str(data), "-U", "paysync", "-A", "trust", "--no-sync", "-E", "UTF8"])
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        _run([*become, pg_ctl, "-D", str(data), "-l", str(folder / "log"), "-w", "-o", options, "start"])
        try:
            yield f"postgresql://paysync@/postgres?host={quote(str(folder))}"
        finally:
            _run([*become, pg_ctl, "-D", str(data), "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder)


def _become_nobody(folder: Path) -> list[str]:
    """The server refuses to run as root: then the folder is nobody's and so are its programs."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "nobody")
    return ["runuser", "-u", "nobody", "--"]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
