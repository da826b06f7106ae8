"""`paysync failed` as scripts and people meet it."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterator

import pytest

from paysync_cli.payments.status import Priority
from paysync_cli.queue import failed as failed_jobs
from paysync_cli.queue.failed import FailedJobs
from paysync_cli.queue.names import JobName
from paysync_cli.services.failed import Filter, group_failed
from tests.books import HOSTILE, add_qr, everything, fail_jobs
from tests.embedded import running_servers
from tests.home import Home, lines_seen, new_home

LOW, HIGH = "payment-sync-low", "payment-sync-high"


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        with home.books() as store:
            for n in range(1, 5):
                add_qr(store, f"QR{n}", bank="other" if n == 4 else "sim", seq=1)
        yield home


def fill(home: Home) -> None:
    with home.redis() as client:
        fail_jobs(
            client,
            [("sync-1-0", "no answer for QR1 within 10 s", 60), ("sync-2-0", "no answer for QR2 within 10 s", 60)],
        )
        fail_jobs(client, [("sync-3-0", "HTTP 500", 30), ("sync-4-0", "no answer for QR4 within 10 s", 90)], HIGH)


def test_the_newest_first_with_qr_and_reason(home: Home) -> None:
    fill(home)
    data = home.data("failed")
    # Equal moments are told apart by queue and id, as everywhere.
    assert [item["qr_id"] for item in data["items"]] == ["QR3", "QR2", "QR1", "QR4"]
    assert (data["total"], data["next"]) == (4, None)
    first = data["items"][0]
    assert first | {"failed_at": None, "next_check_at": None} == {
        "job_id": "sync-3-0", "qr_id": "QR3", "bank": "sim", "environment": "certification", "status": "active",
        "plan_state": "planned", "next_check_at": None, "failed_at": None, "error": "HTTP 500", "queue": HIGH,
    }  # fmt: skip
    assert first["failed_at"].endswith("+00:00")


def test_pages_hold_every_job_once_although_scores_are_equal(home: Home) -> None:
    with home.redis() as client:
        ids = [f"sync-{n}-0" for n in range(100, 130)]
        fail_jobs(client, [(one, "x", 60) for one in ids[:15]])
        fail_jobs(client, [(one, "x", 60) for one in ids[15:]], HIGH)
        seen: list[str] = []
        words = ["failed", "--limit", "7"]
        while words:
            data = home.data(*words)
            seen += [item["job_id"] for item in data["items"]]
            # What goes and comes meanwhile moves nothing.
            fail_jobs(client, [(f"sync-9-{len(seen)}", "newer", 1)])
            client.zrem(f"rq:failed:{LOW}", seen[-1])
            words = ["failed", "--limit", "7", "--after", data["next"]] if data["next"] else []
        assert sorted(seen) == sorted(ids)
        more = home.run("failed", "--limit", "1", "--error", "newer").out.splitlines()[-1]
        assert more.startswith("more: paysync failed --error newer --limit 1 --after ")
        assert home.run(*shlex.split(more.removeprefix("more: paysync "))).status == 0


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--error", "NO ANSWER"], ["QR2", "QR1", "QR4"]),
        (["--error", "no answer for … within"], ["QR2", "QR1", "QR4"]),
        (["--error", "."], []),
        (["--bank", "other"], ["QR4"]),
        (["--bank", "sim", "--error", "500"], ["QR3"]),
    ],
)
def test_filters(home: Home, filters: list[str], expected: list[str]) -> None:
    fill(home)
    data = home.data("failed", *filters)
    assert [item["qr_id"] for item in data["items"]] == expected
    assert data["total"] == 4


def test_grouped_by_error_whatever_qr_it_names(home: Home) -> None:
    fill(home)
    data = home.data("failed", "--group-by", "error")
    assert [(group["error"], group["jobs"], group["qr_id"]) for group in data["groups"]] == [
        ("no answer for … within 10 s", 3, "QR2"),
        ("HTTP 500", 1, "QR3"),
    ]
    assert (data["jobs"], data["total"]) == (4, 4)
    assert data["groups"][0]["newest_at"] > data["groups"][0]["oldest_at"]
    rows = list(csv.DictReader(io.StringIO(home.run("failed", "--group-by", "error", "--csv").out)))
    assert [row["jobs"] for row in rows] == ["3", "1"]


def test_causes_are_counted_in_redis_step_by_step(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """200,000 jobs with few reasons are a few hundred short answers, wherever their reasons are kept."""
    with home.books() as store, home.queue() as queue, home.redis() as client:
        fail_jobs(client, [(f"sync-1-{n}", f"HTTP 50{n % 2}", n) for n in range(40)])
        fail_jobs(client, [(f"sync-2-{n}", "HTTP 500", 50 + n) for n in range(30)], HIGH)
        for n in range(10):
            client.hset(f"rq:job:sync-1-{n}", "paysync_reason", "timed out")
        fail_jobs(client, [("other", "", 1)])
        monkeypatch.setattr(failed_jobs, "COUNTING_STEP", 16)
        monkeypatch.setattr(FailedJobs, "page", None)  # no job by itself comes over the line
        failed = FailedJobs(queue)
        steps = list(failed.count())
        assert [sum(alike.jobs for alike in step) for step in steps] == [16, 14, 16, 16, 9]
        groups = group_failed(store, failed, Filter(), total=71).groups
        assert {one.error: one.jobs for one in groups} == {"HTTP 500": 45, "HTTP 501": 15, "timed out": 10, "": 1}
        most = groups[0]
        assert (most.last.id, most.oldest.id) == ("sync-1-10", "sync-2-29")
        assert [one.jobs for one in group_failed(store, failed, Filter("http"), total=71).groups] == [45, 15]


def test_a_worker_keeps_a_short_reason_where_it_is_cheap_to_count(home: Home) -> None:
    with home.queue() as queue, home.redis() as client:
        queue.fail([(JobName(1, 1), Priority.LOW)], "timed out")
        queue.fail([(JobName(1, 2), Priority.LOW)], "long " * 200)
        kept = [client.hget(f"rq:job:sync-1-{n}", "paysync_reason") for n in (1, 2)]
        assert kept == [b"timed out", None]
        assert {job.reason for job in FailedJobs(queue).page()} == {"timed out", "long " * 200}
        assert client.ttl("rq:job:sync-1-1") > 0


def test_jobs_that_are_not_ours_and_hostile_reasons_are_shown_harmless(home: Home) -> None:
    with home.redis() as client:
        fail_jobs(client, [("strange", HOSTILE, 5), ("sync-99-0", "", 6)])
        client.zadd(f"rq:failed:{LOW}", {b"\xff\x80": 9e9})
        client.hset("rq:results:sync-1-0", "a", "b")
        client.zadd(f"rq:failed:{LOW}", {"sync-1-0": 9e9})
        shown = home.run("failed")
        assert shown.status == 0
        assert "\x1b" not in shown.out
        assert "\u202e" not in shown.out
        data = home.data("failed")
        assert [item["qr_id"] for item in data["items"]] == [None, "QR1", None, None]
        assert [json.loads(line)["error"] for line in home.run("failed", "--jsonl").out.splitlines()][-1] is None
        assert home.data("failed", "--limit", "1", "--after", home.data("failed", "--limit", "1")["next"])["items"]


def test_nothing_is_failed(home: Home) -> None:
    assert home.data("failed") == {"items": [], "total": 0, "next": None}
    assert home.data("failed", "--group-by", "error") == {"groups": [], "jobs": 0, "total": 0}
    assert home.run("failed").out == "No job is failed.\n"
    assert running_servers(home.folder) == []


def test_it_only_reads_and_under_an_acl_without_dangerous_commands(home: Home) -> None:
    fill(home)
    with home.redis() as client:
        client.execute_command(
            "ACL", "SETUSER", "shop", "on", ">pw", "~rq:*", "~paysync:*", "&paysync:*", "+@all", "-@dangerous",
            "-@admin", "-keys", "-flushall", "-flushdb", "-config",
        )  # fmt: skip
        path = client.connection_pool.connection_kwargs["path"]
        url = f"unix://shop:pw@{path}"
        before = everything(client)
        assert len(home.data("failed", REDIS_URL=url)["items"]) == 4
        assert len(home.data("failed", "--group-by", "error", REDIS_URL=url)["groups"]) == 2
        assert everything(client) == before
        assert home.data("retry", "--all", "--yes", REDIS_URL=url)["matched"] == 4
        assert home.data("failed", REDIS_URL=url)["total"] == 0


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_on_a_terminal_it_fits(home: Home, columns: int) -> None:
    fill(home)
    shown = lines_seen(home.on_terminal("failed", columns=columns, NO_COLOR="1").out)
    assert max(map(len, shown)) <= columns
    assert "4 failed jobs in all; ask again: paysync retry --all" in shown


def test_errors(home: Home) -> None:
    assert home.json("failed", status=69, REDIS_URL="redis://127.0.0.1:1/0")["errors"][0]["code"] == "redis_unavailable"
    for words in (["--after", "x"], ["--after", "WyJmYWlsZWQiLCJ4IiwxLCJhIl0"], ["--bank", "slip"],
                  ["--group-by", "bank"], ["--group-by", "error", "--after", "x"]):  # fmt: skip
        assert home.json("failed", *words, status=2)["status"] == "error"
    with new_home() as empty:
        assert empty.json("failed", status=4)["errors"][0]["code"] == "no_database"
    with home.redis() as client:
        client.set("paysync:database", "another")
        assert home.json("failed", status=5)["errors"][0]["code"] == "foreign_database"
