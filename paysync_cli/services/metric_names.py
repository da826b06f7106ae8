"""Every metric: its name, labels and meaning. Dashboards and alert rules rely on them: written once and frozen.

`docs/metrics.md` is this catalogue as a page. Labels are banks of the settings and enumerations, never QRs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from paysync_cli.payments.status import FORWARD, BankStatus, PlanState, ReviewReason, Status
from paysync_cli.queue.names import QUEUE_NAMES

FAILED_OUTCOMES = ("unavailable", "unreadable", "error", "worker_lost")  # of an attempt: there is no answer
OUTCOMES = (*(status.value for status in BankStatus), "unknown", *FAILED_OUTCOMES)
TRANSITIONS = tuple((old.value, new.value) for old in Status for new in Status if new in FORWARD[old])
BREAKER_STATES = ("closed", "open", "held")
JOB_STATES = ("waiting", "active", "completed", "failed")
WORKER_CONDITIONS = ("alive", "stale")
NOTICE_FATES = ("asked", "quiet", "unknown", "unauthorized", "unreadable", "not_written", "not_told")


class Kind(StrEnum):
    """A metric's type, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Source(StrEnum):
    """Where its figures come from, and so who can tell them and when they are missing."""

    WORKER = "worker"
    DATABASE = "database"
    REDIS = "redis"
    PROCESS = "process"
    SERVE = "serve"


@dataclass(frozen=True, slots=True)
class Label:
    """What a label says and the values it takes; none are listed where the settings decide."""

    name: str
    help: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `buckets` are a histogram's upper bounds."""

    name: str
    kind: Kind
    source: Source
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Count:
    """What one counter stands at, for one combination of its labels."""

    metric: str
    labels: Mapping[str, str]
    value: int


BANK = Label("bank", "a bank of the settings, by its name there")
OUTCOME = Label("outcome", "what the bank said of the QR, or why there is no answer", OUTCOMES)
OLD = Label("from", "the status before", tuple(status.value for status in Status if FORWARD[status]))
NEW = Label("to", "the status after; only the pairs that can occur", tuple(status.value for status in Status))
FAILURE = Label("reason", "why an attempt failed", FAILED_OUTCOMES)
REVIEW = Label("reason", "why a review was opened", tuple(reason.value for reason in ReviewReason))
CURRENCY = Label("currency", "ISO 4217; the bank's own is there from the start, another one once it was booked")
QUEUE = Label("queue", "an RQ queue", QUEUE_NAMES)
STATUS = Label("status", "a QR's status", tuple(status.value for status in Status))
PLAN = Label("state", "what happens next to a QR", tuple(state.value for state in PlanState))
JOB = Label("state", "where a job is", JOB_STATES)
BREAKER = Label("state", "how a bank's breaker stands; `held`: the bank asked us to wait", BREAKER_STATES)
CONDITION = Label("condition", "a worker that beats, or is silent for too long", WORKER_CONDITIONS)
FATE = Label(
    "fate",
    "a QR that a notice names is `asked` about, needs nothing (`quiet`) or is `unknown`; a notice is `unauthorized`,"
    " `unreadable`, `not_written` down (the bank shall send it again), or the workers were `not_told` at once",
    NOTICE_FATES,
)
VERSION = Label("version", "paysync's version")
PYTHON = Label("python", "Python's version")
LABELS = (
    BANK, OUTCOME, OLD, NEW, FAILURE, REVIEW, CURRENCY, QUEUE, STATUS, PLAN, JOB, BREAKER, CONDITION, FATE, VERSION,
    PYTHON,
)  # fmt: skip

_WORKER, _SQL, _REDIS, _PROCESS = Source.WORKER, Source.DATABASE, Source.REDIS, Source.PROCESS
_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

LATENCY_BUCKETS = (0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 3.5, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0)
LATENESS_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0)
COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

