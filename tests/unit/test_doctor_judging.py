"""The doctor's judgement: from facts to findings, without gathering any."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from paysync_cli.banks.inspection import LineFacts
from paysync_cli.errors import Fault, RedisUnavailable
from paysync_cli.queue.client import WorkerSeen
from paysync_cli.queue.gate import BreakerSeen
from paysync_cli.queue.inspection import RedisFacts
from paysync_cli.services.doctor import Area, Finding, Level, bank, database, examine, redis, settings, work, worst
from paysync_cli.services.health import HealthReport, judge_consuming, judge_heartbeat, nagios
from paysync_cli.settings.inspection import SettingsFacts
from paysync_cli.settings.model import Origin, OriginKind
from paysync_cli.store.banks import BankState
from paysync_cli.store.inspection import DatabaseFacts

NOW = datetime(2031, 6, 14, 16, 0, tzinfo=UTC)
REDIS = RedisFacts(
    "redis://r:6379/0", ping_ms=0.4, flavour="redis", version="7.4.1", role="master", clock_offset_s=0.0,
    used_memory=1 << 20, maxmemory=0, policy="noeviction", evicted=0, append_only=True, snapshots=True,
)  # fmt: skip
DATABASE = DatabaseFacts("/h/paysync.db", version="0001", head="0001", known=("0001",), disk="/h", free_bytes=1 << 40)
WORKER = WorkerSeen("w1", "host", 7, "idle", 3.0, 0, ("q",), lifetime_s=90.0)
WORK = work.WorkFacts(0, 0.0, "w1", 5.0, (WORKER,), 0, 0)
STATE = BankState("sim", "certification", None, None, None, None, None, None, None, None)
BREAKER = BreakerSeen("closed", 0, None, None, 0)
DESK = bank.DeskFacts("sim", NOW, (), STATE, BREAKER, 600.0)
LINE = LineFacts("bank.example:443", ends_at=NOW + timedelta(days=200), ours_end_at=NOW + timedelta(days=200))
SETTINGS = SettingsFacts((), ())


def bad(findings: list[Finding]) -> dict[str, str]:
    """What is not ok, by code; each of those must say what mends it."""
    wrong = [one for one in findings if one.level is not Level.OK]
    assert all(one.mend for one in wrong)
    return {one.code: one.level.value for one in wrong}


def test_what_is_well_is_only_ok() -> None:
    findings = [*redis.judge(REDIS), *database.judge(DATABASE), *work.judge(WORK), *bank.judge_desk(DESK),
                *bank.judge_line("sim", LINE, NOW), *settings.judge(SETTINGS)]  # fmt: skip
    assert bad(findings) == {}
    assert worst(findings) is Level.OK


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trouble": "down", "cause": "refused"}, {"unreachable": "fault"}),
        ({"trouble": "login", "cause": "WRONGPASS"}, {"login_refused": "fault"}),
        ({"trouble": "stranger"}, {"not_redis": "fault"}),
        ({"version": "6.0.16"}, {"old_version": "fault"}),
        ({"version": "6.2.0"}, {}),
        ({"version": "7.0.1", "flavour": "valkey"}, {"old_version": "fault"}),
        ({"write_error": "readonly", "role": "replica"}, {"read_only_replica": "fault"}),
        ({"role": "slave"}, {"read_only_replica": "fault"}),
        ({"write_error": "oom"}, {"full": "fault"}),
        ({"write_error": "misconf"}, {"cannot_save": "fault"}),
        ({"write_error": "denied"}, {"denied": "fault"}),
        ({"write_error": "what"}, {"write_refused": "fault"}),
        ({"policy": "allkeys-lru"}, {"evicting_policy": "warning"}),
        ({"evicted": 4}, {"evicted": "warning"}),
        ({"used_memory": 95, "maxmemory": 100}, {"nearly_full": "warning"}),
        ({"append_only": False, "snapshots": False}, {"no_persistence": "warning"}),
        ({"append_only": False, "snapshots": None}, {}),  # not seen is not said
        ({"append_only": False}, {}),
        ({"persistence_error": "aof_last_write_status"}, {"persistence_failing": "fault"}),
        ({"clock_offset_s": 1.9}, {}),
        ({"clock_offset_s": -5.0}, {"clock_offset": "warning"}),
        ({"clock_offset_s": 31.0}, {"clock_offset": "fault"}),
        ({"ping_ms": 400.0}, {"slow": "warning"}),
    ],
)
def test_redis(changes: dict[str, Any], expected: dict[str, str]) -> None:
    assert bad(redis.judge(replace(REDIS, **changes))) == expected


def test_the_way_the_clock_is_wrong_is_told() -> None:
    ahead, behind = (redis.judge(replace(REDIS, clock_offset_s=s))[-1].text for s in (5.0, -5.0))
    assert "ahead" in ahead
    assert "behind" in behind


def test_what_an_acl_hides_is_named() -> None:
    hidden = RedisFacts("r", ping_ms=1.0, flavour="redis", version="7.4.1", role="master", hidden=("INFO", "CONFIG"))
    findings = redis.judge(hidden)
    assert bad(findings) == {}
    (told,) = [one for one in findings if one.code == "not_seen"]
    assert "INFO, CONFIG" in told.text
    assert "persistence" in told.text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trouble": "missing"}, {"missing": "fault"}),
        ({"trouble": "unreachable", "cause": "no"}, {"unreachable": "fault"}),
        ({"version": None}, {"schema_old": "fault"}),
        ({"version": "0001", "head": "0002", "known": ("0001", "0002")}, {"schema_old": "fault"}),
        ({"version": "9999"}, {"schema_unknown": "fault"}),
        ({"version": "9999", "fits": True}, {}),
        ({"write_error": "readonly"}, {"read_only": "fault"}),
        ({"write_error": "busy"}, {"busy": "warning"}),
        ({"write_error": "full"}, {"disk_full": "fault"}),
        ({"write_error": "odd"}, {"write_refused": "fault"}),
        ({"free_bytes": 500 << 20}, {"disk_nearly_full": "warning"}),
        ({"free_bytes": 50 << 20}, {"disk_nearly_full": "fault"}),
        ({"free_bytes": None}, {}),
    ],
)
def test_database(changes: dict[str, Any], expected: dict[str, str]) -> None:
    assert bad(database.judge(replace(DATABASE, **changes))) == expected


STALE = replace(WORKER, name="w2", heartbeat_age_s=60.0)
GONE = WorkerSeen("w3", None, None, "stopped", None, 0, ("",))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"workers": ()}, {"no_worker": "fault"}),
        ({"workers": (GONE,), "leader": None}, {"no_worker": "fault"}),
        ({"workers": (STALE,)}, {"stale_worker": "warning", "no_worker": "fault"}),
        ({"workers": (WORKER, STALE)}, {"stale_worker": "warning"}),
        ({"workers": None, "waiting": None, "abandoned": None, "leader": None}, {}),  # Redis' own line says why
        ({"leader": None}, {"no_leader": "fault"}),
        ({"abandoned": 2}, {"abandoned": "warning"}),
        ({"due": 3, "oldest_due_s": 119.0}, {}),
        ({"due": 3, "oldest_due_s": 121.0}, {"queue_growing": "warning"}),
        ({"due": 3, "oldest_due_s": 601.0}, {"queue_growing": "fault"}),
        ({"foreign": "abc"}, {"foreign_redis": "fault"}),
    ],
)
def test_work(changes: dict[str, Any], expected: dict[str, str]) -> None:
    assert bad(work.judge(replace(WORK, **changes))) == expected


def test_depth_and_age_of_the_queue_are_told() -> None:
    line = work.judge(replace(WORK, due=3, oldest_due_s=3700.0, waiting=2))[-1].text
    assert line == "3 checks are due, the oldest for 1:01:40; 2 wait in Redis."


def test_no_age_is_told_of_nothing_and_no_number_that_is_not_known() -> None:
    texts = [work.judge(replace(WORK, due=0, oldest_due_s=0.0, waiting=n))[-1].text for n in (1, None)]
    assert texts == ["Nothing is due; 1 wait in Redis.", "Nothing is due."]


def test_nobody_is_told_to_kill_a_number_that_he_has_not_looked_at() -> None:
    """The worker may be gone, and its number another program's."""
    (stale,) = [one for one in work.judge(replace(WORK, workers=(WORKER, STALE))) if one.code == "stale_worker"]
    assert stale.mend is not None
    assert stale.mend.index("ps -fp") < stale.mend.index("kill -9")


