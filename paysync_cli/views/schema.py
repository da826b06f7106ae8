"""How `paysync db` looks."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.services.schema import SchemaReport
from paysync_cli.views.base import View
from paysync_cli.views.page import GOOD, NOTICE, Page, Styled


@dataclass(frozen=True)
class SchemaView(View):
    report: SchemaReport

    def data(self) -> object:
        report = self.report
        return {
            "version": report.version,
            "head": report.head,
            "up_to_date": report.up_to_date,
            "before": report.before,
            "database": report.where,
        }

    def human(self, page: Page) -> None:
        report = self.report
        if report.up_to_date:
            verdict = Styled(_("up to date"), GOOD)
        elif report.newer and report.fits:
            verdict = Styled(_("written by a newer paysync; this one works on it too"), GOOD)
        elif report.newer:
            verdict = Styled(_("written by a newer paysync: install that one"), NOTICE)
        else:
            verdict = Styled(_("not up to date: run `paysync db upgrade`"), NOTICE)
        page.fields(
            [
                (_("database"), report.where),
                (_("schema"), report.version or _("none")),
                (_("needed"), report.head),
                (_("state"), verdict),
            ]
        )
        if report.version != report.before:
            before = report.before or _("none")
            page.line(_("Upgraded from {before} to {version}.").format(before=before, version=report.version))
