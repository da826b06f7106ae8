"""Which states the leader finds, when each is over, and what it does not judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from paysync_cli.errors import RedisUnavailable
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.queue.client import WorkerSeen
from paysync_cli.queue.gate import BreakerSeen
from paysync_cli.services.alert_conditions import Facts, Rules, Watch, judge
from paysync_cli.services.hold import Which, hold
from paysync_cli.services.sync import Asked, Failure, Judge, record
from paysync_cli.store import alerts, history, leases, qrs
from paysync_cli.store import banks as bank_rows
from paysync_cli.store.banks import BankState, Swept
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database
from paysync_cli.store.leases import Lease
from tests.books import NOW, add_check, add_qr
from tests.core import says

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CLOCK = Clock(NOW, NOW)
BEGAN = NOW - 40 * HOUR
RULES = Rules({"sim": "certification"}, frozenset({"sim"}), 5 * MINUTE, cleans_up=True)
ALIVE = WorkerSeen("w", "host", 1, "busy", 1.0, 0, (), lifetime_s=60.0)
OPEN, CLOSED, HELD = (BreakerSeen(state, 0, None, None, 0) for state in ("open", "closed", "held"))
WELL = Facts(
    NOW, {}, NOW - MINUTE, {}, {"sim": Swept(None, NOW, NOW - MINUTE)}, NOW - 9 * HOUR,
    {"sim": CLOSED}, (ALIVE,), "noeviction", {"sim": BEGAN},
)  # fmt: skip
OLD = {"sim": NOW - 11 * MINUTE}
PAUSED = BankState("sim", "certification", NOW, None, "ana", "why", None, None, None, None)
STOPPED = replace(PAUSED, paused_at=None, stopped_at=NOW - HOUR, stop_reason="bad password")


def found(rules: Rules = RULES, **changes: Any) -> dict[str, bool]:
    """What is judged, and whether it stands."""
    verdicts = list(judge(replace(WELL, **changes), rules, CLOCK, BEGAN))
    assert len({(one.kind, one.bank) for one in verdicts}) == len(verdicts)
    return {one.kind.value: one.stands for one in verdicts}


def standing(**changes: Any) -> set[str]:
    return {kind for kind, stands in found(**changes).items() if stands}


def test_all_is_well_and_every_state_but_those_of_the_sweep_is_judged_to_be_over() -> None:
    judged = found()
    assert set(judged) == {kind.value for kind in alerts.STATES} - {"day_incomplete"}
    assert not any(judged.values())


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("credential_stopped", {"states": {"sim": STOPPED}}),
        ("breaker_open", {"breakers": {"sim": OPEN}}),
        ("backlog_late", {"oldest_due": OLD}),
        ("backlog_late", {"oldest_due": OLD, "breakers": {"sim": HELD}}),
        ("not_consuming", {"oldest_due": OLD, "last_check": None, "breakers": {"sim": HELD}}),
        ("sweep_late", {"sweeps": {"sim": Swept(None, NOW, NOW - 16 * MINUTE, "HTTP 429")}, "breakers": {"sim": HELD}}),
        ("not_consuming", {"oldest_due": OLD, "last_check": NOW - 11 * MINUTE}),
        ("not_consuming", {"oldest_due": OLD, "last_check": None}),
        ("sweep_late", {"sweeps": {"sim": Swept(None, NOW, NOW - 16 * MINUTE)}}),
        ("sweep_late", {"sweeps": {"sim": Swept(None, NOW, NOW - 16 * MINUTE, "HTTP 500")}}),
        ("sweep_late", {"sweeps": {}}),
        ("cleanup_late", {"last_cleanup": NOW - 27 * HOUR}),
        ("cleanup_late", {"last_cleanup": None}),
        ("redis_evicts", {"policy": "allkeys-lru"}),
        ("no_worker", {"workers": ()}),
        ("no_worker", {"workers": (replace(ALIVE, heartbeat_age_s=999.0),)}),
    ],
)
def test_one_thing_is_wrong_and_is_the_only_one(kind: str, changes: Mapping[str, Any]) -> None:
    assert standing(**changes) == {kind}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("backlog_late", {"oldest_due": {"sim": NOW - 5 * MINUTE}}),  # neither late nor on time
        ("not_consuming", {"oldest_due": {"sim": NOW - 5 * MINUTE}, "last_check": NOW - 5 * MINUTE}),
        ("backlog_late", {"oldest_due": OLD, "states": {"sim": PAUSED}}),
        ("not_consuming", {"oldest_due": OLD, "last_check": None, "breakers": {"sim": OPEN}}),
        ("backlog_late", {"oldest_due": OLD, "last_check": None}),  # told as not_consuming
        ("breaker_open", {"breakers": {"sim": HELD}}),
        ("breaker_open", {"breakers": None}),
        ("no_worker", {"workers": None}),
        ("redis_evicts", {"policy": None}),
        ("sweep_late", {"sweeps": {"sim": Swept(None, NOW, NOW - 6 * MINUTE, "HTTP 500")}}),  # one that failed
        ("sweep_late", {"sweeps": {}, "states": {"sim": STOPPED}}),
    ],
)
def test_what_cannot_be_known_or_is_in_between_stays_as_it_was_told(kind: str, changes: Mapping[str, Any]) -> None:
    assert kind not in found(**changes)


def test_being_late_counts_from_when_the_bank_may_be_asked_again() -> None:
    just_back = {"sim": NOW - MINUTE}
    assert standing(oldest_due={"sim": NOW - 3 * HOUR}, open_since=just_back, sweeps={}) == set()
    back_for_long = {"sim": NOW - 20 * MINUTE}
    assert standing(oldest_due={"sim": NOW - 3 * HOUR}, open_since=back_for_long) == {"backlog_late"}


def test_without_a_list_or_a_daily_cleanup_neither_is_missed() -> None:
    rules = replace(RULES, listing=frozenset(), cleans_up=False)
    assert {"sweep_late", "cleanup_late"}.isdisjoint(found(rules, sweeps={}, last_cleanup=None))


# -- the round


class FakeRedis:
    """What the leader asks of Redis, in this test's hands."""

    def __init__(self) -> None:
        self.breaker, self.away, self.policy = CLOSED, False, "noeviction"

    def look(self, banks: list[str]) -> dict[str, BreakerSeen]:
        if self.away:
            raise RedisUnavailable("away")
        return dict.fromkeys(banks, self.breaker)

    def workers(self) -> list[WorkerSeen]:
        return [ALIVE]

    def server(self) -> dict[str, str]:
        return {"maxmemory_policy": self.policy}


