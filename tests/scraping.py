"""`/metrics` as Prometheus reads it: one page, or all of them each second."""

from __future__ import annotations

import contextlib
import threading
import urllib.request
from collections.abc import Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families

from paysync_cli.services.metric_names import OF

SCRAPE_EVERY_S = 1.0
OWN_RESTARTS = "paysync_redis_evicted_keys_total"  # Redis counts it, and begins anew when it does

Page = Mapping[str, Mapping[tuple[str, ...], float]]  # of each metric the values by its label values


class Scraper:
    """Reads every page each second, as Prometheus would, and keeps what no page may ever show."""

    def __init__(self) -> None:
        self.last: dict[str, Page] = {}
        self.count = 0
        self.wrong: list[str] = []
        self.breaker_seen_open = False
        self._urls: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def watch(self, url: str) -> None:
        with self._lock:
            self._urls.add(url)

    def leave(self, url: str) -> None:
        """Nobody may be there from now on; waits for a scrape under way."""
        with self._lock:
            self._urls.remove(url)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="scraper", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        while not self._ended.wait(SCRAPE_EVERY_S):
            with self._lock:
                urls = sorted(self._urls)
            for url in urls:
                with self._lock:
                    if url in self._urls:
                        self._look(url)

    def _look(self, url: str) -> None:
        try:
            page = scrape(url)
        except OSError as error:
            self.wrong.append(f"{url} does not answer: {error}")
            return
        self.count += 1
        self.wrong += [f"{url}: {fell}" for fell in fallen(self.last.get(url, {}), page)]
        self.last[url] = page
        self.breaker_seen_open |= bool(page.get("paysync_bank_breaker", {}).get(("sim", "open")))


def scrape(url: str) -> Page:
    """Each metric's values by its label values, in the catalogue's order."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[values_of(sample.name, sample.labels)] = sample.value
    return found


def values_of(metric: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """In the catalogue's order; of a metric that is not in it, by name."""
    known = OF.get(metric)
    return tuple(labels[name] for name in ([one.name for one in known.labels] if known else sorted(labels)))


def fallen(before: Page, after: Page) -> list[str]:
    """The counters of a worker that went down or away, which Prometheus takes for a restart."""
    return [
        f"{metric}{labels} fell from {value} to {after.get(metric, {}).get(labels)}"
        for metric, figures in before.items()
        if metric.endswith("_total") and metric != OWN_RESTARTS
        for labels, value in figures.items()
        if after.get(metric, {}).get(labels, -1) < value
    ]
