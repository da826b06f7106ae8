"""What an adapter tells, made fit for the books: text that no database keeps must not hide the money beside it.

The adapters of this project tell nothing else; those of others may.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from paysync_cli.banks.wire import MAX_ID, printable
from paysync_cli.payments.qr import Answer, PaidDay, Payment, UnreadablePayment


def storable_answer(answer: Answer) -> Answer:
    """The answer with nothing in it that cannot be written."""
    if not answer.payments and not answer.unreadable and printable(answer.bank_status) == answer.bank_status:
        return answer  # as nearly all are: not paid yet
    payments, unreadable = _parted(answer.payments, answer.unreadable)
    return replace(answer, bank_status=printable(answer.bank_status), payments=payments, unreadable=unreadable)


def storable_day(paid: PaidDay) -> PaidDay:
    """The list with nothing in it that cannot be written."""
    payments, unreadable = _parted(paid.payments, paid.unreadable)
    return replace(paid, payments=payments, unreadable=unreadable)


def _parted(
    payments: Iterable[Payment], unreadable: Iterable[UnreadablePayment]
) -> tuple[tuple[Payment, ...], tuple[UnreadablePayment, ...]]:
    readable: list[Payment] = []
    others = [_storable_element(element) for element in unreadable]
    for payment in payments:
        kept = _storable(payment)
        if isinstance(kept, Payment):
            readable.append(kept)
        else:
            others.append(kept)
    return tuple(readable), tuple(others)


def _storable(payment: Payment) -> Payment | UnreadablePayment:
    """The money is booked wherever its id, its QR and its currency can be: a payer's name is only for people."""
    raw, qr_id = _text(payment.raw), payment.qr_id or ""
    if not _is_id(qr_id):
        return UnreadablePayment(raw, "no_qr_id", None)
    if not _is_id(payment.bank_transaction_id):
        return UnreadablePayment(raw, "no_transaction_id", qr_id)
    if not _is_kept(payment.currency):
        return UnreadablePayment(raw, "no_currency", qr_id)
    payer = payment.payer if payment.payer is None or _is_kept(payment.payer) else printable(payment.payer) or None
    paid_at = payment.paid_at if payment.paid_at is None or payment.paid_at.tzinfo is not None else None
    return replace(payment, qr_id=qr_id, raw=raw, payer=payer, paid_at=paid_at)


def _storable_element(element: UnreadablePayment) -> UnreadablePayment:
    qr_id = element.qr_id if element.qr_id is not None and _is_id(element.qr_id) else None
    return replace(element, raw=_text(element.raw), problem=printable(element.problem), qr_id=qr_id)


def _is_id(text: str) -> bool:
    return len(text) <= MAX_ID and _is_kept(text)


def _is_kept(text: str) -> bool:
    """Whether every database keeps this text: no NUL, no half of a character."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _text(raw: str) -> str:
    return raw if _is_kept(raw) else raw.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")
