"""A worker killed in each phase of a check: another one ends what it began, without an operator, with one booking.

The phases are held open from outside: a full gate, a slow bank, SQLite's lock in the test's hand, a paused Redis.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis

from paysync_cli.payments.status import PlanState, Status
from paysync_cli.queue.names import QUEUE_NAMES, JobName, registry_key
from paysync_cli.runtime import Runtime
from tests.shop import Shop, shop
from tests.torment import assert_booked_once, database_locked, redis_of, rows_of, started

PLACES = 100  # of the bank's gate, as the shop's settings have it
GATE = "paysync:bank:sim:flight"
PHASES = ("TAKEN", "ASKED", "ANSWERED", "COMMITTED", "ACKNOWLEDGED")


@dataclass
class Scene:
    """A shop, its Redis, and the worker that is about to die."""

    town: Shop
    runtime: Runtime
    client: redis.Redis
    worker: subprocess.Popen[bytes]
    places_before: frozenset[bytes] = frozenset()  # of those who died

    def places(self) -> frozenset[bytes]:
        return frozenset(self.client.zrange(GATE, 0, -1))

    def asked(self, qr_id: str) -> None:
        """Register the QR at a slow bank, until the bank has the question."""
        self.places_before = self.places()
        self.town.bank.load({"fault": [{"kind": "slow", "on": "status", "qr": qr_id, "count": 1, "delay_ms": 2500}]})
        self.town.register(qr_id)
        self.town.until(lambda: self.town.status_calls().get(qr_id))

    def answered(self) -> None:
        """Until the worker has the answer: it gave back its place at the bank's gate."""
        self.town.until(lambda: not self.town.bank.requests()["in_flight"] and self.places() == self.places_before)

    def kill(self) -> None:
        self.town.stop(self.worker, signal.SIGKILL)


def taken(scene: Scene, qr_id: str) -> None:
    full = {f"nobody-{n}": time.time() + 60 for n in range(PLACES)}
    scene.client.zadd(GATE, full)  # type: ignore[arg-type]
    scene.town.register(qr_id)
    scene.town.until(lambda: started(scene.client))
    scene.kill()
    scene.client.zrem(GATE, *full)
    assert qr_id not in scene.town.status_calls()


def asked(scene: Scene, qr_id: str) -> None:
    scene.asked(qr_id)
    scene.kill()
    assert "200" not in scene.town.bank.requests()["outcomes"].get("status", {})


def answered(scene: Scene, qr_id: str) -> None:
    scene.asked(qr_id)
    with database_locked(scene.town):
        scene.answered()
        scene.kill()
    assert not scene.town.story(qr_id).checks


def committed(scene: Scene, qr_id: str) -> None:
    scene.asked(qr_id)
    with database_locked(scene.town):
        scene.answered()
        scene.client.client_pause(20_000, all=False)  # reading goes on, nothing is written
    scene.town.until(lambda: scene.town.story(qr_id).checks)
    scene.kill()
    scene.client.client_unpause()
    assert JobName(scene.town.qr(qr_id).id, 0).id in {one.decode().split(":")[0] for one in started(scene.client)}


def acknowledged(scene: Scene, qr_id: str) -> None:
    scene.town.register(qr_id)
    scene.town.until(lambda: scene.town.story(qr_id).checks)
    job = JobName(scene.town.qr(qr_id).id, 0).id
    scene.town.until(lambda: not any(one.decode().startswith(f"{job}:") for one in started(scene.client)))
    scene.kill()


