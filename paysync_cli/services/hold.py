"""Holding QRs, so that nobody asks about them, and releasing them. The bank's day list books for them all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from paysync_cli.errors import NotFound
from paysync_cli.payments.qr import Plan, Qr
from paysync_cli.payments.schedule import open_state
from paysync_cli.payments.status import PlanState
from paysync_cli.services.inspect import look_for
from paysync_cli.store import history, qrs
from paysync_cli.store.database import Database, Tx


class Outcome(StrEnum):
    """What became of one QR. `final`: nothing is asked about it anyway."""

    HELD = "held"
    ALREADY_HELD = "already_held"
    RELEASED = "released"
    NOT_HELD = "not_held"
    FINAL = "final"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Item:
    """One QR as it is now; `qr` is None, and `missing` says so, for one that nobody knows."""

    qr_id: str
    outcome: Outcome
    qr: Qr | None = None
    missing: NotFound | None = None


@dataclass(frozen=True, slots=True)
class HoldReport:
    """All outcomes, in the order in which the QRs were named, each once."""

    items: tuple[Item, ...]

    def count(self, outcome: Outcome) -> int:
        return Counter(item.outcome for item in self.items)[outcome]

    @property
    def missing(self) -> Sequence[NotFound]:
        return [item.missing for item in self.items if item.missing is not None]


@dataclass(frozen=True, slots=True)
class Which:
    """The QRs meant: `bank` and `environment` where the same id is known in several."""

    qr_ids: Sequence[str]
    bank: str | None = None
    environment: str | None = None


def hold(store: Database, which: Which, *, reason: str, who: str, now: datetime) -> HoldReport:
    """Hold them, all in one transaction. A check that is queued or under way may still end, and book.

    Raises UsageError when an id is known in several banks or environments; then nothing is changed.
    """

    def hold_one(tx: Tx, qr: Qr) -> Item:
        if qr.plan.state is PlanState.HELD:
            return Item(qr.qr_id, Outcome.ALREADY_HELD, qr)
        after = _replan(tx, qr, replace(qr.plan, state=PlanState.HELD))
        _audit(tx, "hold", qr, after, reason=reason, who=who, now=now)
        return Item(qr.qr_id, Outcome.HELD, after)

    return _each(store, which, hold_one)


def release(store: Database, which: Which, *, reason: str | None, who: str, now: datetime) -> HoldReport:
    """Let them be asked again: at their moment, at once when it has passed. Raises as `hold`."""

    def release_one(tx: Tx, qr: Qr) -> Item:
        if qr.plan.state is not PlanState.HELD:
            return Item(qr.qr_id, Outcome.NOT_HELD, qr)
        after = _replan(tx, qr, _released(qr, now))
        _audit(tx, "release", qr, after, reason=reason, who=who, now=now)
        return Item(qr.qr_id, Outcome.RELEASED, after)

    return _each(store, which, release_one)


def _each(store: Database, which: Which, act: Callable[[Tx, Qr], Item]) -> HoldReport:
    with store.write() as tx:
        named = {qr_id: look_for(tx, qr_id, which.bank, which.environment) for qr_id in dict.fromkeys(which.qr_ids)}
        locked = qrs.load(tx, [found.id for found in named.values() if isinstance(found, Qr)], lock=True)
        return HoldReport(tuple(_outcome(tx, qr_id, found, locked, act) for qr_id, found in named.items()))


def _outcome(
    tx: Tx, qr_id: str, found: Qr | NotFound, locked: Mapping[int, Qr], act: Callable[[Tx, Qr], Item]
) -> Item:  # fmt: skip
    if isinstance(found, NotFound):
        return Item(qr_id, Outcome.NOT_FOUND, missing=found)
    qr = locked[found.id]  # as it is now that nobody else can change it
    return Item(qr_id, Outcome.FINAL, qr) if qr.status.final else act(tx, qr)


def _released(qr: Qr, now: datetime) -> Plan:
    """The old moment, or now when it has passed: time on hold is no delay that anybody should be alarmed about."""
    moment = qr.plan.next_check_at
    free_to_go = replace(qr.plan, state=PlanState.PLANNED, next_check_at=now if moment is None else max(moment, now))
    return replace(free_to_go, state=open_state(free_to_go, qr.status))


def _replan(tx: Tx, qr: Qr, plan: Plan) -> Qr:
    if not qrs.replan(tx, qr, plan):
        raise RuntimeError("a locked row changed under its transaction")
    return replace(qr, plan=plan)


def _audit(tx: Tx, action: str, before: Qr, after: Qr, *, reason: str | None, who: str, now: datetime) -> None:
    history.record_action(
        tx,
        at=now,
        who=who,
        action=action,
        what=f"{before.bank}/{before.qr_id}",
        qr=before.id,
        reason=reason,
        detail={"before": before.plan.state.value, "after": after.plan.state.value},
    )
