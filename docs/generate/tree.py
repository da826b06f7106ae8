"""The command tree as plain records: what the man pages, the completions and the tables are written from.

Typer carries its own Click, so the usual generators, which look for Click's classes, find nothing here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from paysync_cli import language
from paysync_cli.cli import helptext, main
from paysync_cli.payments.money import CURRENCIES
from paysync_cli.settings.keys import KEYS, Key

# What stands for a value, and how it is completed: the names of `_complete`, or FILES, or nothing (free text).
BANKS, QRS, FILES = "banks", "qrs", "files"
_OF_METAVAR = {"BANK": BANKS, "QR": QRS, "FILE": FILES, "FILE|-": FILES}
_OF_FLAG = {"--bank": BANKS}

# Options that take text and still have few words to choose from.
_WORDS = {
    "--environment": ("production", "certification"),
    "--currency": tuple(sorted(CURRENCIES)),
    "--date": ("today", "yesterday"),
    "--dialect": ("baneco", "bnb", "pix", "sip"),
}

# Which setting holds when an option is not given: its variables and its default are told beside the option.
_SETTINGS = {
    "--tz": "tz",
    "--ping-url": "ping_url",
    "--bank": "default_bank",
    "worker --concurrency": "concurrency",
    "worker --grace": "shutdown_grace",
}
_VARIABLES = {"--no-color": ("NO_COLOR",)}
_KEYS = {key.name: key for key in KEYS}


@dataclass(frozen=True)
class Option:
    """One option. `metavar` is None for a switch."""

    flags: tuple[str, ...]
    metavar: str | None
    help: str
    remarks: tuple[str, ...]  # default and range, as the help tells them
    variables: tuple[str, ...]
    words: tuple[str, ...]
    asks: str | None  # BANKS, QRS or FILES
    everywhere: bool  # one of those that every command takes

    @property
    def long(self) -> str:
        """Its name among people: `--bank`."""
        return next(flag for flag in self.flags if flag.startswith("--"))


@dataclass(frozen=True)
class Argument:
    metavar: str
    help: str
    required: bool
    many: bool
    words: tuple[str, ...]
    asks: str | None

    @property
    def spelled(self) -> str:
        """As it stands in a command's line: `QR...`, `[BANK]`."""
        name = self.metavar if self.required else f"[{self.metavar}]"
        return f"{name}..." if self.many else name


@dataclass(frozen=True)
class Command:
    """A command, a group, or the root, whose path is empty."""

    path: tuple[str, ...]
    help: str
    gist: str
    examples: tuple[tuple[str, str], ...]
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    sections: tuple[tuple[str, tuple[Command, ...]], ...]  # members by section; empty for a command
    default: str | None

    @property
    def name(self) -> str:
        """`bank list`, and "" for the root."""
        return " ".join(self.path)

    @property
    def members(self) -> tuple[Command, ...]:
        return tuple(member for _title, members in self.sections for member in members)

    def walk(self) -> Iterator[Command]:
        """This command and all below it."""
        yield self
        for member in self.members:
            yield from member.walk()


def read_tree() -> Command:
    """The whole tree in English, whatever the environment says."""
    with language.english():
        root = main.command_tree()
        context = root.make_context(main.PROGRAM, [], resilient_parsing=True)
        return _command(root, context, ())


def by_flag(commands: Iterable[Command], deed: Callable[[Option], str]) -> Mapping[str, Mapping[str, list[str]]]:
    """For each flag what it makes a shell do (`deed`), and after which commands."""
    meant: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in commands:
        for option in one.options:
            for flag in option.flags:
                meant[flag][deed(option)].append(one.name)
    return meant


def _command(command: Any, context: Any, path: tuple[str, ...]) -> Command:
    sections = []
    for title, names in getattr(command, "sections", ()):
        found = [(name, command.get_command(context, name)) for name in names]
        members = tuple(_command(one, context, (*path, name)) for name, one in found if not one.hidden)
        if members:
            sections.append((title, members))
    name = " ".join(path)
    shown = [param for param in command.get_params(context) if not getattr(param, "hidden", False)]
    return Command(
        path,
        command.help or "",
        _gist(command.help or "", group=bool(sections)),
        tuple((one, "") if isinstance(one, str) else one for one in command.examples),
        tuple(_option(param, context, name) for param in shown if param.param_type_name == "option"),
        tuple(_argument(param, context, path) for param in shown if param.param_type_name == "argument"),
        tuple(sections),
        getattr(command, "default", None),
    )


def _gist(text: str, *, group: bool) -> str:
    """The line of a list: of a group its whole first sentence, for its beginning alone says too little."""
    return text.partition(". ")[0].partition("\n")[0].rstrip(".") + "." if group else helptext.gist(text)


def _option(param: Any, context: Any, command: str) -> Option:
    long = max(param.opts, key=len)
    if long == "--help":
        return Option(("-h", "--help"), None, "Show the help.", (), (), (), None, everywhere=True)
    key = _setting(long, command, param.help or "")
    remarks = [*helptext.remarks(param, context)]
    if key is not None and key.default and not any("default" in one for one in remarks):
        remarks.append(f"default: {key.default}")
    metavar = None if param.is_flag else param.metavar or helptext.kind(param)
    return Option(
        (*sorted(param.opts, key=len), *param.secondary_opts),
        metavar,
        param.help or "",
        tuple(remarks),
        _VARIABLES.get(long, key.variables if key is not None else ()),
        _choices(param) or _WORDS.get(long, ()),
        None if metavar is None else _OF_FLAG.get(long) or _OF_METAVAR.get(metavar),
        helptext.is_global(param),
    )


def _setting(flag: str, command: str, about: str) -> Key | None:
    """The setting that holds when the option is not given."""
    name = _SETTINGS.get(f"{command} {flag}") or _SETTINGS.get(flag)
    if flag == "--bank" and "default" not in about:
        return None  # there it is a filter: without it all banks
    return None if name is None else _KEYS[name]


def _argument(param: Any, context: Any, path: tuple[str, ...]) -> Argument:
    metavar = param.metavar or param.name.upper()
    asks = BANKS if path[:1] == ("bank",) and metavar == "NAME" else _OF_METAVAR.get(metavar)
    remarks = "; ".join(helptext.remarks(param, context))
    about = f"{param.help or ''} [{remarks}]".strip() if remarks else param.help or ""
    return Argument(metavar, about, param.required, param.nargs == -1, _choices(param), asks)


def _choices(param: Any) -> tuple[str, ...]:
    described = param.type_descriptor
    return tuple(map(str, described.choices)) if described.is_choice else ()
