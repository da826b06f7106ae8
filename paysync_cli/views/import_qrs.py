"""What became of a file of QRs."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.services.importing import Tally
from paysync_cli.services.register import Outcome
from paysync_cli.views.base import View
from paysync_cli.views.enqueue import outcome_words
from paysync_cli.views.page import Page


@dataclass(frozen=True)
class ImportView(View):
    """Counts, and the outcomes that are not `created`, as many as the tally kept."""

    tally: Tally
    dry_run: bool

    def data(self) -> object:
        tally = self.tally
        return {
            **{outcome.value: tally.count(outcome) for outcome in Outcome},
            "invalid": tally.invalid,
            "lines": tally.lines,
            "dry_run": self.dry_run,
            "items": [
                {
                    "qr_id": one.item.qr_id,
                    "outcome": one.item.outcome.value,
                    "next_check_at": one.item.next_check_at,
                    "bank": one.bank,
                    "line": one.line,
                    "detail": one.item.detail,
                }
                for one in tally.items
            ],
            "items_cut": tally.items_cut,
            "invalid_lines": [
                {
                    "line": bad.number,
                    "qr_id": bad.qr_id,
                    "faults": [{"code": fault.code, "message": fault.message} for fault in bad.faults],
                }
                for bad in tally.bad_lines
            ],
        }

    def human(self, page: Page) -> None:
        if self.dry_run:
            page.line(_("Nothing was written. A real run would bring:"))
        rows = [(outcome_words(outcome), self.tally.count(outcome)) for outcome in Outcome]
        shown = [(words, n) for words, n in rows if n or words == outcome_words(Outcome.CREATED)]
        if self.tally.invalid:
            shown.append((_("invalid"), self.tally.invalid))
        page.fields([(_("lines"), self.tally.lines), *shown])