def test_conditions_are_told_apart_by_the_heartbeat() -> None:
    assert [one.condition for one in (WORKER, STALE, GONE)] == ["alive", "stale", "stopped"]
    assert replace(WORKER, state="stopped").condition == "stopped"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trouble": "unreachable", "cause": "refused", "ends_at": None}, {"unreachable": "fault"}),
        ({"trouble": "certificate", "cause": "expired", "ends_at": None}, {"certificate_refused": "fault"}),
        ({"trouble": "refused_tls", "cause": "x", "ends_at": None}, {"tls_refused": "fault"}),
        ({"ends_at": NOW + timedelta(days=20)}, {"certificate_expiring": "warning"}),
        ({"ends_at": NOW + timedelta(days=22)}, {}),
        ({"ends_at": NOW - timedelta(days=1)}, {"certificate_expired": "fault"}),
        ({"ours_end_at": NOW + timedelta(days=20)}, {"client_certificate_expiring": "warning"}),
        ({"ours_end_at": NOW - timedelta(days=1)}, {"client_certificate_expired": "fault"}),
    ],
)
def test_line(changes: dict[str, Any], expected: dict[str, str]) -> None:
    assert bad(bank.judge_line("sim", replace(LINE, **changes), NOW)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"state": replace(STATE, stopped_at=NOW, stop_reason="no")}, {"credential_stopped": "fault"}),
        ({"state": replace(STATE, paused_at=NOW, paused_by="ana")}, {"paused": "warning"}),
        ({"breaker": replace(BREAKER, state="open", failures=5)}, {"breaker_open": "warning"}),
        ({"breaker": replace(BREAKER, state="held")}, {"breaker_open": "warning"}),
        ({"adapter_faults": (Fault("x", "no aes_key"),)}, {"adapter_broken": "fault"}),
        ({"token_s": None}, {}),
    ],
)
def test_desk(changes: dict[str, Any], expected: dict[str, str]) -> None:
    assert bad(bank.judge_desk(replace(DESK, **changes))) == expected


