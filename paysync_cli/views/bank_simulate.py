"""The settings that point paysync at a simulated bank, ready to paste: a TOML block, or lines for a shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from paysync_cli.views.base import View
from paysync_cli.views.page import Page

NAME = "sim"


class SimulatorView(View):
    """`options` are the adapter's own keys; `as_env` asks for `export` lines instead of TOML."""

    def __init__(self, url: str, options: Mapping[str, str], *, as_env: bool) -> None:
        self.settings = {"adapter": "baneco", "base_url": url, "environment": "certification", **options}
        self.as_env = as_env

    def data(self) -> object:
        return {"bank": NAME, "settings": self.settings}

    def human(self, page: Page) -> None:
        if not self.as_env:
            page.line(f"[banks.{NAME}]")
        for key, value in self.settings.items():
            page.line(_export(key, value) if self.as_env else f"{key} = {json.dumps(value)}")


def _export(key: str, value: str) -> str:
    return f"export PAYSYNC_BANK_{NAME.upper()}_{key.upper()}={shlex.quote(value)}"
