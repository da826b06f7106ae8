"""Lists of QRs: every row once over all pages, in every order, also where rows share or lack the moment."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from paysync_cli.errors import InputError, UsageError
from paysync_cli.payments.status import PlanState, Status
from paysync_cli.services.listing import list_qrs
from paysync_cli.services.named_bank import require_known_bank
from paysync_cli.store import qrs
from paysync_cli.store.database import Database
from paysync_cli.store.qrs import SORTS, Wanted
from tests.books import NOW, add_qr, book, new_database

MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


def ids(store: Database, wanted: Wanted) -> list[str]:
    """All pages of the list, read one after another."""
    found: list[str] = []
    while True:
        report = list_qrs(store, wanted)
        assert len(report.items) <= wanted.limit
        found += [one.qr.qr_id for one in report.items]
        if report.next is None:
            return found
        wanted = replace(wanted, after=report.next)


def fill(store: Database) -> None:
    """Twelve QRs: pairs share their moments, some have no due date, some no next check."""
    for n in range(12):
        moment = NOW + MINUTE * (n // 2)
        status = "completed" if n % 5 == 4 else "active"
        due_at = moment if n % 3 else None
        add_qr(store, f"Q{n:02}", status=status, at=moment, registered_at=moment, due_at=due_at)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 2, 5, 12, 13])
def test_pages_show_every_row_once_in_the_same_order_as_one_page(store: Database, sort: str, limit: int) -> None:
    fill(store)
    whole = ids(store, Wanted(sort=sort, limit=100))
    assert sorted(whole) == [f"Q{n:02}" for n in range(12)]
    assert ids(store, Wanted(sort=sort, limit=limit)) == whole


def test_rows_without_the_moment_come_last(store: Database) -> None:
    fill(store)
    assert ids(store, Wanted(sort="due", limit=3))[-4:] == ["Q00", "Q03", "Q06", "Q09"]
    assert ids(store, Wanted(sort="next-check", limit=3))[-2:] == ["Q04", "Q09"]
    assert ids(store, Wanted(sort="registered", limit=3))[:2] == ["Q10", "Q11"]


def test_filters(store: Database) -> None:
    add_qr(store, "due", at=NOW - MINUTE, registered_at=NOW - 60 * MINUTE)
    add_qr(store, "later", at=NOW + MINUTE, registered_at=NOW)
    add_qr(store, "queued", at=NOW - MINUTE, state="queued", bank="other")
    add_qr(store, "exhausted", at=NOW + MINUTE, state="exhausted", checks=20)
    add_qr(store, "held", at=NOW - MINUTE, state="held")
    add_qr(store, "paid", status="completed")

    def found(**wanted: object) -> set[str]:
        return set(ids(store, Wanted(**wanted)))  # type: ignore[arg-type]

    assert found(due_before=NOW) == {"due", "queued"}
    assert found(plan_state=PlanState.EXHAUSTED) == {"exhausted"}
    assert found(plan_state=PlanState.HELD) == {"held"}
    assert found(status=Status.COMPLETED) == {"paid"}
    assert found(bank="other") == {"queued"}
    assert found(since=NOW - MINUTE) == {"later"}
    assert found(open_only=True) == {"due", "later", "queued", "exhausted", "held"}
    assert found(bank="nobody") == set()


def test_what_was_paid_stands_beside_its_own_qr(store: Database) -> None:
    for name, amount in (("a", 1), ("b", 20), ("c", 300)):
        book(store, add_qr(store, name), amount, transaction=name)
    book(store, add_qr(store, "d"), 999, transaction="d", currency="USD")
    assert {one.qr.qr_id: one.paid for one in list_qrs(store, Wanted()).items} == {"a": 1, "b": 20, "c": 300, "d": 0}


def token(*fields: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "strange",
    [
        "",
        "x",
        "ñ",
        "=" * 9,
        token("registered", "2031-06-14T16:00:00+00:00", "1"),
        token("registered", "2031-06-14T16:00:00+00:00", 2**80),
        token("registered", "2031-06-14T16:00:00+00:00", -1),
        token("registered", "yesterday", 1),
        token("registered", None, 1),
        token("registered", 7, 1),
        token("registered", ["x"], 1),
        token("registered"),
        token("due", "2031-06-14T16:00:00+00:00", 1),
        base64.urlsafe_b64encode(b"[" * 50_000).decode(),
    ],
)
def test_a_token_of_no_page_is_refused_in_words(store: Database, strange: str) -> None:
    with pytest.raises(InputError, match="is not a page of this list"):
        list_qrs(store, Wanted(after=strange))


def test_a_token_with_another_zone_means_the_same_moment(store: Database) -> None:
    for n in range(3):
        add_qr(store, f"Q{n}", registered_at=NOW - MINUTE * n)
    assert ids(store, Wanted(after=token("registered", NOW.isoformat(), 1))) == ["Q1", "Q2"]
    elsewhere = NOW.astimezone(tz=__import__("zoneinfo").ZoneInfo("America/La_Paz"))
    assert ids(store, Wanted(after=token("registered", elsewhere.isoformat(), 1))) == ["Q1", "Q2"]


def test_a_bank_is_known_by_the_settings_or_by_its_qrs(store: Database) -> None:
    add_qr(store, "a", bank="gone")
    require_known_bank(store, None, [])
    require_known_bank(store, "gone", ["sim"])
    require_known_bank(store, "sim", ["sim"])
    with pytest.raises(UsageError, match="No bank is called 'slip'; there are: sim"):
        require_known_bank(store, "slip", ["sim"])


def test_ids_that_begin_alike_are_found_literally(store: Database) -> None:
    for name in ("A_1", "AB1", "A%1", "A_2"):
        add_qr(store, name)
    with store.read() as tx:
        assert qrs.alike(tx, "A_", None, 9) == ["A_1", "A_2"]
        assert qrs.alike(tx, "A%", None, 9) == ["A%1"]
        assert qrs.alike(tx, "A", "elsewhere", 9) == []
