"""The stores go away under a worker that has checks in flight and more waiting: SQLite locked, moved, its disk full;
Redis restarted, silent, full, or behind a line that lets nothing through. It never quits, goes on by itself, loses
nothing, doubles nothing, and no attempt is used because a store was away."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from rq.command import send_shutdown_command

from tests.embedded import running_servers
from tests.line import Line, plain_server
from tests.shop import Shop, shop
from tests.torment import assert_booked_once, database_locked, kill_redis, redis_of

IDS = [f"QR{n}" for n in range(12)]
LATER = "QR99"
PATIENT = {"delay_ms": 1500, "kind": "slow", "on": "status", "count": 4}  # so that something is in flight


# -- the database


def test_the_database_is_locked_longer_than_anybody_waits_for_it() -> None:
    with at_work() as town:
        with database_locked(town):
            town.until(lambda: told(town, "database_unavailable"), 0.2)
        assert_all_well(town)


def test_the_database_file_is_moved_away_and_back() -> None:
    with at_work() as town:
        files = [town.home / f"paysync.db{suffix}" for suffix in ("", "-wal", "-shm")]
        elsewhere = town.home / "elsewhere"
        elsewhere.mkdir()
        for file in files:
            with suppress(FileNotFoundError):
                file.rename(elsewhere / file.name)
        town.until(lambda: len(told(town, "database_unavailable")) >= 2, 0.2)
        assert not files[0].exists()  # nobody made an empty one in its place
        for file in (*files[1:], files[0]):
            with suppress(FileNotFoundError):
                (elsewhere / file.name).rename(file)
        assert_all_well(town)


def test_the_disk_of_the_database_is_full() -> None:
    """For the worker alone: the kernel lets it write to no file, neither the database nor its log."""
    with at_work() as town:
        worker = town.children[0]
        asked_before = set(town.status_calls())
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        town.until(lambda: town.bank.requests()["outcomes"].get("status", {}).get("200", 0) >= 4)
        town.until(lambda: not town.bank.requests()["in_flight"])
        with town.runtime() as runtime, runtime.store.read() as tx:
            assert not tx.exec_driver_sql("SELECT count(*) FROM paysync_checks").scalar_one()
        assert asked_before
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert_all_well(town)


# -- Redis


def test_redis_is_restarted() -> None:
    with at_work() as town:
        kill_redis(town, signal.SIGTERM)
        town.until(lambda: told(town, "worker_loop_error"))
        town.until(lambda: {one["loop"] for one in told(town, "worker_loop_again")} >= loops_in_trouble(town))
        assert_all_well(town)
        assert len(running_servers(town.home)) == 1


def test_redis_is_silent_longer_than_anybody_waits_for_it() -> None:
    with at_work() as town:
        with redis_of(town) as client:
            client.client_pause(12_000)
        town.until(lambda: told(town, "worker_loop_error"), 0.2)
        assert_all_well(town)


def test_redis_is_full() -> None:
    """Every write that needs memory is refused; the worker's own beat is the first to notice, and goes on later."""
    with at_work() as town, redis_of(town) as client:
        client.config_set("maxmemory", 1)
        town.until(lambda: told(town, "worker_loop_error"), 0.2)
        before = beats(client)
        client.config_set("maxmemory", 0)
        assert_all_well(town)
        town.until(lambda: beats(client) > before, 0.2)


def test_a_line_that_lets_nothing_through_and_never_breaks() -> None:
    """Half-open connections: no error ever comes, only silence. Every loop must find that out by itself."""
    with plain_server() as port, Line(port) as line, at_work(REDIS_URL=f"redis://127.0.0.1:{line.port}/0") as town:
        line.fall_silent()
        town.until(lambda: told(town, "worker_loop_error"), 0.2)
        assert_all_well(town)
        # Also the loop that only listens: RQ's commands arrive again.
        with redis.Redis(port=port) as client:
            (key,) = client.smembers("rq:workers")
            name = key.decode().removeprefix("rq:worker:")
            town.until(lambda: send_shutdown_command(client, name) or town.children[0].poll() is not None, 0.5)
        assert town.children[0].returncode == 0


def beats(client: redis.Redis) -> list[bytes | None]:
    """When each worker beat last."""
    return [client.hget(key, "last_heartbeat") for key in sorted(client.smembers("rq:workers"))]


# -- what they have in common


@contextmanager
def at_work(**env: str) -> Iterator[Shop]:
    """A worker with four checks in flight and eight waiting."""
    paid = [{"id": one, "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]} for one in [*IDS, LATER]]
    with shop({"qr": paid, "fault": [PATIENT]}, env=env) as town:
        town.register(*IDS)
        town.start("worker", "--concurrency", "4")
        town.until(lambda: town.bank.requests()["in_flight"] == 4)
        yield town


def assert_all_well(town: Shop) -> None:
    """Whatever was in flight, waiting, or comes now is booked once, at the first attempt, by the same worker."""
    town.register(LATER)
    town.until_final([*IDS, LATER])
    assert town.children[0].poll() is None
    assert [[check["outcome"] for check in town.story(one).checks] for one in [*IDS, LATER]] == [["paid"]] * 13
    assert town.books() == {"BOB": 13 * 1010}
    with town.runtime() as runtime:
        assert_booked_once(runtime)


def loops_in_trouble(town: Shop) -> set[str]:
    return {line["loop"] for line in told(town, "worker_loop_error")}


def told(town: Shop, event: str) -> list[Any]:
    return [line for line in town.logs() if line["event"] == event]
