"""The states that alerts are about, as the leader finds them on its round: what stands, what is over.

Facts come from few bounded questions; pure functions judge them. What cannot be known now (Redis away, a bank that
nobody may ask) is not judged, and stays as it was told last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from paysync_cli.errors import RedisUnavailable
from paysync_cli.payments.qr import Qr
from paysync_cli.payments.status import PlanState
from paysync_cli.queue.client import QueueClient, WorkerSeen
from paysync_cli.queue.gate import BankGate, BreakerSeen
from paysync_cli.store import banks as bank_rows
from paysync_cli.store import history, leases, qrs
from paysync_cli.store.alerts import EVERYWHERE, AlertKind, begin_state, end_state, standing
from paysync_cli.store.banks import BankState, Swept
from paysync_cli.store.clock import Clock
from paysync_cli.store.database import Database, Tx
from paysync_cli.store.leases import Lease

LATE_S, CALM_S = 600.0, 120.0  # real seconds: overdue for so long is late, for less than that it is on time again
NO_WORKER_S = 120.0
SWEEPS_MISSED = 3
WATCHED = 50  # checks of each bank whose waiting is watched: some of them end by other news than an answer
CLEANUP_WITHIN = timedelta(hours=26)
FLOOR_S = 60.0  # a compressed clock makes ordinary work look long


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a state stands. `since` and `count` matter when it does."""

    kind: AlertKind
    bank: str
    stands: bool
    since: datetime | None = None
    detail: str = ""
    count: int = 1


@dataclass(frozen=True)
class Rules:
    """What the settings say. `banks`: each with its environment; `listing`: those that list their payments."""

    banks: Mapping[str, str]
    listing: frozenset[str]
    sweep_every: timedelta
    cleans_up: bool


@dataclass(frozen=True)
class Facts:
    """What was found. `breakers`, `workers` and `policy` are None while Redis is away or does not tell.

    `oldest_due` is since when each bank's longest waiting check was wanted, also when the bank put it off meanwhile.
    `open_since` is from when on each bank may be asked, as far as this leader saw: being late counts from there.
    """

    now: datetime
    oldest_due: Mapping[str, datetime]
    last_check: datetime | None
    states: Mapping[str, BankState]
    sweeps: Mapping[str, Swept]
    last_cleanup: datetime | None
    breakers: Mapping[str, BreakerSeen] | None = None
    workers: Sequence[WorkerSeen] | None = None
    policy: str | None = None
    open_since: Mapping[str, datetime] = field(default_factory=dict)


