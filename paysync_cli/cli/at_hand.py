"""Redis for commands that only look: nothing is written to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paysync_cli.cli.session import Session
from paysync_cli.errors import PaysyncError

if TYPE_CHECKING:
    from paysync_cli.queue.client import QueueClient


def queue_at_hand(session: Session, *, kept_jobs: bool = False) -> QueueClient | PaysyncError | None:
    """The queues of this database; None when the embedded server does not run; the error when Redis is down, or is
    another database's.

    With `kept_jobs` an embedded server that has run before is woken for the question: it keeps the completed and
    failed jobs on disk, and counting none would be wrong.
    """
    runtime = session.runtime
    try:
        asleep = kept_jobs and runtime.embedded is not None and runtime.embedded.has_run
        queue = runtime.queue if asleep else runtime.queue_if_running()
        if queue is not None:
            queue.refuse_foreign(runtime.database_id)
    except PaysyncError as error:
        return error
    return queue
