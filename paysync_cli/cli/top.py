"""`paysync top`: the full-screen live view. Refreshing only reads."""

from __future__ import annotations

import os
import signal
from importlib.util import find_spec
from typing import Annotated

import typer

from paysync_cli.cli import signals, streams
from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.errors import UsageError
from paysync_cli.language import _


@command(
    "top",
    help=_(
        "Watch everything on the full screen: figures, banks, workers, failures by cause, QRs that need a person. "
        "Enter opens a QR. Capital letters change something, and ask first. Needs a terminal and the extra `top`."
    ),
    examples=["paysync top", ("paysync top --interval 5s", _("look less often"))],
)
def top(
    session: Session,
    interval: Annotated[
        str | None, typer.Option("--interval", metavar="TIME", help=_("How often it looks (default 2s)."))
    ] = None,
) -> None:
    from paysync_cli.cli.watching import read_interval

    every_s = read_interval(interval)
    _refuse_without_terminal(session)
    _refuse_without_textual()
    from paysync_cli.cli.top_desk import TopDesk
    from paysync_cli.views.top.desk import Focus

    desk = TopDesk(session)
    first = desk.look(Focus())
    if streams.colour_unwanted(session.options.no_color):
        os.environ["NO_COLOR"] = "1"  # Textual reads it there
    from paysync_cli.views.top.app import TopApp

    ended = TopApp(desk, first, every_s=every_s).run()
    if isinstance(ended, Exception):
        raise ended
    if ended is signal.SIGTERM:
        raise signals.Terminated
    if ended is signal.SIGALRM:
        raise signals.DeadlineReached


def _refuse_without_terminal(session: Session) -> None:
    if session.options.json or not session.on_terminal or not streams.is_terminal(0):
        raise UsageError(
            _("`paysync top` is for people at a terminal."),
            hint=_("Scripts use `paysync stats --json`; logs use `paysync stats --watch`."),
        )


def _refuse_without_textual() -> None:
    if find_spec("textual") is None:
        raise UsageError(
            _("`paysync top` needs Textual, which is not installed; run: pip install 'paysync-cli[top]'"),
            code="no_textual",
        )
