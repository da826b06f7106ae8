"""What became of QRs that were held or released."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.payments.status import PlanState
from paysync_cli.services.hold import HoldReport, Item, Outcome
from paysync_cli.views.base import View
from paysync_cli.views.page import BAD, GOOD, NOTICE, QUIET, Cell, Page, Styled


@dataclass(frozen=True)
class HoldView(View):
    """Every QR with its outcome, in the order in which they were named; `outcomes` are those the command knows."""

    report: HoldReport
    outcomes: tuple[Outcome, ...]

    def data(self) -> object:
        return {
            **{outcome.value: self.report.count(outcome) for outcome in self.outcomes},
            "items": [_fields(item) for item in self.report.items],
        }

    def human(self, page: Page) -> None:
        page.table([_("QR"), _("Outcome"), _("Next check")], map(_cells, self.report.items), empty=_("no QR"))


def _fields(item: Item) -> dict[str, object]:
    qr = item.qr
    return {
        "qr_id": item.qr_id,
        "outcome": item.outcome,
        "bank": qr.bank if qr is not None else None,
        "environment": qr.environment if qr is not None else None,
        "status": qr.status if qr is not None else None,
        "plan_state": qr.plan.state if qr is not None else None,
        "next_check_at": qr.plan.next_check_at if qr is not None else None,
    }


def _cells(item: Item) -> tuple[Cell, ...]:
    released = item.outcome in (Outcome.RELEASED, Outcome.NOT_HELD)
    at = item.qr.plan.next_check_at if item.qr is not None and released else None
    return item.qr_id, _outcome(item), at


def _outcome(item: Item) -> Styled:
    if item.outcome is Outcome.FINAL and item.qr is not None and item.qr.plan.state is not PlanState.DONE:
        return Styled(_("final: asked about once more, since the bank gave notice"), NOTICE)
    words = {
        Outcome.HELD: (_("held"), GOOD),
        Outcome.ALREADY_HELD: (_("already held"), QUIET),
        Outcome.RELEASED: (_("released"), GOOD),
        Outcome.NOT_HELD: (_("not held"), QUIET),
        Outcome.FINAL: (_("final: not asked about anyway"), NOTICE),
        Outcome.NOT_FOUND: (_("not known"), BAD),
    }
    return Styled(*words[item.outcome])
