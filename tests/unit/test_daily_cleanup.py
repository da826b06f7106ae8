"""The daily cleanup: one a day, however many workers there are and however often they are replaced."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, cast

import fakeredis
import pytest

from paysync_cli.queue.client import QueueClient
from paysync_cli.services.cleanup import cleanup
from paysync_cli.services.sync import Judge
from paysync_cli.services.worker import Leading
from paysync_cli.store import history
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database
from tests.core import LA_PAZ

NIGHT = datetime(2031, 6, 14, 6, 0, tzinfo=UTC)  # two o'clock in La Paz
HOUR = timedelta(hours=1)


@dataclass
class HandSet:
    """A clock that shows what it is told."""

    shown: datetime

    def now(self) -> datetime:
        return self.shown

    def span(self, real_s: float) -> timedelta:
        return timedelta(seconds=real_s)


class MemoryLink:
    where = "memory"

    def client(self, **_options: Any) -> fakeredis.FakeRedis:
        return fakeredis.FakeRedis()


@pytest.fixture
def queue() -> Iterator[QueueClient]:
    made = QueueClient(cast("Any", MemoryLink()))
    yield made
    made.close()


class Town:
    """Workers that share a database; each may lead. `cleaned` are the moments of the cleanups."""

    def __init__(self, store: Database, queue: QueueClient) -> None:
        self.store, self.queue, self.clock = store, queue, HandSet(NIGHT - HOUR)
        self.cleaned: list[datetime] = []

    def worker(self, name: str, at: time | None = time(2, 0)) -> Leading:
        return Leading(self.store, self.queue, cast("Clock", self.clock), {}, name, self.clean, at, LA_PAZ)

    def clean(self, now: datetime) -> None:
        judge, month = Judge({}, now, random.random), timedelta(days=30)
        cleanup(self.store, None, now=now, older_than=month, keep_completed=9, keep_failed=9, judge=judge, owner="w")
        self.cleaned.append(now)

    def live(self, span: timedelta, *workers: Leading) -> None:
        end = self.clock.shown + span
        while self.clock.shown < end:
            for worker in workers:
                worker.round()
            self.clock.shown += HOUR


@pytest.fixture
def town(sqlite_store: Database, queue: QueueClient) -> Town:
    with sqlite_store.write() as tx:
        history.record_run(tx, "cleanup", NIGHT - 24 * HOUR, "ok", {})
    return Town(sqlite_store, queue)


def test_three_workers_clean_up_once_a_day_at_the_banks_hour(town: Town) -> None:
    town.live(50 * HOUR, *(town.worker(f"w{n}") for n in range(3)))
    assert town.cleaned == [NIGHT, NIGHT + 24 * HOUR, NIGHT + 48 * HOUR]


def test_workers_replaced_every_hour_clean_up_once_a_day_too(town: Town) -> None:
    for n in range(30):
        workers = [town.worker(f"release{n}-{i}") for i in range(3)]
        town.live(HOUR, *workers)
        if n % 2:
            for worker in workers:
                worker.resign()
    assert town.cleaned == [NIGHT, NIGHT + 24 * HOUR]


def test_a_night_without_workers_is_made_up_for_in_the_morning(town: Town) -> None:
    town.clock.shown = NIGHT + 5 * HOUR
    town.live(HOUR, town.worker("w"))
    assert town.cleaned == [NIGHT + 5 * HOUR]


def test_off_is_off(town: Town) -> None:
    town.live(26 * HOUR, town.worker("w", None))
    assert town.cleaned == []
