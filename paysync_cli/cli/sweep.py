"""`paysync sweep`: read the banks' day lists now."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli import signals
from paysync_cli.cli.bank_trouble import bank_fault
from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.errors import BankUnavailable, PartlyDone, PaysyncError
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.services.sweep import SweepReport


@command(
    "sweep",
    help=_(
        "Read the bank's list of each day that is not read complete yet, up to today, and book every payment that is "
        "not booked. The leading worker does it every PAYMENT_SYNC_INTERVAL minutes."
    ),
    examples=["paysync sweep", ("paysync sweep --bank baneco --json", _("one bank, for a script"))],
    changes=True,
    cron=True,
)
def sweep(
    session: Session, bank: Annotated[str | None, typer.Option("--bank", help=_("Only this bank."))] = None
) -> None:
    from paysync_cli.views.sweep import SweepView

    session.runtime.require_banks()
    report = signals.run(_run(session, bank))
    session.show(SweepView(report), error=_error(session, report))


async def _run(session: Session, bank: str | None) -> SweepReport:
    from paysync_cli.services.sweep import sweep as read_lists

    runtime = session.runtime
    chosen = [session.bank(bank)] if bank is not None else list(session.settings.banks.values())
    if len(chosen) == 1:
        runtime.refuse_paused(chosen[0])
    banks = {one.name: runtime.open_gated_bank(one, many=False) for one in chosen}
    try:
        return await read_lists(runtime.store, banks, runtime.clock, random.random)
    finally:
        await runtime.close_banks()


def _error(session: Session, report: SweepReport) -> PaysyncError | None:
    if not report.failed:
        return None
    faults = [
        bank_fault(session, one.bank, "refused" if one.refused else "unavailable", f"{one.bank}: {one.error}")
        for one in report.banks
        if one.error is not None
    ]
    kind: type[PaysyncError] = BankUnavailable if report.failed == len(report.banks) else PartlyDone
    return kind(faults[0].message, hint=faults[0].hint, faults=faults)
