"""The duties of a worker between its job and its written end: places, slots, a database that comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from paysync_cli.banks.base import Unavailable
from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.payments.qr import Answer, Ask, Qr
from paysync_cli.payments.status import PlanState
from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.embedded import Endpoint
from paysync_cli.queue.gate import BankGate, Wish
from paysync_cli.queue.names import Ended, JobName
from paysync_cli.services import engine as engines
from paysync_cli.services import sync
from paysync_cli.services.engine import Engine, OpenBank
from paysync_cli.services.gate import Desk, Gate, Limits
from paysync_cli.services.slots import Room
from paysync_cli.services.stopped import Stopped
from paysync_cli.store import banks as bank_rows
from paysync_cli.store import history, qrs
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database, Tx
from tests.books import add_qr, link
from tests.core import PROFILE, RHYTHM, ScriptedBank, says
from tests.embedded import flush, private_server

PLACES = 10


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with private_server() as endpoint:
        yield endpoint


@pytest.fixture
def queue(server: Endpoint) -> Iterator[QueueClient]:
    flush(server)
    made = QueueClient(link(server.url(reveal=True)))
    yield made
    made.close()


class HangingBank(ScriptedBank):
    """Answers nobody until it is told to."""

    def __init__(self, name: str = "sim") -> None:
        super().__init__(profile=replace(PROFILE, name=name))
        self.open = asyncio.Event()

    async def check(self, ask: Ask) -> Answer:
        self.asked.append(ask.qr_id)
        await self.open.wait()
        return says("unpaid")


def engine_of(store: Database, *banks: Any, gate: BankGate | None = None, concurrency: int = 1) -> Engine:
    start = datetime.now(UTC)
    clock = Clock(start, start, 1.0)
    opened = {bank.profile.name: OpenBank(bank, "certification", RHYTHM) for bank in banks}
    limits = {name: Limits("certification", 1e6, PLACES) for name in opened}
    stopped = Stopped(store, dict.fromkeys(opened, "certification"), clock)
    return Engine(
        store, opened, clock, stopped, Gate(gate, store, Desk(store, limits, clock), clock), concurrency=concurrency
    )


def run(engine: Engine, test: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(30):
            await test()

    try:
        asyncio.run(within())
    finally:
        engine.close()


def checks_of(engine: Engine, *rows: Qr) -> list[asyncio.Task[Ended]]:
    return [asyncio.create_task(engine.check(JobName(qr.id, qr.plan.seq), "payments-low")) for qr in rows]


def queued(store: Database, *qr_ids: str, **fields: Any) -> list[Qr]:
    return [add_qr(store, qr_id, state="queued", **fields) for qr_id in qr_ids]


def look(store: Database, qr: Qr) -> Qr:
    with store.read() as tx:
        return qrs.load(tx, [qr.id])[qr.id]


async def until(look: Callable[[], bool]) -> None:
    while not look():
        await asyncio.sleep(0.005)


# -- places and slots


def test_whoever_has_no_slot_soon_holds_no_place(sqlite_store: Database, queue: QueueClient) -> None:
    """Two slots, a slow bank, many jobs made ready: the other places are for other workers."""
    rows, gate = queued(sqlite_store, *(f"QR{n}" for n in range(20))), BankGate(queue)

    async def test() -> None:
        bank.open.clear()
        checks = checks_of(engine, *rows)
        await until(lambda: len(bank.asked) == 2)
        await asyncio.sleep(0.3)
        assert gate.look(["sim"])["sim"].in_flight == 2
        assert len(bank.asked) == 2
        bank.open.set()
        assert {ended.how for ended in await asyncio.gather(*checks)} == {"finished"}
        assert gate.look(["sim"])["sim"].in_flight == 0

    bank = HangingBank()
    engine = engine_of(sqlite_store, bank, gate=gate, concurrency=2)
    run(engine, test)


def test_a_bank_whose_places_are_taken_keeps_no_other_waiting(sqlite_store: Database, queue: QueueClient) -> None:
    """Somebody else has all its places: its jobs wait outside of the slots."""
    gate = BankGate(queue)
    gate.enter([Wish("sim", f"theirs{n}", 1e6, PLACES) for n in range(PLACES)])
    full = queued(sqlite_store, *(f"QR{n}" for n in range(8)))
    (other,) = queued(sqlite_store, "OTHER", bank="other")

    async def test() -> None:
        waiting = checks_of(engine, *full)
        await asyncio.sleep(0.1)
        (asked,) = checks_of(engine, other)
        assert (await asked).how == "finished"
        assert sim.asked == []
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
        assert gate.look(["sim"])["sim"].in_flight == PLACES

    sim, second = ScriptedBank(), ScriptedBank({"OTHER": [says("unpaid")]}, profile=replace(PROFILE, name="other"))
    engine = engine_of(sqlite_store, sim, second, gate=gate, concurrency=2)
    run(engine, test)


def test_a_bank_paused_while_its_jobs_waited_is_not_asked(sqlite_store: Database, queue: QueueClient) -> None:
    rows = queued(sqlite_store, "QR1", "QR2")

    async def test() -> None:
        checks = checks_of(engine, *rows)
        await until(lambda: len(bank.asked) == 1)
        with sqlite_store.write() as tx:
            bank_rows.change(tx, "sim", "certification", paused_at=datetime.now(UTC), paused_by="ana")
        engine._gate.desk._read_at = float("-inf")
        engine._gate.desk.refresh()
        bank.open.set()
        assert sorted(ended.how for ended in await asyncio.gather(*checks)) == ["finished", "gone"]
        assert len(bank.asked) == 1

    bank = HangingBank()
    engine = engine_of(sqlite_store, bank, gate=BankGate(queue))
    run(engine, test)
    assert [look(sqlite_store, qr).plan.state for qr in rows] == [PlanState.PLANNED] * 2


def test_room_is_given_first_come_first_served_and_never_lost() -> None:
    async def test() -> None:
        ahead, order = 0, list[int]()
        room = Room(2, lambda: ahead)

        async def go(n: int) -> None:
            await room.enter()
            order.append(n)

        tasks = [asyncio.create_task(go(n)) for n in range(7)]
        await asyncio.sleep(0)
        assert order == [0, 1]
        room.leave()
        tasks[2].cancel()  # it was let in and does not know it yet
        tasks[4].cancel()  # it waits
        await asyncio.wait(tasks[2:5], timeout=5)
        assert order == [0, 1, 3]
        ahead = 1
        room.leave()
        await asyncio.sleep(0)
        assert order == [0, 1, 3, 5, 6]

    asyncio.run(asyncio.wait_for(test(), 10))


# -- a database that comes and goes


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch, store: Database) -> Iterator[list[str]]:
    """Nothing can be written; what was tried."""
    tried: list[str] = []

    def write() -> Any:
        tried.append("write")
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", write)
        yield tried


def test_giving_back_waits_for_the_database(sqlite_store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of a paused bank goes back to the plan as soon as there is one; its worker keeps it until then."""
    (qr,) = queued(sqlite_store, "QR1")
    with sqlite_store.write() as tx:
        bank_rows.change(tx, "sim", "certification", paused_at=datetime.now(UTC), paused_by="ana")

    async def test() -> None:
        with away(monkeypatch, sqlite_store) as tried:
            (check,) = checks_of(engine, qr)
            await until(lambda: len(tried) >= 2)
            assert not check.done()
            assert look(sqlite_store, qr).plan.state is PlanState.QUEUED
        assert await check == Ended("gone")

    engine = engine_of(sqlite_store, ScriptedBank())
    run(engine, test)
    assert look(sqlite_store, qr).plan == replace(qr.plan, state=PlanState.PLANNED)


