"""What a person must decide: listed, looked at, decided. Deciding books nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from paysync_cli.errors import NotFound, RefusedError
from paysync_cli.language import _
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.schedule import Rhythm, without_check
from paysync_cli.payments.status import Status, may_move
from paysync_cli.services.telling import tell_transition
from paysync_cli.store import history, ledger, qrs, reviews
from paysync_cli.store.database import Database, Tx
from paysync_cli.store.reviews import Review, Wanted

CAUSE = "review"  # of a transition; lives in the table


class Verdict(StrEnum):
    """What a person decides; `keep` leaves the QR as it is. Lives in the table."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class ReviewsReport:
    """One page. `next` is the token that continues it, None on the last page."""

    items: Sequence[Review]
    next: str | None


@dataclass(frozen=True, slots=True)
class ReviewReport:
    """One review with its QR as it is now, None while none is registered; `paid` in the QR's currency, minor units."""

    review: Review
    qr: Qr | None
    paid: int = 0


@dataclass(frozen=True, slots=True)
class ResolveReport:
    """What became of a decision. `already`: somebody had decided before, and nothing was changed.

    `review` and `qr` are as they are now; `before` is the QR's status until then.
    """

    review: Review
    qr: Qr | None
    before: Status | None
    already: bool = False


def list_reviews(store: Database, wanted: Wanted) -> ReviewsReport:
    """One page, the newest first. Raises InputError on a token of another list."""
    with store.read() as tx:
        rows, token = reviews.page(tx, wanted)
    return ReviewsReport(rows, token)


def show_review(store: Database, number: int) -> ReviewReport:
    """One review, from one snapshot. Raises NotFound."""
    with store.read() as tx:
        review = _the_one(tx, number)
        qr = _qr_of(tx, review)
        paid = ledger.paid(tx, [qr.id]).get(qr.id, 0) if qr is not None else 0
    return ReviewReport(review, qr, paid)


def resolve(
    store: Database, number: int, verdict: Verdict, *, reason: str, who: str, now: datetime
) -> ResolveReport:  # fmt: skip
    """Close the review and, unless `keep`, give its QR the status, in one transaction with the audit.

    Raises NotFound; RefusedError when the QR cannot take that status: then the review stays open.
    """
    with store.write() as tx:
        report = _resolve(tx, number, verdict, reason=reason, who=who, now=now)
    if not report.already and report.qr is not None and report.before not in (None, report.qr.status):
        tell_transition(replace(report.qr, status=report.before), report.qr.status.value, CAUSE)
    return report


def _resolve(tx: Tx, number: int, verdict: Verdict, *, reason: str, who: str, now: datetime) -> ResolveReport:
    review = _the_one(tx, number)
    # The QR first, as whoever records a check does: two that wait for each other would never end.
    qr = _qr_of(tx, review, lock=True)
    if review.state == reviews.RESOLVED:
        return _already(review, qr)
    wanted = None if verdict is Verdict.KEEP else _allowed(review, qr, Status(verdict.value))
    closed = reviews.resolve(
        tx, review, resolution=verdict.value, reason=reason, who=who, at=now, qr=qr.id if qr is not None else None
    )
    if not closed:
        return _already(_the_one(tx, number), qr)
    after = qr if qr is None or wanted is None else _move(tx, qr, wanted, now)
    _audit(tx, review, verdict, qr, after, reason=reason, who=who, now=now)
    return ResolveReport(_the_one(tx, number), after, qr.status if qr is not None else None)


def _the_one(tx: Tx, number: int) -> Review:
    found = reviews.one(tx, number)
    if found is None:
        raise NotFound(
            _("There is no review {id}.").format(id=number), hint=_("See: paysync review list"), code="no_review"
        )
    return found


def _qr_of(tx: Tx, review: Review, *, lock: bool = False) -> Qr | None:
    """The QR of the review, also one that was registered after the payment had come."""
    if review.qr is not None:
        return qrs.load(tx, [review.qr], lock=lock)[review.qr]
    return qrs.known(tx, review.bank, review.environment, [review.qr_id], lock=lock).get(review.qr_id)


def _already(review: Review, qr: Qr | None) -> ResolveReport:
    return ResolveReport(review, qr, qr.status if qr is not None else None, already=True)


def _allowed(review: Review, qr: Qr | None, wanted: Status) -> Status:
    """The status wanted, when the QR may take it. Raises RefusedError."""
    hint = _("--as keep closes the review and leaves the QR as it is.")
    if qr is None:
        raise RefusedError(
            _("No QR {qr} of {bank} is registered, so none can become {status}.").format(
                qr=review.qr_id, bank=review.bank, status=wanted.value
            ),
            hint=_("If it is yours, `paysync enqueue` registers it and books the payment.") + "\n" + hint,
            code="no_qr_registered",
        )
    if not may_move(qr.status, wanted):
        raise RefusedError(
            _("QR {qr} is {old} and cannot become {new}: a status only moves forward.").format(
                qr=qr.qr_id, old=qr.status.value, new=wanted.value
            ),
            hint=hint,
            code="forbidden_transition",
        )
    return wanted


def _move(tx: Tx, qr: Qr, status: Status, now: datetime) -> Qr:
    """Give the QR its final status; nothing is asked about it any more."""
    if qr.status is status:
        return qr
    plan = without_check(qr, status, now=now, rhythm=Rhythm())
    if not qrs.replan(tx, qr, plan, extra={"status": status.value, "details_missing_since": None}):
        raise RuntimeError("a locked row changed under its transaction")
    history.record_transitions(tx, [history.Transition(qr.id, now, qr.status, status, CAUSE, plan.seq)])
    return replace(qr, status=status, plan=plan, version=qr.version + 1, details_missing_since=None)


def _audit(
    tx: Tx, review: Review, verdict: Verdict, before: Qr | None, after: Qr | None, *, reason: str, who: str,
    now: datetime,
) -> None:  # fmt: skip
    history.record_action(
        tx,
        at=now,
        who=who,
        action="resolve_review",
        what=f"review/{review.id}",
        qr=before.id if before is not None else None,
        reason=reason,
        detail={
            "as": verdict.value,
            "review_reason": review.reason,
            "qr_id": review.qr_id,
            "status_before": before.status.value if before is not None else None,
            "status_after": after.status.value if after is not None else None,
        },
    )
