"""Two hundred QRs, three workers, and a hand that kills: workers, the leader, Redis; that wipes Redis and freezes
workers past their leases. Then quiet: the books must be the bank's, to the cent, and nobody forgotten."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import PlanState, Status
from paysync_cli.runtime import Runtime
from paysync_cli.services.register import Request, enqueue
from paysync_cli.store.database import Database
from paysync_cli.store.history import ANSWERED
from tests.postgres import private_postgres
from tests.shop import Shop, shop
from tests.torment import assert_booked_once, kill_redis, leader_of, listed, pid_of, redis_of, rows_of, select, started

SPEED = 120.0
QRS = 200
WORKERS = 3
FROZEN_S = 33.0  # past the lease of an execution and of the leader
ENV = {
    "PAYSYNC_MAX_CHECKS": "100000",  # whoever is open at the end must be asked again soon, not tomorrow
    "PAYMENT_SYNC_INTERVAL": "10m",
    "PAYSYNC_KEEP_COMPLETED": "50",
}
OPEN = frozenset({Status.PENDING, Status.PROCESSING, Status.ACTIVE})


@contextlib.contextmanager
def town_on(database: str) -> Iterator[Shop]:
    if database == "sqlite":
        with shop(speed=SPEED, env=ENV) as town:
            yield town
        return
    with private_postgres() as url:
        store = Database(url.replace("postgresql://", "postgresql+psycopg://", 1))
        store.upgrade()
        store.close()
        with shop(speed=SPEED, env=ENV | {"DATABASE_URL": url}) as town:
            yield town


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_whatever_is_killed_the_books_end_as_the_banks(database: str, fault_seconds: float, fault_seed: int) -> None:
    rng = random.Random(fault_seed)
    with town_on(database) as town, town.runtime() as runtime:
        lives = [life(rng, f"QR{n:03d}", fault_seconds * SPEED) for n in range(QRS)]
        open_for_business(town, runtime, lives)
        hand = Hand(town, runtime, rng)
        hand.torment(fault_seconds)
        quiet_at = runtime.clock.now()
        print(f"{fault_seconds:.0f} s of faults, seed {fault_seed}: {dict(hand.done)}")
        nothing_stays_under_way(town, runtime)
        town.until(lambda: town.books() == readable(town), 0.3)
        town.until(lambda: not wrong_statuses(runtime, lives), 0.3)
        town.until(lambda: not not_asked_since(runtime, quiet_at), 0.3)
        town.json("pause", "sim", "--reason", "the end of the test")
        nothing_stays_under_way(town, runtime, paused=True)
        hand.look_after_the_workers()
        assert hand.workers
        for worker in hand.workers:
            assert town.stop(worker) == 0
        assert town.books() == readable(town)
        assert_booked_once(runtime)
        assert sorted(booked(runtime)) == sorted(paid(town))
        for qr in rows_of(runtime):
            assert (qr.plan.next_check_at is None) is qr.status.final, qr
        lost = select(runtime, "SELECT count(*) FROM paysync_checks WHERE outcome = 'worker_lost'")
        print(f"{hand.calls(town)} questions, {lost[0][0]} lost with their worker")


# -- the QRs


@dataclass(frozen=True)
class Life:
    """What becomes of one QR at the bank, and how it must end here. Moments in seconds of the clock from the start."""

    qr_id: str
    kind: str
    ends: frozenset[Status]
    due_s: float | None = None
    multi_use: bool = False
    at_bank: dict[str, Any] = field(default_factory=dict)


def life(rng: random.Random, qr_id: str, span_s: float) -> Life:
    kind = rng.choice(["paid", "paid", "late", "twice", "parts", "underpaid", "dollars", "cancelled", "expired",
                       "multi", "never"])  # fmt: skip

    def moment(first: float = 0.0, last: float = 1.0) -> float:
        return round(rng.uniform(first, last) * span_s, 1)

    def payment(amount: str, at: float, **more: Any) -> dict[str, Any]:
        return {"amount": amount, "at": at, **more}

    only = [{}, {}, {"in_list": "never"}, {"in_status": "never"}]
    done, due_s = frozenset({Status.COMPLETED}), moment(0.2, 0.5)
    if kind == "paid":
        return Life(qr_id, kind, done, at_bank={"payment": [payment("10.10", moment(), **rng.choice(only))]})
    if kind == "late":  # the day list tells it, when nobody asks about the QR any more
        late = payment("10.10", due_s + 180 + moment(0, 0.3))
        return Life(qr_id, kind, done, due_s, at_bank={"payment": [late]})
    if kind == "twice":
        return Life(qr_id, kind, done, at_bank={"payment": [payment("10.10", moment()) for _n in range(2)]})
    if kind == "parts":
        return Life(qr_id, kind, done, at_bank={"payment": [payment(a, moment()) for a in ("3.37", "3.37", "3.36")]})
    if kind == "underpaid":
        part = [payment("0.10", moment(), **rng.choice(only))]
        return Life(qr_id, kind, frozenset({Status.PROCESSING}), at_bank={"payment": part})
    if kind == "dollars":
        return Life(qr_id, kind, frozenset({Status.PROCESSING}),
                    at_bank={"payment": [payment("10.10", moment(), currency="USD")]})  # fmt: skip
    if kind == "cancelled":
        return Life(qr_id, kind, frozenset({Status.CANCELLED}), at_bank={"cancelled": moment()})
    if kind == "expired":
        return Life(qr_id, kind, frozenset({Status.EXPIRED}), due_s)
    if kind == "multi":
        many = [payment(f"{rng.randint(1, 999) / 100:.2f}", moment()) for _n in range(rng.randint(1, 6))]
        return Life(qr_id, kind, OPEN, multi_use=True, at_bank={"payment": many})
    return Life(qr_id, kind, OPEN)


def open_for_business(town: Shop, runtime: Runtime, lives: list[Life]) -> None:
    slow = {"kind": "slow", "on": "status", "delay_ms": 200, "every": 2}
    silent = {"kind": "down", "on": "status", "every": 41}
    at_bank = [{"id": one.qr_id, "amount": "10.10", "multi_use": one.multi_use, **one.at_bank} for one in lives]
    now = runtime.clock.now()
    town.bank.load({"qr": at_bank, "fault": [slow, silent]})
    requests = [
        Request(one.qr_id, 1010, "BOB", f"till{n % 3}", one.due_s and now + timedelta(seconds=one.due_s),
                one.multi_use, None)
        for n, one in enumerate(lives)
    ]  # fmt: skip
    enqueue(runtime.store, requests, bank="sim", environment="certification", rhythm=runtime.rhythms["sim"], now=now)


# -- the hand


@dataclass
class Hand:
    """Does harm, and what a supervisor does: starts again whatever was killed."""

    town: Shop
    runtime: Runtime
    rng: random.Random
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    frozen: dict[int, float] = field(default_factory=dict)  # pid -> when it may go on
    done: Counter[str] = field(default_factory=Counter)

    def torment(self, seconds: float) -> None:
        self.start_what_is_missing()
        self.town.until(lambda: leader_of(self.runtime), 0.1)
        self.freeze()
        end = time.monotonic() + seconds
        harms: list[tuple[Callable[[], None], int]] = [
            (self.kill_some_worker, 6), (self.kill_the_leader, 2), (self.kill_redis, 2), (self.flush, 2),
            (self.freeze, 1),
        ]  # fmt: skip
        while time.monotonic() < end:
            time.sleep(self.rng.uniform(0.1, 1.3))
            (harm,) = self.rng.choices([one for one, _weight in harms], [weight for _one, weight in harms])
            harm()
            self.thaw()
            self.start_what_is_missing()
        while self.frozen:
            time.sleep(0.2)
            self.thaw()
        self.start_what_is_missing()

    def look_after_the_workers(self) -> None:
        """Forget those that ended, each as it may."""
        for worker in self.workers:
            if worker.poll() not in (None, -signal.SIGKILL):
                # One that starts while Redis is being killed may give up with its sentence; a running one never does.
                log = self.town.home / f"worker-{self.town.children.index(worker)}.log"
                assert worker.returncode == 69, log.read_text()
                assert "worker_registered" not in log.read_text()
                self.done["gave_up_while_starting"] += 1
        self.workers = [worker for worker in self.workers if worker.poll() is None]

    def start_what_is_missing(self) -> None:
        self.look_after_the_workers()
        while len(self.workers) < WORKERS:
            self.workers.append(self.town.start("worker"))

    def kill_some_worker(self) -> None:
        self._kill(self.rng.choice(self.workers), "worker")

    def kill_the_leader(self) -> None:
        lease = leader_of(self.runtime)
        for worker in self.workers:
            if lease is not None and worker.pid == pid_of(lease.owner):
                self._kill(worker, "leader")
                return

    def kill_redis(self) -> None:
        kill_redis(self.town)
        self.done["redis"] += 1

    def flush(self) -> None:
        with redis_of(self.town) as client:
            client.flushall()
        self.done["flush"] += 1

    def freeze(self) -> None:
        """At most one at a time: two others go on, and whoever is frozen with the database's lock is not joined."""
        if not self.frozen:
            victim = self.rng.choice(self.workers)
            victim.send_signal(signal.SIGSTOP)
            self.frozen[victim.pid] = time.monotonic() + FROZEN_S
            self.done["freeze"] += 1

    def thaw(self) -> None:
        for pid in [pid for pid, until in self.frozen.items() if until <= time.monotonic()]:
            self.frozen.pop(pid)
            os.kill(pid, signal.SIGCONT)

    def calls(self, town: Shop) -> int:
        return sum(town.status_calls().values())

    def _kill(self, worker: subprocess.Popen[bytes], what: str) -> None:
        self.frozen.pop(worker.pid, None)
        worker.kill()
        worker.wait(60)
        self.done[what] += 1


