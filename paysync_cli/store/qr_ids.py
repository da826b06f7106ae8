"""QR ids by their beginning, for a shell's TAB key: read only, at once, and without SQLAlchemy, whose import alone
takes longer than a person waits.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

_SQLITE = "sqlite:///"
_LAST = "\U0010ffff"  # no id that begins so goes beyond it
_BUSY_S = 0.2

# Runs a statement with `?` for its values, and returns the first column.
Query = Callable[[str, Sequence[object]], list[str]]


def beginning(url: str, prefix: str, *, bank: str | None, limit: int) -> list[str]:
    """At most `limit` ids that begin with `prefix`, and the first and the last of all that do: what these two have in
    common, all have, so a shell that extends what was typed to what all offers share never goes astray. Without a
    prefix the newest. `url` is SQLAlchemy's form; any error of the database's driver is passed on.
    """
    if url.startswith(_SQLITE):
        with closing(_open_file(url.removeprefix(_SQLITE))) as file:
            return _read(lambda sql, values: [row[0] for row in file.execute(sql, values)], prefix, bank, limit)
    import psycopg

    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        connection.read_only = True

        def query(sql: str, values: Sequence[object]) -> list[str]:
            rows: list[tuple[Any, ...]] = connection.execute(sql.replace("?", "%s").encode(), values).fetchall()
            return [row[0] for row in rows]

        return _read(query, prefix, bank, limit)


def libpq_url(url: str) -> str:
    """SQLAlchemy's URL as libpq reads it: without the driver, several hosts where libpq looks for them."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    hosts = [value for name, value in pairs if name == "host" and not parts.hostname and ":" in value]
    rest = [pair for pair in pairs if not (hosts and pair[0] == "host")]
    query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
    return f"postgresql://{parts.netloc}{','.join(hosts)}{parts.path}{query}"


def _open_file(path: str) -> sqlite3.Connection:
    """The file as it is; nothing is made beside it. Without a log nobody has it open, and it does not change."""
    mode = "mode=ro" if os.path.exists(f"{path}-wal") else "mode=ro&immutable=1"  # noqa: PTH110 - pathlib costs 3 ms
    return sqlite3.connect(f"file:{quote(path)}?{mode}", uri=True, timeout=_BUSY_S)


def _read(query: Query, prefix: str, bank: str | None, limit: int) -> list[str]:
    where, values = "qr_id >= ? AND qr_id < ?", [prefix, prefix + _LAST]
    if bank is not None:
        where, values = f"{where} AND bank = ?", [*values, bank]
    order = "qr_id" if prefix else "id DESC"
    found = query(f"SELECT qr_id FROM paysync_qrs WHERE {where} ORDER BY {order} LIMIT {limit}", values)  # noqa: S608
    ends = query(f"SELECT min(qr_id) FROM paysync_qrs WHERE {where}", values)  # noqa: S608
    ends += query(f"SELECT max(qr_id) FROM paysync_qrs WHERE {where}", values)  # noqa: S608
    return sorted({one for one in (*found, *ends) if one is not None})
