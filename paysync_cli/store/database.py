"""The database: opening it, its transactions, its errors in our words, its identity and its clock.

SQLite writes begin IMMEDIATE with a busy time-out, WAL and synchronous FULL; PostgreSQL locks the rows it decides on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from paysync_cli.errors import DatabaseUnavailable, NotFound
from paysync_cli.language import _
from paysync_cli.store import schema

BUSY_TIMEOUT_MS = 15_000
PAGE_CACHE_KIB = 16_384

Tx = Connection
"""A running transaction. Services pass it on; only the store looks inside."""


class Database:
    """One open database. Usable from several threads; each transaction has its own connection.

    `url` is SQLAlchemy's form. A missing SQLite file is created only with `create`; the SQLite file upgrades itself,
    PostgreSQL is changed only by `schema.upgrade`.
    Raises NotFound (no such SQLite file), DatabaseUnavailable, SettingsError (a schema this version does not know).
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        self.url = make_url(url)
        self.engine = _engine(self.url, create)

    @property
    def where(self) -> str:
        """The database for people: a path, or a URL without its password."""
        return self.url.database or "" if self.is_sqlite else self.url.render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A transaction that only reads, on one consistent snapshot."""
        with self._translated(), self.engine.connect() as connection:
            # PostgreSQL's default gives each statement a snapshot of its own: figures read together would disagree.
            yield (
                connection
                if self.is_sqlite
                else connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            )

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """A transaction that writes: all of it or nothing."""
        with self._translated(), self.engine.connect() as connection:
            tx = connection.execution_options(paysync_write=True)
            with tx.begin():
                yield tx

    def ready(self, *, upgrade: bool) -> Database:
        """Self, once the schema fits: SQLite is brought up to date, PostgreSQL only looked at."""
        with self._translated():
            schema.ensure(self.engine, upgrade=upgrade and self.is_sqlite)
        return self

    def version(self) -> str | None:
        """The schema's version, None when paysync never wrote to this database."""
        with self.read() as tx:
            return schema.current(tx)

    def upgrade(self) -> None:
        """Bring the schema to this version's, also on PostgreSQL. Raises SettingsError when it is a newer one."""
        with self._translated():
            schema.ensure(self.engine, upgrade=True)

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise DatabaseUnavailable(
                _("The database at {where} did not answer: {cause}.").format(where=self.where, cause=_cause(error)),
                hint=_("Nothing was written by the transaction that failed; run the command again when it is back."),
            ) from error


def _cause(error: Exception) -> str:
    original = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(original).split()).rstrip(".")[:300]


def _engine(url: URL, create: bool) -> Engine:
    if url.get_backend_name() == "sqlite":
        _check_file(Path(url.database or ""), create)
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})


def _check_file(path: Path, create: bool) -> None:
    if path.exists():
        return
    if not create:
        raise NotFound(_("no paysync database at {path}").format(path=path), code="no_database")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        raise DatabaseUnavailable(
            _("The database file {path} cannot be created: {cause}.").format(path=path, cause=error.strerror),
            hint=_("Set PAYSYNC_HOME or DATABASE_URL to a place this user may write to."),
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("foreign_keys=ON", "synchronous=FULL", f"cache_size=-{PAGE_CACHE_KIB}"):
        connection.execute(f"PRAGMA {pragma}")
    # A read-only file, or another process that holds the lock while it switches: reading works all the same.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=WAL")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("paysync_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def rowcount(result: Any) -> int:
    """How many rows a statement changed."""
    return int(result.rowcount)


def insert_unless_there(tx: Tx, table: Any) -> Any:
    """`INSERT ... ON CONFLICT DO NOTHING` in the dialect at hand."""
    if tx.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
