"""How the workers look, and what came of asking some to leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paysync_cli.language import _, ngettext
from paysync_cli.queue.client import WorkerSeen
from paysync_cli.services.workers import StopReport, WorkersReport
from paysync_cli.views.base import ListView, View
from paysync_cli.views.fitting import Choice, fitted_table
from paysync_cli.views.page import BAD, GOOD, NOTICE, QUIET, Cell, Column, Page, Styled
from paysync_cli.views.times import brief_span, span

STYLES = {"alive": GOOD, "stale": BAD, "stopped": QUIET}


@dataclass(frozen=True)
class WorkersView(ListView):
    """Every worker, one a line."""

    report: WorkersReport
    columns = (
        "name", "condition", "state", "leader", "host", "pid", "heartbeat_age_seconds", "concurrency", "current",
        "done", "failed", "started_at", "queues",
    )  # fmt: skip

    def data(self) -> object:
        return {"items": list(self.rows()), "leader": self.report.leader}

    def rows(self) -> Iterable[Mapping[str, object]]:
        for worker in self.report.workers:
            yield {
                "name": worker.name,
                "condition": worker.condition,
                "state": worker.state,
                "leader": worker.name == self.report.leader,
                "host": worker.hostname,
                "pid": worker.pid,
                "heartbeat_age_seconds": None if worker.heartbeat_age_s is None else round(worker.heartbeat_age_s, 1),
                "concurrency": worker.concurrency,
                "current": worker.running,
                "done": worker.done,
                "failed": worker.failed,
                "started_at": worker.born_at,
                "queues": " ".join(worker.queues),
            }

    def human(self, page: Page) -> None:
        fitted_table(page, self._choices(), self.report.workers, empty=_("No worker is registered."))
        leader = self.report.leader
        if leader is not None and all(worker.name != leader for worker in self.report.workers):
            page.line(_("{leader} leads, and is no worker of this Redis.").format(leader=leader))
        elif leader is None and any(worker.alive for worker in self.report.workers):
            page.line(Styled(_("Nobody leads at the moment."), NOTICE))

    def _choices(self) -> list[Choice[WorkerSeen]]:
        """The name stands whole: `worker-stop` wants it."""
        return [
            Choice(Column(_("Worker")), self._name),
            Choice(Column(_("Seen")), lambda worker: Styled(worker.condition, STYLES[worker.condition])),
            Choice(Column(_("State")), lambda worker: worker.state, rank=4),
            Choice(Column(_("Host")), lambda worker: worker.hostname, rank=5),
            Choice(Column(_("Pid"), right=True), lambda worker: worker.pid, rank=3),
            Choice(Column(_("Beat"), right=True), _beat, rank=1, shorter=_short_beat),
            Choice(Column(_("Checks"), right=True), running_words, rank=2),
            Choice(Column(_("Done"), right=True), lambda worker: worker.done, rank=7),
            Choice(Column(_("Failed"), right=True), lambda worker: worker.failed, rank=6),
        ]

    def _name(self, worker: WorkerSeen) -> Cell:
        return f"{worker.name} *" if worker.name == self.report.leader else worker.name


def _beat(worker: WorkerSeen) -> Cell:
    return None if worker.heartbeat_age_s is None else span(worker.heartbeat_age_s)


def _short_beat(worker: WorkerSeen) -> Cell:
    return None if worker.heartbeat_age_s is None else brief_span(worker.heartbeat_age_s)


def running_words(worker: WorkerSeen) -> str:
    """`3/5`: checks in flight, of how many at most."""
    return str(worker.running) if worker.concurrency is None else f"{worker.running}/{worker.concurrency}"


@dataclass(frozen=True)
class StopView(View):
    """Which workers left, and which have not yet."""

    report: StopReport

    def data(self) -> object:
        report = self.report
        return {"stopped": list(report.left), "finishing": list(report.finishing), "unreached": list(report.deaf)}

    def human(self, page: Page) -> None:
        left = len(self.report.left)
        if not (left or self.report.finishing or self.report.deaf):
            page.line(_("No worker runs."))
            return
        page.line(ngettext("{n} worker left.", "{n} workers left.", left).format(n=left))
        for name in self.report.finishing:
            page.line(Styled(_("{name} was asked and still finishes what it runs.").format(name=name), NOTICE))
        for name in self.report.deaf:
            page.line(Styled(_("{name} did not listen.").format(name=name), BAD))
