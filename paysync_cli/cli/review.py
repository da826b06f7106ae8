"""`paysync review`: what a person must decide. Needs no Redis."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from paysync_cli.cli.command import command, group
from paysync_cli.cli.options import After, Limit, OnlyBank
from paysync_cli.cli.paging import next_command, tell_next
from paysync_cli.cli.reasons import required_reason
from paysync_cli.cli.session import Session
from paysync_cli.errors import UsageError
from paysync_cli.language import _

# The words of payments.status and services.reviews, spelled here so that --help loads neither.
ReasonWord = Literal[
    "amount_mismatch", "currency_mismatch", "overpaid", "double_payment", "late_payment", "unknown_qr",
    "unreadable_payment", "transaction_conflict", "status_conflict",
]  # fmt: skip
StateWord = Literal["open", "resolved", "all"]
VerdictWord = Literal["completed", "cancelled", "keep"]
Number = Annotated[int, typer.Argument(help=_("Its number."), metavar="ID", min=1, max=2**63 - 1)]

PAGE = 100

group("review", help=_("What a person must decide: mismatches, late and double payments."), default="list")


@command(
    "review list",
    help=_("Reviews, the newest first; only the open ones unless --state says otherwise."),
    examples=[
        "paysync review list",
        ("paysync review list --reason unknown_qr --bank baneco", _("payments of QRs that nobody registered")),
        ("paysync review list --state all --csv", _("the whole record for a spreadsheet")),
    ],
    rows=True,
)
def list_reviews(
    session: Session,
    state: Annotated[StateWord | None, typer.Option("--state", help=_("Which ones (default: open)."))] = None,
    every: Annotated[bool, typer.Option("--all", help=_("The same as --state all."))] = False,
    reason: Annotated[ReasonWord | None, typer.Option("--reason", help=_("Only those with this reason."))] = None,
    bank: OnlyBank = None,
    limit: Limit = PAGE,
    after: After = None,
) -> None:
    from paysync_cli.services import reviews
    from paysync_cli.services.named_bank import require_known_bank
    from paysync_cli.store.reviews import Wanted
    from paysync_cli.views.review import ReviewsView

    if every and state not in (None, "all"):
        raise UsageError(_("--all and --state {state} exclude each other.").format(state=state))
    chosen = "all" if every else state or "open"
    runtime = session.runtime
    require_known_bank(runtime.store, bank, runtime.bank_names)
    wanted = Wanted(None if chosen == "all" else chosen, bank, reason, limit, after)
    report = reviews.list_reviews(runtime.store, wanted)
    options = {"--state": None if chosen == "open" else chosen, "--reason": reason, "--bank": bank,
               "--limit": None if limit == PAGE else limit}  # fmt: skip
    more = next_command("review list", options, report.next)
    session.show(ReviewsView(report, more))
    tell_next(session, more)


@command("review show", help=_("One review with everything that is known."), examples=["paysync review show 12"])
def show_review(session: Session, review: Number) -> None:
    from paysync_cli.services import reviews
    from paysync_cli.views.review import ReviewView

    session.show(ReviewView(reviews.show_review(session.runtime.store, review)))


@command(
    "review resolve",
    help=_(
        "Decide a review, once and with a reason; it is audited and books nothing. `completed` and `cancelled` also "
        "give the QR that final status, where a status may still move forward; `keep` leaves the QR as it is."
    ),
    examples=[
        ('paysync review resolve 12 --as keep --reason "refunded by transfer"', _("the QR stays as it is")),
        ('paysync review resolve 12 --as completed --reason "the rest was paid in cash"', _("the QR is settled")),
    ],
    changes=True,
)
def resolve_review(
    session: Session,
    review: Number,
    verdict: Annotated[VerdictWord, typer.Option("--as", help=_("What you decide."))],
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help=_("Why; asked on a terminal."))] = None,
) -> None:
    from paysync_cli.services import reviews
    from paysync_cli.views.review import ResolveView

    why = required_reason(session, reason)
    runtime = session.runtime
    report = reviews.resolve(
        runtime.store, review, reviews.Verdict(verdict), reason=why, who=runtime.who, now=runtime.clock.now()
    )
    session.show(ResolveView(report))
