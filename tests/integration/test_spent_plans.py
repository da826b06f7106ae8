"""QRs whose checks are used up, at a bank without a day list: visible, alerted, still reached; and one of them whose
bank is down at the very question that would end it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from paysync_cli.payments.status import PlanState, Status
from paysync_cli.store import alerts
from paysync_cli.store.tables import qrs
from tests.shop import Shop, shop

IDS = [f"{word:a<30}" for word in ("Uno", "Dos", "Tres")]  # as BNB's ids are
UNPAID = IDS[0]
DAY_S = 86_400
SHORT = {"PAYSYNC_DELAY_PENDING": "1s", "PAYSYNC_DELAY_ACTIVE": "1s"}
A_NEW_HOUR = datetime(2031, 6, 14, 16, 0, tzinfo=UTC)


def alerted(town: Shop) -> dict[str, int]:
    """How often each kind of alert came, over all hours."""
    counts: dict[str, int] = {}
    with town.runtime() as runtime, runtime.store.read() as tx:
        for alert in alerts.list_alerts(tx):
            counts[alert.kind] = counts.get(alert.kind, 0) + alert.count
    return counts


def nearly_spend(town: Shop, *qr_ids: str) -> None:
    """Eighteen of their checks were made long ago: each takes its second."""
    with town.runtime() as runtime, runtime.store.write() as tx:
        tx.execute(update(qrs).where(qrs.c.qr_id.in_(qr_ids)).values(checks=18))


def load(town: Shop, *, down: bool) -> None:
    faults = [{"kind": "server_error", "status": 503, "on": "status"}] if down else []
    town.bank.load({"qr": [{"id": UNPAID, "amount": "10.10"}], "fault": faults, "token_lifetime": "1000d"})


def test_a_bank_that_is_down_at_the_last_question_ends_nothing() -> None:
    """Its 20 checks are spent, its due moment is over, and nobody answers: it stays open, somebody is alerted, it is
    asked again, and only the answer that it was not paid ends it. A day of the clock takes some seconds."""
    with shop(speed=DAY_S / 4, dialect="bnb") as town:
        load(town, down=False)
        town.register(UNPAID)
        nearly_spend(town, UNPAID)
        town.start("worker")
        town.until(lambda: town.qr(UNPAID).plan.state is PlanState.EXHAUSTED)
        spent = town.qr(UNPAID)
        assert (spent.status, spent.plan.checks) == (Status.ACTIVE, 20)
        assert alerted(town) == {"plan_exhausted": 1}

        load(town, down=True)
        with town.runtime() as runtime:
            due_at = (runtime.clock.now() - timedelta(hours=1)).replace(microsecond=0)
        town.json("enqueue", UNPAID, "--update", "--due", due_at.isoformat())
        town.until(lambda: alerted(town).get("due_query_failed"))
        open_still = town.qr(UNPAID)
        assert (open_still.status, open_still.plan.checks) == (Status.ACTIVE, 20)
        assert open_still.plan.next_check_at is not None
        assert town.run("list", "--exhausted", "--json").out.count(UNPAID) == 1

        load(town, down=False)
        town.until_final([UNPAID])
        assert town.qr(UNPAID).status is Status.EXPIRED
        *_before, last = town.story(UNPAID).checks
        assert (last["outcome"], last["at"] > due_at + timedelta(minutes=2)) == ("unpaid", True)
        failed = [check["attempt"] for check in town.story(UNPAID).checks if check["outcome"] == "unavailable"]
        assert failed[:3] == [1, 2, 3]
        assert alerted(town)["plan_exhausted"] == 1


def test_several_that_are_spent_in_an_hour_are_one_alert() -> None:
    with shop(speed=20, at=A_NEW_HOUR, dialect="bnb", env=SHORT) as town:
        town.bank.load({"qr": [{"id": qr_id, "amount": "10.10"} for qr_id in IDS], "token_lifetime": "10d"})
        town.register(*IDS)
        nearly_spend(town, *IDS)
        town.start("worker")
        town.until(lambda: {town.qr(qr_id).plan.state for qr_id in IDS} == {PlanState.EXHAUSTED})
        with town.runtime() as runtime, runtime.store.read() as tx:
            (alert,) = alerts.list_alerts(tx)
        assert (alert.kind, alert.bank, alert.bucket, alert.count) == ("plan_exhausted", "sim", "2031-06-14T16", 3)
        assert town.json("stats")["banks"][0]["exhausted"] == 3
        assert all(town.qr(qr_id).plan.next_check_at for qr_id in IDS)
