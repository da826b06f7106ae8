"""The options every command takes, before or after its name, and the ones that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paysync_cli.errors import UsageError
from paysync_cli.language import _

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


@dataclass
class GlobalOptions:
    """What the command line said for every command; filled as its parts are parsed."""

    quiet: bool = False
    verbose: bool = False
    no_color: bool = False
    no_input: bool = False
    debug: bool = False
    json: bool = False
    jsonl: bool = False
    csv: bool = False
    timeout_s: float | None = None
    config: Path | None = None
    tz: ZoneInfo | None = None
    ping_url: str | None = None

    def take(self, params: dict[str, Any], given: frozenset[str]) -> None:
        """Move the global options that were given on this part of the command line out of `params`.

        Raises UsageError for a time or zone that cannot be read.
        """
        readers: dict[str, Callable[[str], Any]] = {"timeout": _read_timeout, "config": Path, "tz": _read_zone}
        for name in GLOBAL_NAMES:
            if name not in params:
                continue
            value = params.pop(name)
            if name in given:
                read = readers.get(name)
                setattr(self, "timeout_s" if name == "timeout" else name, read(value) if read else value)

    def refuse_two_forms(self) -> None:
        """Raises UsageError when more than one of --json, --jsonl, --csv was given."""
        given = [f"--{name}" for name in ("json", "jsonl", "csv") if getattr(self, name)]
        if len(given) > 1:
            raise UsageError(_("{forms} exclude each other: choose one.").format(forms=", ".join(given)))


def global_options(
    json: Annotated[bool, typer.Option("--json", help=_("One JSON document on standard output."))] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=_("No talk on standard error, only errors."))] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help=_("Say more."))] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help=_("No colour (also NO_COLOR)."))] = False,
    no_input: Annotated[bool, typer.Option("--no-input", help=_("Never ask; refuse instead."))] = False,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help=_("Give up after TIME (30s, 5m): exit 124."))
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help=_("Read FILE instead of the paysync.toml files."))
    ] = None,
    tz: Annotated[
        str | None, typer.Option("--tz", metavar="ZONE", help=_("Show times in ZONE (America/La_Paz, UTC)."))
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help=_("Show the traceback of an error."))] = False,
) -> None:
    """Only its signature counts: Typer reads the global options from it."""


def list_options(
    jsonl: Annotated[bool, typer.Option("--jsonl", help=_("One JSON object a line."))] = False,
    csv: Annotated[bool, typer.Option("--csv", help=_("Comma-separated values with a header."))] = False,
) -> None:
    """Only its signature counts: the options of commands that show a list."""


def ping_options(
    ping_url: Annotated[
        str | None,
        typer.Option(
            "--ping-url",
            metavar="URL",
            help=_("Call URL after success, for a watcher of cron jobs (PAYSYNC_PING_URL)."),
        ),
    ] = None,
) -> None:
    """Only its signature counts: the option of commands that cron runs."""


GLOBAL_NAMES = frozenset(f.name for f in fields(GlobalOptions)) - {"timeout_s"} | {"timeout"}

# Shared by several commands, so that they are named and explained alike everywhere.
Yes = Annotated[bool, typer.Option("--yes", "-y", help=_("Do not ask."))]
DryRun = Annotated[bool, typer.Option("--dry-run", help=_("Show what would be done and change nothing."))]
Bank = Annotated[str | None, typer.Option("--bank", metavar="BANK", help=_("The bank (default: the only one)."))]
OnlyBank = Annotated[str | None, typer.Option("--bank", metavar="BANK", help=_("Only this bank."))]
NamedBank = Annotated[str | None, typer.Option("--bank", metavar="BANK", help=_("Where several banks have this id."))]
Environment = Annotated[
    str | None, typer.Option("--environment", metavar="NAME", help=_("Where two environments have this id."))
]

MOST = 10_000  # rows of a page
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help=_("Rows of a page."))]
After = Annotated[str | None, typer.Option("--after", metavar="TOKEN", help=_("Go on where the page before ended."))]


def _read_timeout(text: str) -> float:
    seconds = read_duration(text, "--timeout")
    if seconds <= 0:
        raise UsageError(_("--timeout must be longer than zero."), hint=_("For example: --timeout 30s"))
    return seconds


def read_duration(text: str, option: str) -> float:
    """Seconds from an option's text such as `500ms`, `90s`, `5m`, `2h`, `7d`; a plain number means seconds."""
    from paysync_cli.settings.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as problem:
        raise UsageError(_("{option}: {problem}").format(option=option, problem=problem)) from None


def read_span(text: str, option: str) -> float:
    """Seconds of a span that is longer than nothing."""
    seconds = read_duration(text, option)
    if seconds <= 0:
        raise UsageError(_("{option} must be longer than zero.").format(option=option))
    return seconds


def read_rate(text: str, option: str) -> float:
    """Questions a second from an option's text such as `5/s` or `60/m`."""
    from paysync_cli.settings.durations import parse_rate

    try:
        return parse_rate(text)
    except ValueError as problem:
        raise UsageError(_("{option}: {problem}").format(option=option, problem=problem)) from None


def _read_zone(text: str) -> ZoneInfo:
    from paysync_cli.settings.zones import parse_zone

    try:
        return parse_zone(text)
    except ValueError as problem:
        raise UsageError(_("--tz: {problem}").format(problem=problem)) from None
