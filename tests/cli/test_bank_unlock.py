"""`paysync bank unlock` as scripts and people meet it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paysync_cli.store import banks
from paysync_cli.store.database import Database
from paysync_cli.store.tables import audit
from tests.books import NOW, add_qr, dump
from tests.embedded import running_servers
from tests.home import Home, new_home

BANK = {
    "PAYSYNC_BANK_SIM_ADAPTER": "baneco",
    "PAYSYNC_BANK_SIM_BASE_URL": "https://bank.test",
    "PAYSYNC_BANK_SIM_ENVIRONMENT": "certification",
    "PAYSYNC_BANK_SIM_ACCOUNT": "main",
    "PAYSYNC_BANK_SIM_USERNAME": "shop",
    "PAYSYNC_BANK_SIM_PASSWORD": "canary-password",
    "PAYSYNC_BANK_SIM_AES_KEY": "canary-aes-key-0123456789abcdef0",
}
UNLOCK = ("bank", "unlock", "sim")
REASON = "[red]=new password\x1b[31m"


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home() as home:
        with home.books() as store:
            add_qr(store, "QR1")
        yield home


def stop(home: Home, environment: str = "certification") -> None:
    with home.books() as store, store.write() as tx:
        banks.stop_credential(tx, "sim", environment, "login refused\x1b[31m", NOW)


def actions(store: Database) -> list[tuple[str, str, str]]:
    with store.read() as tx:
        return [(row.action, row.object, row.reason) for row in tx.execute(audit.select())]


def test_an_unlock_tells_what_it_ended_and_is_audited(home: Home) -> None:
    stop(home)
    assert home.data(*UNLOCK, "--reason", REASON, **BANK) == {
        "bank": "sim",
        "environment": "certification",
        "was_stopped": True,
        "stopped_at": NOW.isoformat(),
        "stop_reason": "login refused\x1b[31m",
    }
    with home.books() as store:
        assert actions(store) == [("unlock", "sim", REASON)]
        with store.read() as tx:
            state = banks.state(tx, "sim", "certification")
        assert state is not None
        assert (state.stopped_at, state.stop_reason) == (None, None)
    assert not running_servers(home.folder)  # nothing is started for it: workers notice by themselves


def test_nothing_to_unlock_is_fine_and_said(home: Home) -> None:
    with home.books() as store:
        before = dump(store)
    ended = home.run(*UNLOCK, "--reason", "to be sure", **BANK)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "The credential of bank sim was not stopped; nothing to do.\n"
    with home.books() as store:
        assert dump(store) == before
    assert home.data(*UNLOCK, "--reason", "to be sure", **BANK)["was_stopped"] is False


def test_the_stop_of_another_environment_stays(home: Home) -> None:
    stop(home, "production")
    assert home.data(*UNLOCK, "--reason", "why", **BANK)["was_stopped"] is False
    with home.books() as store, store.read() as tx:
        state = banks.state(tx, "sim", "production")
    assert state is not None
    assert state.stopped_at == NOW


@pytest.mark.parametrize("flags", [(), ("--no-input",)])
def test_without_a_reason_off_a_terminal_nothing_is_unlocked(home: Home, flags: tuple[str, ...]) -> None:
    stop(home)
    ended = home.run(*UNLOCK, *flags, **BANK)
    assert ended.status == 5
    assert "--reason" in ended.err
    assert home.json(*UNLOCK, status=5, **BANK)["errors"][0]["code"] == "needs_reason"
    with home.books() as store:
        assert actions(store) == []


def test_on_a_terminal_the_reason_is_asked(home: Home) -> None:
    stop(home)
    shown = home.on_terminal(*UNLOCK, typed="user unlocked at the branch\n", **BANK)
    assert shown.status == 0, shown
    with home.books() as store:
        assert actions(store) == [("unlock", "sim", "user unlocked at the branch")]


def test_refusals(home: Home) -> None:
    stop(home)
    assert home.run(*UNLOCK, "--reason", " ", **BANK).status == 2
    assert home.run("bank", "unlock", "other", "--reason", "why", **BANK).status == 2
    assert home.run(*UNLOCK, "--reason", "why", PAYSYNC_READ_ONLY="1", **BANK).status == 5
    with home.books() as store:
        assert actions(store) == []


def test_no_database_is_no_unlocked_bank() -> None:
    with new_home() as home:
        assert home.run(*UNLOCK, "--reason", "why", **BANK).status == 4


def test_stats_and_bank_show_say_why_and_what_to_do(home: Home) -> None:
    stop(home)
    stats = home.data("stats", **BANK)
    (bank,) = stats["banks"]
    assert (bank["state"], bank["stopped_at"]) == ("credential_stopped", NOW.isoformat())
    assert [one["code"] for one in stats["warnings"]].count("credential_stopped") == 1
    plain = home.run("stats", **BANK).out
    assert "paysync bank unlock sim" in plain
    assert "\x1b" not in plain
    assert home.data("bank", "show", "sim", **BANK)["state"] == "credential_stopped"
    home.data(*UNLOCK, "--reason", "why", **BANK)
    assert home.data("stats", **BANK)["banks"][0]["state"] == "open"
