"""`paysync bank`: the banks paysync asks, and a simulated one to practise with."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Annotated

import typer

from paysync_cli.cli.command import command, group
from paysync_cli.cli.session import Session
from paysync_cli.errors import UnavailableError
from paysync_cli.language import _

group("bank", help=_("The banks: how they answer, their limits, and a simulated one to practise with."))


@command(
    "bank simulate",
    help=_(
        "Run a simulated bank: a real HTTP server that speaks Baneco's format, until Ctrl-C.\n\n"
        "Prints the settings that point paysync at it. Every QR is known there and unpaid until a scenario says "
        'otherwise, or until you pay it: POST /_simulator/pay/QR with {"amount": "100.50"}. '
        "GET /_simulator/ledger tells what was paid, GET /_simulator/requests what was asked."
    ),
    examples=[
        ("paysync bank simulate", _("put the block it prints into paysync.toml, then elsewhere: paysync worker")),
        ("paysync bank simulate --scenario day.toml", _("with payments, delays and outages")),
        ('curl -d \'{"amount": "100.50"}\' http://127.0.0.1:9180/_simulator/pay/QR123', _("pay a QR")),
    ],
)
def simulate(
    session: Session,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help=_("Port; 0 takes a free one."))] = 9180,
    host: Annotated[
        str, typer.Option("--host", help=_("Address to listen on; the default lets only this machine in."))
    ] = "127.0.0.1",
    scenario: Annotated[
        Path | None, typer.Option("--scenario", metavar="FILE", help=_("What happens at the bank, as TOML or JSON."))
    ] = None,
    env: Annotated[bool, typer.Option("--env", help=_("Print export lines for a shell instead of TOML."))] = False,
) -> None:
    from paysync_cli.banks.simulator.scenario import Scenario, load_scenario
    from paysync_cli.banks.simulator.server import serve, utc_now
    from paysync_cli.views.bank_simulate import SimulatorView

    played = load_scenario(scenario, utc_now()) if scenario is not None else Scenario()

    def ready(url: str) -> None:
        session.show(SimulatorView(url, played.known_credential().options(), as_env=env))
        session.say(_("The simulated bank serves at {url}; Ctrl-C ends it.").format(url=url))

    try:
        serve(host, port, played, on_ready=ready)
    except BrokenPipeError:
        raise  # whoever should read the settings is gone
    except OSError as error:
        raise _cannot_listen(host, port, error) from None


def _cannot_listen(host: str, port: int, error: OSError) -> UnavailableError:
    in_use = error.errno == errno.EADDRINUSE
    cause = _("the port is in use") if in_use else error.strerror or os.strerror(error.errno or 0)
    return UnavailableError(
        _("The simulated bank cannot listen on {host}, port {port}: {cause}.").format(
            host=host, port=port, cause=cause
        ),
        hint=_("Choose another one with --port, or --port 0 for any free one."),
        code="cannot_listen",
    )
