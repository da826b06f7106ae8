"""Which outcomes raise an alert: one per kind, bank and hour, with a count, in the transaction that found it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from paysync_cli.payments.schedule import Rhythm
from paysync_cli.services.notices import take_notice
from paysync_cli.services.register import Request, enqueue
from paysync_cli.services.sync import Asked, Failure, Judge, record
from paysync_cli.store import qrs
from paysync_cli.store.alerts import AlertKind, list_alerts
from paysync_cli.store.database import Database
from tests.core import NOW, paid, says

WITHOUT_LIST = Rhythm(lists_by_payment_day=False, max_checks=2)
WITH_LIST = replace(WITHOUT_LIST, lists_by_payment_day=True)


def register(store: Database, *ids: str, rhythm: Rhythm = WITHOUT_LIST, due_at: datetime | None = None) -> None:
    requests = [Request(qr_id, 10000, "BOB", "main", due_at, False, None) for qr_id in ids]
    enqueue(store, requests, bank="sim", environment="certification", rhythm=rhythm, now=NOW)


def tell(store: Database, qr_id: str, *, rhythm: Rhythm = WITHOUT_LIST, now: datetime = NOW, **said: Any) -> None:
    with store.read() as tx:
        (qr,) = qrs.by_qr_id(tx, qr_id)
    record(store, [Asked(qr.id, qr.plan.seq, now, 5, **said)], Judge({"sim": rhythm}, now, lambda: 0.0))


def alerts(store: Database) -> dict[str, int]:
    with store.read() as tx:
        return {f"{one.kind.value} {one.bucket}": one.count for one in list_alerts(tx)}


def test_all_is_well_raises_nothing(any_store: Database) -> None:
    register(any_store, "QR1", "QR2")
    tell(any_store, "QR1", answer=says("paid", paid("t1")))
    tell(any_store, "QR2", answer=says("unpaid"))
    tell(any_store, "QR2", failure=Failure("wait", "throttled", "429", 30))
    assert alerts(any_store) == {}


def test_reviews_of_an_hour_are_one_alert(any_store: Database) -> None:
    register(any_store, "QR1", "QR2", "QR3")
    for n, moment in enumerate((NOW, NOW + timedelta(minutes=5), NOW + timedelta(hours=1)), start=1):
        tell(any_store, f"QR{n}", now=moment, answer=says("paid", paid(f"t{n}", "50.00", qr_id=f"QR{n}")))
    assert alerts(any_store) == {"review_opened 2031-06-14T16": 2, "review_opened 2031-06-14T17": 1}


def test_the_same_review_does_not_alert_again(any_store: Database) -> None:
    register(any_store, "QR1")
    for _n in range(2):
        tell(any_store, "QR1", answer=says("paid", paid("t1", "50.00")))
    assert alerts(any_store)["review_opened 2031-06-14T16"] == 1


def test_an_exhausted_plan_alerts_once_where_no_list_finds_the_payment(any_store: Database) -> None:
    register(any_store, "QR1", "QR2")
    for qr_id in ("QR1", "QR2"):
        for _n in range(3):
            tell(any_store, qr_id, answer=says("unpaid"))
    assert alerts(any_store) == {"plan_exhausted 2031-06-14T16": 2}


def test_exhausted_is_normal_where_the_bank_lists_payments(any_store: Database) -> None:
    register(any_store, "QR1", rhythm=WITH_LIST)
    for _n in range(3):
        tell(any_store, "QR1", rhythm=WITH_LIST, answer=says("unpaid"))
    assert alerts(any_store) == {}


def test_a_bank_down_at_the_due_query_alerts_and_ends_nothing(any_store: Database) -> None:
    register(any_store, "QR1", due_at=NOW - timedelta(minutes=10))
    for _n in range(3):
        tell(any_store, "QR1", failure=Failure("attempt", "unavailable", "down"))
    assert alerts(any_store) == {"job_given_up 2031-06-14T16": 1, "due_query_failed 2031-06-14T16": 1}
    with any_store.read() as tx:
        (qr,) = qrs.by_qr_id(tx, "QR1")
    assert not qr.status.final
    assert qr.plan.next_check_at is not None


def test_an_ended_qr_has_no_due_query_that_could_fail(any_store: Database) -> None:
    """It was made long ago; what fails is the question for a notice, and the QR does not stay open for it."""
    register(any_store, "QR1", "QR2", due_at=NOW - timedelta(minutes=10))
    for qr_id in ("QR1", "QR2"):
        tell(any_store, qr_id, answer=says("unpaid"))
        take_notice(any_store, [qr_id], bank="sim", environment="certification", now=NOW)
    for _n in range(3):
        tell(any_store, "QR1", failure=Failure("attempt", "unavailable", "down"))
    tell(any_store, "QR2", failure=Failure("wait", "throttled", "429", 3600))
    assert alerts(any_store) == {"job_given_up 2031-06-14T16": 1}


def test_a_due_query_that_the_bank_puts_off_for_too_long_alerts_once(any_store: Database) -> None:
    """429 is neither attempt nor check, so nothing is ever given up."""
    due_at = NOW - WITHOUT_LIST.due_margin
    register(any_store, "QR1", "QR2", due_at=due_at)
    later = due_at + timedelta(days=1)
    register(any_store, "LATER", due_at=later)
    seen = []
    for minutes in (0, 4, 9, 11, 40):
        for qr_id in ("QR1", "LATER"):
            wait = Failure("wait", "throttled", "429", 120)
            tell(any_store, qr_id, now=NOW + timedelta(minutes=minutes), failure=wait)
        seen.append(alerts(any_store).get("due_query_failed 2031-06-14T16", 0))
    assert seen == [0, 0, 1, 1, 1]
    tell(any_store, "QR2", now=NOW + timedelta(minutes=2), failure=Failure("wait", "throttled", "429", 3600))
    assert alerts(any_store) == {"due_query_failed 2031-06-14T16": 2}


def test_answers_nobody_can_read_alert(any_store: Database) -> None:
    register(any_store, "QR1")
    tell(any_store, "QR1", failure=Failure("attempt", "unreadable", "HTML"))
    assert alerts(any_store) == {"bank_unreadable 2031-06-14T16": 1}


def test_the_alert_is_written_with_what_it_tells_of_or_not_at_all(sqlite_store: Database) -> None:
    register(sqlite_store, "QR1")
    with sqlite_store.write() as tx:
        tx.exec_driver_sql("CREATE TRIGGER broken BEFORE INSERT ON paysync_alerts BEGIN SELECT RAISE(ABORT, 'x'); END")
    tell(sqlite_store, "QR1", answer=says("paid", paid("t1", "50.00")))
    with sqlite_store.read() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM paysync_reviews").scalar() == 0
    assert {kind.value for kind in AlertKind} >= {"review_opened"}
