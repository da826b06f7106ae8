"""The probes: `/live`, `/ready`, `/consuming`. What they find is kept for a moment: however often they are asked, what
they look at is asked once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from paysync_cli.errors import Fault, InputError
from paysync_cli.language import _
from paysync_cli.queue import stamp
from paysync_cli.runtime.examination import probe
from paysync_cli.services.doctor.finding import Finding, Level, fault, ok, worst
from paysync_cli.services.health import HealthReport, judge_consuming
from paysync_cli.settings import Settings
from paysync_cli.settings.durations import parse_duration
from paysync_cli.web.answers import Redact, answered
from paysync_cli.web.guard import Handler, guarded

FRESH_S = 2.0
MAX_IDLE_S = 600.0

Alive = Callable[[], Sequence[Finding]]


class Probes:
    """`alive` says how the processes that this door answers for are; `worker` is the one whose heartbeat is wanted,
    None for any.
    """

    def __init__(self, settings: Settings, alive: Alive, redact: Redact, worker: Callable[[], str | None]) -> None:
        self._settings, self._alive, self._redact, self._worker = settings, alive, redact, worker
        self._looking = asyncio.Lock()
        self._seen: tuple[float, HealthReport] | None = None

    def routes(self) -> list[Route]:
        doors: Mapping[str, Handler] = {"/live": self._live, "/ready": self._ready, "/consuming": self._consuming}
        return [Route(path, guarded(handler, self._redact), methods=["GET"]) for path, handler in doors.items()]

    async def _live(self, _request: Request) -> Response:
        return self._told("live", self._alive())

    async def _ready(self, request: Request) -> Response:
        if "deep" in request.query_params:
            return await self._consuming(request)
        report = await self._look()
        return self._told("ready", report.findings, report)

    async def _consuming(self, request: Request) -> Response:
        max_idle_s = _max_idle_s(request)
        report = await self._look()
        found = list(report.findings)
        if report.work is not None:
            found.append(judge_consuming(report.work, max_idle_s))
        return self._told("deep", found, report)

    async def _look(self) -> HealthReport:
        async with self._looking:
            if self._seen is None or time.monotonic() - self._seen[0] > FRESH_S:
                report = await asyncio.to_thread(probe, self._settings, worker=self._worker(), max_idle_s=None)
                self._seen = (time.monotonic(), report)
            return self._seen[1]

    def _told(self, mode: str, findings: Sequence[Finding], report: HealthReport | None = None) -> Response:
        data: dict[str, object] = {"mode": mode, "healthy": worst(findings) is not Level.FAULT}
        if report is not None and report.work is not None:
            work = report.work
            data |= {
                "workers": work.alive,
                "due": work.due,
                "oldest_due_seconds": round(work.oldest_due_s, 1),
                "last_check_seconds": None if work.idle_s is None else round(work.idle_s, 1),
            }
        data["findings"] = [
            {"area": one.area, "code": one.code, "level": one.level.value, "text": self._redact(one.text)}
            for one in findings
        ]
        bad = [one for one in findings if one.level is Level.FAULT]
        faults = [Fault(one.code, self._redact(one.text), one.mend and self._redact(one.mend)) for one in bad]
        return answered(data, 503 if bad else 200, word="partial" if bad else "ok", faults=faults)


def _max_idle_s(request: Request) -> float:
    text = request.query_params.get("max_idle")
    if text is None:
        return MAX_IDLE_S
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise InputError(f"max_idle: {error}") from None
    if seconds <= 0:
        raise InputError(_("max_idle must be longer than zero."))
    return seconds


def of_stamps(home: Path, started: Callable[[], Mapping[int, float]]) -> Alive:
    """How worker processes are by the sign of life that the loop of each gives.

    `started` tells the pids that are watched, each with the moment (monotonic) at which it was started: one that has
    not stamped yet is fine for as long as a stamp is.
    """

    def look() -> Sequence[Finding]:
        stamped = {one.pid: one for one in stamp.living(home)}
        return [_judged(pid, at, stamped.get(pid)) for pid, at in started().items()]

    return look


def _judged(pid: int, started_at: float, seen: stamp.Stamped | None) -> Finding:
    if seen is None and time.monotonic() - started_at <= stamp.SILENT_S:
        return ok("worker", "starting", _("Process {pid} is starting.").format(pid=pid))
    if seen is None:
        return fault("worker", "no_stamp", _("Process {pid} gives no sign of life.").format(pid=pid), f"kill -9 {pid}")
    text = _("Worker {name} (pid {pid}) stamped {n:.0f} s ago.").format(name=seen.name, pid=pid, n=seen.age_s)
    return ok("worker", "stamp", text) if seen.fresh else fault("worker", "stamp_old", text, f"kill -9 {pid}")
