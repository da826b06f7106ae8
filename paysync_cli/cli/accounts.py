"""`paysync accounts`: balances, beside what the movements add up to. Needs no Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.errors import ConditionNotMet, Fault
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.services.accounts import AccountsReport


@command(
    "accounts",
    help=_(
        "The balance of each account and currency, beside the sum of its movements. The two are written together; "
        "when they differ somebody changed the database by hand: exit 6."
    ),
    examples=["paysync accounts", ("paysync accounts --csv > balances.csv", _("for a spreadsheet"))],
    rows=True,
)
def accounts(session: Session) -> None:
    from paysync_cli.services.accounts import list_accounts
    from paysync_cli.views.accounts import AccountsView

    report = list_accounts(session.runtime.store)
    session.show(AccountsView(report), error=_error(report))


def _error(report: AccountsReport) -> ConditionNotMet | None:
    from paysync_cli.views.accounts import difference_sentence

    if not report.differing:
        return None
    hint = _("The movements are what was booked, and nothing changes them; find out who wrote to paysync_accounts.")
    faults = [Fault("balance_differs", difference_sentence(one), hint) for one in report.differing]
    return ConditionNotMet(faults[0].message, code="balance_differs", faults=faults)
