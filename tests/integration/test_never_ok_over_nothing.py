"""Work that silently stops, or a tool that says OK while nothing moves: each was seen once."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from paysync_cli import PaySync
from paysync_cli.errors import InputError
from paysync_cli.payments.qr import Movement
from paysync_cli.payments.status import Status
from paysync_cli.queue.names import QUEUE_NAMES
from paysync_cli.services.janitor import PATIENCE_S
from paysync_cli.settings import load_settings
from paysync_cli.store import ledger, qrs
from paysync_cli.store.database import Database
from tests.books import add_qr
from tests.core import NOW
from tests.process import clean_environment, run_paysync
from tests.shop import Shop, shop

PAID = {"qr": [{"id": "QR0", "amount": "10.10", "paid": "+0s"}]}


def rq_worker(town: Shop, serializer: str) -> None:
    with town.runtime() as runtime:
        url = runtime.embedded.attach().url(reveal=True)  # type: ignore[union-attr]
        argv = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", url, "-S", serializer, *QUEUE_NAMES]
        environment = clean_environment(town.home, town.env) | {"PYTHONWARNINGS": ""}
        subprocess.run(argv, env=environment, cwd=town.home, check=True, capture_output=True, timeout=120)


def test_the_dispatcher_sweeps_too() -> None:
    with shop(PAID, env={"PAYMENT_SYNC_INTERVAL": "1s"}) as town:
        town.register("QR0")
        town.json("pause", "sim")  # so that only the dispatcher's sweep can find the payment, once resumed
        dispatcher = town.start("dispatch")
        town.until(lambda: any(line["event"] == "leader" for line in town.logs()))
        with town.runtime() as runtime, runtime.store.write() as tx:
            (qr,) = qrs.by_qr_id(tx, "QR0")
            tx.exec_driver_sql("UPDATE paysync_qrs SET next_check_at = '2099-01-01T00:00:00.000000+00:00'")
        town.json("resume", "sim")
        town.until_final(["QR0"])
        assert town.books() == {"BOB": 1010}
        assert town.stop(dispatcher) == 0
        assert qr.status is not Status.COMPLETED


def test_dispatch_once_brings_lost_checks_back() -> None:
    with shop(PAID, speed=60) as town:
        town.register("QR0")
        with town.runtime() as runtime:
            runtime.embedded.start()  # type: ignore[union-attr]
        assert town.json("dispatch", "--once")["moved"] == 1
        rq_worker(town, "pickle")
        town.until(lambda: town.json("dispatch", "--once")["moved"] == 1, pause_s=PATIENCE_S / 10)
        rq_worker(town, "json")
        assert town.qr("QR0").status is Status.COMPLETED


@pytest.mark.parametrize("command", [("stats",), ("list",), ("show", "QR0"), ("db", "current"), ("accounts",)])
@pytest.mark.parametrize("foreign", [False, True], ids=["empty file", "somebody else's"])
def test_a_file_without_our_tables_is_as_good_as_missing(
    command: tuple[str, ...], foreign: bool, tmp_path: Path
) -> None:
    database = tmp_path / "z.db"
    database.touch()
    if foreign:
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE orders (id INTEGER)")
        connection.close()
    before = database.stat().st_size
    ended = run_paysync(*command, env={"DATABASE_URL": f"sqlite:///{database}"}, cwd=tmp_path)
    if command != ("db", "current"):
        assert ended.status == 4, ended
    assert database.stat().st_size == before


def test_a_path_with_two_slashes(tmp_path: Path) -> None:
    env = {"PAYSYNC_HOME": f"/{tmp_path}"}
    assert run_paysync("db", "upgrade", env=env, cwd=tmp_path).status == 0
    assert run_paysync("list", env=env, cwd=tmp_path).status == 0


def test_a_burst_that_left_due_qrs_says_so() -> None:
    with shop({"fault": [{"kind": "login_refused"}]}) as town:
        town.register("QR0", "QR1")
        ended = town.run("worker", "--burst", "--json")
        assert ended.status == 69
        document = json.loads(ended.out)
        assert document["status"] == "partial"
        assert document["data"]["left"] == [{"bank": "sim", "reason": "credential_stopped", "due": 2}]
        assert "its credential is stopped" in document["errors"][0]["message"]
        again = town.run("worker", "--burst")
        assert (again.status, "2 QRs of bank sim are due" in again.err) == (69, True)


def test_a_burst_waits_out_a_short_hold() -> None:
    scenario = {
        "qr": [{"id": f"QR{n}", "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]} for n in range(4)],
        "fault": [{"kind": "throttled", "on": "status", "count": 1, "retry_after": 2}],
    }
    with shop(scenario) as town:
        town.register(*(f"QR{n}" for n in range(4)))
        ended = town.run("worker", "--burst", "--concurrency", "1", "--json")
        assert (ended.status, json.loads(ended.out)["data"]["left"]) == (0, [])
        # The one that got the 429 may be due a moment after the others; they were waited for.
        assert town.books()["BOB"] >= 3030


def test_the_same_account_number_in_two_environments_is_two_accounts(tmp_path: Path) -> None:
    store = Database(f"sqlite:///{tmp_path}/books.db", create=True).ready(upgrade=True)
    made = [add_qr(store, f"QR{n}", environment=where) for n, where in enumerate(("certification", "production"))]
    with store.write() as tx:
        ledger.book(tx, [ledger.Booking(qr, Movement(f"t{qr.id}", 100, "BOB", NOW), "check") for qr in made], NOW)
        assert ledger.balances(tx) == ledger.sums(tx)
        assert [(one.environment, one.amount) for one in ledger.balances(tx)] == [
            ("certification", 100), ("production", 100)
        ]  # fmt: skip
    store.close()


def test_a_child_worker_that_cannot_start_is_no_worker(tmp_path: Path) -> None:
    with shop() as town:
        program = town.home / "application.py"
        program.write_text(
            "from paysync_cli import PaySync\nfrom paysync_cli.errors import UnavailableError\n"
            "with PaySync() as sync:\n"
            "    try:\n        with sync.worker():\n            print('running')\n"
            "    except UnavailableError as error:\n        print(error.message)\n"
        )
        env = clean_environment(town.home, town.env) | {"REDIS_URL": f"unix://{tmp_path}/nobody.sock"}
        told = subprocess.run(
            [sys.executable, program], env=env, cwd=town.home, capture_output=True, text=True, timeout=60, check=True
        )
        assert told.stdout == "The worker ended at once, with exit status 69.\n"


def test_ids_are_text() -> None:
    with shop() as town, PaySync(load_settings(environ=town.env, cwd=town.home)) as sync, pytest.raises(InputError):
        sync.enqueue(5)  # type: ignore[arg-type]
