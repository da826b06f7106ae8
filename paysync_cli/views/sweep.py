"""What a sweep brought."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.services.sweep import SweepReport
from paysync_cli.views.base import View
from paysync_cli.views.page import BAD, Column, Page, Styled


@dataclass(frozen=True)
class SweepView(View):
    report: SweepReport

    def data(self) -> object:
        return {
            "booked": sum(bank.booked for bank in self.report.banks),
            "banks": [
                {
                    "bank": bank.bank,
                    "lists": bank.lists,
                    "error": bank.error,
                    "days": [
                        {
                            "day": day.day.isoformat(),
                            "listed": day.listed,
                            "booked": day.booked,
                            "reviews": day.reviews,
                            "complete": day.complete,
                        }
                        for day in bank.days
                    ],
                }
                for bank in self.report.banks
            ],
        }

    def human(self, page: Page) -> None:
        columns: list[Column | str] = [
            _("Bank"),
            _("Day"),
            *(Column(title, right=True) for title in (_("Listed"), _("Booked"), _("Reviews"))),
        ]
        rows = [
            (bank.bank, day.day.isoformat(), day.listed, day.booked, day.reviews)
            for bank in self.report.banks
            for day in bank.days
        ]
        page.table(columns, rows, empty=_("no day was read"))
        for bank in self.report.banks:
            if not bank.lists:
                page.line(_("{bank}: this bank has no list by payment day").format(bank=bank.bank))
            if bank.error is not None:
                page.line(Styled(f"{bank.bank}: {bank.error}", BAD))
