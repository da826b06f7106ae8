"""`paysync cleanup`: what cron runs. One at a time, by its own lock."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paysync_cli.cli.changes import counted
from paysync_cli.cli.command import command
from paysync_cli.cli.options import DryRun, read_duration
from paysync_cli.cli.session import Session
from paysync_cli.errors import RedisUnavailable, TryLater, UsageError
from paysync_cli.language import _, ngettext

if TYPE_CHECKING:
    from paysync_cli.queue.client import QueueClient


@command(
    "cleanup",
    help=_(
        "Remove what is past its time: spent jobs beyond PAYSYNC_KEEP_COMPLETED and _KEEP_FAILED or older than "
        "24 hours (failed: 7 days), and check records of final QRs. Checks that got lost are planned again. "
        "QRs, movements, reviews and transitions stay. The worker's leader does it daily too."
    ),
    examples=[
        ("paysync cleanup --dry-run", _("how much would go")),
        ("paysync cleanup --skip-if-locked --quiet", _("for cron")),
        ("paysync cleanup --status", _("when it ran last")),
    ],
    changes=lambda given: not given["status"],
    cron=True,
)
def cleanup(
    session: Session,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help=_("Check records of final QRs older than this go."))
    ] = "30d",
    status: Annotated[bool, typer.Option("--status", help=_("Show the last run and change nothing."))] = False,
    dry_run: DryRun = False,
    skip_if_locked: Annotated[
        bool, typer.Option("--skip-if-locked", help=_("Exit 0 instead of 75 while another cleanup runs."))
    ] = False,
) -> None:
    from paysync_cli.views.cleanup import CleanupSkippedView

    age_s = read_duration(older_than, "--older-than")
    if age_s < 0:
        raise UsageError(_("--older-than must not be negative."))
    if status and dry_run:
        raise UsageError(_("--status and --dry-run exclude each other."))
    if status:
        session.pings = False
        _show_last(session)
    elif dry_run:
        _show_preview(session, timedelta(seconds=age_s))
    else:
        try:
            _run(session, timedelta(seconds=age_s))
        except TryLater as locked:
            if not skip_if_locked:
                raise
            session.pings = False  # the run that holds the lock tells of its own success
            session.show(CleanupSkippedView(locked.message))


def _show_last(session: Session) -> None:
    from paysync_cli.services.cleanup import last_cleanup
    from paysync_cli.views.cleanup import LastCleanupView

    runtime = session.runtime
    session.show(LastCleanupView(last_cleanup(runtime.store, runtime.clock.now())))


def _show_preview(session: Session, older_than: timedelta) -> None:
    from paysync_cli.services.cleanup import preview_cleanup
    from paysync_cli.views.cleanup import CleanupView

    report = preview_cleanup(session.runtime.store, _queue(session, start=False), **_measures(session, older_than))
    session.show(CleanupView(report), error=report.redis_error)


def _run(session: Session, older_than: timedelta) -> None:
    from paysync_cli.services.cleanup import cleanup as clean_up
    from paysync_cli.services.sync import Judge
    from paysync_cli.views.cleanup import CleanupView

    runtime = session.runtime
    measures = _measures(session, older_than)
    judge = Judge(runtime.rhythms, measures["now"], random.random)
    queue = _queue(session, start=True)
    with counted(session, None, _("cleaning up"), _so_far) as step:
        report = clean_up(runtime.store, queue, judge=judge, owner=runtime.who, progress=step, **measures)
    session.show(CleanupView(report), error=report.redis_error)


def _measures(session: Session, older_than: timedelta) -> dict[str, Any]:
    """What the dry run and the real run share."""
    from paysync_cli.services.janitor import PATIENCE_S

    runtime, settings = session.runtime, session.settings
    return {
        "now": runtime.clock.now(),
        "older_than": older_than,
        "keep_completed": settings.keep_completed,
        "keep_failed": settings.keep_failed,
        "patience": runtime.clock.span(PATIENCE_S),
    }


def _queue(session: Session, *, start: bool) -> QueueClient | RedisUnavailable | None:
    """The queues, or the error when Redis is down: the database is cleaned all the same."""
    runtime = session.runtime
    try:
        queue = runtime.queue if start else runtime.queue_if_running()
        if queue is not None:
            queue.refuse_foreign(runtime.database_id)
    except RedisUnavailable as error:
        return error
    return queue


def _so_far(removed: int) -> str:
    text = ngettext("{n} record was removed; run it again for the rest.",
                    "{n} records were removed; run it again for the rest.", removed)  # fmt: skip
    return text.format(n=removed)
