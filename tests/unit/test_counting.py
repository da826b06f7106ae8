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
from paysync_cli.runtime.counters import Counters
from paysync_cli.services.sync import Asked, Failure, Recorded
from paysync_cli.store.database import Database
from tests.books import NOW, add_qr


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


@pytest.mark.parametrize(("sent", "times"), [(True, 1.0), (False, 0.0)])
def test_a_question_that_waits_for_a_login_is_not_the_banks_doing(
    sqlite_store: Database, sent: bool, times: float
) -> None:
    """The bank did not say 429, nor did it take any time: nothing was sent."""
    qr = add_qr(sqlite_store, "QR1")
    counters = Counters({"sim": "BOB"})
    put_off = Asked(qr.id, qr.plan.seq, NOW, 7, failure=Failure("wait", "throttled", "not now", 5.0, sent))
    counters.recorded([Recorded(put_off, "finished", "throttled", before=qr, plan=qr.plan)], "check", 0.0)
    told = {sample.name: sample.value for family in counters.collector.collect() for sample in family.samples}
    for name in ("throttled_total", "bank_latency_seconds_count", "check_lateness_seconds_count"):
        assert told[f"paysync_{name}"] == times, name
