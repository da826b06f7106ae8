"""Balances beside the sums of the movements: `paysync accounts`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.payments.money import to_text
from paysync_cli.services.accounts import Account, AccountsReport
from paysync_cli.views.base import ListView
from paysync_cli.views.page import BAD, Cell, Column, Page, Styled


@dataclass(frozen=True)
class AccountsView(ListView):
    report: AccountsReport
    columns = ("bank", "environment", "account", "currency", "balance", "movements", "difference")

    def data(self) -> object:
        return {"items": list(self.rows()), "differing": len(self.report.differing)}

    def rows(self) -> Iterable[Mapping[str, object]]:
        for one in self.report.accounts:
            yield {
                "bank": one.bank,
                "environment": one.environment,
                "account": one.account,
                "currency": one.currency,
                "balance": to_text(one.balance, one.currency),
                "movements": to_text(one.movements, one.currency),
                "difference": to_text(one.difference, one.currency),
            }

    def human(self, page: Page) -> None:
        page.table(
            [
                _("Bank"),
                _("Account"),
                _("Currency"),
                *(Column(title, right=True) for title in (_("Balance"), _("Movements"))),
            ],
            map(_cells, self.report.accounts),
            empty=_("nothing booked"),
        )
        for one in self.report.differing:
            page.line(Styled(difference_sentence(one), BAD))


def difference_sentence(one: Account) -> str:
    """The alarm about one account."""
    return _(
        "Account {account} at {bank}: the balance is {balance} {currency}, the movements add up to {movements}."
    ).format(
        bank=one.bank,
        account=one.account or "''",
        currency=one.currency,
        balance=to_text(one.balance, one.currency),
        movements=to_text(one.movements, one.currency),
    )


def _cells(one: Account) -> tuple[Cell, ...]:
    balance, movements = to_text(one.balance, one.currency), to_text(one.movements, one.currency)
    return one.bank, one.account, one.currency, Styled(balance, BAD) if one.difference else balance, movements
