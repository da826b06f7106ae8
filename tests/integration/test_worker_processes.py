"""`paysync worker --processes N`: real processes, started again when they die, stopped together, never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded import until
from tests.shop import Shop, shop

PAID = {"qr": [{"id": f"QR{n}", "amount": "10.10", "payment": [{"at": "+0s"}]} for n in range(40)]}


@pytest.fixture
def town() -> Iterator[Shop]:
    with shop(PAID) as found:
        yield found


def workers_of(parent: subprocess.Popen[bytes]) -> list[int]:
    """The pids of the processes that this one started."""
    found = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in found.splitlines()]
    return [pid for pid, of in pairs if of == parent.pid]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def registered(town: Shop) -> int:
    return sum(line["event"] == "worker_registered" for line in town.logs())


def test_a_burst_over_two_processes_is_one_report(town: Shop) -> None:
    town.register(*(f"QR{n}" for n in range(40)))
    data = town.json("worker", "--processes", "2", "--burst")
    assert len(data["workers"]) == 2
    assert data["checks"] == 40 == sum(one["checks"] for one in data["workers"])
    assert data["cut_short"] is False
    assert town.books() == town.bank_says() == {"BOB": 40 * 1010}


def test_what_a_burst_left_behind_is_said_once(town: Shop) -> None:
    town.register("QR0")
    town.json("pause", "sim", "--reason", "test")
    ended = town.run("worker", "--processes", "2", "--burst", "--json")
    assert ended.status == 75
    document = json.loads(ended.out)
    assert (document["status"], [one["code"] for one in document["errors"]]) == ("partial", ["paused"])


def test_a_process_that_dies_is_started_again(town: Shop) -> None:
    parent = town.start("worker", "--processes", "2")
    town.until(lambda: registered(town) == 2)
    os.kill(workers_of(parent)[0], signal.SIGKILL)
    town.until(lambda: registered(town) == 3)
    assert len(workers_of(parent)) == 2
    town.register("QR1")
    town.until_final(["QR1"])
    assert town.stop(parent) == 0


def test_nobody_is_left_behind_when_the_parent_is_killed(town: Shop) -> None:
    parent = town.start("worker", "--processes", "2")
    town.until(lambda: registered(town) == 2)
    children = workers_of(parent)
    assert len(children) == 2
    parent.kill()
    parent.wait()
    until(lambda: not any(alive(pid) for pid in children))


def test_ctrl_c_ends_all_inside_their_grace(town: Shop) -> None:
    parent = town.start("worker", "--processes", "2")
    town.until(lambda: registered(town) == 2)
    children = workers_of(parent)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(20) == 0
    assert not any(alive(pid) for pid in children)


def test_hup_opens_the_log_file_of_every_process_again(town: Shop) -> None:
    log = town.home / "paysync.log"
    worker = town.start("worker", "--processes", "2", env={"PAYSYNC_LOG_FILE": str(log)})

    def pids() -> set[int]:
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return {line["worker"] for line in lines if line["event"] == "worker_registered"}

    town.until(lambda: len(pids()) == 2)
    log.rename(town.home / "paysync.log.1")
    worker.send_signal(signal.SIGHUP)
    town.until(log.exists)

    def opened() -> int:
        """How many of the processes have the new file open."""
        folders = [Path(f"/proc/{pid}/fd") for pid in (worker.pid, *workers_of(worker))]
        return [one.resolve() for folder in folders for one in folder.iterdir()].count(log)

    town.until(lambda: opened() == 3)
    assert town.stop(worker) == 0
