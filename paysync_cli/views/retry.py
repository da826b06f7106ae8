"""What became of failed jobs that were retried."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.language import _, ngettext
from paysync_cli.services.failed import error_line
from paysync_cli.services.retry import Item, Outcome, RetryReport
from paysync_cli.views.base import View
from paysync_cli.views.page import BAD, GOOD, NOTICE, QUIET, Cell, Page, Styled


@dataclass(frozen=True)
class RetryView(View):
    """The totals, and the items: of named QRs all, of a bulk retry those that were left alone."""

    report: RetryReport

    def data(self) -> object:
        report = self.report
        return {
            "matched": report.matched,
            **{outcome.value: report.counts[outcome] for outcome in Outcome},
            "dry_run": report.dry_run,
            "items": [_fields(item) for item in report.items],
            "items_cut": report.cut,
        }

    def human(self, page: Page) -> None:
        if self.report.items:
            heads = [_("QR"), _("Outcome"), _("Next check"), _("Error")]
            page.table(heads, map(_cells, self.report.items), empty="")
        page.line(_totals(self.report))


def outcome_words(outcome: Outcome) -> Styled:
    """The outcome in words and colour."""
    words = {
        Outcome.RETRIED: (_("is asked now"), GOOD),
        Outcome.UNDER_WAY: (_("is being asked already"), GOOD),
        Outcome.FINAL: (_("final: nothing to ask"), QUIET),
        Outcome.HELD: (_("held: not asked until it is released"), NOTICE),
        Outcome.VANISHED: (_("vanished meanwhile"), NOTICE),
        Outcome.NO_ROW: (_("no QR of this database"), BAD),
        Outcome.NOT_FAILED: (_("has no failed job"), QUIET),
        Outcome.NOT_FOUND: (_("not known"), BAD),
    }
    return Styled(*words[outcome])


def _fields(item: Item) -> dict[str, object]:
    qr = item.qr
    return {
        "qr_id": item.qr_id,
        "outcome": item.outcome,
        "job_id": item.job_id,
        "error": error_line(item.error) if item.error else None,
        "bank": qr and qr.bank,
        "environment": qr and qr.environment,
        "status": qr and qr.status,
        "plan_state": qr and qr.plan.state,
        "next_check_at": qr and qr.plan.next_check_at,
    }


def _cells(item: Item) -> tuple[Cell, ...]:
    at = item.qr.plan.next_check_at if item.qr is not None else None
    return item.qr_id or item.job_id, outcome_words(item.outcome), at, error_line(item.error) if item.error else None


def _totals(report: RetryReport) -> str:
    n = report.counts[Outcome.RETRIED]
    if report.dry_run:
        text = ngettext("{n} QR would be asked now", "{n} QRs would be asked now", n)
    else:
        text = ngettext("{n} QR is asked now", "{n} QRs are asked now", n)
    parts = [text.format(n=n)]
    for outcome, words in (
        (Outcome.UNDER_WAY, _("{n} already being asked")),
        (Outcome.FINAL, _("{n} final")),
        (Outcome.HELD, _("{n} held")),
        (Outcome.VANISHED, _("{n} vanished")),
        (Outcome.NO_ROW, _("{n} without a QR of ours")),
        (Outcome.NOT_FAILED, _("{n} without a failed job")),
        (Outcome.NOT_FOUND, _("{n} not known")),
    ):
        if report.counts[outcome]:
            parts.append(words.format(n=report.counts[outcome]))
    return _("{parts}.").format(parts=", ".join(parts))
