"""What the screens may read and do: the promise that the command keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Protocol

from paysync_cli.services.bank_desk import BankReport
from paysync_cli.services.concerns import CauseSeen, Concern
from paysync_cli.services.explain import ExplainReport
from paysync_cli.services.inspect import QrReport
from paysync_cli.services.stats import StatsReport


@dataclass(frozen=True, slots=True)
class QrKey:
    """One QR of one bank and environment; those that are None are not known yet."""

    qr_id: str
    bank: str | None = None
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class Focus:
    """What is on the screen: only that is read, beside the figures at its head."""

    tab: str = "overview"
    qr: QrKey | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """One QR whole, and why it is or is not asked about."""

    qr: QrReport
    why: ExplainReport


@dataclass(frozen=True, slots=True)
class Look:
    """What was read, all within one moment `at`; what is not in focus is empty."""

    at: datetime
    focus: Focus
    stats: StatsReport
    per_minute: Sequence[int] = ()
    banks: Sequence[BankReport] = ()
    causes: Sequence[CauseSeen] = ()
    concerns: Sequence[Concern] = ()
    story: Story | None = None


class Desk(Protocol):
    """Reads for the screens, and acts for the person. Called from threads; raises PaysyncError."""

    @property
    def read_only(self) -> bool: ...

    @property
    def zone(self) -> tzinfo | None: ...

    def look(self, focus: Focus) -> Look:
        """Read what is in focus; changes nothing."""

    def find(self, qr_id: str) -> QrKey:
        """The QR a person typed. Raises NotFound, UsageError when several banks have one."""

    def retry(self, key: QrKey) -> str:
        """Drop its failed jobs and plan a check for now, which a worker makes; what became of it."""

    def plan_now(self, key: QrKey) -> str:
        """Plan a check for now, which a worker makes; what became of it."""

    def check_now(self, key: QrKey) -> str:
        """Ask the bank from here; what it said."""

    def pause(self, bank: str) -> str: ...

    def resume(self, bank: str) -> str: ...
