"""`paysync reconcile` against the bank over HTTP: every kind of difference, late in Bolivia's evening, to the cent."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paysync_cli.payments.qr import Movement
from paysync_cli.payments.status import Status
from paysync_cli.store import ledger
from tests.home import NARROW, one_document
from tests.shop import Shop, shop

EVENING = datetime(2031, 6, 15, 2, 30, tzinfo=UTC)  # 22:30 on the 14th in Bolivia: 20:00 to 24:00 is tomorrow in UTC
NIGHT = datetime(2031, 6, 15, 4, 30, tzinfo=UTC)  # 00:30 on the 15th
DAY = "2031-06-14"


def payment(at: str, qr: str = "QR1", amount: str = "10.10", **more: Any) -> dict[str, Any]:
    """A QR of the bank with one payment at this Bolivian time of the 14th."""
    return {"id": qr, "amount": amount, "payment": [{"at": f"2031-06-14T{at}-04:00", **more}]}


def document(town: Shop, *args: str, status: int = 0) -> dict[str, Any]:
    ended = town.run("reconcile", *args, "--json", env=NARROW)
    assert ended.status == status, ended
    found: dict[str, Any] = one_document(ended.out)
    return found


def counts(data: dict[str, Any]) -> dict[str, int]:
    kinds = ("matched", "missing_here", "missing_there", "differing", "unknown", "unreadable")
    return {kind: data[kind] for kind in kinds if data[kind]}


def book(town: Shop, qr_id: str, *movements: Movement, at: datetime = EVENING) -> None:
    qr = town.qr(qr_id)
    with town.runtime() as runtime, runtime.store.write() as tx:
        ledger.book(tx, [ledger.Booking(qr, movement, "check") for movement in movements], at)


def test_the_whole_bolivian_day_is_one_day() -> None:
    """What the sweep booked matches on its own day and appears on no other, whatever UTC's date is."""
    moments = ("00:00:00", "19:59:59", "20:00:00", "21:05:11", "23:59:59")
    with shop({"qr": [payment(at, f"QR{n}") for n, at in enumerate(moments)]}, at=NIGHT) as town:
        town.register(*(f"QR{n}" for n in range(5)), issued_at=NIGHT - timedelta(days=3))
        assert town.json("sweep")["booked"] == 5
        assert counts(document(town)["data"]) == {"matched": 5}
        for other in ("2031-06-13", "2031-06-15", "today"):
            assert counts(document(town, "--date", other)["data"]) == {}


@pytest.mark.parametrize(
    ("date", "time"), [("midnight", "empty"), ("bare", "minutes"), ("zone", "seconds"), ("zone", "empty")]
)
def test_however_the_bank_spells_the_moment(date: str, time: str) -> None:
    wire = {"wire": {"time": time, "date": date}, "qr": [payment("22:15:00")]}
    with shop(wire, at=EVENING) as town:
        town.register("QR1", issued_at=EVENING - timedelta(days=1))
        town.json("sweep")
        assert counts(document(town, "--date", "today")["data"]) == {"matched": 1}
        assert counts(document(town, "--date", "yesterday")["data"]) == {}


def test_a_payment_whose_moment_the_bank_garbles_matches_on_the_banks_day() -> None:
    with shop({"qr": [payment("21:00:00", without=["paymentDate"])]}, at=EVENING) as town:
        town.register("QR1", issued_at=EVENING - timedelta(days=1))
        town.json("sweep")
        assert town.story("QR1").movements[0]["paid_at"] is None
        assert counts(document(town, "--date", DAY)["data"]) == {"matched": 1}
    with shop({"qr": [payment("21:00:00", without=["paymentDate"])]}, at=NIGHT) as town:
        town.register("QR1", issued_at=NIGHT - timedelta(days=1))
        town.json("check", "QR1")
        assert counts(document(town, "--date", "today")["data"]) == {}  # booked on the 15th, listed on the 14th
        assert counts(document(town)["data"]) == {"matched": 1}


def test_today_and_yesterday_are_the_banks() -> None:
    with shop(at=EVENING) as town:
        assert document(town, "--date", "today")["data"]["banks"][0]["day"] == DAY
        assert document(town)["data"]["banks"][0]["day"] == "2031-06-13"
        data = document(town, "--date", "today")["data"]
        assert (data["complete"], document(town)["data"]["complete"]) == (False, True)
        found = document(town, "--date", "2031-06-15", status=2)
        assert found["errors"][0]["code"] == "invalid_date"


