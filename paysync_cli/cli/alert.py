"""`paysync alert`: do alerts reach somebody, and what was raised? Needs no Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from paysync_cli.cli.command import command, group
from paysync_cli.cli.options import MOST, DryRun, OnlyBank, read_span
from paysync_cli.cli.session import Session
from paysync_cli.errors import SettingsError
from paysync_cli.language import _

PAGE = 100

group("alert", help=_("Whether alerts reach somebody, and what was raised."))


@command(
    "alert test",
    help=_(
        "Send a test message to each address of PAYSYNC_ALERT_URLS and tell how it went. Exit 3 when some addresses "
        "did not take it, 69 when none did."
    ),
    examples=[
        "paysync alert test",
        ("paysync alert test --dry-run", _("which addresses there are, and whether they can be read")),
    ],
)
def send_test(session: Session, dry_run: DryRun = False) -> None:
    from paysync_cli.alerts.post import send
    from paysync_cli.runtime import alerts
    from paysync_cli.services import alert_desk
    from paysync_cli.views.alerts import AlertTestView

    settings = session.settings
    if not settings.alert_urls:
        raise SettingsError(
            _("No alert URL is set: nobody is told when something is wrong."),
            hint=_("Set PAYSYNC_ALERT_URLS (or alert_urls in paysync.toml), several with spaces between them; forms: "
                   "https://appriseit.com/services/"),
            code="no_alert_urls",
        )  # fmt: skip
    # A test of the real addresses tells by itself which of them cannot be read.
    if faults := alerts.alert_faults(settings) if dry_run else alerts.package_faults(settings):
        raise SettingsError(faults[0].message, hint=faults[0].hint, code=faults[0].code, faults=faults)
    there = alerts.addresses(settings, "")
    if dry_run:
        session.show(AlertTestView([alert_desk.Tried(address, None) for address in there], dry_run=True))
        return
    host, who = alerts.host(), session.runtime.who
    tried = alert_desk.send_test(there, send, host=host, who=who, redact=session.redact)
    session.show(AlertTestView(tried), error=alert_desk.verdict(tried))


@command(
    "alert list",
    help=_("What was raised, the newest first: since when, how often, whether it is over and whether it was told."),
    examples=[
        "paysync alert list",
        ("paysync alert list --open", _("what lasts, and what reached nobody yet")),
        ("paysync alert list --since 7d --bank baneco --csv", _("a week for a spreadsheet")),
    ],
    rows=True,
)
def list_alerts(
    session: Session,
    open_only: Annotated[
        bool, typer.Option("--open", help=_("Only what lasts, and what was not delivered yet."))
    ] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help=_("Only the last TIME (2d, 8h)."))
    ] = None,
    bank: OnlyBank = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help=_("At most so many."))] = PAGE,
) -> None:
    from paysync_cli.runtime import alerts
    from paysync_cli.services import alert_desk
    from paysync_cli.services.named_bank import require_known_bank
    from paysync_cli.views.alerts import AlertsView

    runtime = session.runtime
    require_known_bank(runtime.store, bank, runtime.bank_names)
    report = alert_desk.list_alerts(
        runtime.store,
        alerts.addresses(session.settings, runtime.database_id),
        now=runtime.clock.now(),
        bank=bank,
        since=None if since is None else timedelta(seconds=read_span(since, "--since")),
        open_only=open_only,
        limit=limit,
    )
    session.show(AlertsView(report))
