"""What a view writes on: a terminal page (Rich tables, colour, relative times) or a plain one (whole lines).

Every text passes `plain()`, so nothing from outside is markup or an escape. Only the terminal page loads Rich.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from paysync_cli.views.text import plain
from paysync_cli.views.times import beside_relative, iso_local

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

DASH = "-"  # shown where there is no value
LEGIBLE = 6  # characters of a column below which its cells are shreds, or not to be seen at all


@dataclass(frozen=True)
class Styled:
    """A text with a Rich style (`red`, `bold green`, `dim`); off a terminal the text alone."""

    text: object
    style: str


@dataclass(frozen=True)
class Column:
    """A table's column; `right` sets numbers and amounts flush right."""

    title: str
    right: bool = False


Cell = object  # str, int, Decimal, datetime, Styled or None; anything else through str()

GOOD, NOTICE, BAD, QUIET = "green", "yellow", "red", "dim"
# With their own background: a line that nobody overlooks, and that reads alike on light and dark terminals.
ALARM, WARNING = "bold #ffffff on #b00020", "bold #000000 on #ffd000"

_STATUS_STYLES = {
    "completed": GOOD,
    "processing": NOTICE,
    "pending": "cyan",
    "cancelled": QUIET,
    "expired": QUIET,
    "exhausted": NOTICE,
    "held": NOTICE,
    "ok": GOOD,
    "warning": NOTICE,
    "fault": BAD,
    "failed": BAD,
}


def status_cell(word: str) -> Styled:
    """A status, state or verdict in its colour."""
    return Styled(word, _STATUS_STYLES.get(word, ""))


class Page(ABC):
    """Headings, lines, fields and tables. `now` and `zone` decide how moments read."""

    terminal: bool
    width: int | None = None  # characters of a table's line; None where lines have no end
    gap = 2  # between a table's columns
    compact = False  # a terminal's tables without rule and empty lines

    def __init__(self, *, now: datetime, zone: tzinfo | None) -> None:
        self.now = now
        self.zone = zone

    @abstractmethod
    def line(self, text: Cell = "") -> None:
        """One line, never cut."""

    @abstractmethod
    def heading(self, text: str) -> None:
        """A title above what follows, with an empty line before it unless it comes first."""

    @abstractmethod
    def fields(self, pairs: Iterable[tuple[str, Cell]]) -> None:
        """Label and value, one pair a line, values aligned."""

    @abstractmethod
    def table(self, columns: Sequence[Column | str], rows: Iterable[Sequence[Cell]], *, empty: str) -> None:
        """A table; `empty` is the sentence shown instead when there are no rows."""

    @abstractmethod
    def moment(self, at: datetime) -> str:
        """The moment as this page shows it."""

    def text_of(self, cell: Cell) -> str:
        """The cell's harmless text; a dash for None."""
        if isinstance(cell, Styled):
            return self.text_of(cell.text)
        if cell is None:
            return DASH
        if isinstance(cell, datetime):
            return self.moment(cell)
        return plain(cell)


class PlainPage(Page):
    """Off a terminal: columns set with spaces, full ids and timestamps, no boxes, no colour, no cutting."""

    terminal = False

    def __init__(self, write: Callable[[str], None], *, now: datetime, zone: tzinfo | None) -> None:
        super().__init__(now=now, zone=zone)
        self._write = write
        self._begun = False

    def line(self, text: Cell = "") -> None:
        self._begun = True
        self._write(self.text_of(text).rstrip() + "\n")

    def heading(self, text: str) -> None:
        if self._begun:
            self.line()
        self.line(text)

    def fields(self, pairs: Iterable[tuple[str, Cell]]) -> None:
        shown = [(plain(label), self.text_of(value)) for label, value in pairs]
        width = max((len(label) for label, _value in shown), default=0)
        for label, value in shown:
            self.line(f"{label:<{width}}  {value}")

    def table(self, columns: Sequence[Column | str], rows: Iterable[Sequence[Cell]], *, empty: str) -> None:
        heads = [_column(c) for c in columns]
        lines = [[self.text_of(cell) for cell in row] for row in rows]
        if not lines:
            self.line(empty)
            return
        titled = [[head.title.upper() for head in heads], *lines]
        widths = [max(map(len, cells)) for cells in zip(*titled, strict=True)]
        for cells in titled:
            self.line("  ".join(map(_set, cells, widths, heads)))

    def moment(self, at: datetime) -> str:
        return iso_local(at, self.zone)


