"""The banks as operators see and steer them: open or closed and why, limits, pause; each action is audited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from paysync_cli.banks.base import BankError
from paysync_cli.errors import Fault
from paysync_cli.queue.gate import BankGate, BreakerSeen
from paysync_cli.services.gate import Limits
from paysync_cli.store import banks as bank_rows
from paysync_cli.store import history, qrs
from paysync_cli.store.banks import BankState
from paysync_cli.store.database import Database, Tx


@dataclass(frozen=True, slots=True)
class BankReport:
    """One configured bank. `closed` is why it is not asked now (adapter_broken, credential_stopped, paused,
    breaker_open, held).

    `paused` also while something worse closes it. `breaker` is None when Redis was not at hand; `adapter_error` says
    why no worker can set the bank up.
    """

    name: str
    adapter: str
    environment: str
    base_url: str
    closed: str | None
    state: BankState | None
    limits: Limits
    settings_limits: Limits
    breaker: BreakerSeen | None
    open_qrs: int
    due: int
    swept: bank_rows.Swept
    adapter_error: str | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Configured:
    """What the settings say of a bank, as far as people may see it."""

    name: str
    adapter: str
    base_url: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Tested:
    """A bank that was called: how long its answer took, or why there was none (`outcome` is the kind)."""

    bank: str
    duration_ms: int
    outcome: str
    error: str | None = None


def look(store: Database, gate: BankGate | None, configured: Sequence[Configured], now: datetime) -> list[BankReport]:
    """Every configured bank, from one snapshot of SQL, with its breaker when Redis is at hand."""
    with store.read() as tx:
        states = _states(tx)
        counts, due = qrs.overview(tx), qrs.count_due(tx, now)
        reports = []
        for one in configured:
            environment = one.limits.environment
            state = states.get((one.name, environment))
            reports.append(
                BankReport(
                    name=one.name,
                    adapter=one.adapter,
                    environment=environment,
                    base_url=one.base_url,
                    closed=state.closed(now) if state else None,
                    state=state,
                    limits=one.limits.under(state),
                    settings_limits=one.limits,
                    breaker=None,
                    open_qrs=sum(n for bank, _plan, status, n in counts if bank == one.name and not status.final),
                    due=due.get(one.name, 0),
                    swept=bank_rows.swept(tx, one.name, environment),
                    paused=state is not None and state.paused(now),
                )
            )
    return [_with_breaker(report, gate) for report in reports]


def with_adapter_faults(reports: Sequence[BankReport], faults: Mapping[str, Sequence[Fault]]) -> list[BankReport]:
    """The reports, told which banks no worker can set up, and why; `faults` by bank."""
    return [
        replace(report, closed="adapter_broken", adapter_error=" ".join(fault.message for fault in found))
        if (found := faults.get(report.name))
        else report
        for report in reports
    ]


def pause(
    store: Database,
    banks: Sequence[Configured],
    *,
    now: datetime,
    span: timedelta | None,
    who: str,
    reason: str | None,
) -> list[str]:
    """Pause these banks, until told otherwise or for a span; their names. A second pause replaces the first."""
    until = now + span if span is not None else None
    with store.write() as tx:
        for bank in banks:
            bank_rows.change(
                tx, bank.name, bank.limits.environment,
                paused_at=now, paused_until=until, paused_by=who, pause_reason=reason,
            )  # fmt: skip
            detail = {"until": until.isoformat() if until else None}
            history.record_action(tx, at=now, who=who, action="pause", what=bank.name, reason=reason, detail=detail)
    return [bank.name for bank in banks]


def resume(store: Database, banks: Sequence[Configured], *, now: datetime, who: str) -> list[str]:
    """End the pause of those that are paused; their names."""
    resumed = []
    with store.write() as tx:
        states = _states(tx)
        for bank in banks:
            state = states.get((bank.name, bank.limits.environment))
            if state is not None and state.paused_at is not None:
                bank_rows.change(
                    tx, bank.name, bank.limits.environment,
                    paused_at=None, paused_until=None, paused_by=None, pause_reason=None,
                )  # fmt: skip
                history.record_action(tx, at=now, who=who, action="resume", what=bank.name)
                resumed.append(bank.name)
    return resumed


def limit(
    store: Database,
    bank: Configured,
    *,
    now: datetime,
    who: str,
    rate_per_s: float | None,
    concurrency: int | None,
    reset: bool,
) -> Limits:
    """Set or reset the operator's limits; what holds now. What is not given stays as it is."""
    environment = bank.limits.environment
    with store.write() as tx:
        before = bank.limits.under(_states(tx).get((bank.name, environment)))
        values: dict[str, float | int | None] = {}
        if reset:
            values = {"rate_per_s": None, "concurrency": None}
        if rate_per_s is not None:
            values["rate_per_s"] = rate_per_s
        if concurrency is not None:
            values["concurrency"] = concurrency
        bank_rows.change(tx, bank.name, environment, **values)
        after = bank.limits.under(_states(tx)[bank.name, environment])
        detail = {"before": _plain(before), "after": _plain(after)}
        history.record_action(tx, at=now, who=who, action="limit", what=bank.name, detail=detail)
    return after


async def test(name: str, ping: Callable[[], Awaitable[object]], timer: Callable[[], float]) -> Tested:
    """Call the bank once, harmlessly."""
    started = timer()
    try:
        await ping()
    except BankError as error:
        return Tested(name, round((timer() - started) * 1000), error.outcome, error.message)
    return Tested(name, round((timer() - started) * 1000), "ok")


def _with_breaker(report: BankReport, gate: BankGate | None) -> BankReport:
    if gate is None:
        return report
    breaker = gate.look([report.name])[report.name]
    closed = report.closed or {"open": "breaker_open", "held": "held"}.get(breaker.state)
    return replace(report, breaker=breaker, closed=closed)


def _states(tx: Tx) -> dict[tuple[str, str], BankState]:
    """What SQL says of each bank, by name and environment."""
    return {(state.bank, state.environment): state for state in bank_rows.states(tx)}


def _plain(limits: Limits) -> Mapping[str, float | int]:
    return {"rate_per_s": limits.rate_per_s, "concurrency": limits.concurrency}
