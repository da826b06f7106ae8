"""`paysync list`: QRs, page by page. Needs no Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.options import After, Limit, OnlyBank, read_span
from paysync_cli.cli.paging import next_command, tell_next
from paysync_cli.cli.session import Session
from paysync_cli.errors import UsageError
from paysync_cli.language import _

# The words of payments.status and store.qrs, spelled here so that --help loads neither.
StatusWord = Literal["pending", "processing", "active", "completed", "cancelled", "expired"]
SortWord = Literal["registered", "next-check", "due", "qr"]

PAGE = 50


@command(
    "list",
    help=_("List QRs, the newest first. Pages of --limit rows; the end of a page tells the command for the next."),
    examples=[
        ("paysync list --due", _("whose moment to be asked has come")),
        ("paysync list --status processing --bank baneco", _("money seen, not settled")),
        ("paysync list --since 2d --csv > qrs.csv", _("for a spreadsheet")),
    ],
    rows=True,
)
def list_qrs(
    session: Session,
    status: Annotated[StatusWord | None, typer.Option("--status", help=_("Only QRs of this status."))] = None,
    bank: OnlyBank = None,
    due: Annotated[bool, typer.Option("--due", help=_("Only those whose next check is due."))] = False,
    exhausted: Annotated[bool, typer.Option("--exhausted", help=_("Only those whose checks are used up."))] = False,
    held: Annotated[bool, typer.Option("--held", help=_("Only those on hold."))] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help=_("Only those registered in the last TIME (2d, 8h)."))
    ] = None,
    sort: Annotated[SortWord, typer.Option("--sort", help=_("The order of the list."))] = "registered",
    limit: Limit = PAGE,
    after: After = None,
) -> None:
    from paysync_cli.payments.status import PlanState, Status
    from paysync_cli.services.listing import list_qrs as read_page
    from paysync_cli.services.named_bank import require_known_bank
    from paysync_cli.store.qrs import Wanted
    from paysync_cli.views.listing import QrListView

    if exhausted and held:
        raise UsageError(_("--exhausted and --held exclude each other: a held QR is not asked at all."))
    span_s = None if since is None else read_span(since, "--since")
    runtime = session.runtime
    require_known_bank(runtime.store, bank, runtime.bank_names)
    now = runtime.clock.now()
    wanted = Wanted(
        status=Status(status) if status else None,
        bank=bank,
        due_before=now if due else None,
        plan_state=PlanState.EXHAUSTED if exhausted else PlanState.HELD if held else None,
        since=None if span_s is None else now - timedelta(seconds=span_s),
        sort=sort,
        limit=limit,
        after=after,
    )
    report = read_page(runtime.store, wanted)
    options = {"--status": status, "--bank": bank, "--due": due, "--exhausted": exhausted, "--held": held,
               "--since": since, "--sort": None if sort == "registered" else sort,
               "--limit": None if limit == PAGE else limit}  # fmt: skip
    more = next_command("list", options, report.next)
    filtered = any((status, bank, due, exhausted, held, since, after))
    session.show(QrListView(report, more, filtered))
    tell_next(session, more)
