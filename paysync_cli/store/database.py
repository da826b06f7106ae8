"""The database: opening it, its transactions, its errors in our words, whether its schema fits.

SQLite writes begin IMMEDIATE with a busy time-out, WAL and synchronous FULL; PostgreSQL locks the rows it decides on.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from paysync_cli.errors import DatabaseLocked, DatabaseUnavailable, NotFound
from paysync_cli.language import _
from paysync_cli.store import schema
from paysync_cli.store.server_time import ServerTime

BUSY_TIMEOUT_MS = 15_000
PAGE_CACHE_KIB = 16_384
IN_LIMIT = 500  # bound parameters of one IN list
READ_ONLY_STATE = "25006"  # PostgreSQL's: a write in a transaction that only reads
LOCKED_STATE = "55P03"  # a lock was waited for as long as lock_timeout allows
IDLED_STATES = ("25P03", "25P04")  # the server ended a transaction in which nothing happened, or that took too long

# A line that has died is noticed within half a minute, whichever way it died; the URL may say otherwise.
CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
# Who waits for a lock is told so, and who stands still while holding one (a frozen host) loses it.
SESSION = {
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
# Set by the URL's `options`, or by an administrator for this role or database: that holds.
_CHOSEN = "('client', 'global', 'user', 'database', 'database user')"

T = TypeVar("T")

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
        self._create = create
        self.engine = _engine(self.url, create)
        # SQLite lets one write at a time, and whoever waits there sleeps longer and longer: threads take turns here.
        self._writers = threading.Lock() if self.is_sqlite else None
        self.server_time: ServerTime | None = None
        """PostgreSQL's clock, once somebody goes by it (`store.clock.read`): then it is read again now and then."""

    @property
    def where(self) -> str:
        """The database for people: a path, or a URL without its password."""
        return where_is(self.url)

    @property
    def host(self) -> str:
        """PostgreSQL's host, or the folder of its socket."""
        return self.url.host or str(self.url.query.get("host", "localhost"))

    @property
    def name(self) -> str:
        """The database's name, on SQLite its path."""
        return self.url.database or ""

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A transaction that only reads, on one consistent snapshot."""
        with self._translated(), self.engine.connect() as connection:
            tx = connection
            if not self.is_sqlite:
                # Its default gives each statement a snapshot of its own: figures read together would disagree.
                tx = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            self._look_at_the_clock(tx)
            yield tx

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """A transaction that writes: all of it or nothing. Raises DatabaseLocked when a lock was not to be had."""
        with self._translated(), self._turn(), self.engine.connect() as connection:
            tx = connection.execution_options(paysync_write=True)
            if not self.is_sqlite:
                # Whatever is the default there: who waited for a lock must see what the one before it wrote.
                tx = tx.execution_options(isolation_level="READ COMMITTED")
            with tx.begin():
                self._look_at_the_clock(tx)
                yield tx

    def _look_at_the_clock(self, tx: Tx) -> None:
        if self.server_time is not None and self.server_time.is_old():
            self.server_time.read(tx)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """This thread's turn to write; past the time-out it tries all the same, and SQLite says what is wrong."""
        ours = self._writers is not None and self._writers.acquire(timeout=BUSY_TIMEOUT_MS / 1000)
        try:
            yield
        finally:
            if ours and self._writers is not None:
                self._writers.release()

    def ready(self, *, upgrade: bool) -> Database:
        """Self, once the schema fits: SQLite is brought up to date, PostgreSQL only looked at.

        A SQLite file that paysync never wrote to gets its tables only with `create`: else it is as good as missing.
        """
        with self._translated():
            if self.is_sqlite and not self._create and self.version() is None:
                raise NotFound(_("no paysync database at {path}").format(path=self.where), code="no_database")
            schema.ensure(self.engine, upgrade=upgrade and self.is_sqlite)
        return self

    def version(self) -> str | None:
        """The schema's version, None when paysync never wrote to this database."""
        with self.read() as tx:
            return schema.current(tx)

    def fits(self) -> bool:
        """Whether this paysync works on the schema: its own, or a newer one that leaves room for it."""
        with self.read() as tx:
            return schema.fits(tx, schema.current(tx))

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
            if _state_of(error) == LOCKED_STATE:
                raise self._locked(error) from error
            raise self._unavailable(error) from error
        except DatabaseError as error:
            if _state_of(error) in IDLED_STATES:
                raise self._unavailable(error) from error
            if _state_of(error) == READ_ONLY_STATE:
                raise DatabaseUnavailable(
                    _("The database at {where} takes no writes: {cause}.").format(
                        where=self.where, cause=cause_of(error)
                    ),
                    hint=_("It is a standby or was made read-only; point DATABASE_URL at the primary."),
                ) from error
            if type(error) is not DatabaseError:  # its subclasses are about one statement, not about the file
                raise
            raise DatabaseUnavailable(
                _("{where} cannot be read as a database: {cause}.").format(where=self.where, cause=cause_of(error)),
                hint=_("Check PAYSYNC_HOME and DATABASE_URL; a damaged file has to come back from a backup."),
            ) from error

    def _unavailable(self, error: Exception) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            _("The database at {where} did not answer: {cause}.").format(where=self.where, cause=cause_of(error)),
            hint=_("Nothing was written by the transaction that failed; run the command again when it is back."),
        )

    def _locked(self, error: Exception) -> DatabaseLocked:
        return DatabaseLocked(
            _("Another session keeps something locked in the database at {where}: {cause}.").format(
                where=self.where, cause=cause_of(error)
            ),
            hint=_(
                "Nothing was written by the transaction that failed. pg_stat_activity shows the session: "
                "its state is `idle in transaction`; pg_terminate_backend(pid) ends it."
            ),
        )


