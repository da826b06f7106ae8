"""Money booked: movements and account balances. Written once, in the transaction that decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from paysync_cli.payments.qr import Movement, Qr
from paysync_cli.store.database import Tx, insert_unless_there, slices
from paysync_cli.store.tables import accounts, movements, qrs


@dataclass(frozen=True, slots=True)
class Booking:
    """A movement to write for a QR; `source` says where the news came from (check, list, registration)."""

    qr: Qr
    movement: Movement
    source: str


@dataclass(frozen=True, slots=True)
class Balance:
    """What one account at one bank holds, in minor units."""

    bank: str
    environment: str
    account: str
    currency: str
    amount: int


def of(tx: Tx, qr_ids: Iterable[int]) -> dict[int, list[Movement]]:
    """All movements of these rows, in the order they were booked."""
    found: dict[int, list[Movement]] = defaultdict(list)
    query = _of_qrs()
    for some in slices(sorted(set(qr_ids))):
        for row in tx.execute(query, {"qrs": some}):
            found[row.qr].append(
                Movement(row.bank_transaction_id, row.amount_minor, row.currency, row.paid_at, row.payer)
            )
    return found


@lru_cache
def _of_qrs() -> Any:
    """Built once: putting a statement together costs more than running it."""
    return select(movements).where(movements.c.qr.in_(bindparam("qrs", expanding=True))).order_by(movements.c.id)


def owners(tx: Tx, bank: str, environment: str, transactions: Iterable[str]) -> dict[str, set[int]]:
    """For each of the bank's transaction ids the rows it is booked for."""
    found: dict[str, set[int]] = defaultdict(set)
    query = _of_transactions()
    for some in slices(sorted(set(transactions))):
        for transaction, qr in tx.execute(query, {"bank": bank, "environment": environment, "transactions": some}):
            found[transaction].add(qr)
    return found


@lru_cache
def _of_transactions() -> Any:
    return (
        select(movements.c.bank_transaction_id, movements.c.qr)
        .join(qrs, qrs.c.id == movements.c.qr)
        .where(
            movements.c.bank == bindparam("bank"),
            qrs.c.environment == bindparam("environment"),
            movements.c.bank_transaction_id.in_(bindparam("transactions", expanding=True)),
        )
    )


def book(tx: Tx, bookings: Sequence[Booking], now: datetime) -> None:
    """Insert the movements and credit the accounts, once per account, in the accounts' order.

    A movement that is there already is not credited again.
    """
    credit: dict[tuple[str, str, str, str], int] = defaultdict(int)
    new = _insert(tx, bookings, now)
    for booking in bookings:
        one = (booking.qr.id, booking.movement.bank_transaction_id)
        if one in new:
            new.remove(one)  # so that the same news twice in one group is credited once
            qr = booking.qr
            credit[qr.bank, qr.environment, qr.account, booking.movement.currency] += booking.movement.amount
    for key, amount in sorted(credit.items()):
        _credit(tx, key, amount, now)


def balances(tx: Tx) -> list[Balance]:
    """Every account, by bank, name and currency."""
    query = select(accounts).order_by(*_ACCOUNT)
    return [
        Balance(row.bank, row.environment, row.account, row.currency, row.balance_minor) for row in tx.execute(query)
    ]


def sums(tx: Tx) -> list[Balance]:
    """The same figures added up from the movements: must equal `balances`."""
    key = (qrs.c.bank, qrs.c.environment, movements.c.account, movements.c.currency)
    query = (
        select(*key, func.sum(movements.c.amount_minor))
        .join(qrs, qrs.c.id == movements.c.qr)
        .group_by(*key)
        .order_by(*key)
    )
    return [
        Balance(bank, environment, account, currency, int(amount))
        for bank, environment, account, currency, amount in tx.execute(query)
    ]


def paid(tx: Tx, qr_ids: Iterable[int]) -> dict[int, int]:
    """What came for each of these rows in its own currency, in minor units."""
    query = (
        select(movements.c.qr, func.sum(movements.c.amount_minor))
        .join(qrs, qrs.c.id == movements.c.qr)
        .where(movements.c.qr.in_(sorted(set(qr_ids))), movements.c.currency == qrs.c.currency)
        .group_by(movements.c.qr)
    )
    return {qr: int(amount) for qr, amount in tx.execute(query)}


def _insert(tx: Tx, bookings: Sequence[Booking], now: datetime) -> set[tuple[int, str]]:
    """Insert the movements; QR and bank transaction of those that were not there."""
    if not bookings:
        return set()
    rows = [
        {
            "qr": booking.qr.id,
            "bank": booking.qr.bank,
            "bank_transaction_id": booking.movement.bank_transaction_id,
            "amount_minor": booking.movement.amount,
            "currency": booking.movement.currency,
            "account": booking.qr.account,
            "paid_at": booking.movement.paid_at,
            "booked_at": now,
            "payer": booking.movement.payer,
            "source": booking.source,
        }
        for booking in bookings
    ]
    statement = insert_unless_there(tx, movements).returning(movements.c.qr, movements.c.bank_transaction_id)
    return {(qr, transaction) for qr, transaction in tx.execute(statement, rows)}


_ACCOUNT = (accounts.c.bank, accounts.c.environment, accounts.c.account, accounts.c.currency)


def _credit(tx: Tx, key: tuple[str, str, str, str], amount: int, now: datetime) -> None:
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    bank, environment, account, currency = key
    statement = dialect.insert(accounts).values(
        bank=bank, environment=environment, account=account, currency=currency, balance_minor=amount, updated_at=now
    )
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=_ACCOUNT,
            set_={"balance_minor": accounts.c.balance_minor + amount, "updated_at": now},
        )
    )