SIX = {
    "qr": [
        payment("09:00:00", "MATCHED"),
        payment("21:00:00", "UNBOOKED", "0.30", id="700001"),
        payment("23:30:00", "LATE", "7.77", id="700002"),
        payment("10:00:00", "DIFFERS", "5.00", id="700003"),
        payment("11:00:00", "NOBODY", "3.33", id="700004"),
        payment("12:00:00", "GARBLED", "2.00", without=["amount"]),
    ]
}


def six(town: Shop) -> None:
    """Every kind of difference in one day."""
    town.register("MATCHED", issued_at=NIGHT - timedelta(days=2))
    assert town.json("check", "MATCHED")["changed"] == 1
    town.register("UNBOOKED", "DIFFERS", "GARBLED", "ONLY-HERE", amount=None)
    town.register("LATE", amount=777, due_at=NIGHT - timedelta(days=3))
    expire(town, "LATE")
    paid_at = datetime(2031, 6, 14, 15, 0, tzinfo=UTC)
    book(town, "DIFFERS", Movement("700003", 499, "BOB", paid_at))
    book(town, "ONLY-HERE", Movement("888888", 100, "BOB", paid_at))


def expire(town: Shop, qr_id: str) -> None:
    """As the due query would have, had the payment not come yet."""
    with town.runtime() as runtime, runtime.store.write() as tx:
        tx.exec_driver_sql(
            "UPDATE paysync_qrs SET status = 'expired', plan_state = 'done', next_check_at = NULL WHERE qr_id = ?",
            (qr_id,),
        )


def test_every_difference_and_the_fix_to_the_cent() -> None:
    with shop(SIX, at=NIGHT) as town:
        six(town)
        before = town.books()
        found = document(town, status=6)
        assert (found["status"], found["errors"][0]["code"]) == ("partial", "differences")
        assert "paysync reconcile --date 2031-06-14 --bank sim --fix" in found["errors"][0]["hint"]
        assert counts(found["data"]) == {
            "matched": 1, "missing_here": 2, "missing_there": 1, "differing": 1, "unknown": 1, "unreadable": 1
        }  # fmt: skip
        assert (found["data"]["complete"], found["data"]["matched_totals"]) == (True, {"BOB": "10.10"})
        assert town.books() == before

        fixed = document(town, "--fix", status=6)["data"]
        assert (fixed["fixed"], fixed["booked"], fixed["reviews_opened"]) == (True, 2, 4)
        left = {"matched": 3, "missing_there": 1, "differing": 1, "unknown": 1, "unreadable": 1}
        assert counts(fixed) == left
        assert fixed["matched_totals"] == {"BOB": "18.17"}
        assert town.books() == {"BOB": before["BOB"] + 30 + 777}
        assert (town.qr("LATE").status, town.qr("UNBOOKED").status) == (Status.COMPLETED, Status.COMPLETED)
        assert [m["source"] for m in town.story("LATE").movements] == ["reconcile"]
        assert [one["reason"] for one in town.story("LATE").reviews] == ["late_payment"]
        items = {item["kind"]: item for item in fixed["items"]}
        assert items["differing"] | {"review_id": None} == {
            "kind": "differing", "bank": "sim", "environment": "certification", "day": DAY, "qr_id": "DIFFERS",
            "bank_transaction_id": "700003", "amount": "5.00", "currency": "BOB", "booked_amount": "4.99",
            "booked_currency": "BOB", "paid_at": "2031-06-14T14:00:00+00:00", "payer": "ANA QUISPE",
            "status": "active", "problem": None, "review_id": None, "review_state": "open",
        } | {"status": town.qr("DIFFERS").status.value}  # fmt: skip
        assert (items["missing_there"]["amount"], items["missing_there"]["booked_amount"]) == (None, "1.00")

        books, stories = town.books(), {qr: town.story(qr) for qr in ("LATE", "UNBOOKED", "DIFFERS", "MATCHED")}
        again = document(town, "--fix", status=6)["data"]
        assert (again["booked"], again["reviews_opened"], counts(again)) == (0, 0, left)
        assert (town.books(), {qr: town.story(qr) for qr in stories}) == (books, stories)
        with town.runtime() as runtime, runtime.store.read() as tx:
            rows = tx.exec_driver_sql("SELECT action, object FROM paysync_audit").all()
        assert rows == [("reconcile_fix", "sim/2031-06-14")]


