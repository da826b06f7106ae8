"""A table that is filled anew every few seconds and keeps its cursor; its texts are never markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import DataTable
from textual.widgets.data_table import RowDoesNotExist

from paysync_cli.language import pgettext
from paysync_cli.views.page import Cell
from paysync_cli.views.sheet import Sheet


class Grid(DataTable[Any]):
    """Rows with keys; `empty` is what stands there when there are none, `opens` whether Enter leads further."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select_cursor", pgettext("key", "Open"))]

    def __init__(self, columns: Sequence[str], *, empty: str, opens: bool = False) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True, cursor_foreground_priority="renderable")
        self._opens = opens
        self._heads = columns
        self._empty = empty
        self._keys: list[str] = []

    def on_mount(self) -> None:
        for head in self._heads:
            self.add_column(head)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enter stands in the footer only where it leads somewhere."""
        return self._opens if action == "select_cursor" else super().check_action(action, parameters)

    @property
    def chosen(self) -> str | None:
        """The key of the row under the cursor."""
        return self._keys[self.cursor_row] if self.cursor_row < len(self._keys) else None

    def fill(self, sheet: Sheet, rows: Iterable[tuple[str, Sequence[Cell]]]) -> None:
        """Show these rows; the cursor stays on the row with the same key."""
        chosen, scrolled = self.chosen, self.scroll_offset
        self.clear()
        self._keys = []
        for key, cells in rows:
            self._keys.append(key)
            self.add_row(*map(sheet.text, cells), key=key)
        if not self._keys:
            self.add_row(sheet.text(self._empty), *[""] * (len(self._heads) - 1))
            return
        try:
            self.move_cursor(row=self.get_row_index(chosen or ""), scroll=False)
        except RowDoesNotExist:
            return
        self.scroll_to(scrolled.x, scrolled.y, animate=False)
