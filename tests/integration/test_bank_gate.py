"""The gate before each bank: its rate, its places, its breaker, shared by all workers over a real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from paysync_cli.banks.base import Throttled, Unreadable
from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.payments.qr import Answer, Ask
from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.embedded import Endpoint
from paysync_cli.queue.gate import FAILURES_TO_OPEN, BankGate, Kept, Left, Wish, Word
from paysync_cli.queue.link import Link
from paysync_cli.services.gate import Closed, Desk, Gate, Limits, Stay, gated
from paysync_cli.store import alerts
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database
from tests.books import new_database
from tests.core import NOW, PROFILE
from tests.embedded import ask, flush, private_server

FAST = 1000.0  # of the clock: what takes 30 s takes 30 ms
QUESTION = Ask("QR1", "BOB", False, NOW, None)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with private_server() as server:
        yield server


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[QueueClient]:
    flush(endpoint)
    queue = QueueClient(Link(endpoint.url(reveal=True), "here"))
    yield queue
    queue.close()


def wish(token: str, *, bank: str = "a", rate: float = 10.0, concurrency: int = 100, booked: bool = False) -> Wish:
    return Wish(bank, token, rate, concurrency, booked)


def words(gate: BankGate, *wishes: Wish) -> list[Word]:
    return [verdict.word for verdict in gate.enter(wishes)]


def test_the_rate_is_one_for_all_workers(client: QueueClient, endpoint: Endpoint) -> None:
    one, other = BankGate(client), BankGate(QueueClient(Link(endpoint.url(reveal=True), "there")))
    # Ten a second, a quarter of a second's worth at once: two go, the others get their turns one after the other.
    verdicts = [*one.enter([wish(f"1{n}") for n in range(3)]), *other.enter([wish(f"2{n}") for n in range(3)])]
    assert [verdict.word for verdict in verdicts] == [Word.GO, Word.GO, *[Word.LATER] * 4]
    waits = [verdict.wait_s for verdict in verdicts[2:]]
    assert waits == sorted(waits)
    assert all(0 < wait <= 0.1 * turn + 0.001 for turn, wait in enumerate(waits, start=1))
    assert all(after - before > 0.05 for before, after in pairwise(waits))


def test_a_turn_once_taken_is_not_taken_again(client: QueueClient) -> None:
    gate = BankGate(client)
    gate.enter([wish(f"t{n}") for n in range(9)])
    assert words(gate, wish("t8", booked=True)) == [Word.GO]


def test_too_far_behind_takes_no_turn(client: QueueClient) -> None:
    gate = BankGate(client)
    verdicts = gate.enter([wish(f"t{n}", rate=1.0) for n in range(10)])
    behind = [verdict for verdict in verdicts if verdict.word is Word.BEHIND]
    assert behind
    assert len({round(verdict.wait_s, 3) for verdict in behind}) == 1
    assert all(verdict.wait_s > 5 for verdict in behind)


def test_banks_do_not_share_a_rate(client: QueueClient) -> None:
    gate = BankGate(client)
    gate.enter([wish(f"t{n}") for n in range(20)])
    assert words(gate, wish("x", bank="b")) == [Word.GO]


def test_places_in_flight_are_counted_and_given_back(client: QueueClient) -> None:
    gate = BankGate(client)
    many = [wish(f"t{n}", rate=1e6, concurrency=3) for n in range(5)]
    assert words(gate, *many) == [Word.GO] * 3 + [Word.FULL] * 2
    assert gate.look(["a"])["a"].in_flight == 3
    gate.leave([Left("a", "t0", False)])
    assert words(gate, wish("t3", rate=1e6, concurrency=3)) == [Word.GO]


def test_a_place_of_a_dead_worker_ends_by_itself(client: QueueClient, endpoint: Endpoint) -> None:
    gate = BankGate(client)
    words(gate, wish("t0", concurrency=1))
    assert words(gate, wish("t1", concurrency=1, booked=True)) == [Word.FULL]
    ask(endpoint, "ZADD", "paysync:bank:a:flight", 1, "t0")  # its lease ran out long ago
    assert words(gate, wish("t1", concurrency=1, booked=True)) == [Word.GO]


def test_a_place_that_is_kept_does_not_end(client: QueueClient) -> None:
    gate = BankGate(client, lease_s=0.4)
    assert words(gate, wish("t0", concurrency=1)) == [Word.GO]
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        gate.keep([Kept("a", "t0")])
        assert words(gate, wish("t1", concurrency=1, booked=True)) == [Word.FULL]
        time.sleep(0.02)
    time.sleep(0.5)
    assert words(gate, wish("t1", concurrency=1, booked=True)) == [Word.GO]


def test_a_place_that_redis_forgot_is_taken_again(client: QueueClient, endpoint: Endpoint) -> None:
    gate = BankGate(client)
    words(gate, wish("t0", concurrency=1))
    flush(endpoint)
    gate.keep([Kept("a", "t0")])
    assert words(gate, wish("t1", concurrency=1)) == [Word.FULL]


def fail(gate: BankGate, n: int) -> list[str]:
    return [bank for one in range(n) for bank in gate.leave([Left("a", f"f{one}", True)])]


def test_the_breaker_opens_after_failures_in_a_row_and_says_so_once(client: QueueClient) -> None:
    gate = BankGate(client)
    assert fail(gate, FAILURES_TO_OPEN - 1) == []
    gate.leave([Left("a", "x", False)])  # any readable answer begins the count anew
    assert fail(gate, FAILURES_TO_OPEN - 1) == []
    assert fail(gate, 3) == ["a"]
    (verdict,) = gate.enter([wish("t")])
    assert verdict.word is Word.OPEN
    assert 20 < verdict.wait_s <= 30
    assert words(gate, wish("t", bank="b")) == [Word.GO]


def test_a_question_of_which_nothing_is_known_neither_counts_nor_forgets(client: QueueClient) -> None:
    gate = BankGate(client)
    assert fail(gate, FAILURES_TO_OPEN - 1) == []
    assert gate.leave([Left("a", "cancelled", None)] * 9) == []
    assert gate.look(["a"])["a"].failures == FAILURES_TO_OPEN - 1
    assert fail(gate, 1) == ["a"]


def test_more_places_than_lua_gives_a_call(client: QueueClient) -> None:
    gate, many = BankGate(client), [f"t{n}" for n in range(9000)]
    wishes = [wish(token, rate=1e9, concurrency=len(many)) for token in many]
    assert set(words(gate, *wishes)) == {Word.GO}
    gate.keep([Kept("a", token) for token in many])
    assert gate.look(["a"])["a"].in_flight == len(many)
    gate.leave([Left("a", token, False) for token in many])
    assert gate.look(["a"])["a"].in_flight == 0


def test_one_probe_at_a_time_and_only_when_it_is_time(client: QueueClient, endpoint: Endpoint) -> None:
    gate = BankGate(client)
    assert not gate.may_probe("a", "p")  # closed: nothing to probe
    fail(gate, FAILURES_TO_OPEN)
    assert not gate.may_probe("a", "p")
    ask(endpoint, "HSET", "paysync:bank:a:breaker", "opens_until", 1)
    assert gate.may_probe("a", "p1")
    assert not gate.may_probe("a", "p2")
    gate.probed("a", "p2", failed=False)  # not the holder: says nothing
    assert gate.look(["a"])["a"].state == "open"
    gate.probed("a", "p1", failed=True)
    assert not gate.may_probe("a", "p3")
    opens_in = gate.look(["a"])["a"].opens_in_s
    assert opens_in is not None
    assert 50 < opens_in <= 60  # doubled


def test_the_wait_for_probes_doubles_to_five_minutes(client: QueueClient, endpoint: Endpoint) -> None:
    gate = BankGate(client)
    fail(gate, FAILURES_TO_OPEN)
    waits = []
    for _n in range(6):
        ask(endpoint, "HSET", "paysync:bank:a:breaker", "opens_until", 1)
        assert gate.may_probe("a", "p")
        gate.probed("a", "p", failed=True)
        waits.append(round(float(ask(endpoint, "HGET", "paysync:bank:a:breaker", "wait_s"))))
    assert waits == [60, 120, 240, 300, 300, 300]


def test_after_an_outage_the_rate_starts_at_one_and_doubles(client: QueueClient, endpoint: Endpoint) -> None:
    gate = BankGate(client)
    fail(gate, FAILURES_TO_OPEN)
    ask(endpoint, "HSET", "paysync:bank:a:breaker", "opens_until", 1)
    assert gate.may_probe("a", "p")
    gate.probed("a", "p", failed=False)
    seen = gate.look(["a"])["a"]
    assert (seen.state, seen.failures, seen.ramp_per_s) == ("closed", 0, 1.0)
    assert words(gate, *(wish(f"t{n}", rate=1000.0) for n in range(3))) == [Word.GO, Word.LATER, Word.LATER]
    for age, ramp in ((1.5, 2.0), (3.5, 8.0), (9.5, 512.0), (11.5, None)):
        ask(endpoint, "HSET", "paysync:bank:a:breaker", "closed_at", str(time.time() - age))
        assert gate.look(["a"])["a"].ramp_per_s == ramp


def test_a_compressed_clock_compresses_the_gate(client: QueueClient) -> None:
    gate = BankGate(client, FAST)
    assert words(gate, *(wish(f"t{n}", concurrency=1000) for n in range(200))) == [Word.GO] * 200
    fail(gate, FAILURES_TO_OPEN)
    opens_in = gate.look(["a"])["a"].opens_in_s
    assert opens_in is not None
    assert opens_in <= 0.03


def test_redis_wiped_forgets_and_goes_on(client: QueueClient, endpoint: Endpoint) -> None:
    gate = BankGate(client)
    fail(gate, FAILURES_TO_OPEN)
    flush(endpoint)
    assert words(gate, wish("t")) == [Word.GO]
    assert gate.leave([Left("a", "never-entered", False)]) == []


def test_a_bank_that_asks_us_to_wait_is_left_alone_by_all(client: QueueClient, endpoint: Endpoint) -> None:
    gate = BankGate(client)
    gate.leave([Left("a", "t", False, hold_s=40.0), Left("a", "t", False, hold_s=5.0)])
    (verdict,) = gate.enter([wish("u")])
    assert verdict.word is Word.OPEN
    assert 35 < verdict.wait_s <= 40  # the longer one counts
    assert gate.look(["a"])["a"].state == "held"
    assert not gate.may_probe("a", "p")  # it is not broken
    ask(endpoint, "HSET", "paysync:bank:a:breaker", "hold_until", 1)
    assert words(gate, wish("u")) == [Word.GO]


# -- a question inside the gate


def test_a_long_question_keeps_its_place(client: QueueClient, tmp_path: Path) -> None:
    """It lasts three times as long as a place is leased for, and nobody else gets in."""

    async def ask_long(gate: Gate, rival: BankGate) -> set[Word]:
        async with gate.question("a"):
            seen, end = set(), time.monotonic() + 2.4
            while time.monotonic() < end:
                seen |= set(words(rival, wish("rival", concurrency=1, booked=True)))
                await asyncio.sleep(0.02)
        return seen

    rival = BankGate(client)
    assert asyncio.run(ask_long(gate_of(client, tmp_path, lease_s=0.8), rival)) == {Word.FULL}
    assert words(rival, wish("rival", concurrency=1, booked=True)) == [Word.GO]


def test_a_question_is_cut_off_before_somebody_else_has_its_place(
    client: QueueClient, endpoint: Endpoint, tmp_path: Path
) -> None:
    """Redis gives no answer: the place cannot be kept."""

    async def ask_for_ever(gate: Gate) -> None:
        async with gate.question("a"):
            entered.append(time.monotonic())
            ask(endpoint, "CLIENT", "PAUSE", 5000, "WRITE")
            try:
                await asyncio.sleep(60)
            finally:
                cut_off.append(time.monotonic())

    entered, cut_off = list[float](), list[float]()
    with pytest.raises(Closed, match="place_lost"):
        asyncio.run(ask_for_ever(gate_of(client, tmp_path, lease_s=4.0)))
    assert 2.0 < cut_off[0] - entered[0] < 4.0


@pytest.mark.parametrize("moment", ["on its way", "not sent yet"])
def test_a_wish_that_is_cancelled_keeps_no_place(
    client: QueueClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The gate may let it in at the very moment at which nobody wants to enter any more."""
    gate = gate_of(client, tmp_path, lease_s=30.0)
    passes: list[int] = []

    def slowly(kept: Any, left: Any, wishes: Any) -> Any:
        passes.append(len(wishes))
        time.sleep(0.1)
        return through(kept, left, wishes)

    through = gate._gate.through  # type: ignore[union-attr]
    monkeypatch.setattr(gate._gate, "through", slowly)

    async def cancel_one() -> int:
        if moment == "not sent yet":
            gate._through.submit(Stay(()))  # a pass under way: the wish and its end go with the next one
            await asyncio.sleep(0.05)
        asking = asyncio.create_task(ask_once(gate))
        await asyncio.sleep(0.02)
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()
        return BankGate(client).look(["a"])["a"].in_flight

    assert asyncio.run(cancel_one()) == 0
    assert passes == ([1, 0] if moment == "on its way" else [0, 0])