class TerminalPage(Page):
    """On a terminal: Rich tables and colour, relative times beside absolute ones; long cells fold, none is cut.

    Where a table's columns cannot stand side by side, its rows become lists of head and value.
    """

    terminal = True

    def __init__(self, console: Console, *, now: datetime, zone: tzinfo | None) -> None:
        super().__init__(now=now, zone=zone)
        self.console = console
        self._begun = False
        if not self.compact:
            self.width, self.gap = console.width - 2, 3  # what the rule under the heads takes
        else:
            self.width = console.width

    def line(self, text: Cell = "") -> None:
        self._begun = True
        self.console.print(self._rich(text), soft_wrap=True)

    def heading(self, text: str) -> None:
        if self._begun:
            self.line()
        self.line(Styled(text, "bold"))

    def fields(self, pairs: Iterable[tuple[str, Cell]]) -> None:
        from rich.table import Table

        grid = Table.grid(padding=(0, 2))
        grid.add_column(style=QUIET, overflow="fold")
        grid.add_column(overflow="fold")
        for label, value in pairs:
            grid.add_row(self._rich(label), self._rich(value))
        self._print(grid)

    def table(self, columns: Sequence[Column | str], rows: Iterable[Sequence[Cell]], *, empty: str) -> None:
        heads, lines = [_column(column) for column in columns], list(rows)
        if not lines:
            self.line(Styled(empty, QUIET))
        elif self._too_narrow_for(heads, lines):
            self._records(heads, lines)
        else:
            self._print(self._grid(heads, lines))

    def _too_narrow_for(self, heads: Sequence[Column], lines: Sequence[Sequence[Cell]]) -> bool:
        """Whether some column would get less than it needs to be read: Rich squeezes it down to nothing."""
        assert self.width is not None
        titled = [[head.title for head in heads], *([self.text_of(cell) for cell in line] for line in lines)]
        needed = sum(min(LEGIBLE, max(map(len, cells))) for cells in zip(*titled, strict=True))
        return needed + self.gap * (len(heads) - 1) > self.width

    def _records(self, heads: Sequence[Column], lines: Sequence[Sequence[Cell]]) -> None:
        """A row as lines of its own, each with its head before it."""
        for number, line in enumerate(lines):
            if number:
                self.line()
            self.fields(zip((head.title for head in heads), line, strict=True))

    def _grid(self, heads: Sequence[Column], lines: Sequence[Sequence[Cell]]) -> Table:
        from rich import box
        from rich.table import Table

        table = Table(box=None if self.compact else box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for head in heads:
            table.add_column(self._rich(head.title), justify="right" if head.right else "left", overflow="fold")
        for line in lines:
            table.add_row(*map(self._rich, line))
        return table

    def moment(self, at: datetime) -> str:
        return beside_relative(at, self.now, self.zone)

    def _rich(self, cell: Cell) -> Text:
        from rich.text import Text

        return Text(self.text_of(cell), style=cell.style if isinstance(cell, Styled) else "")

    def _print(self, renderable: object) -> None:
        self._begun = True
        self.console.print(renderable)


def _column(column: Column | str) -> Column:
    return column if isinstance(column, Column) else Column(column)


def _set(cell: str, width: int, head: Column) -> str:
    return cell.rjust(width) if head.right else cell.ljust(width)
