"""The contract of all adapters, kept by those that come with paysync, in front of the simulated bank."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import ClassVar

from paysync_cli.banks import baneco, bnb, pix, sip
from paysync_cli.testing import BankContract, Clock, Request
from tests.practice import SimulatedPractice, simulated_practice


class Simulated(BankContract):
    """In front of the simulated bank, which speaks `dialect`."""

    dialect: ClassVar[str]
    login: ClassVar[str]

    def practice_bank(self, clock: Clock) -> AbstractContextManager[SimulatedPractice]:
        return simulated_practice(clock, self.dialect)

    def options(self, bank: SimulatedPractice, url: str) -> dict[str, str]:  # type: ignore[override]
        return bank.options(url)

    def is_login(self, request: Request) -> bool:
        return request.target == self.login


class TestBaneco(Simulated):
    adapter = baneco.BanecoBank
    dialect = "baneco"
    login = baneco.LOGIN
    says = frozenset(("cancelled", "unknown_qr"))


class TestBnb(Simulated):
    adapter = bnb.BnbBank
    dialect = "bnb"
    login = bnb.LOGIN
    says = frozenset(("expired",))


class TestSip(Simulated):
    adapter = sip.SipBank
    dialect = "sip"
    login = sip.LOGIN
    says = frozenset(("cancelled", "expired"))


class TestPix(Simulated):
    adapter = pix.PixBank
    dialect = "pix"
    login = "/oauth/token"
    says = frozenset(("cancelled", "unknown_qr"))
    currency = "BRL"
    timezone = "America/Sao_Paulo"
