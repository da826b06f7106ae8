"""Typer's commands and groups with what paysync adds: global options everywhere, our words, our help, lazy files.

Typer takes an option of the callback only before the command's name. Here every command and group has the global
options of its own and hands them to the one Session, so `paysync -q stats` and `paysync stats -q` are the same,
`--` and option values are respected, and completion and help know them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from paysync_cli.cli import coercion, options
from paysync_cli.cli.helptext import Example, write_help
from paysync_cli.cli.session import Session
from paysync_cli.cli.streams import write_out
from paysync_cli.errors import UsageError
from paysync_cli.language import _
from paysync_cli.views.text import plain

# Click's own class, which Typer keeps private.
Context = Any

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class _Shared:
    """What commands and groups have in common."""

    full_name: str = ""
    examples: tuple[Example, ...] = ()

    def get_help_option(self, ctx: Context) -> TyperOption | None:
        """-h and --help, written like all other output: a full disk is told, a reader that left is not."""
        option: TyperOption | None = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.callback = _show_help
            coercion.use_light(option)
        return option

    def take_globals(self, context: Context) -> None:
        """Hand the global options given here to the Session."""
        session = context.find_object(Session)
        if session is not None:
            given = frozenset(name for name in context.params if _was_given(context, name))
            session.options.take(context.params, given)


class PaysyncCommand(_Shared, TyperCommand):
    """One command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context_settings = {**HELP_NAMES, "allow_extra_args": True}

    def complete(self, *, full_name: str, examples: tuple[Example, ...], rows: bool, cron: bool) -> None:
        """Add what Typer could not know: the whole name, the examples, the options that all commands share."""
        self.full_name = full_name
        self.examples = examples
        own = {flag for param in self.params for flag in (*param.opts, *param.secondary_opts)}
        lists = _options_of(options.list_options) if rows else ()
        watcher = _options_of(options.ping_options) if cron else ()
        shared = [*lists, *watcher, *_options_of(options.global_options)]
        # A command's own option of that name wins, with its own meaning and default.
        self.params = [*self.params, *(o for o in shared if not own.intersection(o.opts))]
        for param in self.params:
            coercion.use_light(param)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        session = ctx.find_object(Session)
        if session is not None:
            session.command = self.full_name
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            extra = " ".join(map(plain, rest))
            raise UsageError(_("Too many arguments: {extra}").format(extra=extra), hint=_try_help(self.full_name))
        self.take_globals(ctx)
        if session is not None and not ctx.resilient_parsing:
            session.options.refuse_two_forms()
        return rest

    def format_help(self, ctx: Context, formatter: Any) -> None:
        write_help(self, ctx, formatter)


class PaysyncGroup(_Shared, TyperGroup):
    """The root or a group of commands. Members are made when asked for: a run imports one command's file."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context_settings = {**HELP_NAMES}
        self.invoke_without_command = True
        self.default: str | None = None
        self.sections: Sequence[tuple[str, Sequence[str]]] = ()
        self._make: Callable[[str], Any] = self.commands.get

    def complete(
        self,
        *,
        full_name: str,
        sections: Sequence[tuple[str, Sequence[str]]],
        make: Callable[[str], Any],
        examples: tuple[Example, ...] = (),
        default: str | None = None,
    ) -> None:
        """Name the members (by section of the help) and how each is made; `default` is what a bare name runs."""
        self.full_name, self.examples, self.default = full_name, examples, default
        self.sections, self._make = sections, make
        self.params = [*self.params, *_options_of(options.global_options)]
        for param in self.params:
            coercion.use_light(param)

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002
        return [name for _title, names in self.sections for name in names]

    def get_command(self, ctx: Context, cmd_name: str) -> Any:
        if cmd_name not in self.list_commands(ctx):
            return None
        if cmd_name not in self.commands:
            self.commands[cmd_name] = self._make(cmd_name)
        return self.commands[cmd_name]

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        session = ctx.find_object(Session)
        if session is not None:
            session.command = self.full_name
        rest = super().parse_args(ctx, args)
        self.take_globals(ctx)
        if session is not None and ctx.params.pop("version", False):
            from paysync_cli.services.versions import gather_versions
            from paysync_cli.views.version import VersionView

            session.show(VersionView(gather_versions()))
            raise typer.Exit
        return rest

    def invoke(self, ctx: Context) -> Any:
        if not ctx._protected_args:
            if self.default is None:
                return self._bare(ctx)
            ctx._protected_args = [self.default]
        return super().invoke(ctx)

    def resolve_command(self, ctx: Context, args: list[str]) -> Any:
        name, *rest = args
        command = self.get_command(ctx, name)
        if command is not None:
            return name, command, rest
        if ctx.resilient_parsing:
            return None, None, rest
        where = f"paysync {self.full_name}".strip()
        message = _("{where} has no command {name!r}.").format(where=where, name=plain(name))
        raise UsageError(message, hint=_did_you_mean(name, self.list_commands(ctx), self.full_name))

    def format_help(self, ctx: Context, formatter: Any) -> None:
        write_help(self, ctx, formatter)

    def _bare(self, ctx: Context) -> None:
        """A group without a command: its help, or with --json an error, since help is no document."""
        session = ctx.find_object(Session)
        if session is not None and session.options.json:
            raise UsageError(_("No command was given."), hint=_try_help(self.full_name))
        write_out(ctx.get_help() + "\n")


def _show_help(ctx: Context, _param: Any, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        write_out(ctx.get_help() + "\n")
        raise typer.Exit


def in_our_words(error: typer.TyperException, full_name: str) -> UsageError:
    """Typer's complaint about the command line as one of ours, in the user's language."""
    option = plain(getattr(error, "option_name", ""))
    hint = _try_help(full_name)
    match type(error).__name__:
        case "NoSuchOption":
            near = getattr(error, "possibilities", None)
            message = _("There is no option {option}.").format(option=option)
            hint = _("Did you mean {near}?").format(near=near[0]) if near else hint
        case "BadOptionUsage":
            message = _("{option} is missing its value, or has one and takes none.").format(option=option)
        case "MissingParameter":
            message = _("{name} is missing.").format(name=coercion.spoken_name(getattr(error, "param", None)))
        case _:
            message = plain(error.format_message())
    return UsageError(message, hint=hint)


def _did_you_mean(name: str, known: Sequence[str], full_name: str) -> str:
    near = get_close_matches(name, known, n=1)
    if near:
        return _("Did you mean `paysync {near}`?").format(near=f"{full_name} {near[0]}".strip())
    return _try_help(full_name)


def _try_help(full_name: str) -> str:
    return _("See `{command} --help`.").format(command=f"paysync {full_name}".strip())


def _was_given(context: Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@cache
def _options_of(function: Callable[..., None]) -> tuple[TyperOption, ...]:
    """The options that Typer reads from the function's signature; shared by all commands, they hold no state."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command("options")(function)
    made = tuple(p for p in typer.main.get_command(app).params if isinstance(p, TyperOption))
    for option in made:
        option.rich_help_panel = "global" if function is options.global_options else None
    return made
