"""Rich on a terminal: the console and the progress bar. The only part of the doors that loads Rich."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from paysync_cli.cli import streams
from paysync_cli.cli.options import GlobalOptions
from paysync_cli.language import _
from paysync_cli.views.text import plain


def console(options: GlobalOptions, *, stderr: bool) -> Console:
    """A console without markup, emoji or guessed highlights: text is shown as it is."""
    return Console(
        stderr=stderr,
        markup=False,
        emoji=False,
        highlight=False,
        no_color=streams.colour_unwanted(options.no_color) or None,
    )


class RichBar:
    """One task of a Rich progress display."""

    def __init__(self, progress: RichProgress, total: int | None, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(plain(title), total=total)

    def advance(self, steps: int = 1) -> None:
        self._progress.advance(self._task, steps)


@contextlib.contextmanager
def progress_bar(options: GlobalOptions, total: int | None, title: str) -> Iterator[RichBar]:
    """A bar on standard error with count, rate and time left; it goes away when done."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console(options, stderr=True), transient=True) as progress:
        yield RichBar(progress, total, title)


class _RateColumn(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else _("{rate:.0f}/s").format(rate=speed), style="dim")
