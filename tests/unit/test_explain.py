"""Every reason why a QR is or is not asked about, each in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from paysync_cli.errors import NotFound, RedisUnavailable, UsageError
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.queue.client import WorkerSeen
from paysync_cli.queue.gate import BreakerSeen
from paysync_cli.services import explain as explaining
from paysync_cli.services import hold as holding
from paysync_cli.services.explain import ExplainReport, Place, explain
from paysync_cli.services.notices import take_notice
from paysync_cli.store import banks
from paysync_cli.store.database import Database
from paysync_cli.views.explain import ExplainView, sentence
from paysync_cli.views.times import iso_utc
from tests.books import NOW, add_check, add_qr, new_database, open_review

HOUR = timedelta(hours=1)
ALIVE = WorkerSeen("w1", "host", 1, "idle", 1.0, 0, (), 90.0)
SILENT = WorkerSeen("w2", "host", 2, "idle", 300.0, 0, (), 90.0)
CLOSED = BreakerSeen("closed", 0, None, None, 0)
OPEN = BreakerSeen("open", 5, 12.0, None, 0)


class Queues:
    """Redis as a test wants it: its workers, the breaker, where the job is."""

    def __init__(self, *workers: WorkerSeen, breaker: BreakerSeen = CLOSED, job: str = "absent") -> None:
        self._workers, self.breaker, self._job = workers, breaker, job

    def workers(self) -> list[WorkerSeen]:
        return list(self._workers)

    def whereabouts(self, names: list[Any]) -> dict[Any, str]:
        return dict.fromkeys(names, self._job)


@pytest.fixture(autouse=True)
def breakers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gate:
        def __init__(self, queue: Queues) -> None:
            self.queue = queue

        def look(self, names: list[str]) -> dict[str, BreakerSeen]:
            return dict.fromkeys(names, self.queue.breaker)

    monkeypatch.setattr(explaining, "BankGate", Gate)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def look(store: Database, queue: Any = None, *, environment: str = "certification", listed: bool = False) -> Any:
    rhythms = {"sim": Rhythm(lists_by_payment_day=listed)}
    place = Place({"sim": environment}, rhythms, queue or Queues(ALIVE))
    return explain(store, place, "QR1", now=NOW)


def codes(report: ExplainReport) -> list[str]:
    return [reason.code for reason in report.reasons]


def words(report: ExplainReport, code: str) -> str:
    (found,) = [sentence(reason, iso_utc) for reason in report.reasons if reason.code == code]
    return found


def blocking(report: ExplainReport) -> list[str]:
    return [reason.code for reason in report.reasons if reason.blocks]


def test_a_qr_that_waits_for_its_moment(store: Database) -> None:
    add_qr(store, "QR1", at=NOW + HOUR, checks=3, due_at=NOW + 5 * HOUR)
    report = look(store)
    assert (codes(report), report.blocked) == (["budget", "planned", "never_asked", "due_query"], False)
    assert words(report, "budget") == "The next check is number 4 of 20."
    assert words(report, "planned") == "Its next check is at 2031-06-14T17:00:00+00:00, low priority."
    assert "2031-06-14T21:02:00+00:00 or later can end it as expired" in words(report, "due_query")


def test_a_qr_that_is_due(store: Database) -> None:
    add_qr(store, "QR1", at=NOW - HOUR, priority="high")
    assert "is due since 2031-06-14T15:00:00+00:00 and goes to the high queue" in words(look(store), "due")


@pytest.mark.parametrize("status", ["completed", "cancelled", "expired"])
def test_a_final_qr(store: Database, status: str) -> None:
    add_qr(store, "QR1", status=status, registered_at=NOW)
    report = look(store)
    assert codes(report) == ["final"]
    assert words(report, "final") == f"It is {status} since 2031-06-14T16:00:00+00:00, by news from: registered."


def test_a_final_qr_that_the_bank_gave_notice_of(store: Database) -> None:
    add_qr(store, "QR1", status="expired", checks=20, due_at=NOW - HOUR)
    take_notice(store, ["QR1"], bank="sim", environment="certification", now=NOW)
    report = look(store)
    assert (codes(report), report.blocked) == (["final", "free_check", "due", "never_asked"], False)
    assert "by a person or by the bank's notice" in words(report, "free_check")
    assert ExplainView(report)._verdict() == (
        "QR QR1 of sim is expired; the bank gave notice of it and is asked once more."
    )


def test_a_held_qr_says_who_and_why(store: Database) -> None:
    add_qr(store, "QR1", at=NOW)
    holding.hold(store, holding.Which(["QR1"]), reason="disputed.", who="ana@till", now=NOW)
    report = look(store)
    assert (codes(report)[0], report.blocked) == ("held", True)
    assert "due" not in codes(report)
    assert "since 2031-06-14T16:00:00+00:00 by ana@till: disputed. `paysync release`" in words(report, "held")


def test_a_held_qr_whose_story_is_not_known(store: Database) -> None:
    add_qr(store, "QR1", state="held")
    assert words(look(store), "held").startswith("It is on hold; `paysync release`")


def test_the_bank_is_not_configured_or_of_another_environment(store: Database) -> None:
    add_qr(store, "QR1")
    place = Place({"other": "production"}, {}, Queues(ALIVE))  # type: ignore[arg-type]
    report = explain(store, place, "QR1", now=NOW)
    assert blocking(report) == ["unconfigured_bank"]
    report = look(store, environment="production")
    assert blocking(report) == ["other_environment"]
    assert "certification environment of sim; the credential here is for production" in words(
        report, "other_environment"
    )


def change(store: Database, **values: object) -> None:
    with store.write() as tx:
        banks.change(tx, "sim", "certification", **values)


def test_the_bank_is_paused(store: Database) -> None:
    add_qr(store, "QR1")
    change(store, paused_at=NOW - HOUR, paused_by="ana", pause_reason="their night work")
    report = look(store)
    assert blocking(report) == ["bank_paused"]
    assert words(report, "bank_paused") == (
        "sim is paused since 2031-06-14T15:00:00+00:00 by ana: their night work. `paysync resume sim` ends it."
    )
    change(store, paused_until=NOW + HOUR)
    assert "is paused until 2031-06-14T17:00:00+00:00 by ana" in words(look(store), "bank_paused")
    change(store, paused_until=NOW)
    assert blocking(look(store)) == []


def test_a_pause_of_another_environment_is_not_its_own(store: Database) -> None:
    add_qr(store, "QR1")
    with store.write() as tx:
        banks.change(tx, "sim", "production", paused_at=NOW, stopped_at=NOW)
    assert blocking(look(store)) == []


def test_the_credential_is_stopped(store: Database) -> None:
    add_qr(store, "QR1")
    change(store, stopped_at=NOW - HOUR, stop_reason="login refused")
    report = look(store)
    assert blocking(report) == ["credential_stopped"]
    assert "`paysync bank unlock sim`" in words(report, "credential_stopped")


@pytest.mark.parametrize(
    ("listed", "rest"), [(True, "the bank's day list finds payments"), (False, "it is asked about once a day")]
)
def test_an_exhausted_qr(store: Database, listed: bool, rest: str) -> None:
    add_qr(store, "QR1", state="exhausted", checks=20, at=NOW + HOUR)
    report = look(store, listed=listed)
    assert (codes(report)[:2], report.blocked) == (["exhausted", "planned"], False)
    assert words(report, "exhausted").startswith(f"Its 20 checks are used up: {rest}")


def test_a_free_check_and_failed_attempts(store: Database) -> None:
    qr = add_qr(store, "QR1", attempts=2, checks=4)
    add_check(store, qr, outcome="unavailable", attempt=2, error="no answer within 90 s")
    with store.write() as tx:
        tx.exec_driver_sql("UPDATE paysync_qrs SET free = 1")
    report = look(store)
    assert codes(report) == ["free_check", "attempt_failed", "due", "last_check"]
    assert "4 of 20 are used" in words(report, "free_check")
    assert words(report, "attempt_failed").startswith("Attempt 2 of 3 to ask failed: no answer within 90 s.")
    assert words(report, "last_check") == "It was last asked about at 2031-06-14T16:00:00+00:00: unavailable."


@pytest.mark.parametrize(
    ("job", "code"),
    [
        ("listed", "queued"),
        ("started", "asking_now"),
        ("absent", "job_lost"),
        ("lost", "job_lost"),
        ("failed", "job_lost"),
    ],
)
def test_a_dispatched_qr(store: Database, job: str, code: str) -> None:
    add_qr(store, "QR1", state="queued")
    assert code in codes(look(store, Queues(ALIVE, job=job)))


def test_what_redis_and_the_workers_say(store: Database) -> None:
    add_qr(store, "QR1", state="queued")
    assert blocking(look(store, Queues(SILENT))) == ["no_worker"]
    report = look(store, Queues(ALIVE, breaker=OPEN))
    assert blocking(report) == ["breaker_open"]
    assert "the next one in 12 seconds" in words(report, "breaker_open")
    report = look(store, RedisUnavailable("Redis at host did not answer."))
    assert (blocking(report), "queued" in codes(report)) == (["redis_unavailable"], True)
    place = Place({"sim": "certification"}, {}, None)
    assert blocking(explain(store, place, "QR1", now=NOW)) == ["no_worker"]


def test_redis_that_goes_away_meanwhile(store: Database) -> None:
    add_qr(store, "QR1")

    class Gone(Queues):
        def workers(self) -> list[WorkerSeen]:
            raise RedisUnavailable("gone")

    assert blocking(look(store, Gone())) == ["redis_unavailable"]


@pytest.mark.parametrize(("n", "text"), [(1, "1 review of it is open"), (2, "2 reviews of it are open")])
def test_open_reviews_are_told(store: Database, n: int, text: str) -> None:
    qr = add_qr(store, "QR1", status="completed")
    for reason in ("overpaid", "late_payment")[:n]:
        open_review(store, qr, reason)
    assert text in words(look(store), "reviews_open")


def test_which_qr(store: Database) -> None:
    with pytest.raises(NotFound, match="No QR QR1 is known"):
        look(store)
    add_qr(store, "QR1")
    add_qr(store, "QR1", bank="other")
    with pytest.raises(UsageError, match="several QRs"):
        look(store)
