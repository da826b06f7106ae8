"""Copies of the data, made before a server of another kind or version writes it for the first time."""

from __future__ import annotations

import re
import time
from pathlib import Path

from paysync_cli.queue.embedded.binary import ServerBinary
from paysync_cli.queue.embedded.endpoint import Endpoint
from paysync_cli.queue.embedded.folder import Folder

_KEPT = 2
_DRAFT = "unfinished"
_NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z-.*")


def back_up_if_changed(folder: Folder, last: Endpoint | None, now: ServerBinary) -> Path | None:
    """Copy the data unless this very kind and version wrote it last; the copy, or None."""
    same = last is not None and (last.flavour, last.version) == (now.flavour, now.version)
    if same or not folder.aof.is_dir():
        return None
    writer = f"{last.flavour}-{last.version}" if last else "unknown"
    return back_up(folder, writer)


def back_up(folder: Folder, writer: str) -> Path:
    """Copy the data and keep the newest two copies. Called while no server lives."""
    import shutil

    folder.backups.mkdir(mode=0o700, exist_ok=True)
    draft = folder.backups / _DRAFT
    if draft.exists():
        shutil.rmtree(draft)
    try:
        shutil.copytree(folder.aof, draft, symlinks=True)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    copy = folder.backups / _name(writer)
    draft.rename(copy)
    for old in sorted(path for path in folder.backups.iterdir() if _NAME.fullmatch(path.name))[:-_KEPT]:
        shutil.rmtree(old)
    return copy


def _name(writer: str) -> str:
    now = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    writer = re.sub(r"[^A-Za-z0-9.-]", "_", writer)  # it was read from a file
    return f"{stamp}.{int(now % 1 * 1000):03d}Z-{writer}"
