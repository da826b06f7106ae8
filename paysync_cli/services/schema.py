"""The schema's version: what the database has, what this paysync needs, bringing the one to the other."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.store import schema
from paysync_cli.store.database import Database


@dataclass(frozen=True, slots=True)
class SchemaReport:
    """`version` is None in a database that paysync never wrote to; `head` is what this paysync needs."""

    version: str | None
    head: str
    where: str
    before: str | None = None
    fits: bool = True  # this paysync works on it

    @property
    def up_to_date(self) -> bool:
        return self.version == self.head

    @property
    def newer(self) -> bool:
        """A later paysync wrote it: this one leaves it as it is, and works on it only if it `fits`."""
        return self.version is not None and self.version not in schema.KNOWN


def look_at_schema(database: Database) -> SchemaReport:
    """The version as it is. Raises DatabaseUnavailable."""
    version = database.version()
    return SchemaReport(version, schema.HEAD, database.where, version, database.fits())


def upgrade_schema(database: Database) -> SchemaReport:
    """Bring the schema up to date. Raises SettingsError when a newer paysync wrote it."""
    before = database.version()
    database.upgrade()
    return SchemaReport(database.version(), schema.HEAD, database.where, before, database.fits())