@pytest.mark.parametrize(
    ("said", "attempts", "ended"),
    [
        (Unavailable("down"), 0, Ended("gone", "down")),
        (Unavailable("down"), 2, Ended("failed", "down")),
        (says("unpaid"), 0, Ended("finished")),
    ],
)
def test_a_commit_whose_answer_was_lost_ends_the_job_as_it_was_written(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch, said: Answer | Exception, attempts: int, ended: Ended
) -> None:
    """The group is repeated, and finds its rows written already: by itself."""
    (qr,) = queued(sqlite_store, "QR1", attempts=attempts)
    write, commits = sqlite_store.write, list[str]()

    @contextmanager
    def lost_once() -> Iterator[Tx]:
        with write() as tx:
            yield tx
        commits.append("commit")
        if len(commits) == 1:
            raise DatabaseUnavailable("the line went dead after COMMIT")

    monkeypatch.setattr(sqlite_store, "write", lost_once)

    async def test() -> None:
        (check,) = checks_of(engine, qr)
        assert await check == ended

    engine = engine_of(sqlite_store, ScriptedBank({"QR1": [said]}))
    run(engine, test)
    assert len(commits) == 2
    with sqlite_store.read() as tx:
        assert len(history.story(tx, qr.id).checks) == 1


# -- what another session keeps locked


def test_a_row_that_another_session_keeps_locked_holds_up_only_its_own_check(
    postgres_store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's forgotten transaction: all others are written, new jobs are taken, and it is written at its end."""
    monkeypatch.setattr(sync, "LOCK_WAIT_S", 0.1)
    with postgres_store.write() as tx:
        tx.execute(text("ALTER ROLE paysync SET lock_timeout = '200ms'"))
    postgres_store.engine.dispose()
    rows = queued(postgres_store, *(f"QR{n}" for n in range(4)))
    engine = engine_of(postgres_store, ScriptedBank({qr.qr_id: [says("unpaid")] for qr in rows}), concurrency=4)

    async def test() -> None:
        with postgres_store.engine.connect() as forgotten:
            forgotten.execute(text("SELECT * FROM paysync_qrs WHERE qr_id = 'QR1' FOR UPDATE"))
            checks = checks_of(engine, *rows)
            for check in (checks[0], checks[2], checks[3]):
                assert await check == Ended("finished")
            monkeypatch.setattr(engines, "WRITE_LATE_S", 0.0)  # not for this one: it waits for a person
            assert engine.wanted(1) >= 4
            await asyncio.sleep(1.0)
            assert not checks[1].done()
        assert await checks[1] == Ended("finished")

    try:
        run(engine, test)
    finally:
        with postgres_store.write() as tx:
            tx.execute(text("ALTER ROLE paysync RESET lock_timeout"))


def test_no_jobs_are_taken_while_answers_wait_too_long_to_be_written(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engines, "WRITE_LATE_S", 0.05)
    (qr,) = queued(sqlite_store, "QR1")
    engine = engine_of(sqlite_store, ScriptedBank({"QR1": [says("unpaid")]}), concurrency=4)

    async def test() -> None:
        with away(monkeypatch, sqlite_store):
            (check,) = checks_of(engine, qr)
            await until(lambda: engine.wanted(1) == 0)
            assert engine.wanted(1) == 0
        assert await check == Ended("finished")
        assert engine.wanted(0) >= 4

    run(engine, test)
    assert [getattr(line, "event_name", None) for line in caplog.records].count("writes_late") == 1
