"""`paysync stats`: is it moving? Reads only."""

from __future__ import annotations

from typing import Annotated

import typer

from paysync_cli.cli.at_hand import queue_at_hand
from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.language import _


@command(
    "stats",
    help=_(
        "Show jobs and QRs on one screen, the age of the oldest due check first. "
        "When Redis is down the figures of the database are shown, exit 69."
    ),
    examples=["paysync stats", ("paysync stats --json | jq .data.oldest_due_seconds", _("for an alarm"))],
)
def stats(
    session: Session,
    bank: Annotated[str | None, typer.Option("--bank", metavar="BANK", help=_("Only this bank."))] = None,
) -> None:
    from paysync_cli.services.named_bank import require_known_bank
    from paysync_cli.services.stats import gather_stats
    from paysync_cli.views.stats import StatsView

    runtime = session.runtime
    require_known_bank(runtime.store, bank, runtime.bank_names)
    report = gather_stats(
        runtime.store,
        queue_at_hand(session, kept_jobs=True),
        now=runtime.clock.now(),
        configured=runtime.bank_names,
        bank=bank,
        where=runtime.where(),
    )
    session.show(StatsView(report), error=report.redis_error)
