"""A real worker with a service manager that listens: ready, alive, hung, stopping; alone and with `--processes`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.integration.test_worker_processes import registered, workers_of
from tests.shop import Shop, shop
from tests.unit.test_service_manager import Manager

# SIGUSR2 hangs the main thread, which runs the loop, and no other.
SITE = "import signal, time\nsignal.signal(signal.SIGUSR2, lambda *_: time.sleep(3600))\n"
WATCHDOG_S = 2.0


@pytest.fixture
def town() -> Iterator[Shop]:
    with shop() as found:
        (found.home / "site").mkdir()
        (found.home / "site" / "sitecustomize.py").write_text(SITE)
        yield found


@pytest.fixture
def manager(town: Shop) -> Iterator[Manager]:
    made = Manager(f"@paysync-test-{os.getpid()}-{town.home.name}")
    town.env |= {
        "NOTIFY_SOCKET": made.address,
        "WATCHDOG_USEC": str(round(WATCHDOG_S * 1_000_000)),
        "PYTHONPATH": str(town.home / "site"),
    }
    yield made
    made.close()


def test_ready_alive_and_stopping_are_said(town: Shop, manager: Manager) -> None:
    worker = town.start("worker")
    heard: list[str] = []
    town.until(lambda: heard.extend(manager.heard()) or heard.count("WATCHDOG=1") >= 3)
    assert heard[:2] == ["READY=1", "WATCHDOG=1"]
    assert heard[2] == "STATUS=0 checks in flight, 0 done."
    assert "STOPPING=1" not in heard
    town.register("QR1")
    town.until(lambda: "STATUS=0 checks in flight, 1 done." in manager.heard())
    assert town.stop(worker) == 0
    assert "STOPPING=1" in manager.heard()


def test_a_hung_loop_is_silent(town: Shop, manager: Manager) -> None:
    """Its threads go on meanwhile: they are not what must turn."""
    worker = town.start("worker")
    town.until(lambda: "READY=1" in manager.heard())
    worker.send_signal(signal.SIGUSR2)
    town.until(lambda: not manager.heard(), pause_s=WATCHDOG_S)
    town.stop(worker, signal.SIGABRT)  # what systemd does then


def test_one_of_two_processes_hangs_and_is_started_again(town: Shop, manager: Manager) -> None:
    parent = town.start("worker", "--processes", "2")
    heard: list[str] = []
    town.until(lambda: heard.extend(manager.heard()) or "READY=1" in heard)
    assert registered(town) <= 2
    first, second = workers_of(parent)
    heard.clear()  # one of them was ready before the other
    os.kill(first, signal.SIGUSR2)
    town.until(lambda: heard.extend(manager.heard()) or "STATUS=1 of 2 worker processes work." in heard)
    heard.clear()
    town.until(lambda: heard.extend(manager.heard()) or "STATUS=2 of 2 worker processes work." in heard)
    assert first not in workers_of(parent)
    assert second in workers_of(parent)
    (hung,) = [line for line in town.logs() if line["event"] == "worker_process_hangs"]
    assert hung["pid"] == first
    assert town.stop(parent) == 0
    heard += manager.heard()
    assert heard.count("STOPPING=1") == 1
    assert heard.count("READY=1") == 0  # said once, and by the parent alone
