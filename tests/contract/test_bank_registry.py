"""Adapters found by entry point: the known ones, an unknown one, broken ones."""

from __future__ import annotations

import asyncio
from datetime import date
from importlib.metadata import EntryPoint, EntryPoints

import httpx
import pytest

from paysync_cli.banks import registry
from paysync_cli.banks.baneco import BanecoBank
from paysync_cli.banks.base import PROTOCOL, Bank, BankProfile, BankTools
from paysync_cli.errors import Fault, SettingsError
from paysync_cli.payments.qr import Answer, Ask, PaidDay
from tests.simulated import OPTIONS, Clock, profile


class Works:
    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        self.profile = profile

    async def check(self, ask: Ask) -> Answer:
        raise NotImplementedError


class Lists(Works):
    async def paid_on(self, day: date) -> PaidDay:
        raise NotImplementedError


class DecidesByProfile(Works):
    @staticmethod
    def lists_payments(profile: BankProfile) -> bool:
        return profile.tables["day_list"]["on"] is True


class NotAsync(Works):
    def check(self, ask: Ask) -> Answer:  # type: ignore[override]
        raise NotImplementedError


class ListsNotAsync(Works):
    paid_on = 5


class OfTomorrow(Works):
    protocol = PROTOCOL + 1


class Quits(Works):
    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        faults = [Fault("invalid_setting", f"banks.{profile.name}.pin: is missing.")] * 2
        raise SettingsError("two things", faults=faults)


class Leaves(Works):
    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        raise SystemExit(4)


class Touchy(type):
    def __getattr__(cls, name: str) -> object:
        raise RuntimeError(name)


class Moody(Works, metaclass=Touchy):
    """One whose very attributes raise."""


class Talks(Works):
    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        print("hello")
        super().__init__(profile, tools)


class Explodes(Works):
    def __init__(self, profile: BankProfile, tools: BankTools) -> None:
        raise KeyError(profile.options["password"])


class OffersNothing:
    def __init__(self, profile: BankProfile, tools: BankTools) -> None: ...


NOT_A_CLASS = 5


def make_bank(profile: BankProfile, tools: BankTools) -> Works:
    return Works(profile, tools)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("baneco", "paysync_cli.banks.baneco:BanecoBank", registry.GROUP),
        EntryPoint("works", f"{__name__}:Works", registry.GROUP),
        EntryPoint("lists", f"{__name__}:Lists", registry.GROUP),
        EntryPoint("decides", f"{__name__}:DecidesByProfile", registry.GROUP),
        EntryPoint("function", f"{__name__}:make_bank", registry.GROUP),
        EntryPoint("notasync", f"{__name__}:NotAsync", registry.GROUP),
        EntryPoint("listnotasync", f"{__name__}:ListsNotAsync", registry.GROUP),
        EntryPoint("tomorrow", f"{__name__}:OfTomorrow", registry.GROUP),
        EntryPoint("quits", f"{__name__}:Quits", registry.GROUP),
        EntryPoint("explodes", f"{__name__}:Explodes", registry.GROUP),
        EntryPoint("leaves", f"{__name__}:Leaves", registry.GROUP),
        EntryPoint("moody", f"{__name__}:Moody", registry.GROUP),
        EntryPoint("talks", f"{__name__}:Talks", registry.GROUP),
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
    assert isinstance(build("function"), Works)


def test_unknown_adapter_names_the_known_ones(plugins: None) -> None:
    with pytest.raises(SettingsError) as caught:
        build("bnaeco")
    assert 'unknown adapter "bnaeco"; installed: baneco, decides, explodes, function, gone' in caught.value.message


@pytest.mark.parametrize(
    ("adapter", "words"),
    [
        ("gone", 'adapter "gone" (unknown package) cannot be loaded: ModuleNotFoundError'),
        ("renamed", "cannot be loaded: AttributeError"),
        ("explodes", 'bank main: adapter "explodes" (unknown package) cannot be set up: KeyError'),
        ("leaves", 'adapter "leaves" (unknown package) cannot be set up: SystemExit'),
        ("moody", 'adapter "moody" (unknown package) cannot be loaded: RuntimeError'),
        ("nothing", "offers no check()"),
        ("number", "is not a class"),
        ("notasync", 'adapter "notasync" (unknown package) has a check() that is not async'),
        ("listnotasync", "has a paid_on() that is not async"),
        ("tomorrow", "speaks version 2 of the protocol, this paysync speaks 1"),
        ("twice", "more than one package"),
    ],
)
def test_broken_plugin_is_a_sentence(plugins: None, adapter: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build(adapter)
    assert words in caught.value.message
    assert OPTIONS["password"] not in caught.value.message


def test_what_a_plugin_prints_is_no_part_of_the_document(plugins: None, capsys: pytest.CaptureFixture[str]) -> None:
    build("talks")
    assert capsys.readouterr() == ("", "hello\n")


def test_broken_plugins_are_lines_of_the_list(plugins: None) -> None:
    found = {a.name: a.error for a in registry.adapters()}
    broken = {"gone", "renamed", "number", "twice", "nothing", "notasync", "listnotasync", "tomorrow", "moody"}
    assert {name for name, error in found.items() if error} == broken
    assert found["baneco"] is None


@pytest.mark.parametrize(
    ("adapter", "codes"),
    [
        ("works", []),
        ("gone", ["broken_adapter"]),
        ("explodes", ["broken_adapter"]),
        ("nobody", ["unknown_adapter"]),
        ("quits", ["invalid_setting", "invalid_setting"]),
    ],
)
def test_what_is_wrong_is_told_without_asking(plugins: None, adapter: str, codes: list[str]) -> None:
    wanted = profile("https://bank.test", OPTIONS, adapter=adapter)
    tools = BankTools(httpx.AsyncClient(transport=httpx.MockTransport(lambda _: pytest.fail("asked"))), Clock())
    assert [fault.code for fault in registry.faults(wanted, tools)] == codes


@pytest.mark.parametrize(
    ("adapter", "lists"),
    [("baneco", True), ("works", False), ("lists", True), ("gone", False), ("nobody", False), ("decides", False)],
)
def test_who_lists_payments(plugins: None, adapter: str, lists: bool) -> None:
    assert registry.lists_payments(profile("https://bank.test", adapter=adapter)) is lists


@pytest.mark.parametrize("on", [True, False])
def test_the_profile_may_decide_who_lists_payments(plugins: None, on: bool) -> None:
    wanted = profile("https://bank.test", adapter="decides", tables={"day_list": {"on": on}})
    assert registry.lists_payments(wanted) is on
