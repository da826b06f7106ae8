"""What an answer of the bank means for a QR. Pure, and the only place where a status is decided.

Decisions look at all movements of the QR, old and new, never at the answer's list alone. Money that came is always
booked; the status only moves forward; whatever does not add up becomes a review for a person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from paysync_cli.payments.money import MoneyError, to_minor, to_text
from paysync_cli.payments.qr import Answer, Movement, Payment, Qr
from paysync_cli.payments.schedule import Rhythm, due_query_at, quiet_status
from paysync_cli.payments.status import BankStatus, ReviewReason, Status, may_move

DETAILS_PATIENCE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class ReviewNews:
    """Something a person must decide. `news` names it (transaction or hash), so that it is opened only once."""

    reason: ReviewReason
    news: str
    detail: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write: the new status, the money to book, the reviews to open."""

    status: Status
    book: tuple[Movement, ...] = ()
    reviews: tuple[ReviewNews, ...] = ()
    details_missing_since: datetime | None = None


def decide(
    qr: Qr,
    movements: Sequence[Movement],
    answer: Answer,
    *,
    now: datetime,
    rhythm: Rhythm,
    seen_elsewhere: frozenset[str] = frozenset(),
) -> Decision:
    """Judge one readable answer about one QR.

    `movements` are all that are booked for it, `seen_elsewhere` the answer's transaction ids that are booked for
    another QR of the same bank. `now` is the moment of writing; whether the answer may end the QR as expired depends
    only on when it was *sent*.
    """
    book, reviews = _new_money(movements, answer.payments, seen_elsewhere)
    everything = (*movements, *book)
    status = _status(qr, everything, answer, now, rhythm)
    if not may_move(qr.status, status):
        status = qr.status
    missing_since = _details_missing_since(qr, answer, everything, now)
    reviews += _sum_reviews(qr, book, everything, status)
    reviews += _late_reviews(qr, book)
    reviews += _conflict_reviews(qr, answer, everything, status)
    reviews += _unreadable_reviews(answer, everything, status, missing_since, now)
    return Decision(status, tuple(book), tuple(reviews), None if status.final else missing_since)


def fingerprint(raw: str) -> str:
    """A short stable name for an element that has no id of its own."""
    return "sha256:" + hashlib.sha256(raw.encode()).hexdigest()[:32]


def to_movement(payment: Payment) -> Movement:
    """What would be booked. Raises MoneyError, also without an id: two such payments would pass for one."""
    if not payment.bank_transaction_id.strip():
        raise MoneyError("no_transaction_id")
    amount = to_minor(payment.amount, payment.currency)
    return Movement(payment.bank_transaction_id, amount, payment.currency, payment.paid_at, payment.payer)


def name_of_unbookable(payment: Payment) -> str:
    """What the review of a payment without a movement is called: the bank's id where there is one."""
    return payment.bank_transaction_id.strip() or fingerprint(payment.raw)


def _new_money(
    movements: Sequence[Movement], payments: Iterable[Payment], seen_elsewhere: frozenset[str]
) -> tuple[list[Movement], list[ReviewNews]]:
    known = {movement.bank_transaction_id: movement for movement in movements}
    book: list[Movement] = []
    reviews: list[ReviewNews] = []
    for payment in payments:
        transaction = payment.bank_transaction_id
        try:
            movement = to_movement(payment)
        except MoneyError as error:
            detail = {"problem": error.problem, "element": payment.raw}
            reviews.append(ReviewNews(ReviewReason.UNREADABLE_PAYMENT, name_of_unbookable(payment), detail))
            continue
        before = known.get(transaction)
        if before is None:
            known[transaction] = movement
            book.append(movement)
            if transaction in seen_elsewhere:
                detail = _money_detail(movement) | {"conflict": "booked for another QR too"}
                reviews.append(ReviewNews(ReviewReason.TRANSACTION_CONFLICT, transaction, detail))
        elif (before.amount, before.currency) != (movement.amount, movement.currency):
            detail = _money_detail(movement) | {"booked": to_text(before.amount, before.currency)}
            reviews.append(ReviewNews(ReviewReason.TRANSACTION_CONFLICT, transaction, detail))
    return book, reviews


def _status(qr: Qr, everything: Sequence[Movement], answer: Answer, now: datetime, rhythm: Rhythm) -> Status:
    if not qr.multi_use and _reached(qr, everything):
        return Status.COMPLETED
    if answer.status is BankStatus.CANCELLED:
        return Status.CANCELLED
    if _ends_as_expired(qr, answer, rhythm):
        return Status.EXPIRED
    if _money_seen(qr, everything, answer):
        return Status.PROCESSING
    return quiet_status(qr.issued_at, now, rhythm)


def _reached(qr: Qr, everything: Sequence[Movement]) -> bool:
    if qr.amount is None:
        return bool(everything)
    return _paid(qr, everything) >= qr.amount


def _paid(qr: Qr, everything: Iterable[Movement]) -> int:
    return sum(movement.amount for movement in everything if movement.currency == qr.currency)


def _ends_as_expired(qr: Qr, answer: Answer, rhythm: Rhythm) -> bool:
    """Whether this answer ends the QR, were it not for money: it looks at nothing but the answer, so that the order
    in which other news came does not matter."""
    if answer.from_list:
        return False
    due_query = due_query_at(qr.due_at, rhythm)
    if due_query is None:
        return answer.status is BankStatus.EXPIRED
    if answer.sent_at < due_query:
        return False
    if answer.status in (BankStatus.UNPAID, BankStatus.EXPIRED):
        return True
    return qr.multi_use and answer.status is BankStatus.PAID


