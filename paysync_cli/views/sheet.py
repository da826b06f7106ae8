"""A terminal page that is not printed but kept: for views that show themselves anew in the same place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, cast

from paysync_cli.views.page import Cell, TerminalPage

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.text import Text


class Sheet(TerminalPage):
    """What a view writes, as one Rich renderable; long lines wrap."""

    compact = True

    def __init__(self, *, now: datetime, zone: tzinfo | None, width: int) -> None:
        self._kept: list[RenderableType] = []
        super().__init__(cast("Console", _Keeper(self._kept.append, width)), now=now, zone=zone)

    def text(self, cell: Cell) -> Text:
        """The cell, harmless, in its style."""
        return self._rich(cell)

    def group(self) -> Group:
        """Everything written so far."""
        from rich.console import Group

        return Group(*self._kept)


class _Keeper:
    """Stands where the console does: keeps what would be printed. `width` in columns."""

    def __init__(self, keep: Callable[[Any], None], width: int) -> None:
        self._keep = keep
        self.width = width

    def print(self, renderable: Any, *, soft_wrap: bool = False) -> None:  # noqa: ARG002 - the console's parameter
        self._keep(renderable)
