"""Commands that do one thing each, to test the skeleton itself. Loaded only by `probe.py`."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import typer

from paysync_cli.cli.command import command, group
from paysync_cli.cli.options import Yes
from paysync_cli.cli.session import Session
from paysync_cli.errors import Fault, NotFound, PartlyDone, RedisUnavailable
from paysync_cli.views.base import ListView, View
from paysync_cli.views.page import Column, Page, status_cell

HOSTILE = "[red]Ana[/red] \x1b[2J\x1b]0;owned\x07 Mu\u00f1oz\u202etxt.exe\nline two \u2603"
LONG_ID = "QR-" + "0123456789" * 6


class ProbeView(ListView):
    columns = ("qr_id", "payer", "amount", "at")

    def __init__(self, count: int = 1) -> None:
        self._count = count

    def rows(self) -> Iterator[Mapping[str, object]]:
        for _number in range(self._count):
            yield {"qr_id": LONG_ID, "payer": HOSTILE, "amount": Decimal("-100.50"), "at": _AT}

    def data(self) -> object:
        return {"items": list(self.rows())}

    def human(self, page: Page) -> None:
        page.heading("Probe")
        page.fields([("payer", HOSTILE), ("at", _AT), ("nothing", None)])
        rows = [[row["qr_id"], row["payer"], row["amount"], row["at"], status_cell("expired")] for row in self.rows()]
        page.table(["QR", "Payer", Column("Amount", right=True), "At", "Status"], rows, empty="No QRs.")


_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

group("probe", help="Probes of the skeleton. Not for operators.", default="list")


@command("probe list", help="Show rows.", examples=["paysync probe list"], rows=True)
def list_(session: Session, count: Annotated[int, typer.Option("--count", min=0, max=1000000)] = 1) -> None:
    session.show(ProbeView(count))
    session.say("talk")
    session.detail("detail")


@command("probe echo", help="Show what was parsed.")
def echo(
    session: Session,
    words: Annotated[list[str] | None, typer.Argument()] = None,
    reason: Annotated[str, typer.Option("--reason")] = "",
    level: Annotated[Literal["high", "low"], typer.Option("--level")] = "low",
    folder: Annotated[Path | None, typer.Option("--folder")] = None,
    share: Annotated[float, typer.Option("--share")] = 0.5,
    tag: Annotated[list[str] | None, typer.Option("--tag")] = None,
) -> None:
    parsed = {"words": words, "reason": reason, "level": level, "folder": folder, "share": share, "tag": tag}
    options = session.options
    given = {
        name: getattr(options, name) for name in ("quiet", "verbose", "no_color", "no_input", "debug", "timeout_s")
    }
    session.show(EchoView({**parsed, **given, "tz": str(options.tz), "config": options.config}))


class EchoView(View):
    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def data(self) -> object:
        return self._values

    def human(self, page: Page) -> None:
        page.fields((name, value) for name, value in self._values.items())


@command("probe need", help="Needs an argument.")
def need(session: Session, qr: str) -> None:
    session.show(EchoView({"qr": qr}))


@command("probe crash", help="An unexpected error with a secret from the settings in it.")
def crash(session: Session) -> None:
    url = session.settings.redis_url
    raise RuntimeError(f"cannot dial {url} with {session.settings.serve_token}")


@command("probe missing", help="A known error.")
def missing(session: Session) -> None:
    raise NotFound(f"No QR {HOSTILE}.", hint="Look with `paysync find`.")


@command("probe partly", help="Report with an error.", rows=True)
def partly(session: Session) -> None:
    faults = [Fault("redis_unavailable", "First is wrong.", "Do this."), Fault("other", "Second is wrong.")]
    session.show(ProbeView(), error=PartlyDone("Two failed.", faults=faults))


@command("probe down", help="Report without Redis.")
def down(session: Session) -> None:
    session.show(ProbeView(), error=RedisUnavailable("Redis does not answer."))


@command("probe sleep", help="Blocks.")
def sleep(
    session: Session, how: Annotated[Literal["sleep", "socket", "stuck", "clumsy"], typer.Option("--how")] = "sleep"
) -> None:
    try:
        session.say("sleeping")
        if how == "socket":
            listener = socket.create_server(("127.0.0.1", 0))
            listener.accept()
        elif how == "stuck":
            _stuck()
        elif how == "clumsy":
            _clumsy()
        else:
            time.sleep(600)
    finally:
        session.say("cleaned up")


def _clumsy() -> None:
    """Fails over whatever comes, as a library does whose import was cut in two."""
    try:
        time.sleep(600)
    except BaseException:
        assert not sys.modules, "half imported"


def _stuck() -> None:
    """Swallows whatever comes, as a careless library may."""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        try:
            time.sleep(600)
        except BaseException:
            continue


@command("probe change", help="Changes something.", changes=True)
def change(session: Session, yes: Yes = False) -> None:
    session.confirm("Remove 3 jobs?", yes=yes)
    session.show(EchoView({"changed": 3}))


def _use_runtime(session: Session, how: str) -> None:
    assert session.runtime is session.runtime
    if how == "fail":
        raise NotFound("Gone.")
    if how == "wait":
        time.sleep(600)
    session.show(EchoView({"how": how}))


@command("probe read", help="Opens the runtime.")
def read(session: Session, how: Annotated[Literal["show", "fail", "wait"], typer.Argument()]) -> None:
    _use_runtime(session, how)


@command("probe make", help="Opens the runtime and may create the database.", creates_database=True)
def make(session: Session, how: Annotated[Literal["show", "fail", "wait"], typer.Argument()]) -> None:
    _use_runtime(session, how)


@command("probe bar", help="Shows progress.")
def bar(session: Session) -> None:
    with session.progress(3, "Working") as steps:
        for _number in range(3):
            steps.advance()
            time.sleep(0.15)
    session.show(EchoView({"steps": 3}))


@command("probe twice", help="A command with a fault of its own.")
def twice(session: Session) -> None:
    session.show(ProbeView())
    session.show(ProbeView())


@command("probe late", help="Fails after its report.")
def late(session: Session) -> None:
    session.show(ProbeView())
    raise RuntimeError("too late")


@command("probe bank", help="Selects a bank.")
def bank(session: Session, name: Annotated[str | None, typer.Option("--bank")] = None) -> None:
    session.override(concurrency=7)
    session.show(EchoView({"bank": session.bank(name).name, "concurrency": session.settings.concurrency}))
