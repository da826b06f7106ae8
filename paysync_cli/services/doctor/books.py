"""The books: does every completed QR have its money, and every balance its movements?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paysync_cli.language import _, ngettext
from paysync_cli.services import reviews
from paysync_cli.services.accounts import Account, list_accounts
from paysync_cli.services.doctor.finding import Finding, fault, ok
from paysync_cli.store import ledger
from paysync_cli.store.database import Database

AREA = "books"
SHOWN = 3


@dataclass(frozen=True, slots=True)
class BooksFacts:
    """The first QRs that are completed without a movement and without a person's word (their bank's ids), and the
    accounts whose balance is another sum.
    """

    completed_unpaid: Sequence[str] = ()
    differing: Sequence[Account] = ()


def gather(store: Database) -> BooksFacts:
    """Reads every completed QR and every movement. Raises DatabaseUnavailable."""
    with store.read() as tx:
        unpaid = ledger.completed_without_money(tx, SHOWN, but_for=reviews.CAUSE)
    return BooksFacts(unpaid, list_accounts(store).differing)


def judge(facts: BooksFacts) -> list[Finding]:
    """One quiet line when they add up. Nothing of paysync's makes them wrong: somebody else wrote, or a file is old."""
    found = [*_completed(facts), *_balances(facts)]
    return found or [ok(AREA, "add_up", _("The books add up: every completed QR has its money."))]


def _completed(facts: BooksFacts) -> Iterator[Finding]:
    if facts.completed_unpaid:
        text = _("Completed QRs have no movement: {ids}.").format(ids=", ".join(facts.completed_unpaid))
        mend = _("Compare with the bank: paysync show {qr}; paysync reconcile --date DAY").format(
            qr=facts.completed_unpaid[0]
        )
        yield fault(AREA, "completed_without_movement", text, mend)


def _balances(facts: BooksFacts) -> Iterator[Finding]:
    if facts.differing:
        n = len(facts.differing)
        text = ngettext("The balance of {n} account is not the sum of its movements.",
                        "The balances of {n} accounts are not the sums of their movements.", n)  # fmt: skip
        yield fault(AREA, "balance_differs", text.format(n=n), "paysync accounts")
