"""PostgreSQL: what another session keeps locked holds up nothing else, a session that stands still loses its locks, and
a line that has died is noticed. And what a group has committed is not forgotten when the rest of it cannot be."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import text

from paysync_cli.errors import DatabaseLocked, DatabaseUnavailable
from paysync_cli.payments.qr import Qr
from paysync_cli.services import sync
from paysync_cli.services.sync import Asked, Failure, Judge, record, record_each
from paysync_cli.services.telling import Teller
from paysync_cli.store import database as databases
from paysync_cli.store import leases, ledger, qrs
from paysync_cli.store.database import Database, Tx
from tests.books import add_qr
from tests.core import NOW, RHYTHM, paid, says

JUDGE = Judge({"sim": RHYTHM}, NOW, lambda: 0.0)


@contextlib.contextmanager
def opened(store: Database, **settings: str) -> Iterator[Database]:
    """The same database by a URL that sets these for its sessions."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    url = store.url.update_query_dict({"options": options}) if options else store.url
    made = Database(url.render_as_string(hide_password=False))
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def locked(store: Database, statement: str) -> Iterator[None]:
    """Somebody's forgotten transaction, which has time."""
    with opened(store, idle_in_transaction_session_timeout="0") as forgotten, forgotten.engine.connect() as connection:
        connection.execute(text(statement))
        yield
        connection.rollback()


def told(qr: Qr, transaction: str) -> Asked:
    return Asked(qr.id, qr.plan.seq, NOW, 7, says("paid", paid(transaction, qr_id=qr.qr_id)))


def show(store: Database, *settings: str) -> list[str]:
    with store.write() as tx:
        return [str(tx.execute(text(f"SHOW {name}")).scalar()) for name in settings]


