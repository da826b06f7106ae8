"""The probe of a bank whose breaker is open, where there is nothing to ping: a question about one of its own QRs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from paysync_cli.payments.qr import Answer, Ask
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.services import worker
from paysync_cli.services.engine import OpenBank
from paysync_cli.services.worker import Probing
from paysync_cli.store import qrs
from paysync_cli.store.database import Database
from tests.books import NOW, add_qr
from tests.core import ScriptedBank, says


class OpenGate:
    """Every bank's breaker is open, and it is time for a probe."""

    def __init__(self) -> None:
        self.probed: list[str] = []

    def closed(self, banks: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(banks, "breaker_open")

    async def probe(self, bank: str, ping: Callable[[], Awaitable[object]]) -> None:
        self.probed.append(bank)
        await ping()


class Bank(ScriptedBank):
    """Keeps the whole question."""

    def __init__(self) -> None:
        super().__init__({name: [says("unpaid")] for name in ("TEST", "OURS")})
        self.questions: list[Ask] = []

    async def check(self, ask: Ask) -> Answer:
        self.questions.append(ask)
        return await super().check(ask)


def probe(store: Database, bank: ScriptedBank, gate: OpenGate) -> None:
    banks = {"sim": OpenBank(bank, "production", Rhythm())}
    probing = Probing(store, banks, gate, SimpleNamespace(reasons={}))  # type: ignore[arg-type]
    asyncio.run(probing.run())


def test_a_bank_is_never_asked_about_a_qr_of_its_other_environment(sqlite_store: Database) -> None:
    add_qr(sqlite_store, "TEST", environment="certification", at=NOW)
    bank, gate = Bank(), OpenGate()
    probe(sqlite_store, bank, gate)
    assert (gate.probed, bank.asked) == (["sim"], [])


def test_the_probe_asks_as_a_check_does_and_reads_off_the_loop(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_qr(sqlite_store, "TEST", environment="certification", at=NOW)
    ours = add_qr(sqlite_store, "OURS", environment="production")
    readers: list[threading.Thread] = []

    def page(*given: Any) -> Any:
        readers.append(threading.current_thread())
        return qrs.page(*given)

    monkeypatch.setattr(worker, "qrs", SimpleNamespace(page=page, Wanted=qrs.Wanted))
    bank = Bank()
    probe(sqlite_store, bank, OpenGate())
    assert bank.questions == [Ask("OURS", "BOB", False, ours.issued_at)]
    assert len(readers) == 1
    assert threading.main_thread() not in readers
