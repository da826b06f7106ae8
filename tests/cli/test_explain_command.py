"""`paysync explain` as scripts and people meet it; the reasons themselves are tested one by one in its unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from paysync_cli.store import banks
from tests.books import HOSTILE, add_qr, dump, push
from tests.embedded import running_servers
from tests.home import Home, database_id, new_home
from tests.register_home import BANK

WHY = "customer disputes the charge"


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        yield home


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def codes(data: dict[str, object]) -> list[str]:
    return [reason["code"] for reason in data["reasons"]]  # type: ignore[attr-defined]


def test_the_document(home: Home) -> None:
    with home.books() as store:
        qr = add_qr(store, "QR1", checks=3, at=soon())
        before = dump(store)
    data = home.data("explain", "QR1", **BANK)
    assert codes(data) == ["no_worker", "budget", "planned", "never_asked"]
    assert all(reason["message"] for reason in data["reasons"])
    reasons = data.pop("reasons")
    assert (reasons[0]["blocks"], reasons[1]["blocks"]) == (True, False)
    assert qr.plan.next_check_at is not None
    assert data == {
        "qr_id": "QR1", "bank": "sim", "environment": "certification", "status": "active", "blocked": True,
        "next_check_at": qr.plan.next_check_at.isoformat(), "checks": 3, "max_checks": 20, "plan_state": "planned",
    }  # fmt: skip
    with home.books() as store:
        assert dump(store) == before
    assert not running_servers(home.folder)


def test_in_words(home: Home) -> None:
    with home.books() as store:
        add_qr(store, "QR1", at=soon())
        with store.write() as tx:
            banks.change(tx, "sim", "certification", paused_at=soon(), paused_by="ana", pause_reason=HOSTILE)
    assert home.run("hold", "QR1", "--reason", WHY).status == 0
    lines = home.run("explain", "QR1").out.splitlines()
    assert lines[0] == "QR QR1 of sim is active and is not asked about now."
    assert lines[1].startswith("- It is on hold since ")
    assert WHY in lines[1]
    assert lines[2] == "- The bank sim is not configured here: nobody who reads these settings asks it."
    assert r"\x1b[31m[red]Ana\u202e\n=cmd()" in lines[3]
    assert lines[4] == "- No worker is alive: run `paysync worker`."
    assert lines[5] == "- The next check is number 1 of 20."


def test_with_redis_it_knows_where_the_check_is(home: Home) -> None:
    with home.books() as store, home.queue() as queue:
        qr = add_qr(store, "QR1", state="queued", at=datetime.now(UTC), queued_at=soon())
        assert "job_lost" in codes(home.data("explain", "QR1", **BANK))
        queue.claim_database(database_id(store))
        push(queue, database_id(store), qr)
        assert "queued" in codes(home.data("explain", "QR1", **BANK))


def test_redis_away_is_a_reason_and_no_failure(home: Home) -> None:
    with home.books() as store:
        add_qr(store, "QR1", at=soon())
    data = home.data("explain", "QR1", **BANK, REDIS_URL="redis://:canary@127.0.0.1:9/0")
    assert codes(data)[0] == "redis_unavailable"
    assert "canary" not in str(data)


def test_a_final_qr(home: Home) -> None:
    with home.books() as store:
        add_qr(store, "QR1", status="expired")
    ended = home.run("explain", "QR1")
    assert ended.out.startswith("QR QR1 of sim is expired: nothing is asked about it any more.")
    assert home.data("explain", "QR1")["next_check_at"] is None


def test_what_is_not_there(home: Home) -> None:
    assert home.json("explain", "QR1", status=4)["errors"][0]["code"] == "no_database"
    with home.books() as store:
        add_qr(store, "QR1")
        add_qr(store, "QR2")
        add_qr(store, "QR2", environment="production")
    assert home.json("explain", "QR9", status=4)["errors"][0]["code"] == "no_qr"
    assert home.json("explain", "QR2", status=2)["errors"][0]["code"] == "ambiguous_qr"
    assert home.data("explain", "QR2", "--environment", "production")["environment"] == "production"