class Hands(Clock):
    """A clock set by hand."""

    def now(self) -> Any:
        return NOW + MOVED[0]


MOVED = [timedelta(0)]


def test_a_round_writes_what_changed_once_and_what_is_over_once(any_store: Database) -> None:
    MOVED[0] = timedelta(0)
    redis, store = FakeRedis(), any_store
    rules = replace(RULES, cleans_up=False, listing=frozenset())
    watch = Watch(store, redis, redis, Hands(NOW, NOW), rules)  # type: ignore[arg-type]
    with store.write() as tx:
        lease = leases.take(tx, leases.LEADER, "us", NOW, NOW + 9 * HOUR)
        bank_rows.record_sweep(tx, "sim", "certification", day=None, at=NOW)
    assert lease is not None
    qr = add_qr(store, "QR1", at=NOW - HOUR)

    def told() -> list[tuple[str, bool, int]]:
        watch.round(lease)
        with store.read() as tx:
            return [(one.kind.value, one.standing, one.count) for one in alerts.list_alerts(tx)]

    assert told() == [], "a leader that just began knows nothing of lateness"
    MOVED[0] = 11 * MINUTE
    assert told() == told() == [("not_consuming", True, 1)]
    redis.away = True
    assert told() == [("not_consuming", True, 1)]
    redis.away = False
    add_check(store, qr, at=NOW + MOVED[0])
    redis.breaker, redis.policy = OPEN, "allkeys-lru"
    assert told() == [("redis_evicts", True, 1), ("breaker_open", True, 1), ("not_consuming", True, 1)]
    redis.breaker, redis.policy = CLOSED, "noeviction"
    assert told() == told() == [("redis_evicts", False, 1), ("breaker_open", False, 1), ("not_consuming", False, 1)]
    with store.write() as tx:
        leases.give_up(tx, lease, NOW)
        assert leases.take(tx, leases.LEADER, "them", NOW + HOUR, NOW + 2 * HOUR)
    redis.policy, MOVED[0] = "allkeys-lru", 12 * MINUTE
    assert told()[0] == ("redis_evicts", False, 1), "whoever lost the lease writes nothing"
    with store.read() as tx:
        assert history.last_check_at(tx) == NOW + 11 * MINUTE


