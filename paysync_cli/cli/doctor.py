"""`paysync doctor`: what is wrong, and the command that mends it. Leaves nothing changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.language import _, ngettext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paysync_cli.errors import PaysyncError
    from paysync_cli.services.doctor import Finding


@command(
    "doctor",
    help=_(
        "Examine Redis, database, queues, workers, banks and settings; each line is ok, warning or fault with the "
        "command that mends it. Takes seconds whatever hangs, logs in nowhere, leaves nothing changed. Exit 6 on "
        "a fault."
    ),
    examples=[
        "paysync doctor",
        (
            "paysync doctor --json | jq -r '.data.findings[] | select(.level != \"ok\") | .text'",
            _("only what is wrong"),
        ),
    ],
    cron=True,
    where=True,
)
def doctor(session: Session) -> None:
    from paysync_cli.runtime.examination import examine, missing_database
    from paysync_cli.views.doctor import DoctorView

    findings = [
        replace(one, text=session.redact(one.text), mend=one.mend and session.redact(one.mend))
        for one in examine(session.settings)
    ]
    nothing_there = any(one.code == "missing" and one.area == "database" for one in findings)
    error = missing_database(session.settings) if nothing_there else None
    session.show(
        DoctorView(findings, session.runtime.where()), error=error or _verdict(findings, each=session.options.json)
    )


def _verdict(findings: Sequence[Finding], *, each: bool) -> PaysyncError | None:
    """The error of a bad verdict; people have read each fault already."""
    from paysync_cli.errors import ConditionNotMet, Fault
    from paysync_cli.services.doctor import Level

    faults = [Fault(one.code, one.text, one.mend) for one in findings if one.level is Level.FAULT]
    if not faults:
        return None
    text = ngettext("{n} fault was found.", "{n} faults were found.", len(faults)).format(n=len(faults))
    return ConditionNotMet(text, code="faults_found", faults=faults if each else ())
