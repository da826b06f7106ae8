"""Balances, beside what the movements add up to: the two must never differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paysync_cli.store import ledger
from paysync_cli.store.database import Database


@dataclass(frozen=True, slots=True)
class Account:
    """One account at one bank, in one currency, in minor units."""

    bank: str
    environment: str
    account: str
    currency: str
    balance: int
    movements: int

    @property
    def difference(self) -> int:
        return self.balance - self.movements


@dataclass(frozen=True, slots=True)
class AccountsReport:
    """Every account, by bank, name and currency."""

    accounts: Sequence[Account]

    @property
    def differing(self) -> Sequence[Account]:
        return [one for one in self.accounts if one.difference]


def list_accounts(store: Database) -> AccountsReport:
    """Every balance and every sum, from one snapshot; an account that only one side knows counts as 0 on the other."""
    with store.read() as tx:
        balances = {_key(one): one.amount for one in ledger.balances(tx)}
        sums = {_key(one): one.amount for one in ledger.sums(tx)}
    return AccountsReport(
        [Account(*key, balances.get(key, 0), sums.get(key, 0)) for key in sorted(balances.keys() | sums.keys())]
    )


def _key(one: ledger.Balance) -> tuple[str, str, str, str]:
    return one.bank, one.environment, one.account, one.currency
