"""`paysync import`: register the QRs of a file."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, BinaryIO, Literal, NamedTuple, cast

import typer

from paysync_cli.cli import signals
from paysync_cli.cli.command import command
from paysync_cli.cli.failure import CutShort
from paysync_cli.cli.options import Bank, DryRun
from paysync_cli.cli.registering import defaults_of, left_over, wake_workers
from paysync_cli.cli.session import Session
from paysync_cli.errors import Fault, InputError, NotFound, PaysyncError, TimedOut, UsageError
from paysync_cli.language import _, ngettext

if TYPE_CHECKING:
    from paysync_cli.services.importing import Import, Tally, Target
    from paysync_cli.services.register import Wish
    from paysync_cli.services.request_lines import Source
    from paysync_cli.store.database import Database

SHOWN_ON_SCREEN = 20  # bad lines and conflicts; with --json a thousand
SPOOL_BYTES = 1 << 20


@command(
    "import",
    help=_(
        "Register the QRs of a file, CSV (comma, semicolon or tab) or JSON lines, UTF-8; - reads standard input. "
        "Columns: qr_id, and as wanted amount, currency, due, account, bank, issued_at, multi_use.\n\n"
        "Any bad line: every one is told with its number, nothing is written, exit 2; with --on-error skip the rest "
        "goes in, exit 3. Running it again is safe: what is known stays as it is.\n\n"
        "With --json, `items` lists only what is not `created`, at most 1000; `items_cut` tells how many more there "
        "are. Bad lines are told up to 1000 as well; `invalid` counts all."
    ),
    examples=[
        ("paysync import qrs.csv", _("a file with the header qr_id,amount,due")),
        ("paysync import qrs.csv --dry-run", _("look first")),
        ("paysync import qrs.csv --in 2h --priority low", _("ask later, after the others")),
        ("jq -c '.[]' qrs.json | paysync import - --on-error skip", _("JSON lines; bad ones are left out")),
    ],
    changes=True,
    creates_database=True,
)
def import_qrs(
    session: Session,
    file: Annotated[str, typer.Argument(help=_("The file, or - for standard input."), metavar="FILE|-")],
    bank: Bank = None,
    on_error: Annotated[
        Literal["stop", "skip"], typer.Option("--on-error", help=_("What a bad line does: stop all, or be skipped."))
    ] = "stop",
    within: Annotated[str | None, typer.Option("--in", metavar="TIME", help=_("Ask in 30s, 10m, 2h ..."))] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help=_("Ask at 2026-12-31T18:30."))] = None,
    now: Annotated[
        bool, typer.Option("--now", help=_("Ask now; grants one check to a QR whose checks are used up."))
    ] = False,
    priority: Annotated[
        Literal["high", "medium", "low"] | None, typer.Option("--priority", help=_("The queue of that check."))
    ] = None,
    dry_run: DryRun = False,
) -> None:
    from paysync_cli.views.import_qrs import ImportView

    default = _default_bank(session, bank)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_opened(session, file))
        store = session.runtime.store if session.runtime.has_database else None
        running = stack.enter_context(contextlib.closing(_import(session, source, default, store)))
        wish = _wish(session, default, running.now, _Asked(within, at, now, priority))
        tally = _examine(session, running)
        if tally.invalid and on_error == "stop":
            raise _nothing_written(session, tally)
        if not tally.lines:
            session.warn(_("{name} has a header and nothing else.").format(name=source.name))
        if not dry_run and tally.lines > tally.invalid:
            store = session.runtime.store  # made now when there was none
        _take_in(session, running, store, wish, dry_run)
    unavailable = None if dry_run else wake_workers(session)
    session.show(ImportView(tally, dry_run), error=left_over(_faults(session, tally), unavailable))


# -- the file


@contextlib.contextmanager
def _opened(session: Session, file: str) -> Iterator[Source]:
    """The file, seekable: what can be read only once is copied into a temporary file."""
    from paysync_cli.services.request_lines import Source

    with contextlib.ExitStack() as stack:
        if file == "-":
            yield Source(stack.enter_context(_spooled(_standard_input(session))), _("standard input"))
            return
        opened = stack.enter_context(_open(file))
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            opened = stack.enter_context(_spooled(opened))
        yield Source(opened, file)


def _open(file: str) -> BinaryIO:
    try:
        return Path(file).open("rb")
    except FileNotFoundError:
        raise NotFound(_("There is no file {file}.").format(file=file), code="no_file") from None
    except IsADirectoryError:
        raise InputError(_("{file} is a folder, not a file.").format(file=file), code="no_file") from None
    except OSError as error:
        raise InputError(
            _("{file} cannot be read: {cause}.").format(file=file, cause=error.strerror), code="unreadable_file"
        ) from None


def _standard_input(session: Session) -> IO[bytes]:
    if sys.stdin is None:
        raise UsageError(_("Standard input is closed: name a file, or send one with a pipe."))
    if sys.stdin.isatty():
        session.say(_("Reading lines from the terminal; Ctrl-D ends them."))
    return sys.stdin.buffer


@contextlib.contextmanager
def _spooled(once: IO[bytes]) -> Iterator[BinaryIO]:
    import shutil
    import tempfile

    with tempfile.TemporaryFile() as copy:
        try:
            shutil.copyfileobj(once, copy, SPOOL_BYTES)
            copy.flush()
        except OSError as error:
            raise PaysyncError(
                _("The input could not be copied to the temporary folder: {cause}.").format(cause=error.strerror),
                hint=_("Make room there, set TMPDIR to another folder, or name a file instead."),
            ) from error
        yield cast("BinaryIO", copy)


# -- the two passes


def _import(session: Session, source: Source, default: str | None, store: Database | None) -> Import:
    from paysync_cli.services.importing import Import

    # A database that is yet to be made has the machine's clock.
    now = datetime.now(UTC) if store is None else session.runtime.clock.now()
    return Import(source, _targets(session), default, now)


class _Asked(NamedTuple):
    """When and how to ask, as it was typed."""

    within: str | None
    at: str | None
    now: bool
    priority: str | None


def _wish(session: Session, default: str | None, now: datetime, asked: _Asked) -> Wish:
    """When and how to ask about every QR of the file; a moment without offset is the bank's, with several the user's.

    Raises InputError."""
    from paysync_cli.services.requests import parse_wish

    zone = session.settings.banks[default].timezone if default is not None else session.zone
    return parse_wish(
        within=asked.within,
        at=asked.at,
        now_wanted=asked.now,
        priority=asked.priority,
        more_checks=None,
        zone=zone or datetime.now().astimezone().tzinfo or UTC,
        now=now,
        who=session.runtime.who,
    )


def _targets(session: Session) -> Mapping[str, Target]:
    from paysync_cli.services.importing import Target

    return {
        name: Target(defaults_of(bank), bank.environment, session.runtime.rhythm(bank))
        for name, bank in session.settings.banks.items()
    }


def _default_bank(session: Session, name: str | None) -> str | None:
    """The bank of lines that name none; None where each line must."""
    try:
        return session.bank(name).name
    except UsageError as error:
        if error.code != "bank_needed":
            raise
        return None


def _examine(session: Session, running: Import) -> Tally:
    with _told_how_far(session, running), session.progress(None, _("looking at the lines")) as bar:
        return running.examine(bar.advance)


def _take_in(session: Session, running: Import, store: Database | None, wish: Wish, dry_run: bool) -> None:
    with _told_how_far(session, running), session.progress(running.tally.lines, _("importing")) as bar:
        if dry_run or store is None:
            running.preview(store, wish, bar.advance)
        else:
            running.write(store, wish, bar.advance)


@contextlib.contextmanager
def _told_how_far(session: Session, running: Import) -> Iterator[None]:
    """Whatever cuts the work short says how much of it is done."""
    try:
        yield
    except KeyboardInterrupt:
        raise CutShort(_how_far(running.tally), signals.INTERRUPTED, code="interrupted") from None
    except signals.Terminated:
        raise CutShort(_how_far(running.tally), signals.TERMINATED, code="terminated") from None
    except signals.DeadlineReached:
        raise TimedOut(_how_far(running.tally)) from None
    except PaysyncError:
        if running.tally.done:
            session.say(_how_far(running.tally))
        raise


def _how_far(tally: Tally) -> str:
    if not tally.done:
        return _("Cut short before anything was written.")
    return _("Cut short: {done} of {lines} lines are in; run it again to go on.").format(
        done=tally.done, lines=tally.lines
    )


# -- what went wrong


def _nothing_written(session: Session, tally: Tally) -> InputError:
    message = ngettext(
        "{n} of {lines} lines is wrong; nothing was written.",
        "{n} of {lines} lines are wrong; nothing was written.",
        tally.invalid,
    ).format(n=tally.invalid, lines=tally.lines)
    hint = _("Mend them, or leave them out with --on-error skip.")
    return InputError(message, faults=[*_line_faults(session, tally), Fault("invalid_lines", message, hint)])


def _faults(session: Session, tally: Tally) -> list[Fault]:
    """Everything that did not go in."""
    return [*_line_faults(session, tally), *_conflict_faults(session, tally)]


def _line_faults(session: Session, tally: Tally) -> Iterator[Fault]:
    shown = tally.bad_lines[: _most(session)]
    yield from (Fault(bad.faults[0].code, bad.sentence) for bad in shown)
    if more := tally.invalid - len(shown):
        yield Fault(
            "more_invalid_lines", ngettext("{n} more line is wrong.", "{n} more lines are wrong.", more).format(n=more)
        )


def _conflict_faults(session: Session, tally: Tally) -> Iterator[Fault]:
    from paysync_cli.services.register import Outcome
    from paysync_cli.views.enqueue import conflict_sentence

    conflicts = tally.conflicts[: _most(session)]
    for one in conflicts:
        sentence = conflict_sentence(one.item)
        yield Fault("conflict", _("line {n}: {sentence}").format(n=one.line, sentence=sentence))
    if more := tally.count(Outcome.CONFLICT) - len(conflicts):
        yield Fault("more_conflicts", ngettext("{n} more QR conflicts.", "{n} more QRs conflict.", more).format(n=more))


def _most(session: Session) -> int:
    from paysync_cli.services.importing import KEPT

    return KEPT if session.wants_json else SHOWN_ON_SCREEN