class Watch:
    """The leader's eye: it looks, remembers since when each bank may be asked and since when its checks are wanted, and
    writes what changed.
    """

    def __init__(self, store: Database, queue: QueueClient, gate: BankGate, clock: Clock, rules: Rules) -> None:
        self._store, self._queue, self._gate, self._clock, self._rules = store, queue, gate, clock, rules
        self._began = clock.now()
        self._open_since: dict[str, datetime] = {}
        self._patience: dict[str, Patience] = {}
        self._term: int | None = None

    def round(self, lease: Lease) -> None:
        """Look once. Raises DatabaseUnavailable."""
        if lease.fence != self._term:  # what happened before, another leader saw
            self._term, self._began = lease.fence, self._clock.now()
            self._open_since.clear()
            self._patience.clear()
        facts = self._facts()
        verdicts = list(judge(facts, self._rules, self._clock, self._began))
        self._write(verdicts, lease, facts.now)

    def _facts(self) -> Facts:
        now = self._clock.now()
        with self._store.read() as tx:
            states = {
                one.bank: one for one in bank_rows.states(tx) if self._rules.banks.get(one.bank) == one.environment
            }
            last = history.last_run(tx, "cleanup")
            found: dict[str, Any] = {
                "oldest_due": {
                    bank: at
                    for bank, environment in self._rules.banks.items()
                    if (at := self._wanted_since(tx, bank, environment, now)) is not None
                },
                "last_check": history.last_check_at(tx),
                "states": states,
                "sweeps": bank_rows.last_sweeps(tx),
                "last_cleanup": None if last is None else last[0],
            }
        found |= self._of_redis()
        self._note_open(states, found.get("breakers") or {}, now)
        return Facts(now, open_since=dict(self._open_since), **found)

    def _wanted_since(self, tx: Tx, bank: str, environment: str, now: datetime) -> datetime | None:
        """Since when the longest overdue check of this bank is wanted; None when nothing is due."""
        put_off = self._patience.setdefault(bank, Patience(bank, environment)).look(tx)
        due = qrs.longest_due_at(tx, bank, environment, now)
        return min((at for at in (due, put_off) if at is not None and at <= now), default=None)

    def _of_redis(self) -> dict[str, Any]:
        try:
            return {
                "breakers": self._gate.look(list(self._rules.banks)) if self._rules.banks else {},
                "workers": self._queue.workers(),
                "policy": self._queue.server().get("maxmemory_policy"),
            }
        except RedisUnavailable:
            return {}

    def _note_open(self, states: Mapping[str, BankState], breakers: Mapping[str, BreakerSeen], now: datetime) -> None:
        for bank in self._rules.banks:
            if _shut(states.get(bank), breakers.get(bank), now):
                self._open_since[bank] = now
            else:
                self._open_since.setdefault(bank, self._began)

    def _write(self, verdicts: Sequence[Verdict], lease: Lease, now: datetime) -> None:
        with self._store.read() as tx:
            known = standing(tx)
        changed = [one for one in verdicts if one.stands != ((one.kind, one.bank) in known)]
        if not changed:
            return
        with self._store.write() as tx:
            if not leases.still_held(tx, lease):
                return
            due = qrs.count_due(tx, now) if any(one.kind in _COUNTED and one.stands for one in changed) else {}
            for one in changed:
                if one.stands:
                    count = _due(due, one.bank) if one.kind in _COUNTED else one.count
                    begin_state(tx, one.kind, one.bank, one.detail, now, since=one.since, count=max(1, count))
                else:
                    end_state(tx, one.kind, one.bank, now)


class Patience:
    """Since when the first checks of a bank are wanted.

    A bank that answers each question with a wait moves their moments again and again, and none is ever overdue for
    long: what counts is the earliest moment seen while the row's seq, which a check or a failed attempt raises, stays.
    """

    def __init__(self, bank: str, environment: str) -> None:
        self._bank, self._environment = bank, environment
        self._wanted: dict[int, tuple[datetime, int]] = {}  # row: since when, and its seq then

    def look(self, tx: Tx) -> datetime | None:
        """The earliest moment for which a check is wanted that has not been made; None when none is planned."""
        rows = qrs.load(tx, self._wanted)
        wanted = {row: (at, seq) for row, (at, seq) in self._wanted.items() if _still_wants(rows.get(row), seq)}
        for row, seq, at in qrs.first_waiting(tx, self._bank, self._environment, WATCHED):
            wanted[row] = min((at, seq), wanted.get(row, (at, seq)))
        self._wanted = dict(sorted(wanted.items(), key=lambda one: one[1])[:WATCHED])
        return min((at for at, _seq in self._wanted.values()), default=None)


def _still_wants(qr: Qr | None, seq: int) -> bool:
    return qr is not None and qr.plan.seq == seq and qr.plan.state not in (PlanState.DONE, PlanState.HELD)


_COUNTED = (AlertKind.BACKLOG_LATE, AlertKind.NOT_CONSUMING)


def _due(due: Mapping[str, int], bank: str) -> int:
    return sum(due.values()) if bank == EVERYWHERE else due.get(bank, 0)


def judge(facts: Facts, rules: Rules, clock: Clock, began: datetime) -> Iterator[Verdict]:
    """What stands and what is over; nothing about what cannot be known now. `began`: when this leader began."""
    yield from _closed_banks(facts, rules)
    yield from _lateness(facts, rules, clock)
    yield from _sweeps(facts, rules, clock)
    yield from _cleanup(facts, rules, clock, began)
    yield from _redis(facts, clock, began)


