"""What a database tells of its health: there, its schema, whether it takes writes, and the room on its disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from paysync_cli.errors import DatabaseUnavailable, NotFound
from paysync_cli.store import schema
from paysync_cli.store.database import Database, cause_of, where_is
from paysync_cli.store.tables import meta

BUSY_MS = 2000


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """One look at a database. `trouble` is why nothing else is known: `missing`, `unreachable`, `read_only`.

    `version` is its schema, None when paysync never wrote to it; `fits`: this paysync works on it. `write_error` is
    `readonly`, `busy`, or the text.
    `free_bytes` is the room on its disk, None when that is on another machine.
    """

    where: str
    trouble: str | None = None
    cause: str = ""
    version: str | None = None
    head: str = schema.HEAD
    known: tuple[str, ...] = schema.KNOWN
    fits: bool = False
    write_error: str | None = None
    disk: str | None = None
    free_bytes: int | None = None


def inspect(url: str, *, may_write: bool = True) -> DatabaseFacts:
    """Look, and write a row that is rolled back (unless `may_write` forbids it)."""
    where = where_is(url)
    try:
        database = Database(url)
    except NotFound as error:
        return DatabaseFacts(where, "missing", error.message)
    try:
        version, fits = database.version(), database.fits()
        disk = Path(database.name).absolute().parent if database.is_sqlite else None
        return DatabaseFacts(
            where,
            version=version,
            fits=fits,
            write_error=_write_error(database) if may_write and fits else None,
            disk=None if disk is None else str(disk),
            free_bytes=None if disk is None else shutil.disk_usage(disk).free,
        )
    except DatabaseUnavailable as error:
        # In WAL mode SQLite cannot even read a file beside which it may write nothing.
        locked_out = database.is_sqlite and not _may_be_written(Path(database.name))
        return DatabaseFacts(where, "read_only" if locked_out else "unreachable", error.message)
    finally:
        database.close()


def _write_error(database: Database) -> str | None:
    if database.is_sqlite and not _may_be_written(Path(database.name)):
        return "readonly"
    # A new connection: one that has read carries what it was told then, and hides PostgreSQL's own default.
    database.engine.dispose()
    try:
        with database.engine.connect() as connection:
            if database.is_sqlite:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS}")
                connection.rollback()
            writing = connection.execution_options(paysync_write=True)
            with writing.begin() as tx:
                if not database.is_sqlite:
                    writing.execute(text(f"SET LOCAL lock_timeout = {BUSY_MS}"))
                writing.execute(meta.insert().values(key=f"doctor {uuid4().hex[:16]}", value=""))
                tx.rollback()
    except DBAPIError as error:
        return _kind(error)
    return None


def _may_be_written(path: Path) -> bool:
    """SQLite also makes files beside its own."""
    return os.access(path, os.W_OK, effective_ids=True) and os.access(path.parent, os.W_OK, effective_ids=True)


def _kind(error: DBAPIError) -> str:
    original = error.orig
    words = cause_of(error)
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", 0) & 0xFF
        known = {sqlite3.SQLITE_READONLY: "readonly", sqlite3.SQLITE_BUSY: "busy", sqlite3.SQLITE_FULL: "full"}
        return known.get(code, words)
    # read_only_sql_transaction, insufficient_privilege; lock_not_available; disk_full
    states = {"25006": "readonly", "42501": "readonly", "55P03": "busy", "53100": "full"}
    return states.get(getattr(original, "sqlstate", None) or "", words)
