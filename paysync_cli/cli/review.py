"""`paysync review`: what a person must decide."""

from __future__ import annotations

from typing import Annotated

import typer

from paysync_cli.cli.command import command, group
from paysync_cli.cli.session import Session
from paysync_cli.errors import NotFound
from paysync_cli.language import _

group("review", help=_("What a person must decide: mismatches, late and double payments."), default="list")


@command(
    "review list",
    help=_("Reviews, the newest first; only the open ones unless --all is given."),
    examples=["paysync review list", ("paysync review list --all --csv", _("the whole record for a spreadsheet"))],
    rows=True,
)
def list_reviews(
    session: Session,
    every: Annotated[bool, typer.Option("--all", help=_("Resolved ones too."))] = False,
    bank: Annotated[str | None, typer.Option("--bank", help=_("Only this bank."))] = None,
    limit: Annotated[int, typer.Option("--limit", help=_("How many at most."), min=1, max=10_000)] = 100,
) -> None:
    from paysync_cli.store import history
    from paysync_cli.views.review import ReviewsView

    with session.runtime.store.read() as tx:
        found = history.list_reviews(tx, state=None if every else "open", bank=bank, limit=limit)
    session.show(ReviewsView(tuple(found)))


@command("review show", help=_("One review with everything that is known."), examples=["paysync review show 12"])
def show_review(session: Session, review: Annotated[int, typer.Argument(help=_("Its number."), metavar="ID")]) -> None:
    from paysync_cli.store import history
    from paysync_cli.views.review import ReviewView

    with session.runtime.store.read() as tx:
        found = history.one_review(tx, review)
    if found is None:
        raise NotFound(_("There is no review {id}.").format(id=review), hint=_("See: paysync review list"))
    session.show(ReviewView(found))
