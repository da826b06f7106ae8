"""The demo: the cast as it stands, live or at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paysync_cli.language import _
from paysync_cli.payments.money import to_text
from paysync_cli.services.demo import CURRENCY, DemoReport, Seen
from paysync_cli.views.base import View
from paysync_cli.views.page import BAD, GOOD, Column, Page, Styled, status_cell

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


STORY = 1  # its column


@dataclass(frozen=True)
class DemoView(View):
    report: DemoReport
    home: str
    next_steps: Sequence[str]

    def data(self) -> object:
        report = self.report
        return {
            "agrees": report.agrees,
            "complete": report.complete,
            "home": self.home,
            "books": amounts(report.books),
            "balances": amounts(report.balances),
            "bank": amounts(report.bank),
            "items": [
                {
                    "qr_id": one.fate.qr_id,
                    "story": one.fate.story,
                    "amount": one.fate.amount,
                    "currency": CURRENCY,
                    "paid": amounts(one.paid),
                    "status": one.qr.status.value,
                    "checks": one.qr.plan.checks,
                    "reviews": list(one.reviews),
                }
                for one in report.seen
            ],
            "next_steps": list(self.next_steps),
        }

    def human(self, page: Page) -> None:
        page.table(_columns(), [_row(one) for one in self.report.seen], empty="")
        page.heading(_("Does it add up?"))
        page.fields(
            [
                (_("Paid, says the bank"), _money(self.report.bank)),
                (_("Booked, say our movements"), _money(self.report.books)),
                (_("Balance of the account"), _money(self.report.balances)),
            ]
        )
        if self.report.agrees:
            page.line(Styled(_("Every amount adds up, to the cent."), GOOD))
        else:
            page.line(Styled(_("The books and the bank differ."), BAD))
        page.heading(_("Look at it yourself"))
        for step in self.next_steps:
            page.line(f"  {step}")


def live_table(report: DemoReport, title: str) -> Table:
    """The cast while it runs, as a Rich table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    rows = [[_text(cell) for cell in _row(one)] for one in report.seen]
    for place, column in enumerate(_columns()):
        head = column if isinstance(column, Column) else Column(column)
        widest = max(len(head.title), *(len(row[place]) for row in rows))
        # On a narrow screen only the story gives way: an amount cut short would be another amount.
        table.add_column(
            Text(head.title),
            justify="right" if head.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if place == STORY else widest,
        )
    for row in rows:
        table.add_row(*row)
    return table


def amounts(totals: Mapping[str, int]) -> dict[str, str]:
    """Minor units per currency as text."""
    return {currency: to_text(minor, currency) for currency, minor in sorted(totals.items())}


def _columns() -> list[Column | str]:
    return [_("QR"), _("What happens"), Column(_("Amount"), right=True), Column(_("Paid"), right=True), _("Status"),
            Column(_("Checks"), right=True)]  # fmt: skip


def _row(one: Seen) -> tuple[object, ...]:
    return (
        one.fate.qr_id,
        one.fate.story,
        one.fate.amount,
        _money(one.paid, home_currency=False),
        status_cell(one.qr.status.value),
        one.qr.plan.checks,
    )


def _money(totals: Mapping[str, int], *, home_currency: bool = True) -> str:
    parts = [
        text if currency == CURRENCY and not home_currency else f"{text} {currency}"
        for currency, text in amounts(totals).items()
    ]
    return " + ".join(parts) or "-"


def _text(cell: object) -> Text:
    from rich.text import Text

    return Text(str(cell.text), style=cell.style) if isinstance(cell, Styled) else Text(str(cell))
