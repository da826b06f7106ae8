"""The database: what it refuses, how it is made, and the statements that move plans."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, event, exc

from paysync_cli.errors import DatabaseUnavailable, InputError, NotFound, SettingsError
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import PlanState, Priority, Status
from paysync_cli.store import banks, history, leases, ledger, qrs
from paysync_cli.store.columns import UtcMoment
from paysync_cli.store.database import Database
from paysync_cli.store.indexes import metadata
from paysync_cli.store.leases import Lease
from paysync_cli.store.tables import VERSION_TABLE
from tests.books import add_qr, book, dump, new_database
from tests.core import NOW

MINUTE = timedelta(minutes=1)
REFUSED = (exc.IntegrityError, exc.ProgrammingError, exc.InternalError)


def row(store: Database, qr: Qr) -> Qr:
    with store.read() as tx:
        return qrs.load(tx, [qr.id])[qr.id]


def sql(store: Database, statement: str, **values: Any) -> None:
    with store.write() as tx:
        tx.exec_driver_sql(statement.format(**values))


# -- wrong states are impossible


@pytest.mark.parametrize(
    "wrong",
    [
        "status = 'completed'",
        "status = 'paid'",
        "status = 'unknown'",
        "plan_state = 'done'",
        "plan_state = 'sleeping'",
        "plan_state = 'queued'",
        "next_check_at = NULL",
        "plan_state = 'done', next_check_at = NULL",
        "status = 'expired', plan_state = 'done'",
        "amount_minor = 0",
        "amount_minor = -1",
        "priority = 3",
        "priority = -1",
        "seq = -1",
        "checks = -1",
        "attempts = -1",
        "qr_id = ''",
        "version = NULL",
    ],
)
def test_a_wrong_open_row_is_refused(any_store: Database, wrong: str) -> None:
    qr = add_qr(any_store, "QR1")
    with pytest.raises(REFUSED):
        sql(any_store, "UPDATE paysync_qrs SET {wrong} WHERE id = {id}", wrong=wrong, id=qr.id)
    assert row(any_store, qr) == qr


@pytest.mark.parametrize("wrong", ["next_check_at = issued_at", "plan_state = 'planned'", "status = 'active'"])
def test_a_final_row_with_a_plan_is_refused(any_store: Database, wrong: str) -> None:
    qr = add_qr(any_store, "QR1", status="expired")
    with pytest.raises(REFUSED):
        sql(any_store, "UPDATE paysync_qrs SET {wrong} WHERE id = {id}", wrong=wrong, id=qr.id)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.COMPLETED])
def test_completed_stays_completed_whoever_writes(any_store: Database, status: Status) -> None:
    qr = add_qr(any_store, "QR1", status="completed")
    plan = "plan_state = 'done'" if status.final else "plan_state = 'planned', next_check_at = issued_at"
    with pytest.raises(REFUSED):
        sql(any_store, "UPDATE paysync_qrs SET status = '{status}', {plan}", status=status.value, plan=plan)
    assert row(any_store, qr).status is Status.COMPLETED


def test_one_qr_is_one_row(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1")
    copied = "bank, environment, qr_id, status, currency, account, multi_use, issued_at, registered_at, plan_state,"
    copied += " next_check_at, priority, seq, checks, max_checks, attempts, free, version"
    with pytest.raises(REFUSED):
        sql(any_store, "INSERT INTO paysync_qrs ({names}) SELECT {names} FROM paysync_qrs", names=copied)
    assert row(any_store, qr) == qr


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE paysync_movements SET amount_minor = 1",
        "UPDATE paysync_movements SET payer = 'somebody'",
        "DELETE FROM paysync_movements",
        "UPDATE paysync_audit SET who = 'somebody'",
        "DELETE FROM paysync_audit",
        "DELETE FROM paysync_qrs",
        "UPDATE paysync_accounts SET balance_minor = -1",
    ],
)
def test_what_is_booked_or_audited_is_never_altered(any_store: Database, statement: str) -> None:
    qr = add_qr(any_store, "QR1")
    book(any_store, qr, 100)
    with any_store.write() as tx:
        history.record_action(tx, at=NOW, who="me", action="pause", what="sim")
    with pytest.raises(REFUSED):
        sql(any_store, statement)
    with any_store.read() as tx:
        assert (ledger.of(tx, [qr.id])[qr.id][0].amount, len(ledger.balances(tx))) == (100, 1)


@pytest.mark.parametrize(("amount", "transaction"), [(0, "t2"), (-5, "t2"), (100, "t1")])
def test_a_wrong_movement_is_refused(any_store: Database, amount: int, transaction: str) -> None:
    qr = add_qr(any_store, "QR1")
    book(any_store, qr, 100, transaction="t1")
    with pytest.raises(REFUSED):
        sql(
            any_store,
            "INSERT INTO paysync_movements (qr, bank, bank_transaction_id, amount_minor, currency, account, booked_at,"
            " source) SELECT qr, bank, '{transaction}', {amount}, currency, account, booked_at, source"
            " FROM paysync_movements",
            amount=amount,
            transaction=transaction,
        )


def test_a_movement_of_nobody_s_qr_is_refused(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1")
    with pytest.raises(REFUSED):
        book(any_store, replace(qr, id=99), 100)


def test_the_same_movement_is_booked_and_credited_once(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1")
    for _n in range(3):
        book(any_store, qr, 100)
    with any_store.read() as tx:
        assert ledger.balances(tx) == ledger.sums(tx) == [ledger.Balance("sim", "certification", "main", "BOB", 100)]


def test_movements_are_added_up_by_account_also_where_a_bank_has_two_environments(any_store: Database) -> None:
    """A million of them in a blink: where a bank has QRs of one environment, only an index is read."""
    book(any_store, add_qr(any_store, "QR1"), 100)
    book(any_store, add_qr(any_store, "QR2", account="till"), 7, currency="USD")
    book(any_store, add_qr(any_store, "QR3", bank="other"), 30)
    read: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        read.append(statement)

    event.listen(any_store.engine, "before_cursor_execute", note)
    with any_store.read() as tx:
        assert [one.amount for one in ledger.sums(tx)] == [30, 100, 7]
    event.remove(any_store.engine, "before_cursor_execute", note)
    (adding,) = (statement for statement in read if "sum(" in statement)
    assert "paysync_qrs" not in adding
    if any_store.is_sqlite:
        with any_store.read() as tx:
            plan = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {adding}", ("sim", "other")).all()
        assert "COVERING INDEX ix_paysync_movements_sums" in str(plan)
    book(any_store, add_qr(any_store, "QR1", environment="production"), 2000)
    with any_store.read() as tx:
        assert ledger.sums(tx) == ledger.balances(tx)
        assert [(one.environment, one.amount) for one in ledger.sums(tx)] == [
            ("certification", 30), ("certification", 100), ("certification", 7), ("production", 2000)
        ]  # fmt: skip


def test_a_row_s_id_is_never_given_again(sqlite_store: Database) -> None:
    """A job in Redis would name the wrong QR."""
    first = add_qr(sqlite_store, "QR1")
    with sqlite_store.write() as tx:
        tx.exec_driver_sql("DELETE FROM paysync_transitions")
        tx.exec_driver_sql("DELETE FROM paysync_qrs")
    assert add_qr(sqlite_store, "QR2").id > first.id


# -- the schema


def test_the_migrations_make_what_the_tables_say(any_store: Database) -> None:
    with any_store.read() as tx:
        context = MigrationContext.configure(tx, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_migrations_make_the_same_sql_as_the_tables(sqlite_store: Database, tmp_path: Path) -> None:
    """Constraints and partial indexes too, which a comparison of metadata does not see."""
    engine = create_engine(f"sqlite:///{tmp_path / 'plain.db'}")
    metadata.create_all(engine)
    with engine.connect() as plain, sqlite_store.read() as migrated:
        assert _definitions(migrated) == _definitions(plain)
    engine.dispose()


def _definitions(connection: Any) -> dict[str, list[str]]:
    query = "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL"
    found = {name: text for name, text in connection.exec_driver_sql(query) if name.startswith(("paysync", "ix_"))}
    found.pop(VERSION_TABLE, None)
    # The parts of a table may stand in any order; quotes and spaces say nothing.
    return {
        name: sorted(" ".join(part.split()).rstrip(" ,)") for part in text.replace('"', "").split("\n\t"))
        for name, text in found.items()
    }


def test_an_upgrade_again_changes_nothing(sqlite_store: Database) -> None:
    before = dump(sqlite_store)
    sqlite_store.upgrade()
    sqlite_store.ready(upgrade=True)
    assert dump(sqlite_store) == before
    assert sqlite_store.version() == "0001"


def test_an_upgrade_of_postgresql_again_changes_nothing(postgres_store: Database) -> None:
    identity = [_identity(postgres_store)]
    postgres_store.upgrade()
    assert [_identity(postgres_store)] == identity != [None]


def _identity(store: Database) -> str | None:
    with store.read() as tx:
        return history.read_meta(tx, "database_id")


OPEN_AT_ONCE = """
import sys
from paysync_cli.store.database import Database
from paysync_cli.store.history import read_meta
sys.stdin.readline()
store = Database(sys.argv[1], create=True).ready(upgrade=True)
with store.read() as tx:
    print(read_meta(tx, "database_id"))
