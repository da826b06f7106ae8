"""`paysync enqueue`: register QRs and plan their checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.options import Bank
from paysync_cli.cli.registering import defaults_of, left_over, wake_workers
from paysync_cli.cli.session import Session
from paysync_cli.errors import Fault, InputError
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.services.register import EnqueueReport

T = TypeVar("T")


@command(
    "enqueue",
    help=_(
        "Register QRs that are not known yet and plan their check; only the id is required. A known QR stays as it is, "
        "unless an earlier moment is asked for (`moved`). One known with another amount, currency, due date or account "
        "is a `conflict`: nothing is changed, exit 3. With --update an open, unpaid QR takes what is said (`updated`, "
        "audited).\n\n"
        "A due date without a time ends with the bank's day. Times without an offset are the bank's local time."
    ),
    examples=[
        ("paysync enqueue QR123 --amount 100.50", _("follow a QR")),
        ("paysync enqueue QR1 QR2 --amount 20 --due 2026-12-31", _("several, with one amount")),
        ("paysync enqueue QR123 --now", _("ask at once; one more check for an exhausted QR")),
        ("paysync enqueue QR123 --in 10m --json", _("ask in ten minutes; for a script")),
        ("paysync enqueue QR123 --amount 120 --update", _("the charge was changed before it was paid")),
    ],
    changes=True,
    creates_database=True,
)
def enqueue(
    session: Session,
    qr: Annotated[list[str], typer.Argument(help=_("The bank's ids of the QRs."), metavar="QR")],
    amount: Annotated[str | None, typer.Option("--amount", metavar="N", help=_("What is to be paid: 100.50."))] = None,
    currency: Annotated[
        str | None, typer.Option("--currency", metavar="CODE", help=_("Its currency (default: the bank's)."))
    ] = None,
    due: Annotated[
        str | None, typer.Option("--due", metavar="DATE", help=_("The last payable day or moment: 2026-12-31."))
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", metavar="A", help=_("The account it pays into (default: the bank's)."))
    ] = None,
    bank: Bank = None,
    multi_use: Annotated[
        bool | None, typer.Option("--multi-use/--single-use", help=_("The QR takes several payments, or one."))
    ] = None,
    issued_at: Annotated[
        str | None, typer.Option("--issued-at", metavar="TIME", help=_("When it was issued (default: now)."))
    ] = None,
    within: Annotated[str | None, typer.Option("--in", metavar="TIME", help=_("Ask in 30s, 10m, 2h ..."))] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help=_("Ask at 2026-12-31T18:30."))] = None,
    now: Annotated[
        bool, typer.Option("--now", help=_("Ask now; grants one check to a QR whose checks are used up."))
    ] = False,
    priority: Annotated[
        Literal["high", "medium", "low"] | None, typer.Option("--priority", help=_("The queue of that check."))
    ] = None,
    more_checks: Annotated[
        int | None, typer.Option("--more-checks", metavar="N", min=1, max=1000, help=_("Grant N checks more."))
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help=_("Let a known QR that is open and unpaid take what is said here."))
    ] = False,
) -> None:
    from paysync_cli.services import register
    from paysync_cli.services.requests import parse_requests, parse_wish
    from paysync_cli.views.enqueue import EnqueueView

    chosen = session.bank(bank)
    runtime = session.runtime
    # A database that is yet to be made has the machine's clock.
    moment = runtime.clock.now() if runtime.has_database else datetime.now(UTC)
    said = {"amount": amount, "currency": currency, "due": due, "account": account, "issued_at": issued_at}
    shared = {name: text for name, text in said.items() if text is not None}
    if multi_use is not None:
        shared["multi_use"] = "true" if multi_use else "false"
    faults: list[Fault] = []
    wish = _read(
        lambda: parse_wish(
            within=within,
            at=at,
            now_wanted=now,
            priority=priority,
            more_checks=more_checks,
            zone=chosen.timezone,
            now=moment,
            who=runtime.who,
        ),
        faults,
    )
    requests = _read(lambda: parse_requests(qr, shared, defaults_of(chosen), moment), faults)
    if wish is None or requests is None:
        raise InputError(faults[0].message, faults=faults)
    wish = replace(wish, update=update)
    report = register.enqueue(
        runtime.store,
        requests,
        bank=chosen.name,
        environment=chosen.environment,
        rhythm=runtime.rhythm(chosen),
        now=moment,
        wish=wish,
    )
    unavailable = wake_workers(session)
    session.show(EnqueueView(report, chosen.name, chosen.environment), error=left_over(_conflicts(report), unavailable))


def _read(read: Callable[[], T], faults: list[Fault]) -> T | None:
    """The value, or None with its faults gathered: everything wrong is told at once."""
    try:
        return read()
    except InputError as error:
        faults += error.faults
        return None


def _conflicts(report: EnqueueReport) -> list[Fault]:
    from paysync_cli.views.enqueue import conflict_sentence

    return [Fault("conflict", conflict_sentence(item)) for item in report.items if item.outcome == "conflict"]
