"""What became of QRs that were registered by hand."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.services.register import EnqueueReport, Item, Outcome
from paysync_cli.views.base import View
from paysync_cli.views.page import GOOD, NOTICE, QUIET, Page, Styled


@dataclass(frozen=True)
class EnqueueView(View):
    """Every QR with its outcome, in the order in which they were named."""

    report: EnqueueReport
    bank: str
    environment: str

    def data(self) -> object:
        return {
            **{outcome.value: self.report.count(outcome) for outcome in Outcome},
            "invalid": 0,  # an invalid request writes nothing and ends as an error
            "bank": self.bank,
            "environment": self.environment,
            "items": [
                {
                    "qr_id": item.qr_id,
                    "outcome": item.outcome.value,
                    "next_check_at": item.next_check_at,
                    "detail": item.detail,
                }
                for item in self.report.items
            ],
        }

    def human(self, page: Page) -> None:
        columns = [_("QR"), _("Outcome"), _("Next check")]
        rows: list[tuple[object, ...]] = [
            (item.qr_id, outcome_cell(item.outcome), item.next_check_at) for item in self.report.items
        ]
        if any(item.detail for item in self.report.items):
            columns.append(_("Remark"))
            rows = [(*row, item.detail) for row, item in zip(rows, self.report.items, strict=True)]
        page.table(columns, rows, empty=_("no QR"))


def outcome_cell(outcome: Outcome) -> Styled:
    """The outcome in words, in its colour."""
    good = dict.fromkeys((Outcome.CREATED, Outcome.MOVED, Outcome.UPDATED), GOOD)
    style = (good | {Outcome.CONFLICT: NOTICE}).get(outcome, QUIET)
    return Styled(outcome_words(outcome), style)


def outcome_words(outcome: Outcome) -> str:
    words = {
        Outcome.CREATED: _("created"),
        Outcome.MOVED: _("moved"),
        Outcome.ALREADY_PLANNED: _("already planned"),
        Outcome.CONFLICT: _("conflict"),
        Outcome.FINAL: _("final"),
        Outcome.UPDATED: _("updated"),
    }
    return words[outcome]


def conflict_sentence(item: Item) -> str:
    """What differs; nothing was changed."""
    return _("QR {qr} is known otherwise: {detail}. Nothing was changed.").format(qr=item.qr_id, detail=item.detail)