_DRIVER_WORDS = re.compile(
    r"(connection (failed|is bad): )?(connection to server (at|on) .{1,300}? failed: )?((FATAL|ERROR):\s+)?", re.DOTALL
)


def where_is(url: URL | str) -> str:
    """The database of this URL for people, whether it is there or not."""
    made = make_url(url)
    if made.get_backend_name() == "sqlite":
        return made.database or ""
    return made.render_as_string(hide_password=True)


def is_missing(url: str) -> bool:
    """Whether this URL names a file that is not there; of a server only connecting tells."""
    made = make_url(url)
    return made.get_backend_name() == "sqlite" and not Path(made.database or "").exists()


def cause_of(error: Exception) -> str:
    """What the database said, in a few words; without those with which its driver says where it had asked."""
    original = error.orig if isinstance(error, DBAPIError) else error
    words = _DRIVER_WORDS.sub("", str(original).strip()).split("\n")[0]
    return " ".join(words.split()).rstrip(".")[:300] or type(original).__name__


def _state_of(error: Exception) -> str | None:
    """PostgreSQL's five letters for what happened."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _engine(url: URL, create: bool) -> Engine:
    """The engine. Its errors, which go to the log, never show the values of a statement: payers, accounts, amounts."""
    if url.get_backend_name() == "sqlite":
        _check_file(Path(url.database or ""), create)
        path = Path(os.path.normpath(Path(url.database or "").absolute()).replace("//", "/", 1))
        engine = create_engine(url, creator=lambda: _connect_sqlite(path), hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "checkout", _same_file(path))
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # What is given beside the URL would overrule it.
    ours = {name: value for name, value in CONNECTION.items() if name not in url.query}
    engine = create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=ours)
    event.listen(engine, "connect", _prepare_postgres)
    event.listen(engine, "checkin", _forget_read_only)
    return engine


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


def _connect_sqlite(path: Path) -> sqlite3.Connection:
    """Open the file that is there: SQLite's default would put an empty one into the place of a lost database."""
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False
    )


def _same_file(path: Path) -> Callable[[Any, ConnectionPoolEntry, Any], None]:
    """A pooled connection keeps writing into a file that was removed or replaced: such a one is dropped."""

    def check(_connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        try:
            found = path.stat()
        except OSError as error:
            raise DisconnectionError(f"{path}: {error.strerror}") from None
        opened = entry.info.setdefault("file", (found.st_dev, found.st_ino))
        if opened != (found.st_dev, found.st_ino):
            raise DisconnectionError(f"{path} was replaced")

    return check


def _prepare_postgres(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Our session settings. Not as start-up options: PgBouncer refuses those it does not know."""
    chosen = f"SELECT name FROM pg_settings WHERE source IN {_CHOSEN}"  # noqa: S608 - our own words
    values = ", ".join(f"('{name}', '{value}')" for name, value in SESSION.items())
    connection.execute(
        f"SELECT set_config(name, value, false) FROM (VALUES {values}) AS ours (name, value) "  # noqa: S608
        f"WHERE name NOT IN ({chosen})"
    )
    connection.commit()


def _forget_read_only(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """SQLAlchemy leaves a connection that has read with an explicit READ WRITE: that overrules the server's default."""
    if connection is not None:  # else it was closed
        connection.read_only = None


def _prepare_sqlite(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("foreign_keys=ON", "synchronous=FULL", f"cache_size=-{PAGE_CACHE_KIB}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("paysync_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def limit_lock_wait(tx: Tx, seconds: float) -> None:
    """Wait no longer for any lock of this transaction. SQLite has but one, and whoever writes has it already."""
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql(f"SET LOCAL lock_timeout = {round(seconds * 1000)}")


def rowcount(result: Any) -> int:
    """How many rows a statement changed."""
    return int(result.rowcount)


def inserted(tx: Tx, statement: Any) -> bool:
    """Execute `insert_unless_there(...)` for one row; whether it was not there.

    Only a preserved count is true: on PostgreSQL SQLAlchemy lets such an INSERT return its key and forgets the count.
    """
    return rowcount(tx.execute(statement, execution_options={"preserve_rowcount": True})) == 1


def slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Parts of at most IN_LIMIT items: what one IN list or one VALUES list takes."""
    return (items[start : start + IN_LIMIT] for start in range(0, len(items), IN_LIMIT))


def insert_unless_there(tx: Tx, table: Any) -> Any:
    """`INSERT ... ON CONFLICT DO NOTHING` in the dialect at hand."""
    return insert_into(tx, table).on_conflict_do_nothing()


def insert_into(tx: Tx, table: Any) -> Any:
    """`INSERT` in the dialect at hand, to be told what to do on a conflict."""
    return insert_for(tx.dialect.name, table)


def insert_for(dialect: str, table: Any) -> Any:
    """The same for statements that are built once for each dialect. Loads only the dialect at hand."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def storable(text: str, limit: int) -> str:
    """Text from outside: PostgreSQL keeps no NUL, and nobody reads more than a few lines."""
    return text.replace("\0", " ")[:limit]
