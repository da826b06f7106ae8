"""`paysync worker-stop`: a worker finishes what it runs and leaves, wherever it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.options import Yes
from paysync_cli.cli.session import Session
from paysync_cli.errors import ConditionNotMet, UsageError
from paysync_cli.language import _, ngettext

if TYPE_CHECKING:
    from paysync_cli.services.workers import StopReport

LEAVING_S = 30.0  # beyond the grace: a slow host, a beat on its way


@command(
    "worker-stop",
    help=_(
        "Ask a worker, through Redis, to finish what it runs and leave; wait until it has. What starts workers anew "
        "(systemd, a compose file) may start another one: stop it there. Exit 6 when one is still there at the end."
    ),
    examples=[
        ("paysync worker-stop web1-4711-a1b2c3", _("its name is shown by `paysync workers`")),
        ("paysync worker-stop --all --yes", _("before an upgrade")),
    ],
    changes=True,
)
def worker_stop(
    session: Session,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=_("The worker's name."))] = None,
    everyone: Annotated[bool, typer.Option("--all", help=_("Every worker that is alive."))] = False,
    yes: Yes = False,
) -> None:
    from paysync_cli.services import workers
    from paysync_cli.views.workers import StopView

    if bool(names) == everyone:
        raise UsageError(_("Say which worker, or --all."), hint=_("See: paysync workers"))
    runtime = session.runtime
    store = runtime.store
    queue = runtime.queue_if_running()
    seen = queue.workers(gone=True) if queue is not None else []
    chosen = [one for one in seen if one.alive] if everyone else workers.choose(seen, names or [])
    if queue is None or not chosen:
        session.show(StopView(workers.StopReport([], [], [])))
        return
    if everyone:
        question = ngettext("Stop {n} worker?", "Stop all {n} workers?", len(chosen)).format(n=len(chosen))
        session.confirm(question, yes=yes)
    with session.progress(len(chosen), _("waiting for workers to leave")) as bar:
        report = workers.stop(
            store, queue, [one.name for one in chosen], clock=runtime.clock, who=runtime.who,
            patience_s=session.settings.shutdown_grace_s + LEAVING_S, pause=time.sleep, gone=bar.advance,
        )  # fmt: skip
    session.show(StopView(report), error=_still_there(report))


def _still_there(report: StopReport) -> ConditionNotMet | None:
    left = [*report.finishing, *report.deaf]
    if not left:
        return None
    message = ngettext("{n} worker is still there: {names}.", "{n} workers are still there: {names}.", len(left))
    return ConditionNotMet(
        message.format(n=len(left), names=", ".join(left)), hint=_("Look again with: paysync workers"),
        code="workers_still_there",
    )  # fmt: skip
