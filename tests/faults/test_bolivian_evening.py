"""Between 20:00 and midnight in Bolivia it is tomorrow already in UTC, and in India. Whatever the machine's zone is: a
date ends with the bank's day, the lists asked for are the bank's days, and all machines tell the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from paysync_cli.payments.status import PlanState, Status
from paysync_cli.store import banks as bank_rows
from tests.shop import Shop, shop

ZONES = ["UTC", "America/La_Paz", "Asia/Kolkata"]
NINE = datetime(2031, 6, 15, 1, 0, tzinfo=UTC)  # 21:00 of 14 June in Bolivia
HALF_PAST_ELEVEN = datetime(2031, 6, 15, 3, 30, tzinfo=UTC)  # time enough for processes to start before midnight
MIDNIGHT = datetime(2031, 6, 15, 4, 0, tzinfo=UTC)
LAST_SECOND = MIDNIGHT - timedelta(seconds=1)
MARGIN = timedelta(minutes=2)


@pytest.mark.parametrize("zone", ZONES)
def test_in_the_evening_today_is_the_banks_today(zone: str) -> None:
    listed = {"in_status": "never"}
    scenario = {
        "qr": [
            {"id": "EVENING", "amount": "10.10", "payment": [{"at": "2031-06-14T20:30:00", **listed}]},
            {"id": "BEFORE", "amount": "7.00", "payment": [{"at": "2031-06-13T23:59:59", **listed}]},
        ]
    }
    with shop(scenario, at=NINE, env={"TZ": zone}) as town:
        for qr_id, more in {
            "EVENING": ("--amount", "10.10"),
            "BEFORE": ("--amount", "7.00", "--issued-at", "2031-06-13"),
            "TODAY": ("--amount", "10.10", "--due", "2031-06-14"),
            "YESTERDAY": ("--amount", "10.10", "--due", "2031-06-13"),
        }.items():
            town.json("enqueue", qr_id, *more)
        assert town.qr("TODAY").due_at == LAST_SECOND
        assert town.qr("YESTERDAY").due_at == LAST_SECOND - timedelta(days=1)
        assert town.qr("BEFORE").issued_at == datetime(2031, 6, 13, 4, 0, tzinfo=UTC)
        (swept,) = town.json("sweep")["banks"]
        assert [(day["day"], day["booked"], day["complete"]) for day in swept["days"]] == [
            ("2031-06-13", 1, True),
            ("2031-06-14", 1, False),
        ]
        for word, day, total in (("today", "2031-06-14", "10.10"), ("yesterday", "2031-06-13", "7.00")):
            (told,) = town.json("reconcile", "--date", word)["banks"]
            assert (told["day"], told["matched_totals"], told["missing_there"]) == (day, {"BOB": total}, 0)
            assert town.json("movements", "--date", word)["totals"] == [
                {"currency": "BOB", "count": 1, "amount": total}
            ]
        tomorrow = town.run("reconcile", "--date", "2031-06-15")
        assert (tomorrow.status, "it is 2031-06-14 at the bank" in tomorrow.err) == (2, True)
        town.start("worker", "--burst").wait(60)
        assert town.qr("YESTERDAY").status is Status.EXPIRED
        today = town.qr("TODAY")
        assert (today.status, today.plan.state, today.plan.checks) == (Status.PENDING, PlanState.PLANNED, 1)
        # The neighbours of a day are asked only where a payment may stand there: never a day that has not begun.
        assert days_asked(town) == {"20310613", "20310614"}


@pytest.mark.parametrize("zone", ZONES)
def test_a_date_ends_and_a_list_is_complete_after_the_banks_midnight(zone: str) -> None:
    late = [{"at": "2031-06-14T23:58:30", "in_status": "never"}]
    scenario = {"qr": [{"id": "LATE", "amount": "10.10", "payment": late}]}
    env = {"TZ": zone, "PAYMENT_SYNC_INTERVAL": "3m"}
    with shop(scenario, at=HALF_PAST_ELEVEN, speed=120, env=env) as town:
        # Issued on the 14th, also where the machine is so slow that it registers them after midnight.
        for qr_id, due in {"TODAY": "2031-06-14", "TOMORROW": "2031-06-15", "LATE": "2031-06-14"}.items():
            town.json("enqueue", qr_id, "--amount", "10.10", "--due", due, "--issued-at", "2031-06-14")
        assert town.qr("TODAY").due_at == LAST_SECOND
        town.start("worker")
        town.until_final(["TODAY", "LATE"])
        town.until(lambda: swept_day(town) == "2031-06-14")
        checks = town.story("TODAY").checks
        assert [check["at"] >= LAST_SECOND + MARGIN for check in checks] == [False] * (len(checks) - 1) + [True]
        assert town.qr("TODAY").status is Status.EXPIRED
        (movement,) = town.story("LATE").movements
        assert (movement["paid_at"], town.qr("LATE").status) == (MIDNIGHT - timedelta(seconds=90), Status.COMPLETED)
        assert not town.qr("TOMORROW").status.final
        assert days_asked(town) <= {"20310614", "20310615"}
        recent = [one for one in town.bank.requests()["recent"] if one["call"] == "paid"]
        # Each list is asked for from its first moment on; the last one of the 14th after its end and the margin.
        assert all(one["at"] >= MIDNIGHT.isoformat() for one in recent if one["subject"] == "20310615")
        last = max(datetime.fromisoformat(one["at"]) for one in recent if one["subject"] == "20310614")
        assert last >= MIDNIGHT + MARGIN
        (told,) = town.json("reconcile", "--date", "2031-06-14")["banks"]
        assert (told["matched"], told["complete"]) == (1, True)


def days_asked(town: Shop) -> set[str]:
    return {one["subject"] for one in town.bank.requests()["recent"] if one["call"] == "paid"}


def swept_day(town: Shop) -> str | None:
    with town.runtime() as runtime, runtime.store.read() as tx:
        day = bank_rows.swept(tx, "sim", "certification").day
    return None if day is None else day.isoformat()
