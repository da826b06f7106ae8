"""`paysync stats`: is it moving? Reads only."""

from __future__ import annotations

from typing import Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.options import OnlyBank
from paysync_cli.cli.session import Session
from paysync_cli.cli.signals import INTERRUPTED
from paysync_cli.errors import UsageError
from paysync_cli.language import _


@command(
    "stats",
    help=_(
        "Show jobs and QRs on one screen, the age of the oldest due check first. "
        "When Redis is down the figures of the database are shown, exit 69."
    ),
    examples=[
        "paysync stats",
        ("paysync stats --watch", _("in place, every 2 seconds; off a terminal a line each time")),
        ("paysync stats --json | jq .data.oldest_due_seconds", _("for an alarm")),
    ],
    where=True,
)
def stats(
    session: Session,
    watch: Annotated[bool, typer.Option("--watch", "-w", help=_("Again and again, until Ctrl-C."))] = False,
    interval: Annotated[
        str | None, typer.Option("--interval", metavar="TIME", help=_("How often with --watch (default 2s)."))
    ] = None,
    bank: OnlyBank = None,
) -> None:
    from paysync_cli.cli import watching
    from paysync_cli.services.named_bank import require_known_bank
    from paysync_cli.views.stats import StatsView

    every_s = _interval(session, watch, interval)
    require_known_bank(session.runtime.store, bank, session.runtime.bank_names)
    eye = watching.Eye(session, bank)
    if watch:
        try:
            watching.watch(session, eye, every_s)
        except KeyboardInterrupt:
            # That is how one ends it: no word about it, and the status of every interrupted command.
            raise typer.Exit(INTERRUPTED) from None
    report = eye.stats(eye.queue())
    session.show(StatsView(report), error=report.redis_error)


def _interval(session: Session, watch: bool, interval: str | None) -> float:
    """Seconds between two looks. Raises UsageError for options that do not go together."""
    from paysync_cli.cli.watching import read_interval

    if watch and session.options.json:
        raise UsageError(
            _("--watch goes on and --json is one document: choose one."),
            hint=_("Run `paysync stats --json` again and again instead."),
        )
    if interval is not None and not watch:
        raise UsageError(_("--interval goes with --watch."))
    return read_interval(interval)
