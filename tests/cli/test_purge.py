"""`paysync purge` as scripts and people meet it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator

import pytest
import redis

from tests.books import add_qr, book, dump, everything, open_review, spend, spent_ids
from tests.embedded import running_servers, until
from tests.home import NARROW, Home, lines_seen, new_home, one_document
from tests.process import start_paysync

HIGH, MEDIUM, LOW = ("payment-sync-high", "payment-sync-medium", "payment-sync-low")


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        with home.books() as store:
            add_qr(store, "QR1", status="completed")
        yield home


def test_keep_leaves_exactly_that_many_although_all_scores_are_equal(home: Home) -> None:
    with home.redis() as client:
        for queue in (HIGH, MEDIUM, LOW):
            spend(client, "failed", queue, [(f"sync-{n}-{queue[13:]}", 9e9) for n in range(4)])
        data = home.data("purge", "--failed", "--keep", "5")
        assert data == {
            "matched": 7, "removed": 7, "kept": 5, "dry_run": False,
            "kinds": {"failed": {"matched": 7, "removed": 7, "kept": 5}},
        }  # fmt: skip
        assert spent_ids(client, "failed") == ["sync-3-medium", *(f"sync-{n}-low" for n in range(4))]
        assert home.data("purge", "--failed", "--keep", "5")["matched"] == 0, "already so"


def test_each_kind_by_itself_or_both(home: Home) -> None:
    with home.redis() as client:
        for kind in ("finished", "failed"):
            spend(client, kind, LOW, [(f"sync-{n}-{kind}", 9e9) for n in range(3)])
        assert home.data("purge", "--all", "--keep", "1")["kinds"] == {
            "completed": {"matched": 2, "removed": 2, "kept": 1},
            "failed": {"matched": 2, "removed": 2, "kept": 1},
        }
        assert home.data("purge", "--completed")["removed"] == 1
        assert (spent_ids(client, "finished"), spent_ids(client, "failed")) == ([], ["sync-2-failed"])
        shown = home.run("purge", "--completed", "--failed")
        assert shown.out.splitlines()[-1] == "1 job removed, 0 kept."


def test_a_dry_run_tells_the_same_and_changes_not_a_byte(home: Home) -> None:
    with home.books() as store, home.redis() as client:
        now = float(client.time()[0])  # type: ignore[index]
        for n, queue in enumerate((HIGH, MEDIUM, LOW)):
            jobs = [(f"sync-{n}-{age}", now + 7 * 86400 - age * 3600) for age in range(1, 30)]
            spend(client, "failed", queue, jobs)
        before, books = everything(client), dump(store)
        words = ["purge", "--failed", "--older-than", "10h30m", "--keep", "20"]
        foretold = home.data(*words, "--dry-run")
        assert "would be removed" in home.run(*words, "--dry-run").out
        assert (everything(client), dump(store)) == (before, books)
        done = home.data(*words)
        assert (foretold["matched"], foretold["kept"]) == (done["removed"], done["kept"]) == (57, 30)
        assert (foretold["removed"], foretold["dry_run"]) == (0, True)


def test_what_went_is_in_the_audit(home: Home) -> None:
    with home.books() as store, home.redis() as client:
        spend(client, "failed", LOW, [("sync-1-1", 9e9)])
        home.run("purge", "--all")
        with store.read() as tx:
            (row,) = tx.exec_driver_sql("SELECT action, who, detail FROM paysync_audit")
        assert (row.action, json.loads(row.detail)) == ("purge", {"completed": 0, "failed": 1})
        assert "@" in row.who


def test_it_never_asks(home: Home) -> None:
    with home.redis() as client:
        spend(client, "failed", LOW, [("sync-1-1", 9e9)])
        ended = home.on_terminal("purge", "--all", NO_COLOR="1")
        assert ended.status == 0
        assert "1 job removed, 0 kept." in lines_seen(ended.out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Say which jobs: --completed, --failed or --all."),
        (["--keep", "3"], "Say which jobs"),
        (["--all", "--keep", "-1"], "--keep"),
        (["--all", "--older-than", "-1d"], "--older-than must not be negative"),
        (["--all", "--older-than", "old"], "--older-than"),
    ],
)
def test_wrong_use(home: Home, words: list[str], said: str) -> None:
    found = home.json("purge", *words, status=2)
    assert said in found["errors"][0]["message"]


def test_redis_down_is_exit_69(home: Home) -> None:
    for more in ([], ["--dry-run"]):
        found = home.json("purge", "--all", *more, status=69, REDIS_URL="redis://127.0.0.1:1/0")
        assert (found["status"], found["errors"][0]["code"]) == ("error", "redis_unavailable")


def test_a_missing_database_is_exit_4_before_any_server_starts() -> None:
    with new_home() as empty:
        assert empty.json("purge", "--all", status=4)["errors"][0]["code"] == "no_database"
        assert list(empty.folder.iterdir()) == []


def test_read_only_refuses_the_deed_and_allows_the_preview(home: Home) -> None:
    with home.redis() as client:
        spend(client, "failed", LOW, [("sync-1-1", 9e9)])
        found = home.json("purge", "--all", status=5, PAYSYNC_READ_ONLY="1")
        assert found["errors"][0]["code"] == "read_only"
        assert home.data("purge", "--all", "--dry-run", PAYSYNC_READ_ONLY="1")["matched"] == 1
        assert spent_ids(client, "failed") == ["sync-1-1"]


def test_another_databases_jobs_are_refused(home: Home) -> None:
    with home.redis() as client:
        client.set("paysync:database", "another")
        spend(client, "failed", LOW, [("sync-1-1", 9e9)])
        for more in ([], ["--dry-run"]):
            assert home.json("purge", "--all", *more, status=5)["errors"][0]["code"] == "foreign_database"
        assert spent_ids(client, "failed") == ["sync-1-1"]


def test_no_server_is_left_behind(home: Home) -> None:
    assert home.data("purge", "--all")["matched"] == 0
    assert running_servers(home.folder) == []


@pytest.mark.parametrize(
    ("number", "status", "code"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_cut_short_it_says_what_was_done_and_the_next_run_finishes(
    home: Home, number: int, status: int, code: str
) -> None:
    with home.books() as store, home.redis() as client:
        for part in range(30):
            spend(client, "failed", LOW, [(f"sync-{part}-{n}", 9e9) for n in range(2_000)])
        child = start_paysync("purge", "--failed", "--json", env=home.env | NARROW, cwd=home.folder)
        until(lambda: client.zcard(f"rq:failed:{LOW}") < 60_000)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
        left = client.zcard(f"rq:failed:{LOW}")
        assert child.returncode == status, err
        assert one_document(out)["errors"][0]["code"] == code
        assert err == f"{60_000 - left} jobs were removed; run it again for the rest.\n"
        with store.read() as tx:
            assert tx.exec_driver_sql("SELECT detail FROM paysync_audit").scalar() == f'{{"failed": {60_000 - left}}}'
        assert 0 < left < 60_000
        assert len(list(client.scan_iter("rq:job:*", count=10_000))) == left, "no job is half there"
        assert home.data("purge", "--failed")["removed"] == left


def failed_at_rest(client: redis.Redis) -> int:
    """How many failed jobs there are once the step is done that was on its way to Redis."""
    while True:
        before = int(client.zcard(f"rq:failed:{LOW}"))
        time.sleep(0.2)
        if client.zcard(f"rq:failed:{LOW}") == before:
            return before


def test_two_at_once_the_second_says_so_and_takes_nothing(home: Home) -> None:
    with home.books() as store, home.redis() as client:
        for part in range(30):
            spend(client, "failed", LOW, [(f"sync-{part}-{n}", 9e9) for n in range(2_000)])
        first = start_paysync("purge", "--failed", "--json", env=home.env, cwd=home.folder)
        until(lambda: client.zcard(f"rq:failed:{LOW}") < 60_000)
        first.send_signal(signal.SIGSTOP)  # it is at work for as long as it takes to look
        left, books = failed_at_rest(client), dump(store)
        found = home.json("purge", "--failed", status=75)
        assert (found["status"], found["errors"][0]["code"]) == ("error", "locked")
        assert "Another purge is at work" in found["errors"][0]["message"]
        assert (client.zcard(f"rq:failed:{LOW}"), dump(store)) == (left, books)
        first.send_signal(signal.SIGCONT)
        out, err = first.communicate(timeout=60)
        assert (first.returncode, err) == (0, "")
        assert one_document(out)["data"]["removed"] == 60_000
        assert home.data("purge", "--failed")["matched"] == 0, "and the lock is open again"


def test_only_spent_jobs_go(home: Home) -> None:
    with home.books() as store, home.redis() as client:
        for n in range(3):
            qr = add_qr(store, f"OPEN{n}", state="planned")
            book(store, qr, 5, transaction=f"t{n}")
            open_review(store, qr)
        spend(client, "failed", LOW, [("sync-1-1", 9e9)])
        spend(client, "finished", HIGH, [("sync-2-1", 9e9)])
        client.zadd(f"rq:wip:{LOW}", {"sync-3-0:x": 9e9})
        client.rpush(f"rq:queue:{HIGH}", "sync-4-0")
        others = {key: value for key, value in everything(client).items() if b":sync-" not in key}
        tables = ("paysync_qrs", "paysync_movements", "paysync_reviews", "paysync_transitions", "paysync_checks")
        kept = [line for line in dump(store) if any(table in line for table in tables)]
        assert home.data("purge", "--all")["removed"] == 2
        assert [line for line in dump(store) if any(table in line for table in tables)] == kept
        spent = (f"rq:failed:{LOW}".encode(), f"rq:finished:{HIGH}".encode())
        assert {key: value for key, value in everything(client).items() if b":sync-" not in key} == {
            key: value for key, value in others.items() if key not in spent
        }


def test_people_see_how_far_it_is(home: Home) -> None:
    with home.redis() as client:
        for part in range(10):
            spend(client, "failed", LOW, [(f"sync-{part}-{n}", 9e9) for n in range(2_000)])
        shown = "\n".join(lines_seen(home.on_terminal("purge", "--failed", columns=120).out))
    assert "removing jobs" in shown
    assert "20000/20000" in shown.replace(",", "").replace(" ", "")
