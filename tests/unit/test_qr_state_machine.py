"""A QR's life under attack: random answers, races, crashes between any two steps, a wiped Redis, sweeps, a clock that
jumps. Whatever the order, the books are what the bank paid, and no QR is forgotten."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from paysync_cli.payments.qr import Answer, PaidDay, Payment, Qr
from paysync_cli.payments.status import BankStatus, PlanState, Priority, Status, may_move
from paysync_cli.queue.names import JobName
from paysync_cli.services.janitor import recover
from paysync_cli.services.register import Request, enqueue
from paysync_cli.services.sweep import book_day
from paysync_cli.services.sync import Asked, Failure, Judge, record
from paysync_cli.store import ledger, qrs
from paysync_cli.store.database import Database
from tests.core import LA_PAZ, NOW, RHYTHM

IDS = ("QR0", "QR1", "QR2")
MULTI_USE = "QR2"
AMOUNT = 10000
BANK, ENVIRONMENT = "sim", "certification"
DUE_AFTER = timedelta(hours=2)


class MemoryQueue:
    """As much of Redis as the janitor needs: which jobs are listed, started, or lost with their worker."""

    def __init__(self) -> None:
        self.places: dict[JobName, str] = {}

    def whereabouts(self, names: Sequence[JobName]) -> dict[JobName, str]:
        return {name: self.places.get(name, "absent") for name in names}

    def names_in(self, kind: str) -> Iterator[list[JobName]]:
        assert kind == "wip"
        yield [name for name, place in self.places.items() if place in ("started", "lost")]

    def forget(self, names: Sequence[JobName]) -> None:
        for name in names:
            self.places.pop(name, None)

    def fail(self, jobs: Sequence[tuple[JobName, Priority]], reason: str) -> None:
        for name, _priority in jobs:
            self.places[name] = "failed"


class LifeOfAQr(RuleBasedStateMachine):
    """Three QRs (one of them multi-use), two workers' worth of steps, one bank that always tells the truth."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="life"))
        self.store = Database(f"sqlite:///{self.folder}/books.db", create=True).ready(upgrade=True)
        self.queue = MemoryQueue()
        self.now = NOW
        self.bank: dict[str, list[Payment]] = {qr_id: [] for qr_id in IDS}
        self.cancelled: set[str] = set()
        self.taken: list[JobName] = []
        self.answers: list[Asked] = []
        self.seen: dict[str, Status] = {}
        self.transactions = 0

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self._quiet()
            self.store.close()
            shutil.rmtree(self.folder)

    # -- the world

    @rule(minutes=st.sampled_from([1, 3, 16, 119, 1500]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(qr_id=st.sampled_from(IDS), share=st.sampled_from(["100.00", "60.00", "40.00", "150.00"]))
    def somebody_pays(self, qr_id: str, share: str) -> None:
        if len(self.bank[qr_id]) < 3:
            self.transactions += 1
            transaction = f"t{self.transactions}"
            raw = f'{{"id":"{transaction}"}}'
            self.bank[qr_id].append(Payment(qr_id, transaction, Decimal(share), "BOB", self.now, raw=raw))

    @rule(qr_id=st.sampled_from(IDS))
    def the_shop_cancels(self, qr_id: str) -> None:
        self.cancelled.add(qr_id)

    @rule()
    def redis_is_wiped(self) -> None:
        self.queue.places.clear()

    # -- our steps, each of which may be the last one before a crash

    @rule(qr_id=st.sampled_from(IDS))
    def register(self, qr_id: str) -> None:
        request = Request(qr_id, AMOUNT, "BOB", "main", NOW + DUE_AFTER, qr_id == MULTI_USE, NOW)
        enqueue(self.store, [request], bank=BANK, environment=ENVIRONMENT, rhythm=RHYTHM, now=self.now)

    @rule(pushed=st.booleans())
    def dispatch(self, pushed: bool) -> None:
        """Rows become queued; a crash before the push leaves them in no queue."""
        with self.store.write() as tx:
            due = [one for priority in Priority for one in qrs.take_due(tx, BANK, ENVIRONMENT, priority, self.now, 10)]
        for one in due:
            name = JobName(one.id, one.seq)
            if pushed and name not in self.queue.places:
                self.queue.places[name] = "listed"

    @precondition(lambda self: any(place == "listed" for place in self.queue.places.values()))
    @rule()
    def a_worker_takes_a_job(self) -> None:
        name = next(name for name, place in self.queue.places.items() if place == "listed")
        self.queue.places[name] = "started"
        self.taken.append(name)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def it_dies(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.taken))
        self.taken.remove(name)
        if name in self.queue.places:
            self.queue.places[name] = "lost"

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), bank_is_up=st.booleans())
    def it_asks(self, data: st.DataObject, bank_is_up: bool) -> None:
        """The job stays taken: another worker may ask about it too."""
        name = data.draw(st.sampled_from(self.taken))
        qr = self._row(name.qr)
        if qr is None:
            return
        if bank_is_up:
            self.answers.append(Asked(qr.id, name.seq, self.now, 5, self._answer(qr)))
        else:
            self.answers.append(Asked(qr.id, name.seq, self.now, 5, failure=Failure("attempt", "unavailable", "down")))

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), again=st.booleans())
    def an_answer_is_written(self, data: st.DataObject, again: bool) -> None:
        """In any order, perhaps twice, perhaps long after it was given."""
        asked = data.draw(st.sampled_from(self.answers))
        record(self.store, [asked], self._judge())
        if not again:
            self.answers.remove(asked)
        name = JobName(asked.qr, asked.seq)
        if name in self.taken:
            self.taken.remove(name)
        self.queue.places.pop(name, None)

    @rule()
    def the_janitor_looks(self) -> None:
        recover(self.store, self.queue, self._judge(), patience=timedelta())  # type: ignore[arg-type]

    @rule()
    def the_list_is_swept(self) -> None:
        self._sweep()

    # -- what must always hold

    @invariant()
    def the_books_are_what_the_bank_paid(self) -> None:
        if not hasattr(self, "store"):
            return
        paid = {payment.bank_transaction_id: payment for payments in self.bank.values() for payment in payments}
        with self.store.read() as tx:
            assert ledger.balances(tx) == ledger.sums(tx)
            rows = qrs.known(tx, BANK, ENVIRONMENT, IDS)
            booked = ledger.of(tx, (qr.id for qr in rows.values()))
        for qr in rows.values():
            transactions = [movement.bank_transaction_id for movement in booked.get(qr.id, ())]
            assert len(transactions) == len(set(transactions))
            for movement in booked.get(qr.id, ()):
                assert paid[movement.bank_transaction_id].qr_id == qr.qr_id
                assert movement.amount == int(paid[movement.bank_transaction_id].amount * 100)

    @invariant()
    def no_status_goes_back_and_no_open_qr_is_without_a_plan(self) -> None:
        if not hasattr(self, "store"):
            return
        with self.store.read() as tx:
            rows = qrs.known(tx, BANK, ENVIRONMENT, IDS)
        for qr_id, qr in rows.items():
            assert may_move(self.seen.get(qr_id, qr.status), qr.status)
            self.seen[qr_id] = qr.status
            assert (qr.plan.next_check_at is None) == qr.status.final == (qr.plan.state is PlanState.DONE)

    # -- the end: quiet, and everything comes right by itself

    def _quiet(self) -> None:
        self.queue.places.clear()
        self._sweep()
        for _round in range(40):
            recover(self.store, self.queue, self._judge(), patience=timedelta())  # type: ignore[arg-type]
            with self.store.write() as tx:
                due = [
                    one for priority in Priority for one in qrs.take_due(tx, BANK, ENVIRONMENT, priority, self.now, 10)
                ]
            for one in due:
                qr = self._row(one.id)
                assert qr is not None
                record(self.store, [Asked(qr.id, qr.plan.seq, self.now, 5, self._answer(qr))], self._judge())
            self.now += timedelta(hours=25)
        with self.store.read() as tx:
            rows = qrs.known(tx, BANK, ENVIRONMENT, IDS)
            booked = ledger.of(tx, (qr.id for qr in rows.values()))
        for qr_id, qr in rows.items():
            transactions = {movement.bank_transaction_id for movement in booked.get(qr.id, ())}
            assert transactions == {payment.bank_transaction_id for payment in self.bank[qr_id]}
            assert self._expected(qr_id, qr)

    def _expected(self, qr_id: str, qr: Qr) -> bool:
        total = sum(int(payment.amount * 100) for payment in self.bank[qr_id])
        if qr_id != MULTI_USE and total >= AMOUNT:
            return qr.status is Status.COMPLETED
        # Past its due moment: cancelled when that was told, expired, or (partly paid, says the bank) left to a person.
        return qr.status in (Status.CANCELLED, Status.EXPIRED) or (0 < total < AMOUNT and not qr.status.final)

    def _answer(self, qr: Qr) -> Answer:
        payments = tuple(self.bank[qr.qr_id])
        if qr.qr_id in self.cancelled:
            return Answer(BankStatus.CANCELLED, "9", self.now, payments)
        return Answer(BankStatus.PAID if payments else BankStatus.UNPAID, "1" if payments else "0", self.now, payments)

    def _sweep(self) -> None:
        payments = tuple(payment for told in self.bank.values() for payment in told)
        paid = PaidDay(payments, (), self.now)
        book_day(self.store, BANK, ENVIRONMENT, date(2031, 6, 14), paid, self._judge("list"), LA_PAZ, timedelta())

    def _judge(self, source: str = "check") -> Judge:
        return Judge({BANK: RHYTHM}, self.now, lambda: 0.5, source=source)

    def _row(self, row_id: int) -> Qr | None:
        with self.store.read() as tx:
            return qrs.load(tx, [row_id]).get(row_id)


TestLifeOfAQr = pytest.mark.slow(LifeOfAQr.TestCase)
TestLifeOfAQr.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
