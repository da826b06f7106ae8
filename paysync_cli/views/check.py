"""What asking now brought."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.payments.money import to_text
from paysync_cli.services.check_now import Checked, CheckReport
from paysync_cli.views.base import ListView
from paysync_cli.views.page import BAD, Column, Page, Styled, status_cell


@dataclass(frozen=True)
class CheckView(ListView):
    report: CheckReport
    columns = ("qr_id", "bank", "outcome", "previous", "status", "booked", "next_check_at", "error")

    def data(self) -> object:
        return {
            "asked": len(self.report.checked),
            "changed": self.report.changed,
            "failed": self.report.failed,
            "items": list(self.rows()),
        }

    def rows(self) -> Iterable[Mapping[str, object]]:
        for one in self.report.checked:
            yield {
                "qr_id": one.qr.qr_id,
                "bank": one.qr.bank,
                "outcome": one.outcome,
                "previous": one.qr.status.value,
                "status": one.status.value,
                "booked": [
                    {
                        "bank_transaction_id": movement.bank_transaction_id,
                        "amount": to_text(movement.amount, movement.currency),
                        "currency": movement.currency,
                    }
                    for movement in one.booked
                ],
                "next_check_at": one.next_check_at,
                "error": one.error,
            }

    def human(self, page: Page) -> None:
        page.table(
            [_("QR"), _("Bank says"), _("Status"), Column(_("Booked"), right=True), _("Next check")],
            [(one.qr.qr_id, _said(one), status_cell(one.status.value), _booked(one), one.next_check_at)
             for one in self.report.checked],
            empty=_("no QR to ask about"),
        )  # fmt: skip


def _said(one: Checked) -> Styled | str:
    return Styled(one.outcome, BAD) if one.error is not None else one.outcome


def _booked(one: Checked) -> str | None:
    return ", ".join(f"{to_text(m.amount, m.currency)} {m.currency}" for m in one.booked) or None
