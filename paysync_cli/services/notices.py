"""A bank's notice that something was paid: its QRs are asked about at once. Nothing is ever booked from a notice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from paysync_cli.payments.schedule import after_notice
from paysync_cli.store import qrs
from paysync_cli.store.database import Database

log = logging.getLogger("paysync.notices")


@dataclass(frozen=True, slots=True)
class NoticeReport:
    """What became of the QRs of one notice.

    `asked` are asked about as soon as a worker can, `quiet` need nothing (held, or noticed seconds ago), and `unknown`
    are none of ours.
    """

    asked: tuple[str, ...]
    quiet: tuple[str, ...]
    unknown: tuple[str, ...]


def take_notice(store: Database, qr_ids: Sequence[str], *, bank: str, environment: str, now: datetime) -> NoticeReport:
    """Plan a check, urgent and free, of each QR that a notice names. Raises DatabaseUnavailable."""
    asked, quiet = [], []
    with store.write() as tx:
        known = qrs.known(tx, bank, environment, qr_ids, lock=True)
        for qr_id, qr in known.items():
            wanted = after_notice(qr, now)
            if wanted is None:
                quiet.append(qr_id)
            else:
                qrs.note_notice(tx, qr, *wanted)
                asked.append(qr_id)
    report = NoticeReport(tuple(asked), tuple(quiet), tuple(sorted(set(qr_ids) - known.keys())))
    _tell(report, bank)
    return report


def _tell(report: NoticeReport, bank: str) -> None:
    for qr_id in report.asked:
        log.info("%s: bank %s gave notice, it is asked now", qr_id, bank,
                 extra={"event_name": "notice", "bank": bank, "qr_id": qr_id})  # fmt: skip
    for qr_id in report.unknown:
        log.warning("bank %s gave notice of QR %s, which is not known here", bank, qr_id,
                    extra={"event_name": "notice_unknown_qr", "bank": bank, "qr_id": qr_id})  # fmt: skip
