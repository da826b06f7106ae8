"""How a list of QRs looks: `paysync list`, `paysync find`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import compress

from paysync_cli.language import _
from paysync_cli.payments.money import to_text
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import PlanState
from paysync_cli.services.listing import Listed, ListReport
from paysync_cli.views.base import ListView
from paysync_cli.views.page import QUIET, Cell, Column, Page, Styled, status_cell
from paysync_cli.views.times import relative


@dataclass(frozen=True)
class QrListView(ListView):
    """One page of QRs. `next_command` is the command line that shows the page after it."""

    report: ListReport
    next_command: str | None = None
    columns = (
        "qr_id", "bank", "status", "amount", "currency", "paid", "account",
        "due_at", "next_check_at", "plan_state", "checks", "environment", "registered_at",
    )  # fmt: skip

    def data(self) -> object:
        return {"items": list(self.rows()), "next": self.report.next}

    def rows(self) -> Iterable[Mapping[str, object]]:
        for one in self.report.items:
            qr = one.qr
            yield {
                "qr_id": qr.qr_id,
                "bank": qr.bank,
                "status": qr.status,
                "amount": amount_text(qr.amount, qr.currency),
                "currency": qr.currency,
                "paid": to_text(one.paid, qr.currency),
                "account": qr.account,
                "due_at": qr.due_at,
                "next_check_at": qr.plan.next_check_at,
                "plan_state": qr.plan.state,
                "checks": qr.plan.checks,
                "environment": qr.environment,
                "registered_at": qr.registered_at,
            }

    def human(self, page: Page) -> None:
        # A terminal is narrow: the bank is shown only where it tells QRs apart, the checks are left to `show`.
        banks = not page.terminal or len({one.qr.bank for one in self.report.items}) > 1
        wanted = [True, banks, True, True, True, True, not page.terminal]
        heads = [Column(_("QR")), Column(_("Bank")), Column(_("Status")), Column(_("Amount"), right=True),
                 Column(_("Paid"), right=True), Column(_("Next check")), Column(_("Checks"), right=True)]  # fmt: skip
        page.table(
            list(compress(heads, wanted)),
            (list(compress(_cells(one, page), wanted)) for one in self.report.items),
            empty=_("No QR is like this."),
        )
        if self.next_command is not None:
            page.line(_("more: {command}").format(command=self.next_command))


def _cells(one: Listed, page: Page) -> list[Cell]:
    qr = one.qr
    amount, paid = amount_text(qr.amount, qr.currency), to_text(one.paid, qr.currency)
    return [
        qr.qr_id,
        qr.bank,
        status_cell(qr.status.value),
        None if amount is None else f"{amount} {qr.currency}",
        Styled(None, QUIET) if one.paid == 0 else paid if amount is not None else f"{paid} {qr.currency}",
        next_check_cell(qr, page),
        f"{qr.plan.checks}/{qr.plan.max_checks}",
    ]


def next_check_cell(qr: Qr, page: Page) -> Cell:
    """When the QR is asked next, or why it is not."""
    at, state = qr.plan.next_check_at, qr.plan.state
    if at is None or state is PlanState.DONE:
        return Styled(None, QUIET)
    if state in (PlanState.HELD, PlanState.QUEUED):
        return status_cell(state.value)
    shown = relative(at, page.now) if page.terminal else page.moment(at)
    return f"{shown} ({state.value})" if state is PlanState.EXHAUSTED else shown


def amount_text(amount: int | None, currency: str) -> str | None:
    """The amount as text; None for a QR of any amount."""
    return None if amount is None else to_text(amount, currency)
