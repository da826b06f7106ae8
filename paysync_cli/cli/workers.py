"""`paysync workers`: who works, and who only seems to. Reads only."""

from __future__ import annotations

from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.language import _


@command(
    "workers",
    help=_(
        "Show every worker: alive (it beats), stale (silent for too long: it died or hangs) or stopped (it left, or "
        "its heartbeat ran out); * marks the one that leads."
    ),
    examples=["paysync workers", ("paysync workers --csv", _("for a sheet"))],
    rows=True,
)
def workers(session: Session) -> None:
    from paysync_cli.services.workers import look
    from paysync_cli.views.workers import WorkersView

    runtime = session.runtime
    store = runtime.store  # no database at all is said before anything about Redis
    session.show(WorkersView(look(store, runtime.queue_if_running(), runtime.clock)))