def test_only_an_answer_forgets_the_failures(client: QueueClient, tmp_path: Path, endpoint: Endpoint) -> None:
    """Neither a question that was cancelled, nor one whose place was lost, nor one that was never sent."""
    gate = gate_of(client, tmp_path, lease_s=4.0)
    fail(BankGate(client), FAILURES_TO_OPEN - 1)

    async def cut_off() -> None:
        asking = asyncio.create_task(ask_for_ever(gate))
        await asyncio.sleep(0.2)
        asking.cancel()
        await asyncio.wait({asking})

    async def ask_for_ever(gate: Gate) -> None:
        async with gate.question("a"):
            await asyncio.sleep(60)

    asyncio.run(cut_off())
    assert failures_of(client) == FAILURES_TO_OPEN - 1
    with pytest.raises(Throttled):
        asyncio.run(gated(TooEarly(), gate).check(QUESTION))
    assert failures_of(client) == FAILURES_TO_OPEN - 1
    with pytest.raises(ZeroDivisionError):
        asyncio.run(gated(Buggy(), gate).check(QUESTION))
    assert failures_of(client) == FAILURES_TO_OPEN - 1
    ask(endpoint, "HDEL", "paysync:bank:a:breaker", "hold_until")
    with pytest.raises(Unreadable):
        asyncio.run(gated(Garbling(), gate).check(QUESTION))
    assert failures_of(client) == 0