def test_a_token_is_told_without_redis_only_by_silence() -> None:
    assert [one.code for one in bank.judge_desk(DESK)] == ["token"]
    assert [one.code for one in bank.judge_desk(replace(DESK, token_s=None))] == ["no_token"]
    assert bank.judge_desk(replace(DESK, breaker=None, token_s=None)) == []


DOTENV = Path("/app/.env")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"local": (("redis_url", Origin(OriginKind.DOTENV, "REDIS_URL", DOTENV)),)}, {"local_url": "warning"}),
        ({"shadowed": ("REDIS_URL",), "dotenv": DOTENV}, {"dotenv_shadowed": "warning"}),
        ({"exposed": True, "dotenv": DOTENV}, {"readable_secrets": "warning"}),
        ({"warnings": (Fault("unknown_setting", "?"),)}, {"unknown_setting": "warning"}),
    ],
)
def test_settings(changes: dict[str, Any], expected: dict[str, str]) -> None:
    assert bad(settings.judge(replace(SETTINGS, **changes))) == expected


# -- the rounds


def area(name: str, look: Any) -> Area:
    return Area(name, f"The {name}", look, "mend it")


def test_an_area_that_hangs_is_left_behind_and_the_others_are_told() -> None:
    let_go = threading.Event()
    fine = Finding("b", "well", Level.OK, "b is well")
    started = time.monotonic()
    try:
        found = examine([area("a", lambda: let_go.wait(60) and []), area("b", lambda: [fine])], patience_s=0.2)
    finally:
        let_go.set()
    assert time.monotonic() - started < 30  # and not the 60 of the one that hangs
    assert [(one.area, one.code, one.level) for one in found] == [
        ("a", "no_answer", Level.FAULT),
        ("b", "well", Level.OK),
    ]


def test_the_areas_are_looked_at_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=30)
    found = examine([area(name, lambda: [Finding("x", str(meeting.wait() >= 0), Level.OK, "")]) for name in "ab"], 60.0)
    assert [one.code for one in found] == ["True", "True"]


def test_an_area_that_breaks_hides_no_other() -> None:
    def break_down() -> list[Finding]:
        raise ZeroDivisionError("odd")

    def refuse() -> list[Finding]:
        raise RedisUnavailable("gone", hint="start it")

    found = examine([area("a", break_down), area("b", refuse)])
    assert [(one.code, one.mend) for one in found] == [("not_examined", "mend it"), ("redis_unavailable", "start it")]
    assert "ZeroDivisionError: odd" in found[0].text


# -- health


def test_heartbeat_of_any_worker_or_of_one() -> None:
    facts = replace(WORK, workers=(WORKER, STALE))
    assert judge_heartbeat(facts, None).level is Level.OK
    assert judge_heartbeat(facts, "w1").level is Level.OK
    assert judge_heartbeat(facts, "w2").code == "worker_silent"
    assert judge_heartbeat(facts, "nobody").code == "worker_silent"
    assert judge_heartbeat(replace(WORK, workers=(STALE,)), None).code == "no_worker"


@pytest.mark.parametrize(
    ("oldest_due_s", "idle_s", "code"),
    [
        (601.0, 601.0, "not_consuming"),
        (601.0, None, "not_consuming"),  # nothing was ever asked
        (601.0, 599.0, "consuming"),  # late, but it moves
        (599.0, 9000.0, "consuming"),  # not late enough
        (0.0, 90_000.0, "consuming"),  # idle, for nothing is due
    ],
)
def test_consuming(oldest_due_s: float, idle_s: float | None, code: str) -> None:
    assert judge_consuming(replace(WORK, due=1, oldest_due_s=oldest_due_s, idle_s=idle_s), 600.0).code == code


@pytest.mark.parametrize(
    ("level", "status", "word"), [("ok", 0, "OK"), ("warning", 1, "WARNING"), ("fault", 2, "CRITICAL")]
)
def test_nagios(level: str, status: int, word: str) -> None:
    findings = [Finding("work", "a", Level.OK, "fine"), Finding("work", "b", Level(level), "some | text\nmore")]
    found, line = nagios(HealthReport("deep", findings, replace(WORK, due=3, oldest_due_s=12.4)))
    assert (found, line.split(" - ")[0]) == (status, f"PAYSYNC {word}")
    text, _bar, figures = line.partition(" | ")
    assert "some / text more" in text
    assert figures == "workers=1 due=3 oldest_due=12s waiting=0 last_check=5s"
    assert "\n" not in line
