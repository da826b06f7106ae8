"""A whole day in production, its clock compressed (tests/day.py): at the end the counters are the books, the logs tell
each thing that happened once, a person was told exactly what was to be told, and no money and no QR is lost.

The full day, by hand: `pytest -n0 -s tests/faults/test_a_whole_day.py --day-qrs 10000 --day-hours 24 --day-speed 288`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from docs.generate.json_page import misfits
from paysync_cli.services.alert_words import sentence
from paysync_cli.store.alert_messages import Event, NewMessage
from paysync_cli.store.alerts import AlertKind
from tests.day import ENDS, REVIEWS, Day, day
from tests.pace import Pace
from tests.scraping import OWN_RESTARTS, values_of

FAILED = "('unavailable', 'unreadable', 'error', 'worker_lost')"
OF_QR = "JOIN paysync_qrs q ON q.id = t.qr"


def test_a_whole_day(pace: Pace) -> None:
    with day(pace) as lived:
        lived.play()
        print(told(lived))
        every_page_was_right(lived)
        counters_are_the_books(lived)
        gauges_are_the_books(lived)
        logs_hold_everything_once(lived)
        money_is_what_the_banks_say(lived)
        no_qr_is_lost(lived)
        alerts_are_what_happened(lived)
        messages_are_grouped_and_came_once(lived)


def told(lived: Day) -> str:
    """The day in figures, for whoever runs it by hand."""
    alerts = Counter((kind, bank, event) for kind, bank, event in messages(lived, "kind, bank, event"))
    return "\n".join([
        f"{len(lived.qrs)} QRs, {len(lived.booked())} payments, {len(lived.paid_late)} of them late",
        f"checks: {sorted(lived.figures('SELECT outcome, count(*) FROM paysync_checks GROUP BY 1').items())}",
        f"{lived.scraper.count} scrapes; {len(lived.logs())} lines; messages: {sorted(alerts.items())}",
    ])  # fmt: skip


# -- metrics


def every_page_was_right(lived: Day) -> None:
    """All answered every scrape, no counter fell, and nobody counted less in the end than a page had shown."""
    assert lived.scraper.wrong == []
    assert {one.url for one in lived.workers} < lived.scraper.last.keys()
    assert lived.scraper.breaker_seen_open
    for one in lived.workers:
        assert misfits("worker", one.said()) == []  # docs/json.md lists it
        said = {(row["metric"], values_of(row["metric"], row["labels"])): row["value"] for row in one.said()["counted"]}
        for metric, figures in lived.scraper.last[one.url].items():
            if metric.endswith("_total") and metric != OWN_RESTARTS:
                for labels, value in figures.items():
                    assert said.get((metric, labels), 0) >= value, (one.url, metric, labels)


def counters_are_the_books(lived: Day) -> None:
    for metric, query in {
        "paysync_checks_total": f"SELECT bank, outcome, count(*) FROM paysync_checks t {OF_QR} GROUP BY 1, 2",
        "paysync_attempts_failed_total":
            f"SELECT bank, outcome, count(*) FROM paysync_checks t {OF_QR} WHERE outcome IN {FAILED} GROUP BY 1, 2",
        "paysync_jobs_given_up_total":
            f"SELECT bank, count(*) FROM paysync_checks t {OF_QR} WHERE outcome IN {FAILED} AND attempt = 3 GROUP BY 1",
        "paysync_transitions_total":
            f"SELECT bank, old, new, count(*) FROM paysync_transitions t {OF_QR} WHERE old IS NOT NULL"
            " GROUP BY 1, 2, 3",
        "paysync_movements_total": "SELECT bank, currency, count(*) FROM paysync_movements GROUP BY 1, 2",
        "paysync_movements_amount_minor_total":
            "SELECT bank, currency, sum(amount_minor) FROM paysync_movements GROUP BY 1, 2",
        "paysync_reviews_opened_total":
            "SELECT bank, reason, count(*) FROM paysync_reviews WHERE qr IS NOT NULL GROUP BY 1, 2",
    }.items():  # fmt: skip
        assert lived.counted(metric) == lived.figures(query), metric
    assert sum(lived.counted("paysync_dispatched_total").values()) >= len(lived.qrs)
    assert lived.counted("paysync_throttled_total") == {}, "no bank asked us to wait"


def gauges_are_the_books(lived: Day) -> None:
    """Those of `serve`, made after the banks were paused and while nothing was under way."""
    page = lived.at_rest
    for metric, query in {
        "paysync_qrs": "SELECT bank, status, count(*) FROM paysync_qrs GROUP BY 1, 2",
        "paysync_plan_qrs": "SELECT bank, plan_state, count(*) FROM paysync_qrs GROUP BY 1, 2",
        "paysync_reviews_open": "SELECT bank, reason, count(*) FROM paysync_reviews WHERE state = 'open' GROUP BY 1, 2",
        "paysync_bank_paused": "SELECT bank, 1 FROM paysync_banks WHERE paused_at IS NOT NULL",
        "paysync_bank_credential_stopped": "SELECT bank, 1 FROM paysync_banks WHERE stopped_at IS NOT NULL",
    }.items():
        assert not_zero(page[metric]) == lived.figures(query), metric
    assert not_zero(page["paysync_bank_breaker"]) == {("sim", "closed"): 1, ("other", "closed"): 1}
    assert not_zero(page["paysync_queue_depth"]) == {}
    assert page["paysync_jobs"]["active",] == 0
    ((cleaned_at,),) = lived.select("SELECT at FROM paysync_runs WHERE name = 'cleanup'")
    assert abs(page["paysync_last_cleanup_timestamp_seconds"][()] - moment(cleaned_at).timestamp()) < 0.001
    ((checked_at,),) = lived.select("SELECT max(at) FROM paysync_checks")
    assert abs(page["paysync_last_check_timestamp_seconds"][()] - moment(checked_at).timestamp()) < 0.001


def not_zero(figures: Mapping[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    return {labels: value for labels, value in figures.items() if value}


# -- logs


def logs_hold_everything_once(lived: Day) -> None:
    """Changes of status, payments, reviews and checks, by all workers together; nothing that is not in the books."""
    lines = lived.logs()
    for events, fields, query in (
        (("transition",), ("bank", "qr_id", "old", "new"),
         f"SELECT bank, qr_id, old, new FROM paysync_transitions t {OF_QR} WHERE old IS NOT NULL"),
        (("booked",), ("bank", "qr_id", "transaction"),
         f"SELECT q.bank, qr_id, bank_transaction_id FROM paysync_movements t {OF_QR}"),
        (("review_opened",), ("bank", "qr_id", "reason"), "SELECT bank, qr_id, reason FROM paysync_reviews"),
        (("check_succeeded", "check_failed", "check_given_up"), ("bank", "qr_id", "seq", "outcome"),
         f"SELECT bank, qr_id, t.seq, outcome FROM paysync_checks t {OF_QR}"),
    ):  # fmt: skip
        logged = Counter(
            tuple(line[name] for name in fields)
            for line in lines
            if line["event"] in events and line.get("outcome") != "throttled"  # put off: neither attempt nor check
        )
        assert logged == Counter(lived.select(query)), events
    assert not [line for line in lines if line["event"] in ("worker_process_ended", "metrics_error", "poison_row")]


# -- money


def money_is_what_the_banks_say(lived: Day) -> None:
    assert lived.booked() == lived.paid()
    balances = lived.figures("SELECT bank, currency, sum(balance_minor) FROM paysync_accounts GROUP BY 1, 2")
    assert balances == lived.figures("SELECT bank, currency, sum(amount_minor) FROM paysync_movements GROUP BY 1, 2")
    opened = Counter(lived.select("SELECT bank, qr_id, reason FROM paysync_reviews"))
    assert opened == Counter((one.bank, one.qr_id, REVIEWS[one.fate]) for one in lived.qrs if one.fate in REVIEWS)


def no_qr_is_lost(lived: Day) -> None:
    rows = lived.select("SELECT qr_id, bank, status, plan_state, next_check_at, checks, max_checks FROM paysync_qrs")
    found = {row[0]: row[1:] for row in rows}
    assert {qr_id: row[0] for qr_id, row in found.items()} == {one.qr_id: one.bank for one in lived.qrs}
    late = {one.qr_id for one in lived.paid_late}
    assert late
    for one in lived.qrs:
        _bank, status, plan, next_at, checks, most = found[one.qr_id]
        ended = ENDS.get(one.fate, "completed" if one.qr_id in late else None)
        if ended is None:
            assert (status in ("pending", "active", "processing"), plan in ("planned", "exhausted")) == (True, True), (
                one
            )
            assert next_at is not None, one
        else:
            assert (status, plan, next_at) == (ended, "done", None), one
        if one.qr_id in late:
            assert checks == most, one
    sources = lived.figures(f"SELECT qr_id, source, 1 FROM paysync_movements t {OF_QR}")
    assert {source for qr_id, source in sources if qr_id in late} == {"list"}


# -- alerts


def alerts_are_what_happened(lived: Day) -> None:
    """Kind by kind and bank by bank, counted from the books and, where those do not tell, from the log."""
    expected = {
        ("breaker_open", "sim"): 1,
        **of_kind("review_opened", lived.figures("SELECT bank, count(*) FROM paysync_reviews GROUP BY 1")),
        **of_kind("plan_exhausted", lived.figures(
            "SELECT bank, count(*) FROM paysync_qrs WHERE bank = 'other' AND plan_state = 'exhausted' GROUP BY 1")),
        **of_kind("job_given_up", lived.figures(
            f"SELECT bank, count(*) FROM paysync_checks t {OF_QR} WHERE outcome IN {FAILED} AND attempt = 3"
            " GROUP BY 1")),
        **of_kind("bank_unavailable", logged(lived, "login_unanswered")),
    }  # fmt: skip
    raised = lived.figures("SELECT kind, bank, sum(count) FROM paysync_alerts GROUP BY 1, 2")
    abandoned = sum(raised.pop(key) for key in list(raised) if key[0] == "checks_abandoned")
    assert raised == expected
    assert {bank for (bank,) in logged(lived, "login_unanswered")} <= {"sim"}
    # What Redis lost when it was killed, if anything: the log of the leader has it without the bank.
    mended = [line for line in lived.logs() if line["event"] == "janitor"]
    assert abandoned == sum(line["put_back"] + line["lost"] for line in mended)


def of_kind(kind: str, by_bank: Mapping[tuple[str, ...], int]) -> dict[tuple[str, ...], int]:
    return {(kind, bank): n for (bank,), n in by_bank.items()}


def logged(lived: Day, event: str) -> Counter[tuple[str, ...]]:
    return Counter((line["bank"],) for line in lived.logs() if line["event"] == event)


def messages_are_grouped_and_came_once(lived: Day) -> None:
    """The outage is told once and once that it is over; the rest in groups, at least the cool-down apart."""
    rows = messages(lived, "id, kind, bank, event, count, detail, since_at, until_at, at")
    sent = [
        sentence(NewMessage(AlertKind(kind), bank, Event(event), count, detail, moment(since), until and moment(until)))
        for _id, kind, bank, event, count, detail, since, until, _at in rows
    ]
    assert Counter(lived.hook.texts()) == Counter(sent)
    told_of = {(kind, bank) for _id, kind, bank, *_rest in rows}
    assert told_of == {(kind, bank) for kind, bank in lived.select("SELECT kind, bank FROM paysync_alerts")}
    for kind, bank in told_of:
        mine = [row for row in rows if (row[1], row[2]) == (kind, bank)]
        events = [row[3] for row in mine]
        if kind == "breaker_open":
            assert events == ["raised", "recovered"]
            continue
        assert set(events) == {"raised"}
        moments = [moment(row[8]) for row in mine]
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert all(gap >= lived.pace.cooldown for gap in gaps), (kind, gaps)
        # The last one has the last word of all that it tells.
        ((final,),) = lived.select(f"SELECT sum(count) FROM paysync_alerts WHERE message = {mine[-1][0]}")
        assert mine[-1][4] == final, kind
    assert lived.hook.asked == len(lived.hook.got)


def messages(lived: Day, columns: str) -> list[tuple[Any, ...]]:
    return lived.select(f"SELECT {columns} FROM paysync_alert_messages ORDER BY id")


def moment(written: str) -> datetime:
    return datetime.fromisoformat(written)
