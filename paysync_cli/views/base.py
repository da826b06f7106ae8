"""The promise of a view: one report, shown to scripts (`data`, `rows`) and to people (`human`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from paysync_cli.views.page import Page


class View(ABC):
    """How one report looks. A subclass holds the report and nothing else."""

    @abstractmethod
    def data(self) -> object:
        """What becomes `data` of the JSON document: dicts, lists, text, numbers, bools, None, aware datetimes."""

    @abstractmethod
    def human(self, page: Page) -> None:
        """Write the report for people with the page's few words; the page knows whether it is a terminal."""


class ListView(View):
    """A view of a list: it also has rows, for `--jsonl` and `--csv`."""

    columns: ClassVar[tuple[str, ...]]  # the CSV header, also of an empty list

    @abstractmethod
    def rows(self) -> Iterable[Mapping[str, object]]:
        """The rows, each with (at least) the keys of `columns`."""
