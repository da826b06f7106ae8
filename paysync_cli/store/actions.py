"""Reading the audit table: what operators did. Writing is `store.history`'s, in the transaction of the deed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from paysync_cli.store.database import Tx
from paysync_cli.store.tables import audit, qrs
from paysync_cli.store.tokens import read_token, write_token


@dataclass(frozen=True, slots=True)
class Done:
    """One action: when, who, what, on what, why. `qr_id` is None where it was about no QR, `bank` where about none."""

    id: int
    at: datetime
    who: str
    action: str
    what: str
    qr_id: str | None
    bank: str | None
    reason: str | None
    detail: dict[str, Any]


_ON_A_BANK = frozenset({"pause", "resume", "limit", "unlock", "reconcile_fix"})  # their object begins with its name


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which actions a list shows: `qr` is a row's id. `after` is the token of the page before."""

    since: datetime | None = None
    qr: int | None = None
    action: str | None = None
    limit: int = 100
    after: str | None = None


def page(tx: Tx, wanted: Wanted) -> tuple[list[Done], str | None]:
    """One page, the newest first, and the token of the next one. Raises InputError on a foreign token."""
    query = select(audit, qrs.c.qr_id, qrs.c.bank).outerjoin(qrs, qrs.c.id == audit.c.qr)
    if wanted.since is not None:
        query = query.where(audit.c.at >= wanted.since)
    if wanted.qr is not None:
        query = query.where(audit.c.qr == wanted.qr)
    if wanted.action is not None:
        query = query.where(audit.c.action == wanted.action)
    if wanted.after is not None:
        query = query.where(audit.c.id < read_token("audit", wanted.after))
    rows = [_done(row) for row in tx.execute(query.order_by(audit.c.id.desc()).limit(wanted.limit + 1))]
    more, rows = len(rows) > wanted.limit, rows[: wanted.limit]
    return rows, write_token("audit", rows[-1].id) if more else None


def _done(row: Any) -> Done:
    bank = row.bank or (row.object.split("/")[0] if row.action in _ON_A_BANK else None)
    return Done(row.id, row.at, row.who, row.action, row.object, row.qr_id, bank, row.reason, json.loads(row.detail))
