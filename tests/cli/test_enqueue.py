"""`paysync enqueue` as a real process: outcomes, exit statuses, what wrong input leaves behind (nothing)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.process import run_on_terminal
from tests.register_home import SECOND_BANK, RegisterHome

NO_REDIS = {"REDIS_URL": "redis://:canary-redis@127.0.0.1:9/0"}


@pytest.fixture
def home(tmp_path: Path) -> RegisterHome:
    return RegisterHome(tmp_path)


@pytest.fixture
def known(home: RegisterHome) -> RegisterHome:
    """A home that knows QR1."""
    assert home.run("enqueue", "QR1", "--amount", "100.50").status == 0
    return home


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {item["qr_id"]: item["outcome"] for item in document["data"]["items"]}


def test_only_the_id_is_required(home: RegisterHome) -> None:
    document = home.document("enqueue", "QR1")
    assert document["status"] == "ok"
    assert document["errors"] == []
    data = document["data"]
    assert {key: data[key] for key in ("created", "moved", "already_planned", "conflict", "final", "invalid")} == {
        "created": 1,
        "moved": 0,
        "already_planned": 0,
        "conflict": 0,
        "final": 0,
        "invalid": 0,
    }
    (row,) = home.rows()
    assert data["items"][0]["next_check_at"] == row["next_check_at"]
    fields = ("qr_id", "bank", "environment", "status", "amount_minor", "currency", "account", "due_at", "multi_use")
    assert [row[name] for name in fields] == ["QR1", "sim", "certification", "pending", None, "BOB", "main", None, 0]


def test_one_amount_for_several(home: RegisterHome) -> None:
    said = ["--amount", "20", "--due", "2031-12-31", "--multi-use", "--account", "till 2", "--priority", "low"]
    home.document("enqueue", "QR1", "QR2", *said)
    for row in home.rows():
        assert (row["amount_minor"], row["due_at"], row["multi_use"], row["account"], row["priority"]) == (
            2000,
            "2032-01-01T03:59:59.000000+00:00",
            1,
            "till 2",
            2,
        )


def test_an_embedded_server_that_does_not_run_is_no_error_and_is_not_started(home: RegisterHome) -> None:
    ended = home.run("enqueue", "QR1")
    assert (ended.status, ended.err) == (0, "")
    assert not list(home.folder.glob("redis/*.log"))


def test_redis_down_leaves_the_row_written(home: RegisterHome) -> None:
    document = home.document("enqueue", "QR1", status=69, env=NO_REDIS)
    assert document["status"] == "partial"
    assert outcomes(document) == {"QR1": "created"}
    (error,) = document["errors"]
    assert error["code"] == "redis_unavailable"
    assert "safe in the database" in error["hint"]
    assert "canary" not in str(document)
    assert home.ids() == ["QR1"]
    ended = home.run("enqueue", "QR2", env=NO_REDIS)
    assert (ended.status, ended.err.count("error:")) == (69, 1)
    assert home.ids() == ["QR1", "QR2"]


def test_redis_down_and_a_conflict_tells_both(known: RegisterHome) -> None:
    document = known.document("enqueue", "QR1", "--amount", "5", status=69, env=NO_REDIS)
    assert [error["code"] for error in document["errors"]] == ["conflict", "redis_unavailable"]


def test_known_again(known: RegisterHome) -> None:
    before = known.dump()
    assert outcomes(known.document("enqueue", "QR1", "--amount", "100.5")) == {"QR1": "already_planned"}
    assert known.dump() == before


def test_a_conflict_changes_nothing_and_names_what_differs(known: RegisterHome) -> None:
    before = known.dump()
    document = known.document("enqueue", "QR1", "--amount", "100.51", "--now", status=3)
    assert document["status"] == "partial"
    assert document["data"]["conflict"] == 1
    (error,) = document["errors"]
    assert error["code"] == "conflict"
    assert "amount is 100.50 BOB, not 100.51 BOB" in error["message"]
    assert known.dump() == before
    mixed = known.document("enqueue", "QR1", "QR2", "--account", "other", status=3)
    assert outcomes(mixed) == {"QR1": "conflict", "QR2": "created"}


def test_moved_by_now_in_and_at(known: RegisterHome) -> None:
    later = "UPDATE paysync_qrs SET next_check_at = '2099-01-01T00:00:00.000000+00:00'"
    for wish in (["--now"], ["--in", "10m"], ["--at", "2000-01-01"]):
        known.change(later)
        assert outcomes(known.document("enqueue", "QR1", *wish)) == {"QR1": "moved"}
        assert known.rows()[0]["next_check_at"] < "2099"


def test_now_on_an_exhausted_plan_grants_one_check_audited(known: RegisterHome) -> None:
    known.change(
        "UPDATE paysync_qrs SET plan_state = 'exhausted', checks = 20, next_check_at = '2099-01-01T00:00:00+00:00'"
    )
    assert outcomes(known.document("enqueue", "QR1", "--now")) == {"QR1": "moved"}
    assert (known.rows()[0]["max_checks"], known.rows()[0]["plan_state"]) == (21, "planned")
    (action,) = known.rows("paysync_audit")
    assert action["action"] == "grant_checks"
    assert "@" in action["who"]


def test_a_final_qr_is_no_error(known: RegisterHome) -> None:
    known.change("UPDATE paysync_qrs SET status = 'expired', plan_state = 'done', next_check_at = NULL")
    document = known.document("enqueue", "QR1", "--now")
    assert document["data"]["items"] == [
        {"qr_id": "QR1", "outcome": "final", "next_check_at": None, "detail": "expired"}
    ]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["QR9", "--amuont", "5"], "--amuont"),
        ([], "QR"),
        ([""], "the QR id is empty."),
        (["x" * 65], "has 65 characters; at most 64 are allowed."),
        (["a\x1b[31mb"], "contains U+001B at place 2"),
        (["a\nb"], "contains U+000A at place 2"),
        (["QR9", "--currency", "BOBS"], "currency 'BOBS' is not a currency code"),
        (["QR9", "--amount", "12,50"], "amount '12,50' has a comma: write 12.50, with a point."),
        (["QR9", "--amount", "-5"], "amount '-5' is not above zero."),
        (["QR9", "--amount", "0"], "amount '0' is not above zero."),
        (["QR9", "--amount", "10.005"], "has more than the 2 decimals of BOB"),
        (["QR9", "--amount", ""], "amount is empty"),
        (["QR9", "--due", "2026-01-01", "--issued-at", "2026-01-02"], "is before issued_at"),
        (["QR9", "--due", "31/12/2031"], "due '31/12/2031' is not a date"),
        (["QR9", "--issued-at", "2099-01-01"], "is in the future"),
        (["QR9", "--in", "soon"], "--in: 'soon' is not a time span"),
        (["QR9", "--in", "5m", "--now"], "--in, --at and --now exclude each other"),
        (["QR9", "--priority", "urgent"], "urgent"),
        (["QR9", "--more-checks", "0"], "--more-checks"),
        (["QR9", "--more-checks", "1001"], "--more-checks"),
        (["QR9", "--bank", "nobody"], "No bank is called 'nobody'"),
        (["QR9", "Q 10", "QR11"], "'Q 10' contains U+0020 SPACE"),
    ],
)
def test_wrong_input_is_a_sentence_and_writes_nothing(known: RegisterHome, args: list[str], says: str) -> None:
    before = known.dump()
    ended = known.run("enqueue", *args)
    assert (ended.status, ended.out) == (2, "")
    assert says in ended.err
    assert "Traceback" not in ended.err
    assert "\x1b" not in ended.err
    document = known.document("enqueue", *args, status=2)
    assert (document["status"], document["data"]) == ("error", None)
    assert any(says in error["message"] for error in document["errors"])
    assert known.dump() == before


def test_everything_wrong_at_once(known: RegisterHome) -> None:
    document = known.document(
        "enqueue", "a b", "QR2", "", "--amount", "1e3", "--currency", "X", "--due", "x", "--in", "x", status=2
    )
    assert [error["code"] for error in document["errors"]] == [
        "invalid_in",
        "invalid_qr_id",
        "invalid_currency",
        "invalid_amount",
        "invalid_due",
        "invalid_qr_id",
    ]


def test_bytes_that_are_no_text_are_refused(known: RegisterHome) -> None:
    ended = known.run("enqueue", b"Pe\xf1a".decode("utf-8", "surrogateescape"))
    assert ended.status == 2
    assert "contains U+DCF1 at place 3" in ended.err


def test_a_markup_like_id_is_shown_as_it_is(home: RegisterHome) -> None:
    ended = run_on_terminal("enqueue", "[red]QR[/red]", "=cmd()", env=home.env, cwd=home.folder)
    assert ended.status == 0
    assert "[red]QR[/red]" in ended.out
    assert "paysync worker" in ended.out  # nobody runs that would ask
    assert home.ids() == ["[red]QR[/red]", "=cmd()"]


def test_no_bank_names_the_ways_out(tmp_path: Path) -> None:
    home = RegisterHome(tmp_path)
    ended = home.run("enqueue", "QR1", env=dict.fromkeys(home.env.keys() - {"PAYSYNC_HOME", "PAYSYNC_LANG"}, ""))
    assert ended.status == 2
    assert not home.database.exists()


@pytest.mark.parametrize(
    "line", ["enqueue QR1 --amount x", "enqueue QR1 --in 5x", "import bad.csv", "import bad.csv --on-error skip"]
)
def test_what_is_wrong_makes_no_database(tmp_path: Path, line: str) -> None:
    home = RegisterHome(tmp_path)
    home.write("bad.csv", "qr_id,amount\nQR1,x\n")
    ended = home.run(*line.split())
    assert ended.status == (3 if "skip" in line else 2), ended
    assert not home.database.exists()


def test_several_banks_want_a_name(home: RegisterHome) -> None:
    assert home.run("enqueue", "QR1", env=SECOND_BANK).status == 2
    document = home.document("enqueue", "QR1", "--bank", "other", env=SECOND_BANK)
    assert document["data"]["bank"] == "other"
    (row,) = home.rows()
    assert (row["bank"], row["currency"], row["account"]) == ("other", "USD", "dollars")


def test_read_only_refuses(known: RegisterHome) -> None:
    before = known.dump()
    assert known.run("enqueue", "QR2", env={"PAYSYNC_READ_ONLY": "1"}).status == 5
    assert known.dump() == before
