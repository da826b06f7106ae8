"""The contract of all adapters, kept by `http` with three descriptions that differ as much as banks do."""

from __future__ import annotations

from contextlib import AbstractContextManager

from paysync_cli.banks.declared.bank import HttpBank
from paysync_cli.testing import BankContract, Clock, PracticeBank, Request
from tests.described_banks import Andes, Oriente, Pacifico


class TestOAuth2AndPageNumbers(BankContract):
    adapter = HttpBank
    tables = Andes.tables
    says = frozenset(("cancelled", "expired", "unknown_qr"))

    def practice_bank(self, clock: Clock) -> AbstractContextManager[PracticeBank]:
        return Andes.serve(clock)

    def options(self, bank: PracticeBank, url: str) -> dict[str, str]:
        return Andes.options

    def is_login(self, request: Request) -> bool:
        return request.target == "/oauth/token"


class TestBasicPostCentsAndCursor(BankContract):
    adapter = HttpBank
    tables = Pacifico.tables
    logs_in = False
    says = frozenset(("cancelled", "unknown_qr"))

    def practice_bank(self, clock: Clock) -> AbstractContextManager[PracticeBank]:
        return Pacifico.serve(clock)

    def options(self, bank: PracticeBank, url: str) -> dict[str, str]:
        return Pacifico.options


class TestApiKeyFormAndLinks(BankContract):
    adapter = HttpBank
    tables = Oriente.tables
    logs_in = False
    says = frozenset(("cancelled", "expired"))

    def practice_bank(self, clock: Clock) -> AbstractContextManager[PracticeBank]:
        return Oriente.serve(clock)

    def options(self, bank: PracticeBank, url: str) -> dict[str, str]:
        return Oriente.options
