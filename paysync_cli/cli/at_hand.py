"""Redis for commands that only look: as it is, never started, never written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paysync_cli.cli.session import Session
from paysync_cli.errors import PaysyncError

if TYPE_CHECKING:
    from paysync_cli.queue.client import QueueClient


def queue_at_hand(session: Session) -> QueueClient | PaysyncError | None:
    """The queues of this database; None when the embedded server does not run; the error when Redis is down, or is
    another database's.
    """
    runtime = session.runtime
    try:
        queue = runtime.queue_if_running()
        if queue is not None:
            queue.refuse_foreign(runtime.database_id)
    except PaysyncError as error:
        return error
    return queue
