"""What operators did: `paysync audit`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.services.actions import ActionsReport
from paysync_cli.store.actions import Done
from paysync_cli.views.base import ListView
from paysync_cli.views.page import Page


@dataclass(frozen=True)
class AuditView(ListView):
    """One page, the newest first. `next_command` shows the page after it; `filtered`: not all are meant."""

    report: ActionsReport
    next_command: str | None = None
    filtered: bool = False
    columns = ("id", "at", "who", "action", "object", "qr_id", "bank", "reason", "detail")

    def data(self) -> object:
        return {"items": list(self.rows()), "next": self.report.next}

    def rows(self) -> Iterable[Mapping[str, object]]:
        for one in self.report.items:
            yield {
                "id": one.id,
                "at": one.at,
                "who": one.who,
                "action": one.action,
                "object": one.what,
                "qr_id": one.qr_id,
                "bank": one.bank,
                "reason": one.reason,
                "detail": one.detail,
            }

    def human(self, page: Page) -> None:
        heads = [_("When"), _("Who"), _("Action"), _("On"), _("Why"), _("Detail")]
        rows = ((one.at, one.who, one.action, one.what, one.reason, _detail(one)) for one in self.report.items)
        empty = _("No action is recorded like this.") if self.filtered else _("No action is recorded yet.")
        page.table(heads, rows, empty=empty)
        if self.next_command is not None:
            page.line(_("more: {command}").format(command=self.next_command))


def _detail(one: Done) -> str | None:
    return ", ".join(f"{name}: {_words(value)}" for name, value in one.detail.items()) or None


def _words(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_words(part)}" for name, part in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
