"""`paysync import` as a real process: every bad line is told with its number, nothing is half-written."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from paysync_cli.views.document import csv_cell
from tests.process import run_on_terminal, start_paysync
from tests.register_home import SECOND_BANK, RegisterHome

GOOD = "qr_id,amount,due\nQR1,100.50,2031-12-31\nQR2,20,\n"
NO_REDIS = {"REDIS_URL": "redis://127.0.0.1:9/0"}
PATIENCE_S = 60.0


@pytest.fixture
def home(tmp_path: Path) -> RegisterHome:
    return RegisterHome(tmp_path)


@pytest.fixture
def known(home: RegisterHome) -> RegisterHome:
    """A home whose database knows OLD."""
    assert home.run("enqueue", "OLD", "--amount", "100.50").status == 0
    return home


def counts(data: dict[str, object]) -> dict[str, object]:
    """The counts that are not zero."""
    names = ("created", "moved", "already_planned", "conflict", "final", "invalid")
    return {name: data[name] for name in names if data[name]}


def test_a_file_goes_in_and_again_changes_nothing(home: RegisterHome) -> None:
    name = home.write("qrs.csv", GOOD)
    document = home.document("import", name)
    data = document["data"]
    assert (document["status"], document["errors"], counts(data), data["lines"]) == ("ok", [], {"created": 2}, 2)
    assert (data["items"], data["items_cut"], data["invalid_lines"], data["dry_run"]) == ([], 0, [], False)
    assert [(row["qr_id"], row["amount_minor"], row["due_at"]) for row in home.rows()] == [
        ("QR1", 10050, "2032-01-01T03:59:59.000000+00:00"),
        ("QR2", 2000, None),
    ]
    before = home.dump()
    again = home.document("import", name)["data"]
    assert counts(again) == {"already_planned": 2}
    assert [(item["qr_id"], item["outcome"], item["line"]) for item in again["items"]] == [
        ("QR1", "already_planned", 2),
        ("QR2", "already_planned", 3),
    ]
    assert home.dump() == before


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffqr_id,amount\r\nQR1,100.50\r\n",
        "qr_id;amount\nQR1;100.50\n",
        "amount\tqr_id\n100.50\tQR1\n",
        '{"qr_id": "QR1", "amount": 100.50}\n',
        '{"qr_id": "QR1", "amount": "100.50", "multi_use": false}',
    ],
)
def test_the_forms_of_a_file(home: RegisterHome, content: str) -> None:
    for args, stdin in (((home.write("qrs.txt", content),), None), (("-",), content)):
        home.document("import", *args, stdin=stdin)
    (row,) = home.rows()
    assert (row["qr_id"], row["amount_minor"]) == ("QR1", 10050)


def test_all_columns(home: RegisterHome) -> None:
    name = home.write(
        "qrs.csv",
        "qr_id,amount,currency,due,account,bank,issued_at,multi_use\n"
        'A,1.5,USD,2031-12-31,"till, 2",other,2026-01-01,sí\n'
        "B,1.5,,,,sim,,no\n"
        "C,1.5,,,,,,\n",
    )
    assert home.document("import", name, "--bank", "other", env=SECOND_BANK)["data"]["created"] == 3
    fields = ("bank", "currency", "account", "multi_use")
    assert {row["qr_id"]: tuple(row[name] for name in fields) for row in home.rows()} == {
        "A": ("other", "USD", "till, 2", 1),
        "B": ("sim", "BOB", "main", 0),
        "C": ("other", "USD", "dollars", 0),
    }


def test_several_banks_want_a_name_on_every_line(home: RegisterHome) -> None:
    name = home.write("qrs.csv", "qr_id,bank\nA,sim\nB,\nC,nobody\n")
    document = home.document("import", name, status=2, env=SECOND_BANK)
    first, second, _total = (error["message"] for error in document["errors"])
    assert first == "line 3: it names no bank and there are several (other, sim): add the column bank, or --bank."
    assert second == "line 4: no bank is called 'nobody'; there are: other, sim."


BAD_FILES: list[tuple[str | bytes, dict[int, str]]] = [
    ("qr_id\n" + "x" * 65 + "\n", {2: "has 65 characters; at most 64 are allowed."}),
    ("qr_id\nA\x1b[31m\nB\n", {2: "contains U+001B at place 2"}),
    ("qr_id,amount\n,5\n", {2: "qr_id is missing."}),
    ("qr_id,currency\nA,BOBS\n", {2: "currency 'BOBS' is not a currency code"}),
    ('qr_id,amount\nA,"12,50"\n', {2: "amount '12,50' has a comma: write 12.50, with a point."}),
    ("qr_id;amount\nA;12,50\n", {2: "amount '12,50' has a comma: write 12.50, with a point."}),
    ("qr_id,amount\nA,12,50\n", {2: "it has 3 cells, the header has 2"}),
    (
        "qr_id,amount\nA,-5\nB,0\nC,1.005\n",
        {2: "is not above zero", 3: "is not above zero", 4: "the 2 decimals of BOB"},
    ),
    ("qr_id,due,issued_at\nA,2026-01-01,2026-01-02\n", {2: "is before issued_at"}),
    ("qr_id\r\nA\r\nB\r\nA\r\nB\r\n", {4: "QR id 'A' is already on line 2.", 5: "QR id 'B' is already on line 3."}),
    (b"qr_id,account\nA,x\nB,Pe\xf1a\n", {3: "byte 0xF1 at place 5 is not UTF-8"}),
    ("qr_id\nA\0\n", {2: "contains a NUL byte"}),
    ('{"qr_id":"A"}\n{"qr_id":"A"}\n{"qr_id":"B"\n', {2: "is already on line 1", 3: "not one whole JSON object"}),
    ('{"qr_id":"A","amount":0.1000000000000000055511}\n', {1: "has more than the 2 decimals of BOB"}),
]


@pytest.mark.parametrize(("content", "bad"), BAD_FILES)
def test_bad_lines_are_told_and_nothing_is_written(
    known: RegisterHome, content: str | bytes, bad: dict[int, str]
) -> None:
    before = known.dump()
    name = known.write("bad.csv", content)
    ended = known.run("import", name)
    assert (ended.status, ended.out) == (2, "")
    told = [line for line in ended.err.splitlines() if "line " in line]
    assert len(told) == len(bad)
    for line, (number, says) in zip(told, bad.items(), strict=True):
        assert f"line {number}: " in line
        assert says in line
    assert "nothing was written" in ended.err
    assert "Traceback" not in ended.err
    document = known.document("import", name, status=2)
    assert (document["status"], document["data"]) == ("error", None)
    assert len(document["errors"]) == len(bad) + 1
    assert known.dump() == before


@pytest.mark.parametrize(("content", "bad"), BAD_FILES)
def test_skip_lets_the_rest_in(known: RegisterHome, content: str | bytes, bad: dict[int, str]) -> None:
    """Exactly the good lines: two more, and those among the bad ones."""
    raw = content.encode() if isinstance(content, str) else content
    more = b'{"qr_id":"NEW"}\n' if raw.startswith(b"{") else b"NEW" + b",;"[b";" in raw :][:1] * _width(raw) + b"\n"
    name = known.write("bad.csv", raw + more)
    document = known.document("import", name, "--on-error", "skip", status=3)
    data = document["data"]
    assert document["status"] == "partial"
    assert data["invalid"] == len(bad) == len(document["errors"])
    assert data["lines"] == data["invalid"] + data["created"]
    assert [line["line"] for line in data["invalid_lines"]] == list(bad)
    assert "NEW" in known.ids()
    assert len(known.ids()) == 1 + data["created"]


def _width(raw: bytes) -> int:
    header = raw.splitlines()[0]
    return header.count(b",") + header.count(b";")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("amount\n5\n", "line 1: the column qr_id is missing."),
        ("qr_id,ammount\nA,5\n", "'ammount' is not known; did you mean amount?"),
        ("qr_id,qr_id\nA,B\n", "the column qr_id is there 2 times"),
        ('qr_id,account\nA,x\nB,"cut off here\nC,y\n', "line 3: a quoted cell that begins here is never closed"),
        ("qr_id\n" + "x" * 70_000, "line 2 is longer than"),
        ("qr_id\nA\n".encode("utf-16"), "is UTF-16"),
    ],
)
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_files_that_cannot_be_read_write_nothing_either_way(
    known: RegisterHome, content: str | bytes, says: str, on_error: str
) -> None:
    before = known.dump()
    ended = known.run("import", known.write("bad.csv", content), "--on-error", on_error)
    assert (ended.status, ended.out) == (2, "")
    assert says in ended.err
    assert known.dump() == before


def test_what_is_no_file(home: RegisterHome) -> None:
    (home.folder / "folder").mkdir()
    for name, status, says in (
        ("nowhere.csv", 4, "There is no file nowhere.csv."),
        ("folder", 2, "folder is a folder, not a file."),
    ):
        ended = home.run("import", name)
        assert (ended.status, ended.out) == (status, "")
        assert says in ended.err
    assert not home.database.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(home: RegisterHome) -> None:
    name = home.write("secret.csv", GOOD)
    (home.folder / name).chmod(0)
    ended = home.run("import", name)
    assert ended.status == 2
    assert "secret.csv cannot be read" in ended.err


def test_a_header_alone_is_nothing_to_do_and_said(home: RegisterHome) -> None:
    ended = home.run("import", home.write("qrs.csv", "qr_id,amount\n"))
    assert ended.status == 0
    assert "qrs.csv has a header and nothing else." in ended.err


def test_wrong_use(home: RegisterHome) -> None:
    name = home.write("qrs.csv", GOOD)
    for args in ([name, "--skip"], [], [name, "more"], [name, "--on-error", "ignore"], [name, "--bank", "nobody"]):
        ended = home.run("import", *args)
        assert (ended.status, ended.out) == (2, "")
    assert not home.database.exists()


def test_many_bad_lines_are_bounded_and_counted(known: RegisterHome) -> None:
    name = known.write("bad.csv", "qr_id,amount\n" + "".join(f"Q{n},-{n}\n" for n in range(1, 1501)))
    ended = known.run("import", name)
    told = [line for line in ended.err.splitlines() if "line " in line]
    assert len(told) == 20
    assert told[-1].endswith("line 21: amount '-20' is not above zero.")
    assert "1480 more lines are wrong." in ended.err
    assert "1500 of 1500 lines are wrong; nothing was written." in ended.err
    errors = known.document("import", name, status=2)["errors"]
    assert [error["code"] for error in errors[-3:]] == ["invalid_amount", "more_invalid_lines", "invalid_lines"]
    assert len(errors) == 1002
    assert known.ids() == ["OLD"]


def test_conflicts_are_told_with_their_line(known: RegisterHome) -> None:
    name = known.write("qrs.csv", "qr_id,amount\nNEW,1\nOLD,99\n")
    document = known.document("import", name, status=3)
    assert counts(document["data"]) == {"created": 1, "conflict": 1}
    (error,) = document["errors"]
    assert error["code"] == "conflict"
    assert error["message"].startswith("line 3: QR OLD is known otherwise: amount is 100.50 BOB, not 99.00 BOB.")
    assert {row["qr_id"]: row["amount_minor"] for row in known.rows()} == {"OLD": 10050, "NEW": 100}


def test_items_are_capped_visibly_and_conflicts_are_not_crowded_out(home: RegisterHome) -> None:
    rows = "".join(f"Q{n},1\n" for n in range(2500))
    home.document("import", home.write("qrs.csv", "qr_id,amount\n" + rows))
    name = home.write("again.csv", "qr_id,amount\n" + rows.replace("Q2499,1\n", "Q2499,2\n"))
    data = home.document("import", name, status=3)["data"]
    assert counts(data) == {"already_planned": 2499, "conflict": 1}
    assert (len(data["items"]), data["items_cut"]) == (1000, 1500)
    assert data["items"][-1]["qr_id"] == "Q2499"


def test_a_dry_run_says_what_would_come_and_writes_nothing(known: RegisterHome) -> None:
    name = known.write("qrs.csv", "qr_id,amount\nOLD,100.50\nNEW,1\nBAD,x\n")
    before = known.dump()
    stopped = known.document("import", name, "--dry-run", status=2)
    assert stopped["status"] == "error"
    dry = known.document("import", name, "--dry-run", "--on-error", "skip", status=3, env=NO_REDIS)["data"]
    assert dry["dry_run"] is True
    assert known.dump() == before
    real = known.document("import", name, "--on-error", "skip", status=3)["data"]
    assert counts(dry) == counts(real) == {"created": 1, "already_planned": 1, "invalid": 1}


def test_a_dry_run_makes_no_database(home: RegisterHome) -> None:
    data = home.document("import", home.write("qrs.csv", GOOD), "--dry-run")["data"]
    assert counts(data) == {"created": 2}
    assert not home.database.exists()


def test_redis_down_leaves_the_rows_written(home: RegisterHome) -> None:
    document = home.document("import", home.write("qrs.csv", GOOD), status=69, env=NO_REDIS)
    assert document["status"] == "partial"
    assert [error["code"] for error in document["errors"]] == ["redis_unavailable"]
    assert home.ids() == ["QR1", "QR2"]


def test_a_pipe_by_name(home: RegisterHome) -> None:
    fifo = home.folder / "fifo"
    os.mkfifo(fifo)
    process = start_paysync("import", "fifo", "--json", env=home.env, cwd=home.folder)
    fifo.write_text(GOOD)
    out, _err = process.communicate(timeout=PATIENCE_S)
    assert json.loads(out)["data"]["created"] == 2


# -- cut short


def big_file(home: RegisterHome, lines: int) -> str:
    return home.write("big.csv", "qr_id,amount\n" + "".join(f"Q{n:06},1.50\n" for n in range(lines)))


def until(look: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < give_up, "it never came to that"
        time.sleep(0.005)


def some_are_in(home: RegisterHome) -> bool:
    try:
        return bool(home.rows())
    except Exception:  # the database is being made
        return False


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_whole_chunks_and_running_again_goes_on(
    home: RegisterHome, number: signal.Signals, status: int
) -> None:
    name = big_file(home, 40_000)
    process = start_paysync("import", name, env=home.env, cwd=home.folder)
    until(lambda: some_are_in(home))
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (status, "")
    there = len(home.ids())
    assert 0 < there < 40_000
    assert there % 1000 == 0
    assert f"Cut short: {there} of 40000 lines are in; run it again to go on." in err
    assert "Traceback" not in err
    data = home.document("import", name)["data"]
    assert counts(data) == {"created": 40_000 - there, "already_planned": there}


def test_a_file_that_changes_meanwhile_is_refused(home: RegisterHome) -> None:
    name = big_file(home, 40_000)
    process = start_paysync("import", name, "--json", env=home.env, cwd=home.folder)
    until(lambda: some_are_in(home))
    with (home.folder / name).open("a") as file:
        file.write("MORE,1\n")
    out, _err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    (error,) = json.loads(out)["errors"]
    there = len(home.ids())
    assert error["code"] == "file_changed"
    assert f"{there} lines had gone in" in error["message"]
    assert there % 1000 == 0


def test_its_time_out(home: RegisterHome) -> None:
    ended = home.run("import", big_file(home, 40_000), "--timeout", "1ms")
    assert ended.status == 124
    assert "Cut short" in ended.err or "was not done" in ended.err


# -- on a terminal


def test_a_bar_on_a_terminal(home: RegisterHome) -> None:
    ended = run_on_terminal("import", big_file(home, 3000), env=home.env, cwd=home.folder)
    assert ended.status == 0
    assert "importing" in ended.out
    assert "3000/3000" in ended.out


def test_hostile_text_is_shown_harmless(home: RegisterHome) -> None:
    name = home.write("bad.csv", "qr_id,account\n\x1b[31m[red]x[/red],a\n")
    ended = run_on_terminal("import", name, env=home.env | {"NO_COLOR": "1"}, cwd=home.folder)
    assert ended.status == 2
    assert "\x1b[31m[red]" not in ended.out
    assert "[red]x[/red]" in ended.out


def test_our_own_export_comes_back_in(home: RegisterHome) -> None:
    """Plain ids are exported unchanged; only what a spreadsheet would run is guarded."""
    ids = ["QR1", "Ñandú", "12345678901234567890"]
    with (home.folder / "own.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["qr_id", "amount"], *([csv_cell(one), csv_cell("100.50")] for one in ids)])
    home.document("import", "own.csv")
    assert home.ids() == ids


def test_when_and_how_to_ask_holds_for_the_whole_file(known: RegisterHome) -> None:
    known.change("UPDATE paysync_qrs SET next_check_at = '2099-01-01T00:00:00.000000+00:00'")
    name = known.write("qrs.csv", "qr_id\nOLD\nNEW\n")
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    local = moment.astimezone(ZoneInfo("America/La_Paz"))  # the bank's
    words = ("import", name, "--at", f"{local:%Y-%m-%dT%H:%M:%S}", "--priority", "high")
    foretold = known.document(*words, "--dry-run")["data"]
    assert counts(foretold) == counts(known.document(*words)["data"]) == {"created": 1, "moved": 1}
    wanted = (moment.isoformat(timespec="microseconds"), 0)
    assert [(row["next_check_at"], row["priority"]) for row in known.rows()] == [wanted, wanted]
    assert "exclude each other" in known.document(*words, "--now", status=2)["errors"][0]["message"]
