"""The entry point: the command tree, and the one place where an error becomes an exit status."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from paysync_cli.cli import command as declared
from paysync_cli.cli import commands, failure, signals, streams
from paysync_cli.cli.parsing import PaysyncGroup, in_our_words
from paysync_cli.cli.session import Session
from paysync_cli.errors import PaysyncError, TimedOut
from paysync_cli.language import _

PROGRAM = "paysync"


def run() -> NoReturn:
    """What the `paysync` script calls."""
    streams.open_missing()
    try:
        status = main(sys.argv[1:])
    except (KeyboardInterrupt, signals.Terminated, signals.DeadlineReached):
        status = signals.INTERRUPTED  # a second Ctrl-C while the first was told
    gc.freeze()  # the collector would look at all that was imported, three times, before the process may end
    sys.exit(status)


def main(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit status. Nothing but the status leaves here."""
    session = Session()
    session.json_expected = _asks_for_json(arguments)
    deadline = signals.Deadline(lambda: _end_at_once(session))
    try:
        signals.listen_for_term()
        status = _run_command(arguments, session, deadline)
        streams.flush_out()
    except BrokenPipeError:
        status = session.exit_status  # the reader has all it wanted (`| head`) and left
    except BaseException as error:
        deadline.stop()
        status = _told(error, session)
    deadline.stop()
    return status


def command_tree() -> PaysyncGroup:
    """The whole tree, for parsing, the generated pages and scripts, and tests. Command files load when asked for."""
    app = typer.Typer(cls=PaysyncGroup, add_completion=False, rich_markup_mode=None, name=PROGRAM)
    app.callback(help=_("Keeps QR-payment statuses in step with the bank."))(_root)
    tree = typer.main.get_command(app)
    assert isinstance(tree, PaysyncGroup)
    present = set(commands.names())
    tree.complete(
        full_name="",
        sections=[(_(title), [name for name in names if name in present]) for title, names in commands.SECTIONS],
        make=_load,
        examples=(
            ("paysync demo", _("see it work, nothing to set up")),
            ("paysync enqueue QR123 --amount 100.50", _("follow a QR")),
            ("paysync worker", _("ask the bank and book what was paid")),
            ("paysync stats", _("is it moving?")),
        ),
    )
    return tree


def _root(
    version: Annotated[bool, typer.Option("--version", help=_("Show the version."))] = False,
) -> None:
    """Only its signature counts: the root's own options."""


def _load(name: str) -> Any:
    """The command or group called `name`, from its file."""
    import_module(commands.module_of(name))
    if name in declared.COMMANDS:
        return declared.build(declared.COMMANDS[name])
    spec = declared.GROUPS[name]
    app = typer.Typer(cls=PaysyncGroup, add_completion=False, rich_markup_mode=None, name=name)
    app.callback(help=spec.help)(_group)
    built = typer.main.get_command(app)
    assert isinstance(built, PaysyncGroup)
    members = [full.split()[1] for full in declared.COMMANDS if full.startswith(f"{name} ")]
    built.complete(
        full_name=name,
        sections=[(_("Commands"), members)],
        make=lambda member: declared.build(declared.COMMANDS[f"{name} {member}"]),
        default=spec.default,
    )
    return built


def _group() -> None:
    """A group does nothing by itself."""


def _run_command(arguments: Sequence[str], session: Session, deadline: signals.Deadline) -> int:
    tree = command_tree()
    session.on_begin = deadline.start
    try:
        with tree.make_context(PROGRAM, list(arguments), obj=session) as context:
            tree.invoke(context)
    except typer.Exit as end:
        session.exit_status = end.exit_code
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            session.close()
        raise
    session.close()
    return session.exit_status


def _told(error: BaseException, session: Session) -> int:
    """Tell the error where the user looks for it; returns its exit status."""
    known = _as_known(error, session)
    try:
        if isinstance(known, streams.OutputLost):
            session.tell(known)
        else:
            session.fail(known)
    except BrokenPipeError:
        pass
    except streams.OutputLost as lost:
        session.tell(known)
        session.tell(lost)
    return known.exit_status


def _as_known(error: BaseException, session: Session) -> PaysyncError:
    """Any error as one of ours, with its traceback."""
    known: PaysyncError
    if isinstance(error, PaysyncError):
        return error
    cause = signals.behind(error) or error
    match cause:
        case typer.TyperException():
            known = in_our_words(cause, session.command)
        case signals.DeadlineReached():
            known = _timed_out(session)
        case signals.Terminated():
            known = failure.CutShort(_("Terminated."), signals.TERMINATED, code="terminated")
        case KeyboardInterrupt():
            known = failure.CutShort(_("Interrupted."), signals.INTERRUPTED, code="interrupted")
        case _:
            known = PaysyncError(
                _("Unexpected error: {kind}: {error}").format(kind=type(error).__name__, error=error),
                hint=_("Run it again with --debug to see where."),
            )
    known.__cause__ = error
    return known


def _timed_out(session: Session) -> TimedOut:
    after = session.options.timeout_s or 0
    return TimedOut(
        _("`{command}` was not done after {n:g} s.").format(command=_spoken(session), n=after),
        hint=_("Give it more time with --timeout."),
    )


def _spoken(session: Session) -> str:
    return f"{PROGRAM} {session.command}".strip()


def _end_at_once(session: Session) -> None:
    """The last resort of --timeout, on its own thread: the main one is stuck in a call that cannot be interrupted."""
    threading.Timer(2, os._exit, (TimedOut.exit_status,)).start()  # even if nobody reads what is said
    session.fail(_timed_out(session))
    os._exit(TimedOut.exit_status)


def _asks_for_json(arguments: Sequence[str]) -> bool:
    before_operands = list(arguments)
    if "--" in before_operands:
        before_operands = before_operands[: before_operands.index("--")]
    return "--json" in before_operands
