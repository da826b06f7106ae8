"""paysync for the application that issues QRs.

from paysync_cli import PaySync

with PaySync() as sync:
    sync.enqueue("QR123", amount="100.50", currency="BOB", due="2026-12-31")
    sync.status("QR123")
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Self

from paysync_cli.errors import InputError, RedisUnavailable, RefusedError, UnavailableError
from paysync_cli.language import _
from paysync_cli.runtime import Runtime
from paysync_cli.services.standing import QrStatus, standing
from paysync_cli.settings import Settings, load_settings, select_bank

__all__ = ["Enqueued", "PaySync", "QrStatus"]

WORKER_ENDS_WITHIN_S = 60.0
READY = b"ready\n"  # what `paysync worker --with-parent` says once it takes work


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What became of a QR.

    `outcome` is created, already_planned, moved, conflict or final; `queued` is False when Redis could not be told:
    the row is safe all the same, and the next dispatch finds it. `detail` says what differs for a conflict.
    """

    qr_id: str
    outcome: str
    queued: bool
    next_check_at: datetime | None
    detail: str | None = None


class PaySync:
    """The books of one installation. Without `settings` they come from where every command takes them.

    Safe to use from several threads; close it, or use it as a context manager.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings_given = settings is not None
        self._runtime = Runtime(settings or load_settings(), create=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and leave Redis."""
        self._runtime.close()

    def enqueue(
        self,
        qr_id: str,
        *,
        amount: str | Decimal | int | None = None,
        currency: str | None = None,
        due: str | date | datetime | None = None,
        account: str | None = None,
        bank: str | None = None,
        multi_use: bool = False,
        issued_at: str | datetime | None = None,
        now: bool = False,
    ) -> Enqueued:
        """Register a QR, unless it is known, and plan its check; only the id is required.

        `due` as a date ends with the bank's day. `now` asks for a check at once. Redis being down is no error.
        Raises InputError for a value that cannot be right, UsageError without a bank, DatabaseUnavailable.
        """
        from paysync_cli.services.register import Wish, enqueue
        from paysync_cli.services.requests import BankDefaults, parse_request

        self._refuse_when_read_only()
        if not isinstance(qr_id, str):
            raise InputError(_("A QR id is text, not {kind}.").format(kind=type(qr_id).__name__))
        runtime, chosen = self._runtime, select_bank(self._runtime.settings, bank)
        moment = runtime.clock.now()
        fields = {
            "qr_id": qr_id,
            "amount": _amount(amount),
            "currency": currency,
            "due": _moment(due),
            "account": account,
            "issued_at": _moment(issued_at),
            "multi_use": "true" if multi_use else None,
        }
        defaults = BankDefaults(chosen.name, chosen.currency, chosen.account, chosen.timezone)
        request = parse_request({name: text for name, text in fields.items() if text is not None}, defaults, moment)
        wish = Wish(at=moment if now else None, now=now, who=runtime.who)
        report = enqueue(
            runtime.store,
            [request],
            bank=chosen.name,
            environment=chosen.environment,
            rhythm=runtime.rhythm(chosen),
            now=moment,
            wish=wish,
        )
        (item,) = report.items
        return Enqueued(item.qr_id, item.outcome.value, self._tell_workers(), item.next_check_at, item.detail)

    def status(self, qr_id: str, *, bank: str | None = None) -> QrStatus:
        """Where a QR stands now, by our books. Raises NotFound; UsageError when several banks know the id."""
        return standing(self._runtime.store, qr_id, bank)

    @contextlib.contextmanager
    def worker(self, concurrency: int = 5) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker as a child of this process, for the small installation; it ends with the block.

        It also ends when this process dies, however that happens: it watches the pipe between the two.
        Raises RefusedError when this object was given settings of its own: the child could not see them;
        UnavailableError when the child ends before it could take work (it says why on standard error).
        """
        if self._settings_given:
            raise RefusedError(
                _("A child worker reads its settings from the environment and files, not from this object."),
                hint=_("Use PaySync() with REDIS_URL, DATABASE_URL and the banks in the environment."),
            )
        argv = [sys.executable, "-m", "paysync_cli", "worker", "--concurrency", str(concurrency), "--with-parent"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            try:
                if child.stdout is None or child.stdout.readline() != READY:
                    raise UnavailableError(
                        _("The worker ended at once, with exit status {status}.").format(status=child.wait())
                    )
                yield child
            finally:
                child.terminate()
                try:
                    child.wait(WORKER_ENDS_WITHIN_S)
                except subprocess.TimeoutExpired:
                    child.kill()

    def _tell_workers(self) -> bool:
        try:
            queue = self._runtime.queue_if_running()
            if queue is not None:
                queue.wake()
        except RedisUnavailable:
            return False
        return True

    def _refuse_when_read_only(self) -> None:
        if self._runtime.settings.read_only:
            raise RefusedError(_("PAYSYNC_READ_ONLY is set: nothing may be changed."), code="read_only")


def _amount(amount: str | Decimal | int | None) -> str | None:
    if isinstance(amount, float):
        raise InputError(_('An amount as float is refused: write it as text or Decimal, like "100.50".'))
    return None if amount is None else str(amount)


def _moment(moment: str | date | datetime | None) -> str | None:
    if moment is None or isinstance(moment, str):
        return moment
    return moment.isoformat()
