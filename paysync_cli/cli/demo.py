"""`paysync demo`: the whole product in half a minute, on a machine where nothing is set up."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.cli.signals import Terminated
from paysync_cli.errors import ConditionNotMet, PaysyncError, UnavailableError
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.banks.simulator import RunningSimulator
    from paysync_cli.runtime import Runtime
    from paysync_cli.services.demo import DemoReport, Fate
    from paysync_cli.settings import Settings

LASTS_AT_MOST_S = 26.0
LOOK_EVERY_S = 0.25
WORKER_ENDS_WITHIN_S = 10.0

# What the demo keeps of the environment: nothing that could lead it to a real database, Redis or bank.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_MESSAGES", "PAYSYNC_LANG", "PAYSYNC_TZ", "TZ", "TMPDIR", "VIRTUAL_ENV",
         "XDG_RUNTIME_DIR", "PYTHONPATH")  # fmt: skip
# What would win over the home's own paysync.toml when the person looks at the demo afterwards.
_RIVALS = ("PAYSYNC_HOME", "DATABASE_URL", "PAYSYNC_DATABASE_URL", "REDIS_URL", "PAYSYNC_REDIS_URL")


@command(
    "demo",
    help=_(
        "See it work: a private Redis, a simulated bank over HTTP, twenty QRs with every fate and a worker, with the "
        "clock compressed (a second is two minutes). Touches nothing of yours; under half a minute."
    ),
    examples=["paysync demo"],
    creates_database=True,
)
def demo(session: Session) -> None:
    from paysync_cli.services import demo as service
    from paysync_cli.views.demo import DemoView

    home = Path(tempfile.mkdtemp(prefix="paysync-demo-"))
    fates = service.cast()
    session.say(
        _("demo: private Redis, simulated bank, 20 QRs, one worker; everything lives in {home}").format(home=home)
    )
    try:
        with _stage(home, fates) as (runtime, bank):
            report = _watch(session, runtime, bank, fates)
    except (KeyboardInterrupt, Terminated):
        session.say(
            _("The demo was cut short; its worker, Redis and bank are stopped. Look at {home}, or delete it:").format(
                home=home
            )
        )
        session.say(f"  {next_steps(home)[0]}")
        raise
    steps = next_steps(home)
    error = None if report.complete else ConditionNotMet(_("The demo did not end as its stories tell."))
    session.show(DemoView(report, str(home), steps), error=error)


def next_steps(home: Path) -> list[str]:
    """Three commands to look at the demo's home with, to be pasted into the same shell.

    They run inside the home, so that its own paysync.toml is read and no other.
    """
    from paysync_cli.services.demo import LATE_QR

    unset = "".join(f"-u {name} " for name in _RIVALS if name in os.environ)
    program = f"env {unset}{_program()}" if unset else _program()
    words = ("stats", f"show {LATE_QR}", "review list")
    return [f"(cd {shlex.quote(str(home))} && {program} {word})" for word in words]


def _program() -> str:
    """`paysync` when the shell finds it, else the path of the one that runs now."""
    if shutil.which("paysync") is not None:
        return "paysync"
    called = Path(sys.argv[0])
    return (
        shlex.quote(str(called.absolute()))
        if called.name == "paysync"
        else f"{shlex.quote(sys.executable)} -m paysync_cli"
    )


@contextlib.contextmanager
def _stage(home: Path, fates: Sequence[Fate]) -> Iterator[tuple[Runtime, RunningSimulator]]:
    """Everything the play needs, taken down in the right order whatever happens."""
    from paysync_cli.banks.simulator import RunningSimulator
    from paysync_cli.runtime import Runtime
    from paysync_cli.services import demo as service
    from paysync_cli.store import clock as clocks

    start = datetime.now(UTC)
    clock = clocks.Clock(start, start, service.SPEED)
    with RunningSimulator(service.scenario(fates), now=clock.now) as bank:
        settings_file = _write_settings(home, bank)
        runtime = Runtime(_settings(home, settings_file), create=True)
        try:
            with runtime.store.write() as tx:
                clocks.compress(tx, clock)
            rhythm = runtime.rhythm(runtime.settings.banks[service.BANK])
            environment = runtime.settings.banks[service.BANK].environment
            service.register_all(runtime.store, fates, environment=environment, rhythm=rhythm, now=clock.now())
            runtime.queue.ping()
            with _worker(home, settings_file):
                yield runtime, bank
            _decompress(runtime)
        finally:
            runtime.close()


def _write_settings(home: Path, bank: RunningSimulator) -> Path:
    """The home's own paysync.toml, which the worker reads; kept for whoever looks around."""
    from paysync_cli.services.demo import ACCOUNT, BANK

    keys = {
        "adapter": "baneco",
        "base_url": bank.url,
        "environment": "certification",
        "account": ACCOUNT,
        "rate": "100/s",
    }
    lines = [f'home = "{home}"', 'log_format = "json"', "", f"[banks.{BANK}]"]
    lines += [f'{key} = "{value}"' for key, value in (keys | bank.profile_options()).items()]
    path = home / "paysync.toml"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
    return path


