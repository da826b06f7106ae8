"""The help page: usage, examples first, what it does, arguments, options, and the global options last."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from paysync_cli.cli import streams
from paysync_cli.cli.coercion import metavar
from paysync_cli.language import _

Example = str | tuple[str, str]

_MAX_WIDTH = 110
_MAX_LABEL = 30
_UNBOUNDED = 2**31  # a larger upper bound is the database's, not a thing to know


def write_help(command: Any, context: Any, formatter: Any) -> None:
    """Write the page of a command or group into the formatter."""
    width = min(max(shutil.get_terminal_size().columns, 40), _MAX_WIDTH)
    for block in _blocks(command, context, width):
        formatter.write(block)


def _blocks(command: Any, context: Any, width: int) -> Iterator[str]:
    yield _usage(command, context)
    if command.examples:
        yield _section(_("Examples"), _example_lines(command.examples))
    if command.help:
        paragraphs = command.help.split("\n\n")
        yield "\n" + "\n\n".join(textwrap.fill(" ".join(p.split()), width) for p in paragraphs) + "\n"
    yield from _members(command, context, width)
    params = command.get_params(context)
    arguments = [p for p in params if p.param_type_name == "argument"]
    own = [p for p in params if p.param_type_name == "option" and not is_global(p)]
    shared = [p for p in params if p.param_type_name == "option" and is_global(p)]
    for title, group in ((_("Arguments"), arguments), (_("Options"), own), (_("Everywhere"), shared)):
        rows = [record for p in group if (record := _record(p, context)) is not None]
        if rows:
            yield _section(title, _columns(rows, width))


def _usage(command: Any, context: Any) -> str:
    words = [context.command_path, _("[OPTIONS]")]
    words += [_argument(p, optional="[{}]") for p in command.get_params(context) if p.param_type_name == "argument"]
    if hasattr(command, "list_commands"):
        words.append(_("COMMAND ..."))
    return f"{_heading(_('Usage'))} {' '.join(words)}\n"


def _members(command: Any, context: Any, width: int) -> Iterator[str]:
    for title, names in getattr(command, "sections", ()):
        members = [(name, command.get_command(context, name)) for name in names]
        rows = [(name, gist(member.help or "")) for name, member in members if not member.hidden]
        if rows:
            yield _section(title, _columns(rows, width))


def is_global(param: Any) -> bool:
    """Whether every command takes it."""
    return getattr(param, "rich_help_panel", None) == "global" or "--help" in param.opts


def _record(param: Any, context: Any) -> tuple[str, str] | None:
    if "--help" in param.opts:
        return "-h, --help", _("Show this page.")
    if param.hidden:
        return None
    label = _argument(param) if param.param_type_name == "argument" else _option(param)
    remarked = "; ".join(remarks(param, context))
    return label, f"{param.help or ''}  [{remarked}]".strip() if remarked else param.help or ""


def _argument(param: Any, optional: str = "{}") -> str:
    name = metavar(param)
    return (name if param.required else optional.format(name)) + ("..." if param.nargs == -1 else "")


def _option(param: Any) -> str:
    flags = ", ".join(sorted(param.opts, key=len))
    if param.secondary_opts:
        flags += f" / {', '.join(param.secondary_opts)}"
    return flags if param.is_flag else f"{flags} {metavar(param) if param.metavar else kind(param)}"


def kind(param: Any) -> str:
    """What stands for a value: the choices, else a word for people, never a name of Python's."""
    described = param.type_descriptor
    if described.is_choice:
        return "|".join(map(str, described.choices))
    if described.is_path:
        return _("FILE")
    return _("TEXT") if described.annotation is str else _("N")


def remarks(param: Any, context: Any) -> Iterator[str]:
    """Its default and its range."""
    default = param.get_default(context)
    if not isinstance(default, bool) and default not in (None, "", (), []):
        yield _("default: {value}").format(value=default)
    least, most = getattr(param, "min", None), getattr(param, "max", None)
    if least is not None and most is not None and most < _UNBOUNDED:
        yield _("{least} to {most}").format(least=least, most=most)
    elif least is not None:
        yield _("at least {least}").format(least=least)
    if param.required and param.param_type_name == "option":
        yield _("required")


def _example_lines(examples: Sequence[Example]) -> list[str]:
    pairs = [(e, "") if isinstance(e, str) else e for e in examples]
    width = max(len(line) for line, _remark in pairs)
    return [f"  {line:<{width}}  # {remark}" if remark else f"  {line}" for line, remark in pairs]


def _columns(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    label_width = min(max(len(label) for label, _text in rows), _MAX_LABEL)
    lines = []
    for label, text in rows:
        first, *more = textwrap.wrap(text, max(width - label_width - 4, 20)) or [""]
        if len(label) > label_width:
            lines += [f"  {label}", f"  {'':<{label_width}}  {first}"]
        else:
            lines.append(f"  {label:<{label_width}}  {first}".rstrip())
        lines += [f"  {'':<{label_width}}  {line}" for line in more]
    return lines


def _section(title: str, lines: Sequence[str]) -> str:
    return f"\n{_heading(title)}\n" + "\n".join(lines) + "\n"


def _heading(title: str) -> str:
    bold = streams.is_terminal(1) and not streams.colour_unwanted(no_color=False)
    return f"\x1b[1m{title}:\x1b[0m" if bold else f"{title}:"


def gist(text: str) -> str:
    """The beginning of a help text, up to the first full stop, colon or semicolon: a line of the command list."""
    head = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"[.:;] ", head, maxsplit=1)[0].rstrip(".") + "."
