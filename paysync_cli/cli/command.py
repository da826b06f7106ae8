"""How a command is written: `@command(...)` on a function that takes the Session first.

    @command("stats", help=_("Queue and QRs on one screen."), examples=[("paysync stats --json", _("for a script"))])
    def stats(session: Session, bank: Bank = None) -> None:
        from paysync_cli.services.stats import gather_stats

        session.show(StatsView(gather_stats(session.runtime.store, bank=bank)))

The other parameters become arguments and options, Typer's way. Flags of the decorator: `changes=True` is refused
while PAYSYNC_READ_ONLY is set, except as a --dry-run; where another option decides, `changes=lambda given: ...` gets
the options by name and says whether this run changes anything. `creates_database=True` may create a missing database;
`rows=True` adds --jsonl/--csv; `cron=True` is for what cron runs: it adds --ping-url, and with --quiet nothing is
printed when all is well; `where=True` names database, Redis and settings files in the JSON document also when the
command fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

import typer

from paysync_cli.cli.helptext import Example
from paysync_cli.cli.parsing import PaysyncCommand
from paysync_cli.cli.session import Session
from paysync_cli.errors import RefusedError
from paysync_cli.language import _

P = ParamSpec("P")
Changes = bool | Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True)
class CommandSpec:
    """One command as its file declared it."""

    name: str
    body: Callable[..., None]
    help: str
    examples: tuple[Example, ...]
    changes: Changes
    creates_database: bool
    rows: bool
    cron: bool
    hidden: bool
    where: bool


@dataclass(frozen=True)
class GroupSpec:
    """A group of commands; `default` is the one a bare group name runs, if any."""

    name: str
    help: str
    default: str | None


# Filled as command files are imported.
COMMANDS: dict[str, CommandSpec] = {}
GROUPS: dict[str, GroupSpec] = {}


def command(
    name: str,
    *,
    help: str,  # noqa: A002 - Typer's own word
    examples: Sequence[Example] = (),
    changes: Changes = False,
    creates_database: bool = False,
    rows: bool = False,
    cron: bool = False,
    hidden: bool = False,
    where: bool = False,
) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[Concatenate[Session, P], None]]:
    """Declare a command (`stats`) or a member of a group (`bank list`). The function stays callable as it is.

    `examples` are command lines, each alone or with a remark; they stand first in the help.
    """

    def declare(body: Callable[Concatenate[Session, P], None]) -> Callable[Concatenate[Session, P], None]:
        COMMANDS[name] = CommandSpec(
            name, body, help, tuple(examples), changes, creates_database, rows, cron, hidden, where
        )
        return body

    return declare


def group(name: str, *, help: str, default: str | None = None) -> None:  # noqa: A002
    """Declare a group; its members are declared as `@command("<group> <member>")` in the same file."""
    GROUPS[name] = GroupSpec(name, help, default)


def build(spec: CommandSpec) -> PaysyncCommand:
    """The command as Typer parses it."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(spec.name.split()[-1], cls=PaysyncCommand, help=spec.help, hidden=spec.hidden)(_entry(spec))
    built = typer.main.get_command(app)
    assert isinstance(built, PaysyncCommand)
    built.complete(full_name=spec.name, examples=spec.examples, rows=spec.rows, cron=spec.cron)
    return built


def _would_change(spec: CommandSpec, given: Mapping[str, Any]) -> bool:
    if given.get("dry_run"):
        return False
    return spec.changes(given) if callable(spec.changes) else spec.changes


def _entry(spec: CommandSpec) -> Callable[..., None]:
    """The function that Typer calls: it finds the session and opens it for the body."""

    def entry(context: typer.Context, **values: Any) -> None:
        session = context.find_object(Session)
        assert session is not None
        session.begin()
        session.creates_database = spec.creates_database
        session.tells_where = spec.where
        session.silent_when_well = spec.cron
        session.pings = spec.cron and not values.get("dry_run")
        if _would_change(spec, values) and session.settings.read_only:
            raise RefusedError(
                _("`paysync {command}` changes something, and PAYSYNC_READ_ONLY is set.").format(command=spec.name),
                hint=_("Unset PAYSYNC_READ_ONLY to allow changes."),
                code="read_only",
            )
        spec.body(session, **values)
        session.ping()

    signature = inspect.signature(spec.body, eval_str=True)
    _session, *own = signature.parameters.values()
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    params = [context, *own]
    entry.__signature__ = signature.replace(parameters=params)  # type: ignore[attr-defined]
    entry.__annotations__ = {p.name: p.annotation for p in params}
    entry.__doc__ = spec.help
    return entry
