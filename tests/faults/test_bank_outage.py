"""A bank that is away for an hour, a slow one beside a quick one, a pause: what other banks and the plan notice."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from paysync_cli.banks.simulator import RunningSimulator
from paysync_cli.services.register import Request, enqueue
from paysync_cli.store import alerts, qrs
from paysync_cli.store.clock import read as read_clock
from tests.shop import Shop, shop

SPEED = 120.0


def test_an_hour_without_the_bank_costs_no_attempts_and_ends_without_a_burst() -> None:
    """5,000 due QRs, the bank away for an hour of the compressed clock; another bank goes on as planned."""
    ids = [f"QR{n}" for n in range(5000)]
    with two_banks({"token_lifetime": "1d"}) as (town, other):
        town.register(*ids)
        register_at_other(town, [f"OTHER{n}" for n in range(5)])
        town.start("worker", "--concurrency", "20", env={"PAYSYNC_BANK_SIM_RATE": "10/s"})
        town.until(lambda: town.status_calls())
        town.bank.load({"fault": [{"kind": "down", "on": "all", "from": "+0s", "until": "+3600s"}]})
        went_down_at = clock_of(town)
        town.until(lambda: events(town, "breaker_open"), 0.2)
        town.until(lambda: town.bank.requests()["in_flight"] == 0)
        asked_before = checks_used(town, "sim")
        calls_before = town.bank.requests()["calls"]["status"]
        town.until(lambda: clock_of(town) > went_down_at + 3500, 0.5)
        used = attempts_used(town)
        # The calls that opened the breaker: five in a row, and what was in flight beside them.
        assert 0 < used <= 5 + 20
        assert checks_used(town, "sim") == asked_before
        assert len(events(town, "breaker_probe")) >= 3
        assert town.bank.requests()["calls"]["status"] == calls_before
        town.until(lambda: any(not line["failed"] for line in events(town, "breaker_probe")), 0.5)
        town.until(lambda: checks_used(town, "sim") >= asked_before + 300, 0.2)
        assert busiest_second(town, "sim") <= 10 + 5
        assert attempts_used(town) == used
        # The other bank's QRs were asked all the while, at their own moments.
        assert checks_used(town, "other") >= 5 * 7
        with town.runtime() as runtime, runtime.store.read() as tx:
            raised = [alert for alert in alerts.list_alerts(tx, bank="sim") if alert.kind == "breaker_open"]
        assert raised
        assert other.requests()["calls"]["status"] >= 35


def test_a_paused_bank_is_not_asked_until_resumed() -> None:
    with shop({"qr": [{"id": "QR1", "amount": "10.10", "paid": "+0s"}]}) as town:
        town.register("QR1")
        before = town.qr("QR1")
        town.json("pause", "sim", "--reason", "maintenance")
        town.start("worker")
        town.until(lambda: any(line["event"] == "worker_registered" for line in town.logs()))
        town.until(lambda: any(line["event"] == "leader" for line in town.logs()))
        time.sleep(1.5)  # long enough for a dispatch that should not happen
        assert not town.bank.requests()["calls"]
        assert (town.qr("QR1"), events(town, "check_added")) == (before, [])
        assert town.json("bank", "show", "sim")["state"] == "paused"
        for asking in (("check", "QR1"), ("sweep",), ("reconcile", "--date", "today")):
            refused = town.run(*asking)
            assert (refused.status, "maintenance" in refused.err or "paused" in refused.err) == (75, True)
        assert not town.bank.requests()["calls"]
        town.json("resume", "sim")
        town.until_final(["QR1"])
        assert town.qr("QR1").plan.checks <= 1


def test_a_pause_ends_by_itself() -> None:
    with shop({"qr": [{"id": "QR1", "amount": "10.10", "paid": "+0s"}]}) as town:
        town.register("QR1")
        town.json("pause", "sim", "--for", "2s")
        town.start("worker")
        town.until_final(["QR1"])


def test_a_slow_bank_leaves_half_of_the_slots_to_the_others() -> None:
    hanging = {"fault": [{"kind": "slow", "on": "status", "delay_ms": 8000}]}
    with two_banks(hanging, speed=1.0) as (town, other):
        town.register(*(f"QR{n}" for n in range(40)))
        town.start("worker", "--concurrency", "4")
        town.until(lambda: town.bank.requests()["in_flight"] >= 2)
        register_at_other(town, [f"OTHER{n}" for n in range(20)])
        town.until(lambda: len(other.requests()["qrs"]) == 20)
        assert town.bank.requests()["calls"]["status"] <= 8  # two rounds of the slow bank at most


def events(town: Shop, name: str) -> list[dict[str, Any]]:
    """The log lines of one event, without reading the rest as JSON."""
    lines = [line for log in town.home.glob("worker-*.log") for line in log.read_text().splitlines()]
    return [json.loads(line) for line in lines if f'"event": "{name}"' in line]


@contextmanager
def two_banks(scenario: dict[str, object], *, speed: float = SPEED) -> Iterator[tuple[Shop, RunningSimulator]]:
    with shop(scenario, speed=speed) as town:
        with town.runtime() as runtime:
            clock = read_clock(runtime.store)
        with RunningSimulator({}, now=clock.now) as other:
            keys = {"adapter": "baneco", "base_url": other.url, "environment": "certification", "account": "shop",
                    "rate": "1000/s"}  # fmt: skip
            town.env |= {f"PAYSYNC_BANK_OTHER_{key.upper()}": v for key, v in (keys | other.profile_options()).items()}
            town.env["PAYSYNC_DEFAULT_BANK"] = "sim"
            yield town, other


def register_at_other(town: Shop, ids: list[str]) -> None:
    with town.runtime() as runtime:
        bank = runtime.settings.banks["other"]
        requests = [Request(qr_id, 1010, "BOB", "shop", None, False, None) for qr_id in ids]
        enqueue(runtime.store, requests, bank="other", environment=bank.environment, rhythm=runtime.rhythm(bank),
                now=runtime.clock.now())  # fmt: skip


def clock_of(town: Shop) -> float:
    with town.runtime() as runtime:
        now: datetime = runtime.clock.now()
    return now.timestamp()


def attempts_used(town: Shop) -> int:
    with town.runtime() as runtime, runtime.store.read() as tx:
        return int(tx.exec_driver_sql(
            "SELECT count(*) FROM paysync_checks c JOIN paysync_qrs q ON q.id = c.qr "
            "WHERE q.bank = 'sim' AND c.outcome = 'unavailable'").scalar_one())  # fmt: skip


def checks_used(town: Shop, bank: str) -> int:
    with town.runtime() as runtime, runtime.store.read() as tx:
        rows, _token = qrs.page(tx, qrs.Wanted(bank=bank, limit=6000))
    return sum(qr.plan.checks for qr in rows)


def busiest_second(town: Shop, bank: str) -> int:
    """The most checks of one bank in any second of the compressed clock, by the moments in the books."""
    with town.runtime() as runtime, runtime.store.read() as tx:
        moments = tx.exec_driver_sql(
            "SELECT c.at FROM paysync_checks c JOIN paysync_qrs q ON q.id = c.qr "
            f"WHERE q.bank = '{bank}' AND c.outcome = 'unpaid'").scalars().all()  # fmt: skip
    seconds = Counter(int(datetime.fromisoformat(at).timestamp() // 2) for at in moments)
    return max(seconds.values(), default=0) // 2
