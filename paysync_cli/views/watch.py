"""How `paysync stats --watch` looks: the screen of `stats`, and off a terminal one line a look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from paysync_cli.errors import PaysyncError
from paysync_cli.language import _
from paysync_cli.payments.status import PlanState
from paysync_cli.services.stats import StatsReport
from paysync_cli.views.attention import notices
from paysync_cli.views.page import ALARM, QUIET, Page, Styled
from paysync_cli.views.stats import StatsView
from paysync_cli.views.times import iso_utc


@dataclass(frozen=True)
class WatchView:
    """The last figures, of `seen_at`; `trouble` is why there are no newer ones."""

    report: StatsReport
    seen_at: datetime
    trouble: PaysyncError | None = None

    def human(self, page: Page) -> None:
        StatsView(self.report).human(page)
        page.line()
        if self.trouble is not None:
            page.line(stale(self.trouble, page.moment(self.seen_at)))
        page.line(Styled(_("Ctrl-C ends"), QUIET))


def stale(trouble: PaysyncError, since: str) -> Styled:
    """The line that says since when the figures are not true any more."""
    text = _("STALE since {since}: {why}").format(since=since, why=trouble.message)
    return Styled(text, ALARM)


def watch_line(view: WatchView, now: datetime) -> str:
    """One line for a log: words that scripts can cut, named like the keys of `stats --json`."""
    if view.trouble is not None:
        return f"{iso_utc(now)} error={view.trouble.code} seen={iso_utc(view.seen_at)}\n"
    books, jobs = view.report.books, view.report.jobs
    alive = sum(worker.alive for worker in view.report.workers)
    figures: dict[str, object] = {"oldest_due_seconds": int(books.oldest_due_s), "due": books.due}
    for name in ("waiting", "active", "completed", "failed", "delayed"):
        figures[name] = "?" if jobs is None else getattr(jobs, name)
    figures |= {
        "checks_per_minute": round(books.checks_per_minute, 1),
        "exhausted": books.in_state(PlanState.EXHAUSTED),
        "held": books.in_state(PlanState.HELD),
        "reviews_open": books.reviews_open,
        "workers": "?" if jobs is None else alive,
    }
    codes = [notice.code for notice in notices(view.report)]
    if view.report.redis_error is not None:
        codes.insert(0, view.report.redis_error.code)
    figures["warnings"] = ",".join(codes) or "-"
    return " ".join([iso_utc(now), *(f"{name}={figure}" for name, figure in figures.items())]) + "\n"
