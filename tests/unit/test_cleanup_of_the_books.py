"""Cleanup of the database: what goes, what stays, and one at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from paysync_cli.errors import RedisUnavailable, TryLater
from paysync_cli.services.cleanup import LEASE, STEP, CleanupReport, cleanup, last_cleanup, preview_cleanup
from paysync_cli.services.sync import Judge
from paysync_cli.store import history, leases
from paysync_cli.store.alerts import AlertKind, raise_alert
from paysync_cli.store.database import Database
from tests.books import NOW, add_check, add_qr, book, dump, new_database, open_review

MONTH = timedelta(days=30)
SECOND = timedelta(seconds=1)
OLD, YOUNG = NOW - MONTH - SECOND, NOW - MONTH + SECOND


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def run(store: Database, now: datetime = NOW, **fields: Any) -> CleanupReport:
    options: dict[str, Any] = {"older_than": MONTH, "keep_completed": 100, "keep_failed": 50, "owner": "ana@here"}
    judge = Judge({}, now, random.random)
    return cleanup(store, fields.pop("queue", None), now=now, judge=judge, **(options | fields))


def seqs(store: Database) -> list[int]:
    with store.read() as tx:
        return sorted(tx.exec_driver_sql("SELECT seq FROM paysync_checks").scalars())


def fill(store: Database) -> None:
    paid, still_open = add_qr(store, "paid", status="completed"), add_qr(store, "open")
    for n in range(3):
        add_check(store, paid, seq=n, at=OLD - n * SECOND)
        add_check(store, still_open, seq=20 + n, at=OLD - n * SECOND)
    add_check(store, paid, seq=10, at=YOUNG)
    add_check(store, add_qr(store, "late", status="expired"), seq=3, at=OLD)
    book(store, paid, 10050)
    open_review(store, paid)


def test_only_old_checks_of_final_qrs_go(store: Database) -> None:
    fill(store)
    before = [line for line in dump(store) if "paysync_checks" not in line]
    report = run(store)
    assert report.checks.removed == 4
    assert seqs(store) == [10, 20, 21, 22]
    ours = ("paysync_checks", "paysync_runs", "paysync_leases", "sqlite_sequence")
    assert [line for line in dump(store) if not any(table in line for table in ours)] == [
        line for line in before if not any(table in line for table in ours)
    ]


def test_the_preview_says_what_the_run_takes_and_changes_nothing(store: Database) -> None:
    fill(store)
    before = dump(store)
    preview = preview_cleanup(store, None, now=NOW, older_than=MONTH, keep_completed=100, keep_failed=50)
    assert dump(store) == before
    assert preview.dry_run
    assert preview.checks.matched == run(store).checks.removed == 4
    assert run(store).checks.removed == 0


def test_many_checks_go_in_small_steps(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    paid, still_open = add_qr(store, "paid", status="completed"), add_qr(store, "open")
    records = [
        history.CheckRecord(qr.id, seq, 1, OLD - seq % 7 * SECOND, "unpaid")
        for seq in range(2 * STEP + 3)
        for qr in (paid, still_open)
    ]
    with store.write() as tx:
        history.record_checks(tx, records)
    limits = []
    honest = history.forget_checks

    def watched(tx: Any, before: Any, limit: int, after: Any) -> Any:
        limits.append(limit)
        return honest(tx, before, limit, after)

    monkeypatch.setattr(history, "forget_checks", watched)
    steps: list[int] = []
    assert run(store, progress=steps.append).checks.removed == 2 * STEP + 3
    assert steps == [STEP, STEP, 3]
    assert set(limits) == {STEP}
    assert len(seqs(store)) == 2 * STEP + 3  # the open QR's


def test_while_one_runs_the_next_is_told_to_try_later(store: Database) -> None:
    with store.write() as tx:
        leases.take(tx, "cleanup", "bob@there", NOW, NOW + LEASE)
    fill(store)
    with pytest.raises(TryLater, match="bob@there") as caught:
        run(store)
    assert caught.value.exit_status == 75
    assert len(seqs(store)) == 8
    with store.read() as tx:
        assert history.last_run(tx, "cleanup") is None


def test_two_runs_of_one_person_exclude_each_other(store: Database) -> None:
    fill(store)

    def second(_removed: int) -> None:
        with pytest.raises(TryLater):
            run(store)

    assert run(store, progress=second).checks.removed == 4


def test_the_lock_of_a_killed_run_runs_out(store: Database) -> None:
    class Killed(BaseException):
        pass

    def kill(_removed: int) -> None:
        # What kill -9 leaves: no `finally` ever ran.
        monkeypatch.setattr(leases, "give_up", lambda *_: None)
        raise Killed

    fill(store)
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(Killed):
        run(store, progress=kill)
    with pytest.raises(TryLater):
        run(store, NOW + LEASE - SECOND)
    assert run(store, NOW + LEASE + SECOND).outcome == "ok"


def test_a_run_that_fails_leaves_no_lock(store: Database) -> None:
    def interrupt(_removed: int) -> None:
        raise KeyboardInterrupt

    fill(store)
    with pytest.raises(KeyboardInterrupt):
        run(store, progress=interrupt)
    with store.read() as tx:
        assert history.last_run(tx, "cleanup") is None  # not a cleanup that was done
    assert run(store, NOW + SECOND).outcome == "ok"


def test_a_run_that_slept_past_its_lock_writes_nothing_more(store: Database) -> None:
    paid = add_qr(store, "paid", status="completed")
    with store.write() as tx:
        history.record_checks(tx, [history.CheckRecord(paid.id, n, 1, OLD, "unpaid") for n in range(2 * STEP)])
    clock = [0.0]

    def sleep(_removed: int) -> None:
        clock[0] += LEASE.total_seconds() + 1
        with store.write() as tx:
            later = NOW + timedelta(seconds=clock[0])
            assert leases.take(tx, "cleanup", "another", later, later + LEASE) is not None

    with pytest.raises(TryLater, match="another"):
        run(store, progress=sleep, timer=lambda: clock[0])
    assert len(seqs(store)) == STEP


def test_a_long_run_keeps_its_lock(store: Database) -> None:
    paid = add_qr(store, "paid", status="completed")
    with store.write() as tx:
        history.record_checks(tx, [history.CheckRecord(paid.id, n, 1, OLD, "unpaid") for n in range(3 * STEP)])
    clock = [0.0]

    def work_long(_removed: int) -> None:
        clock[0] += LEASE.total_seconds() * 0.9
        with store.write() as tx:
            now = NOW + timedelta(seconds=clock[0])
            assert leases.take(tx, "cleanup", "another", now, now + LEASE) is None

    assert run(store, progress=work_long, timer=lambda: clock[0]).checks.removed == 3 * STEP


def test_the_run_is_recorded(store: Database) -> None:
    fill(store)
    with store.write() as tx:
        for at in (OLD, YOUNG):
            raise_alert(tx, AlertKind.JOB_GIVEN_UP, "sim", "QR1", at)
    assert preview_cleanup(store, None, now=NOW, older_than=MONTH, keep_completed=1, keep_failed=1).alerts.matched == 1
    assert last_cleanup(store, NOW).at is None
    run(store, timer=lambda: 0.0)
    last = last_cleanup(store, NOW)
    assert (last.at, last.outcome, last.running) == (NOW, "ok", None)
    assert last.detail == {"checks": 4, "completed": None, "failed": None, "orphans": None, "alerts": 1}


def test_redis_down_cleans_the_database_all_the_same(store: Database) -> None:
    fill(store)
    error = RedisUnavailable("down")
    report = run(store, queue=error)
    assert (report.checks.removed, report.completed, report.orphans) == (4, None, None)
    assert report.redis_error is error
    assert last_cleanup(store, NOW).outcome == "partial"
