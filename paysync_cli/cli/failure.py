"""How an error reads: its sentence, below it what to do, with --debug the traceback. Pure text."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

from paysync_cli.errors import Fault, PaysyncError
from paysync_cli.language import _
from paysync_cli.views.text import plain

Redact = Callable[[str], str]


class CutShort(PaysyncError):
    """A signal ended the command."""

    def __init__(self, message: str, exit_status: int, *, code: str) -> None:
        super().__init__(message, code=code)
        self.exit_status = exit_status


def sentences(error: PaysyncError, redact: Redact, *, colour: bool) -> str:
    """The error's one fault with its hint; of several, a heading and each of them indented.

    No sentence comes twice: where the first fault is the heading too, each fault stands by itself, and a later fault
    that repeats the heading leaves only its hint.
    """
    faults, heading = clean(error.faults, redact), redact(error.message)
    if len(faults) == 1 or faults[0].message == heading:
        return "".join(_headed(fault.message, colour) + _indented(fault.hint, 2) for fault in faults)
    hint = error.hint and redact(error.hint)
    text = _headed(heading, colour)
    for fault in faults:
        if fault.message == heading:
            hint = hint or fault.hint
        else:
            text += f"  {plain(fault.message)}\n{_indented(fault.hint, 4)}"
    return text + _indented(hint, 2)


def clean(faults: Sequence[Fault], redact: Redact) -> list[Fault]:
    """The faults without secrets."""
    return [Fault(f.code, redact(f.message), f.hint and redact(f.hint)) for f in faults]


def traced(error: BaseException, redact: Redact) -> str:
    """The traceback without secrets and without anything a terminal would obey."""
    lines = redact("".join(traceback.format_exception(error))).splitlines()
    return "".join(f"{plain(line)}\n" for line in lines)


def _headed(message: str, colour: bool) -> str:
    word = f"{_('error')}:"
    return f"\x1b[1;31m{word}\x1b[0m {plain(message)}\n" if colour else f"{word} {plain(message)}\n"


def _indented(hint: str | None, by: int) -> str:
    return "".join(f"{'':{by}}{plain(line)}\n" for line in (hint or "").splitlines())
