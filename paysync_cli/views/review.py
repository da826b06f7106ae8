"""Reviews: a list, a single one, and what became of a decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paysync_cli.language import _, mark
from paysync_cli.payments.money import to_text
from paysync_cli.services.reviews import ResolveReport, ReviewReport, ReviewsReport
from paysync_cli.store.reviews import OPEN, Review
from paysync_cli.views.base import ListView, View
from paysync_cli.views.listing import amount_text
from paysync_cli.views.page import GOOD, NOTICE, QUIET, Cell, Column, Page, Styled, status_cell

# What a review's detail may hold. A key of a later version is shown as it is.
DETAILS = {
    "amount": mark("Amount"),
    "currency": mark("Currency"),
    "transaction": mark("Transaction"),
    "expected": mark("Expected"),
    "expected_currency": mark("Expected currency"),
    "paid": mark("Paid"),
    "paid_at": mark("Paid at"),
    "payer": mark("Payer"),
    "status": mark("Status"),
    "booked": mark("Booked"),
    "conflict": mark("Conflict"),
    "problem": mark("Problem"),
    "element": mark("Element"),
    "bank_says": mark("Bank says"),
}


@dataclass(frozen=True)
class ReviewsView(ListView):
    """One page. `next_command` shows the page after it."""

    report: ReviewsReport
    next_command: str | None = None
    columns = (
        "id", "qr_id", "bank", "reason", "state", "opened_at", "amount", "currency", "transaction", "environment",
        "resolved_at", "resolved_by", "resolution", "resolution_reason",
    )  # fmt: skip

    def data(self) -> object:
        return {"items": [_fields(review) for review in self.report.items], "next": self.report.next}

    def rows(self) -> Iterable[Mapping[str, object]]:
        for review in self.report.items:
            detail = review.detail
            yield _fields(review) | {key: detail.get(key) for key in ("amount", "currency", "transaction")}

    def human(self, page: Page) -> None:
        page.table(
            [
                Column(_("ID"), right=True),
                _("QR"),
                _("Reason"),
                Column(_("Amount"), right=True),
                _("State"),
                _("Opened"),
            ],
            [(r.id, r.qr_id, r.reason, _amount(r), _state(r), r.opened_at) for r in self.report.items],
            empty=_("nothing to decide"),
        )
        if self.next_command is not None:
            page.line(_("more: {command}").format(command=self.next_command))


@dataclass(frozen=True)
class ReviewView(View):
    """One review, and its QR as it is now."""

    report: ReviewReport

    def data(self) -> object:
        qr = self.report.qr
        known = None
        if qr is not None:
            known = {
                "status": qr.status,
                "amount": amount_text(qr.amount, qr.currency),
                "currency": qr.currency,
                "paid": to_text(self.report.paid, qr.currency),
                "account": qr.account,
                "plan_state": qr.plan.state,
            }
        return _fields(self.report.review) | {"qr": known}

    def human(self, page: Page) -> None:
        page.fields([*_told(self.report.review), *self._of_qr()])

    def _of_qr(self) -> Iterable[tuple[str, Cell]]:
        qr = self.report.qr
        if qr is None:
            yield _("QR now"), Styled(_("not registered"), NOTICE)
            return
        yield _("QR now"), status_cell(qr.status.value)
        amount = amount_text(qr.amount, qr.currency)
        yield _("Its amount"), _("any") if amount is None else f"{amount} {qr.currency}"
        yield _("Paid so far"), f"{to_text(self.report.paid, qr.currency)} {qr.currency}"


@dataclass(frozen=True)
class ResolveView(View):
    """What a decision changed."""

    report: ResolveReport

    def data(self) -> object:
        report = self.report
        return {
            "id": report.review.id,
            "outcome": "already_resolved" if report.already else "resolved",
            "status_before": report.before,
            "status": report.qr.status if report.qr is not None else None,
            "review": _fields(report.review),
        }

    def human(self, page: Page) -> None:
        review, qr, before = self.report.review, self.report.qr, self.report.before
        facts = {"id": review.id, "resolution": review.resolution, "who": review.resolved_by}
        if self.report.already:
            page.line(Styled(_("Review {id} was resolved already, as {resolution}, by {who}.").format(**facts), QUIET))
        else:
            page.line(Styled(_("Review {id} is resolved as {resolution}.").format(**facts), GOOD))
        if qr is not None and before is not None and before is not qr.status:
            page.line(_("QR {qr}: {old} -> {new}").format(qr=qr.qr_id, old=before.value, new=qr.status.value))


def _fields(review: Review) -> dict[str, object]:
    return {
        "id": review.id,
        "qr_id": review.qr_id,
        "bank": review.bank,
        "environment": review.environment,
        "reason": review.reason,
        "state": review.state,
        "opened_at": review.opened_at,
        "resolved_at": review.resolved_at,
        "resolved_by": review.resolved_by,
        "resolution": review.resolution,
        "resolution_reason": review.resolution_reason,
        "detail": review.detail,
    }


def _told(review: Review) -> Iterable[tuple[str, Cell]]:
    yield _("Review"), review.id
    yield _("QR"), review.qr_id
    yield _("Bank"), f"{review.bank} ({review.environment})"
    yield _("Reason"), review.reason
    yield _("State"), _state(review)
    yield _("Opened"), review.opened_at
    for key, value in review.detail.items():
        yield _(DETAILS[key]) if key in DETAILS else key.replace("_", " ").capitalize(), value
    if review.resolved_at is not None:
        yield _("Resolved"), review.resolved_at
        yield _("By"), review.resolved_by
        yield _("As"), review.resolution
        yield _("Why"), review.resolution_reason


def _state(review: Review) -> Styled:
    return Styled(review.state, NOTICE if review.state == OPEN else QUIET)


def _amount(review: Review) -> str | None:
    amount = review.detail.get("amount") or review.detail.get("paid")
    return f"{amount} {review.detail.get('currency', '')}".strip() if amount else None
