"""How the workers look, and what came of asking some to leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paysync_cli.language import _, ngettext
from paysync_cli.queue.client import WorkerSeen
from paysync_cli.services.workers import StopReport, WorkersReport
from paysync_cli.views.base import ListView, View
from paysync_cli.views.page import BAD, GOOD, NOTICE, QUIET, Cell, Column, Page, Styled
from paysync_cli.views.times import span

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
        words = [Column(title) for title in (_("Worker"), _("Seen"), _("State"), _("Host"))]
        titles = (_("Pid"), _("Beat"), _("Checks"), _("Done"), _("Failed"))
        heads = [*words, *(Column(title, right=True) for title in titles)]
        page.table(heads, (self._cells(worker) for worker in self.report.workers), empty=_("No worker is registered."))
        leader = self.report.leader
        if leader is not None and all(worker.name != leader for worker in self.report.workers):
            page.line(_("{leader} leads, and is no worker of this Redis.").format(leader=leader))
        elif leader is None and any(worker.alive for worker in self.report.workers):
            page.line(Styled(_("Nobody leads at the moment."), NOTICE))

    def _cells(self, worker: WorkerSeen) -> list[Cell]:
        name = f"{worker.name} *" if worker.name == self.report.leader else worker.name
        running = str(worker.running) if worker.concurrency is None else f"{worker.running}/{worker.concurrency}"
        beat = None if worker.heartbeat_age_s is None else span(worker.heartbeat_age_s)
        return [name, Styled(worker.condition, STYLES[worker.condition]), worker.state, worker.hostname, worker.pid,
                beat, running, worker.done, worker.failed]  # fmt: skip


@dataclass(frozen=True)
class StopView(View):
    """Which workers left, and which have not yet."""

    report: StopReport

    def data(self) -> object:
        report = self.report
        return {"stopped": list(report.left), "finishing": list(report.finishing), "unreached": list(report.deaf)}

    def human(self, page: Page) -> None:
        left = len(self.report.left)
        page.line(ngettext("{n} worker left.", "{n} workers left.", left).format(n=left))
        for name in self.report.finishing:
            page.line(Styled(_("{name} was asked and still finishes what it runs.").format(name=name), NOTICE))
        for name in self.report.deaf:
            page.line(Styled(_("{name} did not listen.").format(name=name), BAD))
