"""`paysync stats` as scripts and people meet it."""

from __future__ import annotations

import contextlib
import getpass
import re
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from paysync_cli.queue.gate import BankGate, Left
from paysync_cli.store import banks, leases
from tests.books import HOSTILE, add_qr, everything, open_review, push, spend
from tests.embedded import running_servers
from tests.home import NARROW, Home, database_id, lines_seen, new_home, one_document
from tests.line import plain_server
from tests.process import run_paysync

DEAD_REDIS = "redis://:canary-secret@127.0.0.1:1/0"


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        yield home


def fill(home: Home) -> None:
    now = datetime.now(UTC)
    with home.books() as store:
        add_qr(store, "late", status="pending", at=now - timedelta(minutes=50, seconds=30))
        add_qr(store, "later", at=now + timedelta(hours=1))
        add_qr(store, "held", state="held", at=now)
        add_qr(store, "paid", bank="other", status="completed")


def test_every_promised_key_is_there_although_nothing_is(home: Home) -> None:
    with home.books():
        pass
    data = home.data("stats")
    assert data.pop("where") == {
        "database": str(home.folder / "paysync.db"),
        "redis": f"embedded in {home.folder / 'redis'}",
        "settings_files": [],
    }
    assert data == {
        "jobs": {"waiting": 0, "active": 0, "completed": 0, "failed": 0, "delayed": 0},
        "checks_24h": {"ok": 0, "failed": 0},
        "checks_per_minute": 0.0,
        "oldest_due_seconds": 0,
        "due": 0,
        "statuses": dict.fromkeys(("pending", "processing", "active", "completed", "cancelled", "expired"), 0),
        "exhausted": 0,
        "held": 0,
        "reviews_open": 0,
        "workers": [],
        "leader": None,
        "banks": [],
        "alerts": {"undelivered": 0, "oldest_at": None, "error": None},
        "last_cleanup": None,
        "redis": None,
        "warnings": [],
    }


def test_figures_without_any_redis_running(home: Home) -> None:
    fill(home)
    data = home.data("stats")
    assert data["jobs"] == {"waiting": 1, "active": 0, "completed": 0, "failed": 0, "delayed": 1}
    assert (data["due"], data["held"]) == (1, 1)
    assert 3030 <= data["oldest_due_seconds"] < 3330
    assert data["statuses"] | {"pending": 1, "active": 2, "completed": 1} == data["statuses"]
    assert [bank["name"] for bank in data["banks"]] == ["other", "sim"]
    assert data["warnings"][0]["code"] == "no_worker"
    assert running_servers(home.folder) == [], "stats never starts a server"
    assert not (home.folder / "redis").exists()


def test_figures_with_redis_leave_it_untouched(home: Home) -> None:
    fill(home)
    with home.books() as store, home.redis() as client, home.queue() as queue:
        queued = add_qr(store, "queued", state="queued")
        push(queue, database_id(store), queued)
        spend(client, "failed", "payment-sync-high", [("sync-1-1", 5.0)])
        client.zadd("rq:wip:payment-sync-low", {"sync-2-1:e": 5.0})
        before = everything(client)
        data = home.data("stats")
        assert everything(client) == before
        assert data["jobs"] == {"waiting": 2, "active": 1, "completed": 0, "failed": 1, "delayed": 1}
        assert data["redis"]["policy"] == "noeviction"
        assert data["redis"]["memory_bytes"] > 0
        assert data["redis"]["version"]
        assert home.data("stats", "--bank", "other")["jobs"]["waiting"] == 0


def test_redis_down_is_partial_and_exit_69(home: Home) -> None:
    fill(home)
    found = home.json("stats", status=69, REDIS_URL=DEAD_REDIS)
    assert found["status"] == "partial"
    assert found["data"]["jobs"] is None
    assert (found["data"]["due"], found["data"]["workers"]) == (1, [])
    assert [one["code"] for one in found["data"]["warnings"]] == ["redis_unavailable"]
    assert found["errors"][0]["code"] == "redis_unavailable"
    ended = home.run("stats", REDIS_URL=DEAD_REDIS)
    assert ended.status == 69
    assert ended.out.splitlines()[1].startswith("ALARM: Redis at redis://:***@127.0.0.1:1/0 is not available")
    assert "PENDING" in ended.out
    assert ended.err.startswith("error: Redis at redis://")
    assert "canary" not in ended.out + ended.err + str(found)