def failures_of(client: QueueClient) -> int:
    return BankGate(client).look(["a"])["a"].failures


class TooEarly:
    """Not the moment for a login: nothing is sent."""

    profile = replace(PROFILE, name="a")

    async def check(self, _ask: Ask) -> Answer:
        raise Throttled("the next login in a minute", 0.01, asked=False)


class Buggy(TooEarly):
    async def check(self, _ask: Ask) -> Answer:
        raise ZeroDivisionError


class Garbling(TooEarly):
    async def check(self, _ask: Ask) -> Answer:
        raise Unreadable("HTML")


def test_without_the_word_of_sql_nobody_enters_and_whoever_is_inside_may_leave(
    client: QueueClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause or a stopped credential stands there; the question waits, and is no failed attempt."""
    gate = gate_of(client, tmp_path, lease_s=30.0)

    async def ask_with_sql_away() -> list[str]:
        story = []
        async with gate.question("a"):
            away(True)
        story.append(f"left, {BankGate(client).look(['a'])['a'].in_flight} in flight")
        second = asyncio.create_task(ask_once(gate))
        await asyncio.sleep(0.8)
        story.append("waits" if not second.done() else "asked")
        away(False)
        await second
        return [*story, "asked"]

    def away(is_away: bool) -> None:
        monkeypatch.setattr(gate.desk, "refresh", unavailable if is_away else lambda: None)

    assert asyncio.run(ask_with_sql_away()) == ["left, 0 in flight", "waits", "asked"]


def test_the_alert_of_an_open_breaker_waits_for_sql(
    client: QueueClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = gate_of(client, tmp_path, lease_s=30.0)
    store = Database(f"sqlite:///{tmp_path / 'paysync.db'}")

    def alerted() -> list[str]:
        with store.read() as tx:
            return [alert.kind for alert in alerts.list_alerts(tx)]

    with monkeypatch.context() as patched:
        patched.setattr(gate._store, "write", unavailable)
        for _n in range(FAILURES_TO_OPEN):
            asyncio.run(ask_once(gate, failed=True))
    assert alerted() == []
    with pytest.raises(Closed, match="breaker_open"):
        asyncio.run(ask_once(gate))
    assert alerted() == ["breaker_open"]
    store.close()


async def ask_once(gate: Gate, *, failed: bool = False) -> None:
    async with gate.question("a") as reaction:
        reaction.failed = failed


def unavailable() -> Any:
    raise DatabaseUnavailable("away")


def gate_of(client: QueueClient, home: Path, *, lease_s: float) -> Gate:
    """The way of one process to a bank that answers one question at a time."""
    store, start = new_database(home), datetime.now(UTC)
    clock = Clock(start, start, 1.0)
    desk = Desk(store, {"a": Limits("certification", 1000.0, 1)}, clock)
    return Gate(BankGate(client, lease_s=lease_s), store, desk, clock)
