"""How a list of QRs looks: `paysync list`, `paysync find`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.payments.money import to_text
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import PlanState
from paysync_cli.services.listing import Listed, ListReport
from paysync_cli.views.base import ListView
from paysync_cli.views.fitting import Choice, fitted_table
from paysync_cli.views.page import QUIET, Cell, Column, Page, Styled, status_cell
from paysync_cli.views.times import briefly_beside


@dataclass(frozen=True)
class QrListView(ListView):
    """One page of QRs. `next_command` shows the page after it; `filtered`: not all are meant."""

    report: ListReport
    next_command: str | None = None
    filtered: bool = False
    columns = (
        "qr_id", "bank", "status", "amount", "currency", "paid", "account",
        "due_at", "next_check_at", "plan_state", "checks", "environment", "registered_at",
    )  # fmt: skip

    def data(self) -> object:
        return {"items": list(self.rows()), "next": self.report.next}

    def rows(self) -> Iterable[Mapping[str, object]]:
        return map(qr_fields, self.report.items)

    def human(self, page: Page) -> None:
        several = len({one.qr.bank for one in self.report.items}) > 1
        empty = _("No QR is like this.") if self.filtered else _("No QR is registered yet.")
        fitted_table(page, qr_columns(page, bank_tells=several), self.report.items, empty=empty)
        if self.next_command is not None:
            page.line(_("more: {command}").format(command=self.next_command))


def qr_fields(one: Listed) -> dict[str, object]:
    """The public keys of one QR of a list."""
    qr = one.qr
    return {
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


def qr_columns(page: Page, *, bank_tells: bool) -> list[Choice[Listed]]:
    """The columns of a list of QRs; `bank_tells` says that the bank tells some of them apart."""
    return [
        Choice(Column(_("QR")), lambda one: one.qr.qr_id),
        Choice(Column(_("Bank")), lambda one: one.qr.bank, 1 if bank_tells else 3),
        Choice(Column(_("Status")), lambda one: status_cell(one.qr.status.value)),
        Choice(Column(_("Amount"), right=True), _amount_cell),
        Choice(Column(_("Paid"), right=True), _paid_cell),
        Choice(Column(_("Account")), lambda one: one.qr.account, 5 if page.terminal else 0),
        Choice(Column(_("Due")), lambda one: one.qr.due_at, 4),
        Choice(Column(_("Next check")), lambda one: next_check_cell(one.qr, page), 0,
               lambda one: next_check_cell(one.qr, page, brief=True)),
        Choice(Column(_("Checks"), right=True), lambda one: f"{one.qr.plan.checks}/{one.qr.plan.max_checks}", 2),
    ]  # fmt: skip


def _amount_cell(one: Listed) -> Cell:
    amount = amount_text(one.qr.amount, one.qr.currency)
    return None if amount is None else f"{amount} {one.qr.currency}"


def _paid_cell(one: Listed) -> Cell:
    if one.paid == 0:
        return Styled(None, QUIET)
    paid = to_text(one.paid, one.qr.currency)
    return paid if one.qr.amount is not None else f"{paid} {one.qr.currency}"


def next_check_cell(qr: Qr, page: Page, *, brief: bool = False) -> Cell:
    """When the QR is asked next, or why it is not."""
    at, state = qr.plan.next_check_at, qr.plan.state
    if at is None or state is PlanState.DONE:
        return Styled(None, QUIET)
    if state in (PlanState.HELD, PlanState.QUEUED):
        return status_cell(state.value)
    shown = briefly_beside(at, page.now, page.zone) if brief else page.moment(at)
    return f"{shown} ({state.value})" if state is PlanState.EXHAUSTED else shown


def amount_text(amount: int | None, currency: str) -> str | None:
    """The amount as text; None for a QR of any amount."""
    return None if amount is None else to_text(amount, currency)
