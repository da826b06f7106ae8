"""The road of one check, with every real part: the process, Redis, HTTP, SQL."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis

from paysync_cli import PaySync
from paysync_cli.payments.status import PlanState, Status
from paysync_cli.queue.names import QUEUE_NAMES
from paysync_cli.settings import load_settings
from paysync_cli.store import qrs
from tests.process import clean_environment
from tests.shop import UNPAID, Shop, shop

FIVE_TIMES_UNPAID = {
    "qr": [{"id": "QR1", "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]}],
    "fault": [
        {
            "kind": "body",
            "on": "status",
            "qr": "QR1",
            "count": 5,
            "status": 200,
            "content_type": "application/json",
            "body": UNPAID,
        }
    ],
}
# The forerunner's chain ended after one check because completed jobs kept their id; so they must be kept here.
SPEED = 120
SECOND = timedelta(seconds=SPEED)  # a real second on this clock

KEEP_COMPLETED = {"PAYSYNC_KEEP_COMPLETED": "100", "PAYSYNC_PENDING_WINDOW": "2h"}


@pytest.mark.parametrize("wiped", [False, True], ids=["kept", "wiped"])
def test_five_times_unpaid_then_paid_is_six_checks(wiped: bool) -> None:
    with shop(FIVE_TIMES_UNPAID, speed=SPEED, env=KEEP_COMPLETED) as town:
        town.register("QR1")
        town.start("worker")
        if wiped:
            town.until(lambda: len(town.story("QR1").checks) == 3)
            _flush(town)
        town.until_final(["QR1"])
        checks = town.story("QR1").checks
        assert [check["outcome"] for check in checks] == ["unpaid"] * 5 + ["paid"]
        assert town.status_calls() == {"QR1": 6}
        planned = [
            datetime.fromisoformat(line["next_check_at"]) for line in town.logs() if line["event"] == "check_next"
        ]
        assert len(planned) == 5
        for moment, before, after in zip(planned, checks, checks[1:], strict=False):
            # Two minutes after the answer and at most a tenth more; never early; late by no more than this machine is
            # slow: two real seconds of a compressed clock.
            assert timedelta(minutes=2) <= moment - before["at"] <= timedelta(minutes=2.2) + 2 * SECOND
            assert timedelta() <= after["at"] - moment <= 2 * SECOND
        if not wiped:
            with town.runtime() as runtime:
                assert runtime.queue.job_counts().completed == 6
        assert town.books() == town.bank_says() == {"BOB": 1010}


def test_the_worker_tells_each_checks_story() -> None:
    with shop(FIVE_TIMES_UNPAID, env=KEEP_COMPLETED) as town:
        town.register("QR1")
        town.start("worker", "--burst").wait(60)
        story = [(line["event"], line["message"]) for line in town.logs() if line.get("qr_id") == "QR1"]
        assert story == [
            ("check_added", "QR1: check added to the high queue"),
            ("check_attempt", "QR1: checking, attempt 1/3"),
            ("check_succeeded", "QR1: succeeded, the bank says unpaid"),
            ("check_next", "QR1: next check in 2 minutes (pending, high priority, 1 of 20 checks used)"),
        ]


def test_fifty_enqueues_and_five_workers_make_one_row_one_call_one_plan() -> None:
    with shop({"qr": [{"id": "QR1", "amount": "10.10"}]}) as town:
        workers = [town.start("worker") for _n in range(5)]
        outcomes = _fifty_at_once(town)
        assert sorted(outcomes) == ["already_planned"] * 49 + ["created"]
        town.until(lambda: town.story("QR1").checks)
        for worker in workers:
            town.stop(worker)
        assert town.status_calls() == {"QR1": 1}
        qr = town.qr("QR1")
        assert (qr.plan.state, qr.plan.checks, qr.plan.seq) == (PlanState.PLANNED, 1, 1)


def _fifty_at_once(town: Shop) -> list[str]:
    """Fifty threads of an application, each with its own connection, all let loose at the same moment."""
    start = threading.Barrier(50)

    def enqueue(_n: int) -> str:
        with PaySync(load_settings(environ=town.env, cwd=town.home)) as sync:
            start.wait()
            return sync.enqueue("QR1", amount="10.10").outcome

    with ThreadPoolExecutor(50) as pool:
        return list(pool.map(enqueue, range(50)))


def test_fifty_checks_in_flight_survive_a_sigkill() -> None:
    ids = [f"QR{n}" for n in range(60)]
    slow = {
        "qr": [{"id": qr_id, "amount": "10.10", "paid": "+0s"} for qr_id in ids[::2]],
        "fault": [{"kind": "slow", "on": "status", "delay_ms": 3000, "count": 50}],
    }
    with shop(slow) as town:
        town.register(*ids)
        first = town.start("worker", "--concurrency", "50")
        town.until(lambda: town.bank.requests()["in_flight"] >= 50)
        town.stop(first, signal.SIGKILL)
        town.start("worker", "--concurrency", "50")
        town.until_final(ids[::2])

        def others_asked() -> bool:
            return all(town.qr(qr_id).plan.checks == 1 for qr_id in ids[1::2])

        town.until(others_asked)
        assert town.books() == town.bank_says() == {"BOB": 30 * 1010}


def test_redis_down_at_enqueue_loses_nothing(tmp_path: Path) -> None:
    with shop({"qr": [{"id": "QR1", "amount": "10.10", "paid": "+0s"}]}) as town:
        dead = {"REDIS_URL": f"unix://{tmp_path}/nobody.sock"}
        ended = town.run("enqueue", "QR1", "--amount", "10.10", env=dead)
        assert ended.status == 69
        assert ended.err.count("error: ") == 1
        assert "Traceback" not in ended.err
        assert town.qr("QR1").plan.state is PlanState.PLANNED
        assert town.json("dispatch", "--once")["moved"] == 1
        town.start("worker", "--burst").wait(60)
        assert town.qr("QR1").status is Status.COMPLETED


def test_two_databases_on_one_redis_the_second_worker_refuses() -> None:
    with shop() as one, shop() as other:
        one.run("worker", "--burst")
        with one.runtime() as runtime:
            url = runtime.embedded.attach().url(reveal=True)  # type: ignore[union-attr]
            ended = other.run("worker", "--burst", env={"REDIS_URL": url})
        assert ended.status == 5
        assert "another paysync database" in ended.err


def test_graceful_stop_finishes_what_is_in_flight() -> None:
    slow = {
        "qr": [{"id": "QR1", "amount": "10.10", "paid": "+0s"}],
        "fault": [{"kind": "slow", "on": "status", "delay_ms": 1500}],
    }
    with shop(slow) as town:
        town.register("QR1")
        worker = town.start("worker")
        town.until(lambda: town.bank.requests()["in_flight"])
        assert town.stop(worker) == 0
        assert town.qr("QR1").status is Status.COMPLETED


def test_a_grace_too_short_gives_the_check_back() -> None:
    hanging = {"fault": [{"kind": "hang", "on": "status"}]}
    with shop(hanging) as town:
        town.register("QR1")
        worker = town.start("worker", "--grace", "200ms")
        town.until(lambda: town.bank.requests()["in_flight"])
        assert town.stop(worker) == 143
        qr = town.qr("QR1")
        assert (qr.plan.state, qr.plan.attempts, qr.plan.checks) == (PlanState.PLANNED, 0, 0)
        with town.runtime() as runtime:
            counts = runtime.queue.job_counts()
        assert (counts.active, counts.waiting) == (0, 0)


def test_a_refused_login_stops_the_bank_in_this_worker() -> None:
    refused = {"fault": [{"kind": "login_refused"}]}
    with shop(refused) as town:
        town.register(*(f"QR{n}" for n in range(20)))
        worker = town.start("worker")
        town.until(lambda: any(line["event"] == "credential_refused" for line in town.logs()))
        town.stop(worker)
        assert town.bank.requests()["calls"]["login"] == 1
        qr = town.qr("QR0")
        assert (qr.plan.attempts, qr.plan.checks, qr.status) == (0, 0, Status.PENDING)


def test_priority_decides_the_order_and_low_never_starves() -> None:
    with shop() as town:
        old = {"issued_at": None}
        town.register(*(f"HIGH{n}" for n in range(40)), **old)
        with town.runtime() as runtime, runtime.store.write() as tx:
            for n, (word, rank) in enumerate((("MEDIUM", 1), ("LOW", 2))):
                _clone_with_priority(tx, word, rank, n)
        town.start("worker", "--burst", "--concurrency", "1").wait(60)
        order = [line["qr_id"].rstrip("0123456789") for line in town.logs() if line["event"] == "check_attempt"]
        reserved = list(range(8, 49, 8))
        others = [word for n, word in enumerate(order[:40], start=1) if n not in reserved]
        assert set(others) == {"HIGH"}
        assert [order[n - 1] for n in reserved[:4]] == ["MEDIUM", "LOW", "MEDIUM", "LOW"]
        rest = [word for n, word in enumerate(order, start=1) if n > 46 and n not in (48, 56, 64, 72)]
        assert rest == sorted(rest, key=["HIGH", "MEDIUM", "LOW"].index)


def _clone_with_priority(tx: object, word: str, rank: int, _n: int) -> None:
    from paysync_cli.store.tables import qrs as table

    rows = tx.execute(table.select().where(table.c.qr_id.like("HIGH1%"))).mappings().all()  # type: ignore[attr-defined]
    for n, row in enumerate(rows):
        copy = {key: value for key, value in row.items() if key != "id"}
        tx.execute(table.insert().values(**copy | {"qr_id": f"{word}{n}", "priority": rank}))  # type: ignore[attr-defined]


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_a_stock_rq_worker(serializer: str) -> None:
    payment = {"at": "+0s", "in_list": "never"}
    paid = {"qr": [{"id": f"QR{n}", "amount": "10.10", "payment": [payment]} for n in range(3)]}
    with shop(paid) as town, town.runtime() as runtime:
        ids = ["QR0", "QR1", "QR2"]
        town.register(*ids)
        url = runtime.embedded.attach().url(reveal=True)  # type: ignore[union-attr]
        assert town.json("dispatch", "--once")["moved"] == 3
        argv = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", url, "-S", serializer, *QUEUE_NAMES]
        environment = clean_environment(town.home, town.env) | {"PYTHONWARNINGS": ""}
        subprocess.run(argv, env=environment, cwd=town.home, check=True, capture_output=True, timeout=120)
        with runtime.store.read() as tx:
            found = qrs.known(tx, "sim", "certification", ids)
        if serializer == "json":
            assert {qr.status for qr in found.values()} == {Status.COMPLETED}
            assert town.books() == {"BOB": 3030}
            return
        assert {(qr.plan.state, qr.plan.seq, qr.plan.attempts) for qr in found.values()} == {(PlanState.QUEUED, 0, 0)}
        # Nothing is harmed: the janitor takes what the other worker could not read back, at no cost.
        town.start("worker")
        town.until_final(ids)
        assert {qr.plan.checks for qr in map(town.qr, ids)} == {1}
        assert town.books() == {"BOB": 3030}


def test_rq_info_and_dashboard_show_queues_and_worker() -> None:
    with shop({"qr": [{"id": "QR1", "amount": "10.10"}]}) as town, town.runtime() as runtime:
        url = runtime.embedded.attach().url(reveal=True)  # type: ignore[union-attr]
        town.register("QR1")
        town.start("worker")
        town.until(lambda: town.story("QR1").checks)
        argv = [sys.executable, "-m", "rq.cli", "info", "--url", url, "-S", "json"]
        environment = clean_environment(town.home) | {"PYTHONWARNINGS": ""}
        told = subprocess.run(argv, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout
        assert "payment-sync-high" in told
        assert "1 workers" in told
        assert "idle" in told or "busy" in told
        pages = _dashboard(url)
        assert "payment-sync-high" in pages["/0/data/queues.json"]
        assert '"name":"' in pages["/0/data/workers.json"].replace(" ", "")
        assert "payment-sync-high" in pages["/0/data/workers.json"]


def _dashboard(url: str) -> dict[str, str]:
    """What rq-dashboard's pages get as data, from its real app."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from flask import Flask
        from rq_dashboard import blueprint
        from rq_dashboard import default_settings as settings
        from rq_dashboard.web import setup_rq_connection

        app = Flask(__name__)
        app.config.from_object(settings)
        app.config["RQ_DASHBOARD_REDIS_URL"] = url
        setup_rq_connection(app)
        app.register_blueprint(blueprint, url_prefix="")
        client = app.test_client()
        return {
            path: client.get(path).get_data(as_text=True) for path in ("/0/data/queues.json", "/0/data/workers.json")
        }


def _flush(town: Shop) -> None:
    with town.runtime() as runtime:
        client = redis.Redis.from_url(runtime.embedded.attach().url(reveal=True))  # type: ignore[union-attr]
        client.flushall()
        client.close()
