"""What was committed is told once: to the log, and to the counters, which come out as the books do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.payments.qr import Answer, Qr
from paysync_cli.services.sync import Asked, Failure, Judge, Recorded, record
from paysync_cli.services.telling import Teller
from paysync_cli.store import history
from paysync_cli.store.database import Database
from paysync_cli.store.qrs import Due
from tests.books import add_qr
from tests.core import NOW, RHYTHM, garbled, listed, paid, says

NOBODYS_SEQ = -1


@dataclass
class Seen:
    """Counts that only remember."""

    results: list[Recorded] = field(default_factory=list)

    def recorded(self, results: Sequence[Recorded], source: str, took_s: float) -> None:
        self.results += [result for result in results if result.plan is not None]

    def dispatched(self, rows: Sequence[Due]) -> None:
        raise AssertionError(rows)


def judge(**changes: Any) -> Judge:
    return replace(Judge({"sim": RHYTHM}, NOW, lambda: 0.0), **changes)


def told(qr: Qr, answer: Answer, **changes: Any) -> Asked:
    return replace(Asked(qr.id, qr.plan.seq, NOW, 7, answer), **changes)


def failed(qr: Qr, kind: str = "attempt", outcome: str = "unavailable") -> Asked:
    return Asked(qr.id, qr.plan.seq, NOW, 7, failure=Failure(kind, outcome, "why"))


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.event_name for one in caplog.records if one.name == "paysync.checks"]  # type: ignore[attr-defined]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "paysync")
    return caplog


def lose_answers(store: Database, monkeypatch: pytest.MonkeyPatch, *, committed: bool) -> None:
    """The connection breaks at the next commit: after it was carried out, or before."""
    dialect, commit = store.engine.dialect, store.engine.dialect.do_commit
    error = store.engine.dialect.dbapi.OperationalError  # type: ignore[union-attr]

    def break_off(connection: Any) -> None:
        monkeypatch.setattr(dialect, "do_commit", commit)
        if committed:
            commit(connection)
        raise error("the connection was lost")

    monkeypatch.setattr(dialect, "do_commit", break_off)


@pytest.mark.parametrize("committed", [True, False], ids=["written", "not written"])
@pytest.mark.parametrize("outcome", ["paid", "given up"])
def test_a_group_whose_commit_got_no_answer_is_told_once(
    any_store: Database, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, committed: bool, outcome: str
) -> None:
    qr = add_qr(any_store, "QR1", status="pending", amount=10000, attempts=2, state="queued", queued_at=NOW)
    asked = told(qr, says("paid", paid("t1"))) if outcome == "paid" else failed(qr)
    seen = Seen()
    teller = Teller(seen)
    lose_answers(any_store, monkeypatch, committed=committed)
    with pytest.raises(DatabaseUnavailable):
        record(any_store, [asked], judge(), witness=teller)
    assert (events(log), seen.results) == ([], [])
    (result,) = record(any_store, [asked], judge(now=NOW + timedelta(seconds=1)), witness=teller)
    assert result.how == ("finished" if outcome == "paid" else "failed"), "RQ hears of it too"
    story = {
        "paid": ["check_succeeded", "booked", "transition", "check_chain_ended"],
        "given up": ["check_given_up", "check_next"],
    }
    assert events(log) == story[outcome]
    assert [one.check for one in seen.results] == [result.check]
    (again,) = record(any_store, [asked], judge(), witness=teller)
    assert (again.outcome, events(log), len(seen.results)) == ("stale", story[outcome], 1)


def test_a_second_worker_with_the_same_job_tells_nothing(any_store: Database, log: pytest.LogCaptureFixture) -> None:
    qr = add_qr(any_store, "QR1", status="pending", amount=10000)
    first, second = Seen(), Seen()
    record(any_store, [told(qr, says("paid", paid("t1")))], judge(), witness=Teller(first))
    later = told(qr, says("paid", paid("t1"), sent_at=NOW + timedelta(seconds=2)), duration_ms=9)
    record(any_store, [later], judge(), witness=Teller(second))
    assert (len(first.results), second.results) == (1, [])
    assert events(log).count("transition") == 1


def test_what_another_wrote_is_not_taken_for_ours(
    any_store: Database, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our commit failed; before we repeat it another worker records the same seq by its own question."""
    qr = add_qr(any_store, "QR1", status="pending", amount=10000)
    ours, seen = told(qr, says("paid", paid("t1"))), Seen()
    teller = Teller(seen)
    lose_answers(any_store, monkeypatch, committed=False)
    with pytest.raises(DatabaseUnavailable):
        record(any_store, [ours], judge(), witness=teller)
    theirs = told(qr, says("paid", paid("t1"), sent_at=NOW + timedelta(seconds=1)))
    record(any_store, [theirs], judge(), witness=Teller())
    (result,) = record(any_store, [ours], judge(), witness=teller)
    assert (result.outcome, seen.results, events(log).count("transition")) == ("stale", [], 1)


