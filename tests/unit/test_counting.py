"""The folder in which the processes of one command count: not left behind for ever, not taken from who uses it."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from pathlib import Path

import pytest

from paysync_cli.cli import counting
from paysync_cli.cli.session import Session
from paysync_cli.errors import UnavailableError


def left(parent: Path, name: str, age_s: float) -> Path:
    folder = parent / f"{counting.PREFIX}{name}"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "counter_1.db").touch()
    os.utime(folder, (time.time() - age_s,) * 2)
    return folder


def test_what_a_killed_command_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, used, new = (left(tmp_path, name, age_s) for name, age_s in (("a", 3600), ("b", 3600), ("c", 1)))
    other = tmp_path / "paysync-other"
    other.mkdir()
    with (used / "lock").open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        counting._remove_left_behind()
    assert [folder.exists() for folder in (old, used, new, other)] == [False, True, True, True]


def test_without_a_port_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with counting.counted_together(Session(), None) as further:
        assert (further, list(tmp_path.iterdir())) == ((), [])


def test_no_room_for_the_counters_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(UnavailableError, match="cannot be kept in"), counting.counted_together(Session(), 0):
        pass