def test_a_sweep_that_stopped_is_no_good_news(home: Home) -> None:
    fill(home)
    now = datetime.now(UTC)
    with home.books() as store, store.write() as tx:
        banks.record_sweep(tx, "sim", "certification", day=None, at=now - timedelta(hours=1))
        banks.record_sweep(tx, "sim", "certification", day=None, at=now, error="GET /x: connection refused")
    data = home.data("stats")
    (bank,) = [one for one in data["banks"] if one["name"] == "sim"]
    assert (bank["sweep_error"], bank["last_good_sweep"] < bank["last_sweep"]) == ("GET /x: connection refused", True)
    (warning,) = [one for one in data["warnings"] if one["code"] == "sweep_failed"]
    assert "paysync sweep --bank sim" in warning["message"]
    ended = home.run("stats")
    assert "WARNING: the day list of bank sim was not read to its end" in ended.out
    assert ", FAILED; cleanup" in ended.out


def test_another_databases_redis_is_not_taken_for_ours(home: Home) -> None:
    fill(home)
    with home.redis() as client:
        client.set("paysync:database", "another")
        found = home.json("stats", status=5)
    assert (found["status"], found["data"]["jobs"]) == ("partial", None)
    assert found["errors"][0]["code"] == "foreign_database"


def test_a_missing_database_with_an_empty_environment_names_what_it_looked_for(tmp_path: Path) -> None:
    nowhere = tmp_path / "nobody"
    ended = run_paysync("stats", cwd=tmp_path, home=nowhere)
    assert ended.status == 4
    assert ended.out == ""
    path = nowhere / ".local" / "share" / "paysync" / "paysync.db"
    assert f"no paysync database at {path}" in ended.err
    assert f"(user {getpass.getuser()}, settings from the environment and defaults)" in ended.err
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"
    found = one_document(run_paysync("stats", "--json", cwd=tmp_path, home=nowhere, env=NARROW).out)
    assert (found["status"], found["errors"][0]["code"]) == ("error", "no_database")


def test_a_missing_database_names_the_settings_file(home: Home) -> None:
    settings = home.folder / "paysync.toml"
    settings.write_text('database_url = "sqlite:////nowhere/books.db"\n')
    ended = home.run("stats")
    assert ended.status == 4
    assert "no paysync database at /nowhere/books.db" in ended.err
    assert f"settings from {settings}" in ended.err


def test_the_first_number_on_the_screen_is_the_age_of_the_oldest_due_check(home: Home) -> None:
    fill(home)
    for ended in (home.on_terminal("stats", NO_COLOR="1"), home.run("stats")):
        assert ended.status == 0
        text = " ".join(lines_seen(ended.out))
        first = re.search(r"[0-9]+[^.]*", text)
        assert first is not None
        assert first.group() == "50 minutes"
        assert "1 QR is due and no worker is alive" in ended.out


def test_one_screen_of_80_columns_in_two_blocks(home: Home) -> None:
    with home.books() as store, home.redis():
        add_qr(store, "late", at=datetime.now(UTC) - timedelta(minutes=50))
        ended = home.on_terminal("stats", columns=80, NO_COLOR="1")
    lines = lines_seen(ended.out)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line in ("Jobs", "QRs")] == ["Jobs", "QRs"]


def test_colour_only_where_it_is_wanted(home: Home) -> None:
    fill(home)
    assert "\x1b[31m" in home.on_terminal("stats").out
    assert "\x1b[3" not in home.on_terminal("stats", NO_COLOR="1").out
    assert "\x1b" not in home.run("stats", FORCE_COLOR="1").out
    one_document(home.on_terminal("stats", "--json").out)


def test_one_bank(home: Home) -> None:
    fill(home)
    data = home.data("stats", "--bank", "other")
    assert [bank["name"] for bank in data["banks"]] == ["other"]
    assert data["statuses"]["completed"] == 1
    assert data["due"] == 0
    assert home.json("stats", "--bank", "slip", status=2)["errors"][0]["code"] == "unknown_bank"


def test_where_is_told_also_when_there_is_nothing(home: Home) -> None:
    found = home.json("stats", status=4)
    assert found["data"] == {
        "where": {
            "database": str(home.folder / "paysync.db"),
            "redis": f"embedded in {home.folder / 'redis'}",
            "settings_files": [],
        }
    }
    away = home.json("stats", status=69, DATABASE_URL="postgresql://me:canary-secret@127.0.0.1:1/shop")
    assert away["data"]["where"]["database"] == "postgresql+psycopg://me:***@127.0.0.1:1/shop"
    assert "canary" not in str(away)
    assert home.json("list", status=4)["data"] is None, "only where it is promised"


