"""Failed jobs and their reasons: `paysync failed`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paysync_cli.language import _, ngettext
from paysync_cli.services.failed import FailedItem, FailedReport, Group, GroupsReport, error_line
from paysync_cli.views.base import ListView
from paysync_cli.views.fitting import Choice, fitted_table
from paysync_cli.views.page import BAD, QUIET, Cell, Column, Page, Styled, status_cell
from paysync_cli.views.times import briefly_beside

TO_RETRY = "paysync retry --all"


@dataclass(frozen=True)
class FailedView(ListView):
    """One page of failed jobs, the newest first. `next_command` shows the page after it."""

    report: FailedReport
    next_command: str | None = None
    columns = (
        "job_id", "qr_id", "bank", "environment", "status", "plan_state", "next_check_at", "failed_at", "error",
        "queue",
    )  # fmt: skip

    def data(self) -> object:
        return {"items": list(self.rows()), "total": self.report.total, "next": self.report.next}

    def rows(self) -> Iterable[Mapping[str, object]]:
        return map(_fields, self.report.items)

    def human(self, page: Page) -> None:
        choices = [
            Choice(Column(_("Failed")), lambda one: one.job.failed_at, 0, lambda one: _briefly(one, page)),
            Choice(Column(_("QR")), _qr_cell),
            Choice(Column(_("Bank")), lambda one: one.qr and one.qr.bank, 1),
            Choice(Column(_("Status now")), lambda one: one.qr and status_cell(one.qr.status.value), 2),
            Choice(Column(_("Error")), lambda one: error_line(one.job.reason) or _no_reason()),
        ]
        fitted_table(page, choices, self.report.items, empty=_none(self.report))
        if self.report.total:
            text = ngettext(
                "{n} failed job in all; ask again: {command}",
                "{n} failed jobs in all; ask again: {command}",
                self.report.total,
            )
            page.line(text.format(n=self.report.total, command=TO_RETRY))
        if self.next_command is not None:
            page.line(_("more: {command}").format(command=self.next_command))


@dataclass(frozen=True)
class FailedGroupsView(ListView):
    """Failed jobs by their error, the most frequent first."""

    report: GroupsReport
    columns = ("error", "jobs", "newest_at", "oldest_at", "qr_id", "bank")

    def data(self) -> object:
        return {"groups": list(self.rows()), "jobs": self.report.jobs, "total": self.report.total}

    def rows(self) -> Iterable[Mapping[str, object]]:
        for group in self.report.groups:
            yield {
                "error": group.error,
                "jobs": group.jobs,
                "newest_at": group.last.failed_at,
                "oldest_at": group.oldest.failed_at,
                "qr_id": group.qr and group.qr.qr_id,
                "bank": group.qr and group.qr.bank,
            }

    def human(self, page: Page) -> None:
        choices = [
            Choice(Column(_("Jobs"), right=True), lambda one: one.jobs),
            Choice(Column(_("Error")), _group_words),
            Choice(Column(_("Last")), lambda one: one.last.failed_at, 0,
                   lambda one: one.last.failed_at and briefly_beside(one.last.failed_at, page.now, page.zone)),
            Choice(Column(_("First")), lambda one: one.oldest.failed_at, 2),
            Choice(Column(_("Last QR")), lambda one: one.qr and one.qr.qr_id, 1),
        ]  # fmt: skip
        fitted_table(page, choices, self.report.groups, empty=_none(self.report))
        if self.report.jobs:
            page.line(_('ask again: {command} --error "TEXT OF THE ERROR"').format(command=TO_RETRY))


def _none(report: FailedReport | GroupsReport) -> str:
    return _("No failed job is like this.") if report.total else _("No job is failed.")


def _fields(one: FailedItem) -> dict[str, object]:
    qr = one.qr
    return {
        "job_id": one.job.id,
        "qr_id": qr and qr.qr_id,
        "bank": qr and qr.bank,
        "environment": qr and qr.environment,
        "status": qr and qr.status,
        "plan_state": qr and qr.plan.state,
        "next_check_at": qr and qr.plan.next_check_at,
        "failed_at": one.job.failed_at,
        "error": error_line(one.job.reason) or None,
        "queue": one.job.queue,
    }


def _qr_cell(one: FailedItem) -> Cell:
    return one.qr.qr_id if one.qr is not None else Styled(_("no QR of ours ({job})").format(job=one.job.id), BAD)


def _briefly(one: FailedItem, page: Page) -> Cell:
    return one.job.failed_at and briefly_beside(one.job.failed_at, page.now, page.zone)


def _group_words(group: Group) -> Cell:
    if group.error is None:
        return Styled(_("other errors"), QUIET)
    return group.error or _no_reason()


def _no_reason() -> Styled:
    return Styled(_("no reason was kept"), QUIET)
