"""From what was raised to what is told: grouped, with a cool-down, and an end told exactly once."""

from __future__ import annotations

import gettext
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from paysync_cli import language
from paysync_cli.alerts.post import Address, Note, Sent, key_of
from paysync_cli.errors import DatabaseUnavailable
from paysync_cli.services import courier as delivering
from paysync_cli.services.alert_outbox import compose
from paysync_cli.services.alert_words import WORDS, quoted, sentence, title
from paysync_cli.services.courier import Courier
from paysync_cli.settings.masking import redact
from paysync_cli.store import alert_messages, alerts, banks, leases, tables
from paysync_cli.store.alert_messages import Event, NewMessage
from paysync_cli.store.alerts import STATES, AlertKind, begin_state, end_state, raise_alert
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database
from paysync_cli.store.leases import Lease
from tests.books import HOSTILE
from tests.core import NOW

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def lead(store: Database, owner: str = "us", now: datetime = NOW) -> Lease:
    with store.write() as tx:
        lease = leases.take(tx, leases.LEADER, owner, now, now + timedelta(days=9))
    assert lease is not None
    return lease


class Desk:
    """A database whose leader composes every time something was done; what came out of it so far."""

    def __init__(self, store: Database) -> None:
        self.store, self.lease = store, lead(store)

    def happens(self, kind: AlertKind, at: datetime, *, count: int = 1, bank: str = "sim") -> None:
        with self.store.write() as tx:
            raise_alert(tx, kind, bank, "QR1", at, count=count)
        self.compose(at)

    def begins(self, at: datetime, kind: AlertKind = AlertKind.BREAKER_OPEN) -> None:
        with self.store.write() as tx:
            begin_state(tx, kind, "sim", "why", at)
        self.compose(at)

    def ends(self, at: datetime, kind: AlertKind = AlertKind.BREAKER_OPEN) -> None:
        with self.store.write() as tx:
            end_state(tx, kind, "sim", at)
        self.compose(at)

    def compose(self, at: datetime) -> None:
        compose(self.store, self.lease, at, HOUR)

    def told(self) -> list[tuple[str, str, int]]:
        with self.store.read() as tx:
            return [
                (row.kind, row.event, row._mapping["count"])
                for row in tx.execute(tables.alert_messages.select().order_by(tables.alert_messages.c.id))
            ]


@pytest.fixture
def desk(any_store: Database) -> Desk:
    return Desk(any_store)


# -- events


def test_many_of_a_kind_are_one_message_now_and_one_with_the_count_after_the_cool_down(desk: Desk) -> None:
    for n in range(50):
        desk.happens(AlertKind.JOB_GIVEN_UP, NOW + n * MINUTE)
    assert desk.told() == [("job_given_up", "raised", 1)]
    desk.compose(NOW + HOUR - MINUTE)
    assert len(desk.told()) == 1
    desk.compose(NOW + HOUR)
    desk.compose(NOW + 2 * HOUR)
    assert desk.told() == [("job_given_up", "raised", 1), ("job_given_up", "raised", 50)]


def test_a_new_hour_is_no_way_round_the_cool_down(desk: Desk) -> None:
    late = NOW + timedelta(minutes=59)
    desk.happens(AlertKind.REVIEW_OPENED, late)
    desk.happens(AlertKind.REVIEW_OPENED, late + 2 * MINUTE, count=3)
    assert desk.told() == [("review_opened", "raised", 1)]
    desk.compose(late + HOUR)
    assert desk.told() == [("review_opened", "raised", 1), ("review_opened", "raised", 3)]


def test_kinds_and_banks_do_not_wait_for_each_other(desk: Desk) -> None:
    desk.happens(AlertKind.REVIEW_OPENED, NOW)
    desk.happens(AlertKind.REVIEW_OPENED, NOW, bank="other")
    desk.happens(AlertKind.JOB_GIVEN_UP, NOW)
    assert len(desk.told()) == 3


# -- states


