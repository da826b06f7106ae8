"""`paysync review` as scripts and people meet it."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterator

import pytest

from paysync_cli.store import qrs
from tests.books import HOSTILE, add_qr, book, open_review
from tests.embedded import running_servers
from tests.home import Home, lines_seen, new_home

WHY = "the rest was paid in cash"


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        yield home


def fill(home: Home, status: str = "processing") -> None:
    """Review 1 about QR1, partly paid."""
    with home.books() as store:
        qr = add_qr(store, "QR1", status=status)
        book(store, qr, 5000)
        open_review(store, qr, "amount_mismatch", paid="50.00", element=HOSTILE)


def status(home: Home, qr_id: str = "QR1") -> tuple[str, str]:
    with home.books() as store, store.read() as tx:
        (qr,) = qrs.by_qr_id(tx, qr_id)
    return qr.status.value, qr.plan.state.value


def actions(home: Home) -> list[tuple[str, str, str]]:
    with home.books() as store, store.read() as tx:
        rows = tx.exec_driver_sql("SELECT action, object, reason FROM paysync_audit").all()
    return [(row[0], row[1], row[2]) for row in rows]


# -- resolve


@pytest.mark.parametrize(
    ("verdict", "becomes"), [("completed", "completed"), ("cancelled", "cancelled"), ("keep", "processing")]
)
def test_a_decision(home: Home, verdict: str, becomes: str) -> None:
    fill(home)
    data = home.data("review", "resolve", "1", "--as", verdict, "--reason", f" {WHY} ")
    assert (data["id"], data["outcome"], data["status_before"], data["status"]) == (
        1,
        "resolved",
        "processing",
        becomes,
    )
    assert status(home)[0] == becomes
    assert actions(home) == [("resolve_review", "review/1", WHY)]
    review = data["review"]
    assert (review["state"], review["resolution"], review["resolution_reason"]) == ("resolved", verdict, WHY)
    assert "@" in review["resolved_by"]
    assert home.data("show", "QR1")["movements"][0]["amount"] == "50.00"


def test_the_second_time_it_says_so(home: Home) -> None:
    fill(home)
    home.run("review", "resolve", "1", "--as", "keep", "--reason", WHY)
    data = home.data("review", "resolve", "1", "--as", "completed", "--reason", "again")
    assert (data["outcome"], data["review"]["resolution"]) == ("already_resolved", "keep")
    ended = home.run("review", "resolve", "1", "--as", "completed", "--reason", "again")
    assert ended.status == 0
    assert ended.out.startswith("Review 1 was resolved already, as keep, by ")
    assert status(home)[0] == "processing"
    assert len(actions(home)) == 1


def test_what_the_state_forbids(home: Home) -> None:
    fill(home, "completed")
    found = home.json("review", "resolve", "1", "--as", "cancelled", "--reason", WHY, status=5)
    (error,) = found["errors"]
    assert (found["status"], error["code"]) == ("error", "forbidden_transition")
    assert "QR QR1 is completed and cannot become cancelled" in error["message"]
    assert "--as keep" in error["hint"]
    assert (status(home), actions(home)) == (("completed", "done"), [])
    assert home.data("review", "show", "1")["state"] == "open"


def test_a_review_that_is_not_there(home: Home) -> None:
    fill(home)
    for words in (["show", "12"], ["resolve", "12", "--as", "keep", "--reason", WHY]):
        found = home.json("review", *words, status=4)
        assert found["errors"][0]["code"] == "no_review"


@pytest.mark.parametrize(
    "words",
    [
        ["1", "--reason", WHY],
        ["1", "--as", "paid", "--reason", WHY],
        ["one", "--as", "keep", "--reason", WHY],
        ["0", "--as", "keep", "--reason", WHY],
        ["1", "--as", "keep"],
        ["1", "--as", "keep", "--no-input"],
        ["1", "--as", "keep", "--reason", " "],
        ["1", "--as", "keep", "--reason", "x" * 501],
        ["--as", "keep", "--reason", WHY],
    ],
)
def test_wrong_use_decides_nothing(home: Home, words: list[str]) -> None:
    fill(home)
    assert home.json("review", "resolve", *words, status=2)["status"] == "error"
    assert actions(home) == []


def test_on_a_terminal_the_reason_is_asked(home: Home) -> None:
    fill(home)
    words = ("review", "resolve", "1", "--as", "completed")
    declined = home.on_terminal(*words, typed="\n")
    assert declined.status == 5
    assert "it needs a reason" in declined.out
    assert actions(home) == []
    ended = home.on_terminal(*words, typed=f"{WHY}\n")
    assert ended.status == 0
    seen = lines_seen(ended.out)
    assert seen[-2:] == ["Why? Review 1 is resolved as completed.", "QR QR1: processing -> completed"]
    assert actions(home) == [("resolve_review", "review/1", WHY)]


def test_read_only_decides_nothing(home: Home) -> None:
    fill(home)
    found = home.json("review", "resolve", "1", "--as", "keep", "--reason", WHY, status=5, PAYSYNC_READ_ONLY="1")
    assert found["errors"][0]["code"] == "read_only"
    assert home.data("review", "list", PAYSYNC_READ_ONLY="1")["items"]


# -- looking


def test_one_review_with_everything(home: Home) -> None:
    fill(home)
    data = home.data("review", "show", "1")
    assert data["detail"] == {"paid": "50.00", "element": HOSTILE}
    assert data["qr"] == {
        "status": "processing", "amount": "100.50", "currency": "BOB", "paid": "50.00", "account": "main",
        "plan_state": "planned",
    }  # fmt: skip
    plain = home.run("review", "show", "1").out
    assert "\\x1b[31m[red]Ana\\u202e\\n=cmd()" in plain
    home.run("review", "resolve", "1", "--as", "keep", "--reason", WHY)
    assert WHY in home.run("review", "show", "1").out


def many(home: Home) -> None:
    with home.books() as store:
        for n, reason in enumerate(("overpaid", "late_payment", "overpaid", "double_payment", "overpaid")):
            qr = add_qr(store, f"QR{n}", bank="other" if n == 4 else "sim")
            open_review(store, qr, reason, amount="1.00", currency="BOB", transaction="=1+1")
    assert home.run("review", "resolve", "3", "--as", "keep", "--reason", "=cmd()").status == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [5, 4, 2, 1]),
        (["--all"], [5, 4, 3, 2, 1]),
        (["--state", "all"], [5, 4, 3, 2, 1]),
        (["--all", "--state", "all"], [5, 4, 3, 2, 1]),
        (["--state", "resolved"], [3]),
        (["--reason", "overpaid"], [5, 1]),
        (["--bank", "other"], [5]),
        (["--limit", "1"], [5]),
    ],
)
def test_the_list(home: Home, options: list[str], expected: list[int]) -> None:
    many(home)
    data = home.data("review", "list", *options)
    assert [item["id"] for item in data["items"]] == expected
    assert (data["next"] is not None) == ("--limit" in options)


def test_a_bare_review_is_the_list(home: Home) -> None:
    many(home)
    assert home.data("review") == home.data("review", "list")


def test_the_command_for_the_next_page_is_told_and_works(home: Home) -> None:
    many(home)
    words, seen = ["review", "list", "--state", "all", "--reason", "overpaid", "--limit", "2"], []
    while words:
        rows = home.run(*words).out.splitlines()[1:]
        more = [row for row in rows if row.startswith("more: ")]
        seen += [int(row.split()[0]) for row in rows if row not in more]
        words = shlex.split(more[0].removeprefix("more: "))[1:] if more else []
    assert seen == [5, 3, 1]
    assert "more: paysync review list --limit 1 --after " in home.run("review", "list", "--limit", "1", "--csv").err


def test_rows_for_spreadsheets_are_guarded(home: Home) -> None:
    many(home)
    rows = list(csv.DictReader(io.StringIO(home.run("review", "list", "--all", "--csv").out)))
    assert (rows[0]["transaction"], rows[0]["amount"]) == ("'=1+1", "1.00")
    assert rows[2]["resolution_reason"] == "'=cmd()"
    assert len([json.loads(line) for line in home.run("review", "list", "--jsonl").out.splitlines()]) == 4


def test_nothing_to_decide_and_wrong_words(home: Home) -> None:
    with home.books():
        pass
    assert home.data("review", "list") == {"items": [], "next": None}
    assert "nothing to decide" in home.run("review").out
    for words in (
        ["--all", "--state", "open"],
        ["--reason", "x"],
        ["--bank", "nobody"],
        ["--after", "x"],
        ["--limit", "0"],
    ):
        assert home.run("review", "list", *words).status == 2, words


def test_it_needs_a_database_and_no_redis(home: Home) -> None:
    assert home.run("review").status == 4
    fill(home)
    dead = {"REDIS_URL": "redis://127.0.0.1:9/0"}
    assert home.data("review", "show", "1", **dead)["id"] == 1
    assert home.data("review", "resolve", "1", "--as", "keep", "--reason", WHY, **dead)["outcome"] == "resolved"
    assert not running_servers(home.folder)
