"""`paysync check`: ask the bank now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli import signals
from paysync_cli.cli.bank_trouble import bank_fault
from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.errors import BankUnavailable, Fault, NotFound, PartlyDone, PaysyncError, UsageError
from paysync_cli.language import _, ngettext

if TYPE_CHECKING:
    from paysync_cli.payments.qr import Qr
    from paysync_cli.services.check_now import CheckReport


@command(
    "check",
    help=_(
        "Ask the bank now, in the foreground, without the queue; the same decision and the same transaction as a "
        "worker's check. Costs none of a QR's budget."
    ),
    examples=[
        ("paysync check QR123", _("one QR")),
        ("paysync check --open --since 2d --rate 5/s", _("every open QR of the last two days, gently")),
    ],
    changes=True,
    rows=True,
)
def check(
    session: Session,
    qr: Annotated[list[str] | None, typer.Argument(help=_("The bank's ids of the QRs."), metavar="QR")] = None,
    all_open: Annotated[bool, typer.Option("--open", help=_("Every QR that is not final."))] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", help=_("With --open: only those registered since, e.g. 2d."), metavar="TIME"),
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", help=_("Questions a second, e.g. 5/s (default: the bank's)."), metavar="N/s")
    ] = None,
    bank: Annotated[str | None, typer.Option("--bank", help=_("Only this bank."))] = None,
) -> None:
    from paysync_cli.cli.options import read_duration, read_rate
    from paysync_cli.views.check import CheckView

    if bool(qr) == all_open:
        raise UsageError(_("Name the QRs to check, or say --open for all that are not final."))
    if since is not None and not all_open:
        raise UsageError(_("--since goes with --open."))
    rate_per_s = read_rate(rate, "--rate") if rate else None
    span = timedelta(seconds=read_duration(since, "--since")) if since else None
    runtime = session.runtime
    runtime.require_banks()
    if bank is not None:
        session.bank(bank)
    wanted = _all_open(session, bank, span) if all_open else _named(session, qr or [], bank)
    title = ngettext("asking about {n} QR", "asking about {n} QRs", len(wanted)).format(n=len(wanted))
    with session.progress(len(wanted), title) as bar:
        report = signals.run(ask_now(session, wanted, rate_per_s, lambda: bar.advance(1)))
    session.show(CheckView(report), error=_error(session, report))


def _all_open(session: Session, bank: str | None, span: timedelta | None) -> list[Qr]:
    from paysync_cli.services.check_now import open_qrs

    runtime = session.runtime
    since = runtime.clock.now() - span if span is not None else None
    found = open_qrs(runtime.store, bank=bank, since=since)
    askable = [one for one in found if one.bank in runtime.settings.banks]
    if len(askable) < len(found):
        session.warn(
            _("{n} QRs belong to banks that are not configured here and are not asked.").format(
                n=len(found) - len(askable)
            )
        )
    return askable


def _named(session: Session, ids: Sequence[str], bank: str | None) -> list[Qr]:
    from paysync_cli.services.inspect import find_one

    runtime = session.runtime
    found: list[Qr] = []
    faults: list[Fault] = []
    for qr_id in dict.fromkeys(ids):
        try:
            one = find_one(runtime.store, qr_id, bank)
        except PaysyncError as error:
            if not isinstance(error, NotFound):
                raise
            faults += error.faults
            continue
        found.append(one)
    if faults:
        raise NotFound(faults[0].message, hint=faults[0].hint, faults=faults)
    return found


async def ask_now(
    session: Session, wanted: Sequence[Qr], rate_per_s: float | None, progress: Callable[[], None]
) -> CheckReport:
    """Ask about each of these QRs once. Raises UsageError and TryLater where a bank may not be asked."""
    from paysync_cli.services.check_now import check_now

    runtime, settings = session.runtime, session.settings
    names = {one.bank for one in wanted}
    missing = sorted(names - set(settings.banks))
    if missing:
        raise UsageError(_("Bank {name} is not configured here, so its QRs cannot be asked.").format(name=missing[0]))
    for name in sorted(names):
        runtime.refuse_paused(settings.banks[name])
    banks = {name: runtime.open_gated_bank(settings.banks[name], many=len(wanted) > 1) for name in names}
    for one in wanted:
        if one.environment != banks[one.bank].environment:
            raise UsageError(
                _("{qr} is a QR of the bank's {environment} environment; this credential is for {ours}.").format(
                    qr=one.qr_id, environment=one.environment, ours=banks[one.bank].environment
                )
            )
    slowest = min((settings.banks[name].rate_per_s for name in names), default=None)
    try:
        return await check_now(
            runtime.store,
            banks,
            wanted,
            runtime.clock,
            concurrency=settings.concurrency,
            rate_per_s=rate_per_s or slowest,
            progress=progress,
        )
    finally:
        await runtime.close_banks()


def _error(session: Session, report: CheckReport) -> PaysyncError | None:
    if not report.failed:
        return None
    faults = [
        bank_fault(session, one.qr.bank, one.outcome, _("{qr}: {why}").format(qr=one.qr.qr_id, why=one.error))
        for one in report.checked
        if one.error is not None
    ]
    kind: type[PaysyncError] = BankUnavailable if report.failed == len(report.checked) else PartlyDone
    message = ngettext("{n} QR could not be asked.", "{n} QRs could not be asked.", report.failed).format(
        n=report.failed
    )
    return kind(message, faults=faults)
