"""Looking again and again: the eye that keeps its connections, and `stats --watch`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from paysync_cli.cli import streams
from paysync_cli.cli.at_hand import queue_at_hand
from paysync_cli.cli.options import read_duration
from paysync_cli.cli.session import Session
from paysync_cli.errors import PaysyncError, UsageError
from paysync_cli.language import _
from paysync_cli.services.stats import StatsReport, gather_stats
from paysync_cli.views.watch import WatchView, watch_line

if TYPE_CHECKING:
    from paysync_cli.queue.client import QueueClient


EVERY_S = 2.0
SHORTEST_S = 0.5


def read_interval(text: str | None) -> float:
    """Seconds between two looks, from `--interval`. Raises UsageError."""
    if text is None:
        return EVERY_S
    every_s = read_duration(text, "--interval")
    if every_s < SHORTEST_S:
        raise UsageError(_("--interval must be at least {n:g} s.").format(n=SHORTEST_S))
    return every_s


class Eye:
    """Reads the figures of `stats` as often as it is asked, over the same connections; starts no Redis but at first."""

    def __init__(self, session: Session, bank: str | None = None) -> None:
        self._session = session
        self._bank = bank
        self._client: QueueClient | None = None
        self._looked = False
        self.last: QueueClient | None = None  # what the last look found, if it was ours and answered

    def queue(self) -> QueueClient | PaysyncError | None:
        """The queues as they are now: None when the embedded server does not run, the error when Redis is away."""
        found = self._find()
        self.last = None if isinstance(found, PaysyncError) else found
        return found

    def _find(self) -> QueueClient | PaysyncError | None:
        runtime = self._session.runtime
        if not self._looked:
            self._looked = True
            found = queue_at_hand(self._session, kept_jobs=True)
            self._client = None if isinstance(found, PaysyncError) else found
            return found
        try:
            self._client = runtime.queue_again(self._client)
            if self._client is not None:
                self._client.refuse_foreign(runtime.database_id)
        except PaysyncError as error:
            return error
        return self._client

    def stats(self, queue: QueueClient | PaysyncError | None) -> StatsReport:
        """The figures. Raises DatabaseUnavailable and what opening the database raises."""
        runtime = self._session.runtime
        return gather_stats(
            runtime.store,
            queue,
            now=runtime.clock.now(),
            configured=runtime.bank_names,
            bank=self._bank,
            where=runtime.where(),
            limits=runtime.limits,
        )


def watch(session: Session, eye: Eye, every_s: float) -> None:
    """Show the figures until somebody ends it; a database that goes away for a while is said and waited for.

    Raises what the first look raises.
    """
    report, trouble = eye.stats(eye.queue()), None
    seen_at = session.runtime.clock.now()
    with _screen(session) as show:
        while True:
            show(WatchView(report, seen_at, trouble))
            time.sleep(every_s)
            try:
                report, trouble = eye.stats(eye.queue()), None
                seen_at = session.runtime.clock.now()
            except PaysyncError as error:
                trouble = error


@contextlib.contextmanager
def _screen(session: Session) -> Iterator[Callable[[WatchView], None]]:
    """In place on a terminal, else a line each time."""
    if not session.on_terminal:
        yield lambda view: _write(watch_line(view, session.runtime.clock.now()))
        return
    from rich.live import Live

    from paysync_cli.views.sheet import Sheet

    with Live(console=session.console(), screen=True, auto_refresh=False) as live:

        def show(view: WatchView) -> None:
            sheet = Sheet(now=session.runtime.clock.now(), zone=session.zone, width=live.console.width)
            view.human(sheet)
            live.update(sheet.group(), refresh=True)

        yield show


def _write(line: str) -> None:
    streams.write_out(line)
    streams.flush_out()
