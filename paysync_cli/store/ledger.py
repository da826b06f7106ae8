"""Money booked: movements and account balances. Written once, in the transaction that decides."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, exists, func, select, text

from paysync_cli.payments.qr import Movement, Qr
from paysync_cli.payments.status import Status
from paysync_cli.store.database import Tx, insert_for, slices
from paysync_cli.store.tables import accounts, movements, qrs, transitions

LOCKS_AT_MOST = 100  # of one transaction; PostgreSQL's default has room for 6,400 of all transactions together


@dataclass(frozen=True, slots=True)
class Booking:
    """A movement to write for a QR; `source` says where the news came from (check, list, registration)."""

    qr: Qr
    movement: Movement
    source: str


@dataclass(frozen=True, slots=True, order=True)
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


def lock_transactions(tx: Tx, bank: str, environment: str, transactions: Collection[str]) -> None:
    """Let nobody else learn who has these transactions of the bank's, nor book them, until this transaction ends.

    Once in a transaction and bank, banks in order, after the rows and before the accounts: so nobody waits in a circle.
    SQLite has one writer at a time as it is.
    """
    if tx.dialect.name != "postgresql" or not transactions:
        return
    whole = _lock_number(bank, environment)
    if len(transactions) > LOCKS_AT_MOST:
        tx.execute(_LOCK_BANK, {"whole": whole})
    else:
        # In the order of what is locked: two ids may well have one number.
        numbers = sorted({_lock_number(bank, environment, transaction) for transaction in transactions})
        tx.execute(_LOCK_TRANSACTIONS, {"whole": whole, "numbers": numbers})


_LOCK_BANK = text("SELECT pg_advisory_xact_lock(:whole)")
_LOCK_TRANSACTIONS = text(
    "SELECT pg_advisory_xact_lock_shared(:whole), pg_advisory_xact_lock(number)"
    " FROM unnest(CAST(:numbers AS bigint[])) AS number"
)


def _lock_number(*words: str) -> int:
    """A number for PostgreSQL's advisory locks, which the whole database shares."""
    digest = hashlib.blake2b("\0".join(("paysync", *words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def is_booked(tx: Tx, qr: int, transaction: str, booked_at: datetime) -> bool:
    """Whether this transaction was booked for the QR at this moment."""
    mine = (movements.c.qr == qr, movements.c.bank_transaction_id == transaction, movements.c.booked_at == booked_at)
    return tx.execute(select(movements.c.id).where(*mine)).first() is not None


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
    return sorted(
        Balance(row.bank, row.environment, row.account, row.currency, row.balance_minor)
        for row in tx.execute(select(accounts))
    )


def sums(tx: Tx) -> list[Balance]:
    """The same figures added up from the movements: must equal `balances`.

    Nearly every bank has QRs of one environment only: then the sums come from one index alone. Else each movement's QR
    says which environment it is.
    """
    environments: dict[str, list[str]] = defaultdict(list)
    for bank, environment in tx.execute(select(qrs.c.bank, qrs.c.environment).distinct()):
        environments[bank].append(environment)
    one = {bank: found[0] for bank, found in environments.items() if len(found) == 1}
    several = environments.keys() - one.keys()
    account = (movements.c.account, movements.c.currency)
    added = func.sum(movements.c.amount_minor).label("amount")
    of_one = (
        select(movements.c.bank, *account, added).where(movements.c.bank.in_(one)).group_by(movements.c.bank, *account)
    )
    of_several = (
        select(movements.c.bank, qrs.c.environment, *account, added)
        .join(qrs, qrs.c.id == movements.c.qr)
        .where(movements.c.bank.in_(several))
        .group_by(movements.c.bank, qrs.c.environment, *account)
    )
    found = [Balance(row.bank, one[row.bank], row.account, row.currency, int(row.amount)) for row in tx.execute(of_one)]
    if several:
        found += [
            Balance(row.bank, row.environment, row.account, row.currency, int(row.amount))
            for row in tx.execute(of_several)
        ]
    return sorted(found)


def completed_without_money(tx: Tx, limit: int, *, but_for: str) -> list[str]:
    """The bank's ids of QRs that are completed and have no movement, which never is: at most `limit`.

    Those that became so by this cause are left out: a person may know of money that no bank tells.
    """
    money = exists().where(movements.c.qr == qrs.c.id)
    decided = exists().where(
        transitions.c.qr == qrs.c.id, transitions.c.new == Status.COMPLETED.value, transitions.c.cause == but_for
    )
    query = select(qrs.c.qr_id).where(qrs.c.status == Status.COMPLETED.value, ~money, ~decided).order_by(qrs.c.id)
    return list(tx.execute(query.limit(limit)).scalars())


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
    return {(qr, transaction) for qr, transaction in tx.execute(_insert_unbooked(tx.dialect.name), rows)}


@lru_cache
def _insert_unbooked(dialect: str) -> Any:
    statement = insert_for(dialect, movements).on_conflict_do_nothing()
    return statement.returning(movements.c.qr, movements.c.bank_transaction_id)


_ACCOUNT = (accounts.c.bank, accounts.c.environment, accounts.c.account, accounts.c.currency)


def _credit(tx: Tx, key: tuple[str, str, str, str], amount: int, now: datetime) -> None:
    bank, environment, account, currency = key
    values = {
        "bank": bank, "environment": environment, "account": account, "currency": currency,
        "balance_minor": amount, "updated_at": now,
    }  # fmt: skip
    tx.execute(_credit_account(tx.dialect.name), values)


@lru_cache
def _credit_account(dialect: str) -> Any:
    statement = insert_for(dialect, accounts)
    new = statement.excluded
    credited = {"balance_minor": accounts.c.balance_minor + new.balance_minor, "updated_at": new.updated_at}
    return statement.on_conflict_do_update(index_elements=_ACCOUNT, set_=credited)
