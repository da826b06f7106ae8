"""`paysync dispatch`: only move due checks to the queues, for stock RQ workers."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.language import _


@command(
    "dispatch",
    help=_(
        "Move checks that are due to the RQ queues, and bring back those that got lost; run nothing.\n\n"
        "For stock workers: rq worker -S json payment-sync-high payment-sync-medium payment-sync-low"
    ),
    examples=[
        ("paysync dispatch", _("until stopped, waking when something is due")),
        ("paysync dispatch --once", _("one round, for cron")),
    ],
    changes=True,
)
def dispatch(
    session: Session,
    once: Annotated[bool, typer.Option("--once", help=_("One round, then end."))] = False,
) -> None:
    from paysync_cli.views.dispatch import DispatchView

    runtime = session.runtime
    runtime.require_banks()
    runtime.refuse_foreign_redis()
    if once:
        session.show(DispatchView(runtime.dispatch_once()))
        return
    from paysync_cli.cli.logs import start_logging

    start_logging(session.settings, colour=not session.options.no_color)
    asyncio.run(runtime.run_dispatcher())
