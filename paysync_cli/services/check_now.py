"""Asking the bank now, in the foreground, without the queue: same decision, same transaction, costs no budget."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from paysync_cli.payments.qr import Movement, Qr
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.payments.status import Status
from paysync_cli.services.engine import OpenBank
from paysync_cli.services.sync import Judge, ask, record
from paysync_cli.store import qrs
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database

PAGE = 500


@dataclass(frozen=True, slots=True)
class Checked:
    """One QR asked now. `error` says why there was no answer; then nothing changed."""

    qr: Qr
    outcome: str
    status: Status
    next_check_at: datetime | None
    booked: tuple[Movement, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All that were asked, in the order in which they ended. `refused` names banks that refused our credential."""

    checked: tuple[Checked, ...]
    refused: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        return sum(one.error is not None for one in self.checked)

    @property
    def changed(self) -> int:
        return sum(one.status is not one.qr.status or bool(one.booked) for one in self.checked)


def open_qrs(store: Database, *, bank: str | None, since: datetime | None) -> list[Qr]:
    """Every QR that is not final, registered since the moment given, the longest waiting first."""
    found: list[Qr] = []
    with store.read() as tx:
        wanted = qrs.Wanted(open_only=True, bank=bank, since=since, sort="next-check", limit=PAGE)
        while True:
            page, token = qrs.page(tx, wanted)
            found += [qr for qr in page if not qr.status.final]
            if token is None:
                return found
            wanted = replace(wanted, after=token)


async def check_now(
    store: Database,
    banks: Mapping[str, OpenBank],
    wanted: Sequence[Qr],
    clock: Clock,
    *,
    concurrency: int,
    rate_per_s: float | None = None,
    progress: Callable[[], None] = lambda: None,
) -> CheckReport:
    """Ask about each QR once, at most `concurrency` at a time and `rate_per_s` a second.

    A bank that refuses the credential is not asked again. Every answer is written before the next QR of the slot.
    """
    checked: list[Checked] = []
    refused: dict[str, str] = {}
    slots = asyncio.Semaphore(concurrency)
    rhythms = {name: bank.rhythm for name, bank in banks.items()}

    async def one(qr: Qr) -> None:
        async with slots:
            checked.append(await _check_one(store, banks[qr.bank], qr, clock, rhythms, refused))
            progress()

    async with asyncio.TaskGroup() as tasks:
        for turn, qr in enumerate(wanted):
            if rate_per_s is not None and turn:
                await asyncio.sleep(1 / rate_per_s)
            tasks.create_task(one(qr))
    return CheckReport(tuple(checked), tuple(refused))


async def _check_one(
    store: Database, bank: OpenBank, qr: Qr, clock: Clock, rhythms: Mapping[str, Rhythm], refused: dict[str, str]
) -> Checked:
    if qr.bank in refused:
        return Checked(qr, "refused", qr.status, qr.plan.next_check_at, error=refused[qr.bank])
    asked = await ask(bank.bank, qr, clock.now, time.monotonic)
    if asked.failure is not None:
        if asked.failure.outcome == "refused":
            refused[qr.bank] = asked.failure.message
        return Checked(qr, asked.failure.outcome, qr.status, qr.plan.next_check_at, error=asked.failure.message)
    judge = Judge(rhythms, clock.now(), random.random, source="manual")
    (recorded,) = await asyncio.to_thread(record, store, [replace(asked, free=True)], judge)
    status, plan = recorded.status or qr.status, recorded.plan or qr.plan
    return Checked(qr, recorded.outcome, status, plan.next_check_at, recorded.booked)
