"""What was booked, page by page, with what it adds up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from paysync_cli.services.days import read_day, span_of
from paysync_cli.store import movements
from paysync_cli.store.database import Database
from paysync_cli.store.movements import Booked, Days, Total, Wanted

OTHER_ZONE = ZoneInfo("America/La_Paz")  # of banks that are no longer configured: the default of all banks


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


def paid_on(text: str, zones: Mapping[str, tzinfo], now: datetime) -> Days:
    """The day of `2026-12-31`, `today` or `yesterday` for every bank in its own zone. Raises InputError."""
    spans = {bank: span_of(read_day(text, zone, now), zone) for bank, zone in zones.items()}
    return Days(spans, span_of(read_day(text, OTHER_ZONE, now), OTHER_ZONE))
