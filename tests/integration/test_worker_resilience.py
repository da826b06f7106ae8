"""What happens around a worker: Redis wiped, killed or stopped, strangers' jobs, commands, log files."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from paysync_cli.payments.status import PlanState, Status
from paysync_cli.queue.names import DATABASE_KEY, QUEUE_NAMES, JobName
from paysync_cli.store import qrs
from tests.embedded import running_servers
from tests.process import clean_environment
from tests.shop import Shop, shop

HIDDEN = {"at": "+0s", "in_list": "never"}  # only a single query finds it


@contextmanager
def redis_of(town: Shop) -> Iterator[redis.Redis]:
    with town.runtime() as runtime:
        client = redis.Redis.from_url(runtime.embedded.attach().url(reveal=True))  # type: ignore[union-attr]
        try:
            yield client
        finally:
            client.close()


def paid(n: int) -> dict[str, Any]:
    return {"qr": [{"id": f"QR{i}", "amount": "10.10", "payment": [HIDDEN]} for i in range(n)]}


def test_the_embedded_redis_is_killed_under_a_worker() -> None:
    with shop(paid(3)) as town:
        town.register("QR0")
        town.start("worker")
        town.until_final(["QR0"])
        for pid in running_servers(town.home):
            os.kill(pid, signal.SIGKILL)
        town.register("QR1", "QR2")
        town.until_final(["QR1", "QR2"])
        assert town.books() == {"BOB": 3030}
        assert town.stop(town.children[0]) == 0


def test_everything_in_redis_is_deleted_while_checks_are_queued_and_running() -> None:
    slow = paid(12) | {"fault": [{"kind": "slow", "on": "status", "delay_ms": 700}]}
    ids = [f"QR{i}" for i in range(12)]
    with shop(slow) as town:
        town.register(*ids)
        town.start("worker", "--concurrency", "2")
        town.until(lambda: town.bank.requests()["in_flight"] == 2)
        with redis_of(town) as client:
            client.flushall()
        town.until_final(ids)
        assert town.books() == {"BOB": 12 * 1010}
        # Whoever was queued when Redis was wiped came back at no cost.
        assert {town.qr(qr_id).plan.checks for qr_id in ids} == {1}
        seen = town.run("stats", "--json")
        assert len(json.loads(seen.out)["data"]["workers"]) == 1


def test_a_redis_that_evicts_is_told_at_the_start_and_loses_no_qr() -> None:
    """Somebody gave it a limit and a policy for caches; then it throws away whatever it likes, jobs among it."""
    ids = [f"QR{i}" for i in range(30)]
    slow = paid(30) | {"fault": [{"kind": "slow", "on": "status", "delay_ms": 200}]}
    with shop(slow) as town, redis_of(town) as client:
        client.config_set("maxmemory-policy", "allkeys-random")
        town.register(*ids)
        town.start("worker", "--concurrency", "2")
        town.until(lambda: town.bank.requests()["in_flight"] == 2)
        assert [line["policy"] for line in town.logs() if line["event"] == "redis_evicts"] == ["allkeys-random"]
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 200_000)
        for n in range(200):
            client.set(f"somebody-elses:{n}", "x" * 20_000)
        assert client.info("stats")["evicted_keys"] > 100
        client.config_set("maxmemory", 0)
        town.until_final(ids)
        assert town.books() == town.bank_says() == {"BOB": 30 * 1010}
        assert {town.qr(qr_id).plan.checks for qr_id in ids} == {1}


def test_jobs_that_are_not_ours_run_nothing_and_are_shown_as_failed(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    town_url = "http://127.0.0.1:9/"  # a webhook would be called when the job fails
    ours = JobName(101, 0)
    strange: dict[str, tuple[bytes, dict[str, str]]] = {
        "touch": (json.dumps(["os.system", None, [f"touch {trap}"], {}]).encode(), {}),
        "sync-101-1": (json.dumps(["paysync_cli.tasks.check", None, [1, 1], {"extra": 1}]).encode(), {}),
        "sync-101-2": (b"", {}),
        "sync-101-3": (pickle.dumps(["os.system", None, (f"touch {trap}",), {}]), {}),
        ours.id: (ours.data, {"failure_callback_name": "os.abort", "success_callback_name": "os.abort"}),
        "sync-102-0": (JobName(102, 0).data, {"webhooks": json.dumps([{"url": town_url, "statuses": ["failed"]}])}),
    }
    unshowable = b"sync-1-0; \xff"
    with shop(paid(1)) as town, redis_of(town) as client:
        for job_id, (data, more) in strange.items():
            _push(client, job_id, data, more)
        _push(client, unshowable, ours.data, {})
        town.register("QR0")
        town.start("worker")
        town.until_final(["QR0"])  # the strangers of its batch do not hold it up
        town.until(lambda: client.zcard(f"rq:failed:{QUEUE_NAMES[0]}") == len(strange))
        town.until(lambda: not client.zcard(f"rq:wip:{QUEUE_NAMES[0]}"))
        assert not trap.exists()
        assert not client.exists(b"rq:job:" + unshowable)
        assert set(town.status_calls()) == {"QR0"}


def _push(client: redis.Redis, job_id: str | bytes, data: bytes, more: dict[str, str]) -> None:
    """A job by hand, as anybody who can write to this Redis could push it."""
    key = job_id if isinstance(job_id, bytes) else job_id.encode()
    fields = {"data": data, "origin": QUEUE_NAMES[0], "status": "queued", "timeout": "180",
              "created_at": "2031-01-01T00:00:00.000000Z", **more}  # fmt: skip
    client.hset(b"rq:job:" + key, mapping=fields)
    client.rpush(f"rq:queue:{QUEUE_NAMES[0]}", key)


def test_a_job_of_an_unknown_row_fails_loudly() -> None:
    with shop() as town, redis_of(town) as client:
        name = JobName(77, 0)
        _push(client, name.id, name.data, {})
        town.start("worker")
        town.until(lambda: client.zcard(f"rq:failed:{QUEUE_NAMES[0]}") == 1)
        assert any(line["event"] == "job_unknown_row" for line in town.logs())


def test_a_check_given_up_is_a_failed_job_and_goes_on_in_its_rhythm() -> None:
    down = {"fault": [{"kind": "server_error", "on": "status"}]}
    with shop(down, speed=60) as town, redis_of(town) as client:
        town.register("QR1")
        town.start("worker")
        town.until(lambda: client.zcard(f"rq:failed:{QUEUE_NAMES[0]}") == 1)
        checks = town.story("QR1").checks
        assert [(check["attempt"], check["outcome"]) for check in checks[:3]] == [(n, "unavailable") for n in (1, 2, 3)]
        assert checks[1]["at"] - checks[0]["at"] >= timedelta(seconds=2)
        assert checks[2]["at"] - checks[1]["at"] >= timedelta(seconds=4)
        qr = town.qr("QR1")
        assert (qr.status, qr.plan.checks) == (Status.PENDING, 0)
        (job_id,) = client.zrange(f"rq:failed:{QUEUE_NAMES[0]}", 0, -1)
        assert job_id.decode() == JobName(qr.id, 2).id
        assert client.xlen(f"rq:results:{job_id.decode()}") == 1
        # Neither of the two attempts before left a trace.
        assert {key.decode() for key in client.keys("rq:job:*")} <= {f"rq:job:{job_id.decode()}", *(
            f"rq:job:{JobName(qr.id, n).id}" for n in range(3, 99))}  # fmt: skip


def test_only_the_last_completed_and_failed_jobs_are_kept() -> None:
    keep = {"PAYSYNC_KEEP_COMPLETED": "7", "PAYSYNC_KEEP_FAILED": "3", "PAYSYNC_ATTEMPTS": "1"}
    ids = [f"QR{i}" for i in range(20)]
    # Four: a fifth failure in a row would open the breaker.
    broken = paid(20) | {
        "fault": [{"kind": "server_error", "on": "status", "qr": f"QR{i}", "count": 1} for i in range(4)]
    }
    with shop(broken, env=keep) as town:
        town.register(*ids)
        town.start("worker", "--burst").wait(60)
        with town.runtime() as runtime:
            counts = runtime.queue.job_counts()
        assert (counts.completed, counts.failed, counts.active, counts.waiting) == (7, 3, 0, 0)


def test_rq_can_suspend_and_shut_down_the_worker() -> None:
    from rq.command import send_shutdown_command
    from rq.suspension import resume, suspend

    with shop(paid(1)) as town, redis_of(town) as client:
        suspend(client)
        town.register("QR0")
        worker = town.start("worker")
        town.until(lambda: client.smembers("rq:workers"))
        town.until(lambda: town.qr("QR0").plan.state is PlanState.QUEUED)
        assert not town.bank.requests()["calls"].get("status")
        resume(client)
        town.until_final(["QR0"])
        (key,) = client.smembers("rq:workers")
        send_shutdown_command(client, key.decode().removeprefix("rq:worker:"))
        assert worker.wait(60) == 0
        assert not client.smembers("rq:workers")


def test_a_second_signal_stops_at_once() -> None:
    with shop({"fault": [{"kind": "hang", "on": "status"}]}) as town:
        town.register("QR1")
        worker = town.start("worker", "--grace", "10m")
        town.until(lambda: town.bank.requests()["in_flight"])
        worker.send_signal(signal.SIGINT)
        town.until(lambda: any(line["event"] == "worker_stopping" for line in town.logs()))
        assert town.stop(worker, signal.SIGINT) == 130
        assert town.qr("QR1").plan.state is PlanState.PLANNED


def test_dispatch_feeds_stock_workers_until_stopped() -> None:
    with shop(paid(2)) as town, town.runtime() as runtime:
        url = runtime.embedded.attach().url(reveal=True)  # type: ignore[union-attr]
        dispatcher = town.start("dispatch")
        town.register("QR0", "QR1")
        town.until(lambda: runtime.queue.job_counts().waiting == 2)
        argv = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", url, "-S", "json", *QUEUE_NAMES]
        environment = clean_environment(town.home, town.env) | {"PYTHONWARNINGS": ""}
        subprocess.run(argv, env=environment, cwd=town.home, check=True, capture_output=True, timeout=120)
        town.until_final(["QR0", "QR1"])
        assert town.stop(dispatcher) in (0, 143)


def test_log_file_is_reopened_on_hup() -> None:
    with shop(paid(2)) as town:
        log = town.home / "paysync.log"
        worker = town.start("worker", env={"PAYSYNC_LOG_FILE": str(log)})
        town.register("QR0")
        town.until_final(["QR0"])
        log.rename(town.home / "paysync.log.1")
        worker.send_signal(signal.SIGHUP)
        town.register("QR1")
        town.until_final(["QR1"])
        town.until(lambda: log.exists() and "QR1" in log.read_text())
        assert "QR0" not in log.read_text()


@pytest.mark.parametrize("command", [("check", "QR0"), ("check", "--open"), ("sweep",)])
def test_asking_now_books_too(command: tuple[str, ...]) -> None:
    with shop({"qr": [{"id": "QR0", "amount": "10.10", "paid": "+0s"}]}) as town:
        town.register("QR0")
        town.json(*command)
        assert town.books() == {"BOB": 1010}
        qr = town.qr("QR0")
        assert (qr.status, qr.plan.state, qr.plan.checks) == (Status.COMPLETED, PlanState.DONE, 0)
        town.json(*command) if command != ("check", "--open") else None
        assert town.books() == {"BOB": 1010}


def test_a_stray_payment_is_booked_when_its_qr_is_registered() -> None:
    with shop({"qr": [{"id": "QR0", "amount": "10.10", "paid": "+0s"}]}) as town:
        assert town.run("db", "upgrade").status == 0
        town.json("sweep")
        assert [one["reason"] for one in town.json("review", "list")["items"]] == ["unknown_qr"]
        assert town.books() == {}
        ended = town.run("enqueue", "QR0", "--amount", "10.10")
        assert ended.status == 0, ended
        assert town.books() == {"BOB": 1010}
        assert town.json("review", "list")["items"] == []
        assert town.qr("QR0").status is Status.COMPLETED


def test_another_environments_qrs_are_never_asked() -> None:
    with shop(paid(1)) as town:
        town.register("QR0")
        with town.runtime() as runtime, runtime.store.write() as tx:
            from paysync_cli.store.tables import qrs as table

            tx.execute(table.update().values(environment="production"))
        town.start("worker", "--burst").wait(60)
        assert not town.bank.requests()["calls"].get("status")
        assert town.run("check", "QR0").status == 2
        with town.runtime() as runtime, runtime.store.read() as tx:
            assert qrs.by_qr_id(tx, "QR0")[0].plan.state is PlanState.PLANNED


def test_this_redis_belongs_to_this_database() -> None:
    with shop() as town, redis_of(town) as client, town.runtime() as runtime:
        town.start("worker", "--burst").wait(60)
        assert client.get(DATABASE_KEY) == runtime.database_id.encode()
