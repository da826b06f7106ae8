"""`paysync worker`: run checks until stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from typing import Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.language import _

EXIT_OF = {"SIGINT": 130, "SIGTERM": 143}


@command(
    "worker",
    help=_(
        "Run checks: take jobs from the queues, ask the bank, write what it says, plan the next check.\n\n"
        "Every worker also dispatches what is due; one of them leads (recovery, daily cleanup). TERM or Ctrl-C takes "
        "nothing new and finishes what is in flight; once more stops at once. Nothing is lost either way."
    ),
    examples=[
        ("paysync worker", _("five checks in flight")),
        ("paysync worker --concurrency 50", _("fifty: at 200 ms a bank answer that is at most 250 checks a second")),
        ("paysync worker --burst", _("do what is due now, then end")),
    ],
    changes=True,
    creates_database=True,
)
def worker(
    session: Session,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help=_("Checks in flight at the same time."), min=1, max=10_000)
    ] = None,
    burst: Annotated[
        bool, typer.Option("--burst", help=_("End when nothing is due or waiting for an attempt."))
    ] = False,
    grace: Annotated[
        str | None, typer.Option("--grace", help=_("How long checks in flight may take after TERM."), metavar="TIME")
    ] = None,
    no_dispatch: Annotated[
        bool, typer.Option("--no-dispatch", help=_("Only work; something else runs `paysync dispatch`."))
    ] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    from paysync_cli.cli.logs import start_logging

    session.override(concurrency=concurrency, shutdown_grace=grace)
    runtime = session.runtime
    runtime.require_banks()
    start_logging(session.settings, colour=not session.options.no_color)
    runtime.refuse_foreign_redis()
    runtime.warn_of_eviction()
    if with_parent:
        _end_with_parent()

    def ready(name: str) -> None:
        checks = session.settings.concurrency
        session.detail(
            _("worker {name}: {n} checks in flight; a bank that answers in 200 ms allows {rate} a second").format(
                name=name, n=checks, rate=checks * 5
            )
        )

    cut_by = asyncio.run(runtime.run_worker(burst=burst, dispatching=not no_dispatch, ready=ready))
    if cut_by is not None:
        session.exit_status = EXIT_OF.get(cut_by, 143)


def _end_with_parent() -> None:
    """Stop like on TERM when the other end of standard input closes: whoever started this worker is gone."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