METRICS: tuple[Metric, ...] = (
    # -- counted by the workers, after the commit that wrote the row
    Metric("paysync_checks_total", _COUNTER, _WORKER,
           "Questions to the bank that are in the check history, answered or not.", (BANK, OUTCOME)),
    Metric("paysync_transitions_total", _COUNTER, _WORKER,
           "Changes of a QR's status, by checks, day lists and the janitor.", (BANK, OLD, NEW)),
    Metric("paysync_movements_total", _COUNTER, _WORKER, "Payments booked.", (BANK, CURRENCY)),
    Metric("paysync_movements_amount_minor_total", _COUNTER, _WORKER,
           "Money booked, in the currency's minor unit (cents): whole numbers, so that sums stay exact.",
           (BANK, CURRENCY)),
    Metric("paysync_attempts_failed_total", _COUNTER, _WORKER,
           "Attempts that got no readable answer.", (BANK, FAILURE)),
    Metric("paysync_jobs_given_up_total", _COUNTER, _WORKER,
           "Checks given up after their last attempt; their QRs return to the normal plan.", (BANK,)),
    Metric("paysync_throttled_total", _COUNTER, _WORKER,
           "Questions that the bank answered with 429 or its like: neither attempt nor check.", (BANK,)),
    Metric("paysync_reviews_opened_total", _COUNTER, _WORKER,
           "Reviews opened about registered QRs.", (BANK, REVIEW)),
    Metric("paysync_dispatched_total", _COUNTER, _WORKER, "Due QRs moved to a queue.", (BANK, QUEUE)),
    Metric("paysync_bank_latency_seconds", _HISTOGRAM, _WORKER,
           "How long the bank took to answer a check, a login within it included, with or without an answer.",
           (BANK,), LATENCY_BUCKETS),
    Metric("paysync_check_lateness_seconds", _HISTOGRAM, _WORKER,
           "How long after its due moment a check's question was sent.", (BANK,), LATENESS_BUCKETS),
    Metric("paysync_commit_seconds", _HISTOGRAM, _WORKER,
           "How long the transaction took that wrote a group of checks, its reads included.", (), COMMIT_BUCKETS),
    # -- read from the database at the scrape
    Metric("paysync_database_up", _GAUGE, _SQL, "1 when the database answered, else 0."),
    Metric("paysync_qrs", _GAUGE, _SQL, "QRs by status.", (BANK, STATUS)),
    Metric("paysync_plan_qrs", _GAUGE, _SQL,
           "QRs by what happens next to them; `exhausted` and `held` among them.", (BANK, PLAN)),
    Metric("paysync_due_qrs", _GAUGE, _SQL,
           "QRs whose moment has come: waiting for dispatch, queued or being asked.", (BANK,)),
    Metric("paysync_oldest_due_age_seconds", _GAUGE, _SQL,
           "How long the longest overdue check is due; 0 when none is.", (BANK,)),
    Metric("paysync_reviews_open", _GAUGE, _SQL, "Reviews that wait for a person.", (BANK, REVIEW)),
    Metric("paysync_bank_credential_stopped", _GAUGE, _SQL,
           "1 while nobody logs in because the bank refused the credential.", (BANK,)),
    Metric("paysync_bank_paused", _GAUGE, _SQL, "1 while a person paused the bank.", (BANK,)),
    Metric("paysync_bank_rate_limit_per_second", _GAUGE, _SQL,
           "How many questions a second may go to the bank: the operator's limit, else the settings'.", (BANK,)),
    Metric("paysync_bank_lists_payments", _GAUGE, _PROCESS,
           "1 when the bank has a day list, so that sweeps are expected.", (BANK,)),
    Metric("paysync_bank_last_sweep_success_timestamp_seconds", _GAUGE, _SQL,
           "When a sweep last read every list it wanted (Unix time); 0: never.", (BANK,)),
    Metric("paysync_bank_last_sweep_failure_timestamp_seconds", _GAUGE, _SQL,
           "When the last sweep ended, if it stopped early (Unix time); 0: it ended well.", (BANK,)),
    Metric("paysync_last_cleanup_timestamp_seconds", _GAUGE, _SQL,
           "When the cleanup last ran (Unix time); 0: never."),
    Metric("paysync_last_cleanup_partial", _GAUGE, _SQL,
           "1 when the last cleanup could not reach Redis and left its part undone."),
    Metric("paysync_last_check_timestamp_seconds", _GAUGE, _SQL,
           "When the last question in the check history was sent, by any worker (Unix time); 0: never."),
    Metric("paysync_leader_present", _GAUGE, _SQL, "1 while a worker holds the leader's lease."),
    Metric("paysync_leader_lease_age_seconds", _GAUGE, _SQL,
           "How long ago the lease was taken or renewed (every 10 s; it lasts 30 s); absent before the first leader."),
    Metric("paysync_alerts_undelivered", _GAUGE, _SQL, "Messages of alerts that were not delivered yet."),
    Metric("paysync_alerts_oldest_undelivered_age_seconds", _GAUGE, _SQL,
           "How long ago the oldest of them was written; 0 when there is none."),
    Metric("paysync_counted_age_seconds", _GAUGE, _PROCESS,
           "How old the counts of QRs and due checks are: counting takes at most a twentieth of one core."),
    # -- read from Redis at the scrape
    Metric("paysync_redis_up", _GAUGE, _REDIS, "1 when Redis answered, else 0."),
    Metric("paysync_queue_depth", _GAUGE, _REDIS, "Jobs that wait in an RQ queue.", (QUEUE,)),
    Metric("paysync_jobs", _GAUGE, _REDIS,
           "Jobs in Redis; completed and failed are those kept for people to look at.", (JOB,)),
    Metric("paysync_workers", _GAUGE, _REDIS, "Registered workers.", (CONDITION,)),
    Metric("paysync_bank_breaker", _GAUGE, _REDIS,
           "1 for the state of the bank's breaker, 0 for the others.",
           (BANK, BREAKER)),
    Metric("paysync_bank_requests_in_flight", _GAUGE, _REDIS,
           "Questions under way to the bank, of all workers.", (BANK,)),
    Metric("paysync_redis_memory_bytes", _GAUGE, _REDIS, "Memory that Redis uses."),
    Metric("paysync_redis_memory_limit_bytes", _GAUGE, _REDIS, "Redis' maxmemory; 0: none."),
    Metric("paysync_redis_evicted_keys_total", _COUNTER, _REDIS,
           "Keys that Redis threw away to make room since it started; any is one too many."),
    # -- counted by `serve --notify`
    Metric("paysync_notices_total", _COUNTER, Source.SERVE, "What became of the banks' notices of payments.",
           (BANK, FATE)),
    # -- of the process that is scraped
    Metric("paysync_build_info", _GAUGE, _PROCESS, "Always 1; what runs is in the labels.", (VERSION, PYTHON)),
)  # fmt: skip

OF = {metric.name: metric for metric in METRICS}
