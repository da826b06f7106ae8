"""The figures of `/metrics` that the database and Redis tell: by metric, then by label values. Reads only.

Every label value is there, as 0 where nothing was counted; how much is read does not grow with what was checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from paysync_cli.payments.status import PlanState, ReviewReason, Status
from paysync_cli.queue.client import QueueClient
from paysync_cli.queue.gate import BreakerSeen
from paysync_cli.queue.names import QUEUE_NAMES
from paysync_cli.services.metric_names import BREAKER_STATES, WORKER_CONDITIONS
from paysync_cli.store import alerts, banks, history, leases, qrs
from paysync_cli.store.database import Database

Figures = dict[tuple[str, ...], float]
"""The values of one metric by its label values, which come in the catalogue's order."""

Samples = dict[str, Figures]


def count_qrs(store: Database, now: datetime, configured: Iterable[str]) -> Samples:
    """What has to be counted row by row of an index: the dearer part. Raises DatabaseUnavailable."""
    with store.read() as tx:
        rows = qrs.overview(tx)
        waiting, oldest = qrs.count_due(tx, now), qrs.oldest_due_at(tx, now)
        reviews = history.open_reviews_by_reason(tx)
    names = sorted({bank for bank, *_rest in rows} | {bank for bank, _reason in reviews} | set(configured))
    statuses = _zeros(names, Status)
    plans = _zeros(names, PlanState)
    for bank, state, status, n in rows:
        statuses[bank, status.value] += n
        plans[bank, state.value] += n
    return {
        "paysync_qrs": statuses,
        "paysync_plan_qrs": plans,
        "paysync_due_qrs": {
            (bank,): waiting.get(bank, 0) + plans[bank, PlanState.QUEUED.value] for bank in names
        },
        "paysync_oldest_due_age_seconds": {
            (bank,): _age_s(oldest[bank], now) if bank in oldest else 0.0 for bank in names
        },
        "paysync_reviews_open": _zeros(names, ReviewReason) | {key: float(n) for key, n in reviews.items()},
    }  # fmt: skip


def read_books(
    store: Database, now: datetime, configured: Mapping[str, tuple[str, float]], lease_lasts: timedelta
) -> Samples:
    """What a few rows tell. `configured` are the banks with the environment and the rate that the settings give them.

    Raises DatabaseUnavailable.
    """
    with store.read() as tx:
        states, sweeps = banks.states(tx), banks.last_sweeps(tx)
        lease, cleanup = leases.current(tx, leases.LEADER), history.last_run(tx, "cleanup")
        last_check, (undelivered, first_at) = history.last_check_at(tx), alerts.undelivered(tx)
    own = {(state.bank, state.environment): state for state in states}
    ours = {bank: own.get((bank, environment)) for bank, (environment, _rate) in configured.items()}
    good = {bank: sweeps[bank].ok_at if bank in sweeps else None for bank in configured}
    bad = {bank: sweeps[bank].at if bank in sweeps and sweeps[bank].error else None for bank in configured}
    samples: Samples = {
        "paysync_bank_credential_stopped": {
            (bank,): float(state is not None and state.stopped_at is not None) for bank, state in ours.items()
        },
        "paysync_bank_paused": {
            (bank,): float(state is not None and state.paused(now)) for bank, state in ours.items()
        },
        "paysync_bank_rate_limit_per_second": {
            (bank,): (state.rate_per_s if state else None) or configured[bank][1] for bank, state in ours.items()
        },
        "paysync_bank_last_sweep_success_timestamp_seconds": {(bank,): _moment(at) for bank, at in good.items()},
        "paysync_bank_last_sweep_failure_timestamp_seconds": {(bank,): _moment(at) for bank, at in bad.items()},
        "paysync_last_cleanup_timestamp_seconds": {(): _moment(cleanup[0] if cleanup else None)},
        "paysync_last_cleanup_partial": {(): float(cleanup is not None and cleanup[1] != "ok")},
        "paysync_last_check_timestamp_seconds": {(): _moment(last_check)},
        "paysync_leader_present": {(): float(lease is not None and lease.until > now)},
        "paysync_alerts_undelivered": {(): float(undelivered)},
        "paysync_alerts_oldest_undelivered_age_seconds": {(): _age_s(first_at, now) if first_at else 0.0},
    }
    if lease is not None:
        samples["paysync_leader_lease_age_seconds"] = {(): _age_s(lease.until - lease_lasts, now)}
    return samples


def read_queue(queue: QueueClient, breakers: Mapping[str, BreakerSeen]) -> Samples:
    """What Redis tells. Raises RedisUnavailable."""
    jobs, server = queue.job_counts(), queue.server()
    conditions = [worker.condition for worker in queue.workers()]
    return {
        "paysync_queue_depth": {(name,): float(jobs.depths[name]) for name in QUEUE_NAMES},
        "paysync_jobs": {
            ("waiting",): float(jobs.waiting),
            ("active",): float(jobs.active),
            ("completed",): float(jobs.completed),
            ("failed",): float(jobs.failed),
        },
        "paysync_workers": {(word,): float(conditions.count(word)) for word in WORKER_CONDITIONS},
        "paysync_bank_breaker": {
            (bank, state): float(seen.state == state) for bank, seen in breakers.items() for state in BREAKER_STATES
        },
        "paysync_bank_requests_in_flight": {(bank,): float(seen.in_flight) for bank, seen in breakers.items()},
        **_server(server),
    }


def _server(server: Mapping[str, object]) -> Samples:
    """Redis about itself; what an ACL hides is absent."""
    told = {
        "paysync_redis_memory_bytes": "used_memory",
        "paysync_redis_memory_limit_bytes": "maxmemory",
        "paysync_redis_evicted_keys_total": "evicted_keys",
    }
    return {metric: {(): float(str(server[field]))} for metric, field in told.items() if field in server}


def _zeros(names: Sequence[str], words: Iterable[str]) -> Figures:
    return {(name, str(word)): 0.0 for name in names for word in list(words)}


def _age_s(at: datetime, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds())


def _moment(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()
