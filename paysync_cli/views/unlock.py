"""How `paysync bank unlock` looks."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.language import _, pgettext
from paysync_cli.services.unlock import UnlockReport
from paysync_cli.views.base import View
from paysync_cli.views.page import GOOD, Page, Styled


@dataclass(frozen=True)
class UnlockView(View):
    report: UnlockReport

    def data(self) -> object:
        report = self.report
        return {
            "bank": report.bank,
            "environment": report.environment,
            "was_stopped": report.was_stopped,
            "stopped_at": report.stopped_at,
            "stop_reason": report.stop_reason,
        }

    def human(self, page: Page) -> None:
        report = self.report
        if not report.was_stopped:
            page.line(_("The credential of bank {bank} was not stopped; nothing to do.").format(bank=report.bank))
            return
        text = _("The credential of bank {bank} is unlocked; the workers log in again.").format(bank=report.bank)
        page.line(Styled(text, GOOD))
        page.fields([(pgettext("credential", "stopped"), report.stopped_at), (_("because"), report.stop_reason)])
