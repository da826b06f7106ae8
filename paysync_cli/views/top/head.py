"""What stands above every screen: the age of the oldest due check, and what nobody may overlook."""

from __future__ import annotations

from textual.widgets import Static

from paysync_cli.errors import PaysyncError
from paysync_cli.language import _, ngettext
from paysync_cli.views.attention import Notice, notices
from paysync_cli.views.page import ALARM, Styled
from paysync_cli.views.sheet import Sheet
from paysync_cli.views.stats import StatsView
from paysync_cli.views.top.desk import Look
from paysync_cli.views.watch import stale

SHOWN = 5  # notices; the alarms come first


class Head(Static):
    """Always visible, whatever the screen below shows."""

    def show(self, look: Look, sheet: Sheet, trouble: PaysyncError | None) -> None:
        if trouble is not None:
            sheet.line(stale(trouble, sheet.moment(look.at)))
        else:
            sheet.line(StatsView(look.stats).oldest())
        found = self._notices(look)
        for notice in found[:SHOWN]:
            self._row(sheet, notice.styled)
        if len(found) > SHOWN:
            more = len(found) - SHOWN
            text = ngettext("and {n} warning more: `paysync stats`", "and {n} warnings more: `paysync stats`", more)
            self._row(sheet, Styled(text.format(n=more), ALARM))
        self.update(sheet.group())

    def _row(self, sheet: Sheet, cell: Styled) -> None:
        """One row for each, however narrow: what it is stands first, and none pushes another one out."""
        text = sheet.text(cell)
        text.no_wrap, text.overflow = True, "ellipsis"
        sheet.console.print(text)

    def _notices(self, look: Look) -> list[Notice]:
        error = look.stats.redis_error
        if error is None:
            return notices(look.stats)
        text = _("{error} What is shown is the database's word.").format(error=error.message)
        others = [notice for notice in notices(look.stats) if notice.code != "redis_unavailable"]
        return [Notice(error.code, text, alarm=True), *others]