def test_who_begins_to_lead_does_not_judge_what_happened_before(any_store: Database) -> None:
    MOVED[0] = timedelta(0)
    redis = FakeRedis()
    rules = replace(RULES, cleans_up=False, listing=frozenset())
    watch = Watch(any_store, redis, redis, Hands(NOW, NOW), rules)  # type: ignore[arg-type]
    add_qr(any_store, "QR1", at=NOW - 9 * HOUR)
    for minutes, found in ((20, []), (25, []), (31, ["not_consuming"])):  # leads from minute 20
        MOVED[0] = minutes * MINUTE
        watch.round(Lease(leases.LEADER, "us", 1, NOW + 9 * HOUR))
        with any_store.write() as tx:
            leases.take(tx, leases.LEADER, "us", NOW, NOW + 9 * HOUR)
        with any_store.read() as tx:
            assert [one.kind.value for one in alerts.list_alerts(tx)] == found


def test_a_bank_that_puts_off_every_question_is_late_in_the_end(any_store: Database) -> None:
    """It says 429 for ever: no check is overdue for more than seconds, nothing fails. Meanwhile lists and people end
    some of the checks that waited, and another bank is well.
    """
    MOVED[0] = timedelta(0)
    redis, store = FakeRedis(), any_store
    redis.breaker = HELD
    rules = Rules({"sim": "certification", "other": "certification"}, frozenset(), 5 * MINUTE, cleans_up=False)
    watch = Watch(store, redis, redis, Hands(NOW, NOW), rules)  # type: ignore[arg-type]
    with store.write() as tx:
        lease = leases.take(tx, leases.LEADER, "us", NOW, NOW + 9 * HOUR)
    assert lease is not None
    answered = add_qr(store, "ANSWERED", at=NOW + MINUTE / 2)
    held = add_qr(store, "HELD", at=NOW + MINUTE / 2)
    waits = [add_qr(store, f"QR{n}", at=NOW + 2 * MINUTE) for n in range(2)]
    well = add_qr(store, "WELL", bank="other", at=NOW + 90 * MINUTE)
    put_off = Failure("wait", "throttled", "429", 30.0)

    def told(minute: int) -> list[tuple[str, str, bool]]:
        MOVED[0], now = minute * MINUTE, NOW + minute * MINUTE
        add_check(store, well, seq=minute, at=now)
        judge = Judge(dict.fromkeys(rules.banks, Rhythm()), now, lambda: 0.0)
        record(store, [Asked(qr.id, 0, now, 1, failure=put_off) for qr in (answered, held, *waits)], judge)
        if minute == 2:
            record(store, [Asked(answered.id, 0, now, 1, says("unpaid"))], judge)
            hold(store, Which(["HELD"]), reason="why", who="ana", now=now)
        watch.round(lease)
        with store.read() as tx:
            return [(one.kind.value, one.bank, one.standing) for one in alerts.list_alerts(tx)]

    watch.round(lease)
    assert [told(minute) for minute in (1, 2, 7, 11)] == [[]] * 4
    assert told(12) == told(14) == [("backlog_late", "sim", True)]
    for qr in waits:
        record(store, [Asked(qr.id, 0, NOW, 1, says("unpaid"))], Judge({"sim": Rhythm()}, NOW + HOUR, lambda: 0.0))
    assert told(15) == [("backlog_late", "sim", False)]


def test_the_longest_due_is_found_among_what_waits_and_what_is_dispatched(any_store: Database) -> None:
    def longest() -> Any:
        with any_store.read() as tx:
            return qrs.longest_due_at(tx, "sim", "certification", NOW)

    add_qr(any_store, "later", at=NOW + MINUTE)
    add_qr(any_store, "other", bank="other", at=NOW - 9 * HOUR)
    assert longest() is None
    add_qr(any_store, "low", at=NOW - MINUTE)
    add_qr(any_store, "high", at=NOW - 2 * MINUTE, priority="high")
    assert longest() == NOW - 2 * MINUTE
    add_qr(any_store, "dispatched", at=NOW - HOUR, state="queued", queued_at=NOW)
    assert longest() == NOW - HOUR
