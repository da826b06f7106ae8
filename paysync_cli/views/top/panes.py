"""The five tabs. Each shows its part of a look; what can be done there stands in the footer."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import DataTable, Sparkline, Static

from paysync_cli.language import _, pgettext
from paysync_cli.queue.client import WorkerSeen
from paysync_cli.services.bank_desk import BankReport
from paysync_cli.services.concerns import CauseSeen, Concern
from paysync_cli.views.attention import state_cell
from paysync_cli.views.banks import limits_words
from paysync_cli.views.page import ALARM, GOOD, QUIET, WARNING, Cell, Styled, status_cell
from paysync_cli.views.sheet import Sheet
from paysync_cli.views.stats import StatsView
from paysync_cli.views.times import relative, span
from paysync_cli.views.top.desk import Look, QrKey
from paysync_cli.views.top.grid import Grid
from paysync_cli.views.workers import running_words


class Pane(Widget):
    """One tab's content."""

    @abstractmethod
    def show(self, look: Look, sheet: Sheet) -> None:
        """Show this look."""


class OpenStory(Message):
    """Somebody wants to see one QR whole."""

    def __init__(self, key: QrKey) -> None:
        super().__init__()
        self.key = key


class Act(Message):
    """Somebody pressed a dangerous key: `what` is retry, plan, check or pause, about a QR or a bank."""

    def __init__(self, what: str, about: QrKey | BankReport) -> None:
        super().__init__()
        self.what = what
        self.about = about


class OverviewPane(Pane):
    """Checks a minute as a line, and the two blocks of `paysync stats`."""

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(id="rate", markup=False)
            yield Sparkline([], id="spark")
            yield Static(id="figures", markup=False)

    def show(self, look: Look, sheet: Sheet) -> None:
        if look.per_minute:
            words = _("checks a minute in the last {n} minutes: {last} in the last one, {most} at most").format(
                n=len(look.per_minute), last=look.per_minute[-1], most=max(look.per_minute)
            )
            self.query_one("#rate", Static).update(words)
            self.query_one("#spark", Sparkline).data = list(map(float, look.per_minute))
        StatsView(look.stats).figures(sheet)
        self.query_one("#figures", Static).update(sheet.group())


class BanksPane(Pane):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("P", "pause", _("Pause or resume"))]

    def __init__(self) -> None:
        super().__init__()
        self._reports: dict[str, BankReport] = {}

    def compose(self) -> ComposeResult:
        columns = [_("Bank"), _("State"), _("Open"), pgettext("how many", "Due"), _("Limits"), _("In flight"),
                   _("Failures"), _("Reason")]  # fmt: skip
        yield Grid(columns, empty=_("no bank is configured"))

    def show(self, look: Look, sheet: Sheet) -> None:
        self._reports = {report.name: report for report in look.banks}
        self.query_one(Grid).fill(sheet, ((report.name, _bank_cells(report)) for report in look.banks))

    def action_pause(self) -> None:
        report = self._reports.get(self.query_one(Grid).chosen or "")
        if report is not None:
            self.post_message(Act("pause", report))


class WorkersPane(Pane):
    def compose(self) -> ComposeResult:
        columns = [_("Worker"), _("Seen"), _("Runs"), _("Done"), _("Failed"), _("Last beat"), _("Host"), _("Pid")]
        yield Grid(columns, empty=_("no worker: run `paysync worker`"))

    def show(self, look: Look, sheet: Sheet) -> None:
        leader = look.stats.books.leader
        self.query_one(Grid).fill(sheet, ((one.name, _worker_cells(one, leader)) for one in look.stats.workers))


class FailuresPane(Pane):
    def __init__(self) -> None:
        super().__init__()
        self._causes: dict[str, CauseSeen] = {}

    def compose(self) -> ComposeResult:
        columns = [_("Times"), _("Bank"), _("Outcome"), _("Last"), _("Cause")]
        yield Grid(columns, empty=_("no question failed in 24 hours"), opens=True)

    def show(self, look: Look, sheet: Sheet) -> None:
        self._causes = {f"{one.cause.bank} {one.cause.outcome} {one.cause.error}": one for one in look.causes}
        self.query_one(Grid).fill(sheet, ((key, _cause_cells(one, sheet)) for key, one in self._causes.items()))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        seen = self._causes.get(self.query_one(Grid).chosen or "")
        if seen is not None and seen.qr is not None:
            self.post_message(OpenStory(QrKey(seen.qr.qr_id, seen.qr.bank, seen.qr.environment)))


class QrsPane(Pane):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("R", "act('retry')", _("Retry")),
        Binding("N", "act('plan')", _("Ask soon")),
        Binding("C", "act('check')", _("Check now")),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._concerns: dict[str, Concern] = {}

    def compose(self) -> ComposeResult:
        columns = [_("QR"), _("Why"), _("Since"), _("Status"), _("Bank")]
        yield Grid(columns, empty=_("no QR needs a person; / opens any other"), opens=True)

    def show(self, look: Look, sheet: Sheet) -> None:
        self._concerns = {" ".join((one.bank, one.environment, one.qr_id, one.code, one.detail or "")): one
                          for one in look.concerns}  # fmt: skip
        self.query_one(Grid).fill(sheet, ((key, _concern_cells(one, sheet)) for key, one in self._concerns.items()))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        if (key := self._chosen()) is not None:
            self.post_message(OpenStory(key))

    def action_act(self, what: str) -> None:
        if (key := self._chosen()) is not None:
            self.post_message(Act(what, key))

    def _chosen(self) -> QrKey | None:
        one = self._concerns.get(self.query_one(Grid).chosen or "")
        return None if one is None else QrKey(one.qr_id, one.bank, one.environment)


def _bank_cells(report: BankReport) -> list[Cell]:
    breaker, state = report.breaker, report.state
    why = report.adapter_error
    if why is None and state is not None:
        why = state.stop_reason or (state.pause_reason if report.paused else None)
    flying, failures = (None, None) if breaker is None else (breaker.in_flight, breaker.failures)
    return [report.name, state_cell(report.closed or "open"), report.open_qrs, report.due,
            limits_words(report.limits), flying, failures, why]  # fmt: skip


def _worker_cells(worker: WorkerSeen, leader: str | None) -> list[Cell]:
    seen = {
        "alive": Styled(_("alive"), GOOD),
        "stale": Styled(_("KILLED") if worker.killed else _("STALE"), ALARM),
        "stopped": Styled(_("stopped"), QUIET),
    }
    name = _("{name} (leader)").format(name=worker.name) if worker.name == leader else worker.name
    beat = None if worker.heartbeat_age_s is None else _("{span} ago").format(span=span(worker.heartbeat_age_s))
    return [name, seen[worker.condition], running_words(worker), worker.done, worker.failed, beat, worker.hostname,
            worker.pid]  # fmt: skip


def _cause_cells(seen: CauseSeen, sheet: Sheet) -> list[Cell]:
    cause = seen.cause
    return [cause.times, cause.bank, cause.outcome, relative(cause.last_at, sheet.now), cause.error]


def _concern_cells(one: Concern, sheet: Sheet) -> list[Cell]:
    since = Styled(None, QUIET) if one.since is None else relative(one.since, sheet.now)
    return [one.qr_id, _why(one), since, None if one.status is None else status_cell(one.status), one.bank]


def _why(one: Concern) -> Styled:
    words = {
        "review": _("REVIEW: {reason}").format(reason=one.detail),
        "overdue": _("OVERDUE"),
        "exhausted": _("EXHAUSTED"),
        "held": _("HELD"),
    }
    return Styled(words[one.code], WARNING)
