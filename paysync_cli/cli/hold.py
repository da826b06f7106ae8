"""`paysync hold`: QRs that are not asked about until somebody releases them. Needs no Redis."""

from __future__ import annotations

from typing import Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.held import NamedQrs, not_known
from paysync_cli.cli.options import Environment, NamedBank
from paysync_cli.cli.reasons import required_reason
from paysync_cli.cli.session import Session
from paysync_cli.language import _


@command(
    "hold",
    help=_(
        "Do not ask about these QRs until they are released. A check that is queued or under way may still end, and "
        "what the bank's day list brings is booked all the same. Audited."
    ),
    examples=[('paysync hold QR123 --reason "customer disputes the charge"', _("one QR"))],
    changes=True,
)
def hold(
    session: Session,
    qr: NamedQrs,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help=_("Why; asked on a terminal."))] = None,
    bank: NamedBank = None,
    environment: Environment = None,
) -> None:
    from paysync_cli.services import hold as holding
    from paysync_cli.views.hold import HoldView

    why = required_reason(session, reason)
    runtime = session.runtime
    which = holding.Which(qr, bank, environment)
    report = holding.hold(runtime.store, which, reason=why, who=runtime.who, now=runtime.clock.now())
    outcomes = (holding.Outcome.HELD, holding.Outcome.ALREADY_HELD, holding.Outcome.FINAL, holding.Outcome.NOT_FOUND)
    session.show(HoldView(report, outcomes), error=not_known(report))
