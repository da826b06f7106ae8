"""What was booked: `paysync movements`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paysync_cli.language import _, ngettext
from paysync_cli.payments.money import to_text
from paysync_cli.services.movements import MovementsReport
from paysync_cli.store.movements import Booked, Total
from paysync_cli.views.base import ListView
from paysync_cli.views.page import Cell, Column, Page


@dataclass(frozen=True)
class MovementsView(ListView):
    """One page, and what the whole list adds up to. `next_command` shows the page after it."""

    report: MovementsReport
    next_command: str | None = None
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
        heads: list[Column | str] = [_("Paid"), _("QR"), _("Bank transaction"), Column(_("Amount"), right=True),
                                     _("Account"), _("Payer"), _("Booked"), _("From")]  # fmt: skip
        page.table(heads, map(_cells, self.report.items), empty=_("Nothing is booked like this."))
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


def _cells(one: Booked) -> tuple[Cell, ...]:
    amount = f"{to_text(one.amount, one.currency)} {one.currency}"
    return one.paid_at, one.qr_id, one.bank_transaction_id, amount, one.account, one.payer, one.booked_at, one.source


def _total_words(total: Total) -> str:
    text = ngettext("{n} movement, {amount} {currency}", "{n} movements, {amount} {currency}", total.count)
    return text.format(n=total.count, amount=to_text(total.amount, total.currency), currency=total.currency)
