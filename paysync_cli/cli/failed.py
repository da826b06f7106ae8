"""`paysync failed`: jobs that were given up, and why."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.options import After, Limit, OnlyBank
from paysync_cli.cli.paging import next_command, tell_next
from paysync_cli.cli.session import Session
from paysync_cli.errors import UsageError
from paysync_cli.language import _

PAGE = 50


@command(
    "failed",
    help=_(
        "Failed jobs, the newest first: checks that were given up after their last attempt, each with its reason. "
        "Their QRs are in their normal plan and are asked again anyway; `paysync retry` asks now."
    ),
    examples=[
        ("paysync failed --group-by error", _("what went wrong, and how often")),
        ("paysync failed --bank baneco", _("of one bank")),
        ('paysync failed --error "timed out" --csv > failed.csv', _("for a spreadsheet")),
    ],
    rows=True,
)
def failed(
    session: Session,
    group_by: Annotated[
        Literal["error"] | None, typer.Option("--group-by", help=_("One row for each error, with its count."))
    ] = None,
    error: Annotated[
        str | None, typer.Option("--error", metavar="TEXT", help=_("Only those whose reason holds TEXT."))
    ] = None,
    bank: OnlyBank = None,
    limit: Limit = PAGE,
    after: After = None,
) -> None:
    from paysync_cli.queue.failed import FailedJobs
    from paysync_cli.services.failed import Filter, group_failed, list_failed
    from paysync_cli.services.named_bank import require_known_bank
    from paysync_cli.views.failed import FailedGroupsView, FailedView

    if group_by is not None and after is not None:
        raise UsageError(_("--group-by shows all groups: --after does not go with it."))
    runtime = session.runtime
    store = runtime.store
    require_known_bank(store, bank, runtime.bank_names)
    queue = runtime.queue
    queue.refuse_foreign(runtime.database_id)
    jobs, wanted, total = FailedJobs(queue), Filter(error, bank), queue.spent("failed")
    if group_by is not None:
        session.show(FailedGroupsView(group_failed(store, jobs, wanted, total=total)))
        return
    report = list_failed(store, jobs, wanted, total=total, limit=limit, after=after)
    options = {"--error": error, "--bank": bank, "--limit": None if limit == PAGE else limit}
    more = next_command("failed", options, report.next)
    session.show(FailedView(report, more))
    tell_next(session, more)
