"""`paysync show` as scripts and people meet it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from paysync_cli.store import history
from tests.books import HOSTILE, NOW, add_check, add_qr, book, open_review, push, spend
from tests.embedded import running_servers
from tests.home import Home, database_id, new_home


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        yield home


def fill(home: Home) -> None:
    with home.books() as store:
        qr = add_qr(store, "QR1", seq=2, checks=2, at=NOW, due_at=NOW + timedelta(days=1))
        add_check(store, qr, seq=0, at=NOW, outcome="unpaid", bank_status="0")
        add_check(store, qr, seq=1, at=NOW + timedelta(minutes=2), outcome="unavailable", attempt=2, error=HOSTILE)
        book(store, qr, 5000, payer=HOSTILE)
        open_review(store, qr, "amount_mismatch", element=HOSTILE)
        with store.write() as tx:
            history.record_action(tx, at=NOW, who="ana", action="hold", what="sim/QR1", qr=qr.id, reason=HOSTILE)


def test_the_document_holds_everything(home: Home) -> None:
    fill(home)
    data = home.data("show", "QR1")
    moment = NOW.isoformat()
    assert data.pop("registered_at") == data.pop("issued_at")
    assert data.pop("transitions")[0]["new"] == "active"
    assert data == {
        "qr_id": "QR1", "bank": "sim", "environment": "certification", "status": "active",
        "amount": "100.50", "currency": "BOB", "paid": "50.00", "account": "main", "multi_use": False,
        "due_at": (NOW + timedelta(days=1)).isoformat(), "notified_at": None,
        "plan": {"state": "planned", "next_check_at": moment, "checks": 2, "max_checks": 20, "attempts": 0,
                 "priority": "low"},
        "checks": [
            {"seq": 0, "attempt": 1, "at": moment, "outcome": "unpaid", "bank_status": "0", "duration_ms": 12,
             "error": None},
            {"seq": 1, "attempt": 2, "at": (NOW + timedelta(minutes=2)).isoformat(), "outcome": "unavailable",
             "bank_status": None, "duration_ms": 12, "error": HOSTILE},
        ],
        "movements": [
            {"bank_transaction_id": "t1", "amount": "50.00", "currency": "BOB", "paid_at": moment, "payer": HOSTILE,
             "account": "main", "booked_at": moment, "source": "check"},
        ],
        "reviews": [
            {"id": 1, "reason": "amount_mismatch", "state": "open", "opened_at": moment, "resolved_at": None,
             "resolved_by": None, "resolution": None, "resolution_reason": None, "detail": {"element": HOSTILE}},
        ],
        "actions": [{"at": moment, "who": "ana", "action": "hold", "reason": HOSTILE, "detail": {}}],
        "job": None,
    }  # fmt: skip


@pytest.mark.parametrize("on_terminal", [True, False])
def test_hostile_text_is_shown_harmless_and_whole(home: Home, on_terminal: bool) -> None:
    fill(home)
    show = home.on_terminal if on_terminal else home.run
    shown = show("show", "QR1", NO_COLOR="1").out
    assert "\u202e" not in shown
    assert "\x1b[31m" not in shown
    joined = "".join(shown.split())
    assert joined.count(r"\x1b[31m[red]Ana\u202e\n=cmd()") >= (1 if on_terminal else 3)
    assert "50.00 BOB of" not in shown
    assert "attempt2:" in joined


def test_a_qr_without_a_story(home: Home) -> None:
    with home.books() as store:
        add_qr(store, "NEW", amount=None, status="pending")
    data = home.data("show", "NEW")
    assert (data["amount"], data["paid"], data["checks"], data["movements"]) == (None, "0.00", [], [])
    shown = home.run("show", "NEW").out
    assert "not asked yet" in shown
    assert "nothing booked" in shown


def test_unknown_is_exit_4_with_ids_that_begin_alike(home: Home) -> None:
    fill(home)
    found = home.json("show", "QR", status=4)
    assert found["errors"] == [
        {"code": "no_qr", "message": "No QR QR is known.", "hint": "Did you mean QR1?"},
    ]
    ended = home.run("show", "\x1b[31mQR")
    assert ended.status == 4
    assert "\x1b" not in ended.err


def test_one_id_in_two_banks_is_exit_2_asking_for_the_bank(home: Home) -> None:
    with home.books() as store:
        for bank in ("a", "b"):
            add_qr(store, "QR1", bank=bank)
    found = home.json("show", "QR1", status=2)
    assert found["errors"][0]["code"] == "ambiguous_qr"
    assert "--bank" in found["errors"][0]["hint"]
    assert home.data("show", "QR1", "--bank", "b")["bank"] == "b"


def test_one_id_in_two_environments(home: Home) -> None:
    with home.books() as store:
        for environment in ("production", "certification"):
            add_qr(store, "QR1", environment=environment)
    assert "--environment" in home.json("show", "QR1", status=2)["errors"][0]["hint"]
    assert home.data("show", "QR1", "--environment", "production")["environment"] == "production"


def test_the_job_is_shown_while_redis_runs(home: Home) -> None:
    with home.books() as store, home.redis() as client, home.queue() as queue:
        queued = add_qr(store, "QUEUED", state="queued", seq=3)
        push(queue, database_id(store), queued)
        failed = add_qr(store, "FAILED", seq=5)
        spend(client, "failed", "payment-sync-low", [(f"sync-{failed.id}-4", 9e9)])
        add_qr(store, "NONE", seq=5)
        job = home.data("show", "QUEUED")["job"]
        assert (job["id"], job["state"], job["queue"]) == (f"sync-{queued.id}-3", "queued", "payment-sync-low")
        assert job["enqueued_at"].endswith("+00:00")
        assert home.data("show", "FAILED")["job"]["state"] == "failed"
        assert home.data("show", "NONE")["job"] is None
        client.set("paysync:database", "another")
        assert home.data("show", "QUEUED")["job"] is None, "that job is of a QR of another database"


def test_no_redis_is_needed_or_started(home: Home) -> None:
    fill(home)
    assert home.data("show", "QR1", REDIS_URL="redis://127.0.0.1:1/0")["job"] is None
    assert home.data("show", "QR1")["job"] is None
    assert running_servers(home.folder) == []


def test_a_missing_database_is_exit_4(home: Home) -> None:
    assert home.json("show", "QR1", status=4)["errors"][0]["code"] == "no_database"
