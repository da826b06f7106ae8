"""`paysync find` as scripts and people meet it."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterator

import pytest

from tests.books import add_qr, book
from tests.embedded import running_servers
from tests.home import Home, lines_seen, new_home


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        with home.books() as store:
            book(store, add_qr(store, "QR1", account="shop"), 2_000, transaction="TX9")
            add_qr(store, "QR2", amount=2_000)
            add_qr(store, "-QR3")
        yield home


def test_what_is_found_and_by_what(home: Home) -> None:
    data = home.data("find", "QR")
    assert data["next"] is None
    assert [(item["qr_id"], item["found_by"]) for item in data["items"]] == [("QR1", "qr_id"), ("QR2", "qr_id")]
    assert set(home.data("list")["items"][0]) == set(data["items"][0]) - {"found_by"}
    assert data["items"][0]["paid"] == "20.00"
    found = home.data("find", "20.00")["items"]
    assert [(item["qr_id"], item["found_by"]) for item in found] == [("QR2", "amount"), ("QR1", "paid")]
    assert [item["qr_id"] for item in home.data("find", " TX ")["items"]] == ["QR1"]


def test_rows_and_nothing(home: Home) -> None:
    assert home.data("find", "nothing") == {"items": [], "next": None}
    assert home.run("find", "nothing", "--csv").out.startswith("qr_id,bank,status,")
    assert [json.loads(line)["qr_id"] for line in home.run("find", "QR", "--jsonl").out.splitlines()] == ["QR1", "QR2"]
    (row,) = csv.DictReader(io.StringIO(home.run("find", "shop", "--csv").out))
    assert row["found_by"] == "account"
    assert "No QR is like this." in home.run("find", "nothing").out


@pytest.mark.parametrize("text", ["QR", "-QR3"])
def test_the_command_for_the_next_page_works_also_for_a_text_with_a_dash(home: Home, text: str) -> None:
    with home.books() as store:
        add_qr(store, "-QR3x")
    seen: list[str] = []
    words = ["find", "--limit", "1", "--", text]
    while words:
        _head, row, *more = home.run(*words).out.splitlines()
        seen.append(row.split()[0])
        words = shlex.split(more[0].removeprefix("more: "))[1:] if more else []
    assert seen == (["QR1", "QR2"] if text == "QR" else ["-QR3", "-QR3x"])


def test_on_a_terminal_it_fits(home: Home) -> None:
    for columns in (80, 120, 200):
        shown = lines_seen(home.on_terminal("find", "QR", columns=columns, NO_COLOR="1").out)
        assert max(map(len, shown)) <= columns
        assert any("Found by" in line for line in shown)


@pytest.mark.parametrize(("words", "said"), [(["find", " "], "Say what to look for"), (["find"], "TEXT is missing")])
def test_wrong_use(home: Home, words: list[str], said: str) -> None:
    assert said in home.json(*words, status=2)["errors"][0]["message"]


def test_it_needs_no_redis_and_a_database(home: Home) -> None:
    assert home.run("find", "QR", REDIS_URL="redis://127.0.0.1:1/0").status == 0
    assert running_servers(home.folder) == []
    with new_home() as empty:
        assert empty.json("find", "QR", status=4)["errors"][0]["code"] == "no_database"
