"""Command lines as people write them in pages, units and rules: found, and parsed by the real command tree."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import typer

from paysync_cli.cli.main import PROGRAM, command_tree
from paysync_cli.cli.parsing import in_our_words
from paysync_cli.cli.session import Session
from paysync_cli.errors import PaysyncError

_INDENTED = re.compile(r"^ {4,}(?![*-] |\d+\. )(\S.*)$")
_INLINE = re.compile(r"(?<!`)`(?!`)([^`]+)`(?!`)")
_PROMPT = re.compile(r"^[$#>] ")
# What may stand before the program, with words of its own between them.
_LEADS = frozenset(("sudo", "env", "exec", "time", "flock", "docker", "xargs", "watch", "systemd-run", "if", "!"))
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PLACEHOLDER = re.compile(r"^(?:[A-Z][A-Z_]*|\{\{.*\}\})…?$")


@dataclass(frozen=True)
class Line:
    """One call of paysync. `whole`: somebody will paste it; else it names a command in passing."""

    text: str
    arguments: tuple[str, ...]
    whole: bool


def in_page(text: str) -> Iterator[Line]:
    """The calls of a Markdown page: those of its code blocks, and those that its sentences name."""
    fenced, prose = False, ""
    for line in [*_joined(text), ""]:
        block = fenced
        if line.lstrip().startswith("```"):
            fenced = block = not fenced
        elif fenced:
            yield from in_shell(_PROMPT.sub("", line.strip()))
        elif found := _INDENTED.match(line):
            block = True
            yield from in_shell(_PROMPT.sub("", found[1]))
        else:
            prose += line.strip() + " "
        if block or not line.strip():
            yield from _in_prose(prose)
            prose = ""


def _in_prose(text: str) -> Iterator[Line]:
    for code in _INLINE.findall(text):
        yield from (Line(one.text, one.arguments, False) for one in in_shell(code.strip()))


def in_shell(text: str) -> Iterator[Line]:
    """The calls of a line for a shell, pipes and lists taken apart. Words that no shell would read are no line."""
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words = list(lexer)
    except ValueError:
        return
    call: list[str] = []
    for word in [*words, ";"]:
        if word and set(word) <= set("|&;()"):
            yield from _call(call)
            call = []
        else:
            call.append(word)


def _call(words: list[str]) -> Iterator[Line]:
    words = list(_without_redirections(words))
    start = next((n for n, word in enumerate(words) if not _ASSIGNMENT.match(word)), 0)
    named = (n for n, word in enumerate(words) if word.rpartition("/")[2] == "paysync" and not _ASSIGNMENT.match(word))
    place = next((n for n in named if words[n - 1 : n] not in (["-u"], ["--user"])), None)  # a user of that name
    if place is not None and (place == start or words[start] in _LEADS):
        yield Line(" ".join(words), tuple(words[place + 1 :]), True)


def _without_redirections(words: Sequence[str]) -> Iterator[str]:
    skip = False
    for word, following in zip(words, (*words[1:], ""), strict=False):
        if skip:
            skip = False
        elif word and set(word) <= set("<>&"):
            skip = True
        elif not (word.isdecimal() and following[:1] in "<>" and following):
            yield word


def _joined(text: str) -> Iterator[str]:
    """Lines, those that end in a backslash as one."""
    return iter(re.sub(r"\\\n\s*", "", text).splitlines())


def fault_of(line: Line) -> str | None:
    """What paysync would say of this command line, None when it would run it. Nothing is run."""
    if line.whole:
        return _parse(list(line.arguments))[0]
    # A sentence may leave out what a command needs, and name the kind of a value instead of one.
    for arguments in (list(line.arguments), ["1" if _PLACEHOLDER.match(word) else word for word in line.arguments]):
        problem, kind = _parse(arguments)
        if problem is None or kind == "MissingParameter":
            return None
    return problem


def _parse(arguments: list[str]) -> tuple[str | None, str]:
    session = Session()
    try:
        command = command_tree()
        context = command.make_context(PROGRAM, arguments, obj=session)
        while rest := [*context._protected_args, *context.args]:
            if not hasattr(command, "resolve_command"):
                break
            name, command, rest = command.resolve_command(context, rest)
            context = command.make_context(name, rest, parent=context)
    except typer.Exit:
        return None, ""
    except PaysyncError as error:
        return error.message, type(error).__name__
    except typer.TyperException as error:
        return in_our_words(error, session.command).message, type(error).__name__
    return None, ""
