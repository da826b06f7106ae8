"""`paysync resume`: ask a paused bank again."""

from __future__ import annotations

from typing import Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.language import _


@command(
    "resume",
    help=_("Ask a paused bank again (all banks when none is named)."),
    examples=["paysync resume baneco", "paysync resume"],
    changes=True,
)
def resume(
    session: Session,
    bank: Annotated[str | None, typer.Argument(help=_("The bank; all when left out."), metavar="BANK")] = None,
) -> None:
    from paysync_cli.cli.pause import chosen
    from paysync_cli.services import bank_desk
    from paysync_cli.views.banks import BanksChangedView

    runtime = session.runtime
    names = bank_desk.resume(runtime.store, chosen(session, bank), now=runtime.clock.now(), who=runtime.who)
    session.show(BanksChangedView("resumed", names, _("resumed: {names}"), _("no bank was paused")))
