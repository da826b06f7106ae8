"""`paysync enqueue --update` as a real process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.register_home import RegisterHome


@pytest.fixture
def home(tmp_path: Path) -> RegisterHome:
    """A home that knows QR1."""
    home = RegisterHome(tmp_path)
    assert home.run("enqueue", "QR1", "--amount", "100.50", "--multi-use").status == 0
    return home


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {item["qr_id"]: item["outcome"] for item in document["data"]["items"]}


def test_everything_that_may_be_updated(home: RegisterHome) -> None:
    said = ["--amount", "20", "--currency", "USD", "--due", "2031-12-31", "--account", "till", "--single-use"]
    document = home.document("enqueue", "QR1", "NEW", *said, "--update")
    assert outcomes(document) == {"QR1": "updated", "NEW": "created"}
    assert (document["data"]["updated"], document["data"]["created"], document["errors"]) == (1, 1, [])
    row = home.rows()[0]
    fields = ("amount_minor", "currency", "account", "due_at", "multi_use")
    assert [row[name] for name in fields] == [2000, "USD", "till", "2032-01-01T03:59:59.000000+00:00", 0]
    (action,) = home.rows("paysync_audit")
    assert (action["action"], action["object"], "@" in action["who"]) == ("update_qr", "sim/QR1", True)
    detail = json.loads(action["detail"])
    assert (detail["before"]["amount"], detail["after"]["amount"]) == ("100.50 BOB", "20.00 USD")


def test_without_update_it_is_a_conflict_as_before(home: RegisterHome) -> None:
    before = home.dump()
    assert outcomes(home.document("enqueue", "QR1", "--amount", "20", status=3)) == {"QR1": "conflict"}
    assert outcomes(home.document("enqueue", "QR1", "--single-use", status=3)) == {"QR1": "conflict"}
    assert home.dump() == before


def test_what_may_not_be_updated(home: RegisterHome) -> None:
    home.change("UPDATE paysync_qrs SET status = 'completed', plan_state = 'done', next_check_at = NULL")
    before = home.dump()
    document = home.document("enqueue", "QR1", "--amount", "20", "--update", status=3)
    (error,) = document["errors"]
    assert (document["status"], error["code"]) == ("partial", "conflict")
    assert "it is completed already" in error["message"]
    assert outcomes(home.document("enqueue", "QR1", "--update")) == {"QR1": "final"}
    assert home.dump() == before


def test_people_read_what_was_and_what_is(home: RegisterHome) -> None:
    ended = home.run("enqueue", "QR1", "--amount", "20", "--update")
    assert ended.status == 0
    assert "updated" in ended.out
    assert "amount was 100.50 BOB, is 20.00 BOB" in ended.out
