"""`paysync purge`: spent RQ jobs go, in small steps. It never asks: nothing of value can go."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from paysync_cli.cli.changes import counted
from paysync_cli.cli.command import command
from paysync_cli.cli.options import DryRun, read_duration
from paysync_cli.cli.session import Session
from paysync_cli.errors import UsageError
from paysync_cli.language import _, ngettext


@command(
    "purge",
    help=_(
        "Remove spent jobs from Redis, in small steps. QRs, movements and plans are in the database and stay. "
        "--all is completed and failed together; --keep counts each kind by itself, over all queues."
    ),
    examples=[
        ("paysync purge --failed --dry-run", _("how many would go")),
        ("paysync purge --completed --keep 100", _("all but the newest hundred")),
        ("paysync purge --all --older-than 7d", _("what ended more than a week ago")),
    ],
    changes=True,
    cron=True,
)
def purge(
    session: Session,
    completed: Annotated[bool, typer.Option("--completed", help=_("Jobs that were done."))] = False,
    failed: Annotated[bool, typer.Option("--failed", help=_("Jobs that were given up."))] = False,
    everything: Annotated[bool, typer.Option("--all", help=_("Both."))] = False,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="TIME", help=_("Only those that ended longer ago (7d)."))
    ] = None,
    keep: Annotated[int, typer.Option("--keep", metavar="N", min=0, help=_("Keep the newest N of each kind."))] = 0,
    dry_run: DryRun = False,
) -> None:
    from paysync_cli.services.purge import Wish, find_spent, preview
    from paysync_cli.services.purge import purge as remove
    from paysync_cli.views.purge import PurgeView

    kinds = [kind for kind, wanted in (("completed", completed or everything), ("failed", failed or everything))
             if wanted]  # fmt: skip
    if not kinds:
        raise UsageError(_("Say which jobs: --completed, --failed or --all."))
    age_s = None if older_than is None else read_duration(older_than, "--older-than")
    if age_s is not None and age_s < 0:
        raise UsageError(_("--older-than must not be negative."))
    runtime = session.runtime
    store, queue = runtime.store, runtime.queue
    queue.refuse_foreign(runtime.database_id)
    found = find_spent(queue, Wish(kinds, None if age_s is None else timedelta(seconds=age_s), keep))
    if dry_run:
        session.show(PurgeView(preview(found)))
        return
    total = sum(spent.matched for spent in found)
    with counted(session, total, _("removing jobs"), _so_far) as step:
        report = remove(store, queue, found, now=runtime.clock.now(), who=runtime.who, progress=step)
    session.show(PurgeView(report))


def _so_far(removed: int) -> str:
    text = ngettext("{n} job was removed; run it again for the rest.",
                    "{n} jobs were removed; run it again for the rest.", removed)  # fmt: skip
    return text.format(n=removed)
