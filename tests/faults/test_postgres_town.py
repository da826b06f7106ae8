"""PostgreSQL as the second home: several workers share one plan; a poisonous payer, a lost server, a killed worker."""

from __future__ import annotations

import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from paysync_cli.payments.status import PlanState, Status
from paysync_cli.store import qrs
from tests.postgres import private_postgres
from tests.shop import Shop, shop


@contextmanager
def postgres_town(scenario: dict[str, Any], **env: str) -> Iterator[Shop]:
    with private_postgres() as url, shop(scenario, env={"DATABASE_URL": url} | env) as town:
        upgraded = town.run("db", "upgrade", "--yes")
        assert upgraded.status == 0, upgraded
        yield town


def test_three_workers_share_the_plan_and_one_is_killed() -> None:
    ids = [f"QR{n}" for n in range(90)]
    scenario = {
        "qr": [{"id": qr_id, "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]} for qr_id in ids[::3]],
        "fault": [{"kind": "slow", "on": "status", "delay_ms": 300}],
    }
    with postgres_town(scenario) as town:
        town.register(*ids)
        workers = [town.start("worker", "--concurrency", "5") for _n in range(3)]
        town.until(lambda: town.bank.requests()["in_flight"] >= 10)
        town.stop(workers[0], signal.SIGKILL)

        def all_asked() -> bool:
            with town.runtime() as runtime, runtime.store.read() as tx:
                found = qrs.known(tx, "sim", "certification", ids)
            return all(qr.plan.checks == 1 for qr in found.values())

        town.until(all_asked)
        assert town.books() == town.bank_says() == {"BOB": 30 * 1010}
        # What was in flight at the kill was asked twice, nothing else was.
        assert sum(town.status_calls().values()) <= 90 + 5


def test_a_nul_in_a_payers_name_harms_only_its_own_row() -> None:
    qr = {"id": "QR0", "amount": "10.10", "payment": [{"at": "+0s", "payer": "ANA\x00QUISPE", "in_list": "never"}]}
    others = [{"id": f"QR{n}", "amount": "10.10", "paid": "+0s"} for n in range(1, 20)]
    with postgres_town({"qr": [qr, *others]}, PAYSYNC_ATTEMPTS="1") as town:
        town.register(*(f"QR{n}" for n in range(20)))
        town.start("worker")
        town.until_final([f"QR{n}" for n in range(1, 20)])
        poisoned = town.qr("QR0")
        # Either the name was made storable or the row stands as a failed attempt: never the others, never a loss.
        booked = town.books().get("BOB", 0)
        assert booked == 20 * 1010 if poisoned.status is Status.COMPLETED else booked == 19 * 1010
        assert poisoned.status.final or poisoned.plan.next_check_at is not None


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
