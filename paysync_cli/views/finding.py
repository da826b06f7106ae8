"""How the QRs look that `paysync find` found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.services.finding import FindReport, Found
from paysync_cli.services.listing import Listed
from paysync_cli.views.base import ListView
from paysync_cli.views.fitting import Choice, fitted_table
from paysync_cli.views.listing import QrListView, qr_columns, qr_fields
from paysync_cli.views.page import Column, Page


@dataclass(frozen=True)
class FindView(ListView):
    """One page of QRs and by what each was found. `next_command` shows the page after it."""

    report: FindReport
    next_command: str | None = None
    columns = (*QrListView.columns, "found_by")

    def data(self) -> object:
        return {"items": list(self.rows()), "next": self.report.next}

    def rows(self) -> Iterable[Mapping[str, object]]:
        for one in self.report.items:
            yield {**qr_fields(one), "found_by": one.by}

    def human(self, page: Page) -> None:
        several = len({one.qr.bank for one in self.report.items}) > 1
        choices: list[Choice[Listed]] = qr_columns(page, bank_tells=several)
        choices.append(Choice(Column(_("Found by")), _found_by, 1))
        fitted_table(page, choices, self.report.items, empty=_("No QR is like this."))
        if self.next_command is not None:
            page.line(_("more: {command}").format(command=self.next_command))


def _found_by(one: Listed) -> str:
    words = {
        "qr_id": _("QR"),
        "bank_transaction": _("bank transaction"),
        "amount": _("amount"),
        "paid": _("paid amount"),
        "account": _("account"),
    }
    return words[one.by] if isinstance(one, Found) else ""
