"""QRs that need a person, causes of failures, checks by the minute: what `paysync top` reads, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from paysync_cli.services.concerns import AT_MOST, causes, concerns
from paysync_cli.services.stats import gather_stats
from paysync_cli.store import history
from paysync_cli.store.database import Database
from tests.books import NOW, add_check, add_qr, open_review


@pytest.fixture
def store(any_store: Database) -> Database:
    return any_store


def seen(store: Database) -> list[tuple[str, str]]:
    books = gather_stats(store, None, now=NOW).books
    return [(one.code, one.qr_id) for one in concerns(store, books, NOW)]


def test_reviews_come_first_then_overdue_exhausted_held(store: Database) -> None:
    add_qr(store, "later", at=NOW + timedelta(hours=1))
    add_qr(store, "just-due", at=NOW - timedelta(seconds=30))
    add_qr(store, "held", state="held")
    add_qr(store, "out", state="exhausted", at=NOW + timedelta(hours=1), checks=20)
    add_qr(store, "late", at=NOW - timedelta(minutes=5))
    add_qr(store, "queued", state="queued", at=NOW - timedelta(minutes=9))
    add_qr(store, "elsewhere", bank="other", at=NOW - timedelta(minutes=7))
    open_review(store, add_qr(store, "odd", status="completed"))
    assert seen(store) == [
        ("review", "odd"), ("overdue", "elsewhere"), ("overdue", "queued"), ("overdue", "late"),
        ("exhausted", "out"), ("held", "held"),
    ]  # fmt: skip


def test_nothing_is_wrong_with_what_goes_its_way(store: Database) -> None:
    add_qr(store, "later", at=NOW + timedelta(hours=1))
    add_qr(store, "paid", status="completed")
    assert seen(store) == []


def test_a_few_of_each_kind_are_enough(store: Database) -> None:
    for n in range(AT_MOST + 5):
        add_qr(store, f"late-{n:02}", at=NOW - timedelta(hours=1, seconds=100 - n))
    assert seen(store) == [("overdue", f"late-{n:02}") for n in range(AT_MOST)]


def test_the_most_frequent_cause_comes_first_with_a_qr_of_it(store: Database) -> None:
    one, two = add_qr(store, "one"), add_qr(store, "two", bank="other")
    for n in range(3):
        add_check(store, one, seq=n, at=NOW - timedelta(hours=n + 1), outcome="unavailable", error="503")
    add_check(store, one, seq=5, at=NOW - timedelta(hours=1), outcome="unpaid")
    add_check(store, one, seq=6, at=NOW - timedelta(hours=25), outcome="unavailable", error="long ago")
    add_check(store, two, seq=0, at=NOW - timedelta(hours=1), outcome="unavailable", error="503")
    found = causes(store, NOW)
    assert [(one.cause.times, one.cause.bank, one.cause.outcome, one.cause.error) for one in found] == [
        (3, "sim", "unavailable", "503"),
        (1, "other", "unavailable", "503"),
    ]
    assert [one.qr and one.qr.qr_id for one in found] == ["one", "two"]
    assert found[0].cause.last_at == NOW - timedelta(hours=1)


def test_an_error_that_names_its_qr_is_one_cause(store: Database) -> None:
    for n in range(3):
        qr = add_qr(store, f"3106140000{n}")
        add_check(store, qr, at=NOW - timedelta(hours=1), outcome="unavailable", error=f"GET /qr/{qr.qr_id}: HTTP 500")
    add_check(store, qr, seq=1, at=NOW - timedelta(hours=1), outcome="unreadable")
    found = [(one.cause.times, one.cause.error) for one in causes(store, NOW)]
    assert found == [(3, "GET /qr/…: HTTP 500"), (1, None)]


def test_whole_minutes_are_counted_the_oldest_first(store: Database) -> None:
    qr = add_qr(store, "one")
    now = NOW + timedelta(seconds=30)
    for n, ago_s in enumerate((10, 31, 80, 89.5, 91, 209, 211)):  # the minute that has begun does not count
        add_check(store, qr, seq=n, at=now - timedelta(seconds=ago_s))
    with store.read() as tx:
        assert history.checks_by_minute(tx, now, 3) == [1, 1, 3]
