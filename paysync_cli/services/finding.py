"""Finding QRs by the start of an id or bank transaction, by amount or account."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from paysync_cli.payments.money import CURRENCIES, MoneyError, parse_amount
from paysync_cli.services.listing import Listed
from paysync_cli.store import finding, ledger
from paysync_cli.store.database import Database


@dataclass(frozen=True, slots=True)
class Found(Listed):
    """One QR and by what it was found: `qr_id`, `bank_transaction`, `amount`, `paid` or `account`."""

    by: str


@dataclass(frozen=True, slots=True)
class FindReport:
    """One page. `next` is the token that continues it, None on the last page."""

    items: Sequence[Found]
    next: str | None


def find(store: Database, text: str, *, limit: int, after: str | None) -> FindReport:
    """One page with what was paid, from one snapshot. Raises InputError on a token of another list."""
    with store.read() as tx:
        matches, token = finding.find(tx, finding.Sought(text, _amounts(text), limit, after))
        paid = ledger.paid(tx, [match.qr.id for match in matches]) if matches else {}
    return FindReport([Found(match.qr, paid.get(match.qr.id, 0), match.by) for match in matches], token)


def _amounts(text: str) -> list[tuple[int, list[str]]]:
    """What the text means as an amount: minor units, and the currencies in which it is that many."""
    currencies: dict[int, list[str]] = defaultdict(list)
    for currency in sorted(CURRENCIES):
        try:
            currencies[parse_amount(text, currency)].append(currency)
        except MoneyError:
            continue
    return sorted(currencies.items())
