"""Recording: what an answer or a failure makes of the books, in one transaction, once."""

from __future__ import annotations

import asyncio
import itertools
import re
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from paysync_cli.banks.base import Refused, Throttled, Unavailable, Unknown, Unreadable
from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.payments.qr import Answer, Plan, Qr
from paysync_cli.payments.status import PlanState, Status
from paysync_cli.services import sync
from paysync_cli.services.sync import WORKER_LOST, Asked, Failure, Judge, Recorded, ask, record
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.database import Database
from tests.books import add_qr, dump, new_database
from tests.core import NOW, RHYTHM, ScriptedBank, garbled, listed, make_qr, paid, says

MINUTE = timedelta(minutes=1)
SOMEBODY = -1  # the seq of news that belongs to no planned check
REFUSING = {
    "sqlite": (
        "CREATE TRIGGER poison BEFORE {verb} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'poison'); END",
    ),
    "postgresql": (
        "CREATE TRIGGER poison BEFORE {verb} ON {table} FOR EACH ROW WHEN ({condition})"
        " EXECUTE FUNCTION paysync_refuse()",
    ),
}


def judge_now(**changes: Any) -> Judge:
    return replace(Judge({"sim": RHYTHM}, NOW, lambda: 0.0), **changes)


def told(qr: Qr, answer: Answer, *, seq: int | None = None) -> Asked:
    return Asked(qr.id, qr.plan.seq if seq is None else seq, NOW, 7, answer)


def without_answer(qr: Qr, kind: str = "attempt", outcome: str = "unavailable", **fields: Any) -> Asked:
    return Asked(qr.id, qr.plan.seq, NOW, 7, failure=Failure(kind, outcome, "why", **fields))


def write(store: Database, *group: Asked, **changes: Any) -> list[Recorded]:
    return record(store, group, judge_now(**changes))


def row(store: Database, qr: Qr) -> Qr:
    with store.read() as tx:
        return qrs.load(tx, [qr.id])[qr.id]


def story(store: Database, qr: Qr) -> history.Story:
    with store.read() as tx:
        return history.story(tx, qr.id)


def booked(store: Database, qr: Qr) -> list[tuple[str, int]]:
    return [(one["bank_transaction_id"], one["amount_minor"]) for one in story(store, qr).movements]


def reviews(store: Database, qr: Qr) -> list[tuple[str, str]]:
    return [(one["reason"], one["news"]) for one in story(store, qr).reviews]


def balance(store: Database) -> dict[tuple[str, str], int]:
    """The balances, which must be what the movements add up to."""
    with store.read() as tx:
        balances, sums = ledger.balances(tx), ledger.sums(tx)
    assert balances == sums
    return {(one.account, one.currency): one.amount for one in balances}


def poison(store: Database, verb: str, table: str, condition: str) -> None:
    """Make the database refuse some rows."""
    with store.write() as tx:
        for statement in REFUSING[tx.dialect.name]:
            tx.exec_driver_sql(statement.format(verb=verb, table=table, condition=condition))


def transactions(store: Database) -> list[str]:
    """Fills with `commit` and `rollback` from now on."""
    seen: list[str] = []
    event.listen(store.engine, "commit", lambda _connection: seen.append("commit"))
    event.listen(store.engine, "rollback", lambda _connection: seen.append("rollback"))
    return seen


# -- one answer


