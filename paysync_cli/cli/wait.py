"""`paysync wait`: until a QR is final. Needs no Redis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli import signals
from paysync_cli.cli.command import command
from paysync_cli.cli.options import Environment, NamedBank
from paysync_cli.cli.session import Session
from paysync_cli.errors import ConditionNotMet, PaysyncError, TimedOut
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.payments.qr import Qr


@command(
    "wait",
    help=_(
        "Wait until a QR is final: exit 0 when it is completed, 6 when it is cancelled or expired, 124 when --timeout "
        "comes first (without one it waits on). It only reads the database: a worker asks the bank."
    ),
    examples=[
        ("paysync wait QR123 --timeout 10m", _("at most ten minutes")),
        ("paysync wait QR123 --quiet && echo paid", _("for a script")),
    ],
)
def wait(
    session: Session,
    qr: Annotated[str, typer.Argument(help=_("The bank's id of the QR."), metavar="QR")],
    bank: NamedBank = None,
    environment: Environment = None,
) -> None:
    from paysync_cli.services.inspect import find_one
    from paysync_cli.services.waiting import until_final
    from paysync_cli.views.wait import WaitView

    last = find_one(session.runtime.store, qr, bank, environment)
    _say_what_holds(session, last)
    error: PaysyncError | None = None
    try:
        for seen in until_final(session.runtime.store, last, time.sleep):
            last = seen
        error = _not_completed(last)
    except signals.DeadlineReached:
        error = TimedOut(_("The time is over, and {qr} is {status}.").format(qr=last.qr_id, status=last.status.value))
    session.show(WaitView(last), error=error)


def _say_what_holds(session: Session, qr: Qr) -> None:
    """Somebody waits for what nobody asks about: that is worth a word."""
    from paysync_cli.payments.status import PlanState

    if qr.plan.state is PlanState.HELD:
        session.warn(_("{qr} is held: it is not asked about until it is released.").format(qr=qr.qr_id))
    elif not qr.status.final and session.on_terminal:
        session.say(_("{qr} is {status}; waiting.").format(qr=qr.qr_id, status=qr.status.value))


def _not_completed(qr: Qr) -> PaysyncError | None:
    from paysync_cli.payments.status import Status

    if qr.status is Status.COMPLETED:
        return None
    return ConditionNotMet(
        _("{qr} is {status}, not completed.").format(qr=qr.qr_id, status=qr.status.value), code="not_completed"
    )
