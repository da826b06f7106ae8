"""How `paysync --version` looks."""

from __future__ import annotations

from paysync_cli.services.versions import VersionReport
from paysync_cli.views.base import View
from paysync_cli.views.page import Page


class VersionView(View):
    """The version of paysync on the first line, what a bug report needs below it."""

    def __init__(self, report: VersionReport) -> None:
        self._report = report

    def data(self) -> object:
        report = self._report
        return {
            "version": report.version,
            "python": report.python,
            "system": report.system,
            "packages": report.packages,
        }

    def human(self, page: Page) -> None:
        report = self._report
        page.line(f"paysync {report.version}")
        page.line(f"{report.python}, {report.system}")
        page.line(", ".join(f"{name} {version}" for name, version in report.packages.items()))
