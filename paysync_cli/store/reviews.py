"""Reviews as people meet them: listed, looked at, resolved. They are opened in `store.history`, with the news."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, tuple_, update

from paysync_cli.store.database import Tx, rowcount, slices
from paysync_cli.store.tables import reviews
from paysync_cli.store.tokens import read_token, write_token

OPEN, RESOLVED = "open", "resolved"


@dataclass(frozen=True, slots=True)
class Review:
    """One review. `qr` is our row of its QR, None while none is registered; `news` names what it is about."""

    id: int
    bank: str
    environment: str
    qr_id: str
    reason: str
    state: str
    opened_at: datetime
    detail: dict[str, str]
    news: str
    qr: int | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    resolution: str | None = None
    resolution_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which reviews a list shows. `after` is the token of the page before."""

    state: str | None = None
    bank: str | None = None
    reason: str | None = None
    limit: int = 100
    after: str | None = None


def page(tx: Tx, wanted: Wanted) -> tuple[list[Review], str | None]:
    """One page, the newest first, and the token of the next one. Raises InputError on a foreign token."""
    query = select(reviews).order_by(reviews.c.id.desc()).limit(wanted.limit + 1)
    for column, value in (
        (reviews.c.state, wanted.state),
        (reviews.c.bank, wanted.bank),
        (reviews.c.reason, wanted.reason),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.after is not None:
        query = query.where(reviews.c.id < read_token("reviews", wanted.after))
    rows = [_review(row) for row in tx.execute(query)]
    more, rows = len(rows) > wanted.limit, rows[: wanted.limit]
    return rows, write_token("reviews", rows[-1].id) if more else None


def one(tx: Tx, review: int) -> Review | None:
    row = tx.execute(select(reviews).where(reviews.c.id == review)).first()
    return None if row is None else _review(row)


def about(tx: Tx, bank: str, environment: str, named: set[tuple[str, str]]) -> dict[tuple[str, str], list[Review]]:
    """The reviews of these (QR id, news), in the order in which they were opened."""
    found: dict[tuple[str, str], list[Review]] = {}
    for some in slices(sorted(named)):
        query = select(reviews).where(
            reviews.c.bank == bank,
            reviews.c.environment == environment,
            tuple_(reviews.c.qr_id, reviews.c.news).in_(some),
        )
        for row in tx.execute(query.order_by(reviews.c.id)):
            found.setdefault((row.qr_id, row.news), []).append(_review(row))
    return found


def resolve(tx: Tx, review: Review, *, resolution: str, reason: str, who: str, at: datetime, qr: int | None) -> bool:
    """Close it, unless somebody was faster; whether it was open."""
    statement = (
        update(reviews)
        .where(reviews.c.id == review.id, reviews.c.state == OPEN)
        .values(state=RESOLVED, qr=qr, resolved_at=at, resolved_by=who, resolution=resolution, resolution_reason=reason)
    )
    return rowcount(tx.execute(statement)) == 1


def _review(row: Row[Any]) -> Review:
    fields = {name: getattr(row, name) for name in Review.__dataclass_fields__}
    return Review(**fields | {"detail": json.loads(row.detail)})
