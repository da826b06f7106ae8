"""What was booked, page by page, with what it adds up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paysync_cli.store import movements
from paysync_cli.store.database import Database
from paysync_cli.store.movements import Booked, Total, Wanted


@dataclass(frozen=True, slots=True)
class MovementsReport:
    """One page; `totals` are of the whole list. `next` is the token that continues it, None on the last page."""

    items: Sequence[Booked]
    totals: Sequence[Total]
    next: str | None


def list_movements(store: Database, wanted: Wanted) -> MovementsReport:
    """One page and the totals, from one snapshot. Raises InputError on a token of another list."""
    with store.read() as tx:
        rows, token = movements.page(tx, wanted)
        return MovementsReport(rows, movements.totals(tx, wanted), token)
