"""`paysync bank`: the banks paysync asks, and a simulated one to practise with."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli import signals
from paysync_cli.cli.bank_trouble import bank_fault
from paysync_cli.cli.command import command, group
from paysync_cli.cli.session import Session
from paysync_cli.errors import RefusedError, UnavailableError, UsageError
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.services.bank_desk import BankReport, Configured, Tested

group("bank", help=_("The banks: how they answer, their limits, and a simulated one to practise with."), default="list")


@command(
    "bank simulate",
    help=_(
        "Run a simulated bank: a real HTTP server that speaks the formats of Baneco, BNB, SIP and PIX about the same "
        "QRs, each on its own paths, until Ctrl-C.\n\n"
        "Prints the settings that point paysync at it: as Baneco, and as comments those of the others; --dialect "
        "chooses one. Every QR is known there and unpaid until a scenario says "
        'otherwise, or until you pay it: POST /_simulator/pay/QR with {"amount": "100.50"}. '
        "GET /_simulator/ledger tells what was paid, GET /_simulator/requests what was asked."
    ),
    examples=[
        ("paysync bank simulate", _("put the block it prints into paysync.toml, then elsewhere: paysync worker")),
        ("paysync bank simulate --scenario day.toml", _("with payments, delays and outages")),
        ("paysync bank simulate --dialect pix", _("the settings that ask it as PIX")),
        (
            "paysync bank simulate --notify-url http://127.0.0.1:9108/notify/sim/SECRET",
            _("with notices of payments to `paysync serve --notify`"),
        ),
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
    dialect: Annotated[
        str | None, typer.Option("--dialect", help=_("Print the settings of this one: baneco, bnb, sip or pix."))
    ] = None,
    env: Annotated[bool, typer.Option("--env", help=_("Print export lines for a shell instead of TOML."))] = False,
    notify_url: Annotated[
        str | None,
        typer.Option(
            "--notify-url", metavar="URL", help=_("Give notice of each payment there, in the form of --dialect.")
        ),
    ] = None,
) -> None:
    from paysync_cli.banks.simulator.dialects import DIALECTS
    from paysync_cli.banks.simulator.scenario import NotifyPlan, Scenario, load_scenario
    from paysync_cli.banks.simulator.server import serve, utc_now
    from paysync_cli.views.bank_simulate import SimulatorView

    if dialect is not None and dialect not in DIALECTS:
        known = ", ".join(DIALECTS)
        raise UsageError(_("--dialect {dialect!r} is not one of {known}.").format(dialect=dialect, known=known))
    played = load_scenario(scenario, utc_now()) if scenario is not None else Scenario()
    if notify_url is not None:
        if not notify_url.startswith(("http://", "https://")):
            raise UsageError(_("--notify-url must be an http or https address."))
        played = replace(played, notify=NotifyPlan(notify_url, dialect or "baneco"))

    def ready(url: str) -> None:
        spoken = [DIALECTS[dialect]] if dialect is not None else DIALECTS.values()
        blocks = [one.settings(url, played.known_credential()) for one in spoken]
        session.show(SimulatorView(blocks, as_env=env))
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


@command(
    "bank list",
    help=_("Every configured bank: open or closed and why, its limits, its QRs; and adapters that are broken."),
    examples=["paysync bank list"],
    rows=True,
)
def list_banks(session: Session) -> None:
    from paysync_cli.banks import registry
    from paysync_cli.views.banks import BanksView

    runtime = session.runtime
    session.show(BanksView(_look(session, runtime.configured_banks), registry.adapters()))


def _look(session: Session, banks: Sequence[Configured]) -> list[BankReport]:
    from paysync_cli.runtime.banks import adapter_faults
    from paysync_cli.services import bank_desk

    runtime = session.runtime
    found = bank_desk.look(runtime.store, runtime.gate_if_running(), banks, runtime.clock.now())
    faults = adapter_faults(runtime.settings.banks[bank.name] for bank in banks)
    return bank_desk.with_adapter_faults(found, faults)


@command("bank show", help=_("One bank with everything that is known of it."), examples=["paysync bank show baneco"])
def show_bank(session: Session, name: Annotated[str, typer.Argument(help=_("Its name."), metavar="NAME")]) -> None:
    from paysync_cli.views.banks import BankView

    (found,) = _look(session, [session.runtime.configured(session.bank(name))])
    session.show(BankView(found))


@command(
    "bank test",
    help=_("Call the bank once, harmlessly: is it there, is our credential accepted?"),
    examples=["paysync bank test baneco"],
)
def test_bank(session: Session, name: Annotated[str, typer.Argument(help=_("Its name."), metavar="NAME")]) -> None:
    from paysync_cli.errors import BankUnavailable, ConditionNotMet
    from paysync_cli.views.banks import TestedView

    tested = signals.run(_call(session, name))
    error = None
    if tested.error is not None:
        kind = BankUnavailable if tested.outcome in ("unavailable", "throttled") else ConditionNotMet
        fault = bank_fault(session, tested.bank, tested.outcome, f"{tested.bank}: {tested.error}")
        error = kind(fault.message, hint=fault.hint, code=fault.code)
    session.show(TestedView(tested), error=error)


async def _call(session: Session, name: str) -> Tested:
    from paysync_cli.banks.base import Pings
    from paysync_cli.services import bank_desk

    runtime = session.runtime
    opened = runtime.open_bank(session.bank(name), many=False)
    try:
        if not isinstance(opened.bank, Pings):
            raise UsageError(_("The adapter of bank {name} has no harmless call to test it with.").format(name=name))
        return await bank_desk.test(name, opened.bank.ping, time.monotonic)
    finally:
        await runtime.close_banks()


@command(
    "bank limit",
    help=_(
        "Limit how fast and how much at once a bank is asked, over all workers, at once and until reset. "
        "Without an option: show what holds."
    ),
    examples=["paysync bank limit baneco --rate 2/s", ("paysync bank limit baneco --reset", _("back to the settings"))],
    changes=True,
)
def limit_bank(
    session: Session,
    name: Annotated[str, typer.Argument(help=_("Its name."), metavar="NAME")],
    rate: Annotated[str | None, typer.Option("--rate", help=_("Questions a second, e.g. 5/s."), metavar="N/s")] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help=_("Questions at the same time."), min=1, max=10_000)
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help=_("Back to what the settings say."))] = False,
) -> None:
    from paysync_cli.cli.options import read_rate
    from paysync_cli.services import bank_desk
    from paysync_cli.views.banks import LimitsView

    runtime = session.runtime
    one = runtime.configured(session.bank(name))
    if rate is None and concurrency is None and not reset:
        (found,) = bank_desk.look(runtime.store, None, [one], runtime.clock.now())
        session.show(LimitsView(name, found.limits))
        return
    limits = bank_desk.limit(
        runtime.store, one, now=runtime.clock.now(), who=runtime.who,
        rate_per_s=read_rate(rate, "--rate") if rate else None, concurrency=concurrency, reset=reset,
    )  # fmt: skip
    session.show(LimitsView(name, limits))


@command(
    "bank unlock",
    help=_(
        "Let the workers log in again after the bank refused our credential and a person mended why: a wrong password "
        "corrected, a user unlocked at the bank. Until then nobody logs in, whatever changes in the settings: banks "
        "lock the user after a few failures. Work resumes within seconds, without restarting anything. Audited."
    ),
    examples=["paysync bank unlock baneco --reason 'new password since today, user unlocked at the branch'"],
    changes=True,
)
def unlock_bank(
    session: Session,
    name: Annotated[str, typer.Argument(help=_("Its name."), metavar="NAME")],
    reason: Annotated[str | None, typer.Option("--reason", help=_("What was mended; goes to the audit."))] = None,
) -> None:
    from paysync_cli.services.unlock import unlock
    from paysync_cli.views.unlock import UnlockView

    bank, why = session.bank(name), _why(session, reason)
    runtime = session.runtime
    now, who = runtime.clock.now(), runtime.who
    report = unlock(runtime.store, bank.name, bank.environment, reason=why, who=who, now=now)
    if report.was_stopped:
        runtime.let_log_in(bank)
    session.show(UnlockView(report))


def _why(session: Session, said: str | None) -> str:
    from paysync_cli.cli import streams
    from paysync_cli.cli.reasons import required_reason

    if said is None and (session.options.no_input or not streams.can_ask()):
        raise RefusedError(
            _("An unlock needs a reason: it lets the workers log in again."),
            hint=_("Say what was mended with --reason."),
            code="needs_reason",
        )
    return required_reason(session, said)
