"""How a probe's answer looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paysync_cli.language import _
from paysync_cli.views.base import View
from paysync_cli.views.doctor import area_words
from paysync_cli.views.page import Page


@dataclass(frozen=True)
class HealthView(View):
    """`findings` are (area, code, level, text, mend); `line` is Nagios' line, in place of everything else."""

    mode: str
    well: bool
    where: Mapping[str, object]
    findings: Sequence[tuple[str, str, str, str, str | None]]
    figures: Mapping[str, object] = field(default_factory=dict)
    line: str | None = None

    def data(self) -> object:
        keys = ("area", "code", "level", "text", "mend")
        return {
            "where": dict(self.where),
            "mode": self.mode,
            "healthy": self.well,
            **self.figures,
            "findings": [dict(zip(keys, finding, strict=True)) for finding in self.findings],
        }

    def human(self, page: Page) -> None:
        if self.line is not None:
            page.line(self.line)
            return
        page.line(
            _("{mode}: fine").format(mode=self.mode) if self.well else _("{mode}: not fine").format(mode=self.mode)
        )
        for area, _code, level, text, mend in self.findings:
            page.line(f"  {_(level)}: {area_words(area)}: {text}" + (f" -> {mend}" if mend else ""))