# -- the quiet


def nothing_stays_under_way(town: Shop, runtime: Runtime, *, paused: bool = False) -> None:
    """Whatever is queued or started now ends; with the bank paused nothing follows it."""

    def under_way() -> set[object]:
        rows = {(qr.id, qr.plan.seq) for qr in rows_of(runtime) if qr.plan.state is PlanState.QUEUED}
        with redis_of(town) as client:
            return rows | started(client) | set(listed(client))

    then = under_way()
    seen: list[set[object]] = []

    def quiet() -> bool:
        seen[:] = [under_way() if paused else under_way() & then]
        return not seen[0]

    try:
        town.until(quiet, 0.3)
    except AssertionError as error:
        raise AssertionError(f"still under way: {seen}") from error


def readable(town: Shop) -> dict[str, int]:
    totals: dict[str, str] = town.bank.ledger()["readable_totals"]
    return {currency: int(total.replace(".", "")) for currency, total in totals.items()}


def paid(town: Shop) -> list[tuple[str, str, int, str]]:
    """The bank's own list of what was paid."""
    return [(one["qr"], one["id"], int(one["amount"].replace(".", "")), one["currency"])
            for one in town.bank.ledger()["payments"]]  # fmt: skip


def booked(runtime: Runtime) -> list[tuple[Any, ...]]:
    return select(runtime, "SELECT q.qr_id, m.bank_transaction_id, m.amount_minor, m.currency "
                  "FROM paysync_movements m JOIN paysync_qrs q ON q.id = m.qr")  # fmt: skip


def wrong_statuses(runtime: Runtime, lives: list[Life]) -> list[tuple[str, str, Status]]:
    found = {qr.qr_id: qr.status for qr in rows_of(runtime)}
    return [(one.qr_id, one.kind, found[one.qr_id]) for one in lives if found[one.qr_id] not in one.ends]


def not_asked_since(runtime: Runtime, moment: datetime) -> list[Qr]:
    """The open QRs that the bank has not answered about since then."""
    words = ", ".join(f"'{word}'" for word in ANSWERED)
    query = f"SELECT qr, max(at) FROM paysync_checks WHERE outcome IN ({words}) GROUP BY qr"
    last = {qr: at if isinstance(at, datetime) else datetime.fromisoformat(at) for qr, at in select(runtime, query)}
    return [qr for qr in rows_of(runtime) if not qr.status.final and last.get(qr.id, moment) <= moment]
