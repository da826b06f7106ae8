"""`paysync workers`, `worker-stop`, `health` and `doctor` as operators meet them, over real workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from paysync_cli.queue import stamp
from paysync_cli.queue.client import OURS_SILENT_S
from tests.process import clean_environment, run_on_terminal
from tests.shop import Shop, shop

SLOW = {"fault": [{"kind": "slow", "on": "status", "delay_ms": 8000}]}


@pytest.fixture
def town() -> Iterator[Shop]:
    with shop(SLOW) as town:
        town.register("QR0")
        with town.runtime() as runtime:
            assert runtime.embedded is not None
            runtime.embedded.start()  # it stays on when the workers leave
        yield town


def start(town: Shop, *args: str) -> tuple[subprocess.Popen[bytes], str]:
    """A worker, and its name once it is registered."""
    child = town.start("worker", *args)
    row = town.until(lambda: next((row for row in rows(town) if row["pid"] == child.pid), None))
    return child, row["name"]


def rows(town: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = town.json("workers")["items"]
    return found


def row_of(town: Shop, name: str) -> dict[str, Any]:
    return next(row for row in rows(town) if row["name"] == name)


def silence(town: Shop, name: str, seconds: float, *, gone: bool = False) -> None:
    """What time does to the heartbeat of a worker that was killed."""
    with town.runtime() as runtime, runtime.link.client() as client:
        assert isinstance(client, redis.Redis)
        if gone:
            client.delete(f"rq:worker:{name}")
        else:
            at = datetime.now(UTC) - timedelta(seconds=seconds)
            client.hset(f"rq:worker:{name}", "last_heartbeat", at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
            client.expire(f"rq:worker:{name}", 40)


def findings(town: Shop) -> tuple[int, dict[str, str]]:
    """The doctor's exit status and what is not ok."""
    ended = town.run("doctor", "--json")
    found = json.loads(ended.out)["data"]
    assert set(found["where"]) == {"database", "redis", "settings_files"}
    return ended.status, {one["code"]: one["level"] for one in found["findings"] if one["level"] != "ok"}


# -- workers


def test_a_worker_is_busy_as_soon_as_it_runs_a_check_and_idle_as_soon_as_it_does_not(town: Shop) -> None:
    _child, name = start(town, "--concurrency", "7")
    town.until(lambda: row_of(town, name)["current"] == 0 and row_of(town, name)["leader"])
    town.run("enqueue", "QR1", "--now")
    busy = town.until(lambda: next((row for row in rows(town) if row["current"]), None))
    assert (busy["state"], busy["current"], busy["concurrency"], busy["condition"]) == ("busy", 1, 7, "alive")
    done = town.until(lambda: next((row for row in rows(town) if row["done"] > busy["done"]), None))
    assert (done["state"], done["current"], done["failed"]) == ("idle", 0, 0)


def test_alive_stale_and_stopped_are_told_apart(town: Shop) -> None:
    child, name = start(town)
    assert row_of(town, name)["condition"] == "alive"
    child.send_signal(signal.SIGSTOP)
    silence(town, name, OURS_SILENT_S + 5)
    assert row_of(town, name)["condition"] == "stale"
    assert findings(town)[1].items() >= {"stale_worker": "warning", "no_worker": "fault"}.items()
    refused = town.run("worker-stop", name)
    assert (refused.status, str(child.pid) in refused.err) == (5, True)
    silence(town, name, 0, gone=True)
    assert row_of(town, name)["condition"] == "stopped"
    assert town.run("worker-stop", name).status == 5


def test_on_any_terminal_a_worker_is_seen_and_its_name_can_be_copied(town: Shop) -> None:
    _child, name = start(town)
    for columns in (40, 60, 80, 200):
        shown = run_on_terminal("workers", env=town.env, cwd=town.home, columns=columns).out
        assert name in shown, shown
        assert "alive" in shown, shown


def test_a_killed_worker_is_not_called_alive_for_a_moment(town: Shop) -> None:
    child, name = start(town)
    town.until(lambda: stamp.living(town.home))
    child.kill()
    child.wait()
    row = row_of(town, name)
    assert (row["condition"], row["state"]) == ("stale", "killed")
    assert row["heartbeat_age_seconds"] < OURS_SILENT_S
    assert town.run("health").status == 6
    assert findings(town)[1].items() >= {"worker_killed": "warning", "no_worker": "fault"}.items()
    refused = town.run("worker-stop", name)
    assert (refused.status, "was killed" in refused.err) == (5, True)
    silence(town, name, 0, gone=True)
    row = row_of(town, name)
    assert (row["done"], row["failed"]) == (None, None)  # nobody knows any more


def test_a_worker_whose_check_failed_is_idle_at_once() -> None:
    """The next beat, seconds later, would say so too."""
    with shop({"fault": [{"kind": "server_error", "on": "status"}]}, env={"PAYSYNC_ATTEMPTS": "1"}) as town:
        assert town.run("db", "upgrade").status == 0
        _child, name = start(town)
        town.register("QR0")
        row = town.until(lambda: row_of(town, name) if row_of(town, name)["failed"] else None)
        assert (row["state"], row["current"]) == ("idle", 0)


# -- worker-stop


def test_one_worker_finishes_what_it_runs_and_leaves_the_other_stays(town: Shop) -> None:
    first, name = start(town)
    town.run("enqueue", "QR1", "--now")
    town.until(lambda: row_of(town, name)["current"])
    second, other = start(town)
    assert town.json("worker-stop", name) == {"stopped": [name], "finishing": [], "unreached": []}
    assert first.wait(30) == 0
    assert [check["outcome"] for check in town.story("QR1").checks] != []  # it was asked to its end
    assert second.poll() is None
    assert [row["name"] for row in rows(town) if row["condition"] == "alive"] == [other]