def test_a_day_that_was_never_swept_is_booked_whole() -> None:
    """The tool was off for a day: one command brings the books to the bank's sum."""
    qrs = [payment(f"{9 + n // 4:02}:{n % 4 * 15:02}:00", f"QR{n}", f"{n + 1}.0{n % 10}") for n in range(40)]
    with shop({"qr": qrs}, at=NIGHT) as town:
        town.register(*(f"QR{n}" for n in range(40)), amount=None)
        assert counts(document(town, status=6)["data"]) == {"missing_here": 40}
        data = document(town, "--fix")["data"]
        assert (counts(data), data["booked"]) == ({"matched": 40}, 40)
        assert town.books() == town.bank_says()
        assert document(town)["status"] == "ok"


def test_people_and_spreadsheets_read_it() -> None:
    with shop(SIX, at=NIGHT) as town:
        six(town)
        plain = town.run("reconcile")
        assert plain.status == 6
        assert "2 not booked here, 1 only here, 1 with another amount or currency, 1 of unknown QRs, 1 unreadable" in (
            plain.out
        )
        assert plain.err.startswith("error: sim, 2031-06-14: 2 not booked here")
        rows = {row["kind"]: row for row in csv.DictReader(io.StringIO(town.run("reconcile", "--csv").out))}
        assert rows["missing_there"]["booked_amount"] == "1.00"
        assert (rows["unreadable"]["problem"], rows["differing"]["amount"]) == ("no_amount", "5.00")
        lines = town.run("reconcile", "--jsonl").out.splitlines()
        assert len([json.loads(line) for line in lines]) == 6


def test_csv_is_guarded_against_formulas() -> None:
    with shop({"qr": [payment("10:00:00", "=cmd()", payer="@sum", amount="1.00")]}, at=NIGHT) as town:
        town.register("QR1")
        (row,) = csv.DictReader(io.StringIO(town.run("reconcile", "--csv").out))
        assert (row["qr_id"], row["payer"], row["amount"]) == ("'=cmd()", "'@sum", "1.00")


def test_a_shared_credential_makes_unknown_qrs_no_difference() -> None:
    with shop(
        {"qr": [payment("10:00:00", "FOREIGN")]}, at=NIGHT, env={"PAYSYNC_BANK_SIM_FOREIGN_QRS": "count"}
    ) as town:
        town.register("QR1")
        found = document(town)
        assert (found["status"], counts(found["data"])) == ("ok", {"unknown": 1})


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"kind": "server_error", "on": "paid"}, "bank_unavailable"),
        ({"kind": "html", "on": "paid"}, "bank_unavailable"),
        ({"kind": "login_refused"}, "bank_refused"),
    ],
)
def test_a_bank_that_cannot_be_read_is_never_fine(fault: dict[str, str], code: str) -> None:
    with shop({"fault": [fault]}, at=NIGHT) as town:
        town.register("QR1")
        found = document(town, status=69)
        assert (found["errors"][0]["code"], found["data"]["complete"]) == (code, False)
        assert document(town, "--fix", status=69)["data"]["banks"][0]["error"]


def test_read_only_looks_and_does_not_fix() -> None:
    with shop(SIX, at=NIGHT) as town:
        six(town)
        read_only = {"PAYSYNC_READ_ONLY": "1"}
        assert town.run("reconcile", env=read_only).status == 6
        before = town.books()
        assert town.run("reconcile", "--fix", env=read_only).status == 5
        assert town.books() == before


def test_no_database_no_bank_wrong_words() -> None:
    with shop() as town:
        assert town.run("reconcile").status == 4
        town.register("QR1")
        assert town.run("reconcile", "--bank", "nobody").status == 2
        assert town.run("reconcile", "--date", "someday").status == 2
        none = {name: "" for name in town.env if name.startswith("PAYSYNC_BANK_")}
        assert town.run("reconcile", env=none).status == 2
