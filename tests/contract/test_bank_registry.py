"""Adapters found by entry point: the known ones, an unknown one, broken ones."""

from __future__ import annotations

import asyncio
from importlib.metadata import EntryPoint, EntryPoints

import httpx
import pytest

from paysync_cli.banks import registry
from paysync_cli.banks.baneco import BanecoBank
from paysync_cli.banks.base import Bank, BankProfile, BankTools
from paysync_cli.errors import SettingsError
from paysync_cli.payments.qr import Answer, Ask
from tests.simulated import OPTIONS, Clock, profile


class Works:
    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        self.profile = profile

    async def check(self, ask: Ask) -> Answer:
        raise NotImplementedError


class Explodes(Works):
    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        raise KeyError(profile.options["password"])


class OffersNothing:
    def __init__(self, profile: BankProfile, tools: BankTools) -> None: ...


NOT_A_CLASS = 5


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("baneco", "paysync_cli.banks.baneco:BanecoBank", registry.GROUP),
        EntryPoint("works", f"{__name__}:Works", registry.GROUP),
        EntryPoint("explodes", f"{__name__}:Explodes", registry.GROUP),
        EntryPoint("nothing", f"{__name__}:OffersNothing", registry.GROUP),
        EntryPoint("number", f"{__name__}:NOT_A_CLASS", registry.GROUP),
        EntryPoint("gone", "no_such_package.bank:Bank", registry.GROUP),
        EntryPoint("renamed", "paysync_cli.banks.baneco:NoSuchBank", registry.GROUP),
        EntryPoint("twice", f"{__name__}:Works", registry.GROUP),
        EntryPoint("twice", f"{__name__}:Explodes", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda **wanted: EntryPoints(points).select(**wanted))


def build(adapter: str) -> Bank:
    async def run() -> Bank:
        async with httpx.AsyncClient() as client:
            wanted = profile("https://bank.test", OPTIONS, name="main", adapter=adapter)
            return registry.build(wanted, BankTools(client, Clock()))

    return asyncio.run(run())


def test_baneco_is_installed() -> None:
    assert "baneco" in registry.adapter_names()
    assert [(a.error, a.package.split()[0]) for a in registry.adapters() if a.name == "baneco"] == [
        (None, "paysync-cli")
    ]
    assert isinstance(build("baneco"), BanecoBank)


def test_third_parties_are_found(plugins: None) -> None:
    assert isinstance(build("works"), Works)


def test_unknown_adapter_names_the_known_ones(plugins: None) -> None:
    with pytest.raises(SettingsError) as caught:
        build("bnaeco")
    assert 'unknown adapter "bnaeco"; installed: baneco, explodes, gone' in caught.value.message


@pytest.mark.parametrize(
    ("adapter", "words"),
    [
        ("gone", 'adapter "gone" (unknown package) cannot be loaded: ModuleNotFoundError'),
        ("renamed", "cannot be loaded: AttributeError"),
        ("explodes", 'bank main: adapter "explodes" (unknown package) cannot be set up: KeyError'),
        ("nothing", "offers no check()"),
        ("number", "is not a class"),
        ("twice", "more than one package"),
    ],
)
def test_broken_plugin_is_a_sentence(plugins: None, adapter: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build(adapter)
    assert words in caught.value.message
    assert OPTIONS["password"] not in caught.value.message


def test_broken_plugins_are_lines_of_the_list(plugins: None) -> None:
    found = {a.name: a.error for a in registry.adapters()}
    assert {name for name, error in found.items() if error} == {"gone", "renamed", "number", "twice"}
    assert found["baneco"] is None


def test_who_lists_payments(plugins: None) -> None:
    assert [registry.lists_payments(name) for name in ("baneco", "works", "gone", "nobody")] == [
        True,
        False,
        False,
        False,
    ]
