"""What a worker counts, in prometheus-client's counters: alone in memory, with others in files that are added up.

Each of the processes of one command writes a file under its number. A process that was started again goes on in the
file of the one before, so that no count is lost with it.
"""

from __future__ import annotations

import os
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from paysync_cli.queue.names import QUEUE_NAMES, QUEUES
from paysync_cli.services.metric_names import (
    FAILED_OUTCOMES,
    METRICS,
    OUTCOMES,
    REVIEW,
    TRANSITIONS,
    Kind,
    Metric,
    Source,
)
from paysync_cli.services.sync import WORKER_LOST, Recorded
from paysync_cli.store.qrs import Due

FILE_BYTES = 256 * 1024  # more than a hundred banks take


class Counters:
    """The counts of one worker process (`services.telling.Counts`). Safe to use from several threads.

    `banks` are the configured ones with their currency. There can be one in a process: prometheus-client decides for
    the whole process where its values lie.
    """

    def __init__(self, banks: Mapping[str, str]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series per counter that nobody asked for
        self.collector: Collector = CollectorRegistry()
        made = {metric.name: _make(metric, self.collector) for metric in METRICS if metric.source is Source.WORKER}
        self._of = {name: _Children(one) for name, one in made.items()}
        self._commit: Histogram = made["paysync_commit_seconds"]
        for name, labels in _from_the_start(banks):
            self._of[name](*labels)

    def recorded(self, results: Sequence[Recorded], source: str, took_s: float) -> None:
        """A group was committed."""
        tally: Tally[tuple[str, ...]] = Tally()
        for result in results:
            self._times(result, source)
            if result.before is not None and result.plan is not None:
                _add(tally, result, result.before.bank)
        for (name, *labels), n in tally.items():
            self._of[name](*labels).inc(n)
        if took_s > 0:
            self._commit.observe(took_s)

    def dispatched(self, rows: Sequence[Due]) -> None:
        """Rows were moved to their queues."""
        for (bank, queue), n in Tally((row.bank, QUEUES[row.priority]) for row in rows).items():
            self._of["paysync_dispatched_total"](bank, queue).inc(n)

    def _times(self, result: Recorded, source: str) -> None:
        """How long the bank took, and how late it was asked; neither is told by a list, a lost worker, or a question
        that had to wait for a login and was never put.
        """
        before, asked, failure = result.before, result.asked, result.asked.failure
        if before is None or source != "check":
            return
        if failure is not None and (failure.outcome == WORKER_LOST or not failure.sent):
            return
        self._of["paysync_bank_latency_seconds"](before.bank).observe(asked.duration_ms / 1000)
        planned = before.plan.next_check_at
        if planned is not None and asked.seq == before.plan.seq:
            late_s = (asked.at - planned).total_seconds()
            self._of["paysync_check_lateness_seconds"](before.bank).observe(max(0.0, late_s))


def shared(banks: Mapping[str, str], folder: Path, number: int) -> Counters:
    """The counters of process `number` among those that count in this folder; `number` 0 is whoever tells them all.

    To be called before anything else makes a prometheus-client metric in this process. Raises OSError.
    """
    for kind in ("counter", "histogram"):
        _allot(folder / f"{kind}_{number}.db")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # where prometheus-client looks for it
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]
    counters = Counters(banks)
    counters.collector = MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]
    return counters


def _allot(path: Path) -> None:
    """Have the disk's blocks before the file is mapped: one that a full disk cannot give ends who writes to it."""
    if not path.exists():
        path.write_bytes(bytes(FILE_BYTES))


class _Children:
    """The children of one metric by their label values: looking them up in the metric costs more than counting."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric
        self._known: dict[tuple[str, ...], Any] = {}

    def __call__(self, *labels: str) -> Any:
        child = self._known.get(labels)
        if child is None:
            child = self._known[labels] = self._metric.labels(*labels) if labels else self._metric
        return child


def _make(metric: Metric, registry: Any) -> Any:
    labels = [label.name for label in metric.labels]
    if metric.kind is Kind.HISTOGRAM:
        return Histogram(metric.name, metric.help, labels, registry=registry, buckets=metric.buckets)
    return Counter(metric.name, metric.help, labels, registry=registry)


def _from_the_start(banks: Mapping[str, str]) -> Sequence[tuple[str, tuple[str, ...]]]:
    """Every metric with every combination of label values that can be told beforehand."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for bank, currency in banks.items():
        found += [("paysync_checks_total", (bank, outcome)) for outcome in OUTCOMES]
        found += [("paysync_transitions_total", (bank, *pair)) for pair in TRANSITIONS]
        found += [(f"paysync_movements{part}_total", (bank, currency)) for part in ("", "_amount_minor")]
        found += [("paysync_attempts_failed_total", (bank, reason)) for reason in FAILED_OUTCOMES]
        found += [("paysync_reviews_opened_total", (bank, reason)) for reason in REVIEW.values]
        found += [("paysync_dispatched_total", (bank, queue)) for queue in QUEUE_NAMES]
        for alone in ("jobs_given_up_total", "throttled_total", "bank_latency_seconds", "check_lateness_seconds"):
            found.append((f"paysync_{alone}", (bank,)))
    return found


def _add(tally: Tally[tuple[str, ...]], result: Recorded, bank: str) -> None:
    """What one written result adds to the counters."""
    failure = result.asked.failure
    if result.check is not None:
        tally["paysync_checks_total", bank, result.check.outcome] += 1
        if failure is not None and failure.kind == "attempt":
            tally["paysync_attempts_failed_total", bank, result.check.outcome] += 1
    elif failure is not None and failure.outcome == "throttled" and failure.sent:
        tally["paysync_throttled_total", bank] += 1
    if result.how == "failed":
        tally["paysync_jobs_given_up_total", bank] += 1
    if result.before is not None and result.status is not None and result.status is not result.before.status:
        tally["paysync_transitions_total", bank, result.before.status.value, result.status.value] += 1
    for movement in result.booked:
        tally["paysync_movements_total", bank, movement.currency] += 1
        tally["paysync_movements_amount_minor_total", bank, movement.currency] += movement.amount
    for review in result.reviews:
        tally["paysync_reviews_opened_total", bank, review.reason.value] += 1
