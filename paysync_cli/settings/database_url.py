"""DATABASE_URL: a SQLite file or PostgreSQL, in the one form SQLAlchemy takes."""

from __future__ import annotations

from pathlib import Path

from paysync_cli.language import _
from paysync_cli.settings.urls import Parts, encoded, refuse_unknown_parameters, split_url

# All that libpq reads from a URL (its manual, "Parameter Key Words").
_LIBPQ = frozenset(
    "application_name channel_binding client_encoding connect_timeout dbname fallback_application_name gssdelegation"
    " gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname"
    " load_balance_hosts max_protocol_version min_protocol_version options passfile password port require_auth"
    " requirepeer service servicefile ssl_max_protocol_version ssl_min_protocol_version sslcert sslcertmode"
    " sslcompression sslcrl sslcrldir sslkey sslkeylogfile sslmode sslnegotiation sslpassword sslrootcert sslsni"
    " target_session_attrs tcp_user_timeout user".split()
)
_DRIVERS = frozenset(("", "psycopg", "psycopg2", "psycopg2cffi", "asyncpg", "pg8000", "psycopg_async"))


def _foreign_parameters() -> dict[str, str]:
    """Parameters of other tools that people paste, each with what to do."""
    pool = _("{name} belongs to the application's own pool: remove it, paysync keeps few connections.")
    explained = {name: pool.format(name=name) for name in ("connection_limit", "pool_timeout", "pool", "pool_size")}
    explained["schema"] = _(
        "schema=... is Prisma's and unknown to PostgreSQL: remove it (public is the default),"
        " or write options=-csearch_path%3DNAME for another schema."
    )
    explained["pgbouncer"] = _("pgbouncer=true is Prisma's: remove it.")
    explained["sslaccept"] = _("sslaccept is Prisma's: write sslmode=require or sslmode=verify-full.")
    explained["ssl"] = _("ssl=... is written sslmode=require.")
    explained["prepared_statements"] = _("prepared_statements belongs to the application's driver: remove it.")
    return explained


def read_database_url(text: str, folder: Path | None) -> str:
    """`sqlite:////absolute/file` or `postgresql+psycopg://...`.

    A relative SQLite file counts from `folder`, where the setting was read. Raises ValueError with a sentence that
    shows no password.
    """
    url = text.strip()
    scheme = url.partition("://")[0].lower()
    if scheme == "sqlite" or scheme.startswith("sqlite+"):
        return _sqlite(url, folder)
    dialect, _plus, driver = scheme.partition("+")
    if dialect not in ("postgres", "postgresql") or driver not in _DRIVERS:
        raise ValueError(_unknown_scheme(url, dialect))
    return _postgresql(split_url(url))


def sqlite_url(file: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{file}"


def _sqlite(url: str, folder: Path | None) -> str:
    path, mark, _query = url.partition("://")[2].partition("?")
    if mark:
        raise ValueError(_("a SQLite URL takes no parameters: remove everything from the ? on."))
    if not path.startswith("/"):
        raise ValueError(_("a SQLite file is written with three slashes, an absolute one with four: sqlite:////FILE."))
    name = path[1:]
    if name in ("", ":memory:"):
        raise ValueError(_("SQLite in memory would be gone when the command ends: name a file."))
    file = Path(name).expanduser()
    if not file.is_absolute():
        if folder is None:
            raise ValueError(_("the SQLite file is relative and there is no folder to start from."))
        file = folder / file
    return sqlite_url(file)


def _postgresql(parts: Parts) -> str:
    refuse_unknown_parameters(parts, _LIBPQ, _foreign_parameters())
    if not parts.path and not any(name in ("dbname", "service") for name, _value in parts.parameters):
        raise ValueError(_("it names no database: write postgresql://user:password@host/DATABASE."))
    if "/" in parts.path:
        raise ValueError(_("its database name holds a slash."))
    credentials = "" if parts.userinfo is None else f"{encoded(parts.userinfo)}@"
    place, pairs = _place(parts)
    query = "&".join(pairs)
    return f"postgresql+psycopg://{credentials}{place}/{parts.path}" + (f"?{query}" if query else "")


def _place(parts: Parts) -> tuple[str, list[str]]:
    """Host and parameters. Several hosts (a primary and its standbys) are parameters in SQLAlchemy's form."""
    pairs = [f"{name}={value}" for name, value in parts.parameters]
    if len(parts.hosts) == 1:
        host, port = parts.hosts[0]
        return host + (f":{port}" if port else ""), pairs
    return "", [*(f"host={host}:{port or 5432}" for host, port in parts.hosts), *pairs]


def _unknown_scheme(url: str, dialect: str) -> str:
    forms = _("Write postgresql://user:password@host/database or sqlite:////path/to/file.db.")
    if url[:1] in "\"'":
        return _("it starts with a quote: remove the quotes around it.")
    if url.startswith("file:"):
        return _("file: is Prisma's word for SQLite.") + " " + forms
    if "://" not in url:
        return _("it has no scheme.") + " " + forms
    if dialect in ("mysql", "mariadb", "mssql", "oracle", "mongodb"):
        return _("paysync keeps its books in SQLite or PostgreSQL only.") + " " + forms
    if dialect in ("postgres", "postgresql"):
        return _("its driver is unknown.") + " " + forms
    return _("its scheme is unknown.") + " " + forms
