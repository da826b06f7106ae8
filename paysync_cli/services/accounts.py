"""Balances, beside what the movements add up to: the two must never differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paysync_cli.store import ledger
from paysync_cli.store.database import Database


@dataclass(frozen=True, slots=True)
class Account:
    """One account in one currency, in minor units."""

    account: str
    currency: str
    balance: int
    movements: int

    @property
    def difference(self) -> int:
        return self.balance - self.movements


@dataclass(frozen=True, slots=True)
class AccountsReport:
    """Every account, by name and currency."""

    accounts: Sequence[Account]

    @property
    def differing(self) -> Sequence[Account]:
        return [one for one in self.accounts if one.difference]


def list_accounts(store: Database) -> AccountsReport:
    """Every balance and every sum, from one snapshot; an account that only one side knows counts as 0 on the other."""
    with store.read() as tx:
        balances = {(one.account, one.currency): one.amount for one in ledger.balances(tx)}
        sums = {(one.account, one.currency): one.amount for one in ledger.sums(tx)}
    return AccountsReport(
        [Account(*key, balances.get(key, 0), sums.get(key, 0)) for key in sorted(balances.keys() | sums.keys())]
    )
