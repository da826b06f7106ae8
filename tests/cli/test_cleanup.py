"""`paysync cleanup` as cron and people meet it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from paysync_cli.services.cleanup import LEASE
from paysync_cli.store import leases
from tests.books import add_check, add_qr, dump, everything, spend, spent_ids
from tests.embedded import running_servers, until
from tests.home import Home, new_home
from tests.process import start_paysync

LOW = "payment-sync-low"
DONE = {"matched": 0, "removed": 0}


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        yield home


def fill(home: Home) -> None:
    now = datetime.now(UTC)
    with home.books() as store:
        paid = add_qr(store, "paid", status="completed")
        for n in range(3):
            add_check(store, paid, seq=n, at=now - timedelta(days=31 - n * 10))
        add_qr(store, "lost", state="queued", at=now - timedelta(hours=1), queued_at=now - timedelta(hours=1))


def hold_lock(home: Home, until: datetime) -> None:
    with home.books() as store, store.write() as tx:
        leases.take(tx, "cleanup", "bob@there", until - LEASE, until)


def test_everything_past_its_time_goes(home: Home) -> None:
    fill(home)
    with home.redis() as client:
        spend(client, "finished", LOW, [(f"sync-{n}-1", 9e9 + n) for n in range(7)])
        spend(client, "failed", LOW, [(f"sync-{n}-2", 9e9 + n) for n in range(7)])
        data = home.data("cleanup", PAYSYNC_KEEP_COMPLETED="5", PAYSYNC_KEEP_FAILED="2")
        assert data == {
            "skipped": False,
            "dry_run": False,
            "checks": {"matched": 1, "removed": 1},
            "completed": {"matched": 2, "removed": 2},
            "failed": {"matched": 5, "removed": 5},
            "orphans": {"matched": 1, "removed": 1},
            "alerts": DONE,
        }
        assert spent_ids(client, "failed") == ["sync-5-2", "sync-6-2"]
        assert home.data("list", "--status", "active")["items"][0]["plan_state"] == "planned"
        again = home.data("cleanup", "--older-than", "15d", PAYSYNC_KEEP_COMPLETED="5", PAYSYNC_KEEP_FAILED="2")
        assert (again["checks"]["removed"], again["failed"], again["orphans"]) == (1, DONE, DONE)


def test_a_dry_run_tells_the_same_and_changes_not_a_byte(home: Home) -> None:
    fill(home)
    with home.books() as store, home.redis() as client:
        spend(client, "failed", LOW, [(f"sync-{n}-2", 9e9) for n in range(60)])
        before, books = everything(client), dump(store)
        foretold = home.data("cleanup", "--dry-run")
        assert (everything(client), dump(store)) == (before, books)
        done = home.data("cleanup")
    assert foretold["dry_run"]
    for part, matched in (("checks", 1), ("completed", 0), ("failed", 10), ("orphans", 1)):
        assert foretold[part] == {"matched": matched, "removed": 0}
        assert done[part]["removed"] == matched


def test_a_dry_run_starts_no_server(home: Home) -> None:
    fill(home)
    data = home.data("cleanup", "--dry-run")
    assert (data["checks"]["matched"], data["failed"], data["orphans"]) == (1, None, None)
    assert not (home.folder / "redis").exists()


def test_the_server_it_started_is_stopped(home: Home) -> None:
    fill(home)
    assert home.data("cleanup")["orphans"] == {"matched": 1, "removed": 1}
    assert running_servers(home.folder) == []


def test_while_another_runs_it_is_exit_75_or_skipped(home: Home) -> None:
    fill(home)
    hold_lock(home, datetime.now(UTC) + LEASE)
    with home.books() as store, home.redis():
        books = dump(store)
        found = home.json("cleanup", status=75)
        assert (found["status"], found["errors"][0]["code"]) == ("error", "locked")
        assert "bob@there" in found["errors"][0]["message"]
        assert home.data("cleanup", "--skip-if-locked")["skipped"]
        ended = home.run("cleanup", "--skip-if-locked")
        assert (ended.status, ended.out) == (0, "Skipped. Another cleanup is at work (bob@there).\n")
        assert dump(store) == books
    assert home.data("cleanup", "--status")["running"] == "bob@there"


def test_after_the_holder_was_killed_the_next_run_works_once_the_lease_is_over(home: Home) -> None:
    fill(home)
    hold_lock(home, datetime.now(UTC) - timedelta(seconds=1))
    assert home.data("cleanup")["checks"]["removed"] == 1


def test_the_last_run_is_shown(home: Home) -> None:
    with home.books():
        pass
    assert home.data("cleanup", "--status") == {"at": None, "outcome": None, "removed": {}, "running": None}
    assert "No cleanup has run yet." in home.run("cleanup", "--status").out
    fill(home)
    home.data("cleanup")
    data = home.data("cleanup", "--status")
    assert (data["outcome"], data["running"]) == ("ok", None)
    assert data["removed"] == {"checks": 1, "completed": 0, "failed": 0, "orphans": 1, "alerts": 0}
    assert datetime.fromisoformat(data["at"]).utcoffset() == timedelta(0)
    assert home.data("stats")["last_cleanup"]["outcome"] == "ok"


def test_redis_down_cleans_the_database_and_is_exit_69(home: Home) -> None:
    fill(home)
    down = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    found = home.json("cleanup", "--dry-run", status=69, **down)
    assert (found["status"], found["data"]["checks"]["matched"]) == ("partial", 1)
    found = home.json("cleanup", status=69, **down)
    assert (found["status"], found["errors"][0]["code"]) == ("partial", "redis_unavailable")
    assert (found["data"]["checks"]["removed"], found["data"]["failed"]) == (1, None)
    assert home.data("cleanup", "--status")["outcome"] == "partial"


def test_another_databases_redis_is_refused(home: Home) -> None:
    fill(home)
    with home.books() as store, home.redis() as client:
        client.set("paysync:database", "another")
        books = dump(store)
        assert home.json("cleanup", status=5)["errors"][0]["code"] == "foreign_database"
        assert dump(store) == books


def test_read_only_refuses_the_deed_and_allows_looking(home: Home) -> None:
    fill(home)
    read_only = {"PAYSYNC_READ_ONLY": "1"}
    assert home.json("cleanup", status=5, **read_only)["errors"][0]["code"] == "read_only"
    assert home.data("cleanup", "--dry-run", **read_only)["checks"]["matched"] == 1
    assert home.data("cleanup", "--status", **read_only)["at"] is None


@pytest.mark.parametrize("words", [["--older-than", "-1d"], ["--older-than", "x"], ["--status", "--dry-run"]])
def test_wrong_use(home: Home, words: list[str]) -> None:
    assert home.json("cleanup", *words, status=2)["status"] == "error"


@pytest.mark.parametrize("words", [[], ["--status"], ["--dry-run"]])
def test_a_missing_database_is_exit_4(home: Home, words: list[str]) -> None:
    assert home.json("cleanup", *words, status=4)["errors"][0]["code"] == "no_database"
    assert list(home.folder.iterdir()) == []


def test_people_see_what_was_done(home: Home) -> None:
    fill(home)
    for ended in (home.on_terminal("cleanup", columns=80, NO_COLOR="1"), home.run("cleanup")):
        assert ended.status == 0
        assert "old check records" in ended.out
        assert "failed jobs" in ended.out


def test_two_at_once_the_second_says_so_and_takes_nothing(home: Home) -> None:
    fill(home)
    with home.books() as store, home.redis() as client:
        for part in range(10):
            spend(client, "failed", LOW, [(f"sync-{part}-{n}", 9e9) for n in range(2_000)])
        first = start_paysync("cleanup", "--json", env=home.env, cwd=home.folder)
        until(lambda: client.zcard(f"rq:failed:{LOW}") < 20_000)
        first.send_signal(signal.SIGSTOP)
        left, books = client.zcard(f"rq:failed:{LOW}"), dump(store)
        assert home.json("cleanup", status=75)["errors"][0]["code"] == "locked"
        assert (client.zcard(f"rq:failed:{LOW}"), dump(store)) == (left, books)
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=60)
        assert (first.returncode, client.zcard(f"rq:failed:{LOW}")) == (0, 50)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_cut_short_it_leaves_nothing_half_done_and_the_next_run_finishes(home: Home, number: int, status: int) -> None:
    fill(home)
    with home.books(), home.redis() as client:
        for part in range(30):
            spend(client, "failed", LOW, [(f"sync-{part}-{n}", 9e9) for n in range(2_000)])
        child = start_paysync("cleanup", env=home.env, cwd=home.folder)
        until(lambda: client.zcard(f"rq:failed:{LOW}") < 60_000)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
        left = client.zcard(f"rq:failed:{LOW}")
        assert (child.returncode, out) == (status, "")
        assert f"{60_000 - left + 1} records were removed; run it again for the rest." in err
        assert 50 < left < 60_000
        assert len(list(client.scan_iter("rq:job:*", count=10_000))) == left, "no job is half there"
        assert home.data("cleanup", "--status")["at"] is None, "what was cut short is no last run"
        assert home.data("cleanup")["failed"]["removed"] == left - 50
