"""`paysync reconcile`: one day of the bank against our books."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli import signals
from paysync_cli.cli.bank_trouble import bank_fault
from paysync_cli.cli.command import command
from paysync_cli.cli.options import OnlyBank
from paysync_cli.cli.session import Session
from paysync_cli.errors import BankUnavailable, ConditionNotMet, Fault, PartlyDone, PaysyncError
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.services.reconcile import DayReconciled, ReconcileReport, Task


@command(
    "reconcile",
    help=_(
        "Compare what the bank lists as paid on a day with our books, QRs of every state: booked on both sides, only "
        "there, only here, with another amount, of unknown QRs, unreadable. Exit 6 when anything differs. --fix books "
        "what the bank lists and we lack, opens reviews for the rest and then tells what is left; it alters nothing "
        "that is booked."
    ),
    examples=[
        ("paysync reconcile", _("yesterday, every bank")),
        ("paysync reconcile --date 2026-12-31 --bank baneco --csv", _("one day of one bank")),
        ("paysync reconcile --date yesterday --fix --json", _("for a script")),
    ],
    changes=lambda given: bool(given["fix"]),
    cron=True,
    rows=True,
)
def reconcile(
    session: Session,
    date: Annotated[
        str, typer.Option("--date", metavar="D", help=_("2026-12-31, today or yesterday, at the bank."))
    ] = "yesterday",
    bank: OnlyBank = None,
    fix: Annotated[bool, typer.Option("--fix", help=_("Book what we lack, open reviews."))] = False,
) -> None:
    from paysync_cli.services.reconcile import Task
    from paysync_cli.views.reconcile import ReconcileView

    session.runtime.require_banks()
    foreign = frozenset(name for name, one in session.settings.banks.items() if one.foreign_qrs == "count")
    report = signals.run(_run(session, bank, Task(date, fix, session.runtime.who, foreign)))
    session.show(ReconcileView(report, fix), error=_error(session, report, fix=fix))


async def _run(session: Session, bank: str | None, task: Task) -> ReconcileReport:
    from paysync_cli.services.reconcile import reconcile as compare

    runtime = session.runtime
    chosen = [session.bank(bank)] if bank is not None else list(session.settings.banks.values())
    if len(chosen) == 1:
        runtime.refuse_paused(chosen[0])
    banks = {one.name: runtime.open_gated_bank(one, many=False) for one in chosen}
    try:
        return await compare(runtime.store, banks, task, runtime.clock, random.random)
    finally:
        await runtime.close_banks()


def _error(session: Session, report: ReconcileReport, *, fix: bool) -> PaysyncError | None:
    """A bank that could not be read counts more than differences: it may hide some."""
    failed = [
        bank_fault(
            session, one.bank, "refused" if one.refused else "unavailable", f"{one.bank}, {one.day}: {one.error}"
        )
        for one in report.failed
    ]
    differing = [fault for one in report.days for fault in _faults(one, fix=fix)]
    faults = failed + differing
    if not faults:
        return None
    kind: type[PaysyncError] = ConditionNotMet
    if failed:
        compared = [one for one in report.days if one.lists and one.error is None]
        kind = PartlyDone if compared else BankUnavailable
    return kind(faults[0].message, hint=faults[0].hint, code=faults[0].code, faults=faults)


def _faults(day: DayReconciled, *, fix: bool) -> list[Fault]:
    from paysync_cli.views.reconcile import difference_words

    faults = []
    place = {"bank": day.bank, "day": day.day.isoformat()}
    if day.differs:
        message = _("{bank}, {day}: {words}.").format(**place, words=difference_words(day))
        hint = _("What is left is for a person: `paysync review list`.")
        if not fix:
            again = f"paysync reconcile --date {day.day} --bank {day.bank} --fix"
            hint = _("To book what the bank lists and we lack: `{again}`.").format(again=again)
        faults.append(Fault("differences", message, hint))
    if day.lists and day.error is None and not day.whole:
        message = _("{bank}, {day}: a page of the list did not come.").format(**place)
        faults.append(Fault("list_incomplete", message, _("Run it again later.")))
    return faults
