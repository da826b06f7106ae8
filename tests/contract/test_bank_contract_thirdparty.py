"""The contract of all adapters, kept by one that lives in a package of its own."""

from __future__ import annotations

from contextlib import AbstractContextManager

from paysync_cli.testing import BankContract, Clock, PracticeBank
from tests.examplebank import KEY_ID, SECRET, adapter_class, example_bank


class TestExampleBank(BankContract):
    adapter = adapter_class()
    logs_in = False
    says = frozenset(("cancelled", "unknown_qr"))

    def practice_bank(self, clock: Clock) -> AbstractContextManager[PracticeBank]:
        return example_bank(clock)

    def options(self, bank: PracticeBank, url: str) -> dict[str, str]:
        return {"key_id": KEY_ID, "secret": SECRET}
