"""What a web server answers, told once it listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.views.base import View
from paysync_cli.views.page import Page


@dataclass(frozen=True)
class ServeView(View):
    """`notices` are the banks whose notices are taken; `with_qrs` whether applications may register QRs."""

    url: str
    with_qrs: bool
    notices: Sequence[str]

    @property
    def _routes(self) -> list[str]:
        qrs = ["POST /qrs", "GET /qrs/{id}"] if self.with_qrs else []
        return [*PROBES, *qrs, *(f"POST /notify/{bank}" for bank in self.notices)]

    def data(self) -> object:
        return {"url": self.url, "routes": self._routes, "qrs": self.with_qrs, "notices": list(self.notices)}

    def human(self, page: Page) -> None:
        page.line(_("Serving at {url}").format(url=self.url))
        for route in self._routes:
            page.line(f"  {route}")
        if not self.with_qrs:
            page.line(_("No PAYSYNC_SERVE_TOKEN is set: applications cannot register QRs here."))


PROBES = ("GET /live", "GET /ready", "GET /consuming", "GET /metrics")
