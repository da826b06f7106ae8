"""sd_notify(3): addresses, the watchdog's pid, silence where nobody asked; the children's line, the parent's watch."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paysync_cli.cli import child_watch
from paysync_cli.cli.child_watch import ChildWatch
from paysync_cli.runtime.service_manager import NOBODY, Listening, ServiceManager
from tests.embedded import until


class Manager:
    """What systemd would hear."""

    def __init__(self, address: str) -> None:
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind("\0" + address[1:] if address.startswith("@") else address)
        self._line.setblocking(False)
        self.address = address

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found += self._line.recv(65536).decode().splitlines()
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._line.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(f"@paysync-test-{os.getpid()}-{tmp_path.name}")
    yield made
    made.close()


class Work:
    ended, in_flight = 7, 2

    def __init__(self) -> None:
        self.stopping = asyncio.Event()

    async def begins_to_stop(self, within_s: float) -> bool:
        try:
            await asyncio.wait_for(self.stopping.wait(), within_s)
        except TimeoutError:
            return False
        return True


@pytest.mark.parametrize("abstract", [True, False])
def test_a_message_arrives_whole_and_on_lines_of_its_own(tmp_path: Path, abstract: bool) -> None:
    manager = Manager(f"@paysync-{os.getpid()}-{tmp_path.name}" if abstract else str(tmp_path / "notify"))
    try:
        assert ServiceManager(manager.address).tell("READY=1", "STATUS=two\nlines")
        assert manager.heard() == ["READY=1", "STATUS=two lines"]
    finally:
        manager.close()


def test_the_environment_is_read_and_emptied() -> None:
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "PATH": "/bin"}
    assert ServiceManager.taken_from(environ) == ServiceManager("@x", 3.0)
    assert environ == {"PATH": "/bin"}
    assert ServiceManager.taken_from({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "60000000"}).beat_every_s == 5
    assert ServiceManager("@x", 3.0).beat_every_s == 1.5


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, NOBODY),
        ({"WATCHDOG_USEC": "3000000"}, NOBODY),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, NOBODY),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, ServiceManager("@x")),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"}, ServiceManager("@x")),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "0"}, ServiceManager("@x")),
    ],
)
def test_what_is_not_ours_is_not_obeyed(variables: dict[str, str], expected: ServiceManager) -> None:
    assert ServiceManager.taken_from(variables) == expected


def test_a_manager_that_is_gone_ends_nothing() -> None:
    assert not NOBODY.tell("READY=1")
    assert not ServiceManager("/nowhere/at/all").tell("READY=1")
    assert not ServiceManager("/" + "x" * 200).tell("READY=1")  # longer than an address can be


def test_a_life_from_its_beginning_to_its_end(manager: Manager) -> None:
    async def live() -> None:
        work = Work()
        telling = asyncio.create_task(ServiceManager(manager.address, 0.04).tell_of(work))
        await hear(3)
        work.stopping.set()
        await hear(6)
        telling.cancel()

    async def hear(beats: int) -> None:
        async with asyncio.timeout(60):
            while heard.count("WATCHDOG=1") < beats or (beats == 6 and heard[-1] != "WATCHDOG=1"):
                heard.extend(manager.heard())
                await asyncio.sleep(0.01)

    heard: list[str] = []
    asyncio.run(live())
    stop = heard.index("STOPPING=1")
    assert heard[:3] == ["READY=1", "WATCHDOG=1", "STATUS=2 checks in flight, 7 done."]
    assert heard[stop:].count("WATCHDOG=1") >= 2  # inside the grace too
    assert heard.count("READY=1") == heard.count("STOPPING=1") == 1


def test_a_manager_that_reads_late_misses_no_news(manager: Manager) -> None:
    """Its queue is full: nobody waits for it, and what it must know is said again."""

    async def live() -> list[str]:
        told = ServiceManager(manager.address, 0.02)
        while told.tell("WATCHDOG=1"):
            pass
        telling = asyncio.create_task(told.tell_of(Work()))
        await asyncio.sleep(0.1)
        heard = manager.heard()
        assert "READY=1" not in heard
        async with asyncio.timeout(60):
            while "READY=1" not in heard:
                heard.extend(manager.heard())
                await asyncio.sleep(0.01)
        telling.cancel()
        return heard

    asyncio.run(live())


def test_a_loop_that_hangs_is_silent(manager: Manager) -> None:
    async def hang() -> None:
        telling = asyncio.create_task(ServiceManager(manager.address, 0.02).tell_of(Work()))
        await asyncio.sleep(0.1)
        assert "WATCHDOG=1" in manager.heard()
        time.sleep(0.3)  # this is what hanging is
        assert manager.heard() == []
        telling.cancel()

    asyncio.run(hang())


def test_the_kernel_says_who_speaks() -> None:
    line = Listening()
    try:
        told = ServiceManager.taken_from(line.environment(2.0))
        assert told.watchdog_s == 2
        told.tell("WATCHDOG=1")
        assert list(line.heard()) == [(os.getpid(), ["WATCHDOG=1"])]
        assert list(line.heard()) == []
    finally:
        line.close()


CHILD = """
import os, signal, sys, time
from paysync_cli.runtime.service_manager import ServiceManager
manager = ServiceManager.taken_from(os.environ)
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGABRT, signal.SIG_IGN)
manager.tell("READY=1")
while sys.argv[1] == "lives":
    manager.tell("WATCHDOG=1")
    time.sleep(0.02)
time.sleep(60)
"""


@pytest.fixture
def start() -> Iterator[Callable[[ChildWatch, str], subprocess.Popen[bytes]]]:
    made: list[subprocess.Popen[bytes]] = []

    def begin(watch: ChildWatch, how: str) -> subprocess.Popen[bytes]:
        made.append(subprocess.Popen([sys.executable, "-c", CHILD, how], env=os.environ | watch.environment))
        return made[-1]

    yield begin
    for child in made:
        child.kill()
        child.wait()


def test_a_parent_speaks_for_its_children_and_ends_the_one_that_hangs(
    manager: Manager,
    start: Callable[[ChildWatch, str], subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_watch, "KILL_AFTER_S", 0.1)
    watch = ChildWatch(ServiceManager(manager.address, 1.0), 3)
    children = {child.pid: child for child in (start(watch, how) for how in ("lives", "hangs", "stubborn"))}
    lives, hangs, stubborn = children.values()
    heard: list[str] = []

    def look(*, stopping: bool = False) -> None:
        watch.look({pid: 0.0 for pid, child in children.items() if child.poll() is None}, stopping=stopping)
        heard.extend(manager.heard())

    try:
        until(lambda: look() or "READY=1" in heard)
        until(lambda: look() or (hangs.poll() is not None and stubborn.poll() is not None))
        assert (hangs.returncode, stubborn.returncode) == (-signal.SIGABRT, -signal.SIGKILL)
        assert lives.poll() is None
        until(lambda: look() or heard[-1] == "STATUS=1 of 3 worker processes work.")
        look(stopping=True)
        assert heard.count("READY=1") == heard.count("STOPPING=1") == 1
        assert heard.count("WATCHDOG=1") >= 3
    finally:
        watch.close()
