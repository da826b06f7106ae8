"""`/metrics` of real workers over the simulated bank: what they counted is what the books hold."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Mapping
from typing import Any

from paysync_cli.cli import log_events
from paysync_cli.services.metric_names import METRICS, Kind, Source
from tests.scraping import scrape
from tests.shop import Shop, shop

Figures = Mapping[tuple[str, ...], float]

# What happens to QRs: paid at once and later, too little, twice, never, unknown to the bank, no answer three times.
SCENARIO = {
    "qr": [
        *({"id": f"PAID{n}", "amount": "10.10", "paid": "+0s"} for n in range(6)),
        *({"id": f"QUIET{n}", "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]} for n in range(6)),
        *({"id": f"LATE{n}", "amount": "10.10", "paid": "+3m"} for n in range(6)),
        {"id": "UNDER", "amount": "10.10", "payment": [{"at": "+0s", "amount": "1.00"}]},
        {"id": "TWICE", "amount": "10.10", "payment": [{"at": "+0s"}, {"at": "+1s"}]},
        *({"id": f"NEVER{n}", "amount": "10.10"} for n in range(8)),
        {"id": "STRANGE", "amount": "10.10", "unknown": True},
        {"id": "BROKEN", "amount": "10.10"},
    ],
    "fault": [
        {"kind": "server_error", "on": "status", "qr": "BROKEN", "count": 3},
        {"kind": "server_error", "on": "status", "every": 9},
        {"kind": "throttled", "on": "status", "qr": "NEVER0", "count": 1, "retry_after": 1},
    ],
}
IDS = [one["id"] for one in SCENARIO["qr"]]  # type: ignore[index]


def address(town: Shop) -> str:
    def look() -> str | None:
        return next((line["url"] for line in town.logs() if line["event"] == "health_port"), None)

    found = town.until(look)
    assert isinstance(found, str)
    return found


def books(town: Shop, query: str) -> dict[tuple[str, ...], int]:
    with sqlite3.connect(f"file:{town.home / 'paysync.db'}?mode=ro", uri=True) as database:
        rows = database.execute(query).fetchall()
    database.close()
    return {row[:-1]: row[-1] for row in rows}


def counted(figures: Figures) -> dict[tuple[str, ...], float]:
    return {labels: value for labels, value in figures.items() if value}


def compare(town: Shop, told: Mapping[str, Figures]) -> None:
    """The counters of all workers that this town ever had are what its books hold."""
    assert counted(told["paysync_checks_total"]) == books(
        town, "SELECT 'sim', outcome, count(*) FROM paysync_checks GROUP BY outcome"
    )
    assert counted(told["paysync_transitions_total"]) == books(
        town, "SELECT 'sim', old, new, count(*) FROM paysync_transitions WHERE old IS NOT NULL GROUP BY old, new"
    )
    assert counted(told["paysync_movements_total"]) == books(
        town, "SELECT bank, currency, count(*) FROM paysync_movements GROUP BY bank, currency"
    )
    assert counted(told["paysync_movements_amount_minor_total"]) == books(
        town, "SELECT bank, currency, sum(amount_minor) FROM paysync_movements GROUP BY bank, currency"
    )
    assert counted(told["paysync_reviews_opened_total"]) == books(
        town, "SELECT bank, reason, count(*) FROM paysync_reviews WHERE qr IS NOT NULL GROUP BY bank, reason"
    )
    assert counted(told["paysync_qrs"]) == books(town, "SELECT bank, status, count(*) FROM paysync_qrs GROUP BY status")
    failed = {"unavailable", "unreadable", "error", "worker_lost"}
    attempts = {key: n for key, n in told["paysync_checks_total"].items() if key[1] in failed}
    assert told["paysync_attempts_failed_total"] == attempts


def compare_logs(town: Shop) -> None:
    """The log holds every change of status and every payment once, in events and fields of the catalogue."""
    lines = town.logs()
    told = Counter((line["qr_id"], line["old"], line["new"]) for line in lines if line["event"] == "transition")
    assert told == books(
        town,
        "SELECT qr_id, old, new, count(*) FROM paysync_transitions t JOIN paysync_qrs q ON q.id = t.qr"
        " WHERE old IS NOT NULL GROUP BY qr_id, old, new",
    )
    booked = Counter((line["transaction"],) for line in lines if line["event"] == "booked")
    assert booked == books(town, "SELECT bank_transaction_id, count(*) FROM paysync_movements GROUP BY 1")
    for line in lines:
        event = log_events.OF[line["event"]]
        assert line.keys() <= set(log_events.OF_EVERY_LINE) | set(event.fields), line
        assert line["level"] in event.levels.split(", "), line


def settled(town: Shop) -> bool:
    """Whether all that can be decided is, nothing is under way, and QRs that are never paid were asked twice."""
    return (
        books(town, "SELECT 'open', count(*) FROM paysync_qrs WHERE qr_id LIKE 'LATE%' AND plan_state <> 'done'")[
            ("open",)
        ]
        == 0
    )


def children_of(parent: subprocess.Popen[bytes]) -> list[int]:
    found = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in found.splitlines()]
    return [pid for pid, of in pairs if of == parent.pid]


def test_the_counters_of_two_processes_are_the_books_also_when_one_was_killed() -> None:
    # The second ones are in no list: else a sweep would keep their payments, and registering them would book those.
    first, second = [f"PAID{n}" for n in range(6)], [f"QUIET{n}" for n in range(6)]
    with shop(SCENARIO) as town:
        town.register(*first)
        worker = town.start("worker", "--processes", "2", "--health-port", "0")
        url = address(town)
        town.until_final(first)
        before = town.until(lambda: quiet(town, url))
        # Both are killed while nothing is under way: whoever counted what is there, it must stay.
        for child in children_of(worker):
            os.kill(child, signal.SIGKILL)
        town.until(lambda: sum(line["event"] == "worker_registered" for line in town.logs()) == 4)
        town.register(*second)
        town.until_final(second)
        told = town.until(lambda: quiet(town, url))
        assert before["paysync_movements_total"]["sim", "BOB"] == 6
        compare(town, told)
        assert told["paysync_bank_latency_seconds_count"]["sim",] == sum(told["paysync_checks_total"].values())
        assert told["paysync_workers"]["alive",] >= 2
        assert town.stop(worker) == 0


def test_the_counters_and_the_log_of_a_worker_are_the_books() -> None:
    with shop(SCENARIO, speed=60, env={"PAYMENT_SYNC_INTERVAL": "1m"}) as town:
        town.register(*IDS)
        worker = town.start("worker", "--health-port", "0")
        url = address(town)
        town.until(lambda: settled(town))
        # Nobody is asked any more, so that the page and the books are of one moment.
        town.run("pause", "sim", "--reason", "the test looks")
        told = town.until(lambda: quiet(town, url))
        compare(town, told)
        compare_logs(town)
        every_value_is_there(told)
        town.stop(worker)


def quiet(town: Shop, url: str) -> dict[str, Figures] | None:
    """A page made while nothing was under way, neither before it nor after it."""

    def look() -> Any:
        return books(town, "SELECT 'all', count(*), (SELECT count(*) FROM paysync_movements) FROM paysync_checks")

    idle, before = scrape(url)["paysync_jobs"]["active",] == 0, look()
    told = scrape(url)
    fresh = told["paysync_counted_age_seconds"][()] < 1.0
    return told if idle and fresh and told["paysync_jobs"]["active",] == 0 and before == look() else None


def every_value_is_there(told: Mapping[str, Figures]) -> None:
    """All of the catalogue, with every combination of label values that is fixed."""
    for metric in METRICS:
        if metric.source is Source.SERVE:
            continue
        name = f"{metric.name}_count" if metric.kind is Kind.HISTOGRAM else metric.name
        assert name in told, metric.name
        fixed = [label.values for label in metric.labels if label.values]
        if metric.name == "paysync_transitions_total":
            assert len(told[name]) == 15
        elif metric.kind is not Kind.HISTOGRAM and len(fixed) == 1:
            (values,) = fixed
            assert {value for labels in told[name] for value in labels} >= set(values), metric.name
            assert len(told[name]) == len(values), metric.name


def test_away_stores_are_said_and_the_rest_is_told() -> None:
    env = {"REDIS_URL": "redis://127.0.0.1:1/0", "PAYSYNC_LOG_LEVEL": "info"}
    with shop(SCENARIO) as town:
        town.register("PAID0")
        served = town.start("serve", "--port", "0", env=env)
        url = serve_address(town)
        told = town.until(lambda: scrape(url))
        assert (told["paysync_redis_up"], told["paysync_database_up"]) == ({(): 0.0}, {(): 1.0})
        assert told["paysync_qrs"]["sim", "pending"] == 1
        missing = {one.name for one in METRICS if one.name not in told and f"{one.name}_count" not in told}
        redis = {one.name for one in METRICS if one.source is Source.REDIS} - {"paysync_redis_up"}
        counted_here = {one.name for one in METRICS if one.source in (Source.WORKER, Source.SERVE)}
        assert missing == redis | counted_here | {"paysync_leader_lease_age_seconds"}, "serve counts no checks"
        (town.home / "paysync.db").rename(town.home / "away.db")
        told = town.until(lambda: (page := scrape(url))["paysync_database_up"][()] == 0 and page)
        assert "paysync_last_check_timestamp_seconds" not in told
        assert "paysync_qrs" not in told
        assert told["paysync_build_info"]
        town.stop(served)


def serve_address(town: Shop) -> str:
    def look() -> str | None:
        text = "\n".join(log.read_text() for log in town.home.glob("worker-*.log"))
        found = re.search(r"http://127\.0\.0\.1:\d+", text)
        return found and found[0]

    found = town.until(look)
    assert isinstance(found, str)
    return found
