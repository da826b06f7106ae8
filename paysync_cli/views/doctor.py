"""How the doctor's findings look: one line each, and under it what mends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paysync_cli.language import _, mark, ngettext
from paysync_cli.services.doctor import Finding, Level, worst
from paysync_cli.views.base import View
from paysync_cli.views.page import ALARM, GOOD, WARNING, Page, Styled

AREAS = {
    "redis": mark("redis"),
    "database": mark("database"),
    "books": mark("books"),
    "work": mark("work"),
    "banks": mark("banks"),
    "alerts": mark("alerts"),
    "settings": mark("settings"),
}
WORDS = {Level.OK: (mark("ok"), GOOD), Level.WARNING: (mark("warning"), WARNING), Level.FAULT: (mark("fault"), ALARM)}


@dataclass(frozen=True)
class DoctorView(View):
    """All findings, area by area; `where` is what was examined."""

    findings: Sequence[Finding]
    where: Mapping[str, object]

    def data(self) -> object:
        counts = Counter(finding.level for finding in self.findings)
        return {
            "where": dict(self.where),
            "worst": worst(self.findings),
            "faults": counts[Level.FAULT],
            "warnings": counts[Level.WARNING],
            "findings": [
                {"area": one.area, "code": one.code, "level": one.level, "text": one.text, "mend": one.mend}
                for one in self.findings
            ],
        }

    def human(self, page: Page) -> None:
        page.fields([
            (_("database"), self.where["database"]),
            (_("redis"), self.where["redis"]),
            (_("settings"), ", ".join(map(str, _list(self.where["settings_files"]))) or None),
        ])  # fmt: skip
        before = None
        for finding in self.findings:
            if finding.area != before:
                page.heading(area_words(finding.area))
                before = finding.area
            self._line(page, finding)
        page.line()
        page.line(summary(self.findings))

    def _line(self, page: Page, finding: Finding) -> None:
        word, style = WORDS[finding.level]
        if finding.level is Level.OK:
            page.line(f"  {_(word)}: {finding.text}")
        else:
            page.line(Styled(f"  {_(word).upper()}: {finding.text}", style))
        if finding.mend is not None:
            page.line(f"    -> {finding.mend}")


def summary(findings: Sequence[Finding]) -> str:
    """`2 faults, 1 warning`, or that all is well."""
    counts = Counter(finding.level for finding in findings)
    told = []
    if n := counts[Level.FAULT]:
        told.append(ngettext("{n} fault", "{n} faults", n).format(n=n))
    if n := counts[Level.WARNING]:
        told.append(ngettext("{n} warning", "{n} warnings", n).format(n=n))
    return ", ".join(told) if told else _("All is well.")


def area_words(name: str) -> str:
    """How people call an area of the findings."""
    kind, _space, bank = name.partition(" ")
    return _("bank {bank}").format(bank=bank) if bank else _(AREAS.get(kind, kind))


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
