"""`paysync list` as scripts and people meet it."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.books import add_qr, book
from tests.embedded import running_servers
from tests.home import Home, lines_seen, new_home

LONG = "Q" * 64


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        yield home


def fill(home: Home) -> None:
    now = datetime.now(UTC)
    with home.books() as store:
        paid = add_qr(store, "PAID-1", status="completed", registered_at=now - timedelta(days=3))
        book(store, paid, 10050)
        add_qr(store, "DUE-1", status="pending", at=now - timedelta(minutes=7), registered_at=now)
        add_qr(store, LONG, bank="other", amount=None, at=now + timedelta(hours=1), state="exhausted", checks=20)
        add_qr(store, "HELD-1", state="held", at=now)


def test_every_row_has_every_key(home: Home) -> None:
    fill(home)
    data = home.data("list", "--sort", "qr")
    assert data["next"] is None
    assert [item["qr_id"] for item in data["items"]] == ["DUE-1", "HELD-1", "PAID-1", LONG]
    paid = data["items"][2]
    assert paid | {"registered_at": None} == {
        "qr_id": "PAID-1", "bank": "sim", "status": "completed", "amount": "100.50", "currency": "BOB",
        "paid": "100.50", "account": "main", "due_at": None, "next_check_at": None, "plan_state": "done", "checks": 0,
        "environment": "certification", "registered_at": None,
    }  # fmt: skip
    assert (data["items"][3]["amount"], data["items"][3]["paid"]) == (None, "0.00")
    assert data["items"][0]["next_check_at"].endswith("+00:00")


def test_nothing_is_an_empty_list_and_one_document(home: Home) -> None:
    with home.books():
        pass
    assert home.data("list") == {"items": [], "next": None}
    assert home.run("list", "--jsonl").out == ""
    assert home.run("list", "--csv").out.startswith("qr_id,bank,status,")
    assert "No QR is registered yet." in home.run("list").out
    assert "No QR is like this." in home.run("list", "--due").out


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--due"], ["DUE-1"]),
        (["--exhausted"], [LONG]),
        (["--held"], ["HELD-1"]),
        (["--status", "completed"], ["PAID-1"]),
        (["--bank", "other"], [LONG]),
        (["--since", "2d"], ["DUE-1"]),
        (["--due", "--status", "active"], []),
    ],
)
def test_filters(home: Home, filters: list[str], expected: list[str]) -> None:
    fill(home)
    with home.books() as store:
        add_qr(store, "OLD", status="expired", registered_at=datetime.now(UTC) - timedelta(days=9))
        long_ago = "'2020-01-01T00:00:00.000000+00:00'"
        with store.write() as tx:
            tx.exec_driver_sql(
                f"UPDATE paysync_qrs SET registered_at = {long_ago} WHERE qr_id IN (?, 'HELD-1')", (LONG,)
            )
    assert [item["qr_id"] for item in home.data("list", *filters)["items"]] == expected


def test_the_command_for_the_next_page_is_told_and_works(home: Home) -> None:
    now = datetime.now(UTC)
    with home.books() as store:
        for n in range(5):
            add_qr(store, f"Q{n}", bank="b", at=now - timedelta(minutes=n))
    seen: list[str] = []
    words = ["list", "--due", "--bank", "b", "--sort", "next-check", "--limit", "2"]
    while words:
        ended = home.run(*words)
        assert ended.status == 0, ended.err
        header, *rows = ended.out.splitlines()
        more = [row for row in rows if row.startswith("more: ")]
        seen += [row.split()[0] for row in rows if not row.startswith("more: ")]
        words = shlex.split(more[0].removeprefix("more: "))[1:] if more else []
    assert header.startswith("QR ")
    assert seen == ["Q4", "Q3", "Q2", "Q1", "Q0"]


def test_rows_for_scripts_carry_the_next_page_on_standard_error(home: Home) -> None:
    fill(home)
    for form in ("--jsonl", "--csv"):
        ended = home.run("list", "--limit", "1", form)
        assert "paysync list --limit 1 --after " in ended.err
        assert "paysync" not in ended.out
    whole = home.run("list", "--jsonl", "--quiet")
    assert [set(json.loads(line)) for line in whole.out.splitlines()] == [set(home.data("list")["items"][0])] * 4
    assert whole.err == ""


def test_csv_is_guarded_against_formulas(home: Home) -> None:
    with home.books() as store:
        add_qr(store, "=cmd()", account="+1+1")
        add_qr(store, "-5", account="@x")
    rows = {row["qr_id"]: row for row in csv.DictReader(io.StringIO(home.run("list", "--csv").out))}
    assert rows["'=cmd()"]["account"] == "'+1+1"
    assert rows["-5"]["account"] == "'@x"
    assert rows["-5"]["amount"] == "100.50"


def test_off_a_terminal_ids_and_moments_are_whole(home: Home) -> None:
    fill(home)
    ended = home.run("list", COLUMNS="20", PAYSYNC_TZ="America/La_Paz")
    assert LONG in ended.out
    assert "-04:00" in ended.out
    assert "\x1b" not in ended.out


def test_on_a_terminal_rows_fit(home: Home) -> None:
    """Twenty-digit ids, as banks give them, stay on one line at 80 columns, moments relative beside absolute."""
    soon = datetime.now(UTC) + timedelta(minutes=12, seconds=30)
    with home.books() as store:
        for n in range(3):
            qr = add_qr(store, f"3106140000000000000{n}", status="processing", at=soon)
            book(store, qr, 1_000, transaction=str(n))
    ended = home.on_terminal("list", columns=80, NO_COLOR="1", PAYSYNC_TZ="UTC")
    lines = lines_seen(ended.out)
    rows = [line for line in lines if "31061400" in line]
    at = soon.astimezone(UTC)
    day = f"{at:%H:%M}" if at.date() == datetime.now(UTC).date() else f"{at:%m-%d}"
    assert [row.split() for row in rows] == [
        [f"3106140000000000000{n}", "processing", "100.50", "BOB", "10.00", day, "(in", "12", "min)"] for n in range(3)
    ]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("columns", "heads"),
    [
        (80, ["QR", "Status", "Amount", "Paid", "Next check"]),
        (120, ["QR", "Bank", "Status", "Amount", "Paid", "Next check", "Checks"]),
        (200, ["QR", "Bank", "Status", "Amount", "Paid", "Account", "Due", "Next check", "Checks"]),
    ],
)
def test_a_wider_terminal_shows_more(home: Home, columns: int, heads: list[str]) -> None:
    soon = datetime.now(UTC) + timedelta(days=2, seconds=30)
    with home.books() as store:
        qr = add_qr(store, "31061400000000000001", status="processing", at=soon, due_at=soon)
        book(store, qr, 1_000)
    shown = lines_seen(home.on_terminal("list", columns=columns, NO_COLOR="1", PAYSYNC_TZ="UTC").out)
    (head,) = (line for line in shown if line.strip().startswith("QR"))
    assert re.split(r"\s{2,}", head.strip()) == heads
    (row,) = (line for line in shown if "31061400" in line)
    absolute = f"{soon:%Y-%m-%d %H:%M:%S} (in 2 days)"
    assert (f"{soon:%m-%d} (in 2 d)" if columns == 80 else absolute) in row


def test_the_bank_is_shown_where_it_tells_qrs_apart(home: Home) -> None:
    with home.books() as store:
        for bank in ("sim", "other"):
            add_qr(store, "QR1", bank=bank, at=datetime.now(UTC))
    shown = home.on_terminal("list", columns=80, NO_COLOR="1").out
    assert "Bank" in shown
    assert "other" in shown


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--exhausted", "--held"], 2, "exclude each other"),
        (["--status", "paid"], 2, "is not one of pending"),
        (["--sort", "amount"], 2, "is not one of registered"),
        (["--since", "0"], 2, "--since must be longer than zero"),
        (["--since", "soon"], 2, "--since"),
        (["--limit", "0"], 2, "--limit"),
        (["--limit", "10001"], 2, "--limit"),
        (["--after", "nonsense"], 2, "is not a page of this list"),
        (["--bank", "slip"], 2, "No bank is called 'slip'"),
    ],
)
def test_wrong_use(home: Home, words: list[str], status: int, said: str) -> None:
    fill(home)
    found = home.json("list", *words, status=status)
    assert found["status"] == "error"
    assert found["data"] is None
    assert said in found["errors"][0]["message"]


def test_a_missing_database_is_not_an_empty_list(home: Home) -> None:
    found = home.json("list", status=4)
    assert found["errors"][0]["code"] == "no_database"
    assert list(home.folder.iterdir()) == []


def test_no_redis_is_needed_or_started(home: Home) -> None:
    fill(home)
    assert home.run("list", REDIS_URL="redis://127.0.0.1:1/0").status == 0
    assert home.run("list").status == 0
    assert running_servers(home.folder) == []
