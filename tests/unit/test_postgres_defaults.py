"""What a PostgreSQL server says by default about transactions: not overruled where it protects, overruled where our
locks would not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.services.sync import Asked, Judge, record
from paysync_cli.store import qrs
from paysync_cli.store.database import Database
from tests.books import add_qr
from tests.core import NOW, RHYTHM, says


@contextmanager
def default(store: Database, setting: str, value: str) -> Iterator[Database]:
    """The same database, opened after its administrator has set this for all sessions to come."""
    with store.write() as tx:
        tx.execute(text(f"ALTER ROLE paysync SET {setting} = '{value}'"))
    opened = Database(store.url.render_as_string(hide_password=False))
    try:
        yield opened
    finally:
        opened.close()
        with store.write() as tx:
            tx.execute(text(f"ALTER ROLE paysync RESET {setting}"))


def test_a_server_that_is_read_only_by_default_is_not_written_to(postgres_store: Database) -> None:
    """Also by a connection that has read before; and no row is called poisonous for it."""
    qr = add_qr(postgres_store, "QR1")
    asked, judge = Asked(qr.id, qr.plan.seq, NOW, 7, says("unpaid")), Judge({"sim": RHYTHM}, NOW, lambda: 0.0)
    with default(postgres_store, "default_transaction_read_only", "on") as store:
        for _time in range(2):
            with pytest.raises(DatabaseUnavailable, match="takes no writes: cannot execute"):
                record(store, [asked], judge)
            with store.read() as tx:
                assert qrs.load(tx, [qr.id])[qr.id] == qr
    assert [one.how for one in record(postgres_store, [asked], judge)] == ["finished"]


def test_who_waited_for_a_lock_sees_what_was_written_before_it(postgres_store: Database) -> None:
    with default(postgres_store, "default_transaction_isolation", "repeatable read") as store:
        for _time in range(2):
            with store.write() as tx:
                assert tx.execute(text("SHOW transaction_isolation")).scalar() == "read committed"
            with store.read() as tx:
                assert tx.execute(text("SHOW transaction_isolation")).scalar() == "repeatable read"
                assert tx.execute(text("SHOW transaction_read_only")).scalar() == "on"