def test_a_redis_that_refuses_the_login_is_not_called_away(home: Home) -> None:
    fill(home)
    with plain_server() as port:
        with redis.Redis(port=port) as client:
            client.config_set("requirepass", "secret-one")
        ended = home.run("stats", REDIS_URL=f"redis://127.0.0.1:{port}/0")
        wrong = home.run("stats", REDIS_URL=f"redis://:canary-secret@127.0.0.1:{port}/0")
    for one in (ended, wrong):
        assert one.status == 69
        assert "answers, but refuses our login" in one.err
        assert "answers, but refuses our login" in one.out
        assert "not available" not in one.out + one.err
        assert "canary" not in one.out + one.err


def test_what_is_no_redis_is_called_so(home: Home) -> None:
    fill(home)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer_like_a_web_server, args=(listener,), daemon=True)
        thread.start()
        ended = home.run("stats", REDIS_URL=f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
    assert ended.status == 69
    assert "is not a Redis" in ended.err


def _answer_like_a_web_server(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            caller, _address = listener.accept()
            with caller:
                caller.recv(1000)
                caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_a_redis_without_any_trace_of_the_workers_is_an_alarm(home: Home) -> None:
    fill(home)
    now = datetime.now(UTC)
    with home.books() as store, store.write() as tx:
        leases.take(tx, leases.LEADER, "host-1-abcdef", now, now + timedelta(hours=1))
    with plain_server() as port:
        url = f"redis://127.0.0.1:{port}/0"
        assert "strange_redis" in [one["code"] for one in home.data("stats", REDIS_URL=url)["warnings"]]
        with home.books() as store, redis.Redis(port=port) as client:
            client.set("paysync:database", database_id(store))
        assert "strange_redis" not in [one["code"] for one in home.data("stats", REDIS_URL=url)["warnings"]]


def needy(home: Home) -> None:
    """A paused bank, one that does not answer, an exhausted plan, an open review."""
    now = datetime.now(UTC)
    with home.books() as store, home.queue() as queue:
        add_qr(store, "out", state="exhausted", at=now + timedelta(hours=1), checks=20)
        open_review(store, add_qr(store, "paid-twice", status="completed"))
        add_qr(store, "mute", bank="mute", at=now + timedelta(hours=1))
        with store.write() as tx:
            banks.change(tx, "sim", "certification", paused_at=now, pause_reason=HOSTILE)
        gate = BankGate(queue)
        for n in range(5):
            gate.leave([Left("mute", str(n), failed=True)])


def test_nothing_that_needs_a_person_can_be_overlooked(home: Home) -> None:
    with home.redis():
        needy(home)
        data = home.data("stats")
        seen = {columns: home.on_terminal("stats", columns=columns).out for columns in (80, 120, 200)}
        plain_words = home.on_terminal("stats", NO_COLOR="1").out
    assert [one["code"] for one in data["warnings"]] == [
        "breaker_open", "bank_paused", "reviews_open", "plans_exhausted",
    ]  # fmt: skip
    by_name = {bank["name"]: bank for bank in data["banks"]}
    assert (by_name["mute"]["state"], by_name["mute"]["breaker"]["state"]) == ("breaker_open", "open")
    assert (by_name["sim"]["state"], by_name["sim"]["breaker"]["state"]) == ("paused", "closed")
    words = ("ALARM: bank mute does not answer", "WARNING: bank sim is paused", "WARNING: 1 review is open",
             "WARNING: 1 QR has used up its checks", "PAUSED", "DOES NOT ANSWER")  # fmt: skip
    for out in (*seen.values(), plain_words):
        text = " ".join(lines_seen(out))
        assert [one for one in words if one not in text] == []
        assert "\\x1b[31m[red]Ana\\u202e" in text, "the reason is shown as it is, and obeyed by nobody"
    for out in seen.values():
        first = next(line for line in out.splitlines() if "ALARM" in line)
        assert "48;5;" in first, "its own background: legible on light and dark alike"
    assert "\x1b[3" not in plain_words
    assert "\x1b[4" not in plain_words


def test_the_only_bank_has_its_line(home: Home) -> None:
    with home.books() as store:
        add_qr(store, "later", at=datetime.now(UTC) + timedelta(hours=1))
    bank = {"ADAPTER": "baneco", "BASE_URL": "http://127.0.0.1:1", "RATE": "7/s", "ENVIRONMENT": "certification"}
    env = {f"PAYSYNC_BANK_SIM_{key}": value for key, value in bank.items()}
    assert "sim asked, 7 questions/s, 1 open, 0 due" in home.run("stats", **env).out
    assert home.data("stats", **env)["banks"][0]["rate_per_s"] == 7


def test_a_bank_that_is_not_configured_is_not_called_asked(home: Home) -> None:
    with home.books() as store:
        add_qr(store, "later", at=datetime.now(UTC) + timedelta(hours=1))
    assert "sim not configured here, 1 open, 0 due" in home.run("stats").out
