"""A secret of this database's own, made once: what lies sealed in Redis cannot be guessed at by who only has Redis."""

from __future__ import annotations

import secrets

from paysync_cli.store.database import Database, insert_unless_there
from paysync_cli.store.history import read_meta
from paysync_cli.store.tables import meta

_KEY = "vault_salt"


def vault_salt(store: Database) -> bytes:
    """32 bytes, the same for everybody on this database."""
    with store.read() as tx:
        found = read_meta(tx, _KEY)
    if found is None:
        with store.write() as tx:
            tx.execute(insert_unless_there(tx, meta).values(key=_KEY, value=secrets.token_hex(32)))
            found = read_meta(tx, _KEY) or ""
    return bytes.fromhex(found)
