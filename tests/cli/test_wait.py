"""`paysync wait` as scripts meet it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests.books import add_qr
from tests.embedded import running_servers
from tests.home import Home, new_home, one_document
from tests.process import start_paysync


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        with home.books() as store:
            add_qr(store, "OPEN")
            add_qr(store, "HELD", state="held")
            for status in ("completed", "cancelled", "expired"):
                add_qr(store, status.upper(), status=status)
        yield home


def test_final_states(home: Home) -> None:
    data = home.data("wait", "COMPLETED")
    assert (data["qr_id"], data["status"], data["final"]) == ("COMPLETED", "completed", True)
    for status in ("cancelled", "expired"):
        found = home.json("wait", status.upper(), status=6)
        assert (found["status"], found["data"]["status"], found["errors"][0]["code"]) == (
            "partial",
            status,
            "not_completed",
        )
    assert home.run("wait", "COMPLETED").out == "COMPLETED: completed\n"


def test_the_time_out_tells_how_it_is(home: Home) -> None:
    found = home.json("wait", "OPEN", "--timeout", "3s", status=124)
    assert (found["data"]["status"], found["data"]["final"], found["errors"][0]["code"]) == (
        "active",
        False,
        "timed_out",
    )
    held = home.run("wait", "HELD", "--timeout", "3s")
    assert (held.status, "HELD is held" in held.err) == (124, True)


def test_it_ends_when_the_qr_becomes_final(home: Home) -> None:
    child = start_paysync("wait", "OPEN", "--timeout", "50s", "--json", env=home.env, cwd=home.folder)
    time.sleep(1.5)
    assert child.poll() is None
    with home.books() as store, store.write() as tx:
        tx.exec_driver_sql(
            "UPDATE paysync_qrs SET status = 'completed', plan_state = 'done', next_check_at = NULL"
            " WHERE qr_id = 'OPEN'"
        )
    out, err = child.communicate(timeout=60)
    assert (child.returncode, one_document(out)["data"]["status"]) == (0, "completed"), err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it(home: Home, number: int, status: int) -> None:
    child = start_paysync("wait", "HELD", env=home.env, cwd=home.folder)
    assert child.stderr is not None
    child.stderr.readline()  # the warning: it waits from here on
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode == status


def test_errors(home: Home) -> None:
    assert home.json("wait", "NOBODY", status=4)["errors"][0]["code"] == "no_qr"
    assert home.run("wait", "COMPLETED", REDIS_URL="redis://127.0.0.1:1/0").status == 0
    assert running_servers(home.folder) == []
    with new_home() as empty:
        assert empty.json("wait", "QR1", status=4)["errors"][0]["code"] == "no_database"
