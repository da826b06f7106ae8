"""The banks of one process: their adapters with token and gate, their limits and rhythms."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from paysync_cli.errors import Fault, RedisUnavailable, TryLater
from paysync_cli.language import _
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.runtime.stores import Stores
from paysync_cli.settings import BankSettings, Settings, mask_url

if TYPE_CHECKING:
    from paysync_cli.banks.base import Bank, BankProfile, TokenVault
    from paysync_cli.banks.pool import HttpClient
    from paysync_cli.banks.seal import Seal
    from paysync_cli.queue.client import QueueClient
    from paysync_cli.queue.gate import BankGate
    from paysync_cli.queue.vault import TokenShelf
    from paysync_cli.services.bank_desk import Configured
    from paysync_cli.services.dispatch import Scope
    from paysync_cli.services.engine import OpenBank
    from paysync_cli.services.gate import Gate, Limits
    from paysync_cli.services.stopped import Stopped

log = logging.getLogger("paysync.banks")


class Banks(Stores):
    """What it takes to ask the banks of the settings."""

    def __init__(self, settings: Settings, *, create: bool = False) -> None:
        super().__init__(settings, create=create)
        self._clients: list[HttpClient] = []
        self._foreground_gate: Gate | None = None

    def close(self) -> None:
        if "stopped" in self.__dict__:
            self.stopped.close()
        super().close()

    @property
    def bank_names(self) -> tuple[str, ...]:
        return tuple(self.settings.banks)

    def rhythm(self, bank: BankSettings) -> Rhythm:
        """How often QRs of this bank are asked."""
        from paysync_cli.banks.registry import lists_payments

        settings = self.settings
        return Rhythm(
            pending=timedelta(seconds=settings.delay_pending_s),
            processing=timedelta(seconds=settings.delay_processing_s),
            active=timedelta(seconds=settings.delay_active_s),
            pending_window=timedelta(seconds=settings.pending_window_s),
            due_margin=timedelta(seconds=bank.due_margin_s),
            jitter=settings.jitter,
            max_checks=settings.max_checks,
            attempts=settings.attempts,
            backoff=timedelta(seconds=settings.backoff_s),
            lists_by_payment_day=lists_payments(profile(bank)),
            shared=bank.foreign_qrs == "count",
        )

    @cached_property
    def rhythms(self) -> Mapping[str, Rhythm]:
        """Every bank's rhythm, by its name."""
        return {name: self.rhythm(bank) for name, bank in self.settings.banks.items()}

    @property
    def scopes(self) -> list[Scope]:
        """The banks and environments whose QRs this installation asks about."""
        from paysync_cli.services.dispatch import Scope

        return [Scope(bank.name, bank.environment) for bank in self.settings.banks.values()]

    def require_banks(self) -> None:
        """Raise SettingsError when no bank is configured, naming the two ways out; a missing database comes first."""
        if not self._create:
            self.store  # noqa: B018 - opening it is the point
        if not self.settings.banks:
            from paysync_cli.settings import select_bank

            select_bank(self.settings)

    @cached_property
    def stopped(self) -> Stopped:
        """Which banks' credentials are stopped, for all workers and for this process."""
        from paysync_cli.services.stopped import Stopped

        environments = {bank.name: bank.environment for bank in self.settings.banks.values()}
        return Stopped(self.store, environments, self.clock)

    def open_bank(self, bank: BankSettings, *, many: bool, waits: bool = False) -> OpenBank:
        """The bank, ready to be asked inside the running event loop; `many` chooses the transport for a worker.

        `waits`: never log in without Redis, wait for it; else Redis is used when it is at hand.
        """
        from paysync_cli.services.engine import OpenBank

        return OpenBank(self._adapter(bank, many, waits), bank.environment, self.rhythm(bank))

    def open_gated_bank(self, bank: BankSettings, *, many: bool) -> OpenBank:
        """The bank behind its gate, for callers that are no worker; Redis is used only when it is at hand."""
        from paysync_cli.services import gate

        opened = self.open_bank(bank, many=many)
        if self._foreground_gate is None:
            desk = gate.Desk(self.store, self.limits, self.clock)
            self._foreground_gate = gate.Gate(self.gate_if_running(), self.store, desk, self.clock)
        return replace(opened, bank=gate.gated(opened.bank, self._foreground_gate))

    def refuse_paused(self, bank: BankSettings) -> None:
        """Raise TryLater while this bank is paused: a person said that nobody asks it."""
        from paysync_cli.store import banks

        now = self.clock.now()
        with self.store.read() as tx:
            state = banks.state(tx, bank.name, bank.environment)
        if state is not None and state.closed(now) == "paused":
            until = _(" until {at}").format(at=state.paused_until.isoformat()) if state.paused_until else ""
            raise TryLater(
                _("Bank {bank} is paused{until} by {who}.").format(bank=bank.name, until=until, who=state.paused_by),
                hint=_("Run: paysync resume {bank}").format(bank=bank.name),
                code="paused",
            )

    def open_banks(self, *, many: bool, waits: bool = False) -> dict[str, OpenBank]:
        return {name: self.open_bank(bank, many=many, waits=waits) for name, bank in self.settings.banks.items()}

    async def close_banks(self) -> None:
        if self._foreground_gate is not None:
            self._foreground_gate.close()
        for client in self._clients:
            await client.aclose()
        self._clients.clear()

    def _adapter(self, bank: BankSettings, many: bool, waits: bool) -> Bank:
        from paysync_cli.banks import registry
        from paysync_cli.banks.base import BankTools
        from paysync_cli.banks.http import make_client

        one = profile(bank)
        if not one.tls.verify:
            fields = {"event_name": "unverified_tls", "bank": bank.name}
            log.warning("bank %s is asked WITHOUT verifying its certificate (verify_tls)", bank.name, extra=fields)
        concurrency = max(bank.concurrency, self.settings.concurrency)
        client = make_client(concurrency=concurrency, pooled=many, tls=one.tls)
        self._clients.append(client)
        return registry.build(one, BankTools(client, self.clock.now, self._vault(one, waits)))

    def _vault(self, bank: BankProfile, waits: bool) -> TokenVault:
        from paysync_cli.services.vault import SharedVault

        seal = self._seal(bank)
        queue = self.queue if waits else self._queue_at_hand
        shelf = None if queue is None else self._shelf(queue, bank, seal)
        return SharedVault(bank.name, seal, shelf, self.stopped, self.store, self.clock, waits=waits)

    def _seal(self, bank: BankProfile) -> Seal:
        from paysync_cli.banks.seal import Seal
        from paysync_cli.store.salt import vault_salt

        return Seal(bank, vault_salt(self.store))

    def _shelf(self, queue: QueueClient, bank: BankProfile, seal: Seal) -> TokenShelf:
        from paysync_cli.queue.vault import TokenShelf

        return TokenShelf(queue, bank.name, seal.fingerprint, self.clock.speed)

    @cached_property
    def _queue_at_hand(self) -> QueueClient | None:
        """The queues, None when Redis is not at hand; starts nothing."""
        try:
            return self.queue_if_running()
        except RedisUnavailable:
            return None

    def let_log_in(self, bank: BankSettings) -> None:
        """After an unlock: forget the waits and wake the workers. Without Redis they notice by themselves."""
        queue, one = self._queue_at_hand, profile(bank)
        if queue is not None:
            with contextlib.suppress(RedisUnavailable):
                self._shelf(queue, one, self._seal(one)).pardon()
                queue.wake()

    def token_good_for_s(self, bank: BankSettings) -> float | None:
        """How long the shared token of this bank is still good; None when there is none. Logs in nowhere."""
        queue, one = self._queue_at_hand, profile(bank)
        token = None if queue is None else self._shelf(queue, one, self._seal(one)).read()[0]
        return None if token is None else token.expires_in_s

    @property
    def configured_banks(self) -> list[Configured]:
        """Every bank of the settings, as far as people may see it."""
        return [self.configured(bank) for bank in self.settings.banks.values()]

    def configured(self, bank: BankSettings) -> Configured:
        """One bank of the settings, as far as people may see it."""
        from paysync_cli.services import bank_desk

        return bank_desk.Configured(bank.name, bank.adapter, mask_url(bank.base_url), self.limits[bank.name])

    def gate_if_running(self) -> BankGate | None:
        """The gates in Redis, for looking; None when Redis is not at hand."""
        from paysync_cli.queue.gate import BankGate

        try:
            queue = self.queue_if_running()
        except RedisUnavailable:
            return None
        return None if queue is None else BankGate(queue, self.clock.speed)

    def gate(self) -> Gate:
        """The way to every bank, shared with all other processes on this Redis."""
        from paysync_cli.queue.gate import BankGate
        from paysync_cli.services import gate

        desk = gate.Desk(self.store, self.limits, self.clock)
        return gate.Gate(BankGate(self.queue, self.clock.speed), self.store, desk, self.clock)

    @property
    def limits(self) -> Mapping[str, Limits]:
        """What the settings allow towards each bank."""
        from paysync_cli.services import gate

        return {
            name: gate.Limits(bank.environment, bank.rate_per_s, bank.concurrency)
            for name, bank in self.settings.banks.items()
        }


