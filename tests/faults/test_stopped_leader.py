"""A leader that was stopped past its lease and wakes up in the middle of its work; a backlog that stands for an hour.
Both look like something to mend, and nothing may be mended."""

from __future__ import annotations

import signal
from datetime import datetime, timedelta
from typing import Any

import redis
from rq.suspension import resume, suspend

from paysync_cli.payments.status import PlanState
from paysync_cli.queue.names import QUEUE_NAMES, JobName, queue_key
from paysync_cli.runtime import Runtime
from tests.line import Line, plain_server
from tests.shop import Shop, shop
from tests.torment import leader_of, listed, pid_of, redis_of, rows_of, select

LOOKING = b"LRANGE"  # only the janitor reads whole queues


def test_a_leader_that_wakes_up_past_its_lease_changes_nothing() -> None:
    """It has read that a job is nowhere, and sleeps; another leads and mends that; it goes on with what it read."""
    with (
        plain_server() as port,
        Line(port) as line,
        redis.Redis(port=port) as client,
        shop(paid(1), env={"REDIS_URL": f"redis://127.0.0.1:{port}/0"}) as town,
        town.runtime() as runtime,
    ):
        suspend(client)
        first = town.start("worker", env={"REDIS_URL": line.url})
        town.until(lambda: leads(runtime, first.pid))
        town.register("QR0")
        job = JobName(town.qr("QR0").id, 0).id
        town.until(lambda: listed(client) == [job])
        client.delete(*map(queue_key, QUEUE_NAMES))
        age_dispatch(runtime)
        line.hold_reply(LOOKING)
        town.until(lambda: line.holds)
        first.send_signal(signal.SIGSTOP)
        end_lease(runtime)
        second = town.start("worker")
        town.until(lambda: leads(runtime, second.pid))
        town.until(lambda: listed(client) == [job])
        before = snapshot(runtime)
        line.let_go()
        first.send_signal(signal.SIGCONT)
        assert town.stop(first) == 0  # it has ended what it was doing
        assert snapshot(runtime) == before
        assert listed(client) == [job]
        assert added(town) == [job, job]
        assert len(told(town, "janitor")) == 1
        assert leads(runtime, second.pid)
        resume(client)
        town.until_final(["QR0"])
        assert outcomes(town) == {"QR0": ["paid"]}
        assert town.status_calls() == {"QR0": 1}


def test_a_backlog_of_an_hour_is_no_loss() -> None:
    ids = [f"QR{n}" for n in range(30)]
    with shop(paid(30), speed=144) as town, town.runtime() as runtime, redis_of(town) as client:
        suspend(client)
        for _n in range(2):
            town.start("worker")
        town.register(*ids)
        town.until(lambda: len(listed(client)) == 30)
        before, at = snapshot(runtime), runtime.clock.now()
        town.until(lambda: runtime.clock.now() > at + timedelta(hours=1), 0.2)
        assert snapshot(runtime) == before
        assert len(set(listed(client))) == len(listed(client)) == 30
        assert sorted(added(town)) == sorted(listed(client))
        assert {(qr.plan.state, qr.plan.seq, qr.plan.attempts) for qr in rows_of(runtime)} == {(PlanState.QUEUED, 0, 0)}
        resume(client)
        town.until_final(ids)
        assert outcomes(town) == {qr_id: ["paid"] for qr_id in ids}
        assert town.status_calls() == dict.fromkeys(ids, 1)


def paid(n: int) -> dict[str, Any]:
    payment = {"at": "-1s", "in_list": "never"}
    return {"qr": [{"id": f"QR{i}", "amount": "10.10", "payment": [payment]} for i in range(n)]}


def leads(runtime: Runtime, pid: int) -> bool:
    lease = leader_of(runtime)
    return lease is not None and pid_of(lease.owner) == pid and lease.until > runtime.clock.now()


def end_lease(runtime: Runtime) -> None:
    """The leader's time is over, as if it had slept that long."""
    with runtime.store.write() as tx:
        tx.exec_driver_sql("UPDATE paysync_leases SET until = ?", (minute_ago(runtime),))


def age_dispatch(runtime: Runtime) -> None:
    """What is queued was dispatched long enough ago for a missing job to be believed lost."""
    with runtime.store.write() as tx:
        tx.exec_driver_sql("UPDATE paysync_qrs SET queued_at = ?", (minute_ago(runtime),))


def minute_ago(runtime: Runtime) -> str:
    moment: datetime = runtime.clock.now() - timedelta(minutes=1)
    return moment.isoformat(timespec="microseconds")


def snapshot(runtime: Runtime) -> list[tuple[Any, ...]]:
    """The rows with their moments of dispatch, and every check."""
    return [*select(runtime, "SELECT * FROM paysync_qrs ORDER BY id"),
            *select(runtime, "SELECT * FROM paysync_checks ORDER BY id")]  # fmt: skip


def told(town: Shop, event: str) -> list[dict[str, Any]]:
    return [line for line in town.logs() if line["event"] == event]


def added(town: Shop) -> list[str]:
    """The jobs that were dispatched, each as often as that happened."""
    return [line["job_id"] for line in told(town, "check_added")]


def outcomes(town: Shop) -> dict[str, list[str]]:
    with town.runtime() as runtime:
        ids = [qr.qr_id for qr in rows_of(runtime)]
    return {qr_id: [check["outcome"] for check in town.story(qr_id).checks] for qr_id in ids}