def test_a_state_is_told_when_it_begins_and_once_when_it_is_over(desk: Desk) -> None:
    desk.begins(NOW)
    for n in range(1, 200, 30):
        desk.begins(NOW + n * MINUTE)  # found again on every round
    desk.ends(NOW + 300 * MINUTE)
    desk.ends(NOW + 301 * MINUTE)
    assert desk.told() == [("breaker_open", "raised", 1), ("breaker_open", "recovered", 1)]


def test_one_that_flutters_is_told_once_an_hour_with_how_often(desk: Desk) -> None:
    for n in range(5):
        desk.begins(NOW + 2 * n * MINUTE)
        desk.ends(NOW + (2 * n + 1) * MINUTE)
    assert desk.told() == [("breaker_open", "raised", 1), ("breaker_open", "recovered", 1)]
    desk.compose(NOW + HOUR)
    desk.compose(NOW + 3 * HOUR)
    assert desk.told()[2:] == [("breaker_open", "passed", 4)]


def test_one_that_stands_when_the_cool_down_ends_is_told_and_so_is_its_end(desk: Desk) -> None:
    desk.begins(NOW)
    desk.ends(NOW + MINUTE)
    desk.begins(NOW + 2 * MINUTE)
    desk.compose(NOW + HOUR)
    desk.ends(NOW + HOUR + MINUTE)
    assert [event for _kind, event, _n in desk.told()] == ["raised", "recovered", "raised", "recovered"]


def test_over_before_anybody_could_be_told_is_one_message(desk: Desk) -> None:
    with desk.store.write() as tx:
        begin_state(tx, AlertKind.BREAKER_OPEN, "sim", "", NOW)
        end_state(tx, AlertKind.BREAKER_OPEN, "sim", NOW + MINUTE)
    desk.compose(NOW + 2 * MINUTE)
    assert desk.told() == [("breaker_open", "passed", 1)]


def test_a_credential_that_is_stopped_again_is_told_at_once(desk: Desk) -> None:
    for n in range(2):
        at = NOW + n * MINUTE
        with desk.store.write() as tx:
            assert banks.stop_credential(tx, "sim", "certification", "no", at)
        desk.compose(at)
        with desk.store.write() as tx:
            banks.unlock(tx, "sim", "certification", now=at + MINUTE / 2, who="ana", reason="mended")
        desk.compose(at + MINUTE / 2)
    assert [event for _kind, event, _n in desk.told()] == ["raised", "recovered"] * 2


def test_two_find_the_same_state_and_it_begins_once(any_store: Database) -> None:
    def begin() -> None:
        with any_store.write() as tx:
            found.append(begin_state(tx, AlertKind.BREAKER_OPEN, "sim", "", NOW + timedelta(seconds=len(found))))

    found: list[bool] = []
    threads = [threading.Thread(target=begin) for _n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False, False, False, True]


def test_a_leader_whose_lease_is_gone_tells_nothing(desk: Desk) -> None:
    with desk.store.write() as tx:
        leases.give_up(tx, desk.lease, NOW)
    lead(desk.store, "them", NOW + MINUTE)
    desk.happens(AlertKind.JOB_GIVEN_UP, NOW + 2 * MINUTE)
    assert desk.told() == []


# -- delivery


class Channel:
    """An address and what it took; it fails while `broken`."""

    def __init__(self, number: int) -> None:
        url = f"json://hook{number}"
        self.address = Address(number, "json://***", key_of(url, "salt"), url)
        self.got: list[Note] = []
        self.broken = False


class Round:
    """Two addresses behind one courier, on a clock that is set by hand."""

    def __init__(self, store: Database) -> None:
        self.store, self.desk = store, Desk(store)
        self.channels = [Channel(1), Channel(2)]
        self.now = NOW

    def post(self, address: Address, notes: Sequence[Note]) -> list[Sent]:
        channel = self.channels[address.number - 1]
        if channel.broken:
            return [Sent(False, "502 from json://hook2/tok3n-of-the-hook")] * len(notes)
        channel.got += notes
        return [Sent(True)] * len(notes)

    def courier(self, language: str = "en") -> Courier:
        addresses = [channel.address for channel in self.channels]
        return Courier(
            self.store, _Still(self.now), addresses, self.post, language=language, host="shop",
            redact=lambda text: redact(text, ("tok3n-of-the-hook", "us_er", "paysync")),
        )  # fmt: skip

    def deliver(self, at: datetime, lease: Lease | None = None) -> None:
        self.now = at
        one = self.courier()
        one.round(lease or self.desk.lease)
        assert one.wait(10)


