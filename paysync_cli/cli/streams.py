"""The three standard streams, whatever state the caller left them in."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from paysync_cli.errors import PaysyncError
from paysync_cli.language import _


class OutputLost(PaysyncError):
    """Standard output took nothing more: closed, or the disk is full."""

    code = "output_lost"


def open_missing() -> None:
    """Point closed standard descriptors at /dev/null.

    Otherwise the next file opened, perhaps the database, would get number 1 and every print would land in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # os.open takes the lowest free number, which is this one.
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            # A name the locale cannot spell must not end the command.
            stream.reconfigure(errors="backslashreplace")


def write_out(text: str) -> None:
    """Write data to standard output. Raises BrokenPipeError when the reader left, OutputLost when it is lost."""
    if sys.stdout is None:
        raise OutputLost(_("The output could not be written: standard output is closed."))
    try:
        sys.stdout.write(text)
    except OSError as error:
        _raise_lost(error)


def flush_out() -> None:
    """Hand everything to the system; raises as `write_out`."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        _raise_lost(error)


def write_err(text: str) -> None:
    """Write talk to standard error; when that is gone too there is nobody left to tell."""
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def abandon_out() -> None:
    """Send what standard output still buffers nowhere, so that the interpreter does not fail on it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def read_line() -> str:
    """What a person answers, up to the line end; nothing when standard input is closed."""
    return sys.stdin.readline() if sys.stdin is not None else ""


def is_terminal(number: int) -> bool:
    """Whether the descriptor is a terminal that understands more than plain text."""
    return _is_tty(number) and os.environ.get("TERM", "") != "dumb"


def colour_unwanted(no_color: bool) -> bool:
    """Whether colour is unwanted: --no-color, or NO_COLOR set to anything (https://no-color.org)."""
    return no_color or bool(os.environ.get("NO_COLOR"))


def can_ask() -> bool:
    """Whether a person can read a question and answer it."""
    return _is_tty(0) and _is_tty(2)


def _is_tty(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False


def _raise_lost(error: OSError) -> None:
    abandon_out()
    if isinstance(error, BrokenPipeError) or error.errno in (errno.EPIPE, errno.ESHUTDOWN):
        raise error
    reason = error.strerror or type(error).__name__
    raise OutputLost(_("The output could not be written: {reason}.").format(reason=reason)) from error
