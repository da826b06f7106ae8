"""An installation's login guard without processes: several vaults, as of several workers, on one Redis and one SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from paysync_cli.banks.base import BankError
from paysync_cli.banks.seal import Seal
from paysync_cli.banks.session import Session, Token
from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.link import Link
from paysync_cli.queue.vault import TokenShelf
from paysync_cli.services.stopped import Stopped
from paysync_cli.services.vault import SharedVault
from paysync_cli.store import alerts, banks
from paysync_cli.store.banks import BankState
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database
from paysync_cli.store.salt import vault_salt
from tests.simulated import OPTIONS, profile

BANK, ENVIRONMENT = "baneco", "certification"
CANARY_TOKEN = "canary-token"


@dataclass
class BankOffice:
    """The bank's login: counts, and answers as told. `delay_s` is how long it takes."""

    answer: Callable[[int], str | BankError] = lambda n: f"{CANARY_TOKEN}-{n}"
    delay_s: float = 0.0
    lifetime_s: float = 1800.0
    logins: int = 0
    in_flight: int = 0
    most_in_flight: int = 0

    async def __call__(self) -> Token:
        self.logins += 1
        answer = self.answer(self.logins)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.in_flight -= 1
        if isinstance(answer, BankError):
            raise answer
        return Token(answer, self.lifetime_s)


@dataclass
class Worker:
    """What one process has of the guard."""

    vault: SharedVault
    session: Session
    shelf: TokenShelf
    stopped: Stopped

    def forget_copies(self) -> None:
        """As if a second had passed since it looked."""
        self.vault._looked_at = self.vault._closed_until = self.stopped._read_at = float("-inf")


@dataclass
class House:
    """One database and one Redis."""

    store: Database
    url: str
    office: BankOffice = field(default_factory=BankOffice)
    speed: float = 1.0
    clients: list[QueueClient] = field(default_factory=list)

    def __post_init__(self) -> None:
        now = datetime.now(UTC)
        self.clock = Clock(now, now, self.speed)

    def worker(self, *, waits: bool = True, redis: bool = True, url: str | None = None, **changes: Any) -> Worker:
        """A process of its own; `changes` are options of its credential."""
        client = QueueClient(Link(url or self.url, "the test's Redis"))
        self.clients.append(client)
        seal = Seal(profile("https://bank.test", OPTIONS | changes), vault_salt(self.store))
        shelf = TokenShelf(client, BANK, seal.fingerprint, self.speed)
        stopped = Stopped(self.store, {BANK: ENVIRONMENT}, self.clock)
        vault = SharedVault(BANK, seal, shelf if redis else None, stopped, self.store, self.clock, waits=waits)
        return Worker(vault, Session(self.office, self.clock.now, vault), shelf, stopped)

    def state(self) -> BankState | None:
        with self.store.read() as tx:
            return banks.state(tx, BANK, ENVIRONMENT)

    def alerts(self) -> list[tuple[str, int]]:
        with self.store.read() as tx:
            return [(one.kind.value, one.count) for one in alerts.list_alerts(tx)]

    def close(self) -> None:
        for client in self.clients:
            client.close()


async def outcome(of: Awaitable[Any]) -> str:
    """`ok`, or which failure it ended in."""
    try:
        await of
    except BankError as error:
        return error.outcome
    return "ok"


async def call(worker: Worker, accepts: Callable[[str], bool]) -> str:
    """One call to the bank as an adapter makes it: with at most one new login for a 401."""
    try:
        for again in (False, True):
            token = await worker.session.token()
            await asyncio.sleep(0)
            if accepts(token):
                await worker.session.accepted(token)
                return "ok"
            await worker.session.rejected(token, again=again)
    except BankError as error:
        return error.outcome
    return "401"
