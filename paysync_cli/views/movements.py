"""What was booked: `paysync movements`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from paysync_cli.language import _, ngettext
from paysync_cli.payments.money import to_text
from paysync_cli.services.movements import MovementsReport
from paysync_cli.store.movements import Booked, Total
from paysync_cli.views.base import ListView
from paysync_cli.views.fitting import Choice, fitted_table
from paysync_cli.views.page import Cell, Column, Page
from paysync_cli.views.times import briefly_beside


@dataclass(frozen=True)
class MovementsView(ListView):
    """One page, and what the whole list adds up to. `next_command` shows the page after it.

    `filtered`: not all are meant.
    """

    report: MovementsReport
    next_command: str | None = None
    filtered: bool = False
    columns = (
        "id", "booked_at", "paid_at", "qr_id", "bank", "bank_transaction_id", "amount", "currency", "account", "payer",
        "source", "status", "environment",
    )  # fmt: skip

    def data(self) -> object:
        return {
            "items": list(self.rows()),
            "totals": [
                {"currency": total.currency, "count": total.count, "amount": to_text(total.amount, total.currency)}
                for total in self.report.totals
            ],
            "next": self.report.next,
        }

    def rows(self) -> Iterable[Mapping[str, object]]:
        return map(_fields, self.report.items)

    def human(self, page: Page) -> None:
        empty = _("Nothing is booked like this.") if self.filtered else _("Nothing is booked yet.")
        fitted_table(page, _choices(page), list(self.report.items), empty=empty)
        for total in self.report.totals:
            page.line(_total_words(total))
        if self.next_command is not None:
            page.line(_("more: {command}").format(command=self.next_command))


def _fields(one: Booked) -> dict[str, object]:
    return {
        "id": one.id,
        "qr_id": one.qr_id,
        "bank": one.bank,
        "environment": one.environment,
        "bank_transaction_id": one.bank_transaction_id,
        "amount": to_text(one.amount, one.currency),
        "currency": one.currency,
        "account": one.account,
        "paid_at": one.paid_at,
        "booked_at": one.booked_at,
        "payer": one.payer,
        "source": one.source,
        "status": one.status,
    }


def _choices(page: Page) -> list[Choice[Booked]]:
    def briefly(at: datetime | None) -> Cell:
        return None if at is None else briefly_beside(at, page.now, page.zone)

    return [
        Choice(Column(_("Paid")), lambda one: one.paid_at, 0, lambda one: briefly(one.paid_at)),
        Choice(Column(_("QR")), lambda one: one.qr_id),
        Choice(Column(_("Bank transaction")), lambda one: one.bank_transaction_id),
        Choice(Column(_("Amount"), right=True), lambda one: f"{to_text(one.amount, one.currency)} {one.currency}"),
        Choice(Column(_("Account")), lambda one: one.account, 1),
        Choice(Column(_("Payer")), lambda one: one.payer, 2),
        Choice(Column(_("Booked")), lambda one: one.booked_at, 3, lambda one: briefly(one.booked_at)),
        Choice(Column(_("From")), lambda one: one.source, 4),
    ]


def _total_words(total: Total) -> str:
    text = ngettext("{n} movement, {amount} {currency}", "{n} movements, {amount} {currency}", total.count)
    return text.format(n=total.count, amount=to_text(total.amount, total.currency), currency=total.currency)
