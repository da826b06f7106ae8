"""Whoever leaves while places are renewed is no trouble for those who stay."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

from paysync_cli.queue.gate import BankGate, Verdict, Word
from paysync_cli.services.gate import Gate

LEASE_S = 0.15


class SlowRenewals:
    """A gate in Redis that lets everybody in and takes a while to renew the places."""

    lease_s = LEASE_S

    def __init__(self) -> None:
        self.renewals: list[int] = []

    def through(self, kept: Any, left: Any, wishes: Any) -> tuple[list[str], list[Verdict]]:
        if kept:
            self.renewals.append(len(kept))
            time.sleep(LEASE_S / 5)
        return [], [Verdict(Word.GO) for _wish in wishes]


class OpenDesk:
    def refresh(self) -> None: ...

    def closed(self, bank: str) -> None: ...

    def limits(self, bank: str) -> Any:
        return type("Limits", (), {"rate_per_s": 1000.0, "concurrency": 100})()


async def ask_until(gate: Gate, redis: SlowRenewals, renewals: int) -> None:
    async with gate.question("sim"):
        while len(redis.renewals) < renewals:
            await asyncio.sleep(0.001)


async def short_and_long() -> list[int]:
    redis = SlowRenewals()
    gate = Gate(cast("BankGate", redis), cast("Any", None), cast("Any", OpenDesk()), cast("Any", None))
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, trouble: troubles.append(trouble))
    await asyncio.gather(ask_until(gate, redis, 1), ask_until(gate, redis, 5))
    keeper = gate._keeper
    assert keeper is not None
    await keeper
    gate.close()
    assert not troubles
    return redis.renewals


def test_a_question_that_leaves_during_a_renewal_does_not_end_the_renewals() -> None:
    """The first leaves while its renewal is on its way; the second still keeps its place, again and again."""
    renewals = asyncio.run(asyncio.wait_for(short_and_long(), 20))

    assert renewals[0] == 2
    assert len(renewals) >= 5
