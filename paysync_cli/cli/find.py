"""`paysync find`: QRs by what a person has in hand. Needs no Redis."""

from __future__ import annotations

from typing import Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.options import After, Limit
from paysync_cli.cli.paging import next_command, tell_next
from paysync_cli.cli.session import Session
from paysync_cli.errors import UsageError
from paysync_cli.language import _

PAGE = 50


@command(
    "find",
    help=_(
        "Find QRs by the start of the QR id or of the bank's transaction id, by an amount (asked for or paid), or by "
        "the account. Ids are compared exactly, capitals too."
    ),
    examples=[
        ("paysync find 31061400", _("the QR ids and bank transactions that begin so")),
        ("paysync find 100.50", _("what asks for that amount, or got it")),
        ("paysync find main --csv > account.csv", _("an account's QRs, for a spreadsheet")),
    ],
    rows=True,
)
def find(
    session: Session,
    text: Annotated[str, typer.Argument(help=_("What to look for."), metavar="TEXT")],
    limit: Limit = PAGE,
    after: After = None,
) -> None:
    from paysync_cli.services import finding
    from paysync_cli.views.finding import FindView

    wanted = text.strip()
    if not wanted or not wanted.isprintable():
        raise UsageError(_("Say what to look for: an id, an amount, an account."))
    report = finding.find(session.runtime.store, wanted, limit=limit, after=after)
    options = {"--limit": None if limit == PAGE else limit}
    more = next_command("find", options, report.next, wanted)
    session.show(FindView(report, more))
    tell_next(session, more)
