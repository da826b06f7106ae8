"""Finding QRs by what a person has in hand: the start of an id or of a bank transaction, an amount, an account.

Each of these ways reads one index in its order, so that a million QRs cost no more than a page. Ids are ordered by
bytes on both databases (`store.columns`): what begins alike is a range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, select, tuple_

from paysync_cli.errors import InputError
from paysync_cli.language import _
from paysync_cli.payments.qr import Qr
from paysync_cli.store.database import Tx
from paysync_cli.store.qrs import from_row
from paysync_cli.store.tables import movements, qrs
from paysync_cli.store.tokens import LARGEST_ID, packed, unpacked

STEP = 500  # rows read at once: one QR may stand there with many movements
_LAST = "\U0010ffff"  # no text that begins so goes beyond it


@dataclass(frozen=True, slots=True)
class Sought:
    """What to look for. `amounts` are minor units, each with the currencies in which they are that amount."""

    text: str
    amounts: Sequence[tuple[int, Sequence[str]]] = ()
    limit: int = 50
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A QR and by what it was found: `qr_id`, `bank_transaction`, `amount`, `paid` or `account`."""

    qr: Qr
    by: str


def find(tx: Tx, sought: Sought) -> tuple[list[Match], str | None]:
    """One page and the token of the next: way after way, ids in their order, the others with the newest first.

    A QR that is found in several ways comes once in a page. Raises InputError on a foreign token.
    """
    ways = _ways(sought)
    first, keys = (0, None) if sought.after is None else _read_token(sought.after, ways)
    found: dict[int, Match] = {}
    token: str | None = None
    for number in range(first, len(ways)):
        for qr, here in _rows(tx, ways[number], keys if number == first else None):
            if qr.id in found:
                continue
            if len(found) == sought.limit:
                return list(found.values()), token
            found[qr.id] = Match(qr, ways[number].by)
            token = _write_token(number, here)
    return list(found.values()), None


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to find: the rows, and the columns that order them."""

    by: str
    query: Select[Any]
    order: tuple[Any, ...]
    newest_first: bool

    def after(self, keys: Sequence[Any] | None) -> Select[Any]:
        query = self.query.add_columns(*self.order)
        if keys is not None:
            mine = tuple_(*self.order)
            query = query.where(mine < tuple(keys) if self.newest_first else mine > tuple(keys))
        return query.order_by(*(column.desc() if self.newest_first else column for column in self.order)).limit(STEP)


def _ways(sought: Sought) -> list[_Way]:
    text = sought.text
    with_money = select(qrs).join(movements, movements.c.qr == qrs.c.id)
    ways = [
        _Way("qr_id", select(qrs).where(_begins(qrs.c.qr_id, text)), (qrs.c.qr_id, qrs.c.id), newest_first=False),
        _Way("bank_transaction", with_money.where(_begins(movements.c.bank_transaction_id, text)),
             (movements.c.bank_transaction_id, movements.c.bank, movements.c.id), newest_first=False),
    ]  # fmt: skip
    for minor, currencies in sought.amounts:
        asked = select(qrs).where(qrs.c.amount_minor == minor, qrs.c.currency.in_(currencies))
        paid = with_money.where(movements.c.amount_minor == minor, movements.c.currency.in_(currencies))
        ways += [
            _Way("amount", asked, (qrs.c.id,), newest_first=True),
            _Way("paid", paid, (movements.c.id,), newest_first=True),
        ]
    ways.append(_Way("account", select(qrs).where(qrs.c.account == text), (qrs.c.id,), newest_first=True))
    return ways


def _begins(column: Any, text: str) -> Any:
    return and_(column >= text, column < text + _LAST)


def _rows(tx: Tx, way: _Way, keys: Sequence[Any] | None) -> Iterator[tuple[Qr, tuple[Any, ...]]]:
    width = len(way.order)
    while True:
        rows = tx.execute(way.after(keys)).all()
        for row in rows:
            keys = tuple(row)[-width:]
            yield from_row(tuple(row)[:-width]), keys
        if len(rows) < STEP:
            return


def _write_token(way: int, keys: Sequence[Any]) -> str:
    return packed(["find", way, *keys])


def _read_token(token: str, ways: Sequence[_Way]) -> tuple[int, tuple[Any, ...]]:
    try:
        made_for, way, *keys = unpacked(token)
        if made_for != "find" or type(way) is not int or not 0 <= way < len(ways):
            raise ValueError(token)
        kinds = [column.type.python_type for column in ways[way].order]
        if [type(key) for key in keys] != kinds or not all(_fits(key) for key in keys):
            raise ValueError(token)
    except (ValueError, TypeError, RecursionError):
        raise InputError(
            _("--after {token} is not a page of this list.").format(token=token),
            hint=_("Take the token that the page before printed, with the same text."),
        ) from None
    return way, tuple(keys)


def _fits(key: Any) -> bool:
    return not isinstance(key, int) or 0 <= key <= LARGEST_ID
