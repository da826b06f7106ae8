"""`paysync release`: QRs on hold go on. Needs no Redis."""

from __future__ import annotations

from typing import Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.held import NamedQrs, not_known
from paysync_cli.cli.options import Environment, NamedBank
from paysync_cli.cli.reasons import checked_reason
from paysync_cli.cli.session import Session
from paysync_cli.language import _


@command(
    "release",
    help=_("Let QRs on hold go on: each is asked about at its old moment, or at once when that has passed. Audited."),
    examples=["paysync release QR123"],
    changes=True,
)
def release(
    session: Session,
    qr: NamedQrs,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help=_("Why, for the audit."))] = None,
    bank: NamedBank = None,
    environment: Environment = None,
) -> None:
    from paysync_cli.services import hold as holding
    from paysync_cli.views.hold import HoldView

    why = None if reason is None else checked_reason(reason)
    runtime = session.runtime
    which = holding.Which(qr, bank, environment)
    report = holding.release(runtime.store, which, reason=why, who=runtime.who, now=runtime.clock.now())
    outcomes = (holding.Outcome.RELEASED, holding.Outcome.NOT_HELD, holding.Outcome.FINAL, holding.Outcome.NOT_FOUND)
    session.show(HoldView(report, outcomes), error=not_known(report))
