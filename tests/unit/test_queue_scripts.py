"""The server-side scripts as pure logic, on a Redis in memory: pushing, taking in order, ending, forgetting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fakeredis
import pytest

from paysync_cli.errors import RefusedError
from paysync_cli.payments.status import Priority
from paysync_cli.queue import scripts
from paysync_cli.queue.client import Pushed, QueueClient
from paysync_cli.queue.names import QUEUE_NAMES, QUEUES, TURN_KEY, JobName, registry_key

DATABASE = "0b7f0a4e-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class MemoryLink:
    """A link to a Redis that exists only in this test."""

    server: fakeredis.FakeServer
    where: str = "memory"

    def client(self, **_options: Any) -> fakeredis.FakeRedis:
        return fakeredis.FakeRedis(server=self.server)


@pytest.fixture
def memory() -> fakeredis.FakeRedis:
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())


@pytest.fixture
def queue(memory: fakeredis.FakeRedis) -> Iterator[QueueClient]:
    client = QueueClient(MemoryLink(memory.connection_pool.connection_kwargs["server"]))  # type: ignore[arg-type]
    yield client
    client.close()


def job(row: int, seq: int = 0, priority: Priority = Priority.HIGH) -> Pushed:
    return Pushed(JobName(row, seq), priority, f"QR{row}")


def claim(memory: fakeredis.FakeRedis, n: int, worker: str = "w") -> list[tuple[str, str, str, bytes | None]]:
    """(queue, id, execution, data) of the jobs taken."""
    executions = [f"{worker}{i}" for i in range(n)]
    arguments = ["rq", worker, "2031-01-01T00:00:00.000000Z", 30, n, *QUEUE_NAMES, *executions]
    taken = memory.register_script(scripts.CLAIM)(args=arguments)
    return [(queue.decode(), job_id.decode(), execution.decode(), data) for queue, job_id, execution, data in taken]


def finish(memory: fakeredis.FakeRedis, *ended: tuple[str, str, str, str], keep: int = 100) -> int:
    arguments = ["rq", "w", "2031-01-01T00:00:01.000000Z", 86400, keep, 0.5, *QUEUE_NAMES]
    for one in ended:
        arguments += one
    return int(memory.register_script(scripts.FINISH)(args=arguments))


def test_the_same_job_is_pushed_once_while_it_is_queued_or_started(
    queue: QueueClient, memory: fakeredis.FakeRedis
) -> None:
    assert queue.push(DATABASE, [job(1), job(2)]) == 2
    assert queue.push(DATABASE, [job(1), job(2), job(3)]) == 1
    claim(memory, 1)
    assert queue.push(DATABASE, [job(1)]) == 0
    assert queue.job_counts().waiting == 2


def test_a_job_whose_hash_alone_is_left_is_pushed_again(queue: QueueClient, memory: fakeredis.FakeRedis) -> None:
    queue.push(DATABASE, [job(1)])
    memory.delete(f"rq:queue:{QUEUES[Priority.HIGH]}")
    assert queue.push(DATABASE, [job(1)]) == 1


def test_another_databases_redis_is_refused(queue: QueueClient) -> None:
    queue.push(DATABASE, [job(1)])
    with pytest.raises(RefusedError):
        queue.push("another", [job(2)])
    with pytest.raises(RefusedError):
        queue.claim_database("another")
    assert queue.job_counts().waiting == 1


def test_high_before_medium_before_low_but_for_the_eighth(queue: QueueClient, memory: fakeredis.FakeRedis) -> None:
    queue.push(DATABASE, [job(n, priority=Priority.LOW) for n in range(100, 120)])
    queue.push(DATABASE, [job(n, priority=Priority.MEDIUM) for n in range(50, 70)])
    queue.push(DATABASE, [job(n) for n in range(1, 21)])
    taken = [name.rpartition("-")[2] for name, *_rest in claim(memory, 32)]
    assert [taken[n - 1] for n in (8, 16, 24, 32)] == ["medium", "low", "medium", "low"]
    others = [word for n, word in enumerate(taken, start=1) if n % 8]
    assert others == ["high"] * 20 + ["medium"] * 8
    assert memory.get(TURN_KEY) == b"32"


def test_the_turns_go_on_over_batches_and_workers(queue: QueueClient, memory: fakeredis.FakeRedis) -> None:
    queue.push(DATABASE, [job(n) for n in range(1, 30)])
    queue.push(DATABASE, [job(50, priority=Priority.LOW), job(51, priority=Priority.MEDIUM)])
    taken = [row for n in range(20) for row in claim(memory, 1, worker=f"w{n % 3}")]
    assert [job_id for _queue, job_id, *_rest in taken].index("sync-51-0") == 7
    assert [job_id for _queue, job_id, *_rest in taken].index("sync-50-0") == 15


def test_a_suspended_rq_takes_nothing(queue: QueueClient, memory: fakeredis.FakeRedis) -> None:
    queue.push(DATABASE, [job(1)])
    memory.set("rq:suspended", 1)
    assert claim(memory, 5) == []
    assert queue.job_counts().waiting == 1


def test_what_is_ended_is_kept_or_gone_and_leaves_no_execution(queue: QueueClient, memory: fakeredis.FakeRedis) -> None:
    queue.push(DATABASE, [job(1), job(2)])
    (one, two) = claim(memory, 2)
    assert finish(memory, (*one[:3], "finished"), (*two[:3], "gone")) == 2
    counts = queue.job_counts()
    assert (counts.waiting, counts.active, counts.completed) == (0, 0, 1)
    assert not memory.exists("rq:job:sync-2-0")
    assert memory.hget("rq:job:sync-1-0", "status") == b"finished"
    assert list(memory.scan_iter("rq:execution*")) == []


def test_only_the_first_end_counts(queue: QueueClient, memory: fakeredis.FakeRedis) -> None:
    queue.push(DATABASE, [job(1)])
    (one,) = claim(memory, 1)
    assert finish(memory, (*one[:3], "finished")) == 1
    assert finish(memory, (*one[:3], "gone")) == 0
    assert memory.exists("rq:job:sync-1-0")


def test_the_newest_are_kept_over_all_queues_together(queue: QueueClient, memory: fakeredis.FakeRedis) -> None:
    for n, priority in enumerate([*Priority] * 4):
        queue.push(DATABASE, [job(n, priority=priority)])
        (taken,) = claim(memory, 1)
        finish(memory, (*taken[:3], "finished"), keep=5)
    kept = [member.decode() for name in QUEUE_NAMES for member in memory.zrange(registry_key("finished", name), 0, -1)]
    assert sorted(kept) == sorted(f"sync-{n}-0" for n in range(7, 12))
    assert {key.decode() for key in memory.scan_iter("rq:job:*")} == {f"rq:job:{job_id}" for job_id in kept}


@pytest.mark.parametrize("field", ["webhooks", "success_callback_name", "failure_callback_name", "dependency_ids"])
def test_a_job_that_carries_more_than_a_check_is_handed_out_without_data(
    field: str, queue: QueueClient, memory: fakeredis.FakeRedis
) -> None:
    queue.push(DATABASE, [job(1)])
    memory.hset("rq:job:sync-1-0", field, "x")
    ((_queue, _job_id, _execution, data),) = claim(memory, 1)
    assert data is None


def test_places_and_forgetting(queue: QueueClient, memory: fakeredis.FakeRedis) -> None:
    names = [JobName(n, 0) for n in range(1, 6)]
    queue.push(DATABASE, [job(1), job(2), job(3)])
    claim(memory, 2)
    memory.zadd(registry_key("wip", QUEUE_NAMES[0]), {"sync-2-0:w1": 1})  # its lease ran out long ago
    places = queue.whereabouts(names)
    assert [places[name] for name in names] == ["started", "lost", "listed", "absent", "absent"]
    memory.delete("rq:executions:sync-2-0")  # the job's own index is gone already, as after a long outage
    queue.forget([JobName(2, 0)])
    assert queue.job_counts().active == 1
    assert queue.whereabouts(names)[names[1]] == "absent"


def test_a_lost_job_is_shown_as_failed(queue: QueueClient, memory: fakeredis.FakeRedis) -> None:
    queue.fail([(JobName(7, 3), Priority.LOW)], "the worker died")
    assert queue.job_counts().failed == 1
    assert memory.zrange(registry_key("failed", QUEUES[Priority.LOW]), 0, -1) == [b"sync-7-3"]
    assert not memory.exists("rq:worker:bystander")
    assert queue.whereabouts([JobName(7, 3)])[JobName(7, 3)] == "failed"
