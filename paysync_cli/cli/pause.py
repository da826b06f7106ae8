"""`paysync pause` and its counterpart: nobody asks a bank until resumed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.options import read_duration
from paysync_cli.cli.session import Session
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.services.bank_desk import Configured


@command(
    "pause",
    help=_(
        "Stop asking a bank (all banks when none is named), at once and for all workers. Its QRs stay due and cost "
        "neither attempts nor checks; payments in the day list are not read either."
    ),
    examples=[
        ("paysync pause baneco --for 1h --reason 'maintenance announced'", _("ends by itself")),
        ("paysync pause", _("everything, until resumed")),
    ],
    changes=True,
)
def pause(
    session: Session,
    bank: Annotated[str | None, typer.Argument(help=_("The bank; all when left out."), metavar="BANK")] = None,
    span: Annotated[str | None, typer.Option("--for", help=_("How long, e.g. 1h."), metavar="TIME")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help=_("Why; shown in every view."))] = None,
) -> None:
    from paysync_cli.services import bank_desk
    from paysync_cli.views.banks import BanksChangedView

    runtime = session.runtime
    names = bank_desk.pause(
        runtime.store,
        chosen(session, bank),
        now=runtime.clock.now(),
        span=timedelta(seconds=read_duration(span, "--for")) if span else None,
        who=runtime.who,
        reason=reason,
    )
    session.show(BanksChangedView("paused", names, _("paused: {names}"), _("no bank is configured")))


def chosen(session: Session, bank: str | None) -> list[Configured]:
    """The bank named, or all."""
    runtime = session.runtime
    runtime.require_banks()
    return [runtime.configured(session.bank(bank))] if bank is not None else runtime.configured_banks