def _closed_banks(facts: Facts, rules: Rules) -> Iterator[Verdict]:
    for bank in rules.banks:
        state = facts.states.get(bank)
        stopped_at = state.stopped_at if state is not None else None
        reason = (state.stop_reason or "") if state is not None else ""
        yield Verdict(AlertKind.CREDENTIAL_STOPPED, bank, stopped_at is not None, stopped_at, reason)
        breaker = (facts.breakers or {}).get(bank)
        if breaker is not None and breaker.state in ("open", "closed"):
            yield Verdict(AlertKind.BREAKER_OPEN, bank, breaker.state == "open")


def _lateness(facts: Facts, rules: Rules, clock: Clock) -> Iterator[Verdict]:
    """Late is told of each bank while checks end, and once of the installation when none does."""
    late, worst = {}, 0.0
    for bank in rules.banks:
        if _shut_now(facts, bank):
            continue
        oldest = facts.oldest_due.get(bank)
        from_ = None if oldest is None else max(oldest, facts.open_since.get(bank, oldest))
        late[bank] = 0.0 if from_ is None else clock.real_s(facts.now - from_)
        worst = max(worst, late[bank])
    if not late:
        return
    idle = worst if facts.last_check is None else clock.real_s(facts.now - facts.last_check)
    if worst > LATE_S and idle > LATE_S:
        yield Verdict(AlertKind.NOT_CONSUMING, EVERYWHERE, True, facts.last_check)
        return
    if idle < CALM_S or worst < CALM_S:
        yield Verdict(AlertKind.NOT_CONSUMING, EVERYWHERE, False)
    for bank, seconds in late.items():
        if seconds > LATE_S:
            yield Verdict(AlertKind.BACKLOG_LATE, bank, True, facts.oldest_due[bank])
        elif seconds < CALM_S:
            yield Verdict(AlertKind.BACKLOG_LATE, bank, False)


def _sweeps(facts: Facts, rules: Rules, clock: Clock) -> Iterator[Verdict]:
    allowed = max(SWEEPS_MISSED * rules.sweep_every, clock.span(FLOOR_S))
    for bank in sorted(rules.listing & rules.banks.keys()):
        if _shut_now(facts, bank):
            continue
        swept = facts.sweeps.get(bank) or Swept(None, None)
        opened = facts.open_since.get(bank, facts.now)
        if swept.ok_at is not None and swept.error is None and facts.now - swept.ok_at <= allowed:
            yield Verdict(AlertKind.SWEEP_LATE, bank, False)
        elif facts.now - max(swept.ok_at or opened, opened) > allowed:
            yield Verdict(AlertKind.SWEEP_LATE, bank, True, swept.ok_at or opened, swept.error or "not run")


def _cleanup(facts: Facts, rules: Rules, clock: Clock, began: datetime) -> Iterator[Verdict]:
    if not rules.cleans_up:
        return
    last = facts.last_cleanup or began
    late = facts.now - last > max(CLEANUP_WITHIN, clock.span(FLOOR_S))
    yield Verdict(AlertKind.CLEANUP_LATE, EVERYWHERE, late, last)


def _redis(facts: Facts, clock: Clock, began: datetime) -> Iterator[Verdict]:
    if facts.policy is not None:
        yield Verdict(AlertKind.REDIS_EVICTS, EVERYWHERE, facts.policy != "noeviction", detail=facts.policy)
    if facts.workers is None:
        return
    if any(worker.alive for worker in facts.workers):
        yield Verdict(AlertKind.NO_WORKER, EVERYWHERE, False)
    elif clock.real_s(facts.now - began) > NO_WORKER_S:
        yield Verdict(AlertKind.NO_WORKER, EVERYWHERE, True)


def _shut_now(facts: Facts, bank: str) -> bool:
    return _shut(facts.states.get(bank), (facts.breakers or {}).get(bank), facts.now)


def _shut(state: BankState | None, breaker: BreakerSeen | None, now: datetime) -> bool:
    """Whether nobody may ask this bank: then its being late is told by another alert, or a person wants it.

    One that asked us to wait is not shut: of a bank that does so for ever, nothing else would tell.
    """
    return (state is not None and state.closed(now) is not None) or (breaker is not None and breaker.state == "open")
