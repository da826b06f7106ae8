"""`paysync retry`: ask again about QRs whose check was given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli.changes import counted
from paysync_cli.cli.command import command
from paysync_cli.cli.options import DryRun, OnlyBank, Yes
from paysync_cli.cli.registering import left_over, wake_workers
from paysync_cli.cli.session import Session
from paysync_cli.errors import Fault, NotFound, PaysyncError, UsageError
from paysync_cli.language import _, ngettext

if TYPE_CHECKING:
    from paysync_cli.queue.failed import FailedJobs
    from paysync_cli.services.failed import Filter
    from paysync_cli.services.retry import Deed, Item, RetryReport


@command(
    "retry",
    help=_(
        "Ask again about QRs with failed jobs, now: their plan in the database is brought forward, at no cost to their "
        "budget, and the failed jobs go. Audited. QRs that are held, and jobs that name no QR of ours, stay as they "
        "are (exit 3)."
    ),
    examples=[
        ("paysync retry QR123", _("one QR")),
        ("paysync retry --all --dry-run", _("look first")),
        ('paysync retry --all --error "timed out" --bank baneco', _("what failed alike")),
        ("paysync retry --all --yes --json", _("for a script")),
    ],
    changes=True,
)
def retry(
    session: Session,
    qr: Annotated[list[str] | None, typer.Argument(help=_("The bank's ids of the QRs."), metavar="QR")] = None,
    everything: Annotated[bool, typer.Option("--all", help=_("Every failed job."))] = False,
    error: Annotated[
        str | None, typer.Option("--error", metavar="TEXT", help=_("With --all: only those whose reason holds TEXT."))
    ] = None,
    bank: OnlyBank = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    from paysync_cli.queue.failed import FailedJobs
    from paysync_cli.services.failed import Filter
    from paysync_cli.services.named_bank import require_known_bank
    from paysync_cli.services.retry import Deed, Which, retry_named
    from paysync_cli.views.retry import RetryView

    if bool(qr) == everything:
        raise UsageError(_("Name the QRs, or say --all for every failed job."))
    if error is not None and not everything:
        raise UsageError(_("--error goes with --all."))
    runtime = session.runtime
    require_known_bank(runtime.store, bank, runtime.bank_names)
    runtime.queue.refuse_foreign(runtime.database_id)
    jobs, deed = FailedJobs(runtime.queue), Deed(runtime.who, runtime.clock.now())
    if qr:
        report = retry_named(runtime.store, jobs, Which(qr, bank), deed, dry_run=dry_run)
    else:
        report = _all(session, jobs, Filter(error, bank), deed, dry_run=dry_run, yes=yes)
    unavailable = None if dry_run or not report.counts.total() else wake_workers(session)
    session.show(RetryView(report), error=_error(report, unavailable))


def _all(session: Session, jobs: FailedJobs, wanted: Filter, deed: Deed, *, dry_run: bool, yes: bool) -> RetryReport:
    from paysync_cli.services.retry import find_meant, preview, retry_all

    runtime = session.runtime
    meant = find_meant(runtime.store, jobs, wanted, total=runtime.queue.spent("failed"))
    if dry_run or not meant.matched:
        return preview(runtime.store, jobs, meant, deed, dry_run=dry_run)
    question = ngettext("Ask again now about {n} failed job?", "Ask again now about {n} failed jobs?", meant.matched)
    session.confirm(question.format(n=meant.matched), yes=yes)
    with counted(session, meant.matched, _("retrying"), _so_far) as step:
        return retry_all(runtime.store, jobs, meant, deed, clock=runtime.clock.now, progress=step)


def _so_far(done: int) -> str:
    text = ngettext("{n} failed job was retried; run it again for the rest.",
                    "{n} failed jobs were retried; run it again for the rest.", done)  # fmt: skip
    return text.format(n=done)


def _error(report: RetryReport, unavailable: PaysyncError | None) -> PaysyncError | None:
    """What was left alone, each with its fault; Redis when the workers could not be told."""
    from paysync_cli.services.retry import TROUBLE, Outcome

    faults = [fault for item in report.items if item.outcome in TROUBLE for fault in _faults(item)]
    if vanished := report.counts[Outcome.VANISHED]:
        text = ngettext("{n} failed job vanished: somebody else removed or retried it.",
                        "{n} failed jobs vanished: somebody else removed or retried them.", vanished)  # fmt: skip
        faults.append(Fault("vanished", text.format(n=vanished)))
    if report.cut:
        text = ngettext("{n} more was left alone.", "{n} more were left alone.", report.cut)
        faults.append(Fault("more_left_alone", text.format(n=report.cut)))
    if faults and report.counts[Outcome.NOT_FOUND] == report.counts.total() and unavailable is None:
        return NotFound(faults[0].message, hint=faults[0].hint, code=faults[0].code, faults=faults)
    return left_over(faults, unavailable)


def _faults(item: Item) -> list[Fault]:
    from paysync_cli.services.retry import Outcome

    if item.missing is not None:
        return list(item.missing.faults)
    if item.outcome is Outcome.HELD:
        hint = _("paysync release {qr}").format(qr=item.qr_id)
        return [Fault("held", _("{qr} is held and is not asked.").format(qr=item.qr_id), hint)]
    return [Fault("no_row", _("Job {job} names no QR of this database.").format(job=item.job_id),
                  _("`paysync purge --failed` removes failed jobs."))]  # fmt: skip
