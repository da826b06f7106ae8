"""Alembic's entry: runs the migrations on the connection that `store.schema` hands in."""

from __future__ import annotations

from alembic import context

from paysync_cli.store.indexes import metadata
from paysync_cli.store.tables import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_name=lambda name, kind, _parents: kind != "table" or str(name).startswith("paysync_"),
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
