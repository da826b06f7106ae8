"""How `paysync alert` looks: a test's outcome by address, and what was raised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from paysync_cli.language import _, ngettext
from paysync_cli.services.alert_desk import AlertsReport, Listed, Tried
from paysync_cli.views.base import ListView, View
from paysync_cli.views.page import BAD, GOOD, QUIET, WARNING, Cell, Column, Page, Styled


@dataclass(frozen=True)
class AlertTestView(View):
    """Each address, masked. In a dry run `ok` is null."""

    tried: Sequence[Tried]
    dry_run: bool = False

    def data(self) -> object:
        return {
            "dry_run": self.dry_run,
            "items": [
                {"channel": one.address.number, "url": one.address.shown, "ok": one.ok, "cause": one.cause}
                for one in self.tried
            ],
        }

    def human(self, page: Page) -> None:
        words = {True: Styled(_("ok"), GOOD), False: Styled(_("FAILED"), BAD), None: Styled(_("not sent"), QUIET)}
        rows = ((one.address.number, one.address.shown, words[one.ok], one.cause) for one in self.tried)
        page.table([Column(_("No."), right=True), _("Address"), _("Test"), _("Cause")], rows, empty="")


@dataclass(frozen=True)
class AlertsView(ListView):
    """Alerts, and the addresses that fail."""

    report: AlertsReport
    columns = ("id", "kind", "bank", "count", "first_at", "last_at", "standing", "recovered_at", "delivered_at", "text")

    def data(self) -> object:
        report = self.report
        return {
            "items": list(self.rows()),
            "undelivered": report.undelivered,
            "oldest_undelivered_at": report.oldest_at,
            "failing": [
                {"url": self._shown(one.channel), "failures": one.failures, "next_try_at": one.next_try_at,
                 "error": one.error}
                for one in report.failing
            ],
        }  # fmt: skip

    def rows(self) -> Iterable[Mapping[str, object]]:
        for one in self.report.items:
            alert = one.alert
            yield {
                "id": alert.id,
                "kind": alert.kind,
                "bank": alert.bank or None,
                "count": alert.count,
                "first_at": alert.first_at,
                "last_at": alert.last_at,
                "standing": alert.standing,
                "recovered_at": alert.recovered_at,
                "delivered_at": alert.delivered_at,
                "text": one.text,
            }

    def human(self, page: Page) -> None:
        report = self.report
        for one in report.failing:
            text = _("{url} failed {n} times in a row: {cause}").format(
                url=self._shown(one.channel), n=one.failures, cause=one.error
            )
            page.line(Styled(text, BAD))
        if report.undelivered:
            text = ngettext("{n} message is not delivered yet.", "{n} messages are not delivered yet.",
                            report.undelivered)  # fmt: skip
            page.line(Styled(text.format(n=report.undelivered), WARNING))
        heads = [_("Since"), _("Alert"), _("Bank"), _("State"), _("Told"), _("What")]
        page.table(heads, map(_cells, report.items), empty=_("Nothing was raised."))

    def _shown(self, key: str) -> str:
        return self.report.shown.get(key) or _("an address that is no longer set")


def _cells(one: Listed) -> list[Cell]:
    alert = one.alert
    return [alert.first_at, alert.kind.value, alert.bank, _state(one), alert.delivered_at, one.text]


def _state(one: Listed) -> Cell:
    alert = one.alert
    if alert.standing:
        return Styled(_("LASTS"), BAD)
    return _("over") if alert.recovered_at is not None else None
