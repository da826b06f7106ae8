"""What a worker counts for `/metrics`: in memory, or with the other processes of its command in files of one folder."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from paysync_cli.cli.listening import need_extra
from paysync_cli.cli.session import Session
from paysync_cli.errors import UnavailableError
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.services.metric_names import Count

PREFIX, LOCK = "paysync-metrics-", "lock"
JUST_MADE_S = 60.0  # its maker may not have locked it yet


def count_here(session: Session, port: int | None, folder: Path | None, number: int) -> None:
    """Count in this process when there is a port to tell it at; `folder` is the parent's, `number` ours among its
    processes.
    """
    if port is None:
        return
    need_extra("paysync worker --health-port")
    from paysync_cli.runtime import metrics

    if folder is None:
        metrics.start_counting(session.runtime)
    else:
        with _in_words(folder):
            metrics.start_counting_together(session.runtime, folder, number)


def counted_here(session: Session) -> list[Count] | None:
    """What stands in the counters of this command now; None when it does not count."""
    if session.runtime.counts is None:
        return None
    from paysync_cli.runtime import metrics

    return metrics.counted(session.runtime)


@contextlib.contextmanager
def counted_together(session: Session, port: int | None) -> Iterator[Sequence[str]]:
    """Add up what the processes count that are started with these further arguments; their files end with the block."""
    if port is None:
        yield ()
        return
    need_extra("paysync worker --health-port")
    from paysync_cli.runtime import metrics

    with contextlib.ExitStack() as stack:
        with _in_words(Path(tempfile.gettempdir())):
            _remove_left_behind()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)))
            fcntl.flock(stack.enter_context((folder / LOCK).open("wb")), fcntl.LOCK_EX)
            metrics.start_counting_together(session.runtime, folder, 0)
        yield ("--counts-in", str(folder))


def _remove_left_behind() -> None:
    """Remove the folders of commands that were killed: nobody holds their locks any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / LOCK).open("rb+") as lock:
            if time.time() - folder.stat().st_mtime > JUST_MADE_S:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            _("The counters of the worker processes cannot be kept in {folder}: {cause}.").format(
                folder=folder, cause=error.strerror or error
            ),
            hint=_("TMPDIR says where; it takes a megabyte."),
            code="no_room_for_counters",
        ) from None
