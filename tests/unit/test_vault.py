"""The login guard of an installation: one login for all, a stop that holds for all, nothing readable in Redis."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from paysync_cli.banks.base import BankError, Discarded, Refused, Throttled, Unavailable
from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.queue import vault as redis_vault
from paysync_cli.queue.embedded import Endpoint
from paysync_cli.queue.vault import Turn
from paysync_cli.services import gate
from paysync_cli.services.unlock import unlock
from paysync_cli.store import alerts, banks, history
from paysync_cli.store.database import Database
from paysync_cli.store.tables import audit
from tests.books import NOW, new_database
from tests.embedded import flush, private_server, until
from tests.simulated import AES_KEY, PASSWORD
from tests.vaults import BANK, CANARY_TOKEN, ENVIRONMENT, BankOffice, House, Worker, call, outcome

TOKEN, LEASE, WAIT = (f"paysync:bank:{BANK}:{what}" for what in ("token", "login", "login-wait"))


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with private_server() as endpoint:
        yield endpoint


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def house(server: Endpoint, store: Database) -> Iterator[House]:
    flush(server)
    with contextlib.closing(House(store, server.url(reveal=True))) as house:
        yield house


@pytest.fixture
def fast_house(server: Endpoint, store: Database) -> Iterator[House]:
    """A minute of its clock lasts 20 ms."""
    flush(server)
    with contextlib.closing(House(store, server.url(reveal=True), speed=3000)) as house:
        yield house


@pytest.fixture
def raw(server: Endpoint) -> Iterator[redis.Redis]:
    with contextlib.closing(redis.Redis.from_url(server.url(reveal=True))) as client:
        yield client


def run(use: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await use

    return asyncio.run(main())


# -- one login for all --------------------------------------------------------------------------------------------


def test_two_workers_with_fifty_checks_each_make_one_login(house: House) -> None:
    house.office.delay_s = 0.1
    workers = [house.worker(), house.worker()]

    async def use() -> set[str]:
        return set(await asyncio.gather(*(worker.session.token() for worker in workers for _n in range(50))))

    assert len(run(use())) == 1
    assert house.office.logins == 1


def test_a_worker_that_comes_later_finds_the_token(house: House) -> None:
    first = run(house.worker().session.token())
    assert run(house.worker().session.token()) == first
    assert house.office.logins == 1


def test_a_token_that_hardly_ends_is_shared_too(house: House) -> None:
    house.office.lifetime_s = 90 * 86400.0
    assert len({run(house.worker().session.token()) for _n in range(3)}) == 1
    assert house.office.logins == 1


def test_a_login_that_fails_makes_all_workers_wait(house: House) -> None:
    house.office.answer = lambda _n: Unavailable("no")
    workers = [house.worker() for _n in range(3)]

    async def use() -> list[str]:
        return [await outcome(worker.session.token()) for worker in workers + workers]

    assert run(use()) == ["unavailable", "throttled", "throttled", "throttled", "throttled", "throttled"]
    assert house.office.logins == 1
    assert house.alerts() == [("bank_unavailable", 1)]
    assert house.state() is None  # an outage stops nothing


def test_the_wait_grows_over_all_workers_and_a_token_ends_it(fast_house: House) -> None:
    shelves = [fast_house.worker().shelf for _n in range(2)]

    def next_turn(n: int) -> float:
        def turn() -> Any:
            taken = shelves[n % 2].take(f"owner{n}", 60, 900)
            return taken if taken.turn is Turn.GO else None

        wait_s: float = until(turn).wait_s
        assert shelves[n % 2].fail(f"owner{n}") <= wait_s
        return wait_s

    assert [round(next_turn(n)) for n in range(7)] == [60, 120, 240, 480, 900, 900, 900]
    worker = fast_house.worker()
    until(lambda: run(outcome(_anew(worker))) == "ok")
    run(worker.vault.discard(run(worker.session.token()), again=False))
    assert next_turn(0) == pytest.approx(60)


async def _anew(worker: Worker) -> str:
    worker.forget_copies()
    return await worker.session.token()


def test_a_retry_after_holds_for_the_other_workers(house: House) -> None:
    house.office.answer = lambda _n: Throttled("slowly", 600)
    run(outcome(house.worker().session.token()))
    with pytest.raises(Throttled) as caught:
        run(house.worker().session.token())
    assert 590 < (caught.value.retry_after_s or 0) <= 600
    assert house.office.logins == 1


def test_the_wait_outlives_a_flush_in_the_worker_that_failed(house: House, raw: redis.Redis) -> None:
    house.office.answer = lambda _n: Unavailable("no")
    worker = house.worker()
    run(outcome(worker.session.token()))
    raw.flushall()
    worker.forget_copies()
    assert run(outcome(worker.session.token())) == "throttled"
    assert house.office.logins == 1


def test_a_killed_login_frees_its_turn_by_time(fast_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_vault, "LOGIN_LEASE_S", 0.3)
    killed, other = fast_house.worker(), fast_house.worker()
    assert killed.shelf.take("killed", 60, 900).turn is Turn.GO
    assert other.shelf.take("other", 60, 900).turn is Turn.BUSY
    until(lambda: run(outcome(_anew(other))) == "ok")
    assert fast_house.office.logins == 1


def test_whoever_lost_its_turn_ends_nobody_elses(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = house.worker().shelf, house.worker().shelf
    monkeypatch.setattr(redis_vault, "LOGIN_LEASE_S", 0.05)
    one.take("stopped for a while", 0.001, 0.001)
    monkeypatch.setattr(redis_vault, "LOGIN_LEASE_S", 45.0)
    until(lambda: other.take("next", 0.001, 0.001).turn is Turn.GO)
    one.fail("stopped for a while")
    assert one.take("third", 60, 900).turn is Turn.BUSY
    token = redis_vault.ShelvedToken("ab", b"sealed", 100, 200, on_trial=False)
    assert one.store("stopped for a while", token) is None
    assert one.read()[0] is None
    assert other.store("next", token) is False


def test_while_one_renews_early_the_others_use_the_old_token(house: House) -> None:
    renewing, other = house.worker(), house.worker()
    renewing.shelf.take("somebody", 60, 900)
    seal = renewing.vault._seal
    due = redis_vault.ShelvedToken(seal.mark("old"), seal.close("old"), 0.0, 1000.0, on_trial=False)
    assert renewing.shelf.store("somebody", due) is False
    house.office.delay_s = 600.0

    async def use() -> list[str]:
        renewal = asyncio.create_task(renewing.session.token())
        await until_async(lambda: house.office.in_flight == 1)
        found = await asyncio.gather(*(other.session.token() for _n in range(20)))
        renewal.cancel()
        await asyncio.gather(renewal, return_exceptions=True)
        return found

    assert set(run(use())) == {"old"}
    assert house.office.logins == 1


async def until_async(look: Callable[[], bool]) -> None:
    while not look():
        await asyncio.sleep(0.01)


# -- rejected tokens ----------------------------------------------------------------------------------------------


def test_a_401_discards_only_the_token_it_was_sent_with(house: House) -> None:
    one, other = house.worker(), house.worker()

    async def use() -> None:
        old = await one.session.token()
        await other.session.token()
        await other.session.rejected(old, again=False)
        new = await other.session.token()
        assert new != old
        await one.session.rejected(old, again=False)  # a late one
        assert await one.session.token() == new
        assert await house.worker().session.token() == new

    run(use())
    assert house.office.logins == 2


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_401_for_ever_with_five_workers_makes_two_logins_and_one_alert(house: House, delay_s: float) -> None:
    house.office.delay_s = delay_s
    workers = [house.worker() for _n in range(5)]

    async def use() -> list[str]:
        return await asyncio.gather(*(call(worker, lambda _t: False) for worker in workers for _n in range(20)))

    assert set(run(use())) == {"refused"}
    assert house.office.logins == 2
    assert house.alerts() == [("credential_stopped", 1)]
    state = house.state()
    assert state is not None
    assert state.stop_reason == "HTTP 401 to a fresh token"
    assert run(outcome(house.worker().session.token())) == "refused"
    assert house.office.logins == 2


def test_one_dead_token_costs_one_login_for_five_workers(house: House) -> None:
    workers = [house.worker() for _n in range(5)]

    async def use() -> list[str]:
        dead = await workers[0].session.token()
        return await asyncio.gather(*(call(w, lambda token: token != dead) for w in workers for _n in range(20)))

    assert set(run(use())) == {"ok"}
    assert house.office.logins == 2
    assert house.state() is None


def test_a_token_accepted_by_one_worker_is_off_trial_for_all(house: House) -> None:
    one, other = house.worker(), house.worker()

    async def use() -> list[str]:
        first = await one.session.token()
        await one.session.rejected(first, again=False)
        second = await one.session.token()
        await other.session.token()
        await one.session.accepted(second)
        # Hours later it dies in the hands of the other one, which never saw it accepted: no refusal.
        return [await call(other, lambda token: token != second)]

    assert run(use()) == ["ok"]
    assert house.state() is None
    assert house.office.logins == 3


def test_a_token_that_follows_another_workers_rejection_is_on_trial_for_all(house: House) -> None:
    one, other, third = house.worker(), house.worker(), house.worker()

    async def use() -> None:
        await one.session.rejected(await one.session.token(), again=False)
        fresh = await other.session.token()
        assert await third.session.token() == fresh
        with pytest.raises(Refused):
            await third.session.rejected(fresh, again=False)

    run(use())
    assert house.office.logins == 2


def test_nobody_logs_in_between_a_rejected_fresh_token_and_its_stop(house: House) -> None:
    one, other = house.worker(), house.worker()

    async def use() -> None:
        first = await one.session.token()
        await one.session.rejected(first, again=False)
        second = await one.session.token()
        assert await one.vault.discard(second, again=True) is Discarded.GONE_ON_TRIAL
        waiting = asyncio.create_task(other.session.token())
        # It looked at SQL, which does not know the stop yet, and is at the lease now.
        for _n in range(20):
            await asyncio.sleep(0.01)
        await one.vault.stop("HTTP 401 to a fresh token")
        with pytest.raises(Refused):
            await waiting

    run(use())
    assert house.office.logins == 2


def test_a_late_401_does_not_stop_an_unlocked_credential_again(house: House) -> None:
    one, late = house.worker(), house.worker()

    async def use() -> None:
        first = await one.session.token()
        await one.session.rejected(first, again=False)
        second = await one.session.token()
        await late.session.token()
        with pytest.raises(Refused):
            await one.session.rejected(second, again=False)
        unlock(house.store, BANK, ENVIRONMENT, reason="mended", who="ana", now=house.clock.now())
        one.forget_copies()
        late.forget_copies()
        late.stopped.refresh()
        third = await one.session.token()
        assert await outcome(late.session.rejected(second, again=True)) == "throttled"
        assert await late.session.token() == third

    run(use())
    state = house.state()
    assert state is not None
    assert state.stopped_at is None


# -- refused logins -----------------------------------------------------------------------------------------------


def test_a_refused_login_stops_every_worker_at_once(house: House) -> None:
    house.office.answer = lambda _n: Refused("HTTP 200: login refused")
    workers = [house.worker() for _n in range(5)]
    for worker in workers:
        worker.stopped.refresh()  # what they know is fresh, and wrong in a moment

    async def use() -> list[str]:
        return await asyncio.gather(*(outcome(worker.session.token()) for worker in workers for _n in range(20)))

    assert set(run(use())) == {"refused"}
    assert house.office.logins == 1
    assert house.alerts() == [("credential_stopped", 1)]


def test_only_an_unlock_lets_them_log_in_again_and_at_once(house: House, raw: redis.Redis) -> None:
    house.office.answer = lambda n: Refused("no") if n == 1 else "token"
    worker = house.worker()
    assert run(outcome(worker.session.token())) == "refused"
    raw.flushall()
    changed = house.worker(password="another")  # a person must say so: the bank may have locked the user
    assert [run(outcome(one.session.token())) for one in (worker, changed)] == ["refused", "refused"]
    assert house.office.logins == 1
    report = unlock(house.store, BANK, ENVIRONMENT, reason="mended", who="ana", now=house.clock.now())
    assert (report.was_stopped, report.stop_reason) == (True, "no")
    worker.forget_copies()
    assert run(outcome(worker.session.token())) == "ok"  # no wait is left of the refused login
    assert house.office.logins == 2
    with house.store.read() as tx:
        (row,) = tx.execute(audit.select()).all()
    assert (row.who, row.action, row.object, row.reason) == ("ana", "unlock", BANK, "mended")
    assert "no" in row.detail
    again = unlock(house.store, BANK, ENVIRONMENT, reason="mended", who="ana", now=house.clock.now())
    assert not again.was_stopped


def test_a_valid_token_is_not_used_after_a_stop(house: House) -> None:
    house.office.lifetime_s = 5.0
    one, other = house.worker(), house.worker()
    run(one.session.token())
    run(other.session.token())
    with house.store.write() as tx:
        banks.stop_credential(tx, BANK, ENVIRONMENT, "by hand", house.clock.now())
    other.forget_copies()
    assert run(outcome(other.session.token())) == "refused"


@pytest.mark.parametrize("redis", [True, False])
def test_sql_is_read_before_each_login_however_fresh_the_memory(house: House, redis: bool) -> None:
    worker = house.worker(waits=False, redis=redis)
    worker.stopped.refresh()
    with house.store.write() as tx:
        banks.stop_credential(tx, BANK, ENVIRONMENT, "no", house.clock.now())
    worker.stopped._read_at = float("inf")  # it will not look by itself
    assert run(outcome(worker.session.token())) == "refused"
    assert house.office.logins == 0


def test_an_old_refusal_told_again_stops_nothing(house: House) -> None:
    worker = house.worker()
    with house.store.write() as tx:
        banks.stop_credential(tx, BANK, ENVIRONMENT, "no", house.clock.now())
    with pytest.raises(Refused) as caught:
        run(worker.session.token())
    unlock(house.store, BANK, ENVIRONMENT, reason="mended", who="ana", now=house.clock.now())
    worker.stopped.heed(BANK, caught.value.message)
    assert house.state().stopped_at is None  # type: ignore[union-attr]
    worker.stopped.heed(BANK, "an adapter of its own kind was refused")
    assert house.state().stop_reason == "an adapter of its own kind was refused"  # type: ignore[union-attr]


def test_a_paused_bank_is_not_logged_in_to(house: House) -> None:
    with house.store.write() as tx:
        until_at = house.clock.now() + timedelta(minutes=3)
        banks.change(tx, BANK, ENVIRONMENT, paused_at=house.clock.now(), paused_until=until_at)
    worker = house.worker()
    with pytest.raises(Throttled) as caught:
        run(worker.session.token())
    assert (caught.value.asked, caught.value.retry_after_s) == (False, 5)
    assert house.office.logins == 0
    with house.store.write() as tx:
        banks.change(tx, BANK, ENVIRONMENT, paused_at=None, paused_until=None)
    assert run(outcome(_anew(worker))) == "ok"


# -- Redis or SQL away --------------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    return f"unix://{tmp_path}/nobody.sock"


def test_without_redis_a_worker_waits_and_a_command_goes_on_alone(house: House, nowhere: str) -> None:
    worker = house.worker(url=nowhere)
    assert run(outcome(worker.session.token())) == "throttled"
    assert house.office.logins == 0
    for command in (house.worker(waits=False, url=nowhere), house.worker(waits=False, redis=False)):
        before = house.office.logins

        async def use(command: Worker = command) -> None:
            first = await command.session.token()
            assert await command.session.token() == first
            await command.session.accepted(first)
            assert await call(command, lambda token: token != first) == "ok"

        run(use())
        assert house.office.logins == before + 2


def test_a_command_alone_stops_the_credential_for_all(house: House) -> None:
    house.office.answer = lambda _n: Refused("no")
    command = house.worker(waits=False, redis=False)
    assert run(outcome(command.session.token())) == "refused"
    assert run(outcome(command.session.token())) == "refused"
    assert run(outcome(house.worker().session.token())) == "refused"
    assert house.office.logins == 1
    assert house.alerts() == [("credential_stopped", 1)]


def test_a_redis_that_forgets_costs_no_login_while_the_copy_lasts(house: House, raw: redis.Redis) -> None:
    worker = house.worker()
    token = run(worker.session.token())
    raw.flushall()
    worker.forget_copies()
    assert run(worker.session.token()) == token
    assert house.office.logins == 1


def test_a_copy_is_dropped_once_another_worker_saw_it_rejected(house: House) -> None:
    one, other = house.worker(), house.worker()

    async def use() -> None:
        token = await one.session.token()
        await other.session.token()
        await one.session.rejected(token, again=False)
        other.forget_copies()
        assert await other.vault.read() is None

    run(use())


class Outage:
    """A database that does not take, or does not give."""

    def __init__(self, store: Database, monkeypatch: pytest.MonkeyPatch, *ways: str) -> None:
        self.lasts = True
        for way in ways:
            monkeypatch.setattr(store, way, self._cut(getattr(store, way)))

    def _cut(self, way: Callable[[], Any]) -> Callable[[], Any]:
        @contextlib.contextmanager
        def cut() -> Iterator[Any]:
            if self.lasts:
                raise DatabaseUnavailable("the database is away")
            with way() as tx:
                yield tx

        return cut


def test_a_stop_that_sql_cannot_take_holds_here_and_is_written_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.office.answer = lambda _n: Refused("no")
    worker, other = house.worker(), house.worker()
    outage = Outage(house.store, monkeypatch, "write")
    assert [run(outcome(worker.session.token())) for _n in range(3)] == ["refused"] * 3
    assert run(outcome(other.session.token())) == "throttled"  # Redis makes it wait meanwhile
    assert house.office.logins == 1
    outage.lasts = False
    until(lambda: house.alerts() == [("credential_stopped", 1)])
    state = house.state()
    assert state is not None
    assert state.stop_reason == "no"
    other.forget_copies()
    assert run(outcome(other.session.token())) == "refused"
    assert house.office.logins == 1


def test_a_stop_not_written_yet_is_written_at_the_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paysync_cli.services.stopped.RETRY_MIN_S", 3600.0)
    house.office.answer = lambda _n: Refused("no")
    worker = house.worker()
    outage = Outage(house.store, monkeypatch, "write")
    run(outcome(worker.session.token()))
    outage.lasts = False
    worker.stopped.close()
    assert house.alerts() == [("credential_stopped", 1)]


def test_nobody_logs_in_while_sql_does_not_answer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = house.worker()
    outage = Outage(house.store, monkeypatch, "read")
    assert run(outcome(worker.session.token())) == "throttled"
    assert house.office.logins == 0
    outage.lasts = False
    worker.forget_copies()
    assert run(outcome(worker.session.token())) == "ok"


# -- what lies in Redis -------------------------------------------------------------------------------------------


def wrong_types(raw: redis.Redis) -> None:
    raw.delete(TOKEN, LEASE, WAIT)
    raw.set(TOKEN, "x")
    raw.hset(LEASE, "a", "b")
    raw.set(WAIT, "x")


def _field(raw: redis.Redis) -> tuple[bytes, bytes]:
    ((name, value),) = raw.hgetall(TOKEN).items()  # type: ignore[union-attr]
    return name, value


def flipped(raw: redis.Redis) -> None:
    name, value = _field(raw)
    raw.hset(TOKEN, name, value[:-6] + (b"AAAAA=" if not value.endswith(b"AAAAA=") else b"BBBBB="))


def no_base64(raw: redis.Redis) -> None:
    name, value = _field(raw)
    raw.hset(TOKEN, name, value.rsplit(b" ", 1)[0] + b" \xff\xfe!!")


def empty_sealed(raw: redis.Redis) -> None:
    name, value = _field(raw)
    raw.hset(TOKEN, name, value.rsplit(b" ", 1)[0] + b" AAAA")


def another_mark(raw: redis.Redis) -> None:
    name, value = _field(raw)
    raw.hset(TOKEN, name, b"ab" + value[2:] if not value.startswith(b"ab") else b"cd" + value[2:])


def no_fields(raw: redis.Redis) -> None:
    raw.hset(TOKEN, _field(raw)[0], b"nonsense")


def far_ends(raw: redis.Redis) -> None:
    name, value = _field(raw)
    mark, _refresh, _ends, trial, sealed = value.split(b" ")
    raw.hset(TOKEN, name, b" ".join([mark, b"9" * 400 + b".0", b"9" * 400 + b".0", trial, sealed]))


def a_lease_for_ever(raw: redis.Redis) -> None:
    raw.delete(TOKEN)
    raw.set(LEASE, "nobody")


def a_wait_for_ever(raw: redis.Redis) -> None:
    raw.delete(TOKEN)
    raw.hset(WAIT, mapping={"next_at": "99999999999", "failures": "nan"})


def strange_waits(raw: redis.Redis) -> None:
    raw.delete(TOKEN)
    raw.hset(WAIT, mapping={"next_at": "inf", "failures": "1e400"})


def text_waits(raw: redis.Redis) -> None:
    raw.delete(TOKEN)
    raw.hset(WAIT, mapping={"next_at": "soon", "failures": "-5"})


DAMAGES = [wrong_types, flipped, no_base64, empty_sealed, another_mark, no_fields, far_ends, a_lease_for_ever,
           a_wait_for_ever, strange_waits, text_waits]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_ours_counts_as_absent(house: House, raw: redis.Redis, damage: Callable[[Any], None]) -> None:
    run(house.worker().session.token())
    damage(raw)
    newcomer = house.worker()
    assert run(newcomer.session.token()) == f"{CANARY_TOKEN}-2"
    assert run(house.worker().session.token()) == f"{CANARY_TOKEN}-2"
    assert house.office.logins == 2
    assert house.state() is None


def test_another_credentials_token_is_not_taken_for_ours(house: House, raw: redis.Redis) -> None:
    run(house.worker(password="theirs").session.token())
    ours = house.worker()
    (_theirs, value) = _field(raw)
    raw.hset(TOKEN, ours.vault._seal.fingerprint, value)
    assert run(ours.session.token()) == f"{CANARY_TOKEN}-2"


@pytest.mark.parametrize("changed", [{"password": "new"}, {"username": "new"}, {"aes_key": "n" * 32}])
def test_a_changed_credential_neither_uses_nor_loses_the_other_ones_token(
    house: House, changed: dict[str, str]
) -> None:
    """While workers are restarted one by one both are in use: no login ping-pong."""
    old, new = house.worker(), house.worker(**changed)
    first, second = run(old.session.token()), run(new.session.token())
    assert first != second
    for _n in range(3):
        old.forget_copies()
        new.forget_copies()
        assert (run(old.session.token()), run(new.session.token())) == (first, second)
    assert run(house.worker().session.token()) == first
    assert house.office.logins == 2


def test_no_secret_is_readable_in_redis_logs_or_sql(
    house: House, raw: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    worker, seen = house.worker(), []

    def look() -> None:
        for key in raw.scan_iter("*"):
            seen.append(key + b" " + (raw.dump(key) or b""))  # type: ignore[operator]
            assert raw.ttl(key) > 0 or not key.startswith(b"paysync:bank:"), key  # type: ignore[operator]

    async def use() -> None:
        token = await worker.session.token()
        look()
        await worker.session.rejected(token, again=False)
        look()
        token = await worker.session.token()
        look()
        with pytest.raises(Refused):
            await worker.session.rejected(token, again=True)
        look()

    run(use())
    house.office.answer = lambda _n: Unavailable("no")
    with house.store.write() as tx:
        banks.unlock(tx, BANK, ENVIRONMENT, now=house.clock.now(), who="ana", reason="mended")
    worker.forget_copies()
    run(outcome(worker.session.token()))
    look()
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    logs = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    told = b"".join(seen) + files + logs.encode() + repr(vars(worker.vault)).encode()
    assert f"paysync:bank:{BANK}:token".encode() in told
    for secret in (PASSWORD, AES_KEY, CANARY_TOKEN):
        assert secret.encode() not in told


# -- SQL's part ---------------------------------------------------------------------------------------------------


def test_a_stop_is_written_once_with_one_alert(any_store: Database) -> None:
    def stop() -> None:
        with any_store.write() as tx:
            found.append(banks.stop_credential(tx, BANK, ENVIRONMENT, "no", NOW))

    found: list[bool] = []
    threads = [threading.Thread(target=stop) for _n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False] * 7 + [True]
    with any_store.read() as tx:
        (alert,) = alerts.list_alerts(tx)
        assert (alert.kind.value, alert.count, alert.bucket) == ("credential_stopped", 1, NOW.isoformat())
        assert banks.state(tx, BANK, "production") is None
    later = NOW + timedelta(hours=1)
    with any_store.write() as tx:
        assert banks.unlock(tx, BANK, ENVIRONMENT, now=later, who="ana", reason="why") is not None
        assert banks.unlock(tx, BANK, ENVIRONMENT, now=later, who="ana", reason="why") is None
        assert banks.stop_credential(tx, BANK, ENVIRONMENT, "again", later)
    with any_store.read() as tx:
        assert len(alerts.list_alerts(tx)) == 2
        assert len(tx.execute(audit.select()).all()) == 1


def test_stop_and_alert_are_one_transaction(store: Database) -> None:
    class Cut(Exception):
        pass

    def stop_and_fail() -> None:
        with store.write() as tx:
            banks.stop_credential(tx, BANK, ENVIRONMENT, "no", NOW)
            raise Cut

    with pytest.raises(Cut):
        stop_and_fail()
    with store.read() as tx:
        assert (banks.states(tx), alerts.list_alerts(tx)) == ([], [])


def test_the_salt_is_made_once(any_store: Database) -> None:
    from paysync_cli.store.salt import vault_salt

    first = vault_salt(any_store)
    assert len(first) == 32
    assert vault_salt(any_store) == first
    with any_store.read() as tx:
        assert history.read_meta(tx, "vault_salt") == first.hex()


def test_an_error_of_the_adapter_frees_the_turn(house: House) -> None:
    def broken(_n: int) -> str | BankError:
        raise ZeroDivisionError

    house.office.answer = broken
    worker = house.worker()
    with pytest.raises(ZeroDivisionError):
        run(worker.session.token())
    assert house.worker().shelf.take("other", 60, 900).turn is Turn.WAIT


@pytest.mark.parametrize(
    ("trouble", "answers"), [(Throttled("429"), True), (Throttled("too early", asked=False), False)]
)
def test_a_probe_that_is_too_early_for_a_login_proves_nothing(trouble: BankError, answers: bool) -> None:
    async def ping() -> None:
        raise trouble

    assert run(gate._answers(ping)) is answers


def test_a_bank_office_counts() -> None:
    """The tool of these tests tells the truth about parallel logins."""
    office = BankOffice(delay_s=0.01)

    async def use() -> None:
        await asyncio.gather(office(), office())

    run(use())
    assert (office.logins, office.most_in_flight) == (2, 2)
