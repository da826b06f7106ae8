"""Is it fit? Judges what the doctor's rounds found, for probes and for Nagios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.services.doctor.finding import Finding, Level, fault, ok, worst
from paysync_cli.services.doctor.work import WorkFacts

UNKNOWN = "U"  # Nagios' word for a figure that could not be had; 0 would be a figure


@dataclass(frozen=True, slots=True)
class HealthReport:
    """`mode` is live, ready or deep; `work` the figures behind it, None when they could not be had."""

    mode: str
    findings: Sequence[Finding]
    work: WorkFacts | None = None

    @property
    def level(self) -> Level:
        return worst(self.findings)

    @property
    def well(self) -> bool:
        return self.level is not Level.FAULT


def judge_heartbeat(work: WorkFacts, name: str | None) -> Finding:
    """Whether a worker beats: any, or the one called `name`."""
    alive = [worker for worker in work.workers or () if worker.alive and name in (None, worker.name)]
    if alive:
        one = _("{name} beat {n:.0f} s ago")
        beats = [one.format(name=worker.name, n=worker.heartbeat_age_s or 0) for worker in alive]
        return ok("work", "heartbeat", f"{', '.join(beats)}.")
    if name is None:
        return fault("work", "no_worker", _("No worker is alive: nothing is checked."), "paysync worker")
    text = _("Worker {name} does not beat.").format(name=name)
    return fault("work", "worker_silent", text, _("See: paysync workers"))


def judge_consuming(work: WorkFacts, max_idle_s: float) -> Finding:
    """Whether what is due gets done: something waits for longer than allowed, and nothing was asked for as long."""
    idle = work.idle_s
    words = {"due": work.oldest_due_s, "idle": "?" if idle is None else f"{idle:.0f}", "n": work.due}
    if work.oldest_due_s > max_idle_s and (idle is None or idle > max_idle_s):
        text = _("Nothing is consumed: a check is due for {due:.0f} s, and the last one was {idle} s ago.")
        return fault("work", "not_consuming", text.format(**words), _("See: paysync doctor"))
    if work.oldest_due_s == 0:
        return ok("work", "consuming", _("Nothing is overdue."))
    return ok("work", "consuming", _("The oldest due check waits for {due:.0f} s.").format(**words))


def nagios(report: HealthReport) -> tuple[int, str]:
    """Nagios' exit status and its one line with performance data."""
    status, word = {Level.OK: (0, "OK"), Level.WARNING: (1, "WARNING"), Level.FAULT: (2, "CRITICAL")}[report.level]
    wanted = [finding for finding in report.findings if finding.level is report.level]
    # When all is well a watcher reads what moves, not how Redis and the database are.
    told = [finding.text for finding in wanted if report.level is not Level.OK or finding.area == "work"]
    text = " ".join(told).replace("|", "/").replace("\n", " ")
    return status, f"PAYSYNC {word} - {text}{_performance(report.work)}"


def _performance(work: WorkFacts | None) -> str:
    if work is None:
        return ""
    figures: dict[str, object] = {
        "workers": None if work.workers is None else work.alive,
        "due": work.due,
        "oldest_due": f"{work.oldest_due_s:.0f}s",
        "waiting": work.waiting,
        "last_check": None if work.idle_s is None else f"{work.idle_s:.0f}s",
    }
    return " | " + " ".join(f"{name}={UNKNOWN if value is None else value}" for name, value in figures.items())
