"""RQ's command to stop one job: it ends at once, and its QR is in the plan again, however long that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import redis
from rq.command import send_stop_job_command
from rq.serializers import JSONSerializer

from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.payments.status import Priority
from paysync_cli.queue.client import Pushed, QueueClient
from paysync_cli.queue.link import Link
from paysync_cli.queue.names import QUEUE_NAMES, Ended, JobName, registry_key
from paysync_cli.queue.worker import ConcurrentWorker
from tests.line import plain_server

STOPPED, OTHER = JobName(1, 0), JobName(2, 0)
WIP = registry_key("wip", QUEUE_NAMES[0])


class Hanging:
    """Duties whose checks never end, and whose plan cannot be written the first times."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.asked: list[JobName] = []
        self.tried: list[Sequence[JobName]] = []
        self.given_back: list[JobName] = []

    async def check(self, name: JobName, queue: str) -> Ended:
        self.asked.append(name)
        await asyncio.Event().wait()
        raise AssertionError(queue)

    def wanted(self, running: int) -> int:
        return 2 - running

    def worth_taking(self) -> int:
        return 1

    def tell_when_wanted(self, tell: Callable[[], None]) -> None:
        self.tell = tell

    async def give_back(self, names: Sequence[JobName]) -> None:
        self.tried.append(names)
        if len(self.tried) <= self.away:
            raise DatabaseUnavailable("away")
        self.given_back += names

    async def done(self) -> bool:
        return False


@contextmanager
def two_jobs() -> Iterator[tuple[Link, redis.Redis]]:
    with plain_server() as port, redis.Redis(port=port) as client:
        link = Link(f"redis://127.0.0.1:{port}/0", "test")
        queue = QueueClient(link)
        queue.push("db", [Pushed(name, Priority.HIGH, name.id) for name in (STOPPED, OTHER)])
        queue.close()
        yield link, client


def worker_of(link: Link, duties: Hanging) -> ConcurrentWorker:
    return ConcurrentWorker(link, duties, grace_s=0.5, keep_finished=10, keep_failed=10, name="w")


async def stop_one(client: redis.Redis, duties: Hanging) -> None:
    """The command, again until it is obeyed: the worker listens a moment after it has taken its jobs."""
    await until(lambda: len(duties.asked) == 2)
    while not duties.tried:
        send_stop_job_command(client, STOPPED.id, serializer=JSONSerializer)
        await asyncio.sleep(0.1)


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not look():
            await asyncio.sleep(0.01)


def test_it_goes_back_to_the_plan_as_soon_as_there_is_one() -> None:
    async def test() -> None:
        running = asyncio.create_task(worker.run())
        await stop_one(client, duties)
        await until(lambda: len(duties.tried) == 2)
        assert client.zcard(WIP) == 2  # until it is in the plan it is ours: the janitor must not call it lost
        await until(lambda: client.zcard(WIP) == 1)
        assert duties.given_back == [STOPPED]
        assert client.exists(f"rq:job:{STOPPED.id}", f"rq:job:{OTHER.id}") == 1
        worker.stop()
        await running

    duties = Hanging(away=2)
    with two_jobs() as (link, client):
        worker = worker_of(link, duties)
        asyncio.run(asyncio.wait_for(test(), 30))
        assert duties.given_back == [STOPPED, OTHER]
        assert (worker.cut_short, client.zcard(WIP)) == (True, 0)


def test_a_worker_that_stops_does_not_wait_for_it_longer_than_for_others() -> None:
    async def test() -> None:
        running = asyncio.create_task(worker.run())
        await stop_one(client, duties)
        worker.stop()
        await running

    duties = Hanging(away=1_000_000)
    with two_jobs() as (link, client):
        worker = worker_of(link, duties)
        asyncio.run(asyncio.wait_for(test(), 30))
        assert (worker.cut_short, duties.given_back, client.zcard(WIP)) == (True, [], 0)