"""


def test_eight_processes_may_open_a_fresh_file_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'home' / 'paysync.db'}"
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", OPEN_AT_ONCE, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _n in range(8)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * 8, said
    assert len({identity for identity, _errors in said}) == 1, said


def test_two_upgrades_of_postgresql_at_once_are_one(postgres_store: Database) -> None:
    sql(postgres_store, "DROP SCHEMA public CASCADE")
    sql(postgres_store, "CREATE SCHEMA public")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _n: postgres_store.upgrade(), range(4)))
    assert postgres_store.version() == "0001"


@pytest.mark.parametrize("upgrade", [False, True])
def test_a_schema_of_a_newer_paysync_is_refused_with_a_sentence(any_store: Database, upgrade: bool) -> None:
    sql(any_store, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(SettingsError, match=r"schema 9999, which this paysync does not know.*0001") as caught:
        any_store.ready(upgrade=upgrade)
    assert (caught.value.code, bool(caught.value.faults[0].hint)) == ("schema_unknown", True)
    assert any_store.version() == "9999"


@pytest.mark.parametrize(("served", "fits"), [("9999 0000 0001", True), ("9999 0002", False), ("0001 0001", False)])
def test_a_newer_schema_may_leave_room_for_this_paysync(any_store: Database, served: str, fits: bool) -> None:
    """It has grown, and what it says was said by itself."""
    sql(any_store, "ALTER TABLE paysync_qrs ADD COLUMN later BIGINT")
    sql(any_store, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    sql(any_store, f"UPDATE paysync_meta SET value = '{served}' WHERE key = 'schema_serves'")
    assert any_store.fits() is fits
    if fits:
        any_store.ready(upgrade=True)
        any_store.upgrade()  # somebody of the old ones says so: nothing happens
    else:
        with pytest.raises(SettingsError, match="does not know"):
            any_store.ready(upgrade=True)
    assert any_store.version() == "9999"


def test_an_empty_file_is_only_upgraded_when_that_is_wanted(tmp_path: Path) -> None:
    store = Database(f"sqlite:///{tmp_path / 'paysync.db'}", create=True)
    with pytest.raises(SettingsError, match="has schema none") as caught:
        store.ready(upgrade=False)
    assert caught.value.code == "schema_old"
    assert store.version() is None
    store.close()


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Database(f"sqlite:///{tmp_path / 'paysync.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_path_with_strange_characters_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "100% #1 ñandú"
    folder.mkdir()
    store = new_database(folder)
    add_qr(store, "QR1")
    store.close()
    assert (folder / "paysync.db").stat().st_size > 0
    assert len(list(tmp_path.iterdir())) == 1


def test_only_the_owner_may_read_a_new_database(tmp_path: Path) -> None:
    store = new_database(tmp_path)
    add_qr(store, "QR1")
    assert {part.stat().st_mode & 0o077 for part in tmp_path.glob("paysync.db*")} == {0}
    store.close()


def test_sqlite_writes_survive_a_power_cut(sqlite_store: Database) -> None:
    with sqlite_store.write() as tx:
        told = [tx.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert told == ["wal", 2]


def test_a_transaction_is_all_or_nothing(any_store: Database) -> None:
    def half() -> None:
        with any_store.write() as tx:
            history.write_meta(tx, "key", "value")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    with any_store.read() as tx:
        assert history.read_meta(tx, "key") is None


def test_a_reader_sees_one_moment(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1")
    with any_store.read() as tx:
        before = qrs.load(tx, [qr.id])
        sql(any_store, "UPDATE paysync_qrs SET checks = 7")
        assert qrs.load(tx, [qr.id]) == before
    assert row(any_store, qr).plan.checks == 7


def test_an_error_in_the_log_shows_no_payer(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1")
    with pytest.raises(REFUSED) as caught:
        book(any_store, replace(qr, id=99), 100, payer="Ana Canary")
    assert "Canary" not in str(caught.value)


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    store = Database(f"postgresql+psycopg://me:canary@/db?host={tmp_path}")
    with pytest.raises(DatabaseUnavailable) as caught:
        store.version()
    assert "canary" not in caught.value.message
    store.close()


# -- moments

AWARE = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001
    datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-4)), timezone(timedelta(hours=5, minutes=45))]),
)


@given(AWARE, AWARE)
def test_moments_sort_as_text_and_come_back(one: datetime, other: datetime) -> None:
    moment, dialect = UtcMoment(), create_engine("sqlite://").dialect
    first, second = (moment.process_bind_param(at, dialect) for at in (one, other))
    assert (first < second) == (one < other)
    assert moment.process_result_value(first, dialect) == one


def test_a_moment_without_a_zone_is_refused(sqlite_store: Database) -> None:
    with pytest.raises(exc.StatementError, match="without a zone"):
        add_qr(sqlite_store, "QR1", at=datetime(2031, 6, 14))  # noqa: DTZ001


# -- dispatching


def take(store: Database, limit: int = 100, **fields: Any) -> list[str]:
    with store.write() as tx:
        due = qrs.take_due(
            tx, fields.get("bank", "sim"), fields.get("environment", "certification"),
            Priority(fields.get("priority", "low")), fields.get("now", NOW), limit,
        )  # fmt: skip
    return [one.qr_id for one in due]


def test_the_longest_due_are_taken_first_and_no_more_than_wanted(any_store: Database) -> None:
    sql(any_store, "DROP INDEX ix_paysync_qrs_due")  # the order is the statement's, not an index's luck
    for n in (3, 1, 4, 0, 2):
        add_qr(any_store, f"QR{n}", at=NOW - (5 - n) * MINUTE)
    assert take(any_store, 2) == ["QR0", "QR1"]
    assert take(any_store, 100) == ["QR2", "QR3", "QR4"]
    assert take(any_store, 100) == []


def test_what_is_taken_is_queued_with_the_moment(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", seq=4)
    with any_store.write() as tx:
        assert qrs.take_due(tx, "sim", "certification", Priority.LOW, NOW, 9) == [
            qrs.Due("sim", qr.id, 4, "QR1", Priority.LOW)
        ]
    assert row(any_store, qr).plan == replace(qr.plan, state=PlanState.QUEUED)
    with any_store.read() as tx:
        assert [one.qr_id for one in qrs.queued(tx, NOW, 9)] == ["QR1"]
        assert qrs.queued(tx, NOW - timedelta(microseconds=1), 9) == []
        # A clock that has been put back since: what it dispatched is not lost for as long as it was ahead.
        assert [one.qr_id for one in qrs.queued(tx, NOW - MINUTE, 9, after=NOW - timedelta(seconds=1))] == ["QR1"]
        assert qrs.queued(tx, NOW - MINUTE, 9, after=NOW) == []


def test_only_what_is_due_and_waits_is_taken(any_store: Database) -> None:
    add_qr(any_store, "DUE")
    add_qr(any_store, "EXHAUSTED", state="exhausted", checks=20)
    add_qr(any_store, "LATER", at=NOW + timedelta(microseconds=1))
    add_qr(any_store, "HELD", state="held")
    add_qr(any_store, "QUEUED", state="queued")
    add_qr(any_store, "FINAL", status="expired")
    add_qr(any_store, "HIGH", priority="high")
    add_qr(any_store, "OTHER", bank="other")
    add_qr(any_store, "PRODUCTION", environment="production")
    assert sorted(take(any_store)) == ["DUE", "EXHAUSTED"]
    assert take(any_store, priority="high") == ["HIGH"]
    assert take(any_store, bank="other") == ["OTHER"]
    assert take(any_store, environment="production") == ["PRODUCTION"]


def test_twenty_dispatchers_take_each_row_once(any_store: Database) -> None:
    for n in range(60):
        add_qr(any_store, f"QR{n}")
    with ThreadPoolExecutor(20) as pool:
        taken = [qr_id for some in pool.map(lambda _n: take(any_store, 5), range(20)) for qr_id in some]
    taken += take(any_store)
    assert sorted(taken) == sorted(f"QR{n}" for n in range(60))


def test_the_next_due_moments_per_priority(any_store: Database) -> None:
    add_qr(any_store, "QR1", at=NOW + MINUTE)
    add_qr(any_store, "QR2", at=NOW + 2 * MINUTE)
    add_qr(any_store, "QR3", at=NOW, priority="high")
    add_qr(any_store, "QR4", at=NOW - MINUTE, state="queued")
    with any_store.read() as tx:
        assert qrs.next_due_at(tx, "sim", "certification") == {Priority.HIGH: NOW, Priority.LOW: NOW + MINUTE}
        assert qrs.next_due_at(tx, "sim", "certification", ripe=NOW) == {Priority.HIGH: NOW}
        assert qrs.next_due_at(tx, "sim", "production") == {}


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("take_due", r"ix_paysync_qrs_due \(bank=\? AND environment=\? AND priority=\?"),
        ("next_due_at", r"ix_paysync_qrs_due \(bank=\? AND environment=\? AND priority=\?"),
        ("count_queued", r"(queued \(bank=\? AND environment=\?|overview \(bank=\? AND plan_state=\?)"),
    ],
)
def test_a_million_rows_that_wait_are_not_looked_through(
    sqlite_store: Database, statement: str, index: str, analyzed: bool
) -> None:
    """Every worker asks this every second: only the index of what waits, by moment, will do; also where somebody let
    SQLite count its rows, when all were planned and none was queued."""
    if analyzed:
        for n in range(200):
            add_qr(sqlite_store, f"QR{n}", at=NOW + n * MINUTE)
        with sqlite_store.write() as tx:
            tx.exec_driver_sql("ANALYZE")
        sqlite_store.engine.dispose()  # who is connected already goes on without the statistics
    plans: list[str] = []

    def explain(_connection: Any, cursor: Any, text: str, values: Any, *_rest: Any) -> None:
        plans.extend(step[3] for step in cursor.connection.execute(f"EXPLAIN QUERY PLAN {text}", values))

    from sqlalchemy import event

    with sqlite_store.write() as tx:
        event.listen(sqlite_store.engine, "before_cursor_execute", explain)
        if statement == "take_due":
            qrs.take_due(tx, "sim", "certification", Priority.LOW, NOW, 9)
        elif statement == "next_due_at":
            qrs.next_due_at(tx, "sim", "certification")
        else:
            qrs.count_queued(tx, "sim", "certification")
    looked = [step for step in plans if "paysync_qrs" in step and "INTEGER PRIMARY KEY" not in step]
    assert looked
    assert all(re.search(index, step) for step in looked), plans
    assert not any("TEMP B-TREE" in step for step in plans), plans


# -- putting back


def put_back(store: Database, *rows: tuple[int, int], **fields: Any) -> int:
    with store.write() as tx:
        return qrs.put_back(tx, rows, **fields)


def test_a_queued_row_goes_back_to_the_plan(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", state="queued", seq=4, attempts=1)
    spent = add_qr(any_store, "QR2", state="queued", checks=20)
    assert put_back(any_store, (qr.id, 4), (spent.id, 0)) == 2
    assert row(any_store, qr).plan == replace(qr.plan, state=PlanState.PLANNED)
    assert row(any_store, spent).plan.state is PlanState.EXHAUSTED


@pytest.mark.parametrize(("state", "seq"), [("queued", 3), ("queued", 5), ("planned", 4), ("held", 4)])
def test_only_the_row_and_seq_that_are_still_queued_go_back(any_store: Database, state: str, seq: int) -> None:
    qr = add_qr(any_store, "QR1", state=state, seq=4)
    assert put_back(any_store, (qr.id, seq), at=NOW + MINUTE) == 0
    assert row(any_store, qr) == qr


def test_put_back_with_a_moment_postpones(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1", state="queued")
    put_back(any_store, (qr.id, 0), at=NOW + MINUTE)
    assert row(any_store, qr).plan.next_check_at == NOW + MINUTE


def test_more_rows_than_one_list_takes_go_back(sqlite_store: Database) -> None:
    assert put_back(sqlite_store, *((n, 0) for n in range(1, 1202))) == 0


# -- a plan that somebody changed


def test_replan_is_refused_once_the_row_moved_on(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1")
    plan = replace(qr.plan, next_check_at=NOW + MINUTE)
    for change in ("seq = 1", "version = 1", "plan_state = 'queued', queued_at = issued_at"):
        qr = row(any_store, qr)
        sql(any_store, f"UPDATE paysync_qrs SET {change}")
        with any_store.write() as tx:
            assert not qrs.replan(tx, qr, plan)
    qr = row(any_store, qr)
    with any_store.write() as tx:
        assert qrs.replan(tx, qr, replace(plan, seq=qr.plan.seq, state=PlanState.PLANNED))
    assert row(any_store, qr).plan.next_check_at == NOW + MINUTE
    assert row(any_store, qr).version == qr.version


def test_a_decided_row_that_changed_under_its_transaction_is_refused(any_store: Database) -> None:
    qr = add_qr(any_store, "QR1")
    change = qrs.Change(replace(qr, version=7), Status.ACTIVE, qr.plan, None, money=False)
    with pytest.raises(RuntimeError), any_store.write() as tx:
        qrs.write(tx, [change])


# -- lists


def listed(store: Database, **wanted: Any) -> Iterator[list[str]]:
    after = None
    while True:
        with store.read() as tx:
            page, after = qrs.page(tx, qrs.Wanted(**wanted, after=after))
        yield [qr.qr_id for qr in page]
        if after is None:
            return


@pytest.mark.parametrize("sort", qrs.SORTS)
def test_pages_of_equal_values_lose_and_double_nothing(any_store: Database, sort: str) -> None:
    for n in range(25):
        moment = NOW - (n % 3) * MINUTE
        add_qr(
            any_store, f"QR{n:02}", status="expired" if n % 5 == 4 else "active", registered_at=moment,
            at=moment, due_at=moment if n % 2 else None,
        )  # fmt: skip
    pages = list(listed(any_store, sort=sort, limit=4))
    assert [len(page) for page in pages] == [4] * 6 + [1]
    whole = list(itertools.chain(*pages))
    assert sorted(whole) == [f"QR{n:02}" for n in range(25)]
    assert list(listed(any_store, sort=sort, limit=100)) == [whole]


def test_the_order_of_each_list(sqlite_store: Database) -> None:
    add_qr(sqlite_store, "B", registered_at=NOW, at=NOW + MINUTE, due_at=None)
    add_qr(sqlite_store, "A", registered_at=NOW + MINUTE, at=NOW, due_at=NOW)
    add_qr(sqlite_store, "C", registered_at=NOW, status="expired", due_at=NOW - MINUTE)
    orders = {sort: next(listed(sqlite_store, sort=sort)) for sort in qrs.SORTS}
    assert orders == {
        "registered": ["A", "B", "C"],
        "next-check": ["A", "B", "C"],
        "due": ["C", "A", "B"],
        "qr": ["A", "B", "C"],
    }


@pytest.mark.parametrize(
    "token", ["", "x", "e30", "WyJxciIsIm4iLDFd", "WyJyZWdpc3RlcmVkIiwibm93IiwxXQ", "é", "A" * 9999]
)
def test_a_foreign_page_token_is_refused_with_a_sentence(sqlite_store: Database, token: str) -> None:
    with sqlite_store.read() as tx, pytest.raises(InputError, match="is not a page of this list"):
        qrs.page(tx, qrs.Wanted(after=token))


# -- leases


def lease(store: Database, owner: str, at: datetime = NOW, seconds: int = 30) -> Lease | None:
    with store.write() as tx:
        return leases.take(tx, "leader", owner, at, at + timedelta(seconds=seconds))


def test_one_leads_and_renews_and_the_other_waits(any_store: Database) -> None:
    first = lease(any_store, "a")
    assert first == Lease("leader", "a", 1, NOW + timedelta(seconds=30))
    assert lease(any_store, "b") is None
    assert lease(any_store, "a", NOW + timedelta(seconds=20)) == replace(first, until=NOW + timedelta(seconds=50))
    assert lease(any_store, "b", NOW + timedelta(seconds=49)) is None


def test_a_lease_that_ran_out_is_anybody_s_and_the_fence_rises(any_store: Database) -> None:
    lease(any_store, "a")
    taken = lease(any_store, "b", NOW + timedelta(seconds=30))
    assert taken is not None
    assert (taken.owner, taken.fence) == ("b", 2)
    assert lease(any_store, "a", NOW + timedelta(seconds=31)) is None


def test_a_lease_of_a_clock_that_was_put_back_is_over(any_store: Database) -> None:
    """Else nobody would lead until the clock is there again."""
    assert lease(any_store, "a", NOW + timedelta(hours=1)) is not None
    taken = lease(any_store, "b", NOW)
    assert taken is not None
    assert (taken.owner, taken.fence) == ("b", 2)


def test_a_lease_given_up_is_free_at_once(any_store: Database) -> None:
    first = lease(any_store, "a")
    assert first is not None
    with any_store.write() as tx:
        leases.give_up(tx, first, NOW)
    second = lease(any_store, "b")
    assert second is not None
    with any_store.write() as tx:
        leases.give_up(tx, first, NOW)  # the old holder may not give up what is another's
    assert lease(any_store, "c") is None


def test_twenty_at_once_and_one_leads(any_store: Database) -> None:
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda n: lease(any_store, f"worker-{n}"), range(20)))
    assert sum(one is not None for one in taken) == 1


def test_a_stale_holder_s_statements_change_nothing(any_store: Database) -> None:
    """SIGSTOP past the lease, SIGCONT: it acts not."""
    qr = add_qr(any_store, "QR1", state="queued")
    stale = lease(any_store, "a")
    later = lease(any_store, "b", NOW + MINUTE)
    assert stale is not None
    assert later is not None
    assert put_back(any_store, (qr.id, 0), lease=stale) == 0
    with any_store.write() as tx:
        assert not leases.still_held(tx, stale)
        banks.record_sweep(tx, "sim", "certification", day=date(2031, 6, 13), at=NOW, lease=stale)
    assert row(any_store, qr) == qr
    with any_store.read() as tx:
        assert banks.swept(tx, "sim", "certification") == banks.Swept(None, None)
    assert put_back(any_store, (qr.id, 0), lease=later) == 1


def test_the_high_water_day_never_falls_back(any_store: Database) -> None:
    for day in (date(2031, 6, 13), date(2031, 6, 11), None):
        with any_store.write() as tx:
            banks.record_sweep(tx, "sim", "certification", day=day, at=NOW)
    with any_store.read() as tx:
        assert banks.swept(tx, "sim", "certification") == banks.Swept(date(2031, 6, 13), NOW, NOW)
        assert banks.swept(tx, "sim", "production") == banks.Swept(None, None)


def test_a_failed_sweep_is_told_from_a_good_one(any_store: Database) -> None:
    for at, error in ((NOW, None), (NOW + MINUTE, "no\0answer")):
        with any_store.write() as tx:
            banks.record_sweep(tx, "sim", "certification", day=None, at=at, error=error)
    with any_store.read() as tx:
        assert banks.last_sweeps(tx) == {"sim": banks.Swept(None, NOW + MINUTE, NOW, "no answer")}
    with any_store.write() as tx:
        banks.record_sweep(tx, "sim", "certification", day=None, at=NOW + 2 * MINUTE)
    with any_store.read() as tx:
        assert banks.last_sweeps(tx)["sim"] == banks.Swept(None, NOW + 2 * MINUTE, NOW + 2 * MINUTE)


def test_the_schema_s_words_are_the_core_s() -> None:
    text = "".join(str(constraint.sqltext) for constraint in metadata.tables["paysync_qrs"].constraints
                   if hasattr(constraint, "sqltext"))  # fmt: skip
    words = set(re.findall(r"'(\w+)'", text))
    assert words == {status.value for status in Status} | {state.value for state in PlanState}
