"""The bank's user must never be locked: several real workers on one installation, and a bank that refuses us."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import PlanState, Status
from paysync_cli.queue.names import QUEUE_NAMES
from paysync_cli.store import alerts, qrs
from paysync_cli.store import banks as bank_rows
from tests.process import clean_environment
from tests.shop import Shop, shop

WORKERS = 5
IDS = [f"QR{n}" for n in range(100)]
REJECTED = {"fault": [{"kind": "unauthorized", "on": "status"}, {"kind": "unauthorized", "on": "paid"}]}
REFUSED = {"fault": [{"kind": "login_refused"}]}
WELL_AGAIN: dict[str, Any] = {"fault": []}
UNLOCK = ("bank", "unlock", "sim", "--reason", "new password, user unlocked at the branch")


def rows(town: Shop, ids: Sequence[str] = IDS) -> dict[str, Qr]:
    with town.runtime() as runtime, runtime.store.read() as tx:
        return qrs.known(tx, "sim", "certification", ids)


def stops(town: Shop) -> list[tuple[str, int]]:
    with town.runtime() as runtime, runtime.store.read() as tx:
        told = [(one.kind.value, one.count) for one in alerts.list_alerts(tx)]
    # On a crowded machine a worker may be slow enough for the janitor: that is no stop.
    return [one for one in told if one[0] != alerts.AlertKind.CHECKS_ABANDONED]


def calls(town: Shop, name: str) -> int:
    return int(town.bank.requests()["calls"].get(name, 0))


def told(town: Shop, event: str) -> list[dict[str, Any]]:
    return [line for line in town.logs() if line["event"] == event]


def all_workers_know(town: Shop) -> bool:
    logs = [log.read_text() for log in town.home.glob("worker-*.log")]
    return sum("credential_refused" in log or "credential_stopped" in log for log in logs) == WORKERS


def start_workers(town: Shop) -> list[subprocess.Popen[bytes]]:
    workers = [town.start("worker") for _n in range(WORKERS)]
    town.until(lambda: len(told(town, "worker_registered")) == WORKERS or len(_workers(town)) == WORKERS)
    return workers


def _workers(town: Shop) -> list[Any]:
    with town.runtime() as runtime:
        return list(runtime.queue.workers())


@pytest.mark.parametrize(("trouble", "most_logins"), [(REJECTED, 2), (REFUSED, 1)], ids=["401", "refused"])
def test_five_workers_a_hundred_qrs_and_a_bank_that_refuses_us(trouble: dict[str, Any], most_logins: int) -> None:
    with shop() as town:
        town.register(*IDS)
        town.bank.load(trouble)
        before = rows(town)
        workers = start_workers(town)
        town.until(lambda: all_workers_know(town))
        town.until(lambda: all(qr.plan.state is PlanState.PLANNED for qr in rows(town).values()))

        assert rows(town) == before  # status, attempts, checks, next check, seq: nothing happened to any QR
        assert calls(town, "login") <= most_logins
        assert stops(town) == [("credential_stopped", 1)]
        (bank,) = town.json("stats")["banks"]
        assert bank["state"] == "credential_stopped"
        assert bank["stop_reason"]
        warnings = {one["code"]: one["message"] for one in town.json("stats")["warnings"]}
        assert "paysync bank unlock sim" in warnings["credential_stopped"]

        # Foreground commands and stock workers are held by the same stop.
        check = town.run("check", "QR0")
        assert (check.status, "credential stopped" in check.err) == (69, True)
        assert town.run("sweep").status == 69
        assert town.run("dispatch", "--once").status == 0
        assert town.run("worker", "--burst").status == 69  # it says what it left
        assert rows(town) == before
        assert calls(town, "login") <= most_logins
        asked = town.bank.requests()["total"]

        town.bank.load(WELL_AGAIN)
        document = json.loads(town.run(*UNLOCK, "--json").out)["data"]
        assert (document["was_stopped"], document["stop_reason"]) == (True, bank["stop_reason"])
        town.until(lambda: all(qr.plan.checks == 1 for qr in rows(town).values()))
        assert all((qr.status, qr.plan.attempts) == (Status.PENDING, 0) for qr in rows(town).values())
        assert calls(town, "login") <= most_logins + 1
        assert asked < town.bank.requests()["total"]
        assert [worker.poll() for worker in workers] == [None] * WORKERS  # nobody had to restart them
        assert stops(town) == [("credential_stopped", 1)]
        assert [bank["state"] for bank in town.json("stats")["banks"]] == ["open"]


def test_a_credential_that_is_still_wrong_after_an_unlock_costs_one_login_more() -> None:
    with shop(REFUSED) as town:
        town.register("QR0")
        town.start("worker")
        town.until(lambda: stops(town))
        assert town.run(*UNLOCK).status == 0
        town.until(lambda: len(stops(town)) == 2)
        assert calls(town, "login") == 2


def test_a_token_that_dies_costs_one_login_for_five_workers() -> None:
    first, second = IDS[:50], IDS[50:]
    with shop() as town:
        start_workers(town)
        town.register(*first)
        town.until(lambda: all(qr.plan.checks == 1 for qr in rows(town, first).values()))
        assert calls(town, "login") == 1
        town.bank.expire_tokens()
        town.register(*second)
        town.until(lambda: all(qr.plan.checks == 1 for qr in rows(town, second).values()))
        assert {qr.plan.attempts for qr in rows(town).values()} == {0}
        assert calls(town, "login") == 2
        assert stops(town) == []


# A worker whose lease ends soon: what the product waits for in 45 s happens here in one.
IMPATIENT = """
import sys
import paysync_cli.queue.vault
paysync_cli.queue.vault.LOGIN_LEASE_S = 1.0
from paysync_cli.cli.main import run
sys.argv[0] = "paysync"
run()
"""


def start_impatient(town: Shop, *args: str) -> subprocess.Popen[bytes]:
    log = town.home / f"worker-{len(town.children)}.log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-c", IMPATIENT, "worker", *args],
            env=clean_environment(town.home, town.env),
            cwd=town.home,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    town.children.append(child)
    return child


def test_killing_the_worker_that_logs_in_lets_another_one_log_in_after_the_wait() -> None:
    hanging = {"fault": [{"kind": "hang", "on": "login", "count": 1}]}
    with shop(hanging, speed=60) as town:  # a minute between logins lasts a second
        town.register("QR0")
        killed = start_impatient(town)
        town.until(lambda: town.bank.requests()["in_flight"])
        town.stop(killed, signal.SIGKILL)
        assert calls(town, "login") == 1
        others = [start_impatient(town) for _n in range(3)]
        ids = ["QR1", "QR2", "QR3"]
        town.register(*ids)
        town.until(lambda: all(qr.plan.checks for qr in rows(town, ids).values()))
        assert calls(town, "login") == 2
        assert stops(town) == []
        assert [worker.poll() for worker in others] == [None] * 3


def test_an_outage_of_the_login_is_one_login_a_minute_for_all() -> None:
    outage = {"fault": [{"kind": "server_error", "on": "login", "status": 503}]}
    with shop(outage) as town:
        start_workers(town)
        town.register(*IDS)
        town.until(lambda: ("bank_unavailable", 1) in stops(town))
        town.until(lambda: all(qr.plan.state is PlanState.PLANNED for qr in rows(town).values()))
        assert town.run("check", "QR0").status == 69
        assert calls(town, "login") == 1
        assert stops(town) == [("bank_unavailable", 1)]
        with town.runtime() as runtime, runtime.store.read() as tx:
            assert [state.stopped_at for state in bank_rows.states(tx)] in ([], [None])
        assert sum(qr.plan.attempts for qr in rows(town).values()) <= 1
        assert sum(qr.plan.checks for qr in rows(town).values()) == 0


def test_foreground_commands_and_a_stock_worker_share_the_token() -> None:
    with shop() as town, town.runtime() as runtime:
        ids = IDS[:3]
        town.register(*ids)
        url = runtime.embedded.attach().url(reveal=True)  # type: ignore[union-attr]
        assert town.json("dispatch", "--once")["moved"] == 3
        argv = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", url, "-S", "json", *QUEUE_NAMES]
        environment = clean_environment(town.home, town.env) | {"PYTHONWARNINGS": ""}
        subprocess.run(argv, env=environment, cwd=town.home, check=True, capture_output=True, timeout=120)
        assert {qr.plan.checks for qr in rows(town, ids).values()} == {1}
        assert town.run("check", *ids).status == 0
        assert town.run("sweep").status == 0
        assert calls(town, "login") == 1


def test_a_stock_worker_logs_in_to_no_stopped_bank() -> None:
    with shop(REFUSED) as town, town.runtime() as runtime:
        ids = IDS[:3]
        town.register(*ids)
        before = rows(town, ids)
        url = runtime.embedded.attach().url(reveal=True)  # type: ignore[union-attr]
        assert town.json("dispatch", "--once")["moved"] == 3
        argv = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", url, "-S", "json", *QUEUE_NAMES]
        environment = clean_environment(town.home, town.env) | {"PYTHONWARNINGS": ""}
        subprocess.run(argv, env=environment, cwd=town.home, check=True, capture_output=True, timeout=120)
        assert rows(town, ids) == before
        assert calls(town, "login") == 1
        assert town.json("dispatch", "--once")["moved"] == 0


def test_a_foreground_check_that_is_refused_stops_the_workers() -> None:
    with shop(REFUSED) as town:
        town.register("QR0")
        before = rows(town, ["QR0"])
        for _n in range(2):
            ended = town.run("check", "QR0")
            assert ended.status == 69
        assert town.run("worker", "--burst").status == 69  # it says what it left
        assert rows(town, ["QR0"]) == before
        assert calls(town, "login") == 1
        assert stops(town) == [("credential_stopped", 1)]
