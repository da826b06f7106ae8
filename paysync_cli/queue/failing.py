"""Keeping a failed job, the way RQ's own worker does: in its failed registry, with the reason as result."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from paysync_cli.queue.names import FAILED_REASON, FAILED_TTL_S, MAX_SHORT_REASON_BYTES


def keep_failed(
    worker: BaseWorker, job_id: str, queue_name: str, execution_id: str | None, reason: str, data: bytes
) -> None:
    """Move the job to its queue's failed registry; `execution_id` is the execution that ends with it.

    The job is rebuilt, never read: what stands in its hash beside the data must not be obeyed.
    Raises ValueError for an id that RQ does not accept, redis.ResponseError for keys of another type.
    """
    connection = worker.connection
    queue = Queue(queue_name, connection=connection, serializer=JSONSerializer)
    job = _FailedJob(job_id, reason, connection)
    job.data = data
    job.origin, job.failure_ttl = queue_name, FAILED_TTL_S
    job.created_at = job.started_at = job.ended_at = datetime.now(UTC)
    execution = None
    if execution_id is not None:
        execution = Execution(execution_id, job_id, connection, worker_name=worker.name)
        execution.created_at = job.started_at
    connection.delete(job.key)
    worker.handle_job_failure(job, queue, exc_string=reason, execution=execution)


class _FailedJob(Job):
    """Keeps a short reason in its hash too: counting 200,000 reasons there takes a quarter of the time."""

    def __init__(self, job_id: str, reason: str, connection: redis.Redis) -> None:
        super().__init__(job_id, connection=connection, serializer=JSONSerializer())
        self._reason = reason

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, Any]:
        fields: dict[str, Any] = super().to_dict(include_meta, include_result)
        if len(self._reason.encode()) <= MAX_SHORT_REASON_BYTES:
            fields[FAILED_REASON] = self._reason
        return fields


class Bystander(BaseWorker):
    """Fails jobs of a worker that is gone: counts nothing for itself, is never registered."""

    def __init__(self, connection: redis.Redis) -> None:
        super().__init__([], "bystander", connection=connection, prepare_for_work=False, serializer=JSONSerializer)

    def _set_connection(self, connection: redis.Redis) -> redis.Redis:
        """RQ would raise the socket time-out to minutes for its blocking pop."""
        return connection

    def increment_failed_job_count(self, pipeline: Any = None) -> None:
        """Nobody's."""

    def increment_total_working_time(self, job_execution_time: timedelta, pipeline: Any) -> None:
        """Nobody's."""
