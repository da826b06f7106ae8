"""Lists of QRs, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paysync_cli.payments.qr import Qr
from paysync_cli.store import ledger, qrs
from paysync_cli.store.database import Database
from paysync_cli.store.qrs import Wanted


@dataclass(frozen=True, slots=True)
class Listed:
    """One QR of a list. `paid` is what came in its own currency, in minor units."""

    qr: Qr
    paid: int


@dataclass(frozen=True, slots=True)
class ListReport:
    """One page. `next` is the token that continues it, None on the last page."""

    items: Sequence[Listed]
    next: str | None


def list_qrs(store: Database, wanted: Wanted) -> ListReport:
    """One page with what was paid, from one snapshot. Raises InputError on a token of another list."""
    with store.read() as tx:
        rows, token = qrs.page(tx, wanted)
        paid = ledger.paid(tx, [qr.id for qr in rows]) if rows else {}
    return ListReport([Listed(qr, paid.get(qr.id, 0)) for qr in rows], token)
