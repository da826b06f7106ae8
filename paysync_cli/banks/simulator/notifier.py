"""The simulated bank gives notice: each payment that happens is told to the shop's address, in a dialect's form."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from paysync_cli.banks.simulator.bank import SimPayment, SimulatedBank
from paysync_cli.banks.simulator.dialects import DIALECTS
from paysync_cli.banks.simulator.scenario import NotifyPlan
from paysync_cli.banks.simulator.talk import object_in
from paysync_cli.banks.wire import compact_json

if TYPE_CHECKING:
    import httpx

LOOK_EVERY_S = 0.05
TRIES = 10
AGAIN_AFTER_S = 1.0
ANSWERS_WITHIN_S = 5.0
AT_ONCE = 20
KEPT = 1000  # answers kept one by one


class Notifier:
    """Sends what `bank.to_notify` yields until it is cancelled; a notice that is not taken is sent again, ten times."""

    def __init__(self, bank: SimulatedBank) -> None:
        self._bank = bank
        self._places = asyncio.Semaphore(AT_ONCE)
        self._counts: Counter[str] = Counter()
        self._answers: deque[dict[str, object]] = deque(maxlen=KEPT)

    async def run(self) -> None:
        while True:
            plan = self._bank.notify
            if plan is None:
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                await self._send_to(plan)

    async def _send_to(self, plan: NotifyPlan) -> None:
        """Send to this address for as long as it is the one."""
        import httpx

        async with httpx.AsyncClient(timeout=ANSWERS_WITHIN_S, trust_env=False) as client, asyncio.TaskGroup() as tasks:
            while self._bank.notify == plan:
                for payment in self._bank.to_notify():
                    for _copy in range(plan.copies):
                        tasks.create_task(self._tell(client, plan, payment))
                await asyncio.sleep(LOOK_EVERY_S)

    async def _tell(self, client: httpx.AsyncClient, plan: NotifyPlan, payment: SimPayment) -> None:
        import httpx

        dialect = DIALECTS[plan.dialect]
        suffix, told = dialect.notice(self._bank, payment)
        parts = urlsplit(plan.url)
        address = parts._replace(path=parts.path.rstrip("/") + suffix).geturl()
        body, headers = compact_json(told, limit=1 << 20).encode(), {"content-type": "application/json"}
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(AGAIN_AFTER_S)
            try:
                async with self._places:
                    answer = await client.post(address, content=body, headers=headers)
            except httpx.HTTPError as error:
                self._note(payment, type(error).__name__)
                continue
            self._note(payment, str(answer.status_code))
            if dialect.notice_taken(answer.status_code, object_in(answer.content)):
                self._counts["taken"] += 1
                return
        self._counts["given_up"] += 1

    def _note(self, payment: SimPayment, outcome: str) -> None:
        self._counts["sent"] += 1
        self._answers.append({"qr": payment.qr_id, "id": payment.id, "outcome": outcome})

    def report(self) -> dict[str, object]:
        """`{"sent", "taken", "given_up", "answers": [{"qr", "id", "outcome"}]}`; an outcome is an HTTP status or the
        name of an error."""
        return {**{key: self._counts[key] for key in ("sent", "taken", "given_up")}, "answers": list(self._answers)}
