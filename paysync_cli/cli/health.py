"""`paysync health`: the container's probe. `--live` starts fast and asks nobody but the worker's own stamp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.options import read_duration
from paysync_cli.cli.session import Session
from paysync_cli.errors import ConditionNotMet, Fault, PaysyncError, UsageError
from paysync_cli.language import _

if TYPE_CHECKING:
    from paysync_cli.services.health import HealthReport
    from paysync_cli.settings import Settings
    from paysync_cli.views.health import HealthView

MAX_IDLE = "10m"
UNKNOWN = 3  # Nagios' word for: it could not be found out


@command(
    "health",
    help=_(
        "Say whether paysync is fit; exit 6 when it is not.\n\n"
        "--live asks nobody: a worker of this host has stamped within seconds. --ready (the default): Redis and the "
        "database answer and take writes, a worker beats. --deep adds: what is due gets done. --nagios prints one "
        "line and ends with 0 ok, 1 warning, 2 critical, 3 unknown."
    ),
    examples=[
        ("paysync health --live", _("liveness probe of a worker's container")),
        ("paysync health --deep --max-idle 15m", _("for a watcher: does anything move?")),
        ("paysync health --deep --nagios", _("with performance data")),
    ],
    cron=True,
    where=True,
)
def health(
    session: Session,
    live: Annotated[bool, typer.Option("--live", help=_("Only the worker's own stamp on this host."))] = False,
    ready: Annotated[bool, typer.Option("--ready", help=_("Redis, database, heartbeat (the default)."))] = False,
    deep: Annotated[bool, typer.Option("--deep", help=_("Also whether what is due gets done."))] = False,
    worker: Annotated[str | None, typer.Option("--worker", metavar="NAME", help=_("Only this worker."))] = None,
    max_idle: Annotated[
        str | None, typer.Option("--max-idle", metavar="TIME", help=_("With --deep: how long nothing may move (10m)."))
    ] = None,
    nagios: Annotated[bool, typer.Option("--nagios", help=_("One line, and exit 0-3."))] = False,
) -> None:
    idle_s = _read(session, [live, ready, deep], max_idle, nagios)
    session.silent_when_well = not nagios  # Nagios wants its line
    try:
        if live:
            _show_live(session, worker, nagios)
        else:
            _show_asked(session, worker, idle_s if deep else None, nagios)
    except PaysyncError as error:
        if not nagios:
            raise
        from paysync_cli.views.text import plain

        session.exit_status = UNKNOWN
        session.page().line(f"PAYSYNC UNKNOWN - {plain(session.redact(error.message))}")


def _read(session: Session, modes: list[bool], max_idle: str | None, nagios: bool) -> float:
    """The span of --max-idle. Raises UsageError for options that do not go together."""
    if sum(modes) > 1:
        raise UsageError(_("Choose one of --live, --ready and --deep."))
    if max_idle is not None and not modes[2]:
        raise UsageError(_("--max-idle goes with --deep."))
    if nagios and session.options.json:
        raise UsageError(_("--nagios is one line and --json one document: choose one."))
    idle_s = read_duration(max_idle or MAX_IDLE, "--max-idle")
    if idle_s <= 0:
        raise UsageError(_("--max-idle must be longer than zero."))
    return idle_s


def _show_live(session: Session, worker: str | None, nagios: bool) -> None:
    """Every worker of this host must stamp: with several processes the one that hangs is the one to find."""
    from paysync_cli.queue import stamp
    from paysync_cli.views.health import HealthView

    seen = [one for one in stamp.living(session.settings.home) if worker in (None, one.name)]
    rows: list[tuple[str, str, str, str, str | None]] = []
    for one in seen:
        text = _("Worker {name} (pid {pid}) stamped {n:.0f} s ago.").format(name=one.name, pid=one.pid, n=one.age_s)
        code, level = ("stamp", "ok") if one.fresh else ("stamp_old", "fault")
        rows.append(("worker", code, level, text, None if one.fresh else f"kill -9 {one.pid}"))
    if not seen:
        text = _("No worker of this home lives on this host.") if worker is None else _(
            "No worker {name} lives on this host.").format(name=worker)  # fmt: skip
        rows.append(("worker", "no_stamp", "fault", text, "paysync worker"))
    well = all(row[2] == "ok" for row in rows)
    line = f"PAYSYNC {'OK' if well else 'CRITICAL'} - {' '.join(row[3] for row in rows)} | workers={len(seen)}"
    view = HealthView("live", well, _where(session.settings), rows, line=line if nagios else None)
    _show(session, view, status=None if not nagios else 0 if well else 2)


def _where(settings: Settings) -> dict[str, object]:
    """Like `Runtime.where`, without loading what knows databases: a probe runs every few seconds."""
    from paysync_cli.settings import mask_url

    database, redis = settings.database_url, settings.redis_url
    return {
        "database": database.removeprefix("sqlite:///") if database.startswith("sqlite:") else mask_url(database),
        "redis": mask_url(redis) if redis else _("embedded in {folder}").format(folder=settings.redis_folder),
        "settings_files": [str(path) for path in settings.files],
    }


def _show_asked(session: Session, worker: str | None, max_idle_s: float | None, nagios: bool) -> None:
    from paysync_cli.runtime.examination import missing_database, probe
    from paysync_cli.services.health import nagios as nagios_line
    from paysync_cli.views.health import HealthView

    report = probe(session.settings, worker=worker, max_idle_s=max_idle_s)
    if any((one.area, one.code) == ("database", "missing") for one in report.findings):
        error = missing_database(session.settings)
        if error is not None:
            raise error
    status, line = nagios_line(report)
    rows = [(one.area, one.code, one.level.value, session.redact(one.text), one.mend and session.redact(one.mend))
            for one in report.findings]  # fmt: skip
    view = HealthView(report.mode, report.well, session.runtime.where(), rows, _figures(report),
                      session.redact(line) if nagios else None)  # fmt: skip
    _show(session, view, status=status if nagios else None)


def _figures(report: HealthReport) -> dict[str, object]:
    work = report.work
    if work is None:
        return {"workers": None, "due": None, "oldest_due_seconds": None, "last_check_seconds": None}
    idle = None if work.idle_s is None else round(work.idle_s, 1)
    alive = None if work.workers is None else work.alive
    return {"workers": alive, "due": work.due, "oldest_due_seconds": round(work.oldest_due_s, 1),
            "last_check_seconds": idle}  # fmt: skip


def _show(session: Session, view: HealthView, *, status: int | None) -> None:
    """With `status` it is Nagios' exit status, else a bad verdict is the error of exit 6."""
    faults = [Fault(code, text, mend) for _area, code, level, text, mend in view.findings if level == "fault"]
    bad = ConditionNotMet(_("Not fit ({mode}).").format(mode=view.mode), code="not_fit",
                          faults=faults if session.options.json else ())  # fmt: skip
    session.show(view, error=bad if faults and status is None else None)
    if status is not None:
        session.exit_status = status
