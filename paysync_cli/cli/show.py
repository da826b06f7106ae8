"""`paysync show`: one QR whole. Needs no Redis; with it the job is shown too."""

from __future__ import annotations

from typing import Annotated

import typer

from paysync_cli.cli.at_hand import queue_at_hand
from paysync_cli.cli.command import command
from paysync_cli.cli.options import Environment, NamedBank
from paysync_cli.cli.session import Session
from paysync_cli.errors import PaysyncError
from paysync_cli.language import _


@command(
    "show",
    help=_("Show one QR whole: its plan, every check, what was booked, what a person must decide, what people did."),
    examples=["paysync show QR123", ("paysync show QR123 --json | jq .data.movements", _("for a script"))],
)
def show(
    session: Session,
    qr: Annotated[str, typer.Argument(metavar="QR", help=_("The bank's id of the QR."))],
    bank: NamedBank = None,
    environment: Environment = None,
) -> None:
    from paysync_cli.services.inspect import inspect
    from paysync_cli.views.show import QrView

    store, queue = session.runtime.store, queue_at_hand(session)
    if isinstance(queue, PaysyncError):
        session.detail(queue.message)
        queue = None
    session.show(QrView(inspect(store, queue, qr, bank=bank, environment=environment)))