def test_all_asks_first_and_nobody_is_not_found(town: Shop) -> None:
    child, name = start(town)
    refused = town.run("worker-stop", "--all")
    assert (refused.status, child.poll()) == (5, None)
    unknown = town.run("worker-stop", name + "x")
    assert unknown.status == 4
    assert name in unknown.err  # the nearest one
    assert town.run("worker-stop").status == town.run("worker-stop", name, "--all").status == 2
    assert town.run("worker-stop", "--all", "--yes").status == 0
    assert child.wait(30) == 0
    already = town.run("worker-stop", "--all", "--yes")
    assert (already.status, already.out) == (0, "No worker runs.\n")


def test_a_process_of_several_that_was_asked_to_leave_is_not_started_again(town: Shop) -> None:
    parent = town.start("worker", "--processes", "2")
    first, second = town.until(lambda: [row["name"] for row in rows(town)] if len(rows(town)) == 2 else None)
    town.json("worker-stop", first)
    town.json("worker-stop", second)
    assert parent.wait(30) == 0


def test_a_worker_that_hangs_is_not_waited_for_for_ever(town: Shop) -> None:
    child, name = start(town)
    child.send_signal(signal.SIGSTOP)
    ended = town.run("worker-stop", name, "--timeout", "2s")
    assert ended.status == 124
    child.send_signal(signal.SIGCONT)
    assert child.wait(30) == 0  # it had been asked


# -- health


def test_live_asks_only_the_stamp(town: Shop) -> None:
    assert town.run("health", "--live").status == 6
    child, name = start(town)
    town.until(lambda: stamp.living(town.home))
    away = {"REDIS_URL": "redis://127.0.0.1:1/0", "DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    assert town.run("health", "--live", env=away).status == 0
    assert town.run("health", "--live", "--worker", name).status == 0
    assert town.run("health", "--live", "--worker", "other").status == 6
    child.send_signal(signal.SIGSTOP)
    (written,) = (town.home / "workers").iterdir()
    os.utime(written, (1, 1))
    assert town.run("health", "--live").status == 6
    child.send_signal(signal.SIGCONT)
    town.until(lambda: town.run("health", "--live").status == 0)
    child.kill()
    child.wait()
    assert written.exists()  # and is nobody's
    assert town.run("health", "--live").status == 6
    start(town)
    town.until(lambda: stamp.living(town.home))
    assert not written.exists()
    assert town.run("health", "--live").status == 0


def test_live_loads_nothing_heavy(town: Shop) -> None:
    script = (
        "import sys; from paysync_cli.cli.main import main; main(('health', '--live')); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & set("
        "'sqlalchemy alembic httpx aiohttp redis rq cryptography asyncio'.split())))"
    )
    env = clean_environment(town.home, town.env)
    done = subprocess.run([sys.executable, "-c", script], env=env, cwd=town.home, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done


def test_ready_and_deep(town: Shop) -> None:
    assert town.run("health").status == 6  # nobody beats
    _child, name = start(town)
    assert town.run("health", "--ready", "--worker", name).status == 0
    assert town.run("health", "--ready", "--worker", "other").status == 6
    found = town.json("health", "--deep")
    assert (found["mode"], found["healthy"], found["workers"]) == ("deep", True, 1)
    assert set(found["where"]) == {"database", "redis", "settings_files"}
    assert town.run("health", env={"REDIS_URL": "redis://127.0.0.1:1/0"}).status == 6
    assert town.run("health", "--max-idle", "1m").status == town.run("health", "--live", "--deep").status == 2


def test_nagios_has_its_own_exit_statuses(town: Shop) -> None:
    critical = town.run("health", "--nagios")
    assert (critical.status, critical.out.startswith("PAYSYNC CRITICAL - ")) == (2, True)
    start(town)
    fine = town.run("health", "--deep", "--nagios")
    assert fine.status == 0
    assert fine.out.count("\n") == 1
    assert " | workers=1 " in fine.out
    away = town.run("health", "--nagios", env={"REDIS_URL": "redis://127.0.0.1:1/0"})
    assert (away.status, " | workers=U " in away.out, "waiting=U" in away.out) == (2, True, True)
    unknown = town.run("health", "--nagios", env={"PAYSYNC_HOME": str(town.home / "none")})
    assert (unknown.status, unknown.out.startswith("PAYSYNC UNKNOWN - ")) == (3, True)
    assert town.run("health", "--nagios", env={"PAYSYNC_CONCURRENCY": "many"}).status == 3


# -- doctor


def test_a_whole_installation_is_well_and_then_is_not(town: Shop) -> None:
    status, wrong = findings(town)
    assert (status, wrong) == (6, {"no_worker": "fault"})
    child, name = start(town)
    town.until(lambda: row_of(town, name)["leader"])
    assert findings(town) == (0, {})
    assert town.run("pause", "sim").status == 0
    assert findings(town) == (0, {"paused": "warning"})
    assert town.stop(child) == 0
    people = town.run("doctor")
    assert people.status == 6
    assert "-> paysync worker" in people.out


def test_no_secret_is_told_whatever_is_wrong(town: Shop) -> None:
    canary = "k4n4ry-secret"
    env = {"REDIS_URL": f"redis://:{canary}@127.0.0.1:1/0", "DATABASE_URL": f"postgresql://u:{canary}@127.0.0.1:1/d",
           "PAYSYNC_BANK_SIM_PASSWORD": canary}  # fmt: skip
    for args in (("doctor",), ("doctor", "--json"), ("health",), ("health", "--nagios"), ("workers",)):
        ended = town.run(*args, "--debug", env=env)
        assert ended.status != 0
        assert canary not in ended.out + ended.err
