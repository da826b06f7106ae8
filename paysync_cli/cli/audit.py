"""`paysync audit`: what operators did. Needs no Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.options import After, Limit, read_span
from paysync_cli.cli.paging import next_command, tell_next
from paysync_cli.cli.session import Session
from paysync_cli.language import _

PAGE = 100


@command(
    "audit",
    help=_("What operators did, the last first: who, when, what, on what, why. Nothing is ever removed from it."),
    examples=[
        ("paysync audit --since 1d", _("since yesterday")),
        ("paysync audit --qr QR123", _("what was done to one QR")),
        ("paysync audit --action retry --csv > retries.csv", _("for a spreadsheet")),
    ],
    rows=True,
)
def audit(
    session: Session,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help=_("Only the last TIME (2d, 8h)."))
    ] = None,
    qr: Annotated[str | None, typer.Option("--qr", metavar="QR", help=_("Only what was done to this QR."))] = None,
    bank: Annotated[
        str | None, typer.Option("--bank", metavar="BANK", help=_("With --qr: where several banks have this id."))
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="WORD", help=_("Only this: retry, pause, hold, purge ..."))
    ] = None,
    limit: Limit = PAGE,
    after: After = None,
) -> None:
    from paysync_cli.errors import UsageError
    from paysync_cli.services.actions import list_actions
    from paysync_cli.services.inspect import find_one
    from paysync_cli.store.actions import Wanted
    from paysync_cli.views.actions import AuditView

    if bank is not None and qr is None:
        raise UsageError(_("--bank goes with --qr."))
    span_s = None if since is None else read_span(since, "--since")
    runtime = session.runtime
    wanted = Wanted(
        since=None if span_s is None else runtime.clock.now() - timedelta(seconds=span_s),
        qr=None if qr is None else find_one(runtime.store, qr, bank).id,
        action=action,
        limit=limit,
        after=after,
    )
    report = list_actions(runtime.store, wanted)
    options = {"--since": since, "--qr": qr, "--bank": bank, "--action": action,
               "--limit": None if limit == PAGE else limit}  # fmt: skip
    more = next_command("audit", options, report.next)
    session.show(AuditView(report, more, filtered=any((since, qr, action, after))))
    tell_next(session, more)
