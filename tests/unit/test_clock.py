"""One clock decides: PostgreSQL's for all hosts, whatever their own ones show; for SQLite the one machine's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from paysync_cli.store import clock as clocks
from paysync_cli.store import server_time
from paysync_cli.store.database import Database

HOUR, MOMENT = timedelta(hours=1), timedelta(seconds=30)


class Wrong(datetime):
    """A machine's clock that is off."""

    off = timedelta(0)

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + cls.off


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> type[Wrong]:
    monkeypatch.setattr(clocks, "datetime", Wrong)
    monkeypatch.setattr(Wrong, "off", timedelta(0))
    return Wrong


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_a_host_whose_clock_is_wrong_goes_by_the_servers(
    postgres_store: Database, machine: type[Wrong], off: timedelta
) -> None:
    machine.off = off
    clock = clocks.read(postgres_store)
    assert abs(clock.now() - servers(postgres_store)) < MOMENT
    machine.off = timedelta(0)  # somebody sets it right while the worker runs
    assert abs(clock.now() - servers(postgres_store)) < MOMENT
    before = clock.now()
    assert before <= clock.now()
    assert clock.span(2.0) == timedelta(seconds=2)


@pytest.mark.parametrize("writing", [True, False])
def test_a_clock_that_drifted_from_the_servers_is_put_right(
    postgres_store: Database, monkeypatch: pytest.MonkeyPatch, writing: bool
) -> None:
    """By whichever transaction comes next: over weeks the two drift apart, after a fail-over it is another server."""
    clock, counted = clocks.read(postgres_store), server_time.unset_s
    monkeypatch.setattr(server_time, "unset_s", lambda: counted() + HOUR.total_seconds())
    assert clock.now() - datetime.now(UTC) > HOUR - MOMENT
    with postgres_store.write() if writing else postgres_store.read():
        pass
    assert abs(clock.now() - datetime.now(UTC)) < MOMENT


def test_a_reading_that_tells_nothing_new_does_not_move_the_clock(postgres_store: Database) -> None:
    with postgres_store.read() as tx:
        time = server_time.ServerTime(tx)
        base = time._base
        time.read(tx)
        assert time._base is base
        assert not time.is_old()


def test_sqlite_has_the_machines_clock(sqlite_store: Database, machine: type[Wrong]) -> None:
    clock = clocks.read(sqlite_store)
    machine.off = HOUR
    assert abs(clock.now() - datetime.now(UTC) - HOUR) < MOMENT


def test_a_database_with_a_clock_of_its_own_has_it_everywhere(postgres_store: Database) -> None:
    start = datetime.now(UTC)
    with postgres_store.write() as tx:
        clocks.compress(tx, clocks.Clock(start, start + 9 * HOUR, 60.0))
    clock = clocks.read(postgres_store)
    assert clock == clocks.Clock(start, start + 9 * HOUR, 60.0)
    assert clock.now() - start >= 9 * HOUR


def servers(store: Database) -> datetime:
    with store.read() as tx:
        found: datetime = tx.execute(text("SELECT clock_timestamp()")).scalar_one()
    return found