def _settings(home: Path, settings_file: Path) -> Settings:
    from paysync_cli.settings import load_settings

    return load_settings(environ=_environment(), cwd=home, config_file=settings_file)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _KEPT if name in os.environ}


@contextlib.contextmanager
def _worker(home: Path, settings_file: Path) -> Iterator[None]:
    """A real `paysync worker` process, its log in the home."""
    argv = [sys.executable, "-m", "paysync_cli", "worker", "--concurrency", "5", "--config", str(settings_file)]
    with (home / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            argv, cwd=home, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
            if process.poll() is not None:
                raise UnavailableError(_("The demo's worker ended early; see {log}.").format(log=home / "worker.log"))
        finally:
            process.terminate()
            try:
                process.wait(WORKER_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _watch(session: Session, runtime: Runtime, bank: RunningSimulator, fates: Sequence[Fate]) -> DemoReport:
    from paysync_cli.services import demo as service

    started = runtime.clock.now()
    deadline = time.monotonic() + LASTS_AT_MOST_S

    def look() -> DemoReport:
        return service.observe(runtime.store, fates, bank.ledger()["totals"])

    with _screen(session) as show:
        while True:
            report = look()
            passed = runtime.clock.now() - started
            show(report, int(passed.total_seconds() // 60))
            if (report.complete and passed >= service.LASTS) or time.monotonic() > deadline:
                return report
            time.sleep(LOOK_EVERY_S)


@contextlib.contextmanager
def _screen(session: Session) -> Iterator[Callable[[DemoReport, int], None]]:
    """Where the play is shown: a live table on a terminal, else a line for each change of status."""
    quiet = session.options.quiet or session.options.json
    if quiet or not session.on_terminal:
        yield _nothing if quiet else _lines(session)
        return
    from rich.live import Live

    from paysync_cli.views.demo import live_table

    with Live(console=session.console(), refresh_per_second=8, transient=True) as live:

        def show(report: DemoReport, minute: int) -> None:
            live.update(live_table(report, _("minute {n} of 40").format(n=minute)))

        yield show


def _nothing(_report: DemoReport, _minute: int) -> None:
    """Nobody watches."""


def _lines(session: Session) -> Callable[[DemoReport, int], None]:
    told: dict[str, str] = {}

    def show(report: DemoReport, minute: int) -> None:
        for one in report.seen:
            status = one.qr.status.value
            if told.get(one.fate.qr_id) != status:
                told[one.fate.qr_id] = status
                session.say(_("minute {n}: {qr} {status}").format(n=minute, qr=one.fate.qr_id, status=status))

    return show


def _decompress(runtime: Runtime) -> None:
    """Let the demo's clock go on at the usual pace, so that looking at it tomorrow makes sense."""
    from paysync_cli.store import clock as clocks

    with contextlib.suppress(PaysyncError), runtime.store.write() as tx:
        clocks.compress(tx, clocks.Clock(datetime.now(UTC), runtime.clock.now(), 1.0))