# -- what others keep locked


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM paysync_qrs WHERE qr_id = 'QR2' FOR UPDATE",
        "SELECT * FROM paysync_accounts WHERE account = 'other' FOR UPDATE",
    ],
    ids=["row", "account"],
)
def test_a_lock_of_another_session_keeps_back_only_what_needs_it(
    postgres_store: Database, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(sync, "LOCK_WAIT_S", 0.1)
    rows = [add_qr(postgres_store, f"QR{n}", amount=10000, account="other" if n == 2 else "main") for n in range(5)]
    before = add_qr(postgres_store, "QR9", amount=10000, account="other")
    assert [one.how for one in record(postgres_store, [told(before, "t9")], JUDGE)] == ["finished"]
    group = [told(qr, f"t{n}") for n, qr in enumerate(rows)]
    with opened(postgres_store, lock_timeout="200ms") as store:
        with locked(postgres_store, statement):
            results = record_each(store, group, JUDGE)
            assert [isinstance(one, DatabaseLocked) for one in results] == [False, False, True, False, False]
            assert [one.how for one in results if not isinstance(one, DatabaseUnavailable)] == ["finished"] * 4
            with pytest.raises(DatabaseLocked, match="lock timeout"):
                record(store, [group[2]], JUDGE)
        assert [one.how for one in record(store, [group[2]], JUDGE)] == ["finished"]
    with postgres_store.read() as tx:
        assert sum(one.amount for one in ledger.balances(tx)) == 6 * 10000


def test_a_session_that_stands_still_loses_its_locks(postgres_store: Database) -> None:
    """A frozen leader renews its lease for ever else, and nobody follows it."""
    later = NOW.replace(year=NOW.year + 1)
    with opened(postgres_store, idle_in_transaction_session_timeout="300ms") as frozen:
        with contextlib.ExitStack() as freezing:
            tx = freezing.enter_context(frozen.write())
            assert leases.take(tx, leases.LEADER, "frozen", NOW, NOW)
            with postgres_store.write() as other:  # waits for it
                taken = leases.take(other, leases.LEADER, "next", later, later)
            assert taken is not None
            assert taken.owner == "next"
            with pytest.raises(DatabaseUnavailable):
                freezing.close()
        with frozen.read() as tx:  # on a new connection
            assert leases.current(tx, leases.LEADER) == taken


# -- the sessions' settings


def test_sessions_have_time_outs_that_the_url_and_the_administrator_overrule(postgres_store: Database) -> None:
    ours = ("lock_timeout", "idle_in_transaction_session_timeout")
    assert show(postgres_store, *ours) == ["10s", "30s"]
    with opened(postgres_store, lock_timeout="3s") as store:
        assert show(store, *ours) == ["3s", "30s"]
    with postgres_store.write() as tx:
        tx.execute(text("ALTER ROLE paysync SET idle_in_transaction_session_timeout = '7s'"))
    try:
        with opened(postgres_store) as store:
            assert show(store, *ours) == ["10s", "7s"]
    finally:
        with postgres_store.write() as tx:
            tx.execute(text("ALTER ROLE paysync RESET idle_in_transaction_session_timeout"))


def test_migrations_wait_as_long_as_it_takes(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from paysync_cli.store import schema

    seen: list[list[Any]] = []

    def look(connection: Tx) -> None:
        names = ("lock_timeout", "idle_in_transaction_session_timeout")
        seen.append([connection.execute(text(f"SHOW {name}")).scalar() for name in names])
        raise InterruptedError

    monkeypatch.setattr(schema, "_run_alembic", look)
    monkeypatch.setattr(schema, "current", lambda _connection: None)
    store = Database(postgres_url)
    with pytest.raises(InterruptedError):
        store.upgrade()
    store.close()
    assert seen == [["0", "0"]]


@contextlib.contextmanager
def by_tcp(url: str) -> Iterator[str]:
    """The server behind a socket, by TCP: the URL's host and port."""
    path = unquote(url.partition("?host=")[2]) + "/.s.PGSQL.5432"
    listener = socket.create_server(("127.0.0.1", 0))

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        """One connection after the other."""
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as near, socket.socket(socket.AF_UNIX) as far:
                    far.connect(path)
                    back = threading.Thread(target=carry, args=(far, near))
                    back.start()
                    carry(near, far)
                    back.join()

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield f"postgresql+psycopg://paysync@127.0.0.1:{listener.getsockname()[1]}/postgres"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        server.join(30)
        listener.close()


def test_a_dead_line_is_noticed_by_the_kernel(postgres_url: str) -> None:
    """What the socket itself has, for only that counts: the URL's word over ours."""

    def options(url: str) -> list[int]:
        store = Database(url)
        try:
            with store.engine.connect() as connection:
                number = os.dup(connection.connection.dbapi_connection.fileno())  # type: ignore[union-attr]
                with socket.socket(fileno=number) as line:
                    return [
                        line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                        *(line.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                          for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")),
                    ]  # fmt: skip
        finally:
            store.close()

    with by_tcp(postgres_url) as url:
        assert options(url) == [1, 5, 3, 3, 15_000]
        assert options(f"{url}?keepalives_idle=60&tcp_user_timeout=90000") == [1, 60, 3, 3, 90_000]
    assert databases.CONNECTION["connect_timeout"] == 10


# -- a group of which only a part can be written


def test_what_a_group_has_committed_is_not_forgotten_with_the_rest(
    any_store: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A poisonous row splits the group; then the database goes away between its halves. The check given up in the
    first one is a failed job, told once."""
    caplog.set_level(logging.INFO, "paysync.checks")
    rows = [add_qr(any_store, f"QR{n}", amount=10000, attempts=2 if n == 0 else 0) for n in range(4)]
    group = [
        Asked(rows[0].id, 0, NOW, 1, failure=Failure("attempt", "unavailable", "x")),
        *(Asked(qr.id, 0, NOW, 1, says("unpaid")) for qr in rows[1:]),
    ]
    real, tried = sync.record_in, list[int]()

    def poisonous_then_away(tx: Tx, some: Any, judge: Judge) -> Any:
        tried.append(len(some))
        if len(tried) == 1:
            raise ValueError("poison")
        if len(tried) == 3:
            raise DatabaseUnavailable("away")
        return real(tx, some, judge)

    monkeypatch.setattr(sync, "record_in", poisonous_then_away)
    teller = Teller()
    first = record_each(any_store, group, JUDGE, witness=teller)
    assert [one.how for one in first if not isinstance(one, DatabaseUnavailable)] == ["failed", "finished"]
    assert [isinstance(one, DatabaseUnavailable) for one in first] == [False, False, True, True]
    again = record_each(any_store, group[2:], JUDGE, witness=teller)
    assert [one.how for one in again if not isinstance(one, DatabaseUnavailable)] == ["finished"] * 2
    assert tried == [4, 2, 2, 2]
    events = [getattr(line, "event_name", None) for line in caplog.records]
    assert events.count("check_given_up") == 1


def test_a_database_that_went_away_is_not_tried_for_every_half(
    any_store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [add_qr(any_store, f"QR{n}") for n in range(8)]
    tried: list[int] = []

    def poisonous_then_away(_tx: Tx, some: Any, _judge: Judge) -> Any:
        tried.append(len(some))
        raise ValueError("poison") if len(tried) <= 2 else DatabaseUnavailable("away")

    monkeypatch.setattr(sync, "record_in", poisonous_then_away)
    group = [Asked(qr.id, 0, NOW, 1, says("unpaid")) for qr in rows]
    results = record_each(any_store, group, JUDGE)
    assert [isinstance(one, DatabaseUnavailable) for one in results] == [True] * 8
    assert tried == [8, 4, 2]
    with any_store.read() as tx:
        assert {qr.plan.seq for qr in qrs.load(tx, [qr.id for qr in rows]).values()} == {0}
