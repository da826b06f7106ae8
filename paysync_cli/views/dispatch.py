"""One round of dispatch."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.language import _, ngettext
from paysync_cli.services.dispatch import DispatchReport
from paysync_cli.views.base import View
from paysync_cli.views.page import Page


@dataclass(frozen=True)
class DispatchView(View):
    report: DispatchReport

    def data(self) -> object:
        return {"moved": self.report.moved, "next_at": self.report.next_at}

    def human(self, page: Page) -> None:
        n = self.report.moved
        page.line(ngettext("{n} check moved to the queues", "{n} checks moved to the queues", n).format(n=n))
        if self.report.next_at is not None:
            page.fields([(_("Next due"), self.report.next_at)])
