"""Reviews: a list and a single one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.store.history import Review
from paysync_cli.views.base import ListView, View
from paysync_cli.views.page import Column, Page


@dataclass(frozen=True)
class ReviewsView(ListView):
    reviews: tuple[Review, ...]
    columns = ("id", "qr_id", "bank", "reason", "state", "opened_at", "amount", "currency", "transaction")

    def data(self) -> object:
        return {"items": [_fields(review) for review in self.reviews]}

    def rows(self) -> Iterable[Mapping[str, object]]:
        for review in self.reviews:
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
            [(r.id, r.qr_id, r.reason, _amount(r), r.state, r.opened_at) for r in self.reviews],
            empty=_("nothing to decide"),
        )


@dataclass(frozen=True)
class ReviewView(View):
    review: Review

    def data(self) -> object:
        return _fields(self.review)

    def human(self, page: Page) -> None:
        review = self.review
        page.fields(
            [
                (_("Review"), review.id),
                (_("QR"), review.qr_id),
                (_("Bank"), f"{review.bank} ({review.environment})"),
                (_("Reason"), review.reason),
                (_("State"), review.state),
                (_("Opened"), review.opened_at),
                *((key.replace("_", " ").capitalize(), value) for key, value in review.detail.items()),
            ]
        )


def _fields(review: Review) -> dict[str, object]:
    return {
        "id": review.id,
        "qr_id": review.qr_id,
        "bank": review.bank,
        "environment": review.environment,
        "reason": review.reason,
        "state": review.state,
        "opened_at": review.opened_at,
        "detail": review.detail,
    }


def _amount(review: Review) -> str | None:
    amount = review.detail.get("amount") or review.detail.get("paid")
    return f"{amount} {review.detail.get('currency', '')}".strip() if amount else None
