"""`paysync top` through Textual's pilot: a real home, a real bank over HTTP, keys pressed, the screen read."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from paysync_cli.cli.session import Session
from paysync_cli.cli.top_desk import TopDesk
from paysync_cli.services import bank_desk
from paysync_cli.views.top.app import TopApp
from paysync_cli.views.top.desk import Focus, Look
from tests.books import HOSTILE, add_check, add_qr, book, dump, everything, open_review, spend, spent_ids
from tests.embedded import PATIENCE_S
from tests.shop import Shop, shop
from tests.torment import kill_redis, redis_of

SIZES = [(80, 24), (140, 40)]
Play = Callable[["Stage"], Awaitable[None]]
# What `fill` leaves for a person to see to, whatever the screen shows.
URGENT = ("ALARM: 1 QR is due", "WARNING: 1 review is open", "WARNING: 1 QR has used up its checks")


class Stage:
    """The running view: what is on its screen, and the keys."""

    def __init__(self, app: TopApp, pilot: Pilot[Any]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def text(self) -> str:
        """Every line of the screen, as drawn."""
        lines = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in lines)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def until(self, *words: str) -> str:
        """The first screen with all of them: a change of height is drawn in more than one step."""
        return await self.until_true(lambda: all(one in self.text for one in words), " and ".join(words))

    async def until_true(self, look: Callable[[], bool], what: str = "") -> str:
        end = time.monotonic() + PATIENCE_S
        while not look():
            assert time.monotonic() < end, f"{what or look} never came:\n{self.text}"
            await self.pilot.pause(0.05)
        return self.text

    async def tab(self, number: int, *words: str) -> str:
        await self.press(str(number))
        return await self.until(*words)


@pytest.fixture
def town(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with shop() as one:
        for name, value in one.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(one.home)
        fill(one)
        yield one


def fill(town: Shop) -> None:
    now = datetime.now(UTC)
    with town.runtime() as runtime:
        store = runtime.store
        late = add_qr(store, "late", status="pending", at=now - timedelta(minutes=50, seconds=30))
        add_check(store, late, seq=0, at=now - timedelta(minutes=2), outcome="unavailable", error=f"503 {HOSTILE}")
        add_check(store, late, seq=1, at=now - timedelta(minutes=2), outcome="unpaid")
        add_qr(store, "out", state="exhausted", at=now + timedelta(hours=3), checks=20)
        add_qr(store, "held", state="held", at=now)
        odd = add_qr(store, "[bold]x[/]", status="completed")
        book(store, odd, 10050, payer=HOSTILE)
        open_review(store, odd)


def play(
    town: Shop, acts: Play, size: tuple[int, int] = (80, 24), desk_of: Callable[[Session], TopDesk] = TopDesk
) -> TopApp:
    """Show the view at this size while `acts` plays on it."""
    session = Session()

    async def stage(app: TopApp) -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await acts(Stage(app, pilot))

    try:
        desk = desk_of(session)
        app = TopApp(desk, desk.look(Focus()), every_s=0.2)
        asyncio.run(stage(app))
        return app
    finally:
        session.close()


@pytest.mark.parametrize("size", SIZES)
def test_five_tabs_and_one_qr_with_what_needs_a_person_above_them(town: Shop, size: tuple[int, int]) -> None:
    async def acts(stage: Stage) -> None:
        pages = {
            "overview": await stage.tab(1, "checks a minute in the last 60 minutes", *URGENT),
            "banks": await stage.tab(2, "1000/s, 100 at once", *URGENT),
            "workers": await stage.tab(3, "no worker: run `paysync worker`", *URGENT),
            "failures": await stage.tab(4, "503", *URGENT),
            "qrs": await stage.tab(5, "OVERDUE", *URGENT),
        }
        await stage.press("enter")
        pages["story"] = await stage.until("QR [bold]x[/] of sim is completed", *URGENT)
        for name, page in pages.items():
            assert page.splitlines()[0].strip() == "The oldest due check waits 50 minutes.", name
            assert "q Quit" in page.splitlines()[-1], name
        assert "2 at most" in pages["overview"]
        for words in ("REVIEW: overpaid", "EXHAUSTED", "HELD", "[bold]x[/]", "R Retry", "C Check now"):
            assert words in pages["qrs"]
        assert "P Pause or resume" in pages["banks"]
        assert "\\x1b[31m[red]Ana" in pages["failures"] or size == SIZES[0]
        await stage.press("pagedown")
        if size == SIZES[1]:
            assert "\\x1b[31m[red]Ana\\u202e\\n=cmd()" in await stage.until("[red]Ana")
        await stage.press("slash", *"held", "enter")
        await stage.until("QR held of sim is active")
        with town.runtime() as runtime:
            add_qr(runtime.store, "newcomer", at=datetime.now(UTC) - timedelta(hours=2))
        await stage.press("escape")
        await stage.until("Bank transaction")
        await stage.press("escape")
        await stage.until("newcomer")

    play(town, acts, size)


def test_a_typed_qr_and_one_that_nobody_knows(town: Shop) -> None:
    async def acts(stage: Stage) -> None:
        await stage.press("slash", *"helm", "enter")
        await stage.until("No QR helm is known")
        await stage.press("slash", *"held", "enter")
        await stage.until("QR held of sim is active and is not asked about now")

    play(town, acts)


def test_looking_changes_nothing(town: Shop) -> None:
    with redis_of(town) as client, town.runtime() as runtime:
        before = dump(runtime.store), everything(client)

        async def acts(stage: Stage) -> None:
            for number, words in ((2, "1000/s"), (3, "no worker"), (4, "503"), (5, "OVERDUE"), (1, "Jobs")):
                await stage.tab(number, words)
            await stage.press("5", "enter")
            await stage.until("nothing is asked about it any more")

        play(town, acts)
        assert (dump(runtime.store), everything(client)) == before


def test_a_worker_that_lives_one_that_hangs_and_one_that_was_killed(town: Shop) -> None:
    worker = town.start("worker")

    async def acts(stage: Stage) -> None:
        await stage.tab(3, "(leader)")
        assert "alive" in stage.text
        assert "no worker is alive" not in stage.text
        worker.send_signal(signal.SIGSTOP)
        with redis_of(town) as client:
            (key,) = client.smembers("rq:workers")
            beat = datetime.now(UTC) - timedelta(seconds=60)  # as if that minute had passed
            client.hset(key, "last_heartbeat", f"{beat:%Y-%m-%dT%H:%M:%S.%fZ}")
            client.expire(key, 60)
            await stage.until("STALE")
            worker.kill()
            worker.wait()
            await stage.until("KILLED")

    play(town, acts, SIZES[1])


# -- dangerous keys


def test_pause_and_resume_ask_first(town: Shop) -> None:
    def paused() -> bool:
        with town.runtime() as runtime:
            return bank_desk.look(runtime.store, None, runtime.configured_banks, runtime.clock.now())[0].paused

    async def acts(stage: Stage) -> None:
        await stage.tab(2, "1000/s")
        await stage.press("p")
        await stage.press("P")
        await stage.until("Pause bank sim")
        await stage.press("enter", "n")
        assert not paused()
        await stage.press("P")
        await stage.until("Pause bank sim")
        await stage.press("y")
        await stage.until("PAUSED")
        assert paused()
        await stage.until("WARNING: bank sim is paused")
        await stage.press("P")
        await stage.until("Resume bank sim")
        await stage.press("y")
        await stage.until_true(lambda: not paused())

    play(town, acts)


def test_each_key_does_what_its_command_does(town: Shop) -> None:
    """`?` names the commands: retry only where something failed, and then at no cost; N grants a check."""

    async def acts(stage: Stage) -> None:
        await stage.press("question_mark")
        await stage.until("paysync enqueue QR --now")
        assert "paysync retry QR" in stage.text
        await stage.press("question_mark", "slash", *"out", "enter")
        await stage.until("Its 20 checks are used up")
        await stage.press("R")
        await stage.until("Retry out")
        await stage.press("y")
        await stage.until("Failed jobs are in Redis")
        with redis_of(town):
            await stage.until_true(lambda: stage.app._desk._eye.last is not None, "the running Redis")
            await stage.press("R", "y")
            await stage.until("out: has no failed job")
        assert town.qr("out").plan.max_checks == 20
        await stage.press("N")
        await stage.until("Grants one check")
        await stage.press("y")
        await stage.until("out: moved")

    play(town, acts)
    plan = town.qr("out").plan
    assert plan.next_check_at is not None
    assert plan.next_check_at <= datetime.now(UTC)
    assert plan.max_checks == 21


def test_retry_of_a_failed_job_is_that_of_paysync_retry(town: Shop) -> None:
    row = town.qr("late").id
    with redis_of(town) as client:
        spend(client, "failed", "payment-sync-high", [(f"sync-{row}-0", datetime.now(UTC).timestamp() + 9e6)])

        async def acts(stage: Stage) -> None:
            await stage.tab(5, "OVERDUE")
            await stage.press("down", "R")
            await stage.until("Retry late")
            await stage.press("y")
            await stage.until("late: is being asked already")

        play(town, acts)
        assert spent_ids(client, "failed") == []


def test_check_now_asks_the_bank_from_here(town: Shop) -> None:
    async def acts(stage: Stage) -> None:
        await stage.tab(5, "OVERDUE")
        await stage.press("down", "C")
        await stage.until("Ask the bank about late")
        assert town.status_calls() == {}
        await stage.press("y")
        await stage.until("late: ")

    play(town, acts)
    assert list(town.status_calls()) == ["late"]


def test_a_deed_that_is_refused_is_said_and_the_view_goes_on(town: Shop) -> None:
    with town.runtime() as runtime:
        bank_desk.pause(runtime.store, runtime.configured_banks, now=runtime.clock.now(), span=None, who="ana",
                        reason=HOSTILE)  # fmt: skip

    async def acts(stage: Stage) -> None:
        await stage.tab(5, "OVERDUE")
        await stage.press("down", "C", "y")
        await stage.until("is paused by ana")
        await stage.tab(2, "PAUSED")

    play(town, acts)
    assert town.status_calls() == {}


def test_read_only_refuses_every_deed(town: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYSYNC_READ_ONLY", "1")
    with town.runtime() as runtime:
        before = dump(runtime.store)

        async def acts(stage: Stage) -> None:
            for number, words, keys in ((2, "1000/s", "P"), (5, "OVERDUE", "R"), (5, "OVERDUE", "C")):
                await stage.tab(number, words)
                stage.app.clear_notifications()
                await stage.press(keys)
                await stage.until("PAYSYNC_READ_ONLY is set")
                assert len(stage.app.screen_stack) == 1, "no dialog"

        play(town, acts)
        assert dump(runtime.store) == before


# -- what goes away comes back


def test_redis_dies_and_is_started_anew(town: Shop) -> None:
    with redis_of(town):

        async def acts(stage: Stage) -> None:
            await stage.until("noeviction")
            kill_redis(town)
            await stage.until_true(lambda: "noeviction" not in stage.text)
            with redis_of(town) as again:
                again.hset("paysync:bank:sim:breaker", mapping={"state": "open", "opens_until": 9e12})
                await stage.until("ALARM: bank sim does not answer")
                await stage.tab(2, "DOES NOT ANSWER")

        play(town, acts, SIZES[1])


def test_a_redis_that_is_away_is_an_alarm_and_the_database_still_speaks(
    town: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:canary-secret@127.0.0.1:1/0")

    async def acts(stage: Stage) -> None:
        page = await stage.until("ALARM: Redis at redis://:***@127.0.0.1:1/0 is not available")
        assert page.startswith(" The oldest due check waits 50 minutes.")
        assert page.count("ALARM: Redis") == 1
        assert "canary" not in page

    play(town, acts, SIZES[1])


def test_a_database_that_is_away_is_said_with_since_when_and_comes_back(town: Shop) -> None:
    async def acts(stage: Stage) -> None:
        await stage.until("Jobs")
        file = town.home / "paysync.db"
        file.rename(town.home / "elsewhere")
        page = await stage.until("STALE since")
        assert f"{datetime.now(UTC).astimezone():%Y-%m-%d}" in page.splitlines()[0]
        await stage.tab(2, "2 Banks")
        (town.home / "elsewhere").rename(file)
        await stage.until("1000/s")
        await stage.until_true(lambda: "STALE" not in stage.text)
        assert stage.text.startswith(" The oldest due check waits")

    play(town, acts, SIZES[1])


def test_the_screen_answers_while_the_database_does_not(town: Shop) -> None:
    """A look hangs, as on a host that lets nothing through: keys do not wait for it, nor does who wants to leave."""
    hangs, let_go = threading.Event(), threading.Event()

    class Hanging(TopDesk):
        def look(self, focus: Focus) -> Look:
            if focus.tab == "qrs":
                hangs.set()
                let_go.wait(PATIENCE_S)
            return super().look(focus)

    async def acts(stage: Stage) -> None:
        await stage.tab(2, "1000/s")
        await stage.press("5")
        await stage.until_true(hangs.is_set)
        await stage.tab(4, "4 Failures")
        await stage.press("slash")
        await stage.until("The bank's id of the QR:")
        await stage.press("escape", "q")
        await stage.until_true(lambda: not stage.app.is_running)

    try:
        play(town, acts, desk_of=Hanging)
        hung = [thread for thread in threading.enumerate() if thread.name == "top"]
        assert [thread.daemon for thread in hung] == [True], "left behind, and the process does not wait for it either"
    finally:
        let_go.set()


def test_it_is_resized_down_to_almost_nothing_and_back(town: Shop) -> None:
    async def acts(stage: Stage) -> None:
        for size in ((20, 5), (200, 60), (1, 1), (80, 24)):
            await stage.pilot.resize_terminal(*size)
            await stage.press("5", "1")
        await stage.until("The oldest due check waits 50 minutes.")
        await stage.until("checks a minute")

    play(town, acts)


def test_the_cursor_stays_on_its_qr_while_rows_come_and_go(town: Shop) -> None:
    async def acts(stage: Stage) -> None:
        await stage.tab(5, "OVERDUE")
        await stage.press("down", "down")
        with town.runtime() as runtime:
            add_qr(runtime.store, "later", at=datetime.now(UTC) - timedelta(hours=2))
        await stage.until("later")
        await stage.press("enter")
        await stage.until("QR out of sim")

    play(town, acts)


def test_an_unexpected_error_ends_it_and_is_not_swallowed(town: Shop) -> None:
    class Broken(TopDesk):
        def look(self, focus: Focus) -> Look:
            if threading.current_thread() is not threading.main_thread():
                raise ZeroDivisionError("a bug")
            return super().look(focus)

    async def acts(stage: Stage) -> None:
        await stage.until_true(lambda: stage.app.return_value is not None)

    assert isinstance(play(town, acts, desk_of=Broken).return_value, ZeroDivisionError)
