"""What `hold` and `release` share: naming QRs, and the error about those that nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.errors import NotFound, PartlyDone, PaysyncError
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.services.hold import HoldReport

NamedQrs = Annotated[list[str], typer.Argument(help=_("The bank's ids of the QRs."), metavar="QR")]


def not_known(report: HoldReport) -> PaysyncError | None:
    """The error that goes with the report: some or all of the QRs are not known."""
    if not report.missing:
        return None
    faults = [fault for error in report.missing for fault in error.faults]
    kind: type[PaysyncError] = NotFound if len(report.missing) == len(report.items) else PartlyDone
    return kind(faults[0].message, hint=faults[0].hint, code=faults[0].code, faults=faults)
