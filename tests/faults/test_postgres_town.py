"""PostgreSQL as the second home: hosts share one plan, and one of them dies; a poisonous payer; a deadlock, a lost
connection, a lost server."""

from __future__ import annotations

import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from paysync_cli.payments.qr import Answer, Payment
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.payments.status import BankStatus, PlanState, Status
from paysync_cli.services.sync import Asked, Judge, record
from paysync_cli.store import ledger, qrs
from tests.postgres import private_postgres
from tests.shop import Shop, shop
from tests.torment import leader_of, redis_of

HOSTS = ("cochabamba", "oruro", "sucre.example.bo")
# What a process of such a host finds first on its path.
SITE = """
import os, socket
socket.gethostname = lambda: os.environ["HOST_OF_THE_TEST"]
"""


@contextmanager
def postgres_town(scenario: dict[str, Any], **env: str) -> Iterator[Shop]:
    with private_postgres() as url, shop(scenario, env={"DATABASE_URL": url} | env) as town:
        upgraded = town.run("db", "upgrade", "--yes")
        assert upgraded.status == 0, upgraded
        yield town


def test_hosts_share_the_plan_and_the_leading_one_dies() -> None:
    ids = [f"QR{n}" for n in range(90)]
    scenario = {
        "qr": [{"id": qr_id, "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]} for qr_id in ids[::3]],
        "fault": [{"kind": "slow", "on": "status", "delay_ms": 300}],
    }
    with postgres_town(scenario) as town, town.runtime() as runtime:
        workers = start_on_hosts(town)
        town.until(lambda: leader_of(runtime))
        leader = host_of(leader_of(runtime).owner)  # type: ignore[union-attr]
        town.until(lambda: len(told(town, "worker_registered")) == len(HOSTS))
        town.register(*ids)
        town.until(lambda: town.bank.requests()["in_flight"] >= 10)
        town.stop(workers[short_names().index(leader)], signal.SIGKILL)

        def all_asked() -> bool:
            with runtime.store.read() as tx:
                found = qrs.known(tx, "sim", "certification", ids)
            return all(qr.plan.checks == 1 for qr in found.values())

        town.until(all_asked)
        assert town.books() == town.bank_says() == {"BOB": 30 * 1010}
        # What was in flight at the kill was asked twice, nothing else was; and no host did it all.
        assert sum(town.status_calls().values()) <= 90 + 5
        assert all('"check_attempt"' in log for log in logs_of(town))
        assert {host_of(line["worker"]) for line in told(town, "worker_registered")} == set(short_names())
        # Its executions were lost, so another host leads.
        assert {host_of(line["worker"]) for line in told(town, "leader")} > {leader}


def test_a_nul_in_a_payers_name_is_no_obstacle() -> None:
    """PostgreSQL's text cannot hold it."""
    ids = [f"QR{n}" for n in range(10)]
    named = [{"id": one, "amount": "10.10", "payment": [{"at": "+0s", "payer": "ANA\x00QUISPE"}]} for one in ids]
    with postgres_town({"qr": named}) as town:
        town.register(*ids)
        town.start("worker")
        town.until_final(ids)
        assert town.books() == {"BOB": 10 * 1010}
        assert {town.story(one).movements[0]["payer"] for one in ids} == {"ANA QUISPE"}
        assert {town.qr(one).status for one in ids} == {Status.COMPLETED}


def test_a_row_that_postgres_refuses_harms_no_other() -> None:
    """An adapter of somebody else's passed the NUL on: that row alone is a failed attempt."""
    with postgres_town({}) as town, town.runtime() as runtime:
        town.register("QR0", "QR1", "QR2", "QR3")
        with runtime.store.read() as tx:
            rows = qrs.known(tx, "sim", "certification", ["QR0", "QR1", "QR2", "QR3"])
        now = runtime.clock.now()
        group = []
        for n, qr in enumerate(rows.values()):
            payer = "ANA\x00QUISPE" if n == 1 else "ANA QUISPE"
            payment = Payment(qr.qr_id, f"t{n}", Decimal("10.10"), "BOB", now, payer)
            group.append(Asked(qr.id, 0, now, 5, Answer(BankStatus.PAID, "1", now, (payment,))))
        results = record(runtime.store, group, Judge({"sim": Rhythm()}, now, lambda: 0.0))
        assert [(one.how, one.outcome) for one in results] == [
            ("finished", "paid"), ("gone", "error"), ("finished", "paid"), ("finished", "paid"),
        ]  # fmt: skip
        assert town.books() == {"BOB": 3 * 1010}
        poisoned = town.qr("QR1").plan
        assert (poisoned.state, poisoned.attempts, poisoned.checks) == (PlanState.PLANNED, 1, 0)
        with runtime.store.read() as tx:
            assert rows["QR1"].id not in ledger.of(tx, [qr.id for qr in rows.values()])


def test_a_deadlock_inside_a_group_costs_no_attempt() -> None:
    """The worker has locked A and wants B; somebody has locked B and wants A. PostgreSQL ends the worker's wait."""

    def want_the_other(holder: Any) -> None:
        holder.execute("SET deadlock_timeout = '60s'")  # it is not the one to give way
        lock(holder, "A")
        holder.rollback()

    assert "deadlock" in group_disturbed(want_the_other)


def test_a_connection_lost_inside_a_group_costs_no_attempt() -> None:
    def end_the_workers_connection(holder: Any) -> None:
        holder.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        holder.rollback()

    assert "terminating connection" in group_disturbed(end_the_workers_connection)


def group_disturbed(disturb: Callable[[Any], None]) -> str:
    """A worker writes A and B in one group and stands before B, which `holder` has locked; what it says when that is
    disturbed. Whatever that was, the group is written then, at the first attempt."""
    paid = [{"id": one, "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]} for one in "ABZ"]
    slow = [{"kind": "slow", "on": "status", "qr": one, "delay_ms": ms} for one, ms in
            (("Z", 1500), ("A", 2500), ("B", 2500))]  # fmt: skip
    with postgres_town({"qr": paid, "fault": slow}) as town, redis_of(town) as client:
        with connected(town) as gate, connected(town) as holder:
            gate.execute("ALTER ROLE paysync SET deadlock_timeout = '5s'")  # of the worker: time enough for the other
            gate.commit()
            town.register("Z", "A", "B")
            town.start("worker")
            town.until(lambda: town.bank.requests()["in_flight"] == 3)
            lock(gate, "Z")  # behind it the answers about A and B come together
            lock(holder, "B")
            town.until(lambda: not town.bank.requests()["in_flight"])
            town.until(lambda: not client.zcard("paysync:bank:sim:flight"))
            gate.rollback()
            town.until(lambda: waits_behind(town, holder))
            disturb(holder)
        town.until_final(["A", "B", "Z"])
        assert [[check["outcome"] for check in town.story(one).checks] for one in "ABZ"] == [["paid"]] * 3
        assert town.status_calls() == {"A": 1, "B": 1, "Z": 1}
        assert town.books() == {"BOB": 3 * 1010}
        (said,) = [line["message"] for line in told(town, "database_unavailable")][:1]
        return str(said)


def test_the_server_goes_away_and_comes_back() -> None:
    with postgres_town({"qr": [{"id": "QR1", "amount": "10.10", "paid": "+0s"}]}) as town:
        worker = town.start("worker")
        town.until(lambda: any(line["event"] == "leader" for line in town.logs()))
        with stopped(town.env["DATABASE_URL"]):
            town.until(lambda: any("did not answer" in line["message"] for line in town.logs()))
        town.register("QR1")
        town.until_final(["QR1"])
        assert town.books() == {"BOB": 1010}
        assert town.stop(worker) == 0


def test_the_settings_url_of_other_tools_is_understood() -> None:
    with private_postgres() as url, shop(env={"DATABASE_URL": url.replace("postgresql://", "postgres://")}) as town:
        refused = town.run("db", "upgrade")
        assert refused.status == 5  # PostgreSQL is changed only when somebody says so
        assert town.run("enqueue", "QR1").status == 2
        assert town.run("db", "upgrade", "--yes").status == 0
        assert town.run("enqueue", "QR1").status == 0
        assert town.qr("QR1").plan.state is PlanState.PLANNED


@contextmanager
def connected(town: Shop) -> Iterator[Any]:
    """A connection of somebody else's."""
    import psycopg

    with psycopg.connect(town.env["DATABASE_URL"]) as connection:
        yield connection


def lock(connection: Any, qr_id: str) -> None:
    connection.execute("SELECT id FROM paysync_qrs WHERE qr_id = %s FOR UPDATE", (qr_id,))


def waits_behind(town: Shop, holder: Any) -> bool:
    with connected(town) as looker:
        found = looker.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))", (holder.info.backend_pid,)
        ).fetchone()
    return bool(found[0])


def start_on_hosts(town: Shop) -> list[subprocess.Popen[bytes]]:
    """A worker on each host of these names."""
    site = town.home / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)  # whole before the first worker reads it
    envs = [{"PYTHONPATH": str(site), "HOST_OF_THE_TEST": host} for host in HOSTS]
    return [town.start("worker", "--concurrency", "5", env=env) for env in envs]


def short_names() -> list[str]:
    return [host.split(".")[0] for host in HOSTS]


def host_of(worker: str) -> str:
    return worker.rsplit("-", 2)[0]


def told(town: Shop, event: str) -> list[Any]:
    return [line for line in town.logs() if line["event"] == event]


def logs_of(town: Shop) -> list[str]:
    return [log.read_text() for log in sorted(town.home.glob("worker-*.log"))]


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """The private server, crashed and restarted."""
    data = Path(unquote(url.partition("?host=")[2])) / "data"
    become = ["runuser", "-u", data.owner(), "--"] if data.owner() != "root" else []

    def control(*words: str) -> None:
        argv = [*become, "pg_ctl", "-D", str(data), *words]
        subprocess.run(argv, check=True, capture_output=True, cwd="/", timeout=60)

    words = shlex.split((data / "postmaster.opts").read_text())
    options = shlex.join(words[words.index("-D") + 2 :])
    control("-m", "immediate", "stop")
    try:
        yield
    finally:
        control("-l", str(data.parent / "log"), "-w", "-o", options, "start")


@pytest.fixture(autouse=True)
def _needs_postgres() -> None:
    pytest.importorskip("psycopg")
