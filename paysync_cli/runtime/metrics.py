"""`/metrics`: what this process counted, and what the database and Redis say now, as Prometheus reads it.

The database, Redis and the dearer counts are each asked on a thread of its own and within a few seconds: one that hangs
takes the others' figures from nobody, and is not asked again before it has ended.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from paysync_cli.errors import PaysyncError
from paysync_cli.runtime.work import Runtime
from paysync_cli.services.metric_names import METRICS, OF, Count, Kind, Metric, Source
from paysync_cli.version import __version__

if TYPE_CHECKING:
    from paysync_cli.queue.client import QueueClient
    from paysync_cli.services.metrics import Figures, Samples

WITHIN_S = 3.0  # for the database and for Redis: a scrape has ten seconds by default
COUNTED_WITHIN_S = 2.0  # for the counts, before those of last time are told
FRESH_AT_LEAST_S, FRESH_TIMES = 1.0, 20.0  # counts are kept for so many times as long as they took

T = TypeVar("T")

log = logging.getLogger("paysync.metrics")


def render(runtime: Runtime) -> tuple[bytes, str]:
    """The page and its content type. Blocks for a few seconds at most and never fails for a store that is away."""
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    told = b"".join(generate_latest(one) for one in _tellers(runtime))
    return told, CONTENT_TYPE_LATEST


def start_counting(runtime: Runtime) -> None:
    """Count what the worker of this process does; without it nothing is counted."""
    from paysync_cli.runtime.counters import Counters

    runtime.counts = Counters(_currencies(runtime))


def start_counting_together(runtime: Runtime, folder: Path, number: int) -> None:
    """Count as process `number` of several, in files of this folder; number 0, who runs no worker, tells them all."""
    from paysync_cli.runtime.counters import shared

    runtime.counts = shared(_currencies(runtime), folder, number)


def counted(runtime: Runtime) -> list[Count] | None:
    """What the worker's counters stand at, those at 0 left out; None when nothing is counted."""
    if runtime.counts is None:
        return None
    samples = [sample for family in runtime.counts.collector.collect() for sample in family.samples]
    return [
        Count(sample.name, dict(sample.labels), int(sample.value))
        for sample in sorted(samples, key=lambda sample: (sample.name, sorted(sample.labels.items())))
        if sample.value and sample.name in OF and OF[sample.name].kind is Kind.COUNTER
    ]


def _currencies(runtime: Runtime) -> Mapping[str, str]:
    return {name: bank.currency for name, bank in runtime.settings.banks.items()}


def _tellers(runtime: Runtime) -> Iterator[Any]:
    if runtime.counts is not None:
        yield runtime.counts.collector
    with _making:
        if runtime.observer is None:
            runtime.observer = Observer(runtime)
    yield runtime.observer


_making = threading.Lock()


class Observer:
    """The figures of the stores, for prometheus-client to collect. One for a runtime, whoever scrapes it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._queue: QueueClient | None = None
        self._books = Lane(self._read_books, "paysync-metrics-sql")
        self._redis = Lane(self._read_redis, "paysync-metrics-redis")
        self._counts = Lane(self._count, "paysync-metrics-counts", fresh_times=FRESH_TIMES)

    def collect(self) -> Iterator[Any]:
        """The metric families, in the catalogue's order."""
        samples = self._look()
        for metric in METRICS:
            if metric.source is not Source.WORKER and metric.name in samples:
                yield _family(metric, samples[metric.name])

    def _look(self) -> Samples:
        for lane in (self._counts, self._books, self._redis):
            lane.start()
        books, redis = self._books.answer(WITHIN_S), self._redis.answer(WITHIN_S)
        counts = None if books is None else self._counts.answer(COUNTED_WITHIN_S, last=True)
        samples: Samples = {
            "paysync_build_info": {(__version__, platform.python_version()): 1.0},
            "paysync_bank_lists_payments": {
                (name,): float(rhythm.lists_by_payment_day) for name, rhythm in self._runtime.rhythms.items()
            },
            "paysync_database_up": {(): float(books is not None)},
            "paysync_redis_up": {(): float(redis is not None)},
        }
        if counts is not None:
            samples |= {"paysync_counted_age_seconds": {(): self._counts.age_s()}}
        for part in (books, redis, counts):
            samples |= part or {}
        return samples

    def _read_books(self) -> Samples:
        from paysync_cli.services import metrics
        from paysync_cli.services.worker import LEASE_S

        runtime = self._runtime
        limits = {name: (one.environment, one.rate_per_s) for name, one in runtime.limits.items()}
        return metrics.read_books(runtime.store, runtime.clock.now(), limits, runtime.clock.span(LEASE_S))

    def _read_redis(self) -> Samples | None:
        from paysync_cli.queue.gate import BankGate
        from paysync_cli.services import metrics

        self._queue = queue = self._runtime.queue_again(self._queue)
        if queue is None:
            return None
        names = list(self._runtime.settings.banks)
        breakers = BankGate(queue).look(names) if names else {}
        return metrics.read_queue(queue, breakers)

    def _count(self) -> Samples:
        from paysync_cli.services import metrics

        runtime = self._runtime
        return metrics.count_qrs(runtime.store, runtime.clock.now(), runtime.settings.banks)


class Lane(Generic[T]):
    """A question that takes a while: asked once at a time, on a thread that holds nobody up.

    Its answer is kept for `fresh_times` as long as it took.
    """

    def __init__(self, ask: Callable[[], T | None], name: str, *, fresh_times: float = 0.0) -> None:
        self._ask, self._name, self._fresh_times = ask, name, fresh_times
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._started_at = float("-inf")
        self._kept: T | None = None
        self._kept_at, self._fresh_until = 0.0, float("-inf")
        self._failed = False

    def start(self) -> None:
        """Ask, unless it is being asked or the answer is still fresh."""
        with self._lock:
            if self._is_asking() or time.monotonic() < self._fresh_until:
                return
            self._ended.clear()
            self._started_at = time.monotonic()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def answer(self, within_s: float, *, last: bool = False) -> T | None:
        """The answer, None when there is none within so long of the question or it failed; with `last`, in its place
        that of last time.
        """
        in_time = self._ended.wait(max(0.0, self._started_at + within_s - time.monotonic()))
        with self._lock:
            return self._kept if last or (in_time and not self._failed) else None

    def age_s(self) -> float:
        """How old the kept answer is."""
        return max(0.0, time.monotonic() - self._kept_at)

    def _is_asking(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        found = None
        try:
            found = self._ask()
        except PaysyncError:
            pass  # its store is away, and the page says so
        except Exception as error:
            log.error("a part of the metrics failed: %s", error, exc_info=error, extra={"event_name": "metrics_error"})
        now = time.monotonic()
        with self._lock:
            self._failed = found is None
            if found is not None:
                self._kept, self._kept_at = found, now
                if self._fresh_times:
                    self._fresh_until = now + max(FRESH_AT_LEAST_S, self._fresh_times * (now - self._started_at))
        self._ended.set()


def _family(metric: Metric, figures: Figures) -> Any:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    labels = [label.name for label in metric.labels]
    kind: Any = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=labels)
    for values, value in sorted(figures.items()):
        family.add_metric(values, value)
    return family
