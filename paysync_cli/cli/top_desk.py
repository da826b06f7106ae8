"""What `paysync top` reads and does, by the same services as the other commands."""

from __future__ import annotations

import asyncio
from datetime import tzinfo
from typing import TYPE_CHECKING

from paysync_cli.cli.session import Session
from paysync_cli.cli.watching import Eye
from paysync_cli.errors import PaysyncError, RedisUnavailable
from paysync_cli.language import _
from paysync_cli.views.top.desk import Focus, Look, QrKey, Story

if TYPE_CHECKING:
    from datetime import datetime

    from paysync_cli.queue.client import QueueClient
    from paysync_cli.services.bank_desk import BankReport
    from paysync_cli.services.stats import StatsReport

MINUTES = 60


class TopDesk:
    """Keeps its connections from look to look. Every method may be called from a thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._runtime = session.runtime
        self._eye = Eye(session)

    @property
    def read_only(self) -> bool:
        return self._session.settings.read_only

    @property
    def zone(self) -> tzinfo | None:
        return self._session.zone

    # -- reading

    def look(self, focus: Focus) -> Look:
        from paysync_cli.services import concerns

        store, now = self._runtime.store, self._runtime.clock.now()
        queue = self._eye.queue()
        stats = self._eye.stats(queue)
        if focus.qr is not None:
            return Look(now, focus, stats, story=self._story(focus.qr, queue, now))
        match focus.tab:
            case "overview":
                return Look(now, focus, stats, per_minute=self._per_minute(now))
            case "banks":
                return Look(now, focus, stats, banks=self._banks(queue, stats, now))
            case "failures":
                return Look(now, focus, stats, causes=concerns.causes(store, now))
            case "qrs":
                return Look(now, focus, stats, concerns=concerns.concerns(store, stats.books, now))
        return Look(now, focus, stats)

    def find(self, qr_id: str) -> QrKey:
        from paysync_cli.services.inspect import find_one

        qr = find_one(self._runtime.store, qr_id)
        return QrKey(qr.qr_id, qr.bank, qr.environment)

    def _per_minute(self, now: datetime) -> list[int]:
        from paysync_cli.store import history

        with self._runtime.store.read() as tx:
            return history.checks_by_minute(tx, now, MINUTES)

    def _banks(self, queue: QueueClient | PaysyncError | None, stats: StatsReport, now: datetime) -> list[BankReport]:
        from paysync_cli.queue.gate import BankGate
        from paysync_cli.services import bank_desk

        gate = None
        if queue is not None and not isinstance(queue, PaysyncError) and stats.redis_error is None:
            gate = BankGate(queue, self._runtime.clock.speed)
        return bank_desk.look(self._runtime.store, gate, self._runtime.configured_banks, now)

    def _story(self, key: QrKey, queue: QueueClient | PaysyncError | None, now: datetime) -> Story:
        from paysync_cli.services.explain import Place, explain
        from paysync_cli.services.inspect import inspect

        store, runtime = self._runtime.store, self._runtime
        environments = {name: one.environment for name, one in runtime.settings.banks.items()}
        asked = None if isinstance(queue, PaysyncError) else queue
        return Story(
            inspect(store, asked, key.qr_id, bank=key.bank, environment=key.environment),
            explain(
                store,
                Place(environments, runtime.rhythms, queue),
                key.qr_id,
                now=now,
                bank=key.bank,
                environment=key.environment,
            ),
        )

    # -- doing

    def retry(self, key: QrKey) -> str:
        """As `paysync retry QR`, but an embedded Redis that does not run is not started for it."""
        from paysync_cli.cli.registering import wake_workers
        from paysync_cli.queue.failed import FailedJobs
        from paysync_cli.services.retry import Deed, Which, retry_named
        from paysync_cli.views.retry import outcome_words

        runtime, queue = self._runtime, self._eye.last
        if queue is None:
            raise RedisUnavailable(
                _("Failed jobs are in Redis, which cannot be asked now; N plans a check without it."), hint=None
            )
        queue.refuse_foreign(runtime.database_id)
        deed = Deed(runtime.who, runtime.clock.now())
        report = retry_named(runtime.store, FailedJobs(queue), Which([key.qr_id], key.bank), deed)
        wake_workers(self._session)
        return f"{key.qr_id}: {outcome_words(report.items[0].outcome).text}"

    def plan_now(self, key: QrKey) -> str:
        """As `paysync enqueue QR --now`."""
        from paysync_cli.cli.registering import wake_workers
        from paysync_cli.services.register import Request, Wish, enqueue
        from paysync_cli.views.enqueue import outcome_words

        runtime = self._runtime
        bank, now = self._session.bank(key.bank), runtime.clock.now()
        report = enqueue(
            runtime.store,
            [Request(key.qr_id, None, bank.currency, bank.account, None, False, None)],
            bank=bank.name,
            environment=key.environment or bank.environment,
            rhythm=runtime.rhythm(bank),
            now=now,
            wish=Wish(at=now, now=True, who=runtime.who),
        )
        wake_workers(self._session)
        return f"{key.qr_id}: {outcome_words(report.items[0].outcome)}"

    def check_now(self, key: QrKey) -> str:
        from paysync_cli.cli.check import ask_now
        from paysync_cli.services.inspect import find_one

        qr = find_one(self._runtime.store, key.qr_id, key.bank, key.environment)
        report = asyncio.run(ask_now(self._session, [qr], None, lambda: None))
        (checked,) = report.checked
        if checked.error is not None:
            return _("{qr}: {outcome}: {error}").format(qr=qr.qr_id, outcome=checked.outcome, error=checked.error)
        words = _("{qr}: the bank says {outcome}; it is {status}.")
        return words.format(qr=qr.qr_id, outcome=checked.outcome, status=checked.status.value)

    def pause(self, bank: str) -> str:
        from paysync_cli.cli.pause import chosen
        from paysync_cli.services import bank_desk

        banks = chosen(self._session, bank)
        bank_desk.pause(
            self._runtime.store, banks, now=self._runtime.clock.now(), span=None, who=self._runtime.who, reason=None
        )
        return _("paused: {names}").format(names=bank)

    def resume(self, bank: str) -> str:
        from paysync_cli.cli.pause import chosen
        from paysync_cli.services import bank_desk

        done = bank_desk.resume(
            self._runtime.store, chosen(self._session, bank), now=self._runtime.clock.now(), who=self._runtime.who
        )
        return _("resumed: {names}").format(names=bank) if done else _("no bank was paused")