def _money_seen(qr: Qr, everything: Sequence[Movement], answer: Answer) -> bool:
    if answer.status is BankStatus.IN_PROCESS:
        return True
    if qr.multi_use:
        return answer.status is BankStatus.PAID and (bool(answer.unreadable) or not answer.payments)
    return answer.status is BankStatus.PAID or bool(everything)


def _details_missing_since(
    qr: Qr, answer: Answer, everything: Sequence[Movement], now: datetime
) -> datetime | None:  # fmt: skip
    """Since when the bank speaks of money that cannot be booked: 'paid' and no payment, or an unreadable element."""
    if answer.unreadable or (answer.status is BankStatus.PAID and not answer.payments and not everything):
        return qr.details_missing_since or now
    if everything and not answer.from_list:
        return None  # the bank's own answer shows nothing unreadable (any more); a list shows only one day
    return qr.details_missing_since


def _sum_reviews(
    qr: Qr, book: Sequence[Movement], everything: Sequence[Movement], status: Status
) -> list[ReviewNews]:  # fmt: skip
    """Reviews about the sum of a single-use QR's money, in the order in which it was paid."""
    if qr.multi_use or not everything:
        return []
    if qr.amount is None:
        return [_review(ReviewReason.DOUBLE_PAYMENT, movement, qr) for movement in _in_order(everything)[1:]]
    reviews, paid = [], 0
    for movement in _in_order(everything):
        if movement.currency != qr.currency:
            reviews.append(_review(ReviewReason.CURRENCY_MISMATCH, movement, qr))
            continue
        if paid >= qr.amount:
            reviews.append(_review(ReviewReason.DOUBLE_PAYMENT, movement, qr))
        elif paid + movement.amount > qr.amount:
            reviews.append(_review(ReviewReason.OVERPAID, movement, qr))
        paid += movement.amount
    part = [movement for movement in _in_order(book) if movement.currency == qr.currency]
    if part and paid < qr.amount and status is Status.PROCESSING:
        # Named by the payment: the next part payment is news again, also when a person closed the review of this one.
        detail = {"paid": to_text(paid, qr.currency), **_expected(qr)}
        reviews.append(ReviewNews(ReviewReason.AMOUNT_MISMATCH, part[-1].bank_transaction_id, detail))
    return reviews


def _late_reviews(qr: Qr, book: Sequence[Movement]) -> list[ReviewNews]:
    if qr.status not in (Status.EXPIRED, Status.CANCELLED):
        return []
    return [_review(ReviewReason.LATE_PAYMENT, movement, qr) for movement in book]


def _conflict_reviews(qr: Qr, answer: Answer, everything: Sequence[Movement], status: Status) -> list[ReviewNews]:
    """A partly paid QR that ends unpaid or cancelled: the status is the bank's, a person looks at the money."""
    ended_now = status in (Status.EXPIRED, Status.CANCELLED) and qr.status is not status
    if qr.multi_use or not everything or not ended_now:
        return []
    detail = {
        "bank_says": answer.bank_status,
        "status": status.value,
        "paid": to_text(_paid(qr, everything), qr.currency),
    }
    return [ReviewNews(ReviewReason.STATUS_CONFLICT, status.value, detail | _expected(qr))]


def _unreadable_reviews(
    answer: Answer, everything: Sequence[Movement], status: Status, missing_since: datetime | None, now: datetime
) -> list[ReviewNews]:
    """The day list usually brings the details; a day later, or when the QR ends, a person must look.

    An element that the list itself garbles is shown at once: nothing else will bring it.
    """
    spent = missing_since is not None and (status.final or now - missing_since >= DETAILS_PATIENCE)
    if not spent and not status.final and not answer.from_list:
        return []
    reviews = [
        ReviewNews(
            ReviewReason.UNREADABLE_PAYMENT,
            fingerprint(element.raw),
            {"problem": element.problem, "element": element.raw},
        )
        for element in answer.unreadable
    ]
    if spent and not reviews and not everything:
        detail = {"problem": "paid without details", "bank_says": answer.bank_status}
        reviews.append(ReviewNews(ReviewReason.UNREADABLE_PAYMENT, "", detail))
    return reviews


def _in_order(movements: Iterable[Movement]) -> list[Movement]:
    def moment(movement: Movement) -> tuple[float, str]:
        at = movement.paid_at.timestamp() if movement.paid_at else float("inf")
        return at, movement.bank_transaction_id

    return sorted(movements, key=moment)


def _review(reason: ReviewReason, movement: Movement, qr: Qr) -> ReviewNews:
    return ReviewNews(reason, movement.bank_transaction_id, _money_detail(movement) | _expected(qr))


def _money_detail(movement: Movement) -> dict[str, str]:
    return {
        "transaction": movement.bank_transaction_id,
        "amount": to_text(movement.amount, movement.currency),
        "currency": movement.currency,
    }


def _expected(qr: Qr) -> dict[str, str]:
    if qr.amount is None:
        return {}
    return {"expected": to_text(qr.amount, qr.currency), "expected_currency": qr.currency}
