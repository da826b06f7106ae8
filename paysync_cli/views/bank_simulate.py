"""The settings that point paysync at a simulated bank, ready to paste: a TOML block, or lines for a shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence

from paysync_cli.language import _
from paysync_cli.views.base import View
from paysync_cli.views.page import Page

NAME = "sim"


class SimulatorView(View):
    """`blocks` are the keys of a bank's block, one for each dialect; the first is meant, the others are comments: with
    several banks every command would have to name one. `as_env` asks for `export` lines instead of TOML.
    """

    def __init__(self, blocks: Sequence[Mapping[str, str]], *, as_env: bool) -> None:
        self.blocks = blocks
        self.as_env = as_env

    def data(self) -> object:
        dialects = {block["adapter"]: dict(block) for block in self.blocks}
        return {"bank": NAME, "settings": dict(self.blocks[0]), "dialects": dialects}

    def human(self, page: Page) -> None:
        first, *others = self.blocks
        for line in self._lines(first):
            page.line(line)
        for block in others:
            page.line("")
            page.line("# " + _("The same bank, asked as {adapter}:").format(adapter=block["adapter"]))
            for line in self._lines(block):
                page.line(f"# {line}")

    def _lines(self, block: Mapping[str, str]) -> Iterator[str]:
        if not self.as_env:
            yield f"[banks.{NAME}]"
        for key, value in block.items():
            yield _export(key, value) if self.as_env else f"{key} = {json.dumps(value)}"


def _export(key: str, value: str) -> str:
    return f"export PAYSYNC_BANK_{NAME.upper()}_{key.upper()}={shlex.quote(value)}"
