"""Where a QR stands, in the few words that an application wants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from paysync_cli.payments.money import to_text
from paysync_cli.services.inspect import the_one
from paysync_cli.store import ledger
from paysync_cli.store.database import Database


@dataclass(frozen=True, slots=True)
class QrStatus:
    """Where a QR stands. Amounts are text in the currency's major unit; moments are aware, in UTC."""

    qr_id: str
    bank: str
    status: str
    final: bool
    amount: str | None
    currency: str
    paid: str
    account: str
    due_at: datetime | None
    next_check_at: datetime | None
    plan_state: str
    checks: int


def standing(store: Database, qr_id: str, bank: str | None = None) -> QrStatus:
    """Where the QR stands by our books, from one snapshot. Raises as `inspect.find_one`."""
    with store.read() as tx:
        qr = the_one(tx, qr_id, bank)
        paid = ledger.paid(tx, [qr.id]).get(qr.id, 0)
    return QrStatus(
        qr_id=qr.qr_id,
        bank=qr.bank,
        status=qr.status.value,
        final=qr.status.final,
        amount=None if qr.amount is None else to_text(qr.amount, qr.currency),
        currency=qr.currency,
        paid=to_text(paid, qr.currency),
        account=qr.account,
        due_at=qr.due_at,
        next_check_at=qr.plan.next_check_at,
        plan_state=qr.plan.state.value,
        checks=qr.plan.checks,
    )
