"""What a cleanup did, or would do, and what is known of the last one."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.services.cleanup import CleanupReport, LastCleanup, Tally
from paysync_cli.views.base import View
from paysync_cli.views.page import NOTICE, QUIET, Cell, Column, Page, Styled, status_cell


@dataclass(frozen=True)
class CleanupView(View):
    """Each part with what was past its time and what went; null where Redis was not available."""

    report: CleanupReport

    def data(self) -> object:
        report = self.report
        return {
            "skipped": False,
            "dry_run": report.dry_run,
            "checks": _counts(report.checks),
            "completed": _counts(report.completed),
            "failed": _counts(report.failed),
            "orphans": _counts(report.orphans),
            "alerts": _counts(report.alerts),
        }

    def human(self, page: Page) -> None:
        report = self.report
        parts = (
            (_("old check records"), report.checks),
            (_("completed jobs"), report.completed),
            (_("failed jobs"), report.failed),
            (_("lost checks, planned again"), report.orphans),
            (_("old alerts"), report.alerts),
        )
        page.table(
            [_("What"), Column(_("Would go") if report.dry_run else _("Done"), right=True)],
            ((name, self._cell(tally)) for name, tally in parts),
            empty="",
        )

    def _cell(self, tally: Tally | None) -> Cell:
        if tally is None:
            return Styled(_("Redis is not running") if self.report.redis_error is None else _("not done"), NOTICE)
        return tally.matched if self.report.dry_run else tally.removed


@dataclass(frozen=True)
class CleanupSkippedView(View):
    """Somebody else cleans up: nothing was done and that is fine."""

    reason: str

    def data(self) -> object:
        parts = ("checks", "completed", "failed", "orphans", "alerts")
        return {"skipped": True, "dry_run": False, **dict.fromkeys(parts)}

    def human(self, page: Page) -> None:
        page.line(_("Skipped. {reason}").format(reason=self.reason))


@dataclass(frozen=True)
class LastCleanupView(View):
    last: LastCleanup

    def data(self) -> object:
        last = self.last
        return {"at": last.at, "outcome": last.outcome, "removed": dict(last.detail), "running": last.running}

    def human(self, page: Page) -> None:
        last, detail = self.last, self.last.detail
        if last.at is None:
            page.line(Styled(_("No cleanup has run yet."), QUIET))
        else:
            page.fields(
                [
                    (_("last cleanup"), last.at),
                    (_("outcome"), status_cell(last.outcome or "")),
                    (_("old check records"), detail.get("checks")),
                    (_("completed jobs"), detail.get("completed")),
                    (_("failed jobs"), detail.get("failed")),
                    (_("lost checks, planned again"), detail.get("orphans")),
                    (_("old alerts"), detail.get("alerts")),
                ]
            )
        if last.running is not None:
            page.line(_("A cleanup is at work: {owner}").format(owner=last.running))


def _counts(tally: Tally | None) -> dict[str, int] | None:
    return None if tally is None else {"matched": tally.matched, "removed": tally.removed}
