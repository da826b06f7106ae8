"""A work of the worker that fails for hours: told when it begins, now and then while it lasts, and when it is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any, cast

import pytest

from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.queue import worker as workers
from paysync_cli.queue.link import Link
from paysync_cli.queue.worker import ConcurrentWorker, Duties
from paysync_cli.runtime import Runtime
from paysync_cli.services.engine import AWAY_TOLD_EVERY_S, Engine


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> ConcurrentWorker:
    monkeypatch.setattr(workers, "RECONNECT_MIN_S", 0.0001)
    monkeypatch.setattr(workers, "RECONNECT_MAX_S", 0.0002)
    return ConcurrentWorker(
        Link("redis://127.0.0.1:1/0", "nowhere"), cast("Duties", None), grace_s=1, keep_finished=1, keep_failed=1,
        name="w",
    )  # fmt: skip


def told(worker: ConcurrentWorker, answers: list[Exception | None], caplog: pytest.LogCaptureFixture) -> list[Any]:
    """What is logged while a work ends with these, one after the other."""
    caplog.set_level(logging.INFO, "paysync.worker")
    left: Iterator[Exception | None] = iter(answers)

    async def step() -> None:
        error = next(left, StopAsyncIteration())
        if isinstance(error, StopAsyncIteration):
            raise asyncio.CancelledError
        if error is not None:
            raise error

    async def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            await worker._forever("probe", step)

    asyncio.run(run())
    assert {getattr(record, "loop", None) for record in caplog.records} <= {"probe"}
    return [(getattr(record, "event_name", None), record.levelname) for record in caplog.records]


AWAY = DatabaseUnavailable("The database did not answer.")
ERROR, AGAIN = ("worker_loop_error", "WARNING"), ("worker_loop_again", "INFO")


def test_a_trouble_that_lasts_is_told_once_and_its_end_too(
    worker: ConcurrentWorker, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(worker, [None, *[AWAY] * 20, None, None, AWAY, None], caplog) == [ERROR, AGAIN, ERROR, AGAIN]


def test_another_trouble_is_told_at_once(worker: ConcurrentWorker, caplog: pytest.LogCaptureFixture) -> None:
    assert told(worker, [AWAY, AWAY, OSError("full"), OSError("full"), AWAY, None], caplog) == [*[ERROR] * 3, AGAIN]


def test_a_trouble_is_told_again_after_a_while(
    worker: ConcurrentWorker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "TELL_AGAIN_S", 0.0)
    assert told(worker, [AWAY] * 3, caplog) == [ERROR] * 3


def test_of_many_checks_that_wait_for_the_database_one_speaks(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine.__new__(Engine)
    engine._away_told_at = float("-inf")

    async def wait_together() -> None:
        await asyncio.gather(*(engine._wait_for_database(AWAY, 0.0001) for _n in range(400)))

    asyncio.run(wait_together())
    assert [record.__dict__["event_name"] for record in caplog.records] == ["database_unavailable"]
    engine._away_told_at -= AWAY_TOLD_EVERY_S
    asyncio.run(wait_together())
    assert len(caplog.records) == 2


def test_a_dispatcher_tells_its_troubles_the_same_way(caplog: pytest.LogCaptureFixture) -> None:
    runtime = Runtime.__new__(Runtime)
    runtime.__dict__["embedded"] = None
    left = iter([AWAY, AWAY, None, AWAY])

    async def step() -> float:
        error = next(left, asyncio.CancelledError())
        if error is not None:
            raise error
        return 0.0

    async def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            await runtime._patiently("sweep", step)

    asyncio.run(run())
    assert [record.__dict__["event_name"] for record in caplog.records] == ["dispatch_error"] * 2
