"""Lives of QRs, made up step by step: the real services on a real SQLite file, a bank in memory, a Redis that forgets.

Workers race, die between any two steps, or wake up late with an old answer; Redis is wiped; the clock goes forward and
is put back. After every step the books must be right, and at the end everybody who is open must be asked again, and
every order of the same news must end alike.

`--hypothesis-profile=long` makes up ten times as many lives.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from paysync_cli.errors import RedisUnavailable
from paysync_cli.payments.money import to_minor
from paysync_cli.payments.qr import Answer, Movement, PaidDay, Payment, Qr, UnreadablePayment
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.payments.status import BankStatus, PlanState, Priority, Status
from paysync_cli.queue.client import Pushed
from paysync_cli.queue.names import JobName
from paysync_cli.services.dispatch import Scope, dispatch
from paysync_cli.services.janitor import PATIENCE_S, recover
from paysync_cli.services.notices import take_notice
from paysync_cli.services.register import Outcome, Request, enqueue
from paysync_cli.services.sweep import book_day
from paysync_cli.services.sync import Asked, Failure, Judge, record
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.database import Database, Tx
from tests.books import new_database
from tests.core import LA_PAZ, NOW

SCOPES = [Scope("sim", "certification")]
RHYTHM = Rhythm(lists_by_payment_day=True, max_checks=4)  # so that budgets are spent, too
IDS, WORKERS = ("A", "B", "C"), (0, 1, 2)
WAITING = (PlanState.PLANNED, PlanState.EXHAUSTED)
FORWARD = {Status.EXPIRED: 1, Status.CANCELLED: 2, Status.COMPLETED: 3}
WORDS = (None, None, None, None, "twice", "garbled", BankStatus.IN_PROCESS, BankStatus.EXPIRED)  # beside the truth
FAILURES = (
    None,
    None,
    None,
    Failure("attempt", "unavailable", "silence"),
    Failure("wait", "throttled", "later", 30.0),
    Failure("check", "unknown", "who?"),
)
PERMUTED = 4  # answers of one QR whose orders are all tried
SPANS_S = (1, 20, 130, 1000, 4000, 90_000, -5, -600, -7200)
GARBLED = UnreadablePayment('{"amount":"?"}', "no_amount")


class Died(BaseException):
    """The process is gone in the middle of a step."""


@dataclass(frozen=True)
class Fate:
    """What happens to an operation before its `at`-th transaction or word to Redis, when it comes that far: it dies
    there, or the worker `rival` writes its answer first."""

    at: int
    rival: int | None = None


@dataclass
class Norns:
    """They stand before every step of the operation under way."""

    fate: Fate | None = None
    let_write: Callable[[int], None] = lambda _rival: None

    def step(self) -> None:
        fate = self.fate
        if fate is None:
            return
        self.fate = replace(fate, at=fate.at - 1) if fate.at else None
        if not fate.at and fate.rival is None:
            raise Died
        if not fate.at and fate.rival is not None:
            self.let_write(fate.rival)


class FatedDatabase(Database):
    """The real database, but each transaction that writes may be the one that does not come to be."""

    norns = Norns()

    @contextlib.contextmanager
    def write(self) -> Iterator[Tx]:
        self.norns.step()
        with super().write() as tx:
            yield tx


fates = st.one_of(
    st.none(),
    st.none(),
    st.builds(Fate, st.integers(0, 3)),
    st.builds(Fate, st.integers(0, 2), st.sampled_from((0, 1, 2))),
)


@dataclass
class Redis:
    """What the services see of Redis: jobs that wait, executions that run, alive or with their worker dead."""

    norns: Norns
    waiting: list[JobName] = field(default_factory=list)
    running: dict[int, tuple[JobName, bool]] = field(default_factory=dict)
    failed: list[JobName] = field(default_factory=list)
    trouble: str = ""

    def room(self, bound: int) -> dict[Priority, int]:
        return dict.fromkeys(Priority, max(0, bound - len(self.waiting)))

    def push(self, _database: str, jobs: Sequence[Pushed]) -> int:
        self.norns.step()
        trouble, self.trouble = self.trouble, ""
        if trouble == "refused":
            raise RedisUnavailable("away")
        self.waiting += [job.name for job in jobs if self._place(job.name) not in ("listed", "started")]
        if trouble == "answer lost":
            raise RedisUnavailable("away")
        return len(jobs)

    def whereabouts(self, names: Sequence[JobName]) -> dict[JobName, str]:
        return {name: self._place(name) for name in names}

    def names_in(self, place: str) -> Iterator[list[JobName]]:
        assert place == "wip"
        yield [name for name, _alive in self.running.values()]

    def forget(self, names: Sequence[JobName]) -> None:
        self.norns.step()
        self.running = {n: one for n, one in self.running.items() if one[0] not in names}

    def fail(self, jobs: Sequence[tuple[JobName, Priority]], _reason: str) -> None:
        self.norns.step()
        self.failed += [name for name, _priority in jobs]

    def wipe(self) -> None:
        self.waiting, self.running, self.failed = [], {}, []

    def _place(self, name: JobName) -> str:
        if name in self.waiting:
            return "listed"
        leases = [alive for job, alive in self.running.values() if job == name]
        if leases:
            return "started" if any(leases) else "lost"
        return "failed" if name in self.failed else "absent"


@dataclass
class AtBank:
    """A QR at the bank. A shy payment is `paid` without details, until the day list tells them."""

    payments: list[Payment] = field(default_factory=list)
    shy: set[str] = field(default_factory=set)
    cancelled: bool = False

    def says(self, now: datetime, word: BankStatus | str | None) -> Answer:
        told = tuple(payment for payment in self.payments if payment.bank_transaction_id not in self.shy)
        status = BankStatus.PAID if self.payments or word == "garbled" else BankStatus.UNPAID
        if self.cancelled:
            status = BankStatus.CANCELLED
        if isinstance(word, BankStatus):
            status = word
        return Answer(status, status.value, now, told * (2 if word == "twice" else 1),
                      (GARBLED,) if word == "garbled" else ())  # fmt: skip


@dataclass
class Worker:
    """One job from its claim to its end; `asked` is the answer it holds, `recorded` whether that is written."""

    job: JobName | None = None
    execution: int = 0
    asked: Asked | None = None
    recorded: bool = False


class LifeOfQrs(RuleBasedStateMachine):
    """The steps are the rules; whatever is not taken has crashed before it."""

    template: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="life"))
        self.norns = Norns(let_write=lambda rival: self.write([rival], None))
        self.store = self.fresh("paysync.db")
        self.store.norns = self.norns
        self.now = self.latest = NOW
        self.redis = Redis(self.norns)
        self.bank = {qr_id: AtBank() for qr_id in IDS}
        self.workers = {n: Worker() for n in WORKERS}
        self.late: list[Asked] = []
        self.numbers = itertools.count(1)
        self.told: set[tuple[str, str, int, str]] = set()  # what the bank told us of registered QRs
        self.strays: set[tuple[str, str, int, str]] = set()  # of others
        self.said: dict[str, list[Answer]] = {qr_id: [] for qr_id in IDS}  # all that the bank ever answered
        self.news: dict[str, list[Answer]] = {qr_id: [] for qr_id in IDS}  # what of it is written
        self.seen: dict[str, Status] = {}
        self.requests: dict[str, Request] = {}
        self.registered_at: dict[str, datetime] = {}

    def fresh(self, name: str) -> FatedDatabase:
        if LifeOfQrs.template is None:
            folder = Path(tempfile.mkdtemp(prefix="life"))
            new_database(folder).close()
            LifeOfQrs.template = folder / "paysync.db"
        shutil.copy(LifeOfQrs.template, self.folder / name)
        return FatedDatabase(f"sqlite:///{self.folder / name}")

    # -- at the bank, and with the clock

    @rule(qr_id=st.sampled_from(IDS), amount=st.sampled_from(["3.37", "6.80", "10.10", "20.00"]),
          currency=st.sampled_from(["BOB", "BOB", "BOB", "USD"]), shy=st.booleans())  # fmt: skip
    def somebody_pays(self, qr_id: str, amount: str, currency: str, shy: bool) -> None:
        number = f"t{next(self.numbers)}"
        self.bank[qr_id].payments.append(Payment(qr_id, number, Decimal(amount), currency, self.now, raw=number))
        if shy:
            self.bank[qr_id].shy.add(number)

    @rule(qr_id=st.sampled_from(IDS))
    def the_bank_cancels(self, qr_id: str) -> None:
        self.bank[qr_id].cancelled = True

    @rule(qr_id=st.sampled_from(IDS), word=st.sampled_from(WORDS))
    def an_answer_gets_lost(self, qr_id: str, word: BankStatus | str | None) -> None:
        self.said[qr_id].append(self.bank[qr_id].says(self.now, word))

    @rule(span_s=st.sampled_from(SPANS_S))
    def time_passes(self, span_s: int) -> None:
        """Or somebody puts the clock right, and it was ahead."""
        self.now += timedelta(seconds=span_s)
        self.latest = max(self.latest, self.now)

    # -- ours

    @initialize(due_s=st.sampled_from([None, 300, 3600]), multi_use=st.booleans())
    def begin(self, due_s: int | None, multi_use: bool) -> None:
        self.register("A", 1010, due_s, False, None)
        self.register("B", 1010, 3600, multi_use, None)

    @rule(qr_id=st.sampled_from(IDS), amount=st.sampled_from([1010, 1010, None]),
          due_s=st.sampled_from([None, -60, 300, 3600]), multi_use=st.sampled_from([False, False, True]),
          fate=fates)  # fmt: skip
    def register(self, qr_id: str, amount: int | None, due_s: int | None, multi_use: bool, fate: Fate | None) -> None:
        due_at = None if due_s is None else self.now + timedelta(seconds=due_s)
        request = Request(qr_id, amount, "BOB", "till", due_at, multi_use, None)
        known = qr_id in self.requests
        report = self.under(fate, lambda: enqueue(self.store, [request], bank="sim", environment="certification",
                                                  rhythm=RHYTHM, now=self.now))  # fmt: skip
        if report is not None:
            assert (report.items[0].outcome is Outcome.CREATED) is not known
        if not known and qr_id in {qr.qr_id for qr in self.rows()}:
            self.requests[qr_id], self.registered_at[qr_id] = request, self.now
            kept = [payment for payment in self.bank[qr_id].payments if fact(payment) in self.strays]
            if kept:
                self.hear(qr_id, Answer(BankStatus.PAID, "list", self.now, tuple(kept), from_list=True))

    @rule(qr_ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=3), fate=fates)
    def the_bank_gives_notice(self, qr_ids: list[str], fate: Fate | None) -> None:
        """True or not: only what the bank answers is booked."""
        self.under(
            fate,
            lambda: take_notice(self.store, qr_ids, bank="sim", environment="certification", now=self.now),
        )

    @rule(trouble=st.sampled_from(["", "", "", "refused", "answer lost"]), fate=fates)
    def dispatch(self, trouble: str, fate: Fate | None) -> None:
        self.redis.trouble = trouble
        with contextlib.suppress(RedisUnavailable):
            self.under(fate, lambda: dispatch(self.store, self.redis, "a database", SCOPES, self.now))  # type: ignore[arg-type]
        self.redis.trouble = ""

    @rule(n=st.sampled_from(WORKERS), steps=st.integers(1, 4), word=st.sampled_from(WORDS),
          failure=st.sampled_from(FAILURES))  # fmt: skip
    def work(self, n: int, steps: int, word: BankStatus | str | None, failure: Failure | None) -> None:
        """A worker goes on from where it stands: takes a job, asks, writes, ends the job in Redis."""
        for _step in range(steps):
            worker = self.workers[n]
            if worker.job is None:
                self.let_something_be_due()
                self.take(n)
            elif worker.asked is None:
                self.ask(n, word, failure)
            elif not worker.recorded:
                self.write([n], None)
            else:
                self.end(n)

    def let_something_be_due(self) -> None:
        if not self.redis.waiting:
            moments = [qr.plan.next_check_at for qr in self.rows() if qr.plan.state in WAITING]
            self.go_on_to(min((at for at in moments if at is not None), default=self.now))
            self.dispatch("", None)

    def take(self, n: int) -> None:
        if self.redis.waiting:
            execution, job = next(self.numbers), self.redis.waiting.pop(0)
            self.redis.running[execution] = (job, True)
            self.workers[n] = Worker(job, execution)

    def ask(self, n: int, word: BankStatus | str | None, failure: Failure | None) -> None:
        worker = self.workers[n]
        qr = self.row(worker.job.qr) if worker.job is not None else None
        if worker.job is None or qr is None or qr.plan.seq != worker.job.seq or not self.waits(qr):
            self.end(n)
            return
        answer = None if failure is not None else self.bank[qr.qr_id].says(self.now, word)
        self.said[qr.qr_id] += [] if answer is None else [answer]
        worker.asked = Asked(qr.id, qr.plan.seq, self.now, 5, answer, failure)

    @rule(ns=st.lists(st.sampled_from(WORKERS), min_size=1, max_size=3, unique=True), fate=fates,
          slow_s=st.sampled_from([0, 0, 0, 150, 600]))  # fmt: skip
    def write(self, ns: list[int], fate: Fate | None, slow_s: int = 0) -> None:
        """Several answers, of one row or of many, in one transaction, perhaps long after they were given."""
        self.go_on_to(self.now + timedelta(seconds=slow_s))
        group = [n for n in ns if self.workers[n].asked is not None and not self.workers[n].recorded]
        if not self.record([asked for n in group if (asked := self.workers[n].asked) is not None], fate):
            for n in group:
                self.die(n, wakes_up=False)
        for n in group:
            self.workers[n].recorded = True

    @rule(n=st.sampled_from(WORKERS), wakes_up=st.booleans())
    def die(self, n: int, wakes_up: bool) -> None:
        """Its lease runs out. Frozen only, it may still come with the answer that it holds."""
        worker, self.workers[n] = self.workers[n], Worker()
        if worker.execution in self.redis.running and worker.job is not None:
            self.redis.running[worker.execution] = (worker.job, False)
        if wakes_up and worker.asked is not None and not worker.recorded:
            self.late.append(worker.asked)

    @precondition(lambda self: self.late)
    @rule(which=st.integers(0, 5), again=st.booleans())
    def wake_up_late(self, which: int, again: bool) -> None:
        """Whoever wrote without hearing of it writes again."""
        asked = self.late.pop(which % len(self.late))
        self.record([asked], None)
        if again:
            self.late.append(asked)

    @rule(restored=st.booleans())
    def wipe_redis(self, restored: bool) -> None:
        """Restored, the jobs of whoever is at work are in the queues again: two workers will ask the same."""
        self.redis.wipe()
        if restored:
            self.janitor(True, None)
            self.dispatch("", None)

    @rule(later=st.booleans(), fate=fates)
    def janitor(self, later: bool, fate: Fate | None) -> None:
        if later:
            self.go_on_to(self.now + timedelta(seconds=PATIENCE_S))
        patience = timedelta(seconds=PATIENCE_S)
        self.under(fate, lambda: recover(self.store, self.redis, self.judge(), patience=patience))  # type: ignore[arg-type]

    @rule(fate=fates)
    def sweep(self, fate: Fate | None) -> None:
        """The list tells every payment, of whatever QR. Of each QR all of it is written, or nothing."""
        listed = tuple(payment for one in self.bank.values() for payment in one.payments)
        paid, judge = PaidDay(listed, (), self.now), replace(self.judge(), source="list")
        day = self.now.astimezone(LA_PAZ).date()
        done = self.under(fate, lambda: book_day(self.store, "sim", "certification", day, paid, judge, LA_PAZ,
                                                 RHYTHM.due_margin))  # fmt: skip
        booked = self.booked()
        for qr_id, at_bank in self.bank.items():
            facts = {fact(payment) for payment in at_bank.payments}
            if qr_id not in self.requests:
                self.strays |= facts if done is not None else set()
            elif not facts <= self.told and (done is not None or facts <= booked):
                self.hear(qr_id, Answer(BankStatus.PAID, "list", self.now, tuple(at_bank.payments), from_list=True))

    # -- what must hold after every step

    @invariant()
    def all_is_well(self) -> None:
        with self.store.read() as tx:
            rows = qrs.page(tx, qrs.Wanted())[0]
            booked = ledger.of(tx, (qr.id for qr in rows))
            assert ledger.balances(tx) == ledger.sums(tx)
        self.the_books_are_what_the_bank_told(rows, booked)
        for qr in rows:
            self.a_final_status_only_moves_forward(qr)
            self.the_news_decide_the_status(qr, booked.get(qr.id, []))
            self.every_open_qr_has_a_plan(qr)

    def the_books_are_what_the_bank_told(self, rows: Sequence[Qr], booked: Mapping[int, Sequence[Movement]]) -> None:
        movements = [
            (qr.qr_id, m.bank_transaction_id, m.amount, m.currency) for qr in rows for m in booked.get(qr.id, ())
        ]
        assert max(Counter(one[1] for one in movements).values(), default=0) <= 1
        assert set(movements) == self.told

    def a_final_status_only_moves_forward(self, qr: Qr) -> None:
        before = self.seen.get(qr.qr_id, qr.status)
        if before.final:
            assert FORWARD.get(qr.status, 0) >= FORWARD[before], (before, qr)
        if before is Status.PROCESSING:
            assert qr.status not in (Status.PENDING, Status.ACTIVE)
        self.seen[qr.qr_id] = qr.status

    def the_news_decide_the_status(self, qr: Qr, movements: Sequence[Movement]) -> None:
        """Whatever their order was: money first, then the bank's word, then the due moment."""
        news = self.news[qr.qr_id]
        own = sum(m.amount for m in movements if m.currency == qr.currency)
        reached = not qr.multi_use and (bool(movements) if qr.amount is None else own >= qr.amount)
        if reached:
            assert qr.status is Status.COMPLETED, qr
        elif any(answer.status is BankStatus.CANCELLED for answer in news):
            assert qr.status is Status.CANCELLED, qr
        elif any(says_that_it_is_over(qr, answer) for answer in news):
            assert qr.status is Status.EXPIRED, qr
        elif any(shows_money(qr, answer) for answer in news):
            assert qr.status is Status.PROCESSING, qr
        else:
            assert qr.status in (Status.PENDING, Status.ACTIVE), qr

    def every_open_qr_has_a_plan(self, qr: Qr) -> None:
        plan = qr.plan
        assert (plan.next_check_at is None) is (plan.state is PlanState.DONE)
        if qr.status.final and plan.state is not PlanState.DONE:
            assert (plan.free, plan.state in (PlanState.PLANNED, PlanState.QUEUED)) == (True, True)
            assert qr.notified_at is not None
        else:
            assert qr.status.final is (plan.state is PlanState.DONE)
        assert plan.attempts < RHYTHM.attempts
        assert plan.checks <= plan.max_checks
        if plan.next_check_at is not None and qr.due_at is not None:
            due_query = qr.due_at + RHYTHM.due_margin
            assert plan.next_check_at <= due_query or due_query <= self.latest

    # -- and at the end

    def teardown(self) -> None:
        try:
            self.quiet()
            self.every_order_ends_alike()
        finally:
            self.store.close()
            shutil.rmtree(self.folder)

    def quiet(self) -> None:
        """No more harm: everybody who is open is asked again, and what was paid is booked."""
        for n in WORKERS:
            self.die(n, wakes_up=False)
        before = {qr.id: self.answered(qr) for qr in self.rows()}
        left: list[Qr] = []
        for _round in range(12):
            self.janitor(True, None)
            self.dispatch("", None)
            self.do_all_that_waits()
            self.all_is_well()
            waiting = [qr for qr in self.rows() if self.waits(qr)]
            left = [qr for qr in waiting if qr.status.final or self.answered(qr) == before[qr.id]]
            if not left:
                break
            self.go_on_to(max(self.now, *(qr.plan.next_check_at for qr in left if qr.plan.next_check_at)))
        assert not left, left
        self.janitor(False, None)
        assert not self.redis.running
        self.sweep(None)
        self.all_is_well()
        assert self.told == {fact(payment) for qr_id in self.requests for payment in self.bank[qr_id].payments}

    def waits(self, qr: Qr) -> bool:
        """Whether somebody will ask about it; of an ended one that is because of a notice."""
        return qr.plan.state is not PlanState.DONE

    def do_all_that_waits(self) -> None:
        while self.redis.waiting:
            self.take(0)
            self.ask(0, None, None)
            if self.workers[0].asked is not None:
                self.write([0], None)
            self.end(0)

    def every_order_ends_alike(self) -> None:
        """The same news about a QR of its own, in every order, written at the same moment."""
        store = self.fresh("orders.db")
        try:
            for n, qr in enumerate(self.rows()):
                news = self.various_news(qr.qr_id)
                if len(news) > 1:
                    ends = self.ends_of(store, f"bank{n}", qr, list(itertools.permutations(news)))
                    assert all(end == ends[0] for end in ends), (qr, news, ends)
        finally:
            store.close()

    def various_news(self, qr_id: str) -> list[Answer]:
        """The last answers that differ in more than their moment."""
        said = sorted(
            self.said[qr_id] + [one for one in self.news[qr_id] if one.from_list], key=lambda one: one.sent_at
        )
        found = {(one.status, one.payments, one.unreadable, one.from_list): one for one in said}
        return list(found.values())[-PERMUTED:]

    def ends_of(self, store: Database, bank: str, qr: Qr, orders: Sequence[Sequence[Answer]]) -> list[object]:
        """For each order a QR like this one; they hear their news side by side."""
        ids = [f"{qr.qr_id}{n}" for n, _order in enumerate(orders)]
        requests = [replace(self.requests[qr.qr_id], qr_id=one) for one in ids]
        enqueue(store, requests, bank=bank, environment="certification", rhythm=RHYTHM,
                now=self.registered_at[qr.qr_id])  # fmt: skip
        judge = Judge({bank: RHYTHM}, self.now, lambda: 0.0)

        def rows(tx: Tx) -> list[Qr]:
            found = qrs.known(tx, bank, "certification", ids)
            return [found[one] for one in ids]

        for answers in zip(*orders, strict=True):
            with store.read() as tx:
                now = rows(tx)
            record(store, [Asked(row.id, row.plan.seq, answer.sent_at, 5, answer)
                           for row, answer in zip(now, answers, strict=True)], judge)  # fmt: skip
        with store.read() as tx:
            now = rows(tx)
            money = ledger.of(tx, [row.id for row in now])
        return [(row.status, sorted((m.bank_transaction_id, m.amount, m.currency) for m in money.get(row.id, ())))
                for row in now]  # fmt: skip

    # -- tools

    def judge(self) -> Judge:
        return Judge({"sim": RHYTHM}, self.now, lambda: 0.5)

    def under(self, fate: Fate | None, operation: Callable[[], Any]) -> Any:
        """What the operation returns, None when it died."""
        self.norns.fate = fate
        try:
            return operation()
        except Died:
            return None
        finally:
            self.norns.fate = None

    def go_on_to(self, moment: datetime) -> None:
        self.now = max(self.now, moment)
        self.latest = max(self.latest, self.now)

    def record(self, group: Sequence[Asked], fate: Fate | None) -> bool:
        """Whether it lived to the end: then all is written. Else nothing is."""
        before = {qr.id: qr for qr in self.rows()}
        results = self.under(fate, lambda: record(self.store, group, self.judge()))
        if results is None:
            return False
        assert [one.asked for one in results] == list(group)
        assert {one.how for one in results} <= {"finished", "gone", "failed"}
        for result in results:
            if result.asked.answer is not None and result.how == "finished":
                self.hear(before[result.asked.qr].qr_id, result.asked.answer)
        for qr in self.rows() if fate is None else ():
            self.only_the_planned_check_moves_the_plan(before[qr.id], qr, group)
        return True

    def only_the_planned_check_moves_the_plan(self, before: Qr, after: Qr, group: Sequence[Asked]) -> None:
        """Seq rises by one at most, and by the check it was meant for; whoever comes late uses nothing up."""
        ours = any(asked.qr == before.id and asked.seq == before.plan.seq for asked in group)
        assert after.plan.seq - before.plan.seq in ((0, 1) if ours else (0,)), (before, after)
        assert after.plan.checks - before.plan.checks <= ours

    def hear(self, qr_id: str, answer: Answer) -> None:
        """The bank told us this, and it is written."""
        self.told |= {fact(payment) for payment in answer.payments}
        self.news[qr_id].append(answer)

    def end(self, n: int) -> None:
        self.redis.running.pop(self.workers[n].execution, None)
        self.workers[n] = Worker()

    def row(self, row_id: int) -> Qr | None:
        with self.store.read() as tx:
            return qrs.load(tx, [row_id]).get(row_id)

    def rows(self) -> list[Qr]:
        with self.store.read() as tx:
            return qrs.page(tx, qrs.Wanted())[0]

    def booked(self) -> set[tuple[str, str, int, str]]:
        names = {qr.id: qr.qr_id for qr in self.rows()}
        with self.store.read() as tx:
            return {(names[qr], m.bank_transaction_id, m.amount, m.currency)
                    for qr, movements in ledger.of(tx, names).items() for m in movements}  # fmt: skip

    def answered(self, qr: Qr) -> int:
        with self.store.read() as tx:
            return sum(check["outcome"] in history.ANSWERED for check in history.story(tx, qr.id).checks)


