"""What commands that plan checks share: the bank's defaults, waking the workers, one error out of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from paysync_cli.cli.session import Session
from paysync_cli.errors import Fault, PartlyDone, PaysyncError
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.services.requests import BankDefaults
    from paysync_cli.settings import BankSettings


def defaults_of(bank: BankSettings) -> BankDefaults:
    """What a request leaves to its bank."""
    from paysync_cli.services.requests import BankDefaults

    return BankDefaults(bank.name, bank.currency, bank.account, bank.timezone)


def wake_workers(session: Session) -> PaysyncError | None:
    """Tell the workers that something is planned; why they could not be told.

    An embedded server that does not run is no error and is not started: no worker runs there to be woken.
    """
    try:
        queue = session.runtime.queue_if_running()
        if queue is not None:
            queue.wake()
        elif session.on_terminal:
            session.say(_("Nothing is asked until a worker runs: paysync worker"))
    except PaysyncError as error:
        return error
    return None


def left_over(some_failed: Sequence[Fault], unavailable: PaysyncError | None) -> PaysyncError | None:
    """The error that goes with a report: what could not be done, and Redis when it could not be reached.

    An unavailable Redis decides the exit status: the same command, run again, tells the rest.
    """
    faults = list(some_failed)
    if unavailable is not None:
        safe = _("What is planned is safe in the database; the workers find it when Redis is back.")
        faults += [replace(fault, hint=f"{safe}\n{fault.hint}" if fault.hint else safe) for fault in unavailable.faults]
        return type(unavailable)(unavailable.message, code=unavailable.code, faults=faults)
    return PartlyDone(faults[0].message, code=faults[0].code, faults=faults) if faults else None
