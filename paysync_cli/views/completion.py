"""A completion script, as a shell reads it."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.views.base import View
from paysync_cli.views.page import Page


@dataclass(frozen=True)
class CompletionView(View):
    shell: str
    script: str

    def data(self) -> object:
        return {"shell": self.shell, "script": self.script}

    def human(self, page: Page) -> None:
        for line in self.script.splitlines():
            page.line(line)
