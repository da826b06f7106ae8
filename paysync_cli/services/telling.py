"""Telling the log and the counters what was committed: each thing once, after its commit.

A crash between the two is the only way to lose a line or a count. A commit whose answer was lost may have happened:
what it was to write is kept, and told when the books show that it is there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from paysync_cli.payments.money import to_text
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.schedule import Rhythm
from paysync_cli.payments.status import PlanState
from paysync_cli.queue.names import QUEUES, JobName
from paysync_cli.services.sync import Judge, Recorded
from paysync_cli.services.words import span_in_words
from paysync_cli.store import history, ledger, qrs
from paysync_cli.store.database import Database, Tx

UNSURE_AT_MOST = 10_000  # results kept while the database is away; more than any worker has in flight

log = logging.getLogger("paysync.checks")

Key = tuple[int, int]
"""A row and the seq that its question was meant for."""


class Counts(Protocol):
    """Where a worker counts what happened (`runtime.metrics`)."""

    def recorded(self, results: Sequence[Recorded], source: str, took_s: float) -> None:
        """A group was committed; `took_s` is how long its transaction lasted."""

    def dispatched(self, rows: Sequence[qrs.Due]) -> None:
        """Rows were moved to their queues."""


class Teller:
    """Logs and counts what `services.sync.record` commits. One for each who records, so that what is unsure of the
    one is not taken for the other's.
    """

    def __init__(self, counts: Counts | None = None) -> None:
        self._counts = counts
        self._unsure: dict[Key, tuple[Recorded, Judge]] = {}
        self._lock = threading.Lock()

    def unsure(self, results: Sequence[Recorded], judge: Judge) -> None:
        """The commit of these was sent and no answer came."""
        with self._lock:
            for result in results:
                key = _key(result)
                known = self._unsure.get(key)
                if known is not None and known[0] is result:
                    continue  # settled already, and now that repetition's commit is unsure
                if result.plan is not None and (known is not None or len(self._unsure) < UNSURE_AT_MOST):
                    self._unsure[key] = (result, judge)

    def settled(self, tx: Tx, results: Sequence[Recorded]) -> list[Recorded]:
        """The results of a group that may be a repetition: what its first commit did write takes the place of `stale`.

        To be called in the transaction of the repetition, which has the rows: whoever still wrote them has ended.
        """
        if not self._unsure:
            return list(results)
        return [self._settled(tx, result) for result in results]

    def tell(self, results: Sequence[Recorded], judge: Judge, took_s: float) -> None:
        """These are committed."""
        with self._lock:
            for result in results if self._unsure else ():
                self._unsure.pop(_key(result), None)
        if self._counts is not None:
            self._counts.recorded(results, judge.source, took_s)
        told = [tell_story(result, judge) for result in results if result.plan is not None]
        if any(told):
            flush_logs()

    def settle(self, store: Database) -> None:
        """Tell what was written of all that is unsure: for those whose groups are never repeated. Blocks.

        Raises DatabaseUnavailable.
        """
        with self._lock:
            unsure = dict(self._unsure)
        if not unsure:
            return
        with store.read() as tx:
            written = [(result, judge) for result, judge in unsure.values() if _is_written(tx, result, judge.now)]
        with self._lock:
            for key in unsure:
                self._unsure.pop(key, None)
        for result, judge in written:
            self.tell([result], judge, 0.0)

    def _settled(self, tx: Tx, result: Recorded) -> Recorded:
        with self._lock:
            before = self._unsure.get(_key(result))
        if before is None or result.plan is not None:
            return result
        held, judge = before
        return held if _is_written(tx, held, judge.now) else result


def _key(result: Recorded) -> Key:
    return result.asked.qr, result.asked.seq


def _is_written(tx: Tx, result: Recorded, now: datetime) -> bool:
    """Whether the transaction that was to write this result did: by a row that only it can have written."""
    if result.check is not None:
        return history.has_check(tx, result.check)
    if result.before is not None and result.status not in (None, result.before.status):
        return history.has_transition(tx, result.before.id, now, str(result.status))
    return any(ledger.is_booked(tx, result.asked.qr, one.bank_transaction_id, now) for one in result.booked)


def flush_logs() -> None:
    """What was logged leaves this process: handlers may gather lines, and these are about money."""
    for handler in logging.getLogger().handlers:
        handler.flush()


# -- the story --------------------------------------------------------------------------------------------------------


def tell_attempt(qr: Qr, rhythm: Rhythm, queue: str) -> None:
    """A question is about to be put."""
    if log.isEnabledFor(logging.INFO):
        attempt = qr.plan.attempts + 1
        log.info(
            "%s: checking, attempt %d/%d", qr.qr_id, attempt, rhythm.attempts,
            extra={"event_name": "check_attempt", **_of(qr), "queue": queue, "attempt": attempt},
        )  # fmt: skip


def tell_story(recorded: Recorded, judge: Judge) -> bool:
    """What became of a question, as a person tells it; one line for each thing, the last for what comes next.

    Whether anything was told: a payment not made yet is no news to who only reads warnings.
    """
    before, plan = recorded.before, recorded.plan
    if before is None or plan is None:
        return False
    failure = recorded.asked.failure
    if not (log.isEnabledFor(logging.INFO) or failure is not None or recorded.reviews):
        return False
    if failure is not None or recorded.check is not None:
        _tell_outcome(recorded, before)
    tell_news(recorded, before, judge.source)
    if recorded.check is not None or failure is not None or plan.state is PlanState.DONE:
        _tell_next(recorded, before, judge.rhythm(before.bank))
    return True


def _tell_outcome(recorded: Recorded, before: Qr) -> None:
    failure = recorded.asked.failure
    fields = {
        **_of(before),
        "queue": QUEUES[before.plan.priority],
        "attempt": before.plan.attempts + 1,
        "outcome": recorded.outcome,
        "duration_ms": recorded.asked.duration_ms,
    }
    if failure is None:
        log.info(
            "%s: succeeded, the bank says %s", before.qr_id, recorded.outcome,
            extra={"event_name": "check_succeeded", **fields},
        )  # fmt: skip
        return
    if recorded.how == "failed":
        log.error(
            "%s: given up after %d attempts: %s, %s",
            before.qr_id, fields["attempt"], recorded.outcome, recorded.reason,
            extra={"event_name": "check_given_up", **fields},
        )  # fmt: skip
        return
    # That the bank asked us to come back later is nothing wrong.
    level = logging.INFO if failure.kind == "wait" else logging.WARNING
    log.log(
        level, "%s: %s, %s", before.qr_id, recorded.outcome, recorded.reason,
        extra={"event_name": "check_failed", **fields},
    )  # fmt: skip


def tell_news(recorded: Recorded, before: Qr, source: str) -> None:
    """What is new in the books: money, the status, what a person must look at."""
    fields = {**_of(before), "source": source}
    for movement in recorded.booked:
        amount = to_text(movement.amount, movement.currency)
        log.info(
            "%s: booked %s %s, bank transaction %s",
            before.qr_id, amount, movement.currency, movement.bank_transaction_id,
            extra={"event_name": "booked", **fields, "amount": amount, "currency": movement.currency,
                   "transaction": movement.bank_transaction_id},
        )  # fmt: skip
    if recorded.status is not None and recorded.status is not before.status:
        tell_transition(before, recorded.status.value, source)
    for review in recorded.reviews:
        log.warning(
            "%s: a person must look: %s", before.qr_id, review.reason.value,
            extra={"event_name": "review_opened", **fields, "reason": review.reason.value},
        )  # fmt: skip


def tell_transition(before: Qr, new: str, source: str) -> None:
    """The QR has another status."""
    log.info(
        "%s: %s -> %s", before.qr_id, before.status.value, new,
        extra={"event_name": "transition", **_of(before), "source": source, "old": before.status.value, "new": new},
    )  # fmt: skip


def _tell_next(recorded: Recorded, before: Qr, rhythm: Rhythm) -> None:
    status, plan = recorded.status, recorded.plan
    if status is None or plan is None:
        return
    fields = {**_of(before), "checks": plan.checks, "max_checks": plan.max_checks}
    if plan.state is PlanState.DONE or plan.next_check_at is None:
        log.info(
            "%s: %s, no more checks", before.qr_id, status.value, extra={"event_name": "check_chain_ended", **fields}
        )
        return
    log.info(
        "%s: %s in %s (%s, %s priority, %d of %d checks used)",
        before.qr_id, "next attempt" if plan.attempts else "next check",
        span_in_words(plan.next_check_at - recorded.asked.at),
        status.value, plan.priority.value, plan.checks, plan.max_checks,
        extra={"event_name": "check_next", **fields, "next_check_at": plan.next_check_at,
               "attempts": plan.attempts, "of_attempts": rhythm.attempts},
    )  # fmt: skip


def _of(qr: Qr) -> dict[str, object]:
    return {"qr_id": qr.qr_id, "bank": qr.bank, "seq": qr.plan.seq, "job_id": JobName(qr.id, qr.plan.seq).id}


def tell_registered(qr_ids: Iterable[str], bank: str) -> None:
    """These QRs are in the books now."""
    for qr_id in qr_ids if log.isEnabledFor(logging.INFO) else ():
        log.info("%s: added", qr_id, extra={"event_name": "qr_registered", "qr_id": qr_id, "bank": bank})