@pytest.mark.parametrize("committed", [True, False], ids=["written", "not written"])
def test_a_day_list_that_is_not_read_again_is_looked_up(
    any_store: Database, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    qr = add_qr(any_store, "QR1", status="active", amount=10000)
    part = add_qr(any_store, "QR2", status="processing", amount=10000)
    group = [told(qr, listed(paid("t1")), seq=NOBODYS_SEQ),
             told(part, listed(paid("t2", "1.00", qr_id="QR2")), seq=NOBODYS_SEQ)]  # fmt: skip
    seen = Seen()
    teller = Teller(seen)
    lose_answers(any_store, monkeypatch, committed=committed)
    with pytest.raises(DatabaseUnavailable):
        record(any_store, group, judge(source="list"), witness=teller)
    teller.settle(any_store)
    assert len(seen.results) == (2 if committed else 0)
    assert events(log).count("booked") == (2 if committed else 0)
    assert events(log).count("transition") == (1 if committed else 0)
    teller.settle(any_store)
    assert len(seen.results) == (2 if committed else 0), "and only once"


def test_not_paid_yet_is_no_warning_and_a_lost_attempt_is_one(
    sqlite_store: Database, log: pytest.LogCaptureFixture
) -> None:
    def levels(asked: Asked) -> dict[str, str]:
        log.clear()
        record(sqlite_store, [asked], judge(), witness=Teller())
        return {one.event_name: one.levelname for one in log.records}  # type: ignore[attr-defined]

    qr, lost, last, busy, odd = (
        add_qr(sqlite_store, f"QR{n}", status="active", attempts=attempts) for n, attempts in enumerate([0, 0, 2, 0, 0])
    )
    assert levels(told(qr, says("unpaid"))) == {"check_succeeded": "INFO", "check_next": "INFO"}
    assert levels(failed(lost)) == {"check_failed": "WARNING", "check_next": "INFO"}
    assert levels(failed(last)) == {"check_given_up": "ERROR", "check_next": "INFO"}
    assert levels(failed(busy, "wait", "throttled")) == {"check_failed": "INFO", "check_next": "INFO"}
    news = told(odd, replace(listed(), unreadable=(garbled(),)), seq=NOBODYS_SEQ)
    assert levels(news)["review_opened"] == "WARNING"


def test_the_fields_say_which_check_it_was(sqlite_store: Database, log: pytest.LogCaptureFixture) -> None:
    qr = add_qr(sqlite_store, "QR1", status="pending", amount=10000, seq=4, attempts=1)
    record(sqlite_store, [told(qr, says("paid", paid("t1")))], judge(), witness=Teller())
    lines = {one.event_name: vars(one) for one in log.records}  # type: ignore[attr-defined]
    job = {"qr_id": "QR1", "bank": "sim", "seq": 4, "job_id": f"sync-{qr.id}-4"}
    check = {"attempt": 2, "outcome": "paid", "duration_ms": 7, "queue": f"payment-sync-{qr.plan.priority.value}"}
    assert lines["check_succeeded"].items() >= (job | check).items()
    change = {"old": "pending", "new": "completed", "source": "check"}
    assert lines["transition"].items() >= (job | change).items()
    assert lines["booked"].items() >= (job | {"amount": "100.00", "currency": "BOB", "transaction": "t1"}).items()


def test_what_a_commit_wrote_is_written_out_with_it(sqlite_store: Database, log: pytest.LogCaptureFixture) -> None:
    """Handlers may gather lines; those of a committed group leave before the next one is begun."""
    flushed: list[int] = []
    handler = logging.NullHandler()
    handler.flush = lambda: flushed.append(len(log.records))  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        qr = add_qr(sqlite_store, "QR1", status="pending")
        record(sqlite_store, [told(qr, says("unpaid"))], judge(), witness=Teller())
    finally:
        logging.getLogger().removeHandler(handler)
    assert flushed == [len(log.records)]


def test_a_row_that_cannot_be_written_is_told_as_what_was_recorded(
    sqlite_store: Database, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = (add_qr(sqlite_store, qr_id, status="active") for qr_id in ("QR1", "QR2"))
    write = history.record_checks

    def refuse(tx: Any, records: Sequence[history.CheckRecord]) -> None:
        if any(one.qr == bad.id and one.outcome != "error" for one in records):
            raise ValueError("poison")
        write(tx, records)

    monkeypatch.setattr(history, "record_checks", refuse)
    seen = Seen()
    record(sqlite_store, [told(good, says("unpaid")), told(bad, says("unpaid"))], judge(), witness=Teller(seen))
    assert [(one.asked.qr, one.outcome) for one in seen.results] == [(good.id, "unpaid"), (bad.id, "error")]
