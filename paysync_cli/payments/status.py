"""The words of a QR's life. Their values live in SQL, in JSON and in logs: written once and frozen."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a QR stands."""

    PENDING = "pending"
    PROCESSING = "processing"
    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        return self in FINAL


class PlanState(StrEnum):
    """What happens next to a QR."""

    PLANNED = "planned"
    QUEUED = "queued"
    EXHAUSTED = "exhausted"
    HELD = "held"
    DONE = "done"


class Priority(StrEnum):
    """Which queue a check goes to; `rank` orders them, the most urgent first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {priority: rank for rank, priority in enumerate(Priority)}


class BankStatus(StrEnum):
    """What a bank can say of a QR, in our words. There is no 'unknown': that is an error, never a status."""

    UNPAID = "unpaid"
    IN_PROCESS = "in_process"
    PAID = "paid"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class ReviewReason(StrEnum):
    """Why a person must decide."""

    AMOUNT_MISMATCH = "amount_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    OVERPAID = "overpaid"
    DOUBLE_PAYMENT = "double_payment"
    LATE_PAYMENT = "late_payment"
    UNKNOWN_QR = "unknown_qr"
    UNREADABLE_PAYMENT = "unreadable_payment"
    TRANSACTION_CONFLICT = "transaction_conflict"
    STATUS_CONFLICT = "status_conflict"


FINAL = frozenset({Status.COMPLETED, Status.CANCELLED, Status.EXPIRED})

# Forward only. A final status yields to a stronger one (expired < cancelled < completed), so that every order of
# the same news ends alike; `processing` never falls back, because money was seen.
FORWARD: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(Status) - {Status.PENDING},
    Status.ACTIVE: frozenset({Status.PROCESSING}) | FINAL,
    Status.PROCESSING: FINAL,
    Status.EXPIRED: frozenset({Status.CANCELLED, Status.COMPLETED}),
    Status.CANCELLED: frozenset({Status.COMPLETED}),
    Status.COMPLETED: frozenset(),
}


def may_move(old: Status, new: Status) -> bool:
    """Whether a QR may go from `old` to `new`; staying is always allowed."""
    return old is new or new in FORWARD[old]
