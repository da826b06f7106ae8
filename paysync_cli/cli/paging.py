"""The command line that shows the next page of a list."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from paysync_cli.cli.session import Session
from paysync_cli.language import _


def next_command(
    name: str, options: Mapping[str, str | int | bool | None], token: str | None, *arguments: str
) -> str | None:
    """`paysync NAME OPTIONS --after TOKEN ARGUMENTS`; None without a next page. Options of None or False are left out.

    Arguments that could be taken for options stand behind `--`.
    """
    if token is None:
        return None
    words = ["paysync", *name.split()]
    for option, value in {**options, "--after": token}.items():
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, str(value)]
    if any(argument.startswith("-") for argument in arguments):
        words.append("--")
    return shlex.join([*words, *arguments])


def tell_next(session: Session, command: str | None) -> None:
    """Rows for scripts carry no next page: it is told beside them."""
    if command is not None and (session.options.csv or session.options.jsonl):
        session.say(_("more: {command}").format(command=command))
