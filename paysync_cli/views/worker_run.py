"""How a worker's run went, for scripts; people read its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paysync_cli.language import _
from paysync_cli.services.engine import LeftBehind
from paysync_cli.views.base import View
from paysync_cli.views.page import Page

if TYPE_CHECKING:
    from paysync_cli.services.metric_names import Count


@dataclass(frozen=True)
class WorkerRunView(View):
    """`stopped_by` is a signal, `nothing is due`, or a command of RQ; `counted` None without a port to tell it at."""

    worker: str
    checks: int
    stopped_by: str
    cut_short: bool
    left: tuple[LeftBehind, ...]
    counted: Sequence[Count] | None

    def data(self) -> object:
        return {
            "worker": self.worker,
            "checks": self.checks,
            "stopped_by": self.stopped_by,
            "cut_short": self.cut_short,
            "left": [{"bank": one.bank, "reason": one.reason, "due": one.due} for one in self.left],
            "counted": counts(self.counted),
        }

    def human(self, page: Page) -> None:
        page.line(_("{n} checks; {why}").format(n=self.checks, why=self.stopped_by))


@dataclass(frozen=True)
class ProcessesView(View):
    """The runs of several processes, each as WorkerRunView tells it, and what they did together."""

    workers: tuple[Mapping[str, Any], ...]
    counted: Sequence[Count] | None

    def data(self) -> object:
        return {
            "checks": sum(one["checks"] for one in self.workers),
            "cut_short": any(one["cut_short"] for one in self.workers),
            "workers": [{key: value for key, value in one.items() if key != "counted"} for one in self.workers],
            "counted": counts(self.counted),
        }

    def human(self, page: Page) -> None:
        page.line(_("{n} processes").format(n=len(self.workers)))


def counts(counted: Sequence[Count] | None) -> list[dict[str, Any]] | None:
    """The last word of the counters, which no scrape may have seen."""
    if counted is None:
        return None
    return [{"metric": one.metric, "labels": dict(one.labels), "value": one.value} for one in counted]
