"""What the doctor must recognise, on the night in question: the fault is there, and `paysync doctor` finds it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import pytest
from sqlalchemy import update

from paysync_cli.queue.inspection import inspect
from paysync_cli.queue.link import Link
from paysync_cli.queue.names import QUEUE_NAMES
from paysync_cli.services.doctor import Finding, Level, redis
from paysync_cli.store.tables import qrs
from tests.integration.test_doctor_faults import bad, listening
from tests.process import PAYSYNC, TIMEOUT_S, clean_environment
from tests.shop import Shop, shop

INFO = {"role": "master", "used_memory": "1000", "maxmemory": "0", "maxmemory_policy": "noeviction",
        "evicted_keys": "0", "aof_enabled": "1"}  # fmt: skip


# -- a Redis as it would have to be bought


def redis_that_says(version: str, *, ahead_s: float = 0.0, knows_hello: bool = True) -> Callable[..., None]:
    """One connection of a server of this version whose clock is ahead."""

    def text(word: str) -> bytes:
        return f"${len(word)}\r\n{word}\r\n".encode()

    def texts(*words: str) -> bytes:
        return f"*{len(words)}\r\n".encode() + b"".join(map(text, words))

    def hello(protocol: str) -> bytes:
        told = b"".join(map(text, ("server", "redis", "version", version, "role", "master", "proto")))
        return (b"%4\r\n" if protocol == "3" else b"*8\r\n") + told + f":{protocol}\r\n".encode()

    def answer(words: list[str]) -> bytes:
        match words[0].upper():
            case "PING":
                return b"+PONG\r\n"
            case "HELLO" if knows_hello:
                return hello(words[1] if words[1:] else "3")
            case "INFO":
                return text("".join(f"{key}:{value}\r\n" for key, value in {"redis_version": version, **INFO}.items()))
            case "TIME":
                return texts(str(int(time.time() + ahead_s)), "0")
            case "SET":
                return b"+OK\r\n"
            case "DEL":
                return b":1\r\n"
        return f"-ERR unknown command `{words[0]}`, with args beginning with: \r\n".encode()

    def chat(line: socket.socket) -> None:
        requests: IO[bytes] = line.makefile("rb")
        while head := requests.readline():
            words = []
            for _n in range(int(head[1:])):
                size = int(requests.readline()[1:])
                words.append(requests.read(size + 2)[:-2].decode())
            line.sendall(answer(words))

    return chat


def look(chat: Callable[..., None]) -> list[Finding]:
    with listening(chat) as port:
        return redis.judge(inspect(Link(f"redis://127.0.0.1:{port}/0", "here")))


@pytest.mark.parametrize(
    ("version", "hello", "found"),
    [("5.0.14", False, {"old_version": "fault"}), ("6.0.20", True, {"old_version": "fault"}), ("6.2.0", True, {})],
)
def test_an_old_redis_that_does_not_know_what_a_new_one_is_asked(
    version: str, hello: bool, found: dict[str, str]
) -> None:
    findings = look(redis_that_says(version, knows_hello=hello))
    assert bad(findings) == found, findings
    assert any(version in one.text for one in findings)


@pytest.mark.parametrize(
    ("ahead_s", "level", "words"),
    [(90, "fault", "90 s ahead"), (-90, "fault", "90 s behind"), (-6, "warning", "6 s behind"), (0, "ok", "agrees")],
)
def test_a_redis_whose_clock_is_off(ahead_s: float, level: str, words: str) -> None:
    (found,) = (one for one in look(redis_that_says("7.4.1", ahead_s=ahead_s)) if "clock" in one.code)
    assert found.level is Level(level)
    assert words.rsplit(maxsplit=1)[-1] in found.text
    if ahead_s:
        assert abs(int("".join(filter(str.isdigit, found.text))) - abs(ahead_s)) <= 1


# -- a disk as small as it is on the night in question


def test_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    within = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    mounted = 'mount -t tmpfs -o size="$1"m none "$2"; shift 2; "$@" db upgrade >/dev/null; "$@" doctor --json || true'

    def disk(mebibytes: int) -> dict[str, str]:
        done = subprocess.run(
            [*within, mounted, "sh", str(mebibytes), str(small), *PAYSYNC],
            env=clean_environment(tmp_path, {"PAYSYNC_HOME": str(small)}), cwd=tmp_path, capture_output=True, text=True,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        findings = json.loads(done.stdout)["data"]["findings"]
        return {one["code"]: one["level"] for one in findings if one["area"] == "database" and "disk" in one["code"]}

    if shutil.which("unshare") is None or subprocess.run(
        [*within, 'mount -t tmpfs none "$1"', "sh", str(small)], capture_output=True, check=False
    ).returncode:  # fmt: skip
        pytest.skip("no file system can be mounted here")
    assert disk(60) == {"disk_nearly_full": "fault"}
    assert disk(600) == {"disk_nearly_full": "warning"}


# -- an installation that does not move


def examine(town: Shop) -> dict[str, tuple[str, str]]:
    """What is wrong: level and mending command by code."""
    found = json.loads(town.run("doctor", "--json").out)["data"]["findings"]
    return {one["code"]: (one["level"], one["mend"]) for one in found if one["level"] != "ok"}


def overdue(town: Shop, minutes: float) -> None:
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    with town.runtime() as runtime, runtime.store.write() as tx:
        tx.execute(update(qrs).values(next_check_at=at))


def start_stock_worker(town: Shop) -> None:
    """RQ's own: it runs jobs, and leads nothing."""
    with town.runtime() as runtime:
        assert runtime.embedded is not None
        runtime.embedded.start()
        url = runtime.embedded.attach().url(reveal=True)
    argv = [sys.executable, "-m", "rq.cli", "worker", "--url", url, "-S", "json", *QUEUE_NAMES]
    environment = clean_environment(town.home, town.env) | {"PYTHONWARNINGS": ""}
    quiet = subprocess.DEVNULL
    town.children.append(subprocess.Popen(argv, env=environment, cwd=town.home, stdout=quiet, stderr=quiet))


def test_nobody_leads_the_queue_grows_and_the_credential_is_locked() -> None:
    with shop({"fault": [{"kind": "login_refused"}]}) as town:
        town.register("QR1", "QR2")
        start_stock_worker(town)
        town.until(lambda: town.json("workers")["items"])
        overdue(town, 3)
        wrong = examine(town)
        assert wrong["no_leader"][0] == "fault"
        assert wrong["queue_growing"] == ("warning", "More checks in flight: paysync worker --concurrency 50")
        overdue(town, 11)
        assert examine(town)["queue_growing"][0] == "fault"
        assert town.run("check", "QR1").status == 69
        wrong = examine(town)
        assert wrong["credential_stopped"] == ("fault", "paysync bank unlock sim --reason '...'")
        assert "queue_growing" not in wrong, "what nobody may ask does not wait for a worker"
        town.start("worker")
        town.until(lambda: "no_leader" not in examine(town), pause_s=0.3)
