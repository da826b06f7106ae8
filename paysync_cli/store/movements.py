"""Reading what was booked: pages for people, the days of a bank. Writing is `store.ledger`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, func, or_, select

from paysync_cli.store.database import Tx
from paysync_cli.store.tables import movements, qrs
from paysync_cli.store.tokens import read_token, write_token

# The moment that decides of which day a movement is: not every bank always tells when it was paid.
_moment = func.coalesce(movements.c.paid_at, movements.c.booked_at, type_=movements.c.booked_at.type)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` on, before `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Booked:
    """One movement with its QR; `amount` in minor units, `issued_at` the QR's."""

    id: int
    qr: int
    qr_id: str
    bank: str
    environment: str
    bank_transaction_id: str
    amount: int
    currency: str
    account: str
    paid_at: datetime | None
    booked_at: datetime
    payer: str | None
    source: str
    status: str
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Days:
    """One day of the calendar as a span of each bank's own zone; `others` for banks that are not named."""

    of: Mapping[str, Span]
    others: Span


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which movements a list shows: `day` by payment, `since` by booking. `after` is the token of the page before."""

    day: Days | None = None
    since: datetime | None = None
    account: str | None = None
    bank: str | None = None
    limit: int = 100
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """How many movements in one currency, and their sum in minor units."""

    currency: str
    count: int
    amount: int


def page(tx: Tx, wanted: Wanted) -> tuple[list[Booked], str | None]:
    """One page, the last booked first, and the token of the next one. Raises InputError on a foreign token."""
    query = _filtered(_joined(), wanted).order_by(movements.c.id.desc()).limit(wanted.limit + 1)
    if wanted.after is not None:
        query = query.where(movements.c.id < read_token("movements", wanted.after))
    rows = [_booked(row) for row in tx.execute(query)]
    more, rows = len(rows) > wanted.limit, rows[: wanted.limit]
    return rows, write_token("movements", rows[-1].id) if more else None


def totals(tx: Tx, wanted: Wanted) -> list[Total]:
    """What all pages of the list add up to, per currency."""
    query = select(movements.c.currency, func.count(), func.sum(movements.c.amount_minor))
    query = _filtered(query, wanted).group_by(movements.c.currency).order_by(movements.c.currency)
    return [Total(currency, count, int(amount)) for currency, count, amount in tx.execute(query)]


def of_day(tx: Tx, bank: str, environment: str, day: Span) -> list[Booked]:
    """The movements paid on this day of the bank; without a payment moment those that were booked on it."""
    query = _joined().where(movements.c.bank == bank, qrs.c.environment == environment, _within(day))
    return [_booked(row) for row in tx.execute(query.order_by(movements.c.id))]


def _joined() -> Select[Any]:
    wanted = (qrs.c.qr_id, qrs.c.environment, qrs.c.status, qrs.c.issued_at)
    return select(movements, *wanted).join(qrs, qrs.c.id == movements.c.qr)


def _filtered(query: Select[Any], wanted: Wanted) -> Select[Any]:
    if wanted.bank is not None:
        query = query.where(movements.c.bank == wanted.bank)
    if wanted.account is not None:
        query = query.where(movements.c.account == wanted.account)
    if wanted.since is not None:
        query = query.where(movements.c.booked_at >= wanted.since)
    if wanted.day is not None:
        named = [and_(movements.c.bank == bank, _within(span)) for bank, span in wanted.day.of.items()]
        others = and_(movements.c.bank.not_in(list(wanted.day.of)), _within(wanted.day.others))
        query = query.where(or_(*named, others))
    return query


def _within(span: Span) -> Any:
    return and_(_moment >= span.start, _moment < span.end)


def _booked(row: Any) -> Booked:
    fields = {name: getattr(row, name) for name in Booked.__dataclass_fields__ if name != "amount"}
    return Booked(**fields, amount=row.amount_minor)
