"""The schema's version: looking at it, bringing it up to date with the migrations shipped in the package."""

from __future__ import annotations

from contextlib import suppress
from sqlite3 import OperationalError
from uuid import uuid4

from sqlalchemy import Connection, Engine, inspect, select, text

from paysync_cli.errors import SettingsError
from paysync_cli.language import _
from paysync_cli.store.tables import VERSION_TABLE, meta

HEAD = "0001"
KNOWN = ("0001",)
# Older paysyncs that work on this schema too, named by the schema each was made for: a migration that only adds keeps
# its predecessor here, one that takes away drops it. So hosts are upgraded one after the other, under load.
SERVES_TOO: tuple[str, ...] = ()
SERVES_KEY = "schema_serves"  # lives in paysync_meta: the schema itself, then those


def current(connection: Connection) -> str | None:
    """The version the database has, None when paysync never wrote to it."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608


def fits(connection: Connection, version: str | None) -> bool:
    """Whether this paysync works on the schema: its own, or one of a newer paysync that left room for it."""
    if version is None or version in KNOWN:
        return version == HEAD
    served = connection.execute(select(meta.c.value).where(meta.c.key == SERVES_KEY)).scalar()
    schema, *too = (served or "none").split()
    return schema == version and HEAD in too


def ensure(engine: Engine, *, upgrade: bool) -> None:
    """Raise SettingsError unless the schema serves this version; with `upgrade` bring an older one up to date first."""
    with engine.connect() as connection:
        version = current(connection)
        if fits(connection, version):
            return
    if version is not None and version not in KNOWN:
        raise SettingsError(
            _("The database has schema {version}, which this paysync does not know (it knows up to {head}).").format(
                version=version, head=HEAD
            ),
            hint=_("Install the paysync that wrote it, or a newer one."),
            code="schema_unknown",
        )
    if not upgrade:
        raise SettingsError(
            _("The database has schema {version}, this paysync needs {head}.").format(
                version=version or _("none"), head=HEAD
            ),
            hint=_("Run: paysync db upgrade"),
            code="schema_old",
        )
    upgrade_to_head(engine)


def upgrade_to_head(engine: Engine) -> None:
    """Run the missing migrations in one transaction; two processes at once wait for each other."""
    if engine.dialect.name == "sqlite":
        _write_ahead(engine)
    with engine.connect() as connection:
        locked = connection.execution_options(paysync_write=True)
        with locked.begin():
            if engine.dialect.name == "postgresql":
                # Whoever comes second waits, and rewriting a large table takes a while: no time-out is for them.
                locked.execute(text("SET LOCAL lock_timeout = 0"))
                locked.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                locked.execute(text("SELECT pg_advisory_xact_lock(hashtext('paysync migration'))"))
            if current(locked) == HEAD:
                return
            _run_alembic(locked)
            _give_identity(locked)
            _note_whom_it_serves(locked)


def _write_ahead(engine: Engine) -> None:
    """WAL, which the file remembers: set once, by whoever makes the tables, and outside of a transaction."""
    connection = engine.raw_connection()
    try:
        # Another process that switches at the same moment holds the lock; then it is done for both.
        with suppress(OperationalError):
            connection.cursor().execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def _run_alembic(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "paysync_cli.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _note_whom_it_serves(connection: Connection) -> None:
    connection.execute(meta.delete().where(meta.c.key == SERVES_KEY))
    connection.execute(meta.insert().values(key=SERVES_KEY, value=" ".join((HEAD, *SERVES_TOO))))


def _give_identity(connection: Connection) -> None:
    if connection.execute(select(meta.c.value).where(meta.c.key == "database_id")).scalar() is None:
        connection.execute(meta.insert().values(key="database_id", value=str(uuid4())))
