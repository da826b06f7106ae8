"""`paysync serve`: probes, applications in other languages, the banks' notices."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli import signals
from paysync_cli.cli.command import command
from paysync_cli.cli.listening import listening, need_extra
from paysync_cli.cli.session import Session
from paysync_cli.errors import DatabaseUnavailable, SettingsError
from paysync_cli.language import _, english

if TYPE_CHECKING:
    import socket

    from paysync_cli.banks.notices import Notices

PORT = 9108


@command(
    "serve",
    help=_(
        "Serve HTTP: /live, /ready and /consuming for probes, /metrics for Prometheus. With PAYSYNC_SERVE_TOKEN "
        "applications in other languages register QRs (POST /qrs) and read where they stand (GET /qrs/ID). With "
        "--notify the banks' notices of payments are taken (POST /notify/BANK): each is a reason to ask the bank now, "
        "and nothing is ever booked from it.\n\n"
        "It speaks plain HTTP: put a reverse proxy with TLS before it when others than this machine use it. TERM or "
        "Ctrl-C takes nothing new and finishes what is being answered."
    ),
    examples=[
        ("paysync serve", _("for the probes and the applications of this machine")),
        ("paysync serve --host 0.0.0.0 --notify", _("in a container, with the banks' notices")),
        ("curl http://127.0.0.1:9108/ready", _("is it fit?")),
    ],
    changes=lambda given: bool(given["notify"]),
    creates_database=True,
)
def serve(
    session: Session,
    host: Annotated[
        str, typer.Option("--host", help=_("Address to listen on; the default lets only this machine in."))
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help=_("Port; 0 takes a free one."))] = PORT,
    notify: Annotated[bool, typer.Option("--notify", help=_("Take the banks' notices of payments."))] = False,
) -> None:
    need_extra("paysync serve")
    from paysync_cli.cli.logs import start_logging

    session.creates_database = not session.settings.read_only
    banks = _notice_banks(session) if notify else {}
    start_logging(session.settings, colour=not session.options.no_color)
    _look_at_the_database(session)
    with listening(host, port) as listener:
        signals.run(_serve(session, listener, banks))


def _notice_banks(session: Session) -> dict[str, Notices]:
    """The banks whose notices are taken. Raises SettingsError when there is none; the others are said."""
    from paysync_cli.runtime.notices import notice_banks

    session.bank(next(iter(session.settings.banks), None))  # with no bank at all there is another way out to tell
    banks = notice_banks(session.settings)
    hint = _("Set notice_secret, or notice_username and notice_password, in [banks.{bank}].")
    left = [name for name in session.settings.banks if name not in banks]
    if not banks:
        raise SettingsError(
            _("No bank can prove that a notice is its own, so none would be believed."),
            hint=hint.format(bank=left[0]),
            code="no_notices",
        )
    for name in left:
        session.warn(_("bank {bank} sends no notices here.").format(bank=name) + " " + hint.format(bank=name))
    return banks


def _look_at_the_database(session: Session) -> None:
    """Make it, or refuse one that cannot be used; one that is away for now is what `/ready` is for."""
    try:
        session.runtime.clock  # noqa: B018 - opening it is the point
    except DatabaseUnavailable as error:
        session.warn(session.redact(error.message))


async def _serve(session: Session, listener: socket.socket, banks: dict[str, Notices]) -> None:
    from paysync_cli.views.serve import ServeView
    from paysync_cli.web.app import for_serve
    from paysync_cli.web.desk import Desk
    from paysync_cli.web.server import Server, address_of

    settings, desk = session.settings, Desk(session.runtime)
    server = Server(for_serve(desk, banks, session.redact), grace_s=settings.shutdown_grace_s)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    host = listener.getsockname()[0]
    if not ipaddress.ip_address(host).is_loopback and (settings.serve_token is not None or banks):
        session.warn(_("tokens and notices travel in plain HTTP to {host}: let only a TLS proxy in.").format(host=host))
    session.show(ServeView(address_of(listener), settings.serve_token is not None, tuple(banks)))
    try:
        with english():  # what is logged and stored, and what programs read
            await server.serve(sockets=[listener])
    finally:
        desk.close()