def test_status_movement_balance_check_and_plan_are_written_together(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", status="pending", amount=10000, seq=3, checks=2, attempts=1)
    (result,) = write(any_store, told(qr, says("paid", paid("t1", payer="Ana"))))
    after, written = row(any_store, qr), story(any_store, qr)
    assert (after.status, after.version) == (Status.COMPLETED, 1)
    assert after.plan == Plan(PlanState.DONE, None, qr.plan.priority, seq=4, checks=3, max_checks=20, attempts=0)
    assert result.check is not None
    assert replace(result, check=None) == Recorded(
        result.asked, "finished", "paid", qr, after.status, after.plan, (ledger_movement(any_store, qr),)
    )
    (movement,) = written.movements
    assert (movement["amount_minor"], movement["currency"], movement["account"]) == (10000, "BOB", "main")
    assert (movement["bank"], movement["payer"], movement["source"]) == ("sim", "Ana", "check")
    (check,) = written.checks
    assert (check["seq"], check["attempt"], check["outcome"], check["bank_status"]) == (3, 2, "paid", "paid")
    last = written.transitions[-1]
    assert (last["old"], last["new"], last["cause"], last["seq"]) == ("pending", "completed", "check", 4)
    assert balance(any_store) == {("main", "BOB"): 10000}


def ledger_movement(store: Database, qr: Qr) -> Any:
    with store.read() as tx:
        return ledger.of(tx, [qr.id])[qr.id][0]


def test_nothing_to_write_is_nothing() -> None:
    assert record(None, [], judge_now()) == []  # type: ignore[arg-type]


def test_not_paid_yet_costs_one_check_and_no_attempt(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", attempts=2, checks=4)
    (result,) = write(any_store, told(qr, says("unpaid")))
    plan = row(any_store, qr).plan
    assert (result.how, plan.checks, plan.attempts, plan.next_check_at) == ("finished", 5, 0, NOW + 15 * MINUTE)
    assert row(any_store, qr).version == 0  # planning alone is no change


def test_a_check_that_a_person_asked_for_costs_nothing(sqlite_store: Database) -> None:
    qr = add_qr(sqlite_store, "QR1", checks=4)
    write(sqlite_store, replace(told(qr, says("unpaid")), free=True))
    assert row(sqlite_store, qr).plan.checks == 4


def test_several_rows_share_one_transaction_and_the_results_keep_their_order(any_store: Database) -> None:
    rows = [add_qr(any_store, f"QR{n}", amount=10000) for n in range(20)]
    seen = transactions(any_store)
    results = write(any_store, *(told(qr, says("paid", paid(f"t{qr.id}"))) for qr in reversed(rows)))
    assert seen == ["commit"]
    assert [result.asked.qr for result in results] == [qr.id for qr in reversed(rows)]
    assert balance(any_store) == {("main", "BOB"): 20 * 10000}


def test_each_account_and_currency_is_credited_with_its_own(any_store: Database) -> None:
    one, other = add_qr(any_store, "QR1", account="a"), add_qr(any_store, "QR2", account="b")
    write(
        any_store, told(one, says("paid", paid("t1"), paid("t2", "3.00", "USD"))), told(other, says("paid", paid("t3")))
    )
    assert balance(any_store) == {("a", "BOB"): 10000, ("a", "USD"): 300, ("b", "BOB"): 10000}


def test_a_row_that_is_not_there_fails_loudly_and_the_others_do_not_care(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1")
    nobody = Asked(999, 0, NOW, 7, says("paid", paid("t9")))
    lost, result = write(any_store, nobody, told(qr, says("unpaid")))
    assert (lost.how, lost.outcome, lost.reason) == ("failed", "unknown_row", "no QR row 999 in this database")
    assert result.how == "finished"
    assert balance(any_store) == {}


# -- races


def test_a_loser_without_unbooked_money_writes_nothing(sqlite_store: Database) -> None:
    qr = add_qr(sqlite_store, "QR1", amount=10000)
    write(sqlite_store, told(qr, says("paid", paid("t1", "30.00"))))
    before = dump(sqlite_store)
    late = [
        told(qr, says("unpaid")),
        told(qr, says("cancelled")),
        told(qr, says("paid", paid("t1", "30.00"))),
        told(qr, says("paid", paid("t1", "31.00"))),
        told(qr, says("paid", unreadable=(garbled(),))),
        without_answer(qr),
        without_answer(qr, "check", "unknown"),
        without_answer(qr, "wait", "throttled", wait_s=5),
    ]
    assert {(one.how, one.outcome) for one in write(sqlite_store, *late)} == {("gone", "stale")}
    assert dump(sqlite_store) == before


def test_a_loser_with_unbooked_money_books_it_and_leaves_the_plan(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", amount=10000, seq=5)
    write(any_store, told(qr, says("unpaid")))
    plan = row(any_store, qr).plan
    (result,) = write(any_store, told(qr, says("paid", paid("t1", "30.00"))))
    after = row(any_store, qr)
    assert (result.how, after.status, booked(any_store, qr)) == ("finished", Status.PROCESSING, [("t1", 3000)])
    assert (after.plan.seq, after.plan.checks) == (plan.seq, plan.checks)
    assert len(story(any_store, qr).checks) == 1
    assert after.version == 1


def test_a_late_answer_decides_with_all_movements_not_with_what_it_saw(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", amount=10000)
    write(any_store, told(qr, says("paid", paid("t1", "60.00"))))
    write(any_store, told(qr, says("paid", paid("t2", "40.00"))))
    assert row(any_store, qr).status is Status.COMPLETED
    assert row(any_store, qr).plan.state is PlanState.DONE


def test_late_bad_news_never_overtakes_good_news(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", amount=10000, due_at=NOW - timedelta(days=1))
    write(any_store, told(qr, says("paid", paid("t1"))))
    for word in ("unpaid", "cancelled", "expired"):
        write(any_store, told(qr, says(word)))
        write(any_store, told(row(any_store, qr), says(word)))
    assert row(any_store, qr).status is Status.COMPLETED
    assert balance(any_store) == {("main", "BOB"): 10000}


def test_the_same_row_twice_in_one_group_is_judged_one_after_the_other(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", amount=10000)
    answer, seen = says("paid", paid("t1", "60.00")), transactions(any_store)
    first, again, other = write(
        any_store, told(qr, answer), told(qr, answer), told(qr, says("paid", paid("t1", "60.00"), paid("t2", "40.00")))
    )
    assert [(one.how, len(one.booked)) for one in (first, again, other)] == [
        ("finished", 1), ("gone", 0), ("finished", 1)
    ]  # fmt: skip
    assert seen == ["commit"]
    after = row(any_store, qr)
    assert (after.status, after.plan.seq, after.plan.checks, after.version) == (Status.COMPLETED, 1, 1, 2)
    assert booked(any_store, qr) == [("t1", 6000), ("t2", 4000)]
    assert balance(any_store) == {("main", "BOB"): 10000}


def test_twenty_threads_with_one_answer_make_one_movement(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", amount=10000)
    answer = says("paid", paid("t1"))
    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(lambda _n: write(any_store, told(qr, answer))[0], range(20)))
    assert sorted(result.how for result in results) == ["finished"] + ["gone"] * 19
    assert booked(any_store, qr) == [("t1", 10000)]
    assert balance(any_store) == {("main", "BOB"): 10000}
    assert (row(any_store, qr).plan.seq, len(story(any_store, qr).checks)) == (1, 1)


def test_twenty_threads_with_one_payment_each_book_all_of_them(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", amount=10000, multi_use=True)
    other = add_qr(any_store, "QR2", amount=10000, multi_use=True)

    def one(n: int) -> None:
        group = [told(qr, says("paid", paid(f"a{n}", "1.00"))), told(other, says("paid", paid(f"b{n}", "2.00")))]
        write(any_store, *(group if n % 2 else reversed(group)))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(one, range(20)))
    assert balance(any_store) == {("main", "BOB"): 20 * 300}
    assert row(any_store, qr).version == row(any_store, other).version == 20


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)), cuts=st.sets(st.integers(1, 5)))
def test_every_order_and_grouping_of_recordings_ends_alike(
    tmp_path_factory: pytest.TempPathFactory, order: Sequence[int], cuts: set[int]
) -> None:
    store = new_database(tmp_path_factory.mktemp("books"))
    try:
        qr = add_qr(store, "QR1", amount=10000, due_at=NOW - timedelta(days=1))
        news = [
            told(qr, says("unpaid")),
            told(qr, says("paid", paid("t1", "60.00"))),
            told(qr, listed(paid("t1", "60.00")), seq=SOMEBODY),
            told(qr, listed(paid("t2", "60.00")), seq=SOMEBODY),
            told(qr, says("cancelled")),
            without_answer(qr),
        ]
        shuffled = [news[n] for n in order]
        for start, end in itertools.pairwise([0, *sorted(cuts), 6]):
            write(store, *shuffled[start:end])
        assert row(store, qr).status is Status.COMPLETED
        assert sorted(booked(store, qr)) == [("t1", 6000), ("t2", 6000)]
        assert balance(store) == {("main", "BOB"): 12000}
    finally:
        store.close()


# -- the list's word


def test_the_list_books_and_leaves_seq_and_budget(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", amount=10000, seq=4, checks=3)
    (result,) = write(any_store, told(qr, listed(paid("t1", "30.00")), seq=SOMEBODY), source="list")
    plan = row(any_store, qr).plan
    assert (result.how, plan.seq, plan.checks, plan.priority) == ("finished", 4, 3, "medium")
    assert story(any_store, qr).movements[0]["source"] == "list"
    assert story(any_store, qr).checks == []


@pytest.mark.parametrize("status", ["active", "completed", "expired"])
def test_the_list_s_reviews_are_opened_also_without_new_money(any_store: Database, status: str) -> None:
    """Nothing else brings them: the day counts as read."""
    qr = add_qr(any_store, "QR1", status=status, amount=10000)
    write(any_store, told(qr, listed(paid("t1")), seq=SOMEBODY))
    garble = garbled()
    (result,) = write(any_store, told(qr, listed(paid("t1", "70.00"), unreadable=[garble]), seq=SOMEBODY))
    assert sorted(review.reason for review in result.reviews) == ["transaction_conflict", "unreadable_payment"]
    assert {reason for reason, _news in reviews(any_store, qr)} >= {"transaction_conflict", "unreadable_payment"}
    (again,) = write(any_store, told(qr, listed(paid("t1", "70.00"), unreadable=[garble]), seq=SOMEBODY))
    assert again.reviews == ()


def test_the_list_s_unreadable_money_makes_a_qr_processing(sqlite_store: Database) -> None:
    qr = add_qr(sqlite_store, "QR1")
    write(sqlite_store, told(qr, listed(unreadable=[garbled()]), seq=SOMEBODY))
    assert row(sqlite_store, qr).status is Status.PROCESSING


def test_the_list_gives_a_multi_use_qr_its_budget_back(sqlite_store: Database) -> None:
    qr = add_qr(sqlite_store, "QR1", multi_use=True, checks=20, state="exhausted", at=NOW + timedelta(days=30))
    write(sqlite_store, told(qr, listed(paid("t1", "30.00")), seq=SOMEBODY))
    plan = row(sqlite_store, qr).plan
    assert (plan.state, plan.checks, plan.next_check_at) == (PlanState.PLANNED, 0, NOW + 15 * MINUTE)


# -- one transaction of the bank, two QRs


def test_the_same_transaction_under_two_qrs_is_booked_twice_and_a_review(any_store: Database) -> None:
    one, other = add_qr(any_store, "QR1", amount=10000), add_qr(any_store, "QR2", amount=10000)
    write(any_store, told(one, says("paid", paid("t1"))))
    write(any_store, told(other, says("paid", paid("t1"))))
    assert (reviews(any_store, one), reviews(any_store, other)) == ([], [("transaction_conflict", "t1")])
    assert balance(any_store) == {("main", "BOB"): 20000}


def test_the_same_transaction_under_two_qrs_of_one_group_is_a_review_too(any_store: Database) -> None:
    one, other = add_qr(any_store, "QR1", amount=10000), add_qr(any_store, "QR2", amount=10000)
    write(any_store, told(one, says("paid", paid("t1"))), told(other, says("paid", paid("t1"))))
    assert reviews(any_store, one) + reviews(any_store, other) == [("transaction_conflict", "t1")]


def test_the_same_transaction_in_another_bank_or_environment_is_nothing_strange(any_store: Database) -> None:
    rows = [
        add_qr(any_store, "QR1", amount=10000),
        add_qr(any_store, "QR1", amount=10000, environment="production"),
        add_qr(any_store, "QR1", amount=10000, bank="other"),
    ]
    for qr in rows:
        write(any_store, told(qr, says("paid", paid("t1"))))
    assert [reviews(any_store, qr) for qr in rows] == [[], [], []]


def test_a_group_asks_once_who_has_its_transactions(sqlite_store: Database) -> None:
    rows = [add_qr(sqlite_store, f"QR{n}", amount=10000) for n in range(30)]
    asked: list[str] = []
    event.listen(
        sqlite_store.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_rest: asked.append(statement),
    )
    write(sqlite_store, *(told(qr, says("paid", paid(f"t{qr.id}"))) for qr in rows))
    assert sum("FROM paysync_movements JOIN" in statement for statement in asked) == 1


def test_more_transactions_than_one_in_list_takes(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", multi_use=True)
    many = [paid(f"t{n}", "1.00") for n in range(1200)]
    write(any_store, told(qr, says("paid", *many)))
    (again,) = write(any_store, told(row(any_store, qr), says("paid", *many)))
    assert (again.booked, balance(any_store)) == ((), {("main", "BOB"): 120_000})


# -- reviews


def test_reviews_are_opened_once_and_reported_only_then(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", amount=10000)
    answer = says("paid", paid("t1", "130.00"))
    (first,) = write(any_store, told(qr, answer))
    (again,) = write(any_store, told(row(any_store, qr), answer))
    assert ([review.reason for review in first.reviews], again.reviews) == (["overpaid"], ())
    assert reviews(any_store, qr) == [("overpaid", "t1")]


def test_the_same_news_never_reopens_a_review(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", amount=10000)
    write(any_store, told(qr, says("paid", paid("t1", "130.00"))))
    with any_store.write() as tx:
        tx.exec_driver_sql("UPDATE paysync_reviews SET state = 'resolved', resolved_at = opened_at")
    write(any_store, told(row(any_store, qr), says("paid", paid("t1", "130.00"))))
    assert [review["state"] for review in story(any_store, qr).reviews] == ["resolved"]


# -- failures


@pytest.mark.parametrize(("attempts", "how", "left"), [(0, "gone", 1), (1, "gone", 2), (2, "failed", 0)])
def test_a_failed_attempt_costs_no_check_and_raises_the_seq(
    any_store: Database, attempts: int, how: str, left: int
) -> None:
    qr = add_qr(any_store, "QR1", attempts=attempts, checks=4, seq=6)
    (result,) = write(any_store, without_answer(qr))
    plan = row(any_store, qr).plan
    assert (result.how, result.reason) == (how, "why")
    assert (plan.attempts, plan.checks, plan.seq, plan.state) == (left, 4, 7, PlanState.PLANNED)
    (check,) = story(any_store, qr).checks
    assert (check["outcome"], check["error"], check["attempt"], check["seq"]) == ("unavailable", "why", attempts + 1, 6)


def test_a_wait_costs_neither_attempt_nor_check_and_leaves_no_record(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", state="queued", attempts=1, checks=4, seq=6)
    (result,) = write(any_store, without_answer(qr, "wait", "throttled", wait_s=90))
    assert result.how == "gone"
    assert row(any_store, qr).plan == replace(
        qr.plan, state=PlanState.PLANNED, next_check_at=NOW + timedelta(seconds=90)
    )
    assert story(any_store, qr).checks == []


def test_no_such_qr_costs_a_check_and_opens_a_review_when_the_budget_is_spent(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", checks=18)
    (first,) = write(any_store, without_answer(qr, "check", "unknown"))
    assert (first.how, first.reviews, row(any_store, qr).status) == ("finished", (), Status.ACTIVE)
    (spent,) = write(any_store, without_answer(row(any_store, qr), "check", "unknown"))
    assert [review.reason for review in spent.reviews] == ["unknown_qr"]
    plan = row(any_store, qr).plan
    assert (plan.state, plan.checks, row(any_store, qr).status) == (PlanState.EXHAUSTED, 20, Status.ACTIVE)
    (again,) = write(any_store, without_answer(row(any_store, qr), "check", "unknown"))
    assert (again.reviews, row(any_store, qr).plan.checks) == ((), 20)
    assert reviews(any_store, qr) == [("unknown_qr", "not_found")]


def test_failures_change_neither_status_nor_the_missing_details(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1")
    write(any_store, told(qr, says("paid")))
    for kind in ("attempt", "check", "wait"):
        write(any_store, without_answer(row(any_store, qr), kind, wait_s=1))
    after = row(any_store, qr)
    assert (after.status, after.details_missing_since) == (Status.PROCESSING, NOW)


@pytest.mark.parametrize("state", ["planned", "exhausted", "held"])
def test_an_execution_is_lost_only_while_its_row_waits_for_it(any_store: Database, state: str) -> None:
    """Another was given back meanwhile, as whatever it is: it pays for nothing, and keeps its moment."""
    waiting = add_qr(any_store, "QR1", state="queued")
    given_back = add_qr(any_store, "QR2", state=state, checks=20 if state == "exhausted" else 3, attempts=2)
    results = write(any_store, *(without_answer(qr, outcome=WORKER_LOST) for qr in (waiting, given_back)))
    assert [(result.how, result.outcome) for result in results] == [("gone", WORKER_LOST), ("gone", "stale")]
    assert row(any_store, waiting).plan.attempts == 1
    assert row(any_store, given_back) == given_back
    assert story(any_store, given_back).checks == []


# -- a row that cannot be written


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_poisoned_row_becomes_a_failed_attempt_and_the_others_are_written(any_store: Database, place: int) -> None:
    rows = [add_qr(any_store, f"QR{n}", amount=10000) for n in range(7)]
    poison(any_store, "INSERT", "paysync_movements", f"NEW.qr = {rows[place].id}")
    results = write(any_store, *(told(qr, says("paid", paid(f"t{qr.id}"))) for qr in rows))
    bad = results.pop(place)
    assert (bad.how, bad.outcome) == ("gone", "error")
    assert row(any_store, rows[place]).plan.attempts == 1
    assert booked(any_store, rows[place]) == []
    assert {result.how for result in results} == {"finished"}
    assert balance(any_store) == {("main", "BOB"): 6 * 10000}


def test_a_row_that_takes_no_record_at_all_does_not_take_the_others_down(any_store: Database) -> None:
    rows = [add_qr(any_store, f"QR{n}", amount=10000) for n in range(5)]
    poison(any_store, "UPDATE", "paysync_qrs", f"OLD.id = {rows[1].id}")
    results = write(any_store, *(told(qr, says("paid", paid(f"t{qr.id}"))) for qr in rows))
    assert [result.how for result in results] == ["finished", "failed", "finished", "finished", "finished"]
    assert results[1].reason.startswith("cannot be written")
    assert row(any_store, rows[1]) == rows[1]
    assert balance(any_store) == {("main", "BOB"): 4 * 10000}


def test_a_payer_that_breaks_the_driver_does_not_take_the_others_down(any_store: Database) -> None:
    rows = [add_qr(any_store, f"QR{n}", amount=10000) for n in range(3)]
    broken = says("paid", paid("t1", payer="\ud800"))
    results = write(any_store, told(rows[0], broken), *(told(qr, says("paid", paid("t2"))) for qr in rows[1:2]))
    assert [result.how for result in results] == ["gone", "finished"]
    assert row(any_store, rows[0]).plan.attempts == 1


@pytest.mark.parametrize("seq", [SOMEBODY, 0], ids=["the list's", "a late answer's"])
def test_money_that_cannot_be_written_and_that_no_attempt_stands_for_fails_loudly(
    any_store: Database, seq: int
) -> None:
    qr = add_qr(any_store, "QR1", amount=10000, seq=3)
    poison(any_store, "INSERT", "paysync_movements", "NEW.amount_minor > 0")
    (result,) = write(any_store, told(qr, listed(paid("t1")), seq=seq))
    assert (result.how, result.outcome) == ("failed", "error")
    assert row(any_store, qr) == qr


# -- a database that is away


def test_a_locked_database_is_passed_on_and_nothing_is_half_written(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [add_qr(sqlite_store, f"QR{n}", amount=10000) for n in range(3)]
    before = dump(sqlite_store)
    group = [told(qr, says("paid", paid(f"t{qr.id}"))) for qr in rows]
    with impatient(sqlite_store, monkeypatch) as path:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            write(sqlite_store, *group)
        other.execute("ROLLBACK")
        other.close()
    assert dump(sqlite_store) == before
    assert {result.how for result in write(sqlite_store, *group)} == {"finished"}


@pytest.mark.parametrize("rows", [1, 3])
def test_a_database_that_was_away_for_a_moment_is_not_taken_for_a_bad_row(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    group = [told(add_qr(sqlite_store, f"QR{n}", amount=10000), says("unpaid")) for n in range(rows)]
    before, honest, away = dump(sqlite_store), sync.record_in, [True]

    def flaky(*args: Any) -> list[Recorded]:
        results = honest(*args)
        if away and away.pop():
            raise DatabaseUnavailable("busy")
        return results

    monkeypatch.setattr(sync, "record_in", flaky)
    with pytest.raises(DatabaseUnavailable):
        write(sqlite_store, *group)
    assert dump(sqlite_store) == before
    assert {result.how for result in write(sqlite_store, *group)} == {"finished"}


class impatient:  # noqa: N801 - reads as a word
    """SQLite's busy time-out cut short; gives the file's path."""

    def __init__(self, store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self._store, self._patch = store, monkeypatch

    def __enter__(self) -> str:
        self._store.close()
        self._patch.setattr("paysync_cli.store.database.BUSY_TIMEOUT_MS", 20)
        return self._store.where

    def __exit__(self, *_: object) -> None:
        self._store.close()
        self._patch.undo()


def test_a_removed_file_is_passed_on_and_no_empty_one_takes_its_place(sqlite_store: Database) -> None:
    """A pooled connection would go on writing into the removed file: all OK, all lost."""
    qr = add_qr(sqlite_store, "QR1", amount=10000)
    path = Path(sqlite_store.where)
    kept = path.rename(path.with_name("elsewhere.db"))
    with pytest.raises(DatabaseUnavailable):
        write(sqlite_store, told(qr, says("paid", paid("t1"))))
    with pytest.raises(DatabaseUnavailable):
        row(sqlite_store, qr)
    assert not path.exists()
    kept.rename(path)
    assert booked(sqlite_store, qr) == []
    assert write(sqlite_store, told(qr, says("paid", paid("t1"))))[0].how == "finished"
    assert balance(sqlite_store) == {("main", "BOB"): 10000}


def test_a_file_put_back_from_a_backup_is_the_one_that_is_written(sqlite_store: Database, tmp_path: Path) -> None:
    qr = add_qr(sqlite_store, "QR1", amount=10000)
    backup = tmp_path / "backup.db"
    with sqlite3.connect(backup) as copy, sqlite3.connect(sqlite_store.where) as original:
        original.backup(copy)
    copy.close()
    original.close()
    for part in tmp_path.glob("paysync.db*"):
        part.unlink()
    backup.rename(sqlite_store.where)
    write(sqlite_store, told(qr, says("paid", paid("t1"))))
    with sqlite3.connect(sqlite_store.where) as looked:
        assert looked.execute("SELECT count(*) FROM paysync_movements").fetchone() == (1,)
    looked.close()


def test_a_lost_connection_is_passed_on(postgres_store: Database) -> None:
    qr = add_qr(postgres_store, "QR1", amount=10000)
    with pytest.raises(DatabaseUnavailable):
        _record_and_lose_the_connection(postgres_store, told(qr, says("paid", paid("t1"))))
    assert (booked(postgres_store, qr), row(postgres_store, qr)) == ([], qr)
    assert write(postgres_store, told(qr, says("paid", paid("t1"))))[0].how == "finished"


def _record_and_lose_the_connection(store: Database, asked: Asked) -> None:
    with store.write() as tx:
        sync.record_in(tx, [asked], judge_now())
        with store.write() as other:
            other.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )


@pytest.mark.parametrize("at", ["qrs.write", "ledger.book", "history.record_checks", "history.open_reviews"])
def test_a_crash_between_two_steps_leaves_nothing_behind(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    qr = add_qr(sqlite_store, "QR1", amount=10000)
    before = dump(sqlite_store)
    room, step = at.split(".")
    with monkeypatch.context() as patched:
        patched.setattr(getattr(sync, room), step, _crash)
        with pytest.raises(KeyboardInterrupt):
            write(sqlite_store, told(qr, says("paid", paid("t1", "130.00"))))
    assert dump(sqlite_store) == before


def _crash(*_: object) -> None:
    raise KeyboardInterrupt


# -- asking


async def _ask(bank: ScriptedBank, qr: Qr, timer: Callable[[], float]) -> Asked:
    return await ask(bank, qr, lambda: NOW, timer)


def asked(*said: Answer | Exception) -> Asked:
    ticks = iter((1.0, 1.25))
    return asyncio.run(_ask(ScriptedBank({"QR1": list(said)}), make_qr(seq=3), lambda: next(ticks)))


def test_an_answer_carries_its_row_seq_moment_and_duration() -> None:
    answer = says("unpaid")
    assert asked(answer) == Asked(1, 3, NOW, 250, answer)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Unavailable("down"), Failure("attempt", "unavailable", "down")),
        (Unreadable("html"), Failure("attempt", "unreadable", "html")),
        (Unknown("who"), Failure("check", "unknown", "who")),
        (Throttled("slow", 12.5), Failure("wait", "throttled", "slow", 12.5)),
        (Throttled("slow", 0), Failure("wait", "throttled", "slow", 1.0)),
        (Throttled("slow", 1e9), Failure("wait", "throttled", "slow", 3600.0)),
        (Throttled("slow"), Failure("wait", "throttled", "slow", 30.0)),
        (Refused("no"), Failure("wait", "refused", "no", 60.0)),
    ],
)
def test_every_failure_comes_back_with_its_price(error: Exception, failure: Failure) -> None:
    result = asked(error)
    assert (result.answer, result.failure) == (None, failure)


@pytest.mark.parametrize("multi_use", [False, True])
def test_money_of_another_qr_in_an_answer_is_neither_booked_nor_dropped(any_store: Database, multi_use: bool) -> None:
    """An adapter that mixes up two answers: the QR stays as it is, and is asked again."""
    row = add_qr(any_store, "QR1", amount=10000, multi_use=multi_use)
    bank = ScriptedBank({"QR1": [says("paid", paid("t1"), paid("t2", qr_id="QR2"))]})
    asked = asyncio.run(_ask(bank, row, lambda: 0.0))
    assert (asked.answer, asked.failure) == (
        None, Failure("attempt", "unreadable", "the answer tells of a payment of another QR")
    )  # fmt: skip
    record(any_store, [asked], Judge({"sim": RHYTHM}, NOW, lambda: 0.0))
    with any_store.read() as tx:
        assert ledger.balances(tx) == []


def test_an_adapter_that_names_no_qr_in_its_payments_means_the_one_that_was_asked() -> None:
    result = asked(says("paid", paid("t1", qr_id="")))
    assert (result.failure, result.answer) == (None, says("paid", paid("t1", qr_id="")))


def test_a_payer_that_no_database_keeps_costs_no_money() -> None:
    result = asked(says("paid", paid("t1", payer="A\0na\ud800")))
    assert result.answer == says("paid", paid("t1", payer="A na"))


def test_an_adapters_bug_is_told_by_its_place_and_not_by_its_words(caplog: pytest.LogCaptureFixture) -> None:
    """What it was given may be in its words, and the credential is among that."""
    result = asked(ValueError("canary-secret"))
    assert result.failure is not None
    assert (result.failure.kind, result.failure.outcome) == ("attempt", "error")
    assert re.fullmatch(r"ValueError in \w+\.py, line \d+", result.failure.message)
    (record,) = caplog.records
    assert (record.message, record.exc_info) == (f"the adapter of bank sim failed: {result.failure.message}", None)
    assert any("sync.py" in frame for frame in record.stack)
    assert "canary" not in str(vars(record))


def test_a_bank_that_never_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(ScriptedBank):
        async def check(self, _ask: object) -> Answer:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(sync, "ASK_TIMEOUT_S", 0.01)
    result = asyncio.run(_ask(Silent(), make_qr(), lambda: 0.0))
    assert result.failure == Failure("attempt", "unavailable", "no answer within 0 s")
