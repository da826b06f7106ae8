"""What a QR came to while `paysync wait` looked."""

from __future__ import annotations

from dataclasses import dataclass

from paysync_cli.language import _
from paysync_cli.payments.qr import Qr
from paysync_cli.views.base import View
from paysync_cli.views.page import Page


@dataclass(frozen=True)
class WaitView(View):
    """The QR as it was seen last."""

    qr: Qr

    def data(self) -> object:
        qr = self.qr
        return {
            "qr_id": qr.qr_id,
            "bank": qr.bank,
            "environment": qr.environment,
            "status": qr.status,
            "final": qr.status.final,
            "plan_state": qr.plan.state,
            "next_check_at": qr.plan.next_check_at,
        }

    def human(self, page: Page) -> None:
        page.line(_("{qr}: {status}").format(qr=self.qr.qr_id, status=self.qr.status.value))
