"""Two transactions of PostgreSQL that book one transaction of the bank under two QRs at the same moment: both are
booked, and one of them says that a person must look. Nobody waits in a circle for it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import text

from paysync_cli.payments.decision import ReviewNews
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import ReviewReason
from paysync_cli.services.register import Request, enqueue
from paysync_cli.services.sweep import payment_to_detail
from paysync_cli.services.sync import Asked, Judge, Recorded, record, record_in
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.database import Database
from tests.books import add_qr
from tests.core import NOW, RHYTHM, paid, says
from tests.embedded import until

JUDGE = Judge({"sim": RHYTHM, "other": RHYTHM}, NOW, lambda: 0.0)


def told(qr: Qr, *transactions: str) -> Asked:
    answer = says("paid", *(paid(one, "1.00") for one in transactions))
    return Asked(qr.id, qr.plan.seq, NOW, 7, answer)


def conflicts(store: Database) -> list[tuple[str, str]]:
    """The QR and the transaction of each `transaction_conflict`."""
    with store.read() as tx:
        rows = tx.execute(text("SELECT qr_id, news FROM paysync_reviews WHERE reason = 'transaction_conflict'"))
        return sorted((row.qr_id, row.news) for row in rows)


def balance(store: Database) -> int:
    """Of all accounts together; they must be what the movements add up to."""
    with store.read() as tx:
        balances, sums = ledger.balances(tx), ledger.sums(tx)
    assert balances == sums
    return sum(one.amount for one in balances)


def while_the_first_is_not_committed(store: Database, first: Asked, second: Callable[[], object]) -> None:
    """Book the first; before its commit begin the second, and let it come as far as it can."""
    with ThreadPoolExecutor(1) as pool:
        with store.write() as tx:
            assert [one.how for one in record_in(tx, [first], JUDGE)] == ["finished"]
            running = pool.submit(second)
            until(lambda: running.done() or somebody_waits(store))
        running.result(30)


def somebody_waits(store: Database) -> bool:
    """Behind another transaction, for a lock."""
    with store.read() as tx:
        query = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
        return bool(tx.execute(text(query)).scalar_one())


@pytest.mark.parametrize("locks_at_most", [100, 1, 0])
def test_one_transaction_under_two_qrs_at_the_same_moment(
    postgres_store: Database, monkeypatch: pytest.MonkeyPatch, locks_at_most: int
) -> None:
    """However many locks there may be: with too few the bank is locked as a whole."""
    monkeypatch.setattr(ledger, "LOCKS_AT_MOST", locks_at_most)
    one, other = add_qr(postgres_store, "QR1", multi_use=True), add_qr(postgres_store, "QR2", multi_use=True)
    while_the_first_is_not_committed(
        postgres_store, told(one, "t1"), lambda: record(postgres_store, [told(other, "t0", "t1")], JUDGE)
    )
    assert conflicts(postgres_store) == [("QR2", "t1")]
    assert balance(postgres_store) == 300


def test_a_qr_registered_at_the_moment_when_its_payment_is_booked_for_another(postgres_store: Database) -> None:
    """The payment was listed before: registering decides it, in its own transaction."""
    one = add_qr(postgres_store, "QR1", multi_use=True)
    with postgres_store.write() as tx:
        news = ReviewNews(ReviewReason.UNKNOWN_QR, "t1", payment_to_detail(paid("t1", "1.00", qr_id="QR2")))
        history.open_stray_review(tx, bank="sim", environment="certification", qr_id="QR2", news=news, now=NOW)

    def register() -> None:
        request = Request("QR2", 100, "BOB", "main", due_at=None, multi_use=True, issued_at=None)
        enqueue(postgres_store, [request], bank="sim", environment="certification", rhythm=RHYTHM, now=NOW)

    while_the_first_is_not_committed(postgres_store, told(one, "t1"), register)
    assert conflicts(postgres_store) == [("QR2", "t1")]
    assert balance(postgres_store) == 200


def test_what_is_booked_for_its_qr_needs_no_lock(postgres_store: Database) -> None:
    """A multi-use QR lists all its payments again and again."""
    one, other = add_qr(postgres_store, "QR1", multi_use=True), add_qr(postgres_store, "QR2", multi_use=True)
    record(postgres_store, [told(one, "t1")], JUDGE)
    record(postgres_store, [told(other, "t1")], JUDGE)
    rows = [load(postgres_store, qr) for qr in (one, other)]
    with postgres_store.write() as tx:
        record_in(tx, [told(rows[0], "t1")], JUDGE)
        with ThreadPoolExecutor(1) as pool:
            (again,) = pool.submit(record, postgres_store, [told(rows[1], "t1")], JUDGE).result(30)
    assert (again.how, again.booked, again.reviews) == ("finished", (), ())


def load(store: Database, qr: Qr) -> Qr:
    with store.read() as tx:
        return qrs.load(tx, [qr.id])[qr.id]


@pytest.mark.parametrize("locks_at_most", [100, 2])
def test_nobody_waits_in_a_circle(
    postgres_store: Database, monkeypatch: pytest.MonkeyPatch, locks_at_most: int
) -> None:
    """Workers with groups of two banks, whose answers tell of the same transactions in every order: a deadlock would
    be an error of `record`. Each transaction but the first of its bank and id is a conflict, none is lost."""
    monkeypatch.setattr(ledger, "LOCKS_AT_MOST", locks_at_most)
    luck, ids = random.Random(7), ["t0", "t1", "t2", "t3"]
    rows = [add_qr(postgres_store, f"QR{n}", bank=("sim", "other")[n % 2], multi_use=True) for n in range(48)]
    groups = [[told(qr, *luck.sample(ids, luck.choice((1, 2, 4)))) for qr in some] for some in batched(rows, 4)]

    def work(group: Sequence[Asked]) -> list[Recorded]:
        return record(postgres_store, luck.sample(group, len(group)), JUDGE)

    with ThreadPoolExecutor(len(groups)) as pool:
        running: list[Future[list[Recorded]]] = [pool.submit(work, group) for group in groups]
        ended = [one for future in running for one in future.result(60)]

    assert {one.how for one in ended} == {"finished"}
    booked = [(one.asked.qr % 2, movement.bank_transaction_id) for one in ended for movement in one.booked]
    assert balance(postgres_store) == 100 * len(booked)
    assert len(conflicts(postgres_store)) == len(booked) - len(set(booked))


def batched(rows: Sequence[Qr], size: int) -> list[list[Qr]]:
    return [list(rows[start : start + size]) for start, _end in itertools.pairwise(range(0, len(rows) + 1, size))]
