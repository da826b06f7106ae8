"""How `paysync --version` looks."""

from __future__ import annotations

from paysync_cli.version import __version__
from paysync_cli.views.base import View
from paysync_cli.views.page import Page


class VersionView(View):
    """The version of paysync."""

    def data(self) -> object:
        return {"version": __version__}

    def human(self, page: Page) -> None:
        page.line(f"paysync {__version__}")
