"""`paysync hold` and `paysync release` as scripts and people meet them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from paysync_cli.services.notices import take_notice
from tests.books import add_qr
from tests.embedded import running_servers
from tests.home import Home, new_home

WHY = "customer disputes the charge"
BANK = {"ADAPTER": "baneco", "BASE_URL": "https://bank.test", "ENVIRONMENT": "certification", "ACCOUNT": "main",
        "USERNAME": "shop", "PASSWORD": "canary-password", "AES_KEY": "canary-aes-key-0123456789abcdef0"}  # fmt: skip


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        with home.books() as store:
            add_qr(store, "QR1", at=datetime.now(UTC) - timedelta(hours=1))
            add_qr(store, "QR2", at=datetime.now(UTC) + timedelta(hours=1))
            add_qr(store, "DONE", status="completed")
        yield home


def outcomes(data: dict[str, object]) -> dict[str, str]:
    return {item["qr_id"]: item["outcome"] for item in data["items"]}  # type: ignore[attr-defined]


def test_held_and_released(home: Home) -> None:
    data = home.data("hold", "QR1", "DONE", "--reason", WHY)
    assert outcomes(data) == {"QR1": "held", "DONE": "final"}
    assert (data["held"], data["already_held"], data["final"], data["not_found"]) == (1, 0, 1, 0)
    assert data["items"][0]["plan_state"] == "held"
    assert [item["qr_id"] for item in home.data("list", "--held")["items"]] == ["QR1"]
    assert outcomes(home.data("hold", "QR1", "--reason", WHY)) == {"QR1": "already_held"}
    data = home.data("release", "QR1", "QR2", "DONE")
    assert outcomes(data) == {"QR1": "released", "QR2": "not_held", "DONE": "final"}
    assert (data["released"], data["not_held"], data["final"], data["not_found"]) == (1, 1, 1, 0)
    assert [item["qr_id"] for item in home.data("list", "--due")["items"]] == ["QR1"]
    shown = home.data("show", "QR1")["actions"]
    assert [(action["action"], action["reason"]) for action in shown] == [("hold", WHY), ("release", None)]


def test_some_are_not_known(home: Home) -> None:
    found = home.json("hold", "QR3", "QR1", "--reason", WHY, status=3)
    assert (found["status"], outcomes(found["data"])) == ("partial", {"QR3": "not_found", "QR1": "held"})
    (error,) = found["errors"]
    assert error["code"] == "no_qr"
    assert "Did you mean" in error["hint"]
    found = home.json("release", "QR1", "QR3", status=3)
    assert outcomes(found["data"]) == {"QR1": "released", "QR3": "not_found"}


def test_none_is_known(home: Home) -> None:
    for words in (["hold", "X", "Y", "--reason", WHY], ["release", "X", "Y"]):
        found = home.json(*words, status=4)
        assert [error["code"] for error in found["errors"]] == ["no_qr", "no_qr"]


def test_an_id_of_two_banks_must_be_told_apart(home: Home) -> None:
    with home.books() as store:
        add_qr(store, "QR1", bank="other")
        add_qr(store, "QR1", environment="production")
    assert home.json("hold", "QR1", "--reason", WHY, status=2)["errors"][0]["code"] == "ambiguous_qr"
    assert home.data("list", "--held")["items"] == []
    data = home.data("hold", "QR1", "--bank", "sim", "--environment", "production", "--reason", WHY)
    assert (data["items"][0]["bank"], data["items"][0]["environment"]) == ("sim", "production")


@pytest.mark.parametrize("words", [["QR1"], ["QR1", "--no-input"], ["QR1", "--reason", ""], ["--reason", WHY]])
def test_without_a_reason_or_a_qr_nothing_is_held(home: Home, words: list[str]) -> None:
    assert home.json("hold", *words, status=2)["status"] == "error"
    assert home.data("list", "--held")["items"] == []


def test_on_a_terminal_the_reason_is_asked(home: Home) -> None:
    assert home.on_terminal("hold", "QR1", typed="\n").status == 5
    assert home.data("list", "--held")["items"] == []
    ended = home.on_terminal("hold", "QR1", typed=f"{WHY}\n")
    assert ended.status == 0
    assert "Why? " in ended.out
    assert home.data("show", "QR1")["actions"][0]["reason"] == WHY


def test_people_read_a_table(home: Home) -> None:
    ended = home.run("hold", "QR1", "DONE", "NOBODY", "--reason", WHY)
    assert ended.status == 3
    header, *rows = ended.out.splitlines()
    assert header.split() == ["QR", "OUTCOME", "NEXT", "CHECK"]
    assert [row.split("  ")[0].strip() for row in rows] == ["QR1", "DONE", "NOBODY"]
    assert "not asked about anyway" in rows[1]
    assert ended.err.startswith("error: No QR NOBODY is known.")


def test_an_ended_qr_that_is_asked_about_once_more_cannot_be_held(home: Home) -> None:
    with home.books() as store:
        take_notice(store, ["DONE"], bank="sim", environment="certification", now=datetime.now(UTC))
    ended = home.run("hold", "DONE", "--reason", WHY)
    assert ended.status == 0
    assert "final: asked about once more, since the bank gave notice" in ended.out
    (item,) = home.data("hold", "DONE", "--reason", WHY)["items"]
    assert (item["outcome"], item["plan_state"], item["status"]) == ("final", "planned", "completed")
    bank = {f"PAYSYNC_BANK_SIM_{key}": value for key, value in BANK.items()}
    assert home.data("bank", "show", "sim", **bank)["open"] == 2, "it is asked about, and not open"


def test_read_only_and_no_database(home: Home) -> None:
    assert home.run("hold", "QR1", "--reason", WHY, PAYSYNC_READ_ONLY="1").status == 5
    assert home.run("release", "QR1", PAYSYNC_READ_ONLY="1").status == 5
    with new_home() as empty:
        assert empty.run("hold", "QR1", "--reason", WHY).status == 4
        assert empty.run("release", "QR1").status == 4


def test_no_redis_is_needed(home: Home) -> None:
    dead = {"REDIS_URL": "redis://127.0.0.1:9/0"}
    assert outcomes(home.data("hold", "QR1", "--reason", WHY, **dead)) == {"QR1": "held"}
    assert outcomes(home.data("release", "QR1", "--reason", "settled", **dead)) == {"QR1": "released"}
    assert not running_servers(home.folder)
