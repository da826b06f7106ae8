"""The figures of `/metrics`: of the books, of Redis, of a worker's counters; one store that hangs delays no other."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import values
from sqlalchemy import event, insert

from paysync_cli.payments.status import FORWARD, PlanState, Priority, ReviewReason, Status
from paysync_cli.runtime.counters import Counters, shared
from paysync_cli.runtime.metrics import Lane
from paysync_cli.services import metrics
from paysync_cli.services.metric_names import METRICS, TRANSITIONS, Kind, Source
from paysync_cli.services.sync import WORKER_LOST, Asked, Failure, Recorded
from paysync_cli.store import banks, history, leases
from paysync_cli.store.database import Database
from paysync_cli.store.qrs import Due
from paysync_cli.store.tables import alert_messages
from tests.books import add_check, add_qr
from tests.core import NOW, make_qr, says

HOUR = timedelta(hours=1)
CONFIGURED = {"sim": ("certification", 10.0), "idle": ("production", 3.0)}


# -- the books


def test_an_empty_world_shows_zeros_and_never(any_store: Database) -> None:
    told = metrics.read_books(any_store, NOW, CONFIGURED, timedelta(seconds=30))
    counts = metrics.count_qrs(any_store, NOW, CONFIGURED)
    assert "paysync_leader_lease_age_seconds" not in told
    rates = told.pop("paysync_bank_rate_limit_per_second")
    assert rates == {("sim",): 10.0, ("idle",): 3.0}
    for figures in (told | counts).values():
        assert set(figures.values()) == {0.0}
    assert len(counts["paysync_qrs"]) == 2 * len(Status)
    assert len(counts["paysync_plan_qrs"]) == 2 * len(PlanState)
    assert len(counts["paysync_reviews_open"]) == 2 * len(ReviewReason)


def test_counts_are_those_of_the_rows(any_store: Database) -> None:
    add_qr(any_store, "QR1", status="pending", at=NOW - HOUR)
    add_qr(any_store, "QR2", status="active", at=NOW + HOUR)
    add_qr(any_store, "QR3", status="active", state="queued", at=NOW - 2 * HOUR)
    add_qr(any_store, "QR4", status="active", state="exhausted", at=NOW + HOUR)
    add_qr(any_store, "QR5", status="completed")
    add_qr(any_store, "QR6", bank="gone", status="active", state="held", at=NOW - HOUR)
    counts = metrics.count_qrs(any_store, NOW, CONFIGURED)
    assert counts["paysync_qrs"]["sim", "active"] == 3
    assert counts["paysync_qrs"]["sim", "completed"] == 1
    plans = {state: counts["paysync_plan_qrs"]["sim", state] for state in PlanState}
    assert plans == {"planned": 2, "queued": 1, "exhausted": 1, "held": 0, "done": 1}
    assert counts["paysync_plan_qrs"]["gone", "held"] == 1, "a bank that left the settings still has its QRs"
    assert counts["paysync_due_qrs"] == {("gone",): 0, ("idle",): 0, ("sim",): 2}
    assert counts["paysync_oldest_due_age_seconds"]["sim",] == 7200


def test_what_happened_lately_is_told(any_store: Database) -> None:
    add_check(any_store, add_qr(any_store, "QR1"), at=NOW - HOUR)
    with any_store.write() as tx:
        banks.record_sweep(tx, "sim", "certification", day=None, at=NOW - 2 * HOUR)
        banks.record_sweep(tx, "sim", "certification", day=None, at=NOW - HOUR, error="no list")
        banks.change(tx, "sim", "certification", paused_at=NOW, paused_by="ana", rate_per_s=2.5)
        banks.stop_credential(tx, "idle", "production", "refused", NOW - HOUR)
        banks.change(tx, "idle", "certification", paused_at=NOW)  # another environment is not ours
        leases.take(tx, leases.LEADER, "w1", NOW - timedelta(seconds=4), NOW + timedelta(seconds=26))
        history.record_run(tx, "cleanup", NOW - HOUR, "partial", {})
        said = {"kind": "breaker_open", "bank": "sim", "event": "raised", "count": 1, "detail": "", "since_at": NOW}
        for at, delivered_at in ((NOW - HOUR, None), (NOW - 2 * HOUR, NOW), (NOW, None)):
            tx.execute(insert(alert_messages).values(at=at, delivered_at=delivered_at, **said))
    told = metrics.read_books(any_store, NOW, CONFIGURED, timedelta(seconds=30))
    assert told["paysync_bank_paused"] == {("sim",): 1, ("idle",): 0}
    assert told["paysync_bank_credential_stopped"] == {("sim",): 0, ("idle",): 1}
    assert told["paysync_bank_rate_limit_per_second"] == {("sim",): 2.5, ("idle",): 3}
    good, bad = (told[f"paysync_bank_last_sweep_{how}_timestamp_seconds"]["sim",] for how in ("success", "failure"))
    assert (good, bad) == ((NOW - 2 * HOUR).timestamp(), (NOW - HOUR).timestamp())
    assert told["paysync_last_check_timestamp_seconds"][()] == (NOW - HOUR).timestamp()
    assert told["paysync_last_cleanup_timestamp_seconds"][()] == (NOW - HOUR).timestamp()
    assert told["paysync_last_cleanup_partial"][()] == 1
    assert (told["paysync_leader_present"][()], told["paysync_leader_lease_age_seconds"][()]) == (1, 4)
    assert told["paysync_alerts_undelivered"][()] == 2
    assert told["paysync_alerts_oldest_undelivered_age_seconds"][()] == 3600


def test_a_leader_whose_lease_is_over_is_none(sqlite_store: Database) -> None:
    with sqlite_store.write() as tx:
        leases.take(tx, leases.LEADER, "w1", NOW - HOUR, NOW - HOUR + timedelta(seconds=30))
    told = metrics.read_books(sqlite_store, NOW, CONFIGURED, timedelta(seconds=30))
    assert (told["paysync_leader_present"][()], told["paysync_leader_lease_age_seconds"][()]) == (0, 3600)


def test_reading_costs_the_same_statements_whatever_there_is(sqlite_store: Database) -> None:
    statements: list[str] = []
    event.listen(sqlite_store.engine, "before_cursor_execute", lambda _c, _cu, sql, *_rest: statements.append(sql))

    def cost() -> int:
        statements.clear()
        metrics.count_qrs(sqlite_store, NOW, CONFIGURED)
        metrics.read_books(sqlite_store, NOW, CONFIGURED, timedelta(seconds=30))
        return len(statements)

    before = cost()
    for n in range(20):
        add_qr(sqlite_store, f"QR{n}", status=list(Status)[n % 6], bank=f"bank{n % 3}")
    assert cost() == before


# -- the counters


@pytest.fixture
def counters() -> Counters:
    return Counters({"sim": "BOB", "idle": "BRL"})


def told(counters: Counters) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in counters.collector.collect()
        for sample in family.samples
        if sample.value
    }


def test_every_counter_of_the_catalogue_is_there_from_the_start(counters: Counters) -> None:
    samples = [sample for family in counters.collector.collect() for sample in family.samples]
    names = {sample.name for sample in samples}
    for metric in METRICS:
        if metric.source is Source.WORKER:
            assert (f"{metric.name}_count" if metric.kind is Kind.HISTOGRAM else metric.name) in names
    pairs = {(one.labels["from"], one.labels["to"]) for one in samples if one.name == "paysync_transitions_total"}
    assert pairs == set(TRANSITIONS) == {(old, new) for old, others in FORWARD.items() for new in others}
    assert not [name for name in names if name.endswith("_created")]
    assert all(sample.value == 0 for sample in samples)


def test_latency_and_lateness_are_of_checks_only(counters: Counters) -> None:
    qr = make_qr("active")
    asked = Asked(qr.id, qr.plan.seq, NOW + timedelta(seconds=7), 230, says("unpaid"))
    row = history.CheckRecord(qr.id, qr.plan.seq, 1, NOW, "unpaid")
    written = Recorded(asked, "finished", "unpaid", qr, qr.status, qr.plan, check=row)
    late = replace(written, asked=replace(asked, seq=qr.plan.seq + 9), check=None)
    lost = replace(written, asked=replace(asked, answer=None, failure=Failure("attempt", WORKER_LOST, "x")))
    counters.recorded([written, late, lost], "check", 0.02)
    counters.recorded([replace(written, check=None)], "list", 0.0)
    figures = told(counters)
    assert figures["paysync_bank_latency_seconds_count", "sim"] == 2
    assert figures["paysync_bank_latency_seconds_sum", "sim"] == pytest.approx(0.46)
    assert figures["paysync_check_lateness_seconds_count", "sim"] == 1
    assert figures["paysync_check_lateness_seconds_sum", "sim"] == 7
    assert figures["paysync_commit_seconds_count",] == 1


def test_waiting_is_neither_check_nor_attempt(counters: Counters) -> None:
    qr = make_qr("active")
    asked = Asked(qr.id, qr.plan.seq, NOW, 5, failure=Failure("wait", "throttled", "429", 30.0))
    counters.recorded([Recorded(asked, "gone", "throttled", qr, qr.status, qr.plan)], "check", 0.01)
    figures = told(counters)
    assert figures["paysync_throttled_total", "sim"] == 1
    assert not [key for key in figures if key[0] in ("paysync_checks_total", "paysync_attempts_failed_total")]


def test_dispatched_rows_are_counted_by_queue(counters: Counters) -> None:
    rows = [Due("sim", 1, 0, "QR1", Priority.HIGH), Due("sim", 2, 0, "QR2", Priority.HIGH),
            Due("idle", 3, 0, "QR3", Priority.LOW)]  # fmt: skip
    counters.dispatched(rows)
    assert told(counters) == {
        ("paysync_dispatched_total", "sim", "payment-sync-high"): 2,
        ("paysync_dispatched_total", "idle", "payment-sync-low"): 1,
    }


def test_processes_count_together_and_one_that_is_started_again_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    parent, first, second = (shared({"sim": "BOB"}, tmp_path, number) for number in (0, 1, 2))
    row = Due("sim", 1, 0, "QR1", Priority.HIGH)
    key = ("paysync_dispatched_total", "sim", "payment-sync-high")
    first.dispatched([row])
    second.dispatched([row, row])
    assert told(parent)[key] == 3
    again = shared({"sim": "BOB"}, tmp_path, 1)
    again.dispatched([row])
    assert told(parent)[key] == 4
    for file in tmp_path.iterdir():
        assert file.stat().st_blocks * 512 >= file.stat().st_size, "a full disk must not end a worker"
    names = {sample.name for family in parent.collector.collect() for sample in family.samples}
    assert names >= {one.name for one in METRICS if one.source is Source.WORKER and one.kind is Kind.COUNTER}


# -- the lanes


def test_a_lane_that_hangs_is_waited_for_once_and_not_asked_again() -> None:
    hang, asked = threading.Event(), []

    def ask() -> str:
        asked.append(1)
        hang.wait(30)
        return "late"

    lane = Lane(ask, "test")
    lane.start()
    assert lane.answer(0.05) is None
    started = time.monotonic()
    lane.start()
    assert (lane.answer(0.05), asked) == (None, [1])
    assert time.monotonic() - started < 1.0
    hang.set()
    assert _soon(lane) == "late"


def test_counts_are_kept_for_twenty_times_as_long_as_they_took() -> None:
    asked: list[int] = []

    def count() -> int:
        asked.append(1)
        time.sleep(0.06)
        return len(asked)

    lane = Lane(count, "test", fresh_times=20.0)
    for _scrape in range(5):
        lane.start()
        assert lane.answer(10.0, last=True) == 1
    assert len(asked) == 1
    assert lane.age_s() < 10


def test_a_bug_in_one_part_is_logged_and_the_rest_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise KeyError("x")

    lane = Lane(fail, "test")
    lane.start()
    assert lane.answer(10.0) is None
    assert [one.event_name for one in caplog.records] == ["metrics_error"]  # type: ignore[attr-defined]


def _soon(lane: Lane[str]) -> str | None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if (found := lane.answer(0.01, last=True)) is not None:
            return found
        time.sleep(0.01)
    return None