def says_that_it_is_over(qr: Qr, answer: Answer) -> bool:
    """Whether this answer alone ends an unpaid QR as expired: by the moment at which the question was sent."""
    if answer.from_list:
        return False
    if qr.due_at is None:
        return answer.status is BankStatus.EXPIRED
    asked_in_time = answer.sent_at < qr.due_at + RHYTHM.due_margin
    unpaid = answer.status in (BankStatus.UNPAID, BankStatus.EXPIRED)
    return not asked_in_time and (unpaid or (qr.multi_use and answer.status is BankStatus.PAID))


def shows_money(qr: Qr, answer: Answer) -> bool:
    """Money that a person may have to look at; a multi-use QR with its payments booked is as quiet as before."""
    if answer.status is BankStatus.IN_PROCESS:
        return True
    if qr.multi_use:
        return answer.status is BankStatus.PAID and (bool(answer.unreadable) or not answer.payments)
    return answer.status is BankStatus.PAID or bool(answer.payments)


def fact(payment: Payment) -> tuple[str, str, int, str]:
    amount = to_minor(payment.amount, payment.currency)
    return payment.qr_id, payment.bank_transaction_id, amount, payment.currency


TestLifeOfQrs = pytest.mark.slow(LifeOfQrs.TestCase)
TestLifeOfQrs.settings = settings(
    max_examples=settings().max_examples * 4 // 5,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
