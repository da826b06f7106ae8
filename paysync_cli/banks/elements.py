"""A bank's payment element as a Payment, or as one that nobody can read: never booked, never dropped, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from datetime import datetime
from decimal import Decimal

from paysync_cli.banks.base import Unreadable
from paysync_cli.banks.wire import identifier, printable
from paysync_cli.payments.money import MoneyError, to_minor
from paysync_cli.payments.qr import Payment, UnreadablePayment

MAX_UNREADABLE = 10_000  # of one answer: each becomes a review, and more of them are no payments but another format


def payment_of(
    raw: str,
    qr_id: str,
    number: object,
    amount: Decimal | None,
    currency: object,
    *,
    paid_at: datetime | None = None,
    payer: object = None,
) -> Payment | UnreadablePayment:
    """The payment `number` of a QR, as the bank tells it in `raw`.

    Unreadable problems: `no_transaction_id`, `no_amount`, `no_currency`, and the words of `MoneyError`. A moment or a
    payer that is not there is nothing bad.
    """
    transaction_id = identifier(number)
    if transaction_id is None:
        return UnreadablePayment(raw, "no_transaction_id", qr_id)
    if amount is None:
        return UnreadablePayment(raw, "no_amount", qr_id)
    if not isinstance(currency, str) or not currency.strip():
        return UnreadablePayment(raw, "no_currency", qr_id)
    currency = currency.strip().upper()
    try:
        to_minor(amount, currency)
    except MoneyError as error:
        return UnreadablePayment(raw, error.problem, qr_id)
    who = (printable(payer) or None) if isinstance(payer, str) else None
    return Payment(qr_id, transaction_id, amount, currency, paid_at, who, raw)


def parted(
    read: Iterable[Payment | UnreadablePayment],
) -> tuple[tuple[Payment, ...], tuple[UnreadablePayment, ...]]:
    """The readable ones and the others, in their order. Raises as `refuse_junk`, without reading on."""
    readable: list[Payment] = []
    unreadable: list[UnreadablePayment] = []
    for one in read:
        if isinstance(one, Payment):
            readable.append(one)
        else:
            unreadable.append(one)
            refuse_junk(unreadable)
    return tuple(readable), tuple(unreadable)


def refuse_junk(unreadable: Sized) -> None:
    """Raise Unreadable when so many elements cannot be read that nothing of the answer is believed."""
    if len(unreadable) > MAX_UNREADABLE:
        raise Unreadable(f"more than {MAX_UNREADABLE} payments that cannot be read: nothing of the answer is believed")
