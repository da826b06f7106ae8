"""`paysync movements` and `paysync accounts` as scripts and people meet them."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from paysync_cli.payments.qr import Movement
from paysync_cli.store import ledger
from tests.books import HOSTILE, NOW, add_qr
from tests.embedded import running_servers
from tests.home import Home, new_home
from tests.register_home import BANK

LATE_EVENING = datetime(2024, 6, 15, 2, 30, tzinfo=UTC)  # 22:30 on the 14th in Bolivia


HERE = {"bank": "sim", "environment": "certification"}


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        yield home


def fill(home: Home) -> None:
    with home.books() as store:
        one = add_qr(store, "QR1", status="completed")
        two = add_qr(store, "QR2", bank="other", account="till")
        for qr, movement, booked_at in (
            (one, Movement("t1", 10050, "BOB", LATE_EVENING, HOSTILE), LATE_EVENING),
            (one, Movement("t2", 30, "BOB", LATE_EVENING - timedelta(days=1), "=cmd()"), LATE_EVENING),
            (two, Movement("-1", 500, "JPY", None, None), datetime.now(UTC)),
        ):
            with store.write() as tx:
                ledger.book(tx, [ledger.Booking(qr, movement, "check")], booked_at)


def transactions(home: Home, *options: str) -> list[str]:
    return [item["bank_transaction_id"] for item in home.data("movements", *options)["items"]]


def test_every_row_has_every_key(home: Home) -> None:
    fill(home)
    data = home.data("movements")
    assert data["next"] is None
    assert data["totals"] == [
        {"currency": "BOB", "count": 2, "amount": "100.80"},
        {"currency": "JPY", "count": 1, "amount": "500"},
    ]
    assert data["items"][2] == {
        "id": 1, "qr_id": "QR1", "bank": "sim", "environment": "certification", "bank_transaction_id": "t1",
        "amount": "100.50", "currency": "BOB", "account": "main", "paid_at": LATE_EVENING.isoformat(),
        "booked_at": LATE_EVENING.isoformat(), "payer": HOSTILE, "source": "check", "status": "completed",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["-1", "t2", "t1"]),
        (["--date", "2024-06-14"], ["t1"]),
        (["--date", "2024-06-13"], ["t2"]),
        (["--date", "2024-06-15"], []),
        (["--date", "2024-06-14", "--bank", "other"], []),
        (["--since", "2d"], ["-1"]),
        (["--account", "till"], ["-1"]),
        (["--account", "nobody's"], []),
        (["--bank", "sim"], ["t2", "t1"]),
        (["--bank", "sim", "--account", "main", "--date", "2024-06-13"], ["t2"]),
    ],
)
def test_filters(home: Home, options: list[str], expected: list[str]) -> None:
    fill(home)
    assert transactions(home, *options) == expected


def test_the_day_is_of_the_banks_zone(home: Home) -> None:
    fill(home)
    tokyo = BANK | {"PAYSYNC_BANK_SIM_TIMEZONE": "Asia/Tokyo"}
    found = home.data("movements", "--date", "2024-06-15", **tokyo)["items"]
    assert [item["bank_transaction_id"] for item in found] == ["t1"]
    assert home.data("movements", "--date", "2024-06-15", "--tz", "Asia/Tokyo")["items"] == []


def test_the_command_for_the_next_page_is_told_and_works(home: Home) -> None:
    fill(home)
    words, seen = ["movements", "--account", "main", "--limit", "1"], []
    while words:
        ended = home.run(*words)
        seen += [word for word in ended.out.split() if word in ("t1", "t2")]
        more = [line for line in ended.out.splitlines() if line.startswith("more: ")]
        assert "2 movements, 100.80 BOB" in ended.out
        words = shlex.split(more[0].removeprefix("more: "))[1:] if more else []
    assert seen == ["t2", "t1"]


def test_rows_for_spreadsheets_are_guarded(home: Home) -> None:
    fill(home)
    ended = home.run("movements", "--csv", "--limit", "2")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert (rows[0]["bank_transaction_id"], rows[0]["amount"], rows[0]["paid_at"]) == ("-1", "500", "")
    assert (rows[1]["payer"], rows[1]["amount"]) == ("'=cmd()", "0.30")
    assert "more: paysync movements --limit 2 --after " in ended.err
    assert len([json.loads(line) for line in home.run("movements", "--jsonl").out.splitlines()]) == 3


def test_hostile_text_is_shown_harmless_and_whole(home: Home) -> None:
    fill(home)
    assert r"\x1b[31m[red]Ana\u202e\n=cmd()" in home.run("movements").out
    assert "\x1b[31m" not in home.on_terminal("movements", NO_COLOR="1").out


@pytest.mark.parametrize(
    "words",
    [["--date", "someday"], ["--date", "2999-01-01"], ["--since", "0"], ["--since", "x"], ["--bank", "nobody"],
     ["--date", "today", "--since", "2d"], ["--after", "x"], ["--limit", "0"]],
)  # fmt: skip
def test_wrong_use(home: Home, words: list[str]) -> None:
    fill(home)
    assert home.json("movements", *words, status=2)["data"] is None


def test_nothing_booked_and_no_database(home: Home) -> None:
    for name in ("movements", "accounts"):
        assert home.json(name, status=4)["errors"][0]["code"] == "no_database"
    with home.books():
        pass
    dead = {"REDIS_URL": "redis://127.0.0.1:9/0"}
    assert home.data("movements", **dead) == {"items": [], "totals": [], "next": None}
    assert home.data("accounts", **dead) == {"items": [], "differing": 0}
    assert "Nothing is booked" in home.run("movements").out
    assert home.run("accounts", "--csv").out == "bank,environment,account,currency,balance,movements,difference\n"
    assert not running_servers(home.folder)


# -- accounts


def test_balances(home: Home) -> None:
    fill(home)
    assert home.data("accounts") == {
        "items": [
            HERE
            | {"bank": "other", "account": "till", "currency": "JPY"}
            | {"balance": "500", "movements": "500", "difference": "0"},
            HERE
            | {"account": "main", "currency": "BOB"}
            | {"balance": "100.80", "movements": "100.80", "difference": "0.00"},
        ],
        "differing": 0,
    }
    assert home.run("accounts").err == ""


def test_a_difference_is_told_loudly(home: Home) -> None:
    fill(home)
    with home.books() as store, store.write() as tx:
        tx.exec_driver_sql("UPDATE paysync_accounts SET balance_minor = 10079 WHERE account = 'main'")
    found = home.json("accounts", status=6)
    assert (found["status"], found["data"]["differing"]) == ("partial", 1)
    assert found["data"]["items"][1]["difference"] == "-0.01"
    (error,) = found["errors"]
    assert error["code"] == "balance_differs"
    ended = home.run("accounts")
    sentence = "Account main at sim: the balance is 100.79 BOB, the movements add up to 100.80."
    assert (ended.status, sentence in ended.out, sentence in ended.err) == (6, True, True)
    for form in ("--csv", "--jsonl"):
        assert home.run("accounts", form).status == 6
    assert "sim,certification,main,BOB,100.79,100.80,-0.01" in home.run("accounts", "--csv").out


def test_account_names_for_spreadsheets_are_guarded(home: Home) -> None:
    with home.books() as store:
        qr = add_qr(store, "QR1", account="=cmd()")
        with store.write() as tx:
            ledger.book(tx, [ledger.Booking(qr, Movement("t1", 100, "BOB", NOW), "check")], NOW)
    assert "sim,certification,'=cmd(),BOB,1.00,1.00,0.00" in home.run("accounts", "--csv").out