def test_a_worker_killed_in_any_phase_leaves_one_booking_and_nothing_behind() -> None:
    """Five workers, each killed in its phase; the sixth finds all that and ends it within the leases."""
    acts = (taken, asked, answered, committed, acknowledged)
    with towns() as (town, runtime, client):
        for qr_id, act in zip(PHASES, acts, strict=True):
            act(Scene(town, runtime, client, town.start("worker", "--concurrency", "1")), qr_id)
        survivor = town.start("worker")
        town.until_final(PHASES)
        town.until(lambda: not started(client))
        assert {qr_id: outcomes(town, qr_id) for qr_id in PHASES} == {
            "TAKEN": ["worker_lost", "paid"],
            "ASKED": ["worker_lost", "paid"],
            "ANSWERED": ["worker_lost", "paid"],
            "COMMITTED": ["paid"],
            "ACKNOWLEDGED": ["paid"],
        }
        calls = {"TAKEN": 1, "ASKED": 2, "ANSWERED": 2, "COMMITTED": 1, "ACKNOWLEDGED": 1}
        assert town.status_calls() == calls
        assert town.books() == town.bank_says() == {"BOB": 5 * 1010}
        assert_booked_once(runtime)
        assert {(qr.status, qr.plan.state) for qr in rows_of(runtime)} == {(Status.COMPLETED, PlanState.DONE)}
        assert town.stop(survivor) == 0


def test_a_killed_workers_place_at_its_bank_is_free_within_a_minute() -> None:
    """The bank takes one question at a time, and whoever was asking is gone."""
    with towns(PAYSYNC_BANK_SIM_CONCURRENCY="1") as (town, runtime, client):
        scene = Scene(town, runtime, client, town.start("worker"))
        scene.asked("ASKED")
        scene.kill()
        town.register("TAKEN")
        town.start("worker")
        town.until_final(["ASKED", "TAKEN"])
        assert outcomes(town, "TAKEN") == ["paid"]


def test_a_job_that_kills_its_worker_is_given_up_like_any_other() -> None:
    killing = {"kind": "slow", "on": "status", "qr": "KILLER", "delay_ms": 60_000}
    with towns(fault=killing) as (town, runtime, client):
        town.register("KILLER")
        for attempt in (1, 2, 3):
            victim = town.start("worker")
            town.until(lambda attempt=attempt: town.status_calls().get("KILLER") == attempt)
            town.stop(victim, signal.SIGKILL)
            let_time_pass(runtime, client)
        town.register("TAKEN")
        town.start("worker")
        town.until_final(["TAKEN"])
        town.until(lambda: client.zcard(registry_key("failed", QUEUE_NAMES[0])))
        killer = town.qr("KILLER")
        assert outcomes(town, "KILLER") == ["worker_lost"] * 3
        assert [check["attempt"] for check in town.story("KILLER").checks] == [1, 2, 3]
        plan = killer.plan
        assert (killer.status, plan.state, plan.attempts, plan.checks) == (Status.PENDING, PlanState.PLANNED, 0, 1)
        # One of its twenty is used: it kills no worker for ever.
        # Back in its rhythm: the next one is not killed in a second, nor in ten.
        assert plan.next_check_at is not None
        assert plan.next_check_at > runtime.clock.now() + timedelta(minutes=1)
        assert client.zrange(registry_key("failed", QUEUE_NAMES[0]), 0, -1) == [JobName(killer.id, 2).id.encode()]
        assert town.status_calls()["KILLER"] == 3


def outcomes(town: Shop, qr_id: str) -> list[str]:
    return [check["outcome"] for check in town.story(qr_id).checks]


def let_time_pass(runtime: Runtime, client: redis.Redis) -> None:
    """A minute later: the leases of whoever died are over, in both stores."""
    for name in QUEUE_NAMES:
        for member in client.zrange(registry_key("wip", name), 0, -1):
            client.zadd(registry_key("wip", name), {member: time.time() - 30})
    ago = (runtime.clock.now() - timedelta(minutes=1)).isoformat(timespec="microseconds")
    with runtime.store.write() as tx:
        tx.exec_driver_sql("UPDATE paysync_leases SET until = ?", (ago,))
        tx.exec_driver_sql("UPDATE paysync_qrs SET queued_at = ? WHERE plan_state = 'queued'", (ago,))


@contextmanager
def towns(fault: dict[str, Any] | None = None, **env: str) -> Iterator[tuple[Shop, Runtime, redis.Redis]]:
    paid = [{"id": one, "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]} for one in PHASES]
    scenario = {"qr": paid, "fault": [fault] if fault is not None else []}
    with shop(scenario, env=env) as town, town.runtime() as runtime, redis_of(town) as client:
        yield town, runtime, client
