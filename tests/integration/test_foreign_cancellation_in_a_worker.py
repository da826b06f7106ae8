"""A cancellation that is not ours ends its job like any other error: it neither stays running nor blocks the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import redis

from paysync_cli.payments.status import Priority
from paysync_cli.queue.client import Pushed, QueueClient
from paysync_cli.queue.link import Link
from paysync_cli.queue.names import QUEUE_NAMES, Ended, JobName, registry_key
from paysync_cli.queue.worker import ConcurrentWorker
from tests.line import plain_server


class Cancelling:
    """Duties whose check is cancelled by some library below it."""

    async def check(self, name: JobName, queue: str) -> Ended:
        raise asyncio.CancelledError

    def wanted(self, running: int) -> int:
        return 2 - running

    def worth_taking(self) -> int:
        return 1

    def tell_when_wanted(self, tell: Callable[[], None]) -> None:
        self.tell = tell

    async def give_back(self, names: Sequence[JobName]) -> None:
        raise AssertionError(names)

    async def done(self) -> bool:
        return True


def test_a_library_that_cancels_fails_its_job_and_the_burst_ends() -> None:
    with plain_server() as port, redis.Redis(port=port) as client:
        link = Link(f"redis://127.0.0.1:{port}/0", "test")
        queue = QueueClient(link)
        queue.push("db", [Pushed(JobName(row, 0), Priority.HIGH, f"QR{row}") for row in (1, 2, 3)])
        worker = ConcurrentWorker(link, Cancelling(), grace_s=1, keep_finished=10, keep_failed=10, name="w")
        asyncio.run(asyncio.wait_for(worker.run(burst=True), 20))
        assert (worker.ended, worker.cut_short, worker.stopped_by) == (3, False, "nothing is due")
        failed = client.zrange(registry_key("failed", QUEUE_NAMES[0]), 0, -1)
        assert sorted(failed) == [b"sync-1-0", b"sync-2-0", b"sync-3-0"]
        assert client.zcard(registry_key("wip", QUEUE_NAMES[0])) == 0
        queue.close()
