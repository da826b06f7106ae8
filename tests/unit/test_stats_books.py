"""The figures of `stats` that SQL gives, without any Redis."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from paysync_cli.errors import RedisUnavailable
from paysync_cli.payments.status import PlanState, Status
from paysync_cli.services.stats import Jobs, gather_stats
from paysync_cli.store import banks, history, leases, qrs
from paysync_cli.store.database import Database
from tests.books import NOW, add_check, add_qr, dump, new_database, open_review

MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def fill(store: Database) -> None:
    add_qr(store, "late", status="pending", at=NOW - 9 * MINUTE)
    add_qr(store, "now", status="processing", at=NOW)
    add_qr(store, "later", at=NOW + MINUTE)
    add_qr(store, "spent-later", state="exhausted", checks=20, at=NOW + MINUTE)
    add_qr(store, "spent-due", state="exhausted", checks=20, at=NOW - MINUTE)
    add_qr(store, "held", state="held", at=NOW - 99 * MINUTE)
    add_qr(store, "queued", bank="b", state="queued", at=NOW - 20 * MINUTE)
    for n, status in enumerate(("completed", "completed", "cancelled", "expired")):
        add_qr(store, f"final{n}", bank="b", status=status)


def test_every_row_is_counted_in_its_place(store: Database) -> None:
    fill(store)
    report = gather_stats(store, None, now=NOW)
    books = report.books
    assert {status.value: books.total(status) for status in Status} == {
        "pending": 1, "processing": 1, "active": 5, "completed": 2, "cancelled": 1, "expired": 1,
    }  # fmt: skip
    assert (books.in_state(PlanState.EXHAUSTED), books.in_state(PlanState.HELD)) == (2, 1)
    assert books.oldest_due_s == 20 * 60
    assert report.jobs == Jobs(waiting=4, active=0, completed=0, failed=0, delayed=2)
    assert [(bank.name, bank.open, bank.due, bank.oldest_due_s) for bank in books.banks] == [
        ("b", 1, 1, 1200),
        ("sim", 6, 3, 540),
    ]


def test_the_oldest_due_is_the_older_of_planned_and_queued(store: Database) -> None:
    add_qr(store, "queued", state="queued", at=NOW - MINUTE)
    add_qr(store, "planned", at=NOW - 3 * MINUTE)
    assert gather_stats(store, None, now=NOW).books.oldest_due_s == 180
    add_qr(store, "queued-older", state="queued", at=NOW - 4 * MINUTE)
    assert gather_stats(store, None, now=NOW).books.oldest_due_s == 240


def test_a_bank_alone(store: Database) -> None:
    fill(store)
    open_review(store, add_qr(store, "r", bank="b", status="completed"))
    add_check(store, add_qr(store, "c", status="completed"))
    report = gather_stats(store, None, now=NOW, bank="b")
    assert [bank.name for bank in report.books.banks] == ["b"]
    assert report.jobs == Jobs(waiting=1, active=0, completed=0, failed=0, delayed=0)
    assert (report.books.reviews_open, report.books.checks_ok) == (1, 0)
    assert gather_stats(store, None, now=NOW, bank="sim").books.checks_ok == 1


def test_an_empty_database_has_all_figures_at_zero(store: Database) -> None:
    report = gather_stats(store, None, now=NOW, configured=["sim"])
    assert report.jobs == Jobs(0, 0, 0, 0, 0)
    assert report.books.oldest_due_s == 0
    assert [(bank.name, bank.open, set(bank.statuses)) for bank in report.books.banks] == [("sim", 0, set(Status))]
    assert not report.nobody_works


def test_checks_are_counted_in_their_windows(store: Database) -> None:
    qr = add_qr(store, "a", status="completed")
    outcomes = ("unpaid", "paid", "in_process", "cancelled", "expired", "unavailable", "unknown", "throttled")
    for seq, outcome in enumerate(outcomes):
        add_check(store, qr, seq=seq, at=NOW - (seq + 1) * MINUTE, outcome=outcome)
    add_check(store, qr, seq=90, at=NOW - timedelta(hours=23, minutes=59))
    add_check(store, qr, seq=91, at=NOW - timedelta(hours=24, seconds=1))
    books = gather_stats(store, None, now=NOW).books
    assert (books.checks_ok, books.checks_failed) == (6, 3)
    assert books.checks_per_minute == pytest.approx(1.0)


def test_redis_down_leaves_the_figures_of_sql(store: Database) -> None:
    fill(store)
    error = RedisUnavailable("down")
    report = gather_stats(store, error, now=NOW)
    assert report.jobs is None
    assert report.redis_error is error
    assert report.books.due == 4
    assert not report.nobody_works  # nobody knows


def test_due_and_no_worker_is_worth_a_warning(store: Database) -> None:
    add_qr(store, "later", at=NOW + MINUTE)
    assert not gather_stats(store, None, now=NOW).nobody_works
    assert gather_stats(store, None, now=NOW + MINUTE).nobody_works


def test_the_leader_is_whoever_holds_the_lease_now(store: Database) -> None:
    with store.write() as tx:
        leases.take(tx, leases.LEADER, "w1", NOW - MINUTE, NOW + MINUTE)
    assert gather_stats(store, None, now=NOW).books.leader == "w1"
    assert gather_stats(store, None, now=NOW + 2 * MINUTE).books.leader is None


def test_the_last_cleanup_is_told(store: Database) -> None:
    with store.write() as tx:
        history.record_run(tx, "cleanup", NOW, "ok", {"checks": 3})
    last = gather_stats(store, None, now=NOW).books.last_cleanup
    assert last is not None
    assert (last.at, last.outcome, last.detail) == (NOW, "ok", {"checks": 3})


def test_the_last_sweep_is_told_per_bank(store: Database) -> None:
    with store.write() as tx:
        banks.record_sweep(tx, "a", "production", day=None, at=NOW - 3 * MINUTE)
        banks.record_sweep(tx, "a", "certification", day=None, at=NOW - 9 * MINUTE)
        banks.record_sweep(tx, "b", "production", day=None, at=NOW - 5 * MINUTE)
    books = gather_stats(store, None, now=NOW, configured=["a", "b", "c"]).books
    assert [bank.last_sweep for bank in books.banks] == [NOW - 3 * MINUTE, NOW - 5 * MINUTE, None]
    assert books.last_sweep == NOW - 5 * MINUTE


def test_all_figures_are_of_one_moment(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody registers QRs while the figures are read: none of the later ones shows a trace of it."""
    add_qr(store, "first", at=NOW)
    honest: Any = qrs.count_due

    def count_due_after_news(tx: Any, now: Any) -> Any:
        add_qr(store, "news", at=NOW - 50 * MINUTE)
        return honest(tx, now)

    monkeypatch.setattr(qrs, "count_due", count_due_after_news)
    books = gather_stats(store, None, now=NOW).books
    assert (books.total(Status.ACTIVE), books.due, books.oldest_due_s) == (1, 1, 0)
    monkeypatch.undo()
    assert gather_stats(store, None, now=NOW).books.due == 2


def test_reading_changes_nothing(store: Database) -> None:
    fill(store)
    before = dump(store)
    gather_stats(store, None, now=NOW)
    assert dump(store) == before