def adapter_faults(banks: Iterable[BankSettings]) -> dict[str, Sequence[Fault]]:
    """For each bank what is wrong with its adapter or with the keys that are the adapter's own. Asks no bank."""
    from paysync_cli.banks import registry
    from paysync_cli.banks.base import BankTools
    from paysync_cli.banks.http import make_client

    tools = BankTools(make_client(), lambda: datetime.now(UTC))  # never used: an adapter asks nothing while it is built
    return {bank.name: [*_tls_faults(bank), *registry.faults(profile(bank), tools)] for bank in banks}


def _tls_faults(bank: BankSettings) -> list[Fault]:
    from paysync_cli.banks.tls import file_problems

    problems = file_problems(profile(bank).tls)
    return [Fault("invalid_setting", f"banks.{bank.name}: {problem}") for problem in problems]


def profile(bank: BankSettings) -> BankProfile:
    """The bank's settings as its adapter gets them."""
    from paysync_cli.banks.base import BankProfile
    from paysync_cli.banks.tls import Tls

    return BankProfile(
        name=bank.name,
        adapter=bank.adapter,
        base_url=bank.base_url,
        environment=bank.environment,
        timezone=bank.timezone,
        currency=bank.currency,
        account=bank.account,
        due_margin_s=bank.due_margin_s,
        rate_per_s=bank.rate_per_s,
        concurrency=bank.concurrency,
        options=dict(bank.options),
        tables=bank.tables,
        tls=Tls(bank.client_cert, bank.client_key, bank.ca_bundle, bank.verify_tls),
    )
