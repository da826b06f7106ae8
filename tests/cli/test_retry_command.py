"""`paysync retry` as scripts and people meet it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from paysync_cli.queue.failed import FailedJobs
from paysync_cli.services.failed import Filter
from paysync_cli.services.notices import take_notice
from paysync_cli.services.retry import Deed, Outcome, find_meant, retry_all
from tests.books import add_check, add_qr, dump, everything, fail_jobs, spent_ids
from tests.embedded import running_servers, until
from tests.home import NARROW, Home, new_home, one_document
from tests.process import start_paysync

LATER = datetime.now(UTC) + timedelta(hours=5)
LOW = "payment-sync-low"


@pytest.fixture
def home() -> Iterator[Home]:
    """Four QRs, each with a failed check behind it: one in its plan, one exhausted, one final, one held."""
    with new_home() as home:
        with home.books() as store:
            rows = [
                add_qr(store, "OPEN", at=LATER, seq=1),
                add_qr(store, "SPENT", at=LATER, seq=1, state="exhausted", checks=20),
                add_qr(store, "PAID", status="completed", seq=1),
                add_qr(store, "HELD", at=LATER, seq=1, state="held"),
            ]
            for row in rows:
                add_check(store, row, seq=0, outcome="unavailable", error="HTTP 500")
        yield home


def fill(home: Home) -> None:
    with home.redis() as client:
        fail_jobs(client, [(f"sync-{n}-0", "HTTP 500" if n < 4 else "no answer", n) for n in range(1, 5)])


def outcomes(data: dict[str, object]) -> dict[str, str]:
    return {item["qr_id"]: item["outcome"] for item in data["items"]}  # type: ignore[attr-defined]


def test_named_qrs(home: Home) -> None:
    fill(home)
    with home.redis() as client:
        data = home.data("retry", "OPEN", "SPENT", "PAID", "OPEN")
        assert outcomes(data) == {"OPEN": "retried", "SPENT": "retried", "PAID": "final"}
        assert (data["matched"], data["retried"], data["final"], data["dry_run"]) == (3, 2, 1, False)
        assert spent_ids(client, "failed") == ["sync-4-0"]
        assert client.exists("rq:job:sync-1-0", "rq:results:sync-1-0") == 0
        assert list(client.scan_iter("rq:queue:*")) == [], "nothing is queued around the plan"
    due = {item["qr_id"]: item for item in home.data("list", "--due")["items"]}
    assert (due["OPEN"]["plan_state"], due["SPENT"]["plan_state"]) == ("planned", "exhausted")
    cleared, *actions = home.data("audit", "--action", "retry")["items"]
    assert (cleared["qr_id"], cleared["detail"]) == (None, {"cleared": 1, "jobs": ["sync-3-0"]}), "the final one's job"
    assert [(one["qr_id"], one["detail"]["jobs"], one["detail"]["error"]) for one in actions] == [
        ("SPENT", ["sync-2-0"], "HTTP 500"), ("OPEN", ["sync-1-0"], "HTTP 500"),
    ]  # fmt: skip
    assert outcomes(home.data("retry", "OPEN")) == {"OPEN": "not_failed"}
    assert len(home.data("audit", "--action", "retry")["items"]) == 3


def test_an_ended_qr_whose_notice_waits_for_its_answer_is_asked_now(home: Home) -> None:
    with home.books() as store:
        take_notice(store, ["PAID"], bank="sim", environment="certification", now=LATER)
    fill(home)
    with home.redis():
        assert outcomes(home.data("retry", "PAID")) == {"PAID": "retried"}
    (due,) = home.data("list", "--due")["items"]
    assert (due["qr_id"], due["status"], due["plan_state"]) == ("PAID", "completed", "planned")


def test_what_is_left_alone_is_told_and_is_exit_3(home: Home) -> None:
    fill(home)
    found = home.json("retry", "OPEN", "HELD", "NOBODY", status=3)
    assert outcomes(found["data"]) == {"OPEN": "retried", "HELD": "held", "NOBODY": "not_found"}
    assert [error["code"] for error in found["errors"]] == ["held", "no_qr"]
    assert found["errors"][0]["hint"] == "paysync release HELD"
    assert [error["code"] for error in home.json("retry", "X", "Y", status=4)["errors"]] == ["no_qr", "no_qr"]


def test_a_qr_that_is_asked_already_is_not_moved_again(home: Home) -> None:
    with home.books() as store, home.redis() as client:
        add_qr(store, "QUEUED", state="queued", at=datetime.now(UTC), seq=2)
        add_qr(store, "TWICE", at=LATER, seq=2)
        fail_jobs(client, [("sync-5-0", "x", 1), ("sync-6-0", "x", 3), ("sync-6-1", "x", 2)])
        found = home.data("retry", "--all", "--yes")
        assert (found["matched"], found["retried"], found["under_way"]) == (3, 1, 2)
        assert spent_ids(client, "failed") == []
    found = [(one["qr_id"], one["detail"]["jobs"]) for one in home.data("audit")["items"]]
    assert found == [(None, ["sync-5-0"]), ("TWICE", ["sync-6-1", "sync-6-0"])], "no failed job goes without a trace"


def test_all_of_an_error_or_a_bank(home: Home) -> None:
    fill(home)
    with home.redis() as client:
        assert home.data("retry", "--all", "--error", "http 5", "--yes")["matched"] == 3
        assert spent_ids(client, "failed") == ["sync-4-0"]
        assert home.data("retry", "--all", "--error", "http 5", "--yes")["matched"] == 0


def test_all_goes_past_what_cannot_be_retried(home: Home) -> None:
    fill(home)
    with home.redis() as client:
        fail_jobs(client, [("strange", "refused", 1), ("sync-99-0", "no QR row 99", 2)])
        found = home.json("retry", "--all", "--yes", status=3)
        data = found["data"]
        assert (data["matched"], data["retried"], data["final"], data["held"], data["no_row"]) == (6, 2, 1, 1, 2)
        assert sorted(item["outcome"] for item in data["items"]) == ["held", "no_row", "no_row"], (
            "the rest is no trouble"
        )
        assert sorted(error["code"] for error in found["errors"]) == ["held", "no_row", "no_row"]
        assert sorted(spent_ids(client, "failed")) == ["strange", "sync-4-0", "sync-99-0"]


def test_a_dry_run_tells_the_same_and_changes_not_a_byte(home: Home) -> None:
    fill(home)
    with home.books() as store, home.redis() as client:
        before, books = everything(client), dump(store)
        foretold = home.json("retry", "--all", "--dry-run", status=3)["data"]
        named = home.data("retry", "OPEN", "--dry-run")
        assert (everything(client), dump(store)) == (before, books)
        done = home.json("retry", "--all", "--yes", status=3)["data"]
        numbers = {key for key, value in done.items() if isinstance(value, int)} - {"dry_run"}
        assert {key: foretold[key] for key in numbers} == {key: done[key] for key in numbers}
        assert (foretold["dry_run"], named["retried"]) == (True, 1)


def test_it_asks_with_the_count_and_refuses_without_a_terminal(home: Home) -> None:
    fill(home)
    with home.redis() as client:
        found = home.json("retry", "--all", status=5)
        assert "Ask again now about 4 failed jobs?" in found["errors"][0]["message"]
        declined = home.on_terminal("retry", "--all", typed="n\n", NO_COLOR="1")
        assert declined.status == 5
        assert "Ask again now about 4 failed jobs? [y/N]" in declined.out
        assert len(spent_ids(client, "failed")) == 4
        agreed = home.on_terminal("retry", "--all", typed="y\n", NO_COLOR="1")
        assert agreed.status == 3
        assert "2 QRs are asked now, 1 final, 1 held." in agreed.out
        assert spent_ids(client, "failed") == ["sync-4-0"]


def test_nothing_to_retry_asks_nothing(home: Home) -> None:
    assert home.data("retry", "--all")["matched"] == 0
    assert running_servers(home.folder) == []


def test_what_vanishes_and_what_comes_meanwhile(home: Home) -> None:
    """Somebody purges between the question and the answer; a job that fails later was not asked about."""
    fill(home)
    with home.books() as store, home.redis() as client, home.queue() as queue:
        jobs, now = FailedJobs(queue), datetime.now(UTC)
        meant = find_meant(store, jobs, Filter(), total=queue.spent("failed"))
        client.zrem(f"rq:failed:{LOW}", "sync-1-0")
        client.zadd(f"rq:failed:{LOW}", {"sync-1-7": 9e9})
        report = retry_all(store, jobs, meant, Deed("ana", now), clock=lambda: now)
        assert (report.counts[Outcome.VANISHED], report.counts[Outcome.RETRIED], report.trouble) == (1, 1, 2)
        assert spent_ids(client, "failed") == ["sync-4-0", "sync-1-7"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_cut_short_it_says_how_far_and_the_next_run_finishes(home: Home, number: int, status: int) -> None:
    with home.redis() as client:
        fail_jobs(client, [(f"sync-1-{n}", "x", 1) for n in range(100_000)])
        child = start_paysync("retry", "--all", "--yes", "--json", env=home.env | NARROW, cwd=home.folder)
        until(lambda: client.zcard(f"rq:failed:{LOW}") < 100_000)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
        assert child.returncode == status, err
        left = client.zcard(f"rq:failed:{LOW}")
        assert 0 < left < 100_000
        assert err == f"{100_000 - left} failed jobs were retried; run it again for the rest.\n"
        assert one_document(out)["status"] == "error"
        assert home.data("retry", "--all", "--yes")["matched"] == left
        assert client.zcard(f"rq:failed:{LOW}") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Name the QRs, or say --all"),
        (["OPEN", "--all"], "Name the QRs, or say --all"),
        (["OPEN", "--error", "x"], "--error goes with --all"),
        (["--all", "--bank", "slip"], "No bank is called"),
    ],
)
def test_wrong_use(home: Home, words: list[str], said: str) -> None:
    assert said in home.json("retry", *words, status=2)["errors"][0]["message"]


def test_refusals(home: Home) -> None:
    fill(home)
    assert home.json("retry", "OPEN", status=69, REDIS_URL="redis://127.0.0.1:1/0")["status"] == "error"
    assert home.json("retry", "OPEN", status=5, PAYSYNC_READ_ONLY="1")["errors"][0]["code"] == "read_only"
    assert home.data("retry", "OPEN", "--dry-run", PAYSYNC_READ_ONLY="1")["retried"] == 1
    with new_home() as empty:
        assert empty.json("retry", "--all", status=4)["errors"][0]["code"] == "no_database"
