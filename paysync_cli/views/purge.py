"""What a purge took, or would take."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.language import _, ngettext
from paysync_cli.services.purge import PurgeReport
from paysync_cli.views.base import View
from paysync_cli.views.page import Column, Page


@dataclass(frozen=True)
class PurgeView(View):
    report: PurgeReport

    def data(self) -> object:
        report = self.report
        return {
            "matched": report.matched,
            "removed": report.removed,
            "kept": report.kept,
            "dry_run": report.dry_run,
            "kinds": {
                one.kind: {"matched": one.matched, "removed": one.removed, "kept": one.kept} for one in report.kinds
            },
        }

    def human(self, page: Page) -> None:
        report = self.report
        if len(report.kinds) > 1:
            heads = (_("Matched"), _("Removed"), _("Kept"))
            page.table(
                [_("Jobs"), *(Column(head, right=True) for head in heads)],
                ((one.kind, one.matched, one.removed, one.kept) for one in report.kinds),
                empty="",
            )
        if report.dry_run:
            text = ngettext("{n} job would be removed, {kept} kept.", "{n} jobs would be removed, {kept} kept.",
                            report.matched)  # fmt: skip
            page.line(text.format(n=report.matched, kept=report.kept))
        else:
            text = ngettext("{n} job removed, {kept} kept.", "{n} jobs removed, {kept} kept.", report.removed)
            page.line(text.format(n=report.removed, kept=report.kept))
