"""`paysync worker`: run checks until stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli import signals, streams
from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.errors import BankUnavailable, Fault, PaysyncError, TryLater
from paysync_cli.language import _, mark

if TYPE_CHECKING:
    from paysync_cli.runtime import WorkerRun
    from paysync_cli.runtime.service_manager import ServiceManager

WHY = {
    "credential_stopped": mark("its credential is stopped"),
    "paused": mark("it is paused"),
    "breaker_open": mark("it does not answer"),
    "held": mark("it asked us to wait"),
}
EXIT_OF = {"SIGINT": signals.INTERRUPTED, "SIGTERM": signals.TERMINATED}

SWITCH_S = 0.0005
M_ARENA_MAX = -8  # of glibc's malloc.h


@command(
    "worker",
    help=_(
        "Run checks: take jobs from the queues, ask the bank, write what it says, plan the next check.\n\n"
        "Every worker also dispatches what is due; one of them leads (recovery, daily cleanup). TERM or Ctrl-C takes "
        "nothing new and finishes what is in flight; once more stops at once. Nothing is lost either way."
    ),
    examples=[
        ("paysync worker", _("five checks in flight")),
        ("paysync worker --concurrency 50", _("fifty: at 200 ms a bank answer that is at most 250 checks a second")),
        ("paysync worker --burst", _("do what is due now, then end")),
        ("paysync worker --processes 2 --concurrency 200", _("two processes for two cores, 200 checks each")),
        ("paysync worker --health-port 9109", _("with probes: curl http://127.0.0.1:9109/ready")),
    ],
    changes=True,
    creates_database=True,
)
def worker(
    session: Session,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help=_("Checks in flight at the same time."), min=1, max=10_000)
    ] = None,
    burst: Annotated[
        bool, typer.Option("--burst", help=_("End when nothing is due or waiting for an attempt."))
    ] = False,
    grace: Annotated[
        str | None, typer.Option("--grace", help=_("How long checks in flight may take after TERM."), metavar="TIME")
    ] = None,
    no_dispatch: Annotated[
        bool, typer.Option("--no-dispatch", help=_("Only work; something else runs `paysync dispatch`."))
    ] = False,
    processes: Annotated[
        int,
        typer.Option(
            "--processes",
            help=_("Worker processes, for more cores; each has its own checks in flight."),
            min=1,
            max=256,
        ),
    ] = 1,
    health_port: Annotated[
        int | None,
        typer.Option(
            "--health-port",
            help=_("Answer /live, /ready, /consuming and /metrics on this port, for all processes (0: a free one)."),
            min=0,
            max=65535,
        ),
    ] = None,
    health_host: Annotated[
        str, typer.Option("--health-host", help=_("Address of that port; the default lets only this machine in."))
    ] = "127.0.0.1",
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
    number: Annotated[int, typer.Option("--number", hidden=True)] = 0,
    counts_in: Annotated[Path | None, typer.Option("--counts-in", hidden=True)] = None,
) -> None:
    from paysync_cli.cli.counting import count_here
    from paysync_cli.runtime.service_manager import ServiceManager

    manager = ServiceManager.taken_from(os.environ)
    session.override(concurrency=concurrency, shutdown_grace=grace)
    _prepare(session)
    if processes > 1:
        _run_processes(session, processes, burst=burst, health=(health_host, health_port), manager=manager)
        return
    if with_parent:
        _end_with_parent()
    count_here(session, health_port, counts_in, number)
    port = None if with_parent else health_port  # a parent answers for its processes
    run = _run_here(
        session, burst=burst, dispatching=not no_dispatch, with_parent=with_parent, health=(health_host, port),
        manager=manager,
    )  # fmt: skip
    _tell_of(session, run, with_parent=with_parent)


def _prepare(session: Session) -> None:
    """Log from here on, and refuse what cannot work before any worker is there."""
    from paysync_cli.cli.logs import start_logging

    runtime = session.runtime
    runtime.require_banks()
    start_logging(session.settings, colour=not session.options.no_color)
    runtime.refuse_foreign_redis()
    runtime.warn_of_eviction()


def _run_here(
    session: Session,
    *,
    burst: bool,
    dispatching: bool,
    with_parent: bool,
    health: tuple[str, int | None],
    manager: ServiceManager,
) -> WorkerRun:
    """Run one worker in this process."""
    from paysync_cli.cli.health_door import health_door

    names: list[str] = []

    def ready(name: str) -> None:
        names.append(name)
        _tell_ready(session, name, with_parent=with_parent)

    _tune_interpreter()
    started = {os.getpid(): time.monotonic()}
    with health_door(session, *health, lambda: started, lambda: names[0] if names else None):
        return asyncio.run(
            session.runtime.run_worker(burst=burst, dispatching=dispatching, ready=ready, manager=manager)
        )


def _tell_ready(session: Session, name: str, *, with_parent: bool) -> None:
    """The worker takes work from now on: the log, the person and the parent learn it."""
    from paysync_cli.cli.logs import log_with

    log_with(worker=name)
    checks = session.settings.concurrency
    session.detail(
        _("worker {name}: {n} checks in flight; a bank that answers in 200 ms allows {rate} a second").format(
            name=name, n=checks, rate=checks * 5
        )
    )
    if with_parent:
        streams.write_out("ready\n")
        streams.flush_out()


def _tell_of(session: Session, run: WorkerRun, *, with_parent: bool) -> None:
    """The report for scripts, or the error of a burst that left something; the exit status of one that was cut."""
    from paysync_cli.cli.counting import counted_here
    from paysync_cli.views.worker_run import WorkerRunView

    error = _left_behind(run)
    if session.options.json:
        counted = None if with_parent else counted_here(session)  # the parent tells of all its processes
        session.show(WorkerRunView(run.name, run.checks, run.stopped_by, run.cut_short, run.left, counted), error=error)
    elif error is not None:
        raise error
    if run.cut_short:
        session.exit_status = EXIT_OF.get(run.stopped_by, signals.TERMINATED)


def _run_processes(
    session: Session, count: int, *, burst: bool, health: tuple[str, int | None], manager: ServiceManager
) -> None:
    from paysync_cli.cli.counting import counted_here, counted_together
    from paysync_cli.cli.health_door import health_door
    from paysync_cli.cli.processes import Processes
    from paysync_cli.views.worker_run import ProcessesView

    with counted_together(session, health[1]) as further:
        children = Processes(count, [*sys.argv[1:], *further], restart=not burst, manager=manager)
        with health_door(session, *health, children.started):
            status = children.run()
        counted = counted_here(session)
    if session.options.json:
        told = [Fault(**fault) for document in children.documents for fault in document["errors"]]
        faults = list(dict.fromkeys(told))  # each process says it
        kind = {BankUnavailable.exit_status: BankUnavailable, TryLater.exit_status: TryLater}.get(status)
        error = kind(faults[0].message, hint=faults[0].hint, faults=faults) if kind and faults else None
        runs = tuple(document["data"] for document in children.documents)
        session.show(ProcessesView(runs, counted), error=error)
    session.exit_status = status


def _tune_interpreter() -> None:
    """Set Python for one busy loop beside threads that talk to the database and to Redis.

    Each of their calls lets go of the interpreter lock and wants it back; by default the loop keeps it for up to 5 ms
    then, which is longer than a whole transaction. What is loaded by now lives to the end: the collector need not
    look at it again.
    glibc would give each of our threads a heap of its own, which keeps what others could use: they share one.
    """
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        with contextlib.suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def _left_behind(run: WorkerRun) -> PaysyncError | None:
    """A burst that could not ask about everything that is due must not look like one that did."""
    if not run.left:
        return None
    faults = [
        Fault(one.reason, _("{n} QRs of bank {bank} are due and were not asked: {why}.").format(
            n=one.due, bank=one.bank, why=_(WHY.get(one.reason, one.reason))),
            _("See: paysync bank show {bank}").format(bank=one.bank))
        for one in run.left
    ]  # fmt: skip
    kind = TryLater if all(one.reason in ("paused", "held") for one in run.left) else BankUnavailable
    return kind(faults[0].message, hint=faults[0].hint, faults=faults)


def _end_with_parent() -> None:
    """Stop like on TERM when the other end of standard input closes: whoever started this worker is gone."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
