"""`paysync movements`: what was booked. Needs no Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.options import After, Limit, OnlyBank, read_span
from paysync_cli.cli.paging import next_command, tell_next
from paysync_cli.cli.session import Session
from paysync_cli.errors import UsageError
from paysync_cli.language import _

PAGE = 100


@command(
    "movements",
    help=_(
        "What was booked, the last first, and what it adds up to. --date is the day of payment in the bank's zone "
        "(of booking, where the bank does not tell when it was paid); --since looks at when it was booked."
    ),
    examples=[
        ("paysync movements --date yesterday --csv > yesterday.csv", _("for the bookkeeper")),
        ("paysync movements --since 2d --account shop", _("what came into one account")),
    ],
    rows=True,
)
def movements(
    session: Session,
    date: Annotated[
        str | None, typer.Option("--date", metavar="D", help=_("Paid on D: 2026-12-31, today, yesterday."))
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help=_("Booked in the last TIME (2d, 8h)."))
    ] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="A", help=_("Only this account."))] = None,
    bank: OnlyBank = None,
    limit: Limit = PAGE,
    after: After = None,
) -> None:
    from paysync_cli.services.movements import list_movements, paid_on
    from paysync_cli.services.named_bank import require_known_bank
    from paysync_cli.store.movements import Wanted
    from paysync_cli.views.movements import MovementsView

    if date is not None and since is not None:
        raise UsageError(_("--date and --since exclude each other: a day of payment, or a time of booking."))
    span_s = None if since is None else read_span(since, "--since")
    runtime = session.runtime
    require_known_bank(runtime.store, bank, runtime.bank_names)
    now = runtime.clock.now()
    zones = {name: one.timezone for name, one in session.settings.banks.items()}
    wanted = Wanted(
        day=None if date is None else paid_on(date, zones, now),
        since=None if span_s is None else now - timedelta(seconds=span_s),
        account=account,
        bank=bank,
        limit=limit,
        after=after,
    )
    report = list_movements(runtime.store, wanted)
    options = {"--date": date, "--since": since, "--account": account, "--bank": bank,
               "--limit": None if limit == PAGE else limit}  # fmt: skip
    more = next_command("movements", options, report.next)
    session.show(MovementsView(report, more, filtered=any((date, since, account, bank, after))))
    tell_next(session, more)
