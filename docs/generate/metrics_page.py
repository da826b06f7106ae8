"""docs/metrics.md, from the catalogue of the metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paysync_cli.services.metric_names import LABELS, METRICS, Metric, Source

_HEAD = """\
# Metrics

`GET /metrics` of `paysync worker --health-port P` and of `paysync serve`, in Prometheus' text format (extra `serve`:
`pip install 'paysync-cli[serve]'`). The names and labels on this page are frozen; the page is written from the code.

- **Scrape every worker for the counters and one of them, or `serve`, for the rest.** What the workers count is each
  one's own: sum it over the instances. What is read from the database and from Redis is the same wherever it is asked:
  take it from one instance, or wrap it in `max()`.
- `serve` runs no checks: it tells no counters of workers, only what it reads. A worker without `--health-port` counts
  nothing.
- `--processes N` answers for all its processes together. A process that dies and is started again goes on where it
  stood; when the whole command ends, its counters begin at 0 again, as Prometheus expects.
- What a worker counted after its last scrape is on no page any more. `paysync worker --health-port P --json` prints
  where its counters stood when it ended, under `data.counted`: to keep account over restarts, take those.
- A counter rises after the commit that wrote what it counts, once. Only a crash between the two loses a count.
- Every label value on this page is there from the start, as 0. A figure whose store is away is absent while
  `paysync_database_up` or `paysync_redis_up` is 0; the scrape itself always answers.
- Moments are Unix times of the clock that decides: the database's on PostgreSQL, the machine's on SQLite. A demo with a
  compressed clock counts in its own time.
- One scrape costs a fixed number of statements and of round trips to Redis, however many QRs there are. Counting QRs
  reads an index from end to end; counts are kept for twenty times as long as that took, and
  `paysync_counted_age_seconds` says how old they are.
"""

_PARTS = {
    Source.WORKER: (
        "Counted by the workers",
        "Of this worker (with `--processes`, of all its processes), since it started. By a foreground command such as"
        " `paysync check` or `paysync enqueue` nothing is counted: the books have it.",
    ),
    Source.DATABASE: ("Read from the database", "Of the whole installation."),
    Source.REDIS: ("Read from Redis", "Of the whole installation."),
    Source.SERVE: ("Counted by `paysync serve --notify`", "Of this process, since it started; nobody else tells them."),
    Source.PROCESS: ("Of the process that is scraped", ""),
}


def page() -> str:
    """The whole page."""
    lines = [_HEAD]
    for source, (title, text) in _PARTS.items():
        some = [metric for metric in METRICS if metric.source is source]
        lines += [f"## {title}\n", *([f"{text}\n"] if text else []), *_metric_table(some), ""]
    lines += ["## Labels\n", "| label | says | values |", "| --- | --- | --- |"]
    lines += [f"| `{one.name}` | {one.help} | {codes(one.values) or '-'} |" for one in LABELS]
    lines += ["", "## Buckets\n"]
    lines += [f"- `{one.name}`: {', '.join(f'{bound:g}' for bound in one.buckets)}" for one in METRICS if one.buckets]
    return "\n".join(lines) + "\n"


def _metric_table(some: Sequence[Metric]) -> Iterator[str]:
    yield "| metric | type | labels | meaning |"
    yield "| --- | --- | --- | --- |"
    for one in some:
        labels = codes([label.name for label in one.labels])
        yield f"| `{one.name}` | {one.kind.value} | {labels} | {one.help} |"


def codes(words: Sequence[str]) -> str:
    """The words as code, with commas."""
    return ", ".join(f"`{word}`" for word in words)