class _Still(Clock):
    """A clock that shows one moment."""

    def __init__(self, at: datetime) -> None:
        super().__init__(at, at, 1.0)

    def now(self) -> datetime:
        return self.shown


@pytest.fixture
def town(any_store: Database) -> Round:
    return Round(any_store)


def delivered(store: Database) -> list[bool]:
    with store.read() as tx:
        return [one.delivered_at is not None for one in alerts.list_alerts(tx)]


def test_an_address_that_fails_gets_it_later_and_the_other_gets_it_once(town: Round) -> None:
    town.channels[1].broken = True
    town.desk.happens(AlertKind.JOB_GIVEN_UP, NOW, count=7)
    for n in range(4):
        town.deliver(NOW + n * timedelta(seconds=1))
    assert (len(town.channels[0].got), delivered(town.store)) == (1, [False])
    with town.store.read() as tx:
        (failing,) = alert_messages.failing(tx)
        assert alerts.undelivered(tx) == (1, NOW)
    assert failing.failures == 1, "it waits before it is tried again"
    assert "tok3n" not in failing.error
    town.channels[1].broken = False
    town.deliver(NOW + MINUTE)
    town.deliver(NOW + 2 * MINUTE)
    assert [len(channel.got) for channel in town.channels] == [1, 1]
    assert delivered(town.store) == [True]
    with town.store.read() as tx:
        assert (alert_messages.failing(tx), alerts.undelivered(tx)) == ([], (0, None))


def test_the_waits_of_a_dead_address_grow_and_end(town: Round) -> None:
    town.channels[1].broken = True
    town.desk.happens(AlertKind.JOB_GIVEN_UP, NOW)
    waits, at = [], NOW
    for _n in range(len(delivering.WAITS_S) + 2):
        town.deliver(at)
        with town.store.read() as tx:
            (failing,) = alert_messages.failing(tx)
        waits.append((failing.next_try_at - at).total_seconds())
        at = failing.next_try_at
    assert waits == [*delivering.WAITS_S, *[delivering.WAITS_S[-1]] * 2]


def test_whoever_dies_after_the_claim_loses_nothing_and_meanwhile_nobody_sends_it_twice(town: Round) -> None:
    town.desk.happens(AlertKind.JOB_GIVEN_UP, NOW)
    until = NOW + timedelta(seconds=delivering.CLAIM_S)
    with town.store.write() as tx:
        for channel in town.channels:
            assert len(alert_messages.claim(tx, channel.address.key, NOW, until, 5)) == 1
            assert alert_messages.claim(tx, channel.address.key, NOW + MINUTE / 2, until, 5) == []
    town.deliver(NOW + timedelta(seconds=1))
    assert town.channels[0].got == []
    town.deliver(until)
    assert [len(channel.got) for channel in town.channels] == [1, 1]


