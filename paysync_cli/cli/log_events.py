"""Every event of the log: its name, its levels, its fields and what it means. Searches and alarms rely on them: written
once and frozen. `docs/logs.md` is this catalogue as a page.
"""

from __future__ import annotations

from dataclasses import dataclass

_JOB = ("qr_id", "bank", "seq", "job_id")
_CHECK = (*_JOB, "queue", "attempt", "outcome", "duration_ms")
_NEWS = (*_JOB, "source")
_NEXT = (*_JOB, "checks", "max_checks")


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `levels` are those it can have; `fields` those beside the ones of every line."""

    name: str
    levels: str
    meaning: str
    fields: tuple[str, ...] = ()


OF_EVERY_LINE = {
    "time": "when, in UTC",
    "level": "debug, info, warning, error",
    "event": "the name in the tables above; `log` for a line of another library, which then has `logger`",
    "message": "the same as a sentence, in English",
    "worker": "the worker's name, as `paysync workers` shows it; absent before it has one",
    "exception": "the traceback, where there is one",
}

FIELDS = {
    "qr_id": "the bank's id of the QR",
    "bank": "the bank's name in the settings",
    "queue": "the RQ queue",
    "seq": "which of the QR's checks: it rises by one with each record",
    "job_id": "the job, `sync-<row>-<seq>`; a day list's news names the QR's next job",
    "attempt": "which attempt of this check, from 1",
    "outcome": "what the bank said, or why there is no answer; the words of the check history",
    "duration_ms": "how long the bank took",
    "source": "where the news came from: `check`, `list` (day list) or `review` (a person)",
    "old": "the status before",
    "new": "the status after",
    "amount": "what was booked, in the currency's major unit, as text",
    "currency": "ISO 4217",
    "transaction": "the bank's id of the payment",
    "reason": "why, in a fixed word",
    "next_check_at": "the moment of the next check",
    "checks": "regular checks used",
    "max_checks": "regular checks allowed",
    "attempts": "attempts that failed in a row",
    "of_attempts": "attempts allowed",
    "booked": "how many payments",
    "days": "how many bank days",
    "day": "the bank day",
    "put_back": "checks that cost nothing and are planned again",
    "lost": "checks that count as a failed attempt",
    "n": "how many",
    "count": "how many since the last such line",
    "in_flight": "checks under way",
    "failed": "true or false",
    "fence": "rises with every new leader",
    "row": "the row's number in the database",
    "loop": "which of the recurring works",
    "policy": "Redis' maxmemory-policy",
    "pid": "a process",
    "exit_status": "its exit status; negative: the signal that ended it",
    "url": "where the probes are answered",
    "channel": "the address, by its place in PAYSYNC_ALERT_URLS",
    "kind": "the kind of alert",
    "told": "whether it began or is over",
    "stack": "the lines of code, without what they held",
    "error": "the kind of error",
}

EVENTS: tuple[Event, ...] = (
    # -- the story of a QR
    Event("qr_registered", "info", "A QR is in the books now.", ("qr_id", "bank")),
    Event("check_added", "info", "Its check is due and went to a queue.", (*_JOB, "queue")),
    Event("check_attempt", "info", "The bank is being asked.", (*_JOB, "queue", "attempt")),
    Event("check_succeeded", "info", "The bank answered; not paid yet is an answer too.", _CHECK),
    Event("check_failed", "info, warning",
          "No answer; it is asked again, now or at its next check. Info: the bank asked us to wait, or nobody may"
          " log in now.", _CHECK),
    Event("check_given_up", "error", "No answer in any attempt; the QR returns to its normal plan.", _CHECK),
    Event("check_not_asked", "debug", "Its bank is closed or too busy; it waits in the plan.", (*_JOB, "reason")),
    Event("booked", "info", "A payment was booked.", (*_NEWS, "amount", "currency", "transaction")),
    Event("transition", "info", "The status changed.", (*_NEWS, "old", "new")),
    Event("review_opened", "warning", "A person must decide: `paysync review list`.", (*_NEWS, "reason")),
    Event("check_next", "info", "When it is asked again.", (*_NEXT, "next_check_at", "attempts", "of_attempts")),
    Event("check_chain_ended", "info", "The status is final: nothing is asked any more.", _NEXT),
    Event("poison_row", "error", "A row cannot be written; it counts as a failed attempt.", ("row", "seq")),
    # -- the worker
    Event("worker_registered", "info", "The worker takes work from now on."),
    Event("worker_stopping", "info", "It takes nothing new and finishes what is under way.", ("in_flight",)),
    Event("worker_stopping_now", "warning", "It was asked twice and gives back what is under way."),
    Event("worker_gave_back", "warning", "Checks under way went back to the plan; nothing is lost.", ("n",)),
    Event("worker_loop_error", "warning",
          "One of its works failed and is tried again; told at once, then every minute.", ("loop",)),
    Event("worker_loop_again", "info", "That work gets on again.", ("loop",)),
    Event("stuck_loops", "warning", "Some of its works did not end in time."),
    Event("worker_process_ended", "error", "One of `--processes` died and is started again.", ("pid", "exit_status")),
    Event("worker_process_hangs", "error", "One of `--processes` gives no sign of life.", ("pid",)),
    Event("dispatch_error", "warning", "`paysync dispatch` failed at one of its works and tries again.", ("loop",)),
    Event("job_unknown_row", "error", "A job names a QR that this database does not have.", ("job_id", "queue")),
    Event("job_refused", "error", "A job in our queues is not a paysync check.", ("job_id", "queue")),
    Event("job_error", "error", "A bug: the job failed in a way nobody foresaw.", ("job_id", "queue")),
    Event("job_dropped", "error", "A failed job cannot be shown by RQ and left no trace.", ("job_id", "queue")),
    Event("health_port", "info", "Probes are answered.", ("url",)),
    Event("metrics_error", "error", "A bug: part of `/metrics` failed; the rest is told."),
    # -- the leader
    Event("leader", "info", "This worker leads from now on.", ("fence",)),
    Event("janitor", "warning", "Checks without a living worker were mended.", ("put_back", "lost")),
    Event("sweep", "info", "The day lists of a bank were read.", ("bank", "days", "booked")),
    Event("sweep_failed", "warning", "They could not all be read; the next sweep tries again.", ("bank",)),
    Event("sweep_error", "error", "A day list was read and cannot be written.", ("bank", "day")),
    Event("stray_unwritten", "error", "A payment of an unknown QR cannot be written; the others of its list are.",
          ("bank",)),
    # -- banks
    Event("logged_in", "info", "A new token of the bank.", ("bank",)),
    Event("login_unanswered", "error", "Nobody answered a login; one a minute is tried, then less often.", ("bank",)),
    Event("credential_refused", "error", "The bank refused our login: nobody logs in until `paysync bank unlock`.",
          ("bank",)),
    Event("credential_stopped", "warning", "This worker learnt that a credential is stopped.", ("bank",)),
    Event("credential_unlocked", "info", "A person unlocked it.", ("bank",)),
    Event("stop_unwritten", "debug, error", "A stop is kept by this worker alone until the database takes it."),
    Event("breaker_open", "error", "The bank does not answer: only probes reach it.", ("bank",)),
    Event("breaker_probe", "info", "A probe was sent; `failed` says how it went.", ("bank", "failed")),
    Event("place_lost", "warning", "A question was cut off because Redis was away.", ("bank",)),
    Event("adapter_error", "error", "A bug in a bank's adapter.", ("bank", "stack")),
    Event("list_unreadable", "warning", "Paid, and the list with its details cannot be read.", ("bank", "qr_id")),
    Event("list_incomplete", "warning", "A day list ended early; it is read again.", ("bank", "day")),
    Event("unverified_tls", "warning", "The bank's certificate is not verified, as the settings want.", ("bank",)),
    # -- dependencies
    Event(
        "writes_late", "warning",
        "An answer has waited for the database for 10 s: the worker takes no more jobs until it is written.",
    ),
    Event("database_unavailable", "debug, warning", "The database does not answer; everything waits for it."),
    Event("vault_alone", "warning", "Redis is away; this process keeps its own token.", ("bank",)),
    Event("vault_without_redis", "debug", "Redis is away; the token is not shared meanwhile.", ("bank",)),
    Event("redis_evicts", "warning", "Redis may throw jobs away; set maxmemory-policy to noeviction.", ("policy",)),
    # -- alerts
    Event("alert_delivered", "info", "A message of an alert reached an address.", ("channel", "bank", "kind", "told")),
    Event("alert_undelivered", "warning", "An address took none; it is tried again.", ("channel",)),
    Event("alert_error", "error", "A bug: sending failed in a way nobody foresaw.", ("channel",)),
    Event("alerts_undeliverable", "error", "What sending alerts needs is not installed: nobody hears of them."),
    # -- serve
    Event("notice", "info", "A bank told of a payment; the QR is checked now.", ("bank", "qr_id")),
    Event("notice_unknown_qr", "warning", "A bank told of a QR that is not registered.", ("bank", "qr_id")),
    Event("notice_trouble", "warning", "A notice was not the bank's, not readable, or could not be acted on.",
          ("bank", "reason", "count")),
    Event("serve_error", "error", "A bug: a request failed in a way nobody foresaw.", ("error",)),
)  # fmt: skip

OF = {event.name: event for event in EVENTS}
