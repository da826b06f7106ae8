"""`paysync db`: the schema's version, and bringing it up to date."""

from __future__ import annotations

from paysync_cli.cli.command import command, group
from paysync_cli.cli.options import Yes
from paysync_cli.cli.session import Session
from paysync_cli.language import _

group("db", help=_("Look at the database's schema, or bring it up to date."))


@command(
    "db current",
    help=_("Show which schema the database has and which one this paysync needs."),
    examples=["paysync db current"],
)
def current(session: Session) -> None:
    from paysync_cli.services.schema import look_at_schema
    from paysync_cli.views.schema import SchemaView

    session.show(SchemaView(look_at_schema(session.runtime.database)))


@command(
    "db upgrade",
    help=_(
        "Bring the database's schema up to date; a missing SQLite database is made. PostgreSQL may hold your "
        "application's own tables: host and name are shown and it asks first. Only paysync_* tables are touched."
    ),
    examples=["paysync db upgrade", ("paysync db upgrade --yes", _("from a deployment script"))],
    changes=True,
    creates_database=True,
)
def upgrade(session: Session, yes: Yes = False) -> None:
    from paysync_cli.services.schema import look_at_schema, upgrade_schema
    from paysync_cli.views.schema import SchemaView

    database = session.runtime.database
    found = look_at_schema(database)
    if found.up_to_date:
        session.show(SchemaView(found))
        return
    if not database.is_sqlite and not found.newer:
        session.confirm(
            _("Upgrade the schema of database {name} on {host} from {before} to {head}?").format(
                name=database.name,
                host=database.host,
                before=found.version or _("none"),
                head=found.head,
            ),
            yes=yes,
        )
    session.show(SchemaView(upgrade_schema(database)))
