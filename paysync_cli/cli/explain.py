"""`paysync explain`: why a QR is or is not asked about. Needs no Redis; with it, it knows more."""

from __future__ import annotations

from typing import Annotated

import typer

from paysync_cli.cli.at_hand import queue_at_hand
from paysync_cli.cli.command import command
from paysync_cli.cli.options import Environment, NamedBank
from paysync_cli.cli.session import Session
from paysync_cli.language import _


@command(
    "explain",
    help=_(
        "Say in words why a QR is or is not asked about: what holds it, which check comes next and when. "
        "Looks at the database, the settings, Redis and the workers; changes nothing."
    ),
    examples=["paysync explain QR123", ("paysync explain QR123 --json | jq .data.reasons", _("for a script"))],
)
def explain(
    session: Session,
    qr: Annotated[str, typer.Argument(metavar="QR", help=_("The bank's id of the QR."))],
    bank: NamedBank = None,
    environment: Environment = None,
) -> None:
    from paysync_cli.services.explain import Place
    from paysync_cli.services.explain import explain as gather
    from paysync_cli.views.explain import ExplainView

    runtime = session.runtime
    store = runtime.store
    environments = {name: one.environment for name, one in session.settings.banks.items()}
    place = Place(environments, runtime.rhythms, queue_at_hand(session))
    report = gather(store, place, qr, now=runtime.clock.now(), bank=bank, environment=environment)
    session.show(ExplainView(report))