def test_a_database_that_is_away_after_the_send_makes_nothing_come_twice(
    town: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, asked = alert_messages.delivered, []

    def away_at_first(*args: Any) -> None:
        asked.append(args)
        if len(asked) == 1:
            raise DatabaseUnavailable("away")
        honest(*args)

    monkeypatch.setattr(alert_messages, "delivered", away_at_first)
    del town.channels[1]
    town.desk.happens(AlertKind.JOB_GIVEN_UP, NOW)
    town.deliver(NOW)
    town.deliver(NOW + HOUR)
    assert (len(town.channels[0].got), delivered(town.store)) == (1, [True])


def test_a_leader_that_wakes_up_late_sends_nothing(town: Round) -> None:
    town.desk.happens(AlertKind.JOB_GIVEN_UP, NOW)
    old = town.desk.lease
    with town.store.write() as tx:
        leases.give_up(tx, old, NOW)
    new = lead(town.store, "them", NOW + MINUTE)
    town.deliver(NOW + MINUTE, old)
    assert town.channels[0].got == []
    town.deliver(NOW + MINUTE, new)
    assert len(town.channels[0].got) == 1


def test_an_address_that_is_no_longer_set_is_waited_for_by_nobody(town: Round) -> None:
    town.channels[1].broken = True
    town.desk.happens(AlertKind.JOB_GIVEN_UP, NOW)
    town.deliver(NOW)
    assert delivered(town.store) == [False]
    del town.channels[1]
    town.deliver(NOW + MINUTE)
    assert delivered(town.store) == [True]


def test_it_speaks_the_language_it_was_told_while_the_process_speaks_another(
    town: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spanish(gettext.NullTranslations):
        def gettext(self, message: str) -> str:
            return "El banco {bank} no responde." if message == WORDS[AlertKind.BREAKER_OPEN].so else message

    english = language._catalogue_of("en")
    monkeypatch.setattr(language, "_catalogue_of", lambda code: Spanish() if code == "es" else english)
    town.desk.begins(NOW)
    one = town.courier("es")
    one.round(town.desk.lease)
    assert language._("Nothing is due.") == "Nothing is due."
    assert one.wait(10)
    assert town.channels[0].got[0].text.startswith("El banco sim no responde.")


# -- words


def test_every_kind_has_its_sentences() -> None:
    assert WORDS.keys() == set(AlertKind)
    assert {kind for kind, words in WORDS.items() if words.over} == STATES
    for kind in AlertKind:
        for event in Event if kind in STATES else (Event.RAISED,):
            until = None if event is Event.RAISED else NOW + HOUR
            text = sentence(NewMessage(kind, "sim", event, 7, "QR1", NOW, until))
            assert "{" not in text
            assert f"{NOW:%H:%M} UTC" in text
            assert (event is Event.RECOVERED) or WORDS[kind].command.split("{")[0] in text


@pytest.mark.parametrize(
    "text",
    [HOSTILE, "<b>x</b> [a](http://evil.example) *b* _c_ `d` <!everyone> @here |x| {y}", "a\nb\r\n\tc\x00", "x" * 999],
)
def test_what_comes_from_outside_is_text_and_short(text: str) -> None:
    shown = quoted(text)
    assert len(shown) <= 120
    assert not set(shown) & set('<>[]{}*_`|\\@#&~!"\n\r\t\x00\x1b\u202e')
    assert "://" not in shown
    message = NewMessage(AlertKind.CREDENTIAL_STOPPED, "sim", Event.RAISED, 1, text, NOW)
    assert shown in sentence(message)
    assert title(message, "shop") == "paysync on shop: credential stopped"


def test_secrets_are_taken_out_of_what_came_from_outside_and_nowhere_else(town: Round) -> None:
    """One has a letter that quoting changes, another is a word of ours: the command must still be there to copy."""
    with town.store.write() as tx:
        raise_alert(tx, AlertKind.BANK_UNAVAILABLE, "sim", "no login of us_er", NOW)
    town.desk.compose(NOW)
    town.deliver(NOW)
    (note,) = town.channels[0].got
    assert "(no login of +++)" in note.text
    assert note.text.endswith("Run first: paysync bank test sim")
    assert note.title == "paysync on shop: bank unavailable"


# -- retention


def test_what_is_long_over_goes_and_what_lasts_stays(town: Round) -> None:
    town.desk.happens(AlertKind.JOB_GIVEN_UP, NOW)
    town.desk.begins(NOW)
    town.desk.begins(NOW, AlertKind.SWEEP_LATE)
    town.deliver(NOW)
    town.desk.ends(NOW + 40 * timedelta(days=1), AlertKind.SWEEP_LATE)
    before = NOW + timedelta(days=1)
    with town.store.write() as tx:
        assert alert_messages.forgettable(tx, before) == 1
        assert alert_messages.forget(tx, before, 10) == 1
        assert {one.kind.value for one in alerts.list_alerts(tx)} == {"breaker_open", "sweep_late"}
    town.desk.ends(NOW + timedelta(days=50))
    assert town.desk.told()[-1] == ("breaker_open", "recovered", 1), (
        "its end is told, though its beginning is forgotten"
    )
