"""Names that live in Redis: written once and frozen. RQ's keys are spelled as RQ 3 documents them.

A job is `sync-<row id>-<seq>`; its data is plain short JSON, readable in any Redis browser.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from paysync_cli.payments.status import Priority

PREFIX = os.environ.get("RQ_KEY_PREFIX", "rq")  # as rq itself reads it

QUEUES = {priority: f"payment-sync-{priority.value}" for priority in Priority}
QUEUE_NAMES = tuple(QUEUES.values())

TASK = "paysync_cli.tasks.check"

DATABASE_KEY = "paysync:database"  # the UUID of the database whose jobs these are
TURN_KEY = "paysync:turn"  # counts taken jobs: every eighth comes from medium and low
WAKE_CHANNEL = "paysync:wake"
WORKER_CONCURRENCY = "paysync_concurrency"  # a field that our workers add to RQ's own in their hash
FAILED_REASON = "paysync_reason"  # a field that we add to a failed job's hash: its reason, where that is short
PROBE_KEY = "paysync:doctor"  # written for a second by `paysync doctor`, to see whether Redis takes writes

REFUSED = "refused: this is not a paysync check, or its data is gone"  # the reason of a job that never ran
REFUSED_DATA = b'["refused",null,[],{}]'  # what is kept of its data

_JOB_ID = re.compile(r"sync-([0-9]{1,18})-([0-9]{1,18})", re.ASCII)
MAX_DATA_BYTES = 512
MAX_SHORT_REASON_BYTES = 500

FINISHED_TTL_S = 24 * 3600
FAILED_TTL_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class JobName:
    """What a job is about: a row and the seq it was dispatched with."""

    qr: int
    seq: int

    @property
    def id(self) -> str:
        return f"sync-{self.qr}-{self.seq}"

    @property
    def data(self) -> bytes:
        """RQ's job data, as JSON without spaces: [function, instance, args, kwargs]."""
        return f'["{TASK}",null,[{self.qr},{self.seq}],{{}}]'.encode()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended: `finished` (kept for people), `gone` (no trace), `failed` (kept, with the reason)."""

    how: str
    reason: str = ""


def parse_job(job_id: str, data: bytes | None) -> JobName | None:
    """The job's name when it is one of ours and nothing else, by exact match; None otherwise."""
    match = _JOB_ID.fullmatch(job_id)
    if match is None or data is None or len(data) > MAX_DATA_BYTES:
        return None
    name = JobName(int(match[1]), int(match[2]))
    return name if data == name.data else None


def parse_id(job_id: str) -> JobName | None:
    """The name that a job id spells; None for ids that are not ours."""
    match = _JOB_ID.fullmatch(job_id)
    return JobName(int(match[1]), int(match[2])) if match else None


def queue_key(queue: str) -> str:
    return f"{PREFIX}:queue:{queue}"


def registry_key(kind: str, queue: str) -> str:
    """`kind` is wip, finished or failed."""
    return f"{PREFIX}:{kind}:{queue}"


def job_key(job_id: str) -> str:
    return f"{PREFIX}:job:{job_id}"


def now_text() -> str:
    """This moment as RQ writes it into its hashes."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
