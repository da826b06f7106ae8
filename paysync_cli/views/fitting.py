"""Which columns a list shows: all on a plain page, on a terminal as many as fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Generic, TypeVar

from paysync_cli.views.page import Cell, Column, Page

T = TypeVar("T")


@dataclass(frozen=True)
class Choice(Generic[T]):
    """One column of a list of `T`. The columns with the highest `rank` go first where the page is narrow.

    `shorter` is tried before any column goes. Rank 0 never goes.
    """

    column: Column
    cell: Callable[[T], Cell]
    rank: int = 0
    shorter: Callable[[T], Cell] | None = None


def fitted_table(page: Page, choices: Sequence[Choice[T]], items: Sequence[T], *, empty: str) -> None:
    """The table with the columns that fit into one line each; off a terminal with all."""
    cells = [[choice.cell(item) for item in items] for choice in choices]
    if page.width is not None:
        cells, choices = _fit(page, page.width, choices, cells, items)
    page.table([choice.column for choice in choices], list(zip(*cells, strict=True)), empty=empty)


def _fit(
    page: Page, width: int, choices: Sequence[Choice[T]], cells: list[list[Cell]], items: Sequence[T]
) -> tuple[list[list[Cell]], Sequence[Choice[T]]]:
    def needed(kept: Sequence[bool]) -> int:
        return page.gap * (sum(kept) - 1) + sum(compress(widths, kept))

    widths = [_width(page, choice.column, column) for choice, column in zip(choices, cells, strict=True)]
    kept = [True] * len(choices)
    whole = {}
    for number, choice in enumerate(choices):
        if choice.shorter is not None and needed(kept) > width:
            whole[number] = (cells[number], widths[number])
            cells[number] = [choice.shorter(item) for item in items]
            widths[number] = _width(page, choice.column, cells[number])
    for number in sorted(range(len(choices)), key=lambda n: choices[n].rank, reverse=True):
        if choices[number].rank and needed(kept) > width:
            kept[number] = False
    for number, (column, its_width) in whole.items():
        if needed(kept) - widths[number] + its_width <= width:  # what went left room enough
            cells[number], widths[number] = column, its_width
    return list(compress(cells, kept)), list(compress(choices, kept))


def _width(page: Page, column: Column, cells: Sequence[Cell]) -> int:
    return max([len(column.title), *(len(page.text_of(cell)) for cell in cells)])
